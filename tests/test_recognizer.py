"""Predicting from a file: the same digits however asked, and no answer from a damaged one."""

import pickle
import re
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import make_digits
from onnx import TensorProto, helper, numpy_helper

from digitmlp import card, files, recognizer
from digitmlp.errors import DataError, ModelError


@pytest.fixture
def whole(finished) -> bytes:
    return (finished / "model.onnx").read_bytes()


def refusal(path: Path) -> str:
    """Return what is said, after the path, of a file that must be refused."""
    with pytest.raises(ModelError) as refused:
        recognizer.load(path)
    assert refused.value.exit_code == 3
    place, _, what = str(refused.value).partition(": ")
    assert place == str(path)
    return what


def write_sealed(path: Path, model: onnx.ModelProto) -> Path:
    """Write a model with a checksum that is right, as only digitmlp would."""
    content = re.sub(b"sha256:[0-9a-f]{64}", b"sha256:" + b"0" * 64, model.SerializeToString())
    path.write_bytes(files.seal(content))
    return path


def test_any_batch_and_any_order_gives_the_same_digits(finished):
    loaded = recognizer.load(finished)
    images = np.random.default_rng(0).integers(0, 256, (2500, 28, 28), dtype=np.uint8)
    whole = loaded.predict(images)
    assert (whole.dtype, whole.shape) == (np.int64, (2500,))
    for size in (1, 7, 1000):
        parts = [
            loaded.predict(images[first : first + size]) for first in range(0, len(images), size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(len(images))
    np.testing.assert_array_equal(loaded.predict(images[order]), whole[order])
    np.testing.assert_array_equal(loaded.predict(images.reshape(-1, 784)), whole)


def test_pickled_recognizer_loads_the_same_file_and_no_other(finished, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes((finished / "model.onnx").read_bytes())
    loaded = recognizer.load(path, threads=2)
    assert str(path) in repr(loaded)
    pickled, images = pickle.dumps(loaded), make_digits(20).images
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(images), loaded.predict(images))
    assert pickle.dumps(again) == pickled  # with as many threads
    assert pickle.dumps(recognizer.load(path, threads=1)) != pickled
    path.write_bytes(recognizer.SHIPPED.read_bytes())
    with pytest.raises(ModelError, match="not the file of the Recognizer that was pickled"):
        pickle.loads(pickled)


def test_pickled_weights_that_ship_are_those_of_any_installation():
    pickled = pickle.dumps(recognizer.load())
    assert str(recognizer.SHIPPED.parent).encode() not in pickled
    assert pickle.loads(pickled).sha256 == recognizer.load().sha256


def test_probabilities_add_up_to_one_and_scores_tell_digits_from_noise(finished):
    loaded = recognizer.load(finished)
    digits = make_digits(100, seed=5)
    probabilities = loaded.predict_proba(digits.images)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert (loaded.predict(digits.images) == digits.labels).mean() > 0.9
    assert loaded.score_samples(digits.images).shape == (100,)
    assert (loaded.score_samples(digits.images) >= loaded.threshold).mean() > 0.9


def test_no_images_give_no_answers(finished):
    probabilities, scores = recognizer.load(finished).recognize(np.empty((0, 28, 28), np.uint8))
    assert (probabilities.shape, scores.shape) == ((0, 10), (0,))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (
            np.zeros((2, 784)),
            "images are float64; expected uint8, ink 255 on ground 0 "
            "(for values from 0 to 1: (images * 255).round().astype('uint8'))",
        ),
        (
            np.zeros((28, 28), np.uint8),
            "images have shape (28, 28); expected (n, 28, 28) or (n, 784), "
            "for one image images[None]",
        ),
        (
            np.zeros((2, 32, 32), np.uint8),
            "images have shape (2, 32, 32); expected (n, 28, 28) or (n, 784)",
        ),
    ],
)
def test_arrays_that_are_no_images_are_refused(finished, images, sentence):
    with pytest.raises(DataError) as refused:
        recognizer.load(finished).predict(images)
    assert str(refused.value) == sentence


