"""DigitClassifier: the training loop as a scikit-learn estimator."""

# ruff: noqa: N803, N806 - scikit-learn calls the rows X and the labels y, and so do its users

import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from digitmlp import (
    checkpoint,
    config,
    export,
    figures,
    files,
    history,
    metrics,
    presets,
    report,
    results,
    run,
    runfolder,
)
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.digits import CLASSES, PIXELS, SIDE, Digits, Images, Labels
from digitmlp.errors import ConfigError, DataError, OutputError
from digitmlp.history import Epoch
from digitmlp.model import MLP, committee, score
from digitmlp.progress import PHASES, EpochProgress
from digitmlp.runfolder import Plan
from digitmlp.split import Batch, Rows, stratified_split, tensors
from digitmlp.train import Training

CPU = torch.device("cpu")
DTYPES = (np.float32, np.uint8)  # of rows; any other becomes the first
PIXEL = 1 / 255  # factor from uint8 pixels to features
ENOUGH = 10  # validation rows a class; fewer would choose the epoch by chance
UNSCALED = 16.0  # root mean square of 784 columns: standardized ones have 1, pixels 40 to 120
EXAMPLES = 100  # images kept, to draw and to check an export on
CALIBRATED = 5000  # rows that temperature and threshold come from, at most
SOURCE = "the arrays given to DigitClassifier"

Floats = NDArray[np.float64]


