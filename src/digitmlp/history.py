"""The record of a training, an epoch a row."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digitmlp import files
from digitmlp.errors import DataError


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: losses are mean cross-entropies in nats, accuracies shares from 0 to 1.

    seconds counts the training steps alone; learning_rate is that of the last step. The training
    figures are those of the images as trained on, deformed and before each step; None without
    validation rows.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


COLUMNS = [field.name for field in dataclasses.fields(Epoch)]


def write(path: Path, history: Sequence[Epoch]) -> None:
    """Write history.csv whole or not at all; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(dataclasses.astuple(epoch) for epoch in history)
    files.write(path, text.getvalue())


def read(path: Path) -> list[Epoch]:
    """Return what `write` wrote; raises DataError on anything else."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if header != COLUMNS:
            raise ValueError(f"columns {header}, expected {COLUMNS}")
        return [_parse(row) for row in rows]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the history of a training: {error}") from error


def _parse(row: list[str]) -> Epoch:
    epoch, seconds, rate, loss, accuracy, *validation = row
    validation_loss, validation_accuracy = (float(cell) if cell else None for cell in validation)
    return Epoch(
        int(epoch),
        float(seconds),
        float(rate),
        float(loss),
        float(accuracy),
        validation_loss,
        validation_accuracy,
    )
