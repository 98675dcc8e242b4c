"""What was measured, as a row; a machine's rows as part of RESULTS.md, and as a plot."""

import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from digitmlp import drawing, figures

MEGA = 1e6  # bytes of a MB

Points = list[tuple[float, float]]


@dataclass(kw_only=True)
class Claim:
    """A figure with what it must reach and what it aims at.

    unit      as it is printed after a number; "%" takes a share
    at_least  whether higher is better
    value     None where it could not be measured
    """

    what: str
    must: float | None
    aim: float | None
    value: float | None
    unit: str = "×"
    at_least: bool = True

    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.must is None and self.aim is None:
            return "–"
        for name, goal in (("aim", self.aim), ("must", self.must)):
            if goal is not None and (self.value >= goal if self.at_least else self.value <= goal):
                return name
        return "missed"

    def goal(self, goal: float | None) -> str:
        if goal is None:
            return "–"
        number = f"{100 * goal:g}%" if self.unit == "%" else f"{goal:g}"
        unit = {"%": "", "×": "×"}.get(self.unit, f" {self.unit}")
        return ("≥ " if self.at_least else "≤ ") + number + unit


@dataclass(kw_only=True)
class Side:
    """One side's measurements, all of them; `reference` is what a reference machine took.

    A training that misses its accuracy takes infinity.
    """

    name: str
    values: list[float]
    unit: str = "s"
    reference: float | None = None

    def line(self) -> list[str]:
        finite = sorted(value for value in self.values if math.isfinite(value)) or [math.inf]
        if self.unit.endswith("/s"):  # a rate: the fastest is the highest
            finite.reverse()
        fastest, slowest = finite[0], finite[-1]
        spread = f"{slowest / fastest - 1:+.0%}" if math.isfinite(fastest) else "–"
        misses = sum(not math.isfinite(value) for value in self.values)
        return [
            self.name,
            str(len(self.values)) + (f", {misses} missed" if misses else ""),
            show(fastest, self.unit),
            spread,
            show(statistics.median_high(self.values), self.unit),
            "–" if self.reference is None else show(self.reference, self.unit),
        ]


@dataclass(kw_only=True)
class Row:
    """A row of the table: claims, the measurements they rest on, and what to know of them."""

    letter: str
    title: str
    claims: list[Claim]
    sides: list[Side]
    notes: list[str] = field(default_factory=list)
    curves: dict[str, Points] = field(default_factory=dict)  # seconds of training, accuracy
    measured: str = ""  # when, at which commit

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Row":
        claims = [Claim(**claim) for claim in values["claims"]]
        sides = [Side(**side) for side in values["sides"]]
        return Row(**values | {"claims": claims, "sides": sides})


def show(value: float, unit: str) -> str:
    """Return a number with three digits that count, and its unit."""
    if not math.isfinite(value):
        return "never"
    if unit == "%":
        return f"{value:.2%}"
    if unit == "s" and value < 0.1:
        value, unit = (value * 1e3, "ms") if value >= 1e-3 else (value * 1e6, "µs")
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 3)}f}" + (unit if unit == "×" else f" {unit}")


def printed(row: Row) -> str:
    """Return a row as lines for the terminal."""
    lines = [f"{row.letter}. {row.title}"]
    for claim in row.claims:
        value = "–" if claim.value is None else show(claim.value, claim.unit)
        goals = f"must {claim.goal(claim.must)}, aim {claim.goal(claim.aim)}"
        lines.append(f"   {claim.what}: {value}  ({goals}: {claim.verdict()})")
    for side in row.sides:
        name, count, fastest, spread, median, reference = side.line()
        known = "" if side.reference is None else f"; reference machine {reference}"
        lines.append(
            f"     {name}: fastest {fastest} ({spread}), median {median} of {count}{known}"
        )
    return "\n".join([*lines, *(f"     {note}" for note in row.notes)])


