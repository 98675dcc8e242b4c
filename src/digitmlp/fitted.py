"""A network trained on arrays: what DigitClassifier keeps between its calls."""

import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from digitmlp import (
    checkpoint,
    export,
    figures,
    files,
    history,
    report,
    results,
    runfolder,
)
from digitmlp import train as loop
from digitmlp.calibrate import calibrate
from digitmlp.card import Card
from digitmlp.config import TrainConfig
from digitmlp.device import device_name, precision
from digitmlp.digits import CLASSES, PIXELS, SIDE, Digits, Images, Labels
from digitmlp.errors import OutputError
from digitmlp.model import chain, committee
from digitmlp.progress import PHASES, EpochProgress
from digitmlp.runfolder import Plan
from digitmlp.split import Rows, tensors
from digitmlp.train import Training

PIXEL = 1 / 255  # factor from uint8 pixels to features
EXAMPLES = 100  # images kept, to draw and to check an export on
SOURCE = "the arrays given to DigitClassifier"

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Fitted:
    """A training with all that is known of it; on the CPU, so that a pickle opens anywhere.

    classes   the labels, sorted; a label's code is its place among them
    card      settings of network and training; temperature and threshold as of now
    images    whether all rows so far were images (see `are_images`)
    given     how many rows there were so far, of all calls
    learned   how many digits were trained on, those of two calls alike counted once
    held_out  which rows of `fit` were kept for validation, counted from 0
    judged    what these told of a reader of digits; None for any other
    examples  some of the digits trained on; None where they are none
    machine   where it was trained: device, device_name, threads, precision
    seconds   spent on training and validation
    """

    preset: str
    training: Training
    classes: NDArray[Any]
    card: Card
    images: bool = True
    given: int = 0
    learned: int = 0
    held_out: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    judged: dict[str, Any] | None = None
    examples: Digits | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def learn(
        self,
        rows: NDArray[Any],
        codes: Labels,
        kept: Rows,
        held_out: Rows,
        *,
        settings: TrainConfig,
        device: torch.device,
        verbose: bool,
    ) -> None:
        """Train to the last epoch that the settings ask for, keep the best, and calibrate.

        rows, codes     uint8 or float32 (n, columns) and int64 (n,)
        kept, held_out  which of them to train and to validate on
        """
        training, scale = self.training, self.card.model.scale
        began, first = perf_counter(), not training.history
        train = tensors(scaled(rows[kept], scale), codes[kept], device)
        validation = tensors(scaled(rows[held_out], scale), codes[held_out], device)
        _move(training, device)
        total = loop.epochs(settings, len(train))
        shown = EpochProgress(total, len(training.history)) if verbose else nullcontext()
        with shown as progress:
            for epoch in loop.fit(training, train, validation or None, settings):
                if progress:
                    progress.show(epoch)
        training.network.load_state_dict(training.best)
        training.best = {}  # the network has them now
        share = self.card.training.validation  # what is given later has none held out
        if first:
            share = settings.validation if len(held_out) else 0.0
        self.card = replace(self.card, training=replace(settings, validation=share), held_out=None)
        self.card = calibrate(self.card, training.network, train, validation)
        _move(training, torch.device("cpu"))
        self.seconds += perf_counter() - began
        self.machine = {
            "device": device.type,
            "device_name": device_name(device),
            "threads": torch.get_num_threads(),
            "precision": precision(settings, device),
        }
        self.images = self.images and are_images(rows)
        self.given += len(rows)
        self.held_out, self.judged, self.examples = held_out, None, None
        if self.images and _are_digits(self.classes):
            digits = Digits(_pixels(rows), codes)
            self.examples = digits.select(kept[:EXAMPLES])
            digest = digits.digest()
            if first:
                self.card = replace(self.card, data=digest)
                self.learned = len(kept)
            elif digest not in self.card.also:
                self.card = replace(self.card, also=(*self.card.also, digest))
                self.learned += len(kept)
            chances = self.probabilities(rows[held_out]).astype(np.float32)
            self.judged = results.judge(chances, codes[held_out])

    def probabilities(self, rows: NDArray[Any]) -> Floats:
        """Return calibrated probabilities, (n, classes).

        In float64: then a row's do not depend on the rows beside it, whatever the order in which
        sums are taken, to far below what float32 resolves.
        """
        model, layers = self.card.model, self.training.network.folded()
        parts = [np.empty((0, model.classes))]
        for first in range(0, len(rows), loop.EVALUATION_ROWS):
            part = scaled(rows[first : first + loop.EVALUATION_ROWS], model.scale)
            x = chain(layers, torch.from_numpy(part.astype(np.float64)), model.negative_slope)
            parts.append(
                torch.softmax(committee(x, model.classes) / self.card.temperature, -1).numpy()
            )
        return np.concatenate(parts)

    def write_run(self, folder: Path) -> None:
        """Write what `digitmlp train` writes, as far as it is known; needs `examples`.

        Raises OutputError where the folder holds something already or cannot be written.
        """
        assert self.examples is not None
        _make(folder)
        card = replace(self.card, model=replace(self.card.model, scale=PIXEL))
        network = checkpoint.empty(card.model)
        network.load_state_dict(self.training.network.state_dict())
        plan = Plan(
            preset=self.preset,
            data=SOURCE,
            data_sha256=card.data,
            model=card.model,
            training=card.training,
        )
        facts = {"data": {"name": SOURCE, "rows": self.given}, "trained_on": self.learned}
        runfolder.write_config(folder, plan, self.held_out.tolist(), **facts, **self.machine)
        history.write(folder / "history.csv", self.training.history)
        checkpoint.save(folder / "model.safetensors", network.state_dict(), card)
        images = torch.from_numpy(self.examples.images.reshape(-1, PIXELS))
        recognizer = export.save(folder / "model.onnx", network, card, images)
        steps = sum(epoch.seconds for epoch in self.training.history)
        seconds = {"train": steps, "validate": self.seconds - steps, "total": self.seconds}
        measured = {
            "validation": self.judged,
            "test": None,
            "best_epoch": self.training.best_epoch,
            "parameters": network.parameter_count(),
            "temperature": card.temperature,
            "model_sha256": recognizer.sha256,
            "seconds": dict.fromkeys(PHASES, 0.0) | seconds,
        }
        files.write(folder / "metrics.json", json.dumps(measured, indent=2) + "\n")
        drawn = {
            "samples": figures.samples(self.examples),
            "curves": figures.curves(self.training.history, self.training.best_epoch),
            "weights": figures.weights(network.first_layer().numpy()),
        }
        if self.judged:
            drawn["confusion"] = figures.confusion(self.judged["confusion"])
        for name, figure in drawn.items():
            figures.save(figure, folder / "figures" / f"{name}.png")
        report.build(folder)


