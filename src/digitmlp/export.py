"""The trained network as one ONNX file: scaling, BatchNorm and temperature folded into it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from digitmlp import files, recognizer
from digitmlp.card import KEY, Card
from digitmlp.digits import CLASSES, PIXELS, SIDE
from digitmlp.errors import ModelError
from digitmlp.model import MLP, Layers, chain, committee

COMPARED = 1000  # images on which an export is checked against PyTorch

# Old enough for any ONNX Runtime of the last years; LayerNormalization would be the next step up.
OPSET, IR_VERSION = 17, 8
TOLERANCE = 1e-5  # between the probabilities of PyTorch and of the exported file


def to_onnx(layers: Layers, card: Card, compact: bool = False) -> onnx.ModelProto:
    """Return the graph: images uint8 (n, 28, 28) to probabilities float32 (n, 10), score (n,).

    A chain of Gemm nodes for each member, joined as by `model.committee` and `model.score`.
    With `compact`, layers are those of `rounded`, and a weight takes a byte; the runtime
    multiplies it by its column's step once, when it loads the file.
    """
    nodes, initializers = [], []

    def constant(name: str, value: NDArray[Any]) -> str:
        initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def matrix(name: str, weight: NDArray[np.float32]) -> str:
        if not compact:
            return constant(name, weight)
        step = steps(weight)
        whole = constant(f"{name}.whole", np.rint(weight / step).astype(np.int8))
        cast = node("Cast", [whole], f"{name}.float", to=TensorProto.FLOAT)
        return node("Mul", [cast, constant(f"{name}.step", step)], name)

    rows = node("Reshape", ["images", constant("row", np.array([-1, PIXELS]))], "rows")
    features = node("Cast", [rows], "features", to=TensorProto.FLOAT)
    sizes = constant("sizes", np.array([CLASSES, 1])) if card.model.nothing else ""
    axis = constant("axis", np.array([1])) if card.model.nothing else ""
    digits, scores = [], []
    for member in range(card.model.members):
        x = features
        for index, (weight, bias) in enumerate(layers):
            name = f"member{member}.layer{index}"
            weights = matrix(f"{name}.weight", weight[member].float().contiguous().numpy())
            biases = constant(f"{name}.bias", bias[member, 0].float().numpy())
            x = node("Gemm", [x, weights, biases], name)
            if index < len(layers) - 1:
                slope = {"alpha": card.model.negative_slope} if card.model.negative_slope else {}
                x = node("LeakyRelu" if slope else "Relu", [x], f"{name}.active", **slope)
        nothing = ""
        if card.model.nothing:
            nothing = f"{x}.nothing"
            x = node("Split", [x, sizes], f"{x}.digits", nothing, axis=1)
        score = node("ReduceLogSumExp", [x], f"{x}.score", axes=[1], keepdims=0)
        if nothing:
            flat = node("Squeeze", [nothing, axis], f"{nothing}.flat")
            score = node("Sub", [score, flat], f"{x}.odds")
        digits.append(x)
        scores.append(score)
    node("Mean", scores, "score")
    joint = digits[0]
    if len(digits) > 1:
        chances = [node("Softmax", [x], f"{x}.probabilities", axis=1) for x in digits]
        joint = node("Log", [node("Mean", chances, "mean")], "joint")
    coldness = constant("coldness", np.array(1 / card.temperature, np.float32))
    node("Softmax", [node("Mul", [joint, coldness], "tempered")], "probabilities", axis=1)
    graph = helper.make_graph(
        nodes,
        "digitmlp",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", SIDE, SIDE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
        ],
        initializers,
    )
    model = helper.make_model(
        graph,
        producer_name="digitmlp",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, {KEY: card.to_text()})
    onnx.checker.check_model(model, full_check=True)
    return model


def save(
    path: Path, network: MLP, card: Card, images: torch.Tensor, compact: bool = False
) -> recognizer.Recognizer:
    """Check the network as ONNX against PyTorch, write the sealed model.onnx, return it loaded.

    images   uint8 (n, 784), to compare on
    compact  whether weights are rounded to 8 bits each
    Raises ModelError when the probabilities differ by more than TOLERANCE; nothing is then written.
    """
    layers = network.folded()
    if compact:
        layers = [(rounded(weight), bias) for weight, bias in layers]
    content = files.seal(to_onnx(layers, card, compact).SerializeToString(deterministic=True))
    loaded = recognizer.from_sealed(content, files.checksum(content, path), path)
    logits = chain(layers, images.cpu().double(), card.model.negative_slope)
    logs = committee(logits, card.model.classes)
    expected = torch.softmax(logs / card.temperature, -1).numpy()
    found = loaded.predict_proba(images.cpu().numpy())
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{path}: its probabilities differ from PyTorch's by {difference:.1e}, "
            f"expected at most {TOLERANCE:.0e}"
        )
    files.write(path, content)
    return loaded


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """Return weights (members, inputs, outputs) as 8 bits can hold them: whole steps, -127 to 127
    of them, from each input to an output of the same size.
    """
    step = torch.from_numpy(steps(weight.numpy())).double()
    return (weight / step).round() * step


def steps(weight: NDArray[Any]) -> NDArray[np.float32]:
    """Return (…, 1, outputs): the largest weight of each column, as 127 steps."""
    largest = np.abs(weight).max(-2, keepdims=True)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)
