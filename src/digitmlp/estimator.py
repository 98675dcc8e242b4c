"""DigitClassifier: the training loop as a scikit-learn estimator."""

# ruff: noqa: N803, N806 - scikit-learn calls the rows X and the labels y, and so do its users

import copy
import math
import operator
import os
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from digitmlp import config, history, presets
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.device import choose_device
from digitmlp.digits import PIXELS, SIDE
from digitmlp.errors import ConfigError, DataError
from digitmlp.fitted import Fitted, Floats, are_images, unit
from digitmlp.history import Epoch
from digitmlp.split import stratified_split

DTYPES = (np.float32, np.uint8)  # of rows; any other becomes the first
ENOUGH = 10  # validation rows a class; fewer would choose the epoch by chance
STEADY = 0.1  # share of a one-cycle's highest rate that can be held without its fall at the end
UNSCALED = 16.0  # root mean square of 784 columns: standardized ones have 1, pixels 40 to 120


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


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron that tells digits, or any other classes, apart.

    X is (n, 28, 28), (n, 784), or features (n, k). uint8 is pixels, ink 255 on ground 0: divided
    by 255 inside. Any other dtype is features, taken as they are; scale them first, as with a
    StandardScaler. Images (784 columns, uint8 or from 0 to 1) are deformed while training, as the
    preset has it; other features are not.

    preset               "tutorial", "fast", "best" or "compact"; settles what is None below
    epochs               passes over the rows; None: on small data more than the preset's
    batch_size           rows a step
    learning_rate        Adam's step size; the highest, with one-cycle
    hidden               widths of the hidden layers
    members              networks in the committee; their probabilities are averaged
    validation_fraction  share of the rows of `fit` that calibrates the probabilities, and with a
                         constant rate chooses the best epoch; 0.2, with "best" and "compact"
                         0.05. With 0, or where that is fewer than 10 rows a class (of ten classes,
                         with 0.2 of fewer than 500 rows, with 0.05 of 2,000), all rows are trained
                         on, nothing is calibrated and the last epoch is kept
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
        kept, held_out = stratified_split(codes, share, settings.seed)
        return self._learn(fitted, settings, X, codes, kept, held_out)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go on training with one pass over these rows alone; return self.

        classes  all labels that will ever come; needed where nothing was fitted before
        The learning rate is held constant; where the preset has one-cycle, at a tenth of the
        highest. No rows are held out, so the probabilities stay as calibrated by `fit`.
        """
        fitted: Fitted | None = getattr(self, "_fitted", None)
        classes = self._all_classes(classes, fitted)
        X, y = self._checked(X, y, reset=fitted is None)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise DataError(f"y holds {_listed(unknown)}, expected only {_listed(classes)}")
        # A copy, so that a call that fails or is interrupted leaves all as it was.
        fitted = copy.deepcopy(fitted) if fitted else self._start(X, classes)
        settings = self._settings(X, classes)[1]
        steady = STEADY if settings.schedule == "one-cycle" else 1.0
        settings = replace(
            settings,
            epochs=len(fitted.training.history) + 1,
            min_steps=0,
            learning_rate=settings.learning_rate * steady,
            schedule="constant",
            averaged=0.0,
            seed=fitted.card.training.seed,
        )
        codes, kept = np.searchsorted(classes, y), np.arange(len(X))
        return self._learn(fitted, settings, X, codes, kept, kept[:0])

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
        return self._fitted.probabilities(X)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a run folder as `digitmlp train` does, which `digitmlp.load` and all commands read.

        Raises DataError unless it was trained on images of the digits 0 to 9, and OutputError
        where the folder holds something already or cannot be written.
        """
        check_is_fitted(self)
        if self._fitted.examples is None:
            columns, images = self.n_features_in_, self._fitted.images
            values = "" if images or columns != PIXELS else " of other values"
            raise DataError(
                "only a classifier of digits can be saved: expected 784 columns, uint8 or from 0 "
                f"to 1, and the labels 0 to 9, found {columns} columns{values} and the "
                f"labels {_listed(self.classes_)}; pickle it instead"
            )
        self._fitted.write_run(Path(folder))

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
        hidden = None if self.hidden is None else tuple(map(operator.index, np.ravel(self.hidden)))
        model = config.override(
            preset.model,
            inputs=X.shape[1],
            classes=len(classes),
            hidden=hidden,
            members=_plain(self.members),
            scale=unit(X),
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
        if not are_images(X):  # unlike pixels, features may need more than bfloat16's three digits
            training = replace(training, augment=None, outliers=0.0, local=0.0, precision="float32")
            model = replace(model, nothing=False)
        return model, training

    def _start(self, X: NDArray[Any], classes: NDArray[Any]) -> Fitted:
        """Return a training before its first step."""
        if len(classes) < 2:
            raise DataError(f"y has one class, {_listed(classes)}; training needs at least two")
        model, settings = self._settings(X, classes)
        card = Card(model=model, training=settings, data="")
        training = loop.start(model, settings, torch.device("cpu"))
        return Fitted(self.preset, training, classes, card)

    def _learn(self, fitted: Fitted, settings: TrainConfig, *rows: NDArray[Any]) -> Self:
        """Train, and take over what came of it."""
        device = choose_device(self.device)
        fitted.learn(*rows, settings=settings, device=device, verbose=self.verbose)
        self._fitted, self.classes_ = fitted, fitted.classes
        self.history_ = History(fitted.training.history)
        return self


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
