"""The one way to predict from a saved model: ONNX Runtime, no torch."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digitmlp import files, metrics
from digitmlp.card import KEY, Card
from digitmlp.digits import CLASSES, PIXELS, SIDE, Images, Labels
from digitmlp.errors import DataError, ModelError

SHIPPED = Path(__file__).with_name("weights.onnx")
BATCH = 1024  # images a run: enough for full speed, and the activations stay in the cache

# Inputs and outputs: name, type, shape.
CONTRACT = [
    ("images", "tensor(uint8)", ["n", SIDE, SIDE]),
    ("probabilities", "tensor(float)", ["n", CLASSES]),
    ("score", "tensor(float)", ["n"]),
]

OUTPUTS = [name for name, *_ in CONTRACT[1:]]

Floats = NDArray[np.float32]


class Recognizer:
    """Tells digits from a model.onnx; make one with `load`.

    card       what the model file says of itself
    sha256     the checksum of the file, 64 hexadecimal digits
    threshold  a score below it is no digit
    threshold_of_views  the same of the best score among an image and other views of it, as `read`
                        has them; None: it has none
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, card: Card, sha256: str, path: Path
    ) -> None:
        self._run = session.run
        self._threads = session.get_session_options().intra_op_num_threads
        self._path = path.absolute()
        self.card = card
        self.sha256 = sha256
        self.threshold = card.threshold
        self.threshold_of_views = card.threshold_of_views

    def __repr__(self) -> str:
        return f"<Recognizer {self.card.model.describe()}, {self._path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: who unpickles it loads the same file again."""
        path = None if self._path == SHIPPED.absolute() else str(self._path)
        return _load_same, (path, self._threads, self.sha256)

    def recognize(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Return calibrated probabilities (n, 10) and scores (n,), in one pass.

        images  uint8, (n, 28, 28) or (n, 784), ink 255 on ground 0
        Raises DataError for any other array.
        """
        images = as_images(images)
        if len(images) <= BATCH:
            probabilities, scores = self._run(OUTPUTS, {"images": images})
            return probabilities, scores
        probabilities = np.empty((len(images), CLASSES), np.float32)
        scores = np.empty(len(images), np.float32)
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            probabilities[part], scores[part] = self._run(OUTPUTS, {"images": images[part]})
        return probabilities, scores

    def predict(self, images: NDArray[np.uint8]) -> Labels:
        """Return the digits, int64 (n,); images as for `recognize`."""
        return metrics.decide(self.predict_proba(images))

    def predict_proba(self, images: NDArray[np.uint8]) -> Floats:
        """Return calibrated probabilities, float32 (n, 10); images as for `recognize`."""
        return self.recognize(images)[0]

    def score_samples(self, images: NDArray[np.uint8]) -> Floats:
        """Return scores, float32 (n,): the higher, the more like a digit."""
        return self.recognize(images)[1]


def load(model: str | os.PathLike[str] | None = None, threads: int | None = None) -> Recognizer:
    """Return a Recognizer for a run folder, a model.onnx, or the weights shipped in the package.

    threads  of one run; None: one for each core
    Raises ModelError when there is no such model, it was not written by digitmlp, or is damaged.
    """
    path = find(model)
    return from_sealed(*files.read_sealed(path), path, threads)


def _load_same(path: str | None, threads: int, sha256: str) -> Recognizer:
    again = load(path, threads)
    if again.sha256 != sha256:
        raise ModelError(
            f"{find(path)}: not the file of the Recognizer that was pickled: its checksum is "
            f"{again.sha256}, expected {sha256}; load and pickle it again"
        )
    return again


def from_sealed(content: bytes, sha256: str, path: Path, threads: int | None = None) -> Recognizer:
    """Return a Recognizer for what a model.onnx holds; raises ModelError naming the path."""
    # Weights outside the file are found by an entry of this name; nothing of ours contains it.
    if b"location" in content:
        raise ModelError(f"{path}: refers to another file; expected all weights in this one")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no common class for what it raises
        raise ModelError(f"{path}: ONNX Runtime refuses it: {error}") from error
    nodes = [*session.get_inputs(), *session.get_outputs()]
    contract = [(node.name, node.type, node.shape) for node in nodes]
    if contract != CONTRACT:
        raise ModelError(f"{path}: has inputs and outputs {contract}, expected {CONTRACT}")
    for name, values in _weights(content):
        if not np.isfinite(values).all():
            raise ModelError(f"{path}: weight {name} holds NaN or infinity; train again")
    card = Card.from_text(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    return Recognizer(session, card, sha256, path)


def _weights(content: bytes) -> Iterator[tuple[str, Floats]]:
    """Yield name and values of each float32 weight in an ONNX model that the runtime accepts."""
    # Numbers as in onnx.proto: a model's graph, its initializers, their name, type and values.
    for graph in _fields(memoryview(content), 7):
        for tensor in _fields(graph, 5):
            name = b"".join(_fields(tensor, 8)).decode()
            if b"\x01" in map(bytes, _fields(tensor, 2)):
                for values in (*_fields(tensor, 4), *_fields(tensor, 9)):
                    yield name, np.frombuffer(values, "<f4")


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the content of each field of this number in a protobuf message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = divmod(key, 8)
        first, end = place, place + 8  # kind 1
        if kind == 0:
            _, end = _varint(message, place)
        elif kind == 2:
            size, first = _varint(message, place)
            end = first + size
        elif kind == 5:
            end = place + 4
        if number == wanted:
            yield message[first:end]
        place = end


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the variable-length integer at this place and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def find(model: str | os.PathLike[str] | None) -> Path:
    """Return the .onnx file meant by `--model`; raises ModelError naming what was looked for."""
    if model is None:
        if not SHIPPED.exists():
            raise ModelError(
                "no model given, and no weights are shipped with this version: "
                "train with `digitmlp train`, then name its run folder with --model"
            )
        return SHIPPED
    path = Path(model)
    if path.is_dir():
        path = path / "model.onnx"
        if not path.exists():
            unfinished = path.with_name("config.json").exists()
            raise ModelError(
                f"{path}: no such file; {model} is "
                + (
                    "not a finished run: go on with "
                    f"`digitmlp train --resume --out {model}`, or name another"
                    if unfinished
                    else "no run folder; name another"
                )
            )
    elif not path.exists():
        raise ModelError(f"{path}: no such file; expected a run folder or a model.onnx")
    return path


def as_images(images: NDArray[Any]) -> Images:
    """Return images as uint8 (n, 28, 28), not copied; raises DataError for anything else."""
    if type(images) is np.ndarray and images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE):
        return images  # the usual case, in a microsecond less
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise DataError(
            f"images are {images.dtype}; expected uint8, ink 255 on ground 0 "
            "(for values from 0 to 1: (images * 255).round().astype('uint8'))"
        )
    if images.ndim == 2 and images.shape[1] == PIXELS:
        images = images.reshape(len(images), SIDE, SIDE)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"images have shape {images.shape}; expected (n, 28, 28) or (n, 784)"
            + (", for one image images[None]" if images.shape == (SIDE, SIDE) else "")
        )
    return images
