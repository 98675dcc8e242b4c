"""Results as text for people."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from digitmlp import metrics
from digitmlp.commands import RunSummary
from digitmlp.errors import on_one_line
from digitmlp.reading import Number, Reading
from digitmlp.recognizer import Recognizer


def run(folder: Path, result: dict[str, Any]) -> str:
    """Return what a training has come to: accuracies, seconds, where things lie."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for part in ("validation", "test"):
        if judged := result[part]:
            table.add_row(f"{part} accuracy", _accuracy(judged))
    seconds = result["seconds"]
    table.add_row("best epoch", str(result["best_epoch"]))
    table.add_row("seconds", f"{seconds['train']:.1f} training, {seconds['total']:.1f} in all")
    table.add_row("report", on_one_line(str(folder / "report.html")))
    submission = folder / "submission.csv"
    if submission.exists():
        with submission.open(encoding="utf-8") as lines:
            head = [line.strip() for line, _ in zip(lines, range(5), strict=False)]
        table.add_row("predictions", on_one_line(str(submission)))
        table.add_row("", "  ".join(head) + " …")
    return _text(table)


def evaluation(result: dict[str, Any], loss: float) -> str:
    """Return an evaluation: the accuracy, each digit, the confusion matrix."""
    summary = Table(box=None, show_header=False, pad_edge=False)
    summary.add_row("accuracy", _accuracy(result))
    summary.add_row("digits", f"{result['count']:,}")
    summary.add_row("log loss", f"{loss:.4f} nats")
    summary.add_row("calibration error", f"{result['ece']:.2%}")
    digits = Table(box=box.SIMPLE, title="each digit", title_justify="left")
    for column in ("digit", "count", "recall", "precision", "F1"):
        digits.add_column(column, justify="right")
    for score in metrics.digit_scores(result["confusion"]):
        shares = (score.recall, score.precision, score.f1)
        digits.add_row(str(score.digit), f"{score.count:,}", *map(_percent, shares))
    confusion = Table(box=box.SIMPLE, title="true digit ↓, answer →", title_justify="left")
    for column in ("", *"0123456789"):
        confusion.add_column(column, justify="right")
    for digit, row in enumerate(result["confusion"]):
        confusion.add_row(str(digit), *(f"{count:,}" if count else "·" for count in row))
    return _text(summary, digits, confusion)


NUMBER_COLUMNS = ("picture", "line", "number", "probability", "left", "top", "right", "bottom")


def reading(result: Reading) -> str:
    """Return what a picture says: its name, then each number and the least sure of its digits."""
    lines = [on_one_line(result.picture)]
    for number in result.numbers:
        lines.append(f"  line {number.line}  {number.text}  {metrics.percent(_least(number))}")
    if not result.numbers:
        lines.append("  no digits")
    return "\n".join(lines) + "\n"


def numbers_csv(result: Reading) -> str:
    """Return the numbers in a picture as rows of NUMBER_COLUMNS."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for number in result.numbers:
        cells = (number.line, number.text, f"{_least(number):.4f}", *number.box)
        rows.writerow((result.picture, *cells))
    return text.getvalue()


def _least(number: Number) -> float:
    return min(digit.probability for digit in number.digits)


def runs(found: Iterable[RunSummary]) -> str:
    """Return run folders side by side."""
    table = Table(box=box.SIMPLE)
    for column in ("run", "preset", "data"):
        table.add_column(column)
    for column in ("validation", "test", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("model")
    for summary in found:
        table.add_row(
            *map(on_one_line, (summary.folder, summary.preset, summary.data)),
            _percent(summary.validation),
            _percent(summary.test),
            "–" if summary.seconds is None else f"{summary.seconds:.1f}",
            "unfinished" if summary.sha256 is None else summary.sha256[:12],
        )
    return _text(table)


def contract(path: Path, recognizer: Recognizer) -> str:
    """Return what goes into an exported model and what comes out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("file", on_one_line(str(path)))
    table.add_row("network", recognizer.card.model.describe())
    table.add_row("input", "images         uint8   (n, 28, 28), ink 255 on ground 0")
    table.add_row("output", "probabilities  float32 (n, 10), calibrated")
    table.add_row("output", "score          float32 (n,), the higher, the more like a digit")
    table.add_row("no digit", f"a score below {recognizer.threshold:.3f}")
    table.add_row("sha256", recognizer.sha256)
    return _text(table)


def _accuracy(judged: dict[str, Any]) -> str:
    low, high = judged["confidence_interval"]
    return f"{judged['accuracy']:.2%}  (95 %: {low:.2%} to {high:.2%}, n = {judged['count']:,})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _text(*tables: Table) -> str:
    # Without markup: a folder's name may hold square brackets.
    console = Console(file=io.StringIO(), width=200, no_color=True, markup=False, emoji=False)
    for table in tables:
        console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())
