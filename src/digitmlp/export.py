"""The trained network as one ONNX file: scaling, BatchNorm and temperature folded into it."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from digitmlp import files, recognizer
from digitmlp.card import KEY, Card
from digitmlp.digits import CLASSES, PIXELS, SIDE
from digitmlp.errors import ModelError
from digitmlp.model import MLP

# Old enough for any ONNX Runtime of the last years; LayerNormalization would be the next step up.
OPSET, IR_VERSION = 17, 8
TOLERANCE = 1e-5  # between the probabilities of PyTorch and of the exported file


def to_onnx(network: MLP, card: Card) -> onnx.ModelProto:
    """Return the graph: images uint8 (n, 28, 28) to probabilities float32 (n, 10), score (n,).

    A chain of Gemm nodes for each member. The probabilities are the mean of the members'; the
    score is the mean of log Σ exp of their logits (the free energy of Liu et al. 2020).
    """
    nodes, initializers = [], []

    def constant(name: str, value: np.ndarray) -> str:
        initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    rows = node("Reshape", ["images", constant("row", np.array([-1, PIXELS]))], "rows")
    features = node("Cast", [rows], "features", to=TensorProto.FLOAT)
    layers = network.folded()
    weight, bias = layers[-1]
    layers[-1] = (weight / card.temperature, bias / card.temperature)
    chances, scores = [], []
    for member in range(card.model.members):
        x = features
        for index, (weight, bias) in enumerate(layers):
            name = f"member{member}.layer{index}"
            weights = constant(f"{name}.weight", weight[member].float().contiguous().numpy())
            biases = constant(f"{name}.bias", bias[member, 0].float().numpy())
            x = node("Gemm", [x, weights, biases], name)
            if index < len(layers) - 1:
                slope = card.model.negative_slope
                x = (
                    node("LeakyRelu", [x], f"{name}.active", alpha=slope)
                    if slope
                    else node("Relu", [x], f"{name}.active")
                )
        chances.append(node("Softmax", [x], f"member{member}.probabilities", axis=1))
        scores.append(
            node("ReduceLogSumExp", [x], f"member{member}.score", axes=[1], keepdims=0)
        )
    node("Mean", chances, "probabilities")
    node("Mean", scores, "score")
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


def save(path: Path, network: MLP, card: Card, images: torch.Tensor) -> recognizer.Recognizer:
    """Write the sealed model.onnx; return it loaded, after checking it against PyTorch.

    images  uint8 (n, 784), on the network's device, to compare on
    Raises ModelError when the probabilities differ by more than TOLERANCE.
    """
    content = to_onnx(network, card).SerializeToString(deterministic=True)
    files.write(path, files.seal(content))
    loaded = recognizer.load(path)
    with torch.no_grad():
        expected = network.probabilities(images, card.temperature).cpu().numpy()
    found = loaded.predict_proba(images.cpu().numpy())
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{path}: its probabilities differ from PyTorch's by {difference:.1e}, "
            f"expected at most {TOLERANCE:.0e}"
        )
    return loaded
