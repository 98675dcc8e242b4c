"""The figures of a run, drawn with matplotlib's Figure alone: no display, no global state left."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from digitmlp import drawing, files, metrics
from digitmlp.digits import CLASSES, PIXELS, SIDE, Digits, Images, Labels
from digitmlp.drawing import BLUE, DPI, INK, MUTED, VERMILION, WEIGHTS, WIDTH, heading, tiles
from digitmlp.history import Epoch
from digitmlp.metrics import Probabilities, percent

FAST_PNG = {"compress_level": 1}  # a fifth larger and half the time of the default
GALLERY = 20  # digits shown
UNITS = 48  # hidden units shown
NINES = 1 - 10 ** (-np.arange(10) / 2)  # bin edges of confidence: 0, 68, 90, 96.8, 99, ...%


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whole or not at all: equal figures, equal bytes. Raises OutputError."""
    with matplotlib.rc_context(drawing.STYLE), files.replacing(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None}, pil_kwargs=FAST_PNG)


@drawing.styled
def samples(digits: Digits, rows: int = 2, columns: int = 5, seed: int = 302) -> Figure:
    """Return a grid of digits drawn at random, each under its label; 12×6 inches for 2×5.

    Without labels each stands under its file name or its row, counted from 1.
    Fewer digits than places leave places empty.
    """
    chosen = np.random.default_rng(seed).permutation(len(digits))[: rows * columns]
    cell = min(2.4, 12 / columns, 48 / rows)  # inches
    figure = Figure(figsize=(columns * cell, rows * cell * 1.25), dpi=100)
    place = tiles(figure, digits.images[chosen], rows, columns, space=(8, 2, 2))
    for number, row in enumerate(chosen):
        if digits.labels is not None:
            text, size = str(digits.labels[row]), 11.0
        elif digits.names is not None:
            name = digits.names[row].encode("ascii", "replace").decode()
            text, size = (name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}"), 5.5
        else:
            text, size = f"row {row + 1:,}", 5.5
        place(number, SIDE / 2, -2, text, size=size * cell, ha="center")
    return figure


@drawing.styled
def curves(history: Sequence[Epoch], best_epoch: int) -> Figure:
    """Return loss and accuracy over the epochs, training beside validation, the best one marked.

    Accuracy stands on a scale of errors: a step upwards that halves the mistakes is as high at 99%
    as at 90%. Without validation rows no epoch is marked.
    """
    figure = Figure(figsize=(WIDTH, 7.2), dpi=DPI)
    upper, lower = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.135, right=0.965, top=0.875, bottom=0.09, hspace=0.22)
    epochs = [epoch.epoch for epoch in history]
    marker = "o" if len(history) <= 30 else ""
    best = history[best_epoch - 1]
    parts = [("train", VERMILION, "training")]
    if best.validation_loss is not None:
        parts.append(("validation", BLUE, "validation"))
    for axes, name in ((upper, "loss"), (lower, "accuracy")):
        lines = {
            part: np.array([getattr(epoch, f"{part}_{name}") for epoch in history], float)
            for part, _, _ in parts
        }
        if name == "accuracy":
            lines = {part: 1 - accuracy for part, accuracy in lines.items()}
        lowest = drawing.log_axis(axes.yaxis, np.concatenate([*lines.values()]), name == "accuracy")
        for part, colour, label in parts:
            height = np.maximum(lines[part], lowest)
            axes.plot(epochs, height, color=colour, marker=marker, label=label, lw=2, ms=5)
        axes.set_title(name.capitalize(), loc="left", size=14, weight="bold", pad=9)
        if best.validation_loss is not None:
            axes.axvline(best.epoch, color=INK, lw=1, ls=(0, (1, 2)), zorder=1)
            value = getattr(best, f"validation_{name}")
            shown = percent(value) if name == "accuracy" else f"{value:.3g}"
            axes.set_title(f"epoch {best.epoch}: {shown}", loc="right", size=12, color=BLUE, pad=9)
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    lower.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    handles, labels = upper.get_legend_handles_labels()
    box: Any = {"loc": "upper left", "bbox_to_anchor": (0.118, 0.99), "frameon": False}
    figure.legend(handles, labels, ncols=2, handlelength=1.4, borderaxespad=0.3, **box)
    return figure