def unit(rows: NDArray[Any]) -> float:
    """Return the factor from the values of rows to features."""
    return PIXEL if rows.dtype == np.uint8 else 1.0


def scaled(rows: NDArray[Any], scale: float) -> NDArray[Any]:
    """Return rows as a network takes them that multiplies by `scale` itself."""
    return rows if unit(rows) == scale else rows * np.float32(unit(rows) / scale)


def are_images(rows: NDArray[Any]) -> bool:
    """Return whether rows are images, which can be deformed: 784 columns, uint8 or from 0 to 1."""
    if rows.shape[1] != PIXELS:
        return False
    return rows.dtype == np.uint8 or bool(rows.min() >= 0 and rows.max() <= 1)


def _pixels(rows: NDArray[Any]) -> Images:
    """Return images (n, 784) as uint8 (n, 28, 28)."""
    pixels = rows if rows.dtype == np.uint8 else np.rint(rows * 255).astype(np.uint8)
    return pixels.reshape(-1, SIDE, SIDE)


def _are_digits(classes: NDArray[Any]) -> bool:
    """Return whether the classes are 0 to 9, as numbers or as text."""
    try:
        return np.array_equal(classes.astype(np.int64), np.arange(CLASSES))
    except ValueError:
        return False


def _move(training: Training, device: torch.device) -> None:
    """Move all tensors of a training to the device."""
    training.network.to(device)
    training.totals = training.totals.to(device)
    training.optimizer.to(device)


def _make(folder: Path) -> None:
    """Make a run folder; raises OutputError unless it is new or empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(f"{folder}: not empty; save into a folder that is new or empty")
        (folder / "figures").mkdir()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
