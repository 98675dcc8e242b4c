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
from digitmlp.model import MLP, committee
from digitmlp.train import predict_logits

# Old enough for any ONNX Runtime of the last years; LayerNormalization would be the next step up.
OPSET, IR_VERSION = 17, 8
TOLERANCE = 1e-5  # between the probabilities of PyTorch and of the exported file


def to_onnx(network: MLP, card: Card) -> onnx.ModelProto:
    """Return the graph: images uint8 (n, 28, 28) to probabilities float32 (n, 10), score (n,).

    A chain of Gemm nodes for each member, joined as by `model.committee` and `model.score`.
    """
    nodes, initializers = [], []

    def constant(name: str, value: NDArray[Any]) -> str:
        initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    rows = node("Reshape", ["images", constant("row", np.array([-1, PIXELS]))], "rows")
    features = node("Cast", [rows], "features", to=TensorProto.FLOAT)
    layers = network.folded()
    logits = []
    for member in range(card.model.members):
        x = features
        for index, (weight, bias) in enumerate(layers):
            name = f"member{member}.layer{index}"
            weights = constant(f"{name}.weight", weight[member].float().contiguous().numpy())
            biases = constant(f"{name}.bias", bias[member, 0].float().numpy())
            x = node("Gemm", [x, weights, biases], name)
            if index < len(layers) - 1:
                slope = {"alpha": card.model.negative_slope} if card.model.negative_slope else {}
                x = node("LeakyRelu" if slope else "Relu", [x], f"{name}.active", **slope)
        logits.append(x)
    score = {"axes": [1], "keepdims": 0}
    scores = [node("ReduceLogSumExp", [x], f"{x}.score", **score) for x in logits]
    node("Mean", scores, "score")
    joint = logits[0]
    if len(logits) > 1:
        chances = [node("Softmax", [x], f"{x}.probabilities", axis=1) for x in logits]
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


def save(path: Path, network: MLP, card: Card, images: torch.Tensor) -> recognizer.Recognizer:
    """Check the network as ONNX against PyTorch, write the sealed model.onnx, return it loaded.

    images  uint8 (n, 784), on the network's device, to compare on
    Raises ModelError when the probabilities differ by more than TOLERANCE; nothing is then written.
    """
    content = files.seal(to_onnx(network, card).SerializeToString(deterministic=True))
    loaded = recognizer.from_sealed(content, files.checksum(content, path), path)
    with torch.no_grad():
        logs = committee(predict_logits(network, images))
        expected = torch.softmax(logs / card.temperature, -1).cpu().numpy()
    found = loaded.predict_proba(images.cpu().numpy())
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{path}: its probabilities differ from PyTorch's by {difference:.1e}, "
            f"expected at most {TOLERANCE:.0e}"
        )
    files.write(path, content)
    return loaded