@drawing.styled
def confusion(matrix: ArrayLike) -> Figure:
    """Return the confusion matrix (10, 10), true rows, with colours for the mistakes alone.

    The diagonal tells which percentage of each digit was read right.
    """
    counts = np.asarray(matrix)
    diagonal = np.eye(len(counts), dtype=bool)
    mistakes = np.where(diagonal, 0, counts)
    wrong, most = int(mistakes.sum()), max(3, mistakes.max())
    figure = Figure(figsize=(WIDTH, 7), dpi=DPI)
    heading(figure, f"{_count(wrong, 'mistake')} in {_count(int(counts.sum()), 'digit')}")
    figure.text(0.02, 0.9, "on the diagonal: % read right", color=MUTED)
    axes = figure.add_axes((0.095, 0.015, 0.89, 0.79))
    colours = matplotlib.colormaps["Oranges"](0.1 + 0.65 * np.sqrt(mistakes / most))
    colours[mistakes == 0] = matplotlib.colors.to_rgba("#f6f7f9")
    colours[diagonal] = matplotlib.colors.to_rgba("#dde7ee")
    middles = np.arange(CLASSES)
    axes.pcolormesh(middles, middles, colours, edgecolors="white", linewidth=2)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(middles)
    axes.set_yticks(middles)
    axes.tick_params(top=True, labeltop=True, labelbottom=False, labelsize=14, labelcolor=INK)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("read as", labelpad=7)
    axes.set_ylabel("true digit", labelpad=7)
    middle: dict[str, Any] = {"ha": "center", "va": "center_baseline"}
    for score in metrics.digit_scores(counts):
        share = "–" if score.recall is None else percent(score.recall, 1).removesuffix("%")
        axes.text(score.digit, score.digit, share, size=12, color="#41607a", **middle)
    for true, read, count in metrics.worst_pairs(counts):
        colour = "white" if count > 0.7 * most else INK
        axes.text(read, true, f"{count:,}", size=14, color=colour, **middle)
    return figure


