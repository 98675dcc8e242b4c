"""The exported file: PyTorch's answers, equal bytes, nothing that is not finite."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from conftest import make_digits

from digitmlp import export, recognizer
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.errors import ModelError
from digitmlp.model import MLP, committee, score
from digitmlp.split import tensors

QUICK = TrainConfig(epochs=2, batch_size=32, learning_rate=3e-3, precision="float32")
FORMS = [
    ModelConfig(hidden=hidden, norm=norm, members=members, negative_slope=slope)
    for norm in ("none", "last", "every")
    for members in (1, 3)
    for hidden, slope in (((16,), 0.0), ((24, 16), 0.01))
] + [ModelConfig(hidden=(16,), members=members, nothing=True) for members in (1, 3)]


def trained(form: ModelConfig) -> MLP:
    """Return a network whose BatchNorms have seen data, and whose weights are no longer random."""
    digits = make_digits(200)
    config = dataclasses.replace(QUICK, outliers=0.2 if form.nothing else 0.0)
    training = loop.start(form, config, torch.device("cpu"))
    list(loop.fit(training, tensors(digits.images, digits.labels, "cpu"), None, config))
    return training.network


def card(form: ModelConfig, **facts) -> Card:
    return Card(model=form, training=QUICK, data="0" * 64, **facts)


def pixels(count: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("form", FORMS, ids=ModelConfig.__repr__)
def test_file_gives_pytorchs_probabilities_and_scores_for_any_batch(tmp_path, form):
    network = trained(form)
    given = card(form, temperature=1.7)
    compared = torch.from_numpy(pixels(5).reshape(5, -1))
    export.save(tmp_path / "model.onnx", network, given, compared)
    loaded = recognizer.load(tmp_path / "model.onnx")
    for count in (1, 3, 1000, 1025):
        images = pixels(count, seed=count)
        images[0] = make_digits(1).images[0]
        logits = loop.predict_logits(network, torch.from_numpy(images.reshape(count, -1)))
        expected = (committee(logits, 10) / 1.7).softmax(-1).numpy()
        probabilities, scores = loaded.recognize(images)
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(probabilities.argmax(1), expected.argmax(1))
        np.testing.assert_allclose(scores, score(logits, 10).numpy(), rtol=1e-4, atol=1e-4)
        assert (probabilities.dtype, scores.dtype) == (np.float32, np.float32)


def test_network_without_hidden_layers_is_exported_too(tmp_path):
    form = ModelConfig(hidden=())
    images = torch.from_numpy(pixels(3).reshape(3, -1))
    loaded = export.save(tmp_path / "model.onnx", MLP(form, torch.Generator()), card(form), images)
    assert loaded.predict(pixels(3)).shape == (3,)


def test_equal_weights_give_equal_bytes(tmp_path):
    form = ModelConfig(hidden=(16,), members=2)
    contents = set()
    for name in ("first.onnx", "second.onnx"):
        export.save(tmp_path / name, trained(form), card(form), torch.zeros(1, 784).byte())
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_file_passes_onnx_own_checker_and_says_what_goes_in_and_out(tmp_path):
    form = ModelConfig(hidden=(16,))
    export.save(tmp_path / "model.onnx", trained(form), card(form), torch.zeros(1, 784).byte())
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        node.name: [size.dim_param or size.dim_value for size in node.type.tensor_type.shape.dim]
        for node in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"images": ["n", 28, 28], "probabilities": ["n", 10], "score": ["n"]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_exported(tmp_path, number):
    form = ModelConfig(hidden=(16,))
    network = trained(form)
    with torch.no_grad():
        network.linears[1].weight[0, 3, 4] = number
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError) as refusal:
        export.save(path, network, card(form), torch.zeros(1, 784).byte())
    assert str(refusal.value) == (
        f"{path}: weight member0.layer1.weight holds NaN or infinity; train again"
    )
    assert list(tmp_path.iterdir()) == []


def test_export_that_differs_from_pytorch_leaves_the_old_file(tmp_path, monkeypatch):
    form = ModelConfig(hidden=(16,))
    network, path = trained(form), tmp_path / "model.onnx"
    path.write_text("old")
    whole = export.to_onnx
    warm = card(form, temperature=3.0)
    monkeypatch.setattr(
        export,
        "to_onnx",
        lambda layers, told, compact: whole(
            layers, dataclasses.replace(told, temperature=1.0), compact
        ),
    )
    with pytest.raises(
        ModelError, match=r"its probabilities differ from PyTorch's by .*, expected"
    ):
        export.save(path, network, warm, torch.from_numpy(pixels(9).reshape(9, -1)))
    assert path.read_text() == "old"


@pytest.mark.parametrize("members", [1, 2])
def test_compact_file_has_a_quarter_of_the_size_and_nearly_the_same_answers(tmp_path, members):
    form = ModelConfig(hidden=(256,), members=members)
    network, images = trained(form), torch.from_numpy(make_digits(300, 3).images.reshape(-1, 784))
    whole = export.save(tmp_path / "whole.onnx", network, card(form), images)
    small = export.save(tmp_path / "small.onnx", network, card(form), images, compact=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole.onnx", "small.onnx")]
    assert sizes[1] < 0.27 * sizes[0]
    pictures = images.numpy()
    np.testing.assert_allclose(
        small.predict_proba(pictures), whole.predict_proba(pictures), rtol=0, atol=0.02
    )
    assert (recognizer.load(tmp_path / "small.onnx").predict(pictures)).tolist() == (
        whole.predict(pictures).tolist()
    )


def test_rounded_weights_are_whole_steps_of_their_column():
    weight = torch.randn(2, 30, 5, dtype=torch.float64)
    weight[0, :, 2] = 0  # a dead output
    steps = torch.from_numpy(export.steps(weight.numpy())).double()
    whole = export.rounded(weight) / steps
    assert whole.abs().max() <= 127
    torch.testing.assert_close(whole, whole.round())
    assert ((export.rounded(weight) - weight).abs() <= 0.51 * steps).all()
