"""Cuts through pieces in which digits may touch."""

import numpy as np
from numpy.typing import NDArray

from digitmlp.pieces import Boxes, Pieces

FEW = 3  # cuts through a piece, and two more for each height that it is wide
LEANS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # of cuts: pixels to the right at the top, a pixel of height


def cut(pieces: Pieces, line: list[int], sure: set[int], height: float) -> tuple[Pieces, list[int]]:
    """Return the line's atoms as pieces, left to right, and for each the piece it comes from.

    An atom is a piece or, of a doubtful one, what lies between two cuts.
    """
    labels = np.full(pieces.labels.shape, -1, np.int32)
    boxes: list[Boxes] = []
    owners: list[int] = []
    for number in line:
        left, top, right, bottom = pieces.boxes[number]
        place = slice(top, bottom), slice(left, right)
        own = pieces.labels[place] == number
        part = np.zeros(own.shape, np.int64)
        if number not in sure:
            for column, lean in _cut_lines(own, height):
                part += _columns(own.shape) > column + _offsets(len(own), lean)[:, None]
        for each in np.unique(part[own]):
            inside = own & (part == each)
            labels[place][inside] = len(owners)
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            boxes.append(ends + np.array([left, top, left, top]))
            owners.append(number)
    return Pieces(pieces.ink, labels, np.array(boxes), pieces.height), owners


def _cut_lines(own: NDArray[np.bool_], height: float) -> list[tuple[int, float]]:
    """Return where a piece (h, w) is best cut: columns at half its height, and leans; from left."""
    high, wide = own.shape
    margin = int(0.12 * height)
    if wide < 0.35 * height or high < 0.4 * height or wide <= 2 * margin:
        return []
    crossed = []
    for lean in LEANS:
        columns = _columns(own.shape) + _offsets(high, lean)[:, None]
        inside = (columns >= 0) & (columns < wide)
        ink = np.take_along_axis(own, columns.clip(0, wide - 1), 1) & inside
        crossed.append(ink.sum(0) + 0.02 * high * abs(lean))
    least = np.min(crossed, axis=0)  # pixels of ink under the best cut through each column
    leans = np.argmin(crossed, axis=0)
    smooth = np.convolve(np.pad(least, 2, mode="edge"), np.ones(5) / 5, "valid")
    most = FEW + int(2 * wide / height)
    chosen: list[tuple[int, float]] = []
    for column in np.argsort(smooth[margin : wide - margin], kind="stable") + margin:
        if len(chosen) == most or least[column] > 0.45 * high:
            break
        if all(abs(column - other) >= margin for other, _ in chosen):
            chosen.append((int(column), LEANS[leans[column]]))
    return sorted(chosen)


def _columns(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(shape[1]), shape)


def _offsets(high: int, lean: float) -> NDArray[np.int64]:
    """Return how far to the right a leaning cut is at each row, from where it is half way down."""
    offsets = lean * (high / 2 - np.arange(high))
    rounded: NDArray[np.int64] = np.rint(offsets).astype(np.int64)
    return rounded