@drawing.styled
def most_wrong(
    images: Images, labels: Labels, probabilities: Probabilities, rows: NDArray[np.integer[Any]]
) -> Figure:
    """Return a gallery of the 20 most confident mistakes, the surest first.

    Under each: label → answer, the answer's probability, and its entry of rows (n,). Where there
    are fewer mistakes, the right answers that are least sure follow.
    """
    answers, sure = metrics.decide(probabilities), probabilities.max(1)
    mistaken = answers != labels
    shown = np.argsort(np.where(mistaken, -sure, sure), kind="stable")
    shown = shown[np.argsort(~mistaken[shown], kind="stable")][:GALLERY]
    columns, lines = 5, -(-len(shown) // 5)
    tile = WIDTH / (columns * (SIDE + 4)) * (SIDE + 16)  # inches high, with its two lines of text
    figure = Figure(figsize=(WIDTH, 0.7 + lines * tile), dpi=DPI)
    mistakes = int(mistaken.sum())
    if mistakes >= GALLERY:
        heading(figure, "The most confident mistakes")
    else:
        heading(figure, f"{_count(mistakes, 'mistake')}, then the least sure answers")
    place = tiles(figure, images[shown], lines, columns, space=(0, 16, 4), top=0.7)
    for number, row in enumerate(shown):
        text = f"{labels[row]}→{answers[row]}" if mistaken[row] else str(labels[row])
        colour = VERMILION if mistaken[row] else BLUE
        place(number, 0, SIDE + 5.5, text, size=13, weight="bold")
        place(number, SIDE, SIDE + 5.5, percent(sure[row]), size=11, color=colour, ha="right")
        place(number, 0, SIDE + 11, f"row {rows[row]:,}", size=11, color=MUTED)
    return figure


@drawing.styled
def weights(first_layer: NDArray[np.float32]) -> Figure:
    """Return the weights (h, 784) of 48 hidden units as images on one scale of colours.

    The units lie evenly spaced in the order of their strength, so neither the pretty ones
    nor the idle ones are picked.
    """
    assert first_layer.shape[1] == PIXELS
    strongest_first = np.argsort(-np.linalg.norm(first_layer, axis=1), kind="stable")
    shown = min(UNITS, len(first_layer))
    places = np.linspace(0, len(first_layer) - 1, shown).round().astype(int)
    units = first_layer[strongest_first[places]].reshape(-1, SIDE, SIDE)
    most = float(np.quantile(np.abs(units), 0.995)) or 1.0
    columns, lines = 8, -(-shown // 8)
    figure = Figure(figsize=(WIDTH, 1.2 + lines * WIDTH / columns), dpi=DPI)
    heading(figure, f"What {shown} of {len(first_layer):,} hidden units look for")
    tiles(figure, units, lines, columns, (0, 2, 2), top=1.2, scale=most)
    height = figure.get_figheight()
    legend: Any = {"y": 1 - 0.86 / height, "size": 11, "color": MUTED}
    figure.text(0.02, s=f"ink lowers it by {most:.2g}", **legend)
    figure.text(0.62, s=f"raises it by {most:.2g}", **legend)
    bar = figure.add_axes((0.34, 1 - 0.88 / height, 0.26, 0.14 / height))
    bar.imshow(np.linspace(-1, 1, 256)[None], cmap=WEIGHTS, aspect="auto")
    bar.axis("off")
    return figure


@drawing.styled
def calibration(probabilities: Probabilities, labels: Labels) -> Figure:
    """Return how often answers were right against how sure they were, and how many of them.

    Both axes are scales of errors, so that 99% and 99.9% lie apart; bars are Wilson's 95%.
    """
    bins = metrics.reliability(probabilities, labels, [*NINES, 1])
    least = 1 - NINES[-1]  # where both axes end
    stated = np.array([max(1 - part.confidence, least) for part in bins])
    seen = np.array([max(1 - part.accuracy, least) for part in bins])
    ranges = [metrics.wilson(round(part.accuracy * part.count), part.count) for part in bins]
    low, high = np.maximum(1 - np.array(ranges), least).T
    figure = Figure(figsize=(WIDTH, 7.4), dpi=DPI)
    heading(figure, "Is it right as often as it says?")
    axes = figure.add_axes((0.175, 0.31, 0.78, 0.58))
    axes.plot([1, least], [1, least], color=MUTED, lw=1.2, ls=(0, (4, 3)))
    axes.vlines(stated, low, high, color=BLUE, lw=2.5, alpha=0.4)
    fills = ["white" if part.accuracy == 1 else BLUE for part in bins]
    axes.scatter(stated, seen, 55, fills, edgecolors=BLUE, linewidths=2, clip_on=False, zorder=3)
    note: Any = {"color": MUTED, "transform": axes.transAxes, "zorder": 4}
    note["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    axes.text(0.03, 0.92, "too modest", va="top", **note)
    axes.text(0.97, 0.05, "too sure", ha="right", **note)
    axes.set_ylabel("read right")
    below = figure.add_axes((0.175, 0.1, 0.78, 0.15), sharex=axes)
    for part in bins:
        left, right = 1 - part.low, max(1 - part.high, least / 10**0.5)
        below.fill_between([left * 0.96, right * 1.04], part.count, color="#c9d6e0")
        middle = (left * right) ** 0.5
        below.text(middle, part.count, f"{part.count:,}", size=11, ha="center", va="bottom")
    below.grid(visible=False)
    below.spines["left"].set_visible(False)
    below.set_yticks([])
    below.set_xlabel("probability it gives its answer")
    below.set_ylabel("digits", labelpad=24)
    ticks = [0.5, *10.0 ** -np.arange(1, 5)]
    named = [f"{100 * (1 - tick):.6g}%" for tick in ticks]
    for set_scale, axis in ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis)):
        set_scale("log")
        axis.set_ticks(ticks, named)
        axis.set_minor_locator(NullLocator())
    axes.set_yticks([*ticks, least], [*named, "100%"])
    axes.tick_params(labelbottom=False)
    axes.set_xlim(1, least / 10**0.5)
    axes.set_ylim(1, least)
    return figure


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
