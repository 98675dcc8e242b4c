"""Lines that are ruled on paper, across and down."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from digitmlp.components import find_components, outline
from digitmlp.windows import Floats, Mask, Scalar, highest, shift

LINES = 3  # fewer lines across are none of the paper's
MARGIN = 0.04  # of the picture's width, up to which they reach
SIDE = 100  # parts of the picture's height, the first and the last of which lie at its sides
DARKER = 1.6  # times as dark as the lines is a stroke of a digit along one
# A line through a snippet is ink in so much of each of its rows; it is no thicker and slopes by no
# more than these shares of the snippet, its strength times thickness no more than this share of
# that of strokes.
THROUGH, THICK, LEAN, LIGHTER = 0.7, 0.12, 0.1, 0.6
CROSSING = 1.4  # times as dark as such a line is what crosses it
CLEAR = 0.05  # of the snippet's width, at least, and a stroke's, at either side, without strokes


def ruled_lines(mask: Mask, strength: Floats, paper: Mask) -> Mask:
    """Return the pixels of a mask of ink (h, w) that are lines ruled across the paper, and, where
    there are such, down.

    strength  (h, w): how much darker than the ground each pixel is
    paper     (h, w): where in the picture there is any
    """
    across = _across(mask, strength, paper)
    return across | _across(mask.T, strength.T, paper.T).T if across.any() else across


def lines_through(mask: Mask, strength: Floats) -> Mask:
    """Return the pixels of a snippet's ink (h, w) that are lines through all of it, across and,
    where there are such, down.

    strength  (h, w): how much darker than the ground each pixel is
    The bars of a digit that is cut to its ink go through all of it too, but are as heavy as its
    other strokes, or those reach the sides as well.
    """
    across, weight = _through(mask, strength)
    if weight == 0:
        return across
    down, weight_down = _through(mask.T, strength.T)
    lines = across | down.T
    strokes = mask & ~lines
    columns, width = np.flatnonzero(strokes.sum(0) > 1), mask.shape[1]
    if len(columns) == 0:
        return np.zeros_like(mask)
    thickness = 2 * np.count_nonzero(strokes) / max(int(outline(strokes).sum()), 1)
    clear = min(columns[0], width - 1 - columns[-1])
    if clear < max(CLEAR * width, thickness):
        return np.zeros_like(mask)
    heavy = max(weight, weight_down) > LIGHTER * thickness * np.median(strength[strokes])
    return lines & ~heavy


def _through(mask: Mask, strength: Floats) -> tuple[Mask, float]:
    """Return the pixels of lines from the left to the right, and the greatest strength times
    thickness of such a line.
    """
    height, width = mask.shape
    lines, weight = np.zeros_like(mask), 0.0
    if not (mask[:, :2].any() and mask[:, -2:].any()):
        return lines, weight
    reach = round(LEAN * width)
    ends = np.arange(-reach, reach + 1)
    drops = np.rint(np.multiply.outer(ends, np.linspace(-0.5, 0.5, width))).astype(np.int64)
    full = [np.maximum(_raised(mask, drop).mean(1) - THROUGH, 0).sum() for drop in drops]
    drop = drops[np.argmax(full)]
    level, depth = _raised(mask, drop), _raised(strength, drop)
    rows = level.mean(1) >= THROUGH
    edges = np.flatnonzero(np.diff(rows, prepend=False, append=False)).tolist()
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        line, thick = level[first:end], end - first
        if thick > THICK * height or not (line[:, :2].any() and line[:, -2:].any()):
            continue
        # Of a row that a digit's bar lies along, what is beside the bar.
        dark = np.nanquantile(np.where(line, depth[first:end], np.nan), 0.3, axis=1).max()
        weight = max(weight, float(dark * thick))
        top, bottom = max(first - thick, 0), min(end + thick, height)
        band = slice(top, bottom)
        lines[band] |= level[band] & (depth[band] < CROSSING * dark)
        if top > 0 and bottom < height:
            lines[band] &= ~(level[top - 1] & level[bottom])
    return _raised(lines, -drop), weight


def _across(mask: Mask, strength: Floats, paper: Mask) -> Mask:
    """Return the pixels of ruled lines across: three or more, thin, straight, parallel and long.

    They reach both sides of the paper, or beyond all ink between them, as the level strokes of
    a row of fives do not. What crosses them stays.
    """
    height, width = mask.shape
    drop = np.rint(_slope(mask) * (np.arange(width) - width / 2)).astype(np.int64)
    level, seen = _raised(mask & paper, drop), _raised(paper, drop)
    slack = max(1, height // 300)  # lines bend a little, and thin ones have gaps
    thick = highest(level, slack)
    long = thick & (run_lengths(thick) > width // 12)
    # Beside strong ink a line may be too faint to be found: its parts count together.
    rows_of_lines = long.sum(1) > np.maximum(seen.sum(1) // 3, width // 12)
    count = np.count_nonzero(np.diff(rows_of_lines.astype(np.int8), prepend=0) == 1)
    lines = level & rows_of_lines[:, None]
    sure = lines & long
    depths = run_lengths(level.T).T
    usual = np.median(depths[sure]) if count >= LINES and sure.any() else height
    if usual > min(mask.shape) / 60:
        return np.zeros_like(mask)
    thin = lines & (depths <= 1.6 * usual + 1)
    margin = MARGIN * width
    near = np.convolve(rows_of_lines, np.ones(2 * (slack + round(usual)) + 1), "same") > 0
    between = np.flatnonzero((level & ~near[:, None]).sum(0) > usual)
    first, last = between[[0, -1]] if len(between) else (width, 0)
    sides, reached = np.flatnonzero(seen.any(0)), np.flatnonzero(thin.any(0))
    if reached[0] > max(sides[0] + margin, first - margin) or reached[-1] < min(
        sides[-1] - margin, last + margin
    ):
        return np.zeros_like(mask)
    ruled = _raised(thin, -drop)
    # The level stroke of a digit along a line is darker, short, and goes on beside it. What is
    # longer is a darker line, or lies beside the sheet at the picture's sides and is left whole.
    dark = strength > DARKER * np.median(strength[ruled])
    runs = run_lengths(highest(level & _raised(dark, drop), slack))
    longer, side = _raised(runs > width // 12, -drop), height // SIDE + 1
    longer[:side] = longer[-side:] = False
    darker = ruled & dark & ~longer
    rest = mask & ~ruled
    labels = find_components(rest | darker).labels
    strokes = np.isin(labels, np.unique(labels[rest]))
    return ruled & ~strokes


def _raised(values: NDArray[Scalar], by: NDArray[np.int64]) -> NDArray[Scalar]:
    """Return values (h, w) with each column raised by so many rows, (w,); zeros come in."""
    raised = np.zeros_like(values)
    starts = np.flatnonzero(np.diff(by, prepend=by[0] - 1))
    for first, end in pairwise([*starts.tolist(), len(by)]):
        to_rows, rows = shift(int(by[first]), len(values))
        raised[to_rows, first:end] = values[rows, first:end]
    return raised


def _slope(mask: Mask) -> float:
    """Return the slope along which the mask's pixels lie in the fewest rows."""
    inked = np.argwhere(mask)
    y, x = inked[:: len(inked) // 20_000 + 1].T.astype(np.float32)
    best = 0.0
    for step, row in ((0.01, max(mask.shape) / 250), (0.002, max(mask.shape) / 800)):
        reach = 15 * step if best == 0 else 5 * step
        slopes = best + np.arange(-reach, reach + step / 2, step)
        best = float(max(slopes, key=lambda slope: _crowding(y, x, slope, row)))
    return best


def _crowding(y: Floats, x: Floats, slope: float, row: float) -> float:
    rows = ((y - np.float32(slope) * x) / np.float32(row)).astype(np.int64)
    return float((np.bincount(rows - rows.min(initial=0)).astype(np.float64) ** 2).sum())


def run_lengths(mask: Mask) -> NDArray[np.int64]:
    """Return for each pixel of a mask (h, w) the length of its horizontal run; 0 outside."""
    lengths = np.zeros(mask.shape, np.int64)
    padded = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int8)
    padded[:, :-1] = mask
    change = np.diff(padded.ravel(), prepend=np.int8(0))
    runs = np.flatnonzero(change == -1) - np.flatnonzero(change == 1)
    lengths[mask] = np.repeat(runs, runs)
    return lengths
