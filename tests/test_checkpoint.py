"""Weights and states on disk: what is read is what was written, or it is refused by name."""

import dataclasses
import itertools
import json
import pickle
import re
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import make_digits

from digitmlp import checkpoint, files
from digitmlp import train as loop
from digitmlp.card import KEY, Card
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ModelError
from digitmlp.split import Batch, tensors

CPU = torch.device("cpu")
FORM = ModelConfig(hidden=(16, 12), members=2)
QUICK = TrainConfig(
    epochs=4,
    batch_size=32,
    schedule="one-cycle",
    averaged=0.75,
    weight_decay=0.01,
    augment=AugmentConfig(rotation=5, elastic=0.5),
    precision="float32",
)
CARD = Card(model=FORM, training=QUICK, data="0" * 64)


def batch(count: int, seed: int = 0) -> Batch:
    digits = make_digits(count, seed)
    return tensors(digits.images, digits.labels, CPU)


TRAIN, VALIDATION = batch(100), batch(40, seed=1)


def trained(stop_after: int = 1000) -> loop.Training:
    """Return a training stopped after so many steps, of which an epoch has four."""
    training = loop.start(FORM, QUICK, CPU)
    go_on(training, stop_after)
    return training


def go_on(training: loop.Training, stop_after: int = 1000) -> None:
    steps = itertools.count()
    try:
        for _ in loop.fit(training, TRAIN, VALIDATION, QUICK, lambda: next(steps) == stop_after):
            pass
    except loop.Stopped:
        pass


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, trained(4).network.state_dict(), CARD)
    return path


def refusal(path: Path) -> str:
    """Return what is said, after the path, of a file that must be refused."""
    with pytest.raises(ModelError) as refused:
        checkpoint.load_network(path)
    assert refused.value.exit_code == 3
    place, _, what = str(refused.value).partition(": ")
    assert place == str(path)
    return what


def sealed(tensors: dict[str, torch.Tensor], card: Card = CARD) -> bytes:
    return files.seal(safetensors.torch.save(tensors, {KEY: card.to_text()}))


def test_loaded_network_gives_identical_logits(saved):
    network, card = checkpoint.load_network(saved)
    assert card == CARD
    expected = loop.predict_logits(trained(4).network, VALIDATION.images)
    assert torch.equal(loop.predict_logits(network, VALIDATION.images), expected)


def test_equal_weights_give_equal_bytes(saved, tmp_path):
    checkpoint.save(tmp_path / "again", trained(4).network.state_dict(), CARD)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_safetensors_itself_reads_the_file(saved):
    with safetensors.safe_open(saved, "pt") as file:
        assert json.loads(file.metadata()[KEY])["model"]["hidden"] == [16, 12]