def test_file_cut_at_any_length_is_refused(tmp_path, whole):
    path = tmp_path / "cut.onnx"
    lengths = {0, 1, 100, len(whole) - 1, *range(0, len(whole), len(whole) // 40)}
    for length in lengths:
        path.write_bytes(whole[:length])
        assert refusal(path) in {
            "is empty; expected a model file with digitmlp's checksum",
            "is cut or was not written by digitmlp; expected a model file with digitmlp's checksum",
            "damaged: its content does not match its checksum; copy it again",
        }


def test_file_with_any_bit_flipped_is_refused(tmp_path, whole):
    path = tmp_path / "flipped.onnx"
    for place in np.random.default_rng(0).integers(0, len(whole) * 8, 200):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        refusal(path)


def test_bytes_added_to_a_file_are_refused(tmp_path, whole):
    path = tmp_path / "longer.onnx"
    path.write_bytes(whole + b"\0")
    assert refusal(path) == "damaged: its content does not match its checksum; copy it again"


class Marker:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("seal", [False, True])
def test_pickle_under_our_name_is_refused_and_does_not_run(tmp_path, seal):
    ran = tmp_path / "ran"
    content = pickle.dumps([Marker(ran), files.UNSEALED])
    path = tmp_path / "model.onnx"
    path.write_bytes(files.seal(content) if seal else content)
    refusal(path)
    assert not ran.exists()
    pickle.loads(content)
    assert ran.exists()  # the trap works


def foreign(shape: list, kind: int = TensorProto.UINT8) -> onnx.ModelProto:
    """Return a model of someone else's: one input `images`, doubled."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["images", "images"], ["probabilities"])],
        "foreign",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("probabilities", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {card.KEY: files.UNSEALED})
    return model


def test_foreign_model_is_refused(tmp_path):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(foreign(["n", 28, 28]).SerializeToString())
    assert refusal(path) == "damaged: its content does not match its checksum; copy it again"
    write_sealed(path, foreign(["n", 28, 28], TensorProto.FLOAT))
    assert refusal(path) == (
        "has inputs and outputs [('images', 'tensor(float)', ['n', 28, 28]), "
        "('probabilities', 'tensor(float)', ['n', 28, 28])], expected "
        "[('images', 'tensor(uint8)', ['n', 28, 28]), ('probabilities', 'tensor(float)', "
        "['n', 10]), ('score', 'tensor(float)', ['n'])]"
    )


@pytest.mark.parametrize("name", ["images", "probabilities"])
def test_model_for_a_fixed_number_of_images_or_other_classes_is_refused(tmp_path, whole, name):
    model = onnx.load_from_string(whole)
    for node in [*model.graph.input, *model.graph.output]:
        if node.name == name:
            place = 0 if name == "images" else 1
            node.type.tensor_type.shape.dim[place].dim_value = 7
    path = write_sealed(tmp_path / "model.onnx", model)
    assert re.match("has inputs and outputs|ONNX Runtime refuses it", refusal(path))


@pytest.mark.parametrize("where", ["weights.bin", "../weights.bin", "absolute"])
def test_model_with_weights_in_another_file_is_refused(tmp_path, whole, monkeypatch, where):
    model = onnx.load_from_string(whole)
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    outside = tmp_path / "weights.bin" if where == "absolute" else inside / where
    (weights,) = (part for part in model.graph.initializer if part.name.endswith("layer0.weight"))
    outside.write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(outside if where == "absolute" else where))
    path = write_sealed(inside / "model.onnx", model)
    assert refusal(path) == "refers to another file; expected all weights in this one"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, whole, number):
    names = [part.name for part in onnx.load_from_string(whole).graph.initializer]
    assert len(names) == 6  # row, two layers' weight and bias, coldness
    for index, name in enumerate(names):
        model = onnx.load_from_string(whole)
        part = model.graph.initializer[index]
        if part.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(part).copy()
        values.flat[-1] = number
        part.CopyFrom(numpy_helper.from_array(values, name))
        path = write_sealed(tmp_path / "model.onnx", model)
        assert refusal(path) == f"weight {name} holds NaN or infinity; train again"
        part.ClearField("raw_data")
        part.float_data.extend(values.ravel().tolist())  # the other way to write a tensor
        write_sealed(path, model)
        assert refusal(path) == f"weight {name} holds NaN or infinity; train again"


def with_card(whole: bytes, change) -> onnx.ModelProto:
    """Return the model with its card's text changed."""
    model = onnx.load_from_string(whole)
    (entry,) = model.metadata_props
    entry.value = change(entry.value)
    return model


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda text: text.replace('"format":6', '"format":9'),
            "written in format 9, this version of digitmlp reads up to 6; install a newer one",
        ),
        (
            lambda text: text.replace('"format":6,', ""),
            "its metadata is not digitmlp's: 'format' is missing",
        ),
        (
            lambda text: text.replace('"norm":"last"', '"norm":"first"'),
            "its metadata is not digitmlp's: norm must be one of none, last, every, got 'first'",
        ),
        (
            lambda text: text.replace('"classes":10', '"classes":[]'),
            "its metadata is not digitmlp's: classes must be a whole number, got ()",
        ),
        (
            lambda text: files.UNSEALED + "[" * 100_000,
            "its metadata is not digitmlp's: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_card_that_cannot_be_read_is_refused(tmp_path, whole, change, sentence):
    path = write_sealed(tmp_path / "model.onnx", with_card(whole, change))
    assert refusal(path) == sentence


def test_card_of_a_hundred_thousand_levels_is_refused(tmp_path, whole):
    deep = with_card(whole, lambda text: "[" * 100_000 + f'"{files.UNSEALED}"')
    path = write_sealed(tmp_path / "model.onnx", deep)
    assert refusal(path).startswith("its metadata is not digitmlp's: maximum recursion depth")


def test_model_without_our_card_is_refused(tmp_path, whole):
    model = onnx.load_from_string(whole)
    model.metadata_props[0].key = "other"
    path = write_sealed(tmp_path / "model.onnx", model)
    assert refusal(path) == (
        "its metadata is not digitmlp's: Expecting value: line 1 column 1 (char 0)"
    )


def test_missing_models_are_named(tmp_path, monkeypatch):
    assert refusal(tmp_path / "no.onnx") == "no such file; expected a run folder or a model.onnx"
    with pytest.raises(ModelError, match=f"; {tmp_path} is no run folder; name another$"):
        recognizer.load(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(ModelError) as refused:
        recognizer.load(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'model.onnx'}: no such file; {tmp_path} is not a finished run: go on with "
        f"`digitmlp train --resume --out {tmp_path}`, or name another"
    )
    monkeypatch.setattr(recognizer, "SHIPPED", tmp_path / "weights.onnx")
    with pytest.raises(ModelError) as refused:
        recognizer.load()
    assert str(refused.value) == (
        "no model given, and no weights are shipped with this version: "
        "train with `digitmlp train`, then name its run folder with --model"
    )


def test_model_read_while_it_is_written_is_always_whole(tmp_path, whole):
    path = tmp_path / "model.onnx"
    other = with_card(whole, lambda text: text.replace('"data":"', '"data":"f'))
    contents = [whole, write_sealed(tmp_path / "other.onnx", other).read_bytes()]
    path.write_bytes(whole)
    done = threading.Event()

    def write_on() -> None:
        while not done.is_set():
            for content in contents:
                files.write(path, content)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        seen = {files.read_sealed(path)[0] for _ in range(300)}
    finally:
        done.set()
        writer.join()
    assert seen <= set(contents)
    recognizer.load(path)
