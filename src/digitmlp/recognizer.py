"""The one way to predict from a saved model: ONNX Runtime, no torch."""

import os
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

Floats = NDArray[np.float32]


class Recognizer:
    """Tells digits from a model.onnx; make one with `load`.

    card       what the model file says of itself
    sha256     the checksum of the file, 64 hexadecimal digits
    threshold  a score below it is no digit
    """

    def __init__(self, session: onnxruntime.InferenceSession, card: Card, sha256: str) -> None:
        self._run = session.run
        self.card = card
        self.sha256 = sha256
        self.threshold = card.threshold

    def recognize(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Return calibrated probabilities (n, 10) and scores (n,), in one pass.

        images  uint8, (n, 28, 28) or (n, 784), ink 255 on ground 0
        Raises DataError for any other array.
        """
        images = as_images(images)
        if len(images) <= BATCH:
            probabilities, scores = self._run(None, {"images": images})
            return probabilities, scores
        probabilities = np.empty((len(images), CLASSES), np.float32)
        scores = np.empty(len(images), np.float32)
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            probabilities[part], scores[part] = self._run(None, {"images": images[part]})
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
    content, sha256 = files.read_sealed(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no common class for what it raises
        raise ModelError(f"{path}: ONNX Runtime refuses it: {error}") from error
    contract = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    contract += [(node.name, node.type, node.shape[1:]) for node in session.get_outputs()]
    expected = [
        ("images", "tensor(uint8)", [SIDE, SIDE]),
        ("probabilities", "tensor(float)", [CLASSES]),
        ("score", "tensor(float)", []),
    ]
    if contract != expected:
        raise ModelError(f"{path}: has inputs and outputs {contract}, expected {expected}")
    card = Card.from_text(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    recognizer = Recognizer(session, card, sha256)
    # A weight that is NaN or infinite shows on any image, since every weight is multiplied.
    probabilities, scores = recognizer.recognize(np.zeros((1, SIDE, SIDE), np.uint8))
    if not (np.isfinite(probabilities).all() and np.isfinite(scores).all()):
        raise ModelError(f"{path}: gives NaN; its weights are damaged; train again")
    return recognizer


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
            raise ModelError(
                f"{path}: no such file; {model} is not a finished run: go on with "
                f"`digitmlp train --resume --out {model}`, or name another"
            )
    elif not path.exists():
        raise ModelError(f"{path}: no such file; expected a run folder or a model.onnx")
    return path


def as_images(images: NDArray[Any]) -> Images:
    """Return images as uint8 (n, 28, 28), not copied; raises DataError for anything else."""
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