HEAD = """# Results

Written by `make bench DATA=path/to/digit-recognizer.zip`; do not edit.

Sides are measured in turns after a warm-up, while no other process uses more than 5 % of a core; a
disturbed turn is measured again. Ratios compare the fastest times, and medians over seeds where an
accuracy is to be reached: a seed that misses it counts as never. Validation is excluded on all
sides. *met* tells which goal, *spread* is the slowest over the fastest. The goals were set on, and
the reference machine is, two other cores with AVX512-BF16.

"""


def markdown(machine: dict[str, str], versions: dict[str, str], rows: list[Row], plot: str) -> str:
    """Return what RESULTS.md says of one machine; plot is the name of its plot."""
    claims = [
        [
            row.letter,
            f"{row.title}: {claim.what}",
            claim.goal(claim.must),
            claim.goal(claim.aim),
            "–" if claim.value is None else f"**{show(claim.value, claim.unit)}**",
            claim.verdict(),
        ]
        for row in rows
        for claim in row.claims
    ]
    sides = [[row.letter, *side.line()] for row in rows for side in row.sides]
    notes = [f"- {row.letter}: {note}" for row in rows for note in row.notes]
    dates = [f"{row.letter}: {row.measured}" for row in rows]
    return "\n".join(
        [
            f"## {machine['processor']}",
            "",
            *(f"- {name}: {value}" for name, value in machine.items() if name != "processor"),
            "- " + ", ".join(f"{name} {version}" for name, version in versions.items()),
            "- measured: " + "; ".join(dates),
            "",
            *table(["", "claim", "must", "aim", "measured", "met"], claims),
            "",
            f"![Accuracy against seconds]({plot})",
            "",
            *table(
                ["", "side", "measured", "fastest", "spread", "median", "reference machine"], sides
            ),
            "",
            *notes,
            "",
        ]
    )


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [" | ".join(["", *cells, ""]).strip() for cells in [head, ["---"] * len(head), *lines]]


@drawing.styled
def accuracy_against_seconds(rows: list[Row]) -> Figure:
    """Return the plot: validation accuracy, on a scale of errors, against seconds of training.

    A colour for each library; broken lines have our batch size and rate. Ours are named in place.
    """
    curves = {name: points for row in rows for name, points in row.curves.items()}
    figure = Figure(figsize=(10, 6), dpi=drawing.DPI)
    axes = figure.add_axes((0.075, 0.11, 0.62, 0.8))
    hues = dict(zip(dict.fromkeys(map(library, curves)), HUES, strict=False))
    for name, points in curves.items():
        seconds, accuracy = np.array(points).T
        label, style = name, {"lw": 1.6, "marker": "."}
        if library(name) == "digitmlp":
            label, style = "", {"lw": 2.8, "marker": "o", "ms": 4.5, "zorder": 3}
            about = name.removeprefix("digitmlp").lstrip(", ")
            place: Any = (seconds[-1], 1 - accuracy[-1])
            text: Any = {"ha": "right", "color": drawing.BLUE, "weight": "bold"}
            axes.annotate(about, place, (-6, 6), textcoords="offset points", **text)
        elif name.endswith("rate"):
            style["ls"] = "--"
        colour = drawing.BLUE if library(name) == "digitmlp" else hues[library(name)]
        axes.plot(seconds, 1 - accuracy, color=colour, label=label, **style)
    errors = np.concatenate([1 - np.array(points)[:, 1] for points in curves.values()])
    drawing.log_axis(axes.yaxis, errors, errors=True)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("seconds of training, validation excluded")
    axes.set_title("Validation accuracy: digitmlp (blue) and others", loc="left", size=14, pad=10)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9)
    return figure


# Okabe and Ito's colours but for the blue, which is ours.
HUES = (drawing.VERMILION, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", drawing.INK)


def library(curve: str) -> str:
    """Return whose curve it is: the name up to the first comma."""
    return curve.split(",", maxsplit=1)[0]


def save_plot(rows: list[Row], path: Path) -> None:
    if any(row.curves for row in rows):
        figures.save(accuracy_against_seconds(rows), path)
