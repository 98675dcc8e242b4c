"""What comes of a model and a source: predictions, figures, files of results."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitmlp import files, kaggle, metrics
from digitmlp.digits import Digits, Labels, Source
from digitmlp.history import Epoch
from digitmlp.metrics import Probabilities
from digitmlp.progress import Clock
from digitmlp.recognizer import Recognizer

SUSPECTS = 200  # rows in suspects.csv


def judge(chances: Probabilities, labels: Labels | None) -> dict[str, Any] | None:
    """Return what `evaluate --json` prints and the loss; None without labelled digits."""
    if labels is None or len(labels) == 0:
        return None
    evaluation = metrics.evaluate(chances, labels)
    return evaluation.to_dict() | {"loss": evaluation.loss}


def predict(
    source: Source,
    test: Iterable[Digits],
    recognizer: Recognizer,
    path: Path,
    probabilities: bool = False,
) -> dict[str, Any] | None:
    """Write the predictions for the source's test part, batch by batch in bounded memory.

    Return `judge` of them where the test part has labels.
    """
    seen: list[tuple[Probabilities, Labels]] = []

    def predicted(batches: Iterable[Digits]) -> Iterator[tuple[Digits, Labels, Probabilities]]:
        for digits in batches:
            chances = recognizer.predict_proba(digits.images)
            if digits.labels is not None:
                seen.append((chances, digits.labels))
            yield digits, metrics.decide(chances), chances

    kaggle.write_predictions(path, source, predicted(test), probabilities=probabilities)
    if not seen:
        return None
    chances, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return judge(chances, labels)


def write_suspects(
    path: Path, chances: Probabilities, digits: Digits, rows: NDArray[np.int64]
) -> None:
    """Write the digits whose label the model doubts most, the least probable label first.

    rows (n,) of the digits in their source, counted from 0; in the file they count from 1.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "label", "prediction", "probability"])
    answers, labels = metrics.decide(chances), digits.labels
    assert labels is not None
    for index in metrics.suspects(chances, labels)[:SUSPECTS]:
        probability = f"{chances[index, labels[index]]:.6f}"
        writer.writerow([rows[index] + 1, labels[index], answers[index], probability])
    files.write(path, text.getvalue())


def draw(
    folder: Path,
    samples: Digits,
    held_out: Digits,
    chances: Probabilities,
    rows: NDArray[np.int64],
    history: list[Epoch],
    best_epoch: int,
    first_layer: NDArray[np.float32],
) -> None:
    """Draw the figures of a run into the folder; those of mistakes need held-out digits.

    rows (n,) of the held-out digits in their source, counted from 0.
    """
    from digitmlp import figures

    drawn = {
        "samples": figures.samples(samples),
        "curves": figures.curves(history, best_epoch),
        "weights": figures.weights(first_layer),
    }
    labels = held_out.labels
    if labels is not None and len(labels):
        drawn |= {
            "confusion": figures.confusion(metrics.confusion(chances, labels)),
            "most-wrong": figures.most_wrong(held_out.images, labels, chances, rows + 1),
            "calibration": figures.calibration(chances, labels),
        }
    folder.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")


def write_metrics(folder: Path, result: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Write metrics.json: the result and the seconds so far; return it."""
    result = result | {"seconds": clock.read()}
    files.write(folder / "metrics.json", json.dumps(result, indent=2) + "\n")
    return result