def test_file_cut_at_any_length_or_with_a_flipped_bit_is_refused(saved):
    whole = saved.read_bytes()
    for length in (0, 1, 8, 9, *range(10, len(whole), len(whole) // 30), len(whole) - 1):
        saved.write_bytes(whole[:length])
        refusal(saved)
    for place in range(0, len(whole) * 8, len(whole) * 8 // 150):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        saved.write_bytes(flipped)
        refusal(saved)


class Marker:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_pickle_under_our_name_is_refused_and_does_not_run(tmp_path, write):
    path, ran = tmp_path / "model.safetensors", tmp_path / "ran"
    with path.open("wb") as file:
        write({"marker": Marker(ran), "seal": files.UNSEALED}, file)
    refusal(path)
    if write is pickle.dump:
        path.write_bytes(files.seal(path.read_bytes()))
        assert refusal(path).startswith("not a safetensors file of digitmlp: ")
    assert not ran.exists()


def with_header(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    """Return a sealed file with this header, said to be of this length."""
    return files.seal(struct.pack("<Q", len(header) if length is None else length) + header + data)


def entry(first: int, last: int) -> dict:
    return {"dtype": "F32", "shape": [(last - first) // 4], "data_offsets": [first, last]}


META = {"__metadata__": {KEY: CARD.to_text()}}
HOSTILE = {
    "length of 2^63": with_header(json.dumps(META).encode(), 2**63),
    "length beyond the file": with_header(json.dumps(META).encode(), 10_000_000),
    "100,000 entries": with_header(
        json.dumps(META | {f"w{i}": entry(0, 4) for i in range(100_000)}).encode(), data=b"0000"
    ),
    "overlapping tensors": with_header(
        json.dumps(META | {"a": entry(0, 8), "b": entry(4, 12)}).encode(), data=b"0" * 12
    ),
    "hole between tensors": with_header(
        json.dumps(META | {"a": entry(0, 4), "b": entry(8, 12)}).encode(), data=b"0" * 12
    ),
    "bytes after the last tensor": with_header(
        json.dumps(META | {"a": entry(0, 4)}).encode(), data=b"0" * 9
    ),
    "tensor beyond the file": with_header(
        json.dumps(META | {"a": entry(0, 400)}).encode(), data=b"0" * 9
    ),
    "shape whose size overflows": with_header(
        json.dumps(
            META | {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}
        ).encode(),
        data=b"0000",
    ),
    "unknown dtype": with_header(
        json.dumps(META | {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}).encode(),
        data=b"0000",
    ),
    "no JSON": with_header(b"{" + files.UNSEALED.encode()),
    "a list": with_header(json.dumps([files.UNSEALED]).encode()),
    "no metadata": with_header(json.dumps({files.UNSEALED: entry(0, 4)}).encode(), data=b"0000"),
    "other metadata": with_header(json.dumps({"__metadata__": {"a": files.UNSEALED}}).encode()),
    "deep JSON": with_header(b'{"a":' + b"[" * 100_000 + files.UNSEALED.encode()),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_header_is_refused_even_with_the_right_checksum(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert refusal(path).startswith("not a safetensors file of digitmlp: ")
    path.write_bytes(re.sub(b"digitmlp-sha256:[0-9a-f]{64}", b"x" * 80, content))
    assert refusal(path) == (
        "is cut or was not written by digitmlp; expected a model file with digitmlp's checksum"
    )


def changed(**tensors: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return sound tensors, with these in their place, or left out."""
    found = loop.start(FORM, QUICK, CPU).network.state_dict()
    found |= {name.replace("_", "."): value for name, value in tensors.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (
            changed(linears_0_bias=None, other=torch.zeros(1)),
            "its weights do not fit its settings; missing: linears.0.bias; unknown: other",
        ),
        (
            changed(linears_1_weight=torch.zeros(2, 12, 16)),
            "weight linears.1.weight is torch.float32 (2, 12, 16), "
            "its settings ask for torch.float32 (2, 16, 12)",
        ),
        (
            changed(linears_0_bias=torch.zeros(2, 1, 16, dtype=torch.float64)),
            "weight linears.0.bias is torch.float64 (2, 1, 16), "
            "its settings ask for torch.float32 (2, 1, 16)",
        ),
        (
            changed(linears_2_weight=torch.zeros(2, 12, 7)),
            "weight linears.2.weight is torch.float32 (2, 12, 7), "
            "its settings ask for torch.float32 (2, 12, 10)",
        ),
        (
            changed(norms_0_variance=torch.full((32,), float("nan"))),
            "weight norms.0.variance holds NaN or infinity; train again",
        ),
        (
            changed(linears_0_bias=torch.full((2, 1, 16), float("-inf"))),
            "weight linears.0.bias holds NaN or infinity; train again",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, tensors, sentence):
    path = tmp_path / "model.safetensors"
    path.write_bytes(sealed(tensors))
    assert refusal(path) == sentence


def test_newer_format_is_named(saved):
    content = saved.read_bytes().replace(rb"\"format\":6", rb"\"format\":9")
    saved.write_bytes(files.seal(re.sub(b"sha256:[0-9a-f]{64}", b"sha256:" + b"0" * 64, content)))
    assert refusal(saved) == (
        "written in format 9, this version of digitmlp reads up to 6; install a newer one"
    )


def test_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "no.safetensors") == (
        "no such file; expected a finished run's folder or model.safetensors"
    )


def weights(training: loop.Training) -> torch.Tensor:
    values = [*training.network.state_dict().values(), *training.best.values()]
    return torch.cat([value.flatten() for value in values])


def test_training_loaded_at_any_step_ends_as_one_never_stopped(tmp_path):
    whole = trained()
    for stop_after in range(1, 17):
        stopped = trained(stop_after)
        path = checkpoint.save_state(tmp_path, stopped, CARD)
        training, card = checkpoint.load_state(path, QUICK, CPU)
        assert (card.model, card.training, card.data) == (FORM, QUICK, CARD.data)
        go_on(training)
        assert torch.equal(weights(training), weights(whole))
        assert training.best_epoch == whole.best_epoch
        for ours, theirs in zip(training.history, whole.history, strict=True):
            assert dataclasses.replace(ours, seconds=0) == dataclasses.replace(theirs, seconds=0)


def test_model_is_not_taken_for_a_state(saved):
    with pytest.raises(ModelError) as refused:
        checkpoint.load_state(saved, QUICK, CPU)
    assert str(refused.value).startswith(
        f"{saved}: its weights do not fit its settings; missing: network.linears.0.bias, "
    )


def test_state_without_its_history_is_refused(tmp_path):
    training = trained(5)
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, checkpoint._state_tensors(training), CARD)
    with pytest.raises(ModelError) as refused:
        checkpoint.load_state(path, QUICK, CPU)
    assert str(refused.value) == f"{path}: not a training state: 'best_epoch'"


def test_the_two_newest_states_are_kept(tmp_path):
    for steps in (2, 4, 7, 8):
        checkpoint.save_state(tmp_path, trained(steps), CARD)
    assert [path.name for path in checkpoint.states(tmp_path)] == [
        "epoch-00002-step-0000000.safetensors",
        "epoch-00001-step-0000003.safetensors",
    ]


def test_states_later_than_the_training_never_push_out_a_sound_one(tmp_path):
    for number in (8, 9):  # as after starting anew because both were damaged
        (tmp_path / f"epoch-{number:05}-step-0000000.safetensors").write_bytes(b"damaged")
    checkpoint.save_state(tmp_path, trained(4), CARD)
    checkpoint.save_state(tmp_path, trained(5), CARD)
    assert [path.name for path in checkpoint.states(tmp_path)] == [
        "epoch-00001-step-0000001.safetensors",
        "epoch-00001-step-0000000.safetensors",
    ]
