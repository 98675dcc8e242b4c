"""Cuts through pieces in which digits may touch."""

import numpy as np
from numpy.typing import NDArray

from digitmlp.pieces import Boxes, Pieces

FEW = 4  # cuts through a piece, and two more for each height that it is wide
ASIDE = 1.0  # what a step aside costs a cut, in pixels of ink

Floats = NDArray[np.float64]
Columns = NDArray[np.int64]


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
            for seam in _seams(own, height):
                part += np.arange(right - left) > seam[:, None]
        for each in np.unique(part[own]):
            inside = own & (part == each)
            labels[place][inside] = len(owners)
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            boxes.append(ends + np.array([left, top, left, top]))
            owners.append(number)
    return Pieces(pieces.ink, labels, np.array(boxes), pieces.height), owners


def _seams(own: NDArray[np.bool_], height: float) -> list[Columns]:
    """Return the best cuts through a piece (h, w), from left: (h,), the column in each row.

    They go from the top to the bottom, a column aside a row at most, through little ink.
    """
    high, wide = own.shape
    margin = int(0.12 * height)
    if wide < 0.35 * height or high < 0.4 * height or wide <= 2 * margin:
        return []
    middle = high // 2
    above, from_above = _ways(own[: middle + 1])
    below, from_below = _ways(own[middle:][::-1])
    costs = above + below - own[middle]  # of the best cut through each column
    smooth = np.convolve(np.pad(costs, 2, mode="edge"), np.ones(5) / 5, "valid")
    most = FEW + int(2 * wide / height)
    chosen: list[int] = []
    for column in np.argsort(smooth[margin : wide - margin], kind="stable") + margin:
        if len(chosen) == most or costs[column] > 0.45 * high:
            break
        if all(abs(column - other) >= margin for other in chosen):
            chosen.append(int(column))
    return [
        np.concatenate([_way(from_above, column), _way(from_below, column)[-2::-1]])
        for column in sorted(chosen)
    ]


def _ways(own: NDArray[np.bool_]) -> tuple[Floats, Columns]:
    """Return what the best ways from the first row of ink (h, w) to the last cost, (w,), and how
    far to the right each place's way is in the row before, (h - 1, w).
    """
    costs, steps = own[0].astype(np.float64), []
    beside = np.full(len(costs) + 2, np.inf)
    for row in own[1:]:
        beside[1:-1] = costs + ASIDE
        left, right = beside[:-2], beside[2:]
        nearer = np.minimum(left, costs)
        steps.append(np.where(right < nearer, 1, np.where(costs < left, 0, -1)))
        costs = np.minimum(nearer, right) + row
    return costs, np.array(steps, np.int64).reshape(-1, own.shape[1])


def _way(steps: Columns, column: int) -> Columns:
    """Return (h,): the columns of the best way to this one in the last row."""
    way = [column]
    for step in steps[::-1]:
        way.append(way[-1] + int(step[way[-1]]))
    return np.array(way[::-1])