class History(list[Epoch]):
    """The epochs of a training; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        def line(cells: list[Any], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

        names = [name.replace("_", " ") for name in history.COLUMNS]
        rows = [[getattr(epoch, name) for name in history.COLUMNS] for epoch in self]
        shown = [["–" if cell is None else f"{cell:.4g}" for cell in row] for row in rows]
        body = "\n".join(line(row, "td") for row in shown)
        return f"<table>\n<thead>{line(names, 'th')}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


@dataclass(slots=True)
class Fitted:
    """All that training leaves behind, on the CPU, so that a pickle opens anywhere.

    classes    the labels, sorted
    card       settings of network and training; temperature and threshold as of now
    images     whether all rows so far were images: 784 columns, uint8 or from 0 to 1
    rows       how many were given so far
    held_out   which rows of `fit` validation kept, counted from 0
    judged     what these told of a classifier of digits; None for any other
    examples   some of the images trained on, where they are of digits
    machine    where it was trained: device, device_name, threads, precision
    seconds    spent on training and validation
    """

    training: Training
    classes: NDArray[Any]
    card: Card
    images: bool
    rows: int = 0
    held_out: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    judged: dict[str, Any] | None = None
    examples: Digits | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron that tells digits, or any other classes, apart.

    X is (n, 28, 28), (n, 784), or features (n, k). uint8 is pixels, ink 255 on ground 0: divided
    by 255 inside. Any other dtype is features, taken as they are; scale them first, as with a
    StandardScaler. Images (784 columns, uint8 or from 0 to 1) are deformed while training, as the
    preset has it; other features are not.

    preset               "tutorial", "fast" or "best"; it settles what is None below
    epochs               passes over the rows; None: on small data more than the preset's
    batch_size           rows a step
    learning_rate        Adam's step size; the highest, with one-cycle
    hidden               widths of the hidden layers
    members              networks in the committee; their probabilities are averaged
    validation_fraction  share of the rows of `fit` that chooses the best epoch and calibrates the
                         probabilities, 0.2 in every preset. With 0, or where that is fewer than
                         10 rows a class, all rows are trained on and the last epoch is kept
    device               "auto" (the fastest there is), "cpu", "cuda" or "mps"
    verbose              say on stderr how each epoch went
    random_state         an int gives the same weights again, those of `digitmlp train --seed`

    Once trained it has `classes_`, `n_features_in_` and `history_`, a list of the epochs.
    """

    def __init__(
        self,
        preset: str = "fast",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        hidden: int | Sequence[int] | None = None,
        members: int | None = None,
        validation_fraction: float | None = None,
        device: str = "auto",
        verbose: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preset = preset
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.members = members
        self.validation_fraction = validation_fraction
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train anew on rows X and their labels y (n,), numbers or text; return self.

        Raises DataError or ConfigError, both ValueErrors, where X, y or a parameter is wrong.
        """
        X, y = self._checked(X, y, reset=True)
        classes, codes = np.unique(y, return_inverse=True)
        fitted = self._start(X, classes)
        settings = fitted.card.training
        enough = math.ceil(settings.validation * len(X)) >= ENOUGH * len(classes)
        share = settings.validation if enough else 0.0
        rows, fitted.held_out = stratified_split(codes, share, settings.seed)
        held_out = (X[fitted.held_out], codes[fitted.held_out])
        self._learn(fitted, settings, X[rows], codes[rows], held_out)
        if fitted.examples is not None:
            fitted.card = replace(fitted.card, data=Digits(_pixels(X), codes).digest())
            chances = _probabilities(fitted, held_out[0]).astype(np.float32)
            fitted.judged = results.judge(chances, held_out[1])
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go on training with one pass over these rows alone; return self.

        classes  all labels that will ever come; needed where nothing was fitted before
        The learning rate is constant. No rows are held out, so the probabilities stay as
        calibrated by `fit`.
        """
        fitted: Fitted | None = getattr(self, "_fitted", None)
        classes = self._all_classes(classes, fitted)
        X, y = self._checked(X, y, reset=fitted is None)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise DataError(f"y holds {_listed(unknown)}, expected only {_listed(classes)}")
        fitted = fitted or self._start(X, classes)
        fitted.images = fitted.images and _are_images(X)
        fitted.held_out, fitted.judged = fitted.held_out[:0], None  # may be among these rows
        settings = replace(
            self._settings(X, classes)[1],
            epochs=len(fitted.training.history) + 1,
            min_steps=0,
            schedule="constant",
            seed=fitted.card.training.seed,
        )
        codes = np.searchsorted(classes, y)
        self._learn(fitted, settings, X, codes, (X[:0], codes[:0]))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each row, (n,)."""
        answers = self.predict_proba(X).argmax(1)
        labels: NDArray[Any] = self.classes_[answers]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """Return calibrated probabilities, float64 (n, classes), in the order of `classes_`.

        Computed in float64, so that a row's do not depend on the rows beside it.
        """
        check_is_fitted(self)
        X = validate_data(self, _flat(X), dtype=DTYPES, reset=False)
        _refuse_unscaled(X)
        return _probabilities(self._fitted, X)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a run folder as `digitmlp train` does, which `digitmlp.load` and all commands read.

        Raises DataError unless it was trained on images of the digits 0 to 9, and OutputError
        where the folder holds something already or cannot be written.
        """
        check_is_fitted(self)
        fitted, examples = self._fitted, self._fitted.examples
        if examples is None:
            scale = "" if fitted.images else " of other values"
            raise DataError(
                "only a classifier of digits can be saved: expected 784 columns, uint8 or from 0 "
                f"to 1, and the labels 0 to 9, found {self.n_features_in_} columns{scale} and the "
                f"labels {_listed(self.classes_)}; pickle it instead"
            )
        _write_run(_new_folder(Path(folder)), self.preset, fitted, examples)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return rows, uint8 or float32 (n, columns), and labels (n,)."""
        X, y = validate_data(self, _flat(X), y, dtype=DTYPES, reset=reset)
        check_classification_targets(y)
        _refuse_unscaled(X)
        return X, y

    def _all_classes(self, classes: Any, fitted: Fitted | None) -> NDArray[Any]:
        """Return the classes of the training that partial_fit begins or goes on with."""
        if fitted is None and classes is None:
            raise ConfigError(
                "the first call of partial_fit needs all labels that will ever come, as in "
                "partial_fit(X, y, classes=range(10))"
            )
        given = self.classes_ if classes is None else np.unique(classes)
        if fitted is not None and not np.array_equal(given, self.classes_):
            raise ConfigError(
                f"classes are {_listed(given)}, but training began with "
                f"{_listed(self.classes_)}; leave them out, or begin anew with fit"
            )
        return given

    def _settings(self, X: NDArray[Any], classes: NDArray[Any]) -> tuple[ModelConfig, TrainConfig]:
        """Return the preset's settings with the parameters in their place."""
        preset = presets.preset(self.preset)
        hidden = None if self.hidden is None else tuple(map(int, np.ravel(self.hidden)))
        model = config.override(
            preset.model,
            inputs=X.shape[1],
            classes=len(classes),
            hidden=hidden,
            members=_plain(self.members),
            scale=_unit(X),
        )
        training = config.override(
            preset.training,
            epochs=_plain(self.epochs),
            min_steps=None if self.epochs is None else 0,
            batch_size=_plain(self.batch_size),
            learning_rate=_plain(self.learning_rate),
            validation=_plain(self.validation_fraction),
            seed=_seed(self.random_state),
        )
        if not _are_images(X):  # unlike pixels, features may need more than bfloat16's three digits
            training = replace(training, augment=None, precision="float32")
        return model, training

    def _start(self, X: NDArray[Any], classes: NDArray[Any]) -> Fitted:
        """Return a training before its first step."""
        if len(classes) < 2:
            raise DataError(f"y has one class, {_listed(classes)}; training needs at least two")
        model, settings = self._settings(X, classes)
        card = Card(model=model, training=settings, data="")
        return Fitted(loop.start(model, settings, CPU), classes, card, images=_are_images(X))

    def _learn(
        self,
        fitted: Fitted,
        settings: TrainConfig,
        X: NDArray[Any],
        codes: Labels,
        held_out: tuple[NDArray[Any], Labels],
    ) -> None:
        """Train to the end on rows (n, columns) and their classes' numbers (n,), and calibrate."""
        began = time.perf_counter()
        device, training = loop.choose_device(self.device), fitted.training
        scale = fitted.card.model.scale
        train = tensors(_scaled(X, scale), codes, device)
        validation = tensors(_scaled(held_out[0], scale), held_out[1], device)
        _move(training, device)
        total = loop.epochs(settings, len(train))
        shown = EpochProgress(total, len(training.history)) if self.verbose else nullcontext()
        with shown as progress:
            for epoch in loop.fit(training, train, validation or None, settings):
                if progress:
                    progress.show(epoch)
        training.network.load_state_dict(training.best)
        training.best = {}  # the network has them now
        fitted.card = _calibrated(fitted.card, training.network, train, validation)
        _move(training, CPU)
        if fitted.images and _are_digits(fitted.classes):
            fitted.examples = Digits(_pixels(X[:EXAMPLES]), codes[:EXAMPLES].astype(np.int64))
        else:
            fitted.examples = None
        fitted.rows += len(X) + len(held_out[0])
        fitted.machine = {
            "device": device.type,
            "device_name": run._device_name(device),
            "threads": torch.get_num_threads(),
            "precision": loop.precision(settings, device),
        }
        fitted.seconds += time.perf_counter() - began
        self._fitted, self.classes_ = fitted, fitted.classes
        self.history_ = History(training.history)


def _flat(X: Any) -> Any:
    """Return images (n, 28, 28) as rows (n, 784), and anything else as it is."""
    if getattr(X, "shape", ())[1:] == (SIDE, SIDE):
        return np.asarray(X).reshape(len(X), PIXELS)
    return X


def _refuse_unscaled(X: NDArray[Any]) -> None:
    """Raise DataError for pixels that are not uint8 and were not divided by 255."""
    if X.shape[1] != PIXELS or X.dtype == np.uint8:
        return
    if float(np.linalg.norm(X)) > UNSCALED * math.sqrt(X.size):
        raise DataError(
            f"X has {PIXELS} columns with values from {X.min():g} to {X.max():g}, expected pixels "
            "as uint8 or features of about 0 to 1: pass X.astype('uint8') if they are pixels from "
            "0 to 255, or scale them"
        )


def _unit(X: NDArray[Any]) -> float:
    """Return the factor from these values to features."""
    return PIXEL if X.dtype == np.uint8 else 1.0


def _scaled(X: NDArray[Any], scale: float) -> NDArray[Any]:
    """Return rows as a network takes them that multiplies by `scale`."""
    unit = _unit(X)
    return X if unit == scale else X * np.float32(unit / scale)


def _are_images(X: NDArray[Any]) -> bool:
    """Return whether augmentation makes sense: 784 columns, uint8 or from 0 to 1."""
    if X.shape[1] != PIXELS:
        return False
    return X.dtype == np.uint8 or (float(X.min()) >= 0 and float(X.max()) <= 1)


def _pixels(X: NDArray[Any]) -> Images:
    """Return images (n, 784) as uint8 (n, 28, 28)."""
    pixels = X if X.dtype == np.uint8 else np.rint(X * 255).astype(np.uint8)
    return pixels.reshape(-1, SIDE, SIDE)


def _are_digits(classes: NDArray[Any]) -> bool:
    """Return whether the classes are 0 to 9, as numbers or as text."""
    try:
        return np.array_equal(classes.astype(np.int64), np.arange(CLASSES))
    except ValueError:
        return False


def _listed(labels: NDArray[Any]) -> str:
    """Return labels as text, the first ten of them."""
    return ", ".join(map(str, labels[:10])) + (", …" if len(labels) > 10 else "")


def _plain(value: Any) -> Any:
    """Return a NumPy number, as searches over parameters draw them, as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _seed(random_state: Any) -> int:
    """Return the int itself, or a number drawn from the generator, NumPy's global one for None."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _move(training: Training, device: torch.device) -> None:
    """Move all tensors of a training to the device."""
    training.network.to(device)
    training.totals = training.totals.to(device)
    for moments in training.optimizer.state.values():
        moments.update({name: value.to(device) for name, value in moments.items()})


def _calibrated(card: Card, network: MLP, train: Batch, validation: Batch) -> Card:
    """Return the card with temperature and threshold from validation rows.

    Without any, the temperature stays and the threshold comes from rows trained on.
    """
    logits = loop.predict_logits(network, (validation or train).images[:CALIBRATED])
    threshold = float(np.quantile(score(logits).cpu().numpy(), run.REFUSED))
    if not validation:
        return replace(card, threshold=threshold)
    labels = validation.labels[:CALIBRATED].cpu().numpy()
    temperature = metrics.fit_temperature(committee(logits).cpu().numpy(), labels)
    return replace(card, threshold=threshold, temperature=temperature)


def _probabilities(fitted: Fitted, X: NDArray[Any]) -> Floats:
    """Return calibrated probabilities, float64 (n, classes), of rows (n, columns)."""
    model, layers = fitted.card.model, fitted.training.network.folded()
    parts = []
    for first in range(0, len(X), loop.EVALUATION_ROWS):
        rows = _scaled(X[first : first + loop.EVALUATION_ROWS], model.scale).astype(np.float64)
        x = torch.from_numpy(rows).expand(model.members, *rows.shape)
        for layer, (weight, bias) in enumerate(layers):
            x = torch.baddbmm(bias, F.leaky_relu(x, model.negative_slope) if layer else x, weight)
        parts.append(torch.softmax(committee(x) / fitted.card.temperature, -1).numpy())
    return np.concatenate(parts) if parts else np.empty((0, model.classes))


def _new_folder(path: Path) -> Path:
    """Return the folder, made if need be; raises OutputError unless it is empty."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        empty = not any(path.iterdir())
        (path / "figures").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    if not empty:
        raise OutputError(f"{path}: not empty; save into a folder that is new or empty")
    return path


def _write_run(folder: Path, preset: str, fitted: Fitted, examples: Digits) -> None:
    """Write what `digitmlp train` writes, as far as the estimator knows it."""
    training = fitted.training
    card = replace(fitted.card, model=replace(fitted.card.model, scale=PIXEL))
    network = checkpoint.empty(card.model)
    network.load_state_dict(training.network.state_dict())
    plan = Plan(
        preset=preset, data=SOURCE, data_sha256=card.data, model=card.model, training=card.training
    )
    data = {"name": SOURCE, "rows": fitted.rows}
    runfolder.write_config(folder, plan, fitted.held_out.tolist(), data=data, **fitted.machine)
    history.write(folder / "history.csv", training.history)
    checkpoint.save(folder / "model.safetensors", network.state_dict(), card)
    images = torch.from_numpy(examples.images.reshape(-1, PIXELS))
    recognizer = export.save(folder / "model.onnx", network, card, images)
    steps = sum(epoch.seconds for epoch in training.history)
    seconds = {"train": steps, "validate": fitted.seconds - steps, "total": fitted.seconds}
    measured = {
        "validation": fitted.judged,
        "test": None,
        "best_epoch": training.best_epoch,
        "parameters": network.parameter_count(),
        "temperature": card.temperature,
        "model_sha256": recognizer.sha256,
        "seconds": dict.fromkeys(PHASES, 0.0) | seconds,
    }
    files.write(folder / "metrics.json", json.dumps(measured, indent=2) + "\n")
    drawn = {
        "samples": figures.samples(examples),
        "curves": figures.curves(training.history),
        "weights": figures.weights(network.first_layer().numpy()),
    }
    if fitted.judged:
        drawn["confusion"] = figures.confusion(fitted.judged["confusion"])
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures" / f"{name}.png")
    report.build(folder)
