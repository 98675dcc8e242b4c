"""What probabilities are worth, measured against the labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitmlp.digits import CLASSES, Labels
from digitmlp.errors import DataError

Probabilities = NDArray[np.float32]

ECE_BINS = 15
UNSURE = 0.1  # row of any label, which joins those that a temperature is fitted to
COLDEST, HOTTEST = 0.05, 20.0  # temperatures beyond these speak of a broken model, not of doubt


@dataclass(frozen=True, slots=True)
class DigitScore:
    """How well one digit is read; shares from 0 to 1, None where there is nothing to divide by."""

    digit: int
    count: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers given with a confidence in (low, high]: their number, mean confidence, accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False, slots=True)
class Evaluation:
    """What `evaluate` measured; shares from 0 to 1.

    confidence_interval  Wilson's for the accuracy, 95 %
    ece                  expected calibration error over 15 equal bins of the top probability
    loss                 mean negative log-likelihood of the labels, nats
    confusion            int64 (10, 10), a row for each true digit, a column for each answer
    reliability          the bins that hold an answer, of those 15
    """

    count: int
    accuracy: float
    error: float
    confidence_interval: tuple[float, float]
    ece: float
    loss: float
    confusion: NDArray[np.int64]
    reliability: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `digitmlp evaluate --json` prints."""
        return {
            "count": self.count,
            "accuracy": self.accuracy,
            "error": self.error,
            "confidence_interval": list(self.confidence_interval),
            "ece": self.ece,
            "confusion": self.confusion.tolist(),
        }


def evaluate(probabilities: Probabilities, labels: Labels) -> Evaluation:
    """Return how well probabilities (n, 10) foretell labels (n,).

    Raises DataError where n is 0: an accuracy of nothing is no number.
    """
    assert probabilities.shape == (len(labels), CLASSES)
    count = len(labels)
    if count == 0:
        raise DataError("no labelled digits to evaluate: found 0, expected at least 1")
    correct = int((decide(probabilities) == labels).sum())
    bins = reliability(probabilities, labels, np.linspace(0, 1, ECE_BINS + 1))
    return Evaluation(
        count=count,
        accuracy=correct / count,
        error=(count - correct) / count,
        confidence_interval=wilson(correct, count),
        ece=sum(part.count * abs(part.accuracy - part.confidence) for part in bins) / count,
        loss=log_loss(probabilities, labels),
        confusion=confusion(probabilities, labels),
        reliability=tuple(bins),
    )


def decide(probabilities: Probabilities) -> Labels:
    """Return the most probable digits, int64 (n,); the smaller one where two are equal."""
    digits: Labels = probabilities.argmax(1).astype(np.int64, copy=False)
    return digits


def wilson(correct: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), within 0 to 1 also near its ends."""
    z = 1.959963984540054  # 97.5 % of the normal distribution lie below
    share, spread = correct / count, z * z / count
    middle = share + spread / 2
    half = z * (share * (1 - share) / count + spread / count / 4) ** 0.5
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return (low if correct else 0.0), (high if correct < count else 1.0)  # exact at the ends


def log_loss(probabilities: Probabilities, labels: Labels) -> float:
    """Return the mean negative log-likelihood, nats; a row costs at most 87: float32's least."""
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny).astype(np.float64)).mean())


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return the counts (10, 10): a row for each true digit, a column for each answer."""
    cells = np.bincount(labels * CLASSES + decide(probabilities), minlength=CLASSES**2)
    return cells.reshape(CLASSES, CLASSES).astype(np.int64)


def digit_scores(confusion: ArrayLike) -> list[DigitScore]:
    """Return recall, precision and F1 of every digit from a confusion matrix, true rows."""
    matrix = np.asarray(confusion)
    hits, true, answered = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return [
        DigitScore(
            digit=digit,
            count=int(true[digit]),
            recall=_share(hits[digit], true[digit]),
            precision=_share(hits[digit], answered[digit]),
            f1=_share(2 * hits[digit], true[digit] + answered[digit]),
        )
        for digit in range(len(matrix))
    ]


def reliability(
    probabilities: Probabilities, labels: Labels, edges: ArrayLike
) -> list[ReliabilityBin]:
    """Return the bins of the top probability that hold an answer; edges rise from 0 to 1.

    Closed above, open below, as in Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    edges = np.asarray(edges, np.float64)
    top = probabilities.max(1).astype(np.float64)
    bins = np.searchsorted(edges[1:-1], top, side="left")
    size = len(edges) - 1
    counts = np.bincount(bins, minlength=size)
    confidence = np.bincount(bins, top, size)
    correct = np.bincount(bins, decide(probabilities) == labels, size)
    return [
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(confidence[i] / counts[i]),
            accuracy=float(correct[i] / counts[i]),
        )
        for i in np.flatnonzero(counts)
    ]


def fit_temperature(logits: NDArray[Any], labels: Labels) -> float:
    """Return the T, 0.05-20, for which softmax(logits / T) gives the labels the least loss.

    logits (n, k), labels (n,). A tenth of a row's weight goes to all classes alike (after Platt
    1999): answers that are all right would else ask for T = 0, and few rows would decide too much.
    No rows: 1.
    """
    if len(labels) == 0:
        return 1.0
    logits = logits.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    unsure = UNSURE / (len(labels) + UNSURE)
    wanted = logits[np.arange(len(labels)), labels].mean() * (1 - unsure) + logits.mean() * unsure
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(32):  # the loss is convex in 1/T; bisection finds where its slope is 0
        middle = (low + high) / 2
        weights = np.exp(logits / np.exp(middle))
        expected = ((weights * logits).sum(1) / weights.sum(1)).mean()
        low, high = (middle, high) if expected > wanted else (low, middle)
    return float(np.exp((low + high) / 2))


def suspects(probabilities: Probabilities, labels: Labels) -> NDArray[np.intp]:
    """Return the rows whose label is not the model's answer, the least probable label first."""
    rows = np.flatnonzero(decide(probabilities) != labels)
    return rows[np.argsort(probabilities[rows, labels[rows]], kind="stable")]


def worst_pairs(confusion: ArrayLike) -> list[tuple[int, int, int]]:
    """Return (true digit, answer, count) of all mistakes, the most frequent first."""
    matrix = np.asarray(confusion)
    pairs = [
        (true, answer, int(matrix[true, answer]))
        for true, answer in np.argwhere(matrix).tolist()
        if true != answer
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def percent(share: float, decimals: int = 2) -> str:
    """Return `98.43%`; what is not quite all never reads 100%."""
    if share == 1:
        return "100%"
    return f"{min(100 * share, 100 - 10.0**-decimals):.{decimals}f}%"


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
