"""Lines of writing: which pieces stand beside each other, and in what order they are read."""

import numpy as np
from numpy.typing import NDArray

from digitmlp.components import longest
from digitmlp.pieces import Boxes, around, heights

SMALL = 0.5  # of a digit's height: smaller pieces are dots or broken off, and start no line
UNLIKE = 2.5  # times the height of another: no neighbours on a line
# A bar that may have broken off is lower than so much of a digit's height and no wider than so much
# of it, but so much wider than high.
LOW, WIDE, FLAT = 0.5, 1.2, 1.5
TOUCHING, TALLEST = 0.15, 1.2  # of a digit's height: how far parts of one are apart, how tall it is


def find_lines(boxes: Boxes, height: float) -> list[list[int]]:
    """Return the lines, top to bottom; each the numbers of its boxes (n, 4), left to right.

    height  of a digit, about
    Lines may slope, each in its own way. Small boxes join the line they are near to, or are left
    out.
    """
    small = longest(boxes) < SMALL * height
    stacks = find_stacks([int(number) for number in np.flatnonzero(~small)], boxes, height)
    for number in np.flatnonzero(small):  # it may be the body of a 5, low without its bar
        own = (stack for stack in stacks if _is_of_bar(int(number), stack, boxes, height))
        if stack := next(own, None):
            stack.append(int(number))
            small[number] = False
    outlines = np.array([around(boxes[stack]) for stack in stacks]).reshape(-1, 4)
    lines = _joined(stacks, outlines)
    for number in np.flatnonzero(small):
        _join_nearest(int(number), lines, boxes, height)
    centres = _centres(boxes)
    for line in lines:
        line.sort(key=lambda number: centres[number, 0])
    return _top_to_bottom(lines, boxes)


def find_stacks(numbers: list[int], boxes: Boxes, height: float) -> list[list[int]]:
    """Return the boxes in groups: one above another, as the halves of a broken 3.

    height  of a digit, about
    They touch, nearly, and together are about as tall as a digit, or not as two like the taller. A
    bar may be aside, as that of a 5.
    """
    stacks: list[list[int]] = []
    for number in sorted(numbers, key=lambda number: boxes[number, 1]):
        for stack in stacks:
            one, other = around(boxes[stack]), boxes[number]
            both = around(np.array([one, other]))
            tallest = max(one[3] - one[1], other[3] - other[1])
            shared = min(one[2], other[2]) - max(one[0], other[0])
            narrower = min(one[2] - one[0], other[2] - other[0])
            if (
                shared > 0.5 * narrower
                and other[1] - one[3] <= TOUCHING * max(tallest, height)
                and both[3] - both[1] <= max(1.75 * tallest, TALLEST * height)
            ) or _is_of_bar(number, stack, boxes, height):
                stack.append(number)
                break
        else:
            stacks.append([number])
    return stacks


def _joined(stacks: list[list[int]], boxes: Boxes) -> list[list[int]]:
    """Return the stacks, of these boxes (n, 4), joined to lines, the closest first."""
    lines = [[place] for place in range(len(stacks))]
    centres = _centres(boxes)
    while len(lines) > 1:
        costs = _joining_costs(lines, boxes, centres)
        left, right = np.unravel_index(costs.argmin(), costs.shape)
        if costs[left, right] == np.inf:
            break
        lines[left] += lines[right]
        del lines[right]
    return [[number for place in line for number in stacks[place]] for line in lines]


def _joining_costs(
    lines: list[list[int]], boxes: Boxes, centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n, n): what it costs to go on with the column's line after the row's; or infinity."""
    first, last = (np.array([line[end] for line in lines]) for end in (0, -1))
    sizes = heights(boxes, of_bar=0.8)  # as low as 0.6, a short one was unlike its digit
    size = np.maximum(sizes[last][:, None], sizes[first])
    across = centres[first, 0] - centres[last, 0][:, None]
    gap = np.maximum(boxes[first, 0] - boxes[last, 2][:, None], 0)
    steps = centres[first, 1] - centres[last, 1][:, None]
    slopes = np.array([slope(boxes[line]) for line in lines])
    # How far the next is off the line, be it the left one that goes on or the right one.
    off = np.minimum(np.abs(steps - slopes[:, None] * across), np.abs(steps - slopes * across))
    alike = size <= UNLIKE * np.minimum(sizes[last][:, None], sizes[first])
    beside = alike & np.where(
        gap <= size,
        (off <= 0.9 * size) & (np.abs(steps) <= np.maximum(1.4 * across, 0.4 * size)),
        (off <= 0.6 * size) & (np.abs(steps) <= across),
    )
    return np.where((across > 0) & beside, gap + 0.25 * across + 2 * off, np.inf)


def slope(boxes: Boxes) -> float:
    """Return the slope of a line through the centres of boxes (n, 4); 0 for fewer than three."""
    if len(boxes) < 3:
        return 0.0
    x, y = _centres(boxes - boxes.mean(0)).T
    return float((x @ y) / max(x @ x, 1.0))


def _centres(boxes: Boxes | NDArray[np.float64]) -> NDArray[np.float64]:
    centres: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres


def _is_of_bar(number: int, stack: list[int], boxes: Boxes, height: float) -> bool:
    """Return whether a box touches a stack, one of both is a bar, and both are as tall as a digit
    of this height at most.
    """
    one, other = around(boxes[stack]), boxes[number]
    wide, high = np.array([one, other])[:, 2:].T - np.array([one, other])[:, :2].T
    bars = (high < LOW * height) & (wide <= WIDE * height) & (wide > FLAT * high)
    both = around(np.array([one, other]))
    return bool(
        bars.any()
        and _apart(other, one[None])[0] <= TOUCHING * height
        and both[3] - both[1] <= TALLEST * height
    )


def _apart(box: Boxes, others: Boxes) -> NDArray[np.int64]:
    """Return (n,): how far a box (4,) is from others (n, 4), across and down together."""
    gaps = np.maximum(np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]), 0)
    apart: NDArray[np.int64] = gaps.sum(1)
    return apart


def _join_nearest(number: int, lines: list[list[int]], boxes: Boxes, height: float) -> None:
    best, nearest = 0.4 * height, None
    for line in lines:
        distance = _apart(boxes[number], boxes[line]).min()
        if distance < best:
            best, nearest = distance, line
    if nearest is not None:
        nearest.append(number)


def _top_to_bottom(lines: list[list[int]], boxes: Boxes) -> list[list[int]]:
    """Return the lines in order, on a page that slopes as its lines do."""
    weights = [len(line) if len(line) >= 3 else 0 for line in lines]
    down = 0.0
    if any(weights):
        down = float(np.average([slope(boxes[line]) for line in lines], weights=weights))
    return sorted(lines, key=lambda line: float((_centres(boxes[line]) @ [-down, 1]).mean()))
