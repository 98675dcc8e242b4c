"""Lines of writing: which pieces stand beside each other, and in what order they are read."""

import numpy as np
from numpy.typing import NDArray

from digitmlp.components import longest
from digitmlp.pieces import Boxes, around, heights

SMALL = 0.5  # of a digit's height: smaller pieces are dots or broken off, and start no line
UNLIKE = 2.5  # times the height of another: no neighbours on a line
LONG = 1.5  # times as wide as high, at least, is a bar that may have broken off
TOUCHING, TALLEST = 0.15, 1.2  # of a digit's height, at most: gap between its parts, its own height


def find_lines(boxes: Boxes, height: float) -> list[list[int]]:
    """Return the lines, top to bottom; each the numbers of its boxes (n, 4), left to right.

    height  of a digit, about
    Lines may slope, each in its own way. Small boxes join the line they are near to, or are left
    out, but for those that are part of a digit with a bar.
    """
    small = longest(boxes) < SMALL * height
    stacks = find_stacks([int(number) for number in np.flatnonzero(~small)], boxes, height)
    alone = [[int(number)] for number in np.flatnonzero(small)]
    parts = join_bars(stacks + alone, boxes, height)
    stacks = [part for part in parts if not small[part].all()]
    outlines = np.array([around(boxes[stack]) for stack in stacks]).reshape(-1, 4)
    lines = _joined(stacks, outlines)
    for part in parts:
        if small[part].all():
            _join_nearest(part[0], lines, boxes, height)
    centres = _centres(boxes)
    for line in lines:
        line.sort(key=lambda number: centres[number, 0])
    return _top_to_bottom(lines, boxes)


def find_stacks(numbers: list[int], boxes: Boxes, height: float) -> list[list[int]]:
    """Return the boxes in groups: one above another, as the halves of a broken 3.

    height  of a digit, about
    They touch, nearly, and together are about as tall as a digit, or not as two like the taller.
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
            ):
                stack.append(number)
                break
        else:
            stacks.append([number])
    return stacks


def join_bars(parts: list[list[int]], boxes: Boxes, height: float) -> list[list[int]]:
    """Return parts of digits, which are groups of boxes, each that is a bar joined with the nearest
    that it nearly touches, if both together are no taller than a digit, about.

    The bar of a 5 may lie beside its body, and be too low for a neighbour of whole digits.
    """
    joined = [list(part) for part in parts]
    outlines = np.array([around(boxes[part]) for part in parts]).reshape(-1, 4)
    there = np.ones(len(parts), np.bool_)
    for bar, outline in enumerate(outlines):
        if not there[bar] or not _is_bar(outline, height):
            continue
        apart = _apart(outline, outlines)
        high = np.maximum(outlines[:, 3], outline[3]) - np.minimum(outlines[:, 1], outline[1])
        near = there & (apart <= TOUCHING * height) & (high <= TALLEST * height)
        near[bar] = False
        if near.any():
            body = int(np.where(near, apart, apart.max() + 1).argmin())
            joined[bar] += joined[body]
            outlines[bar] = around(outlines[[bar, body]])
            there[body] = False
    return [part for part, is_there in zip(joined, there, strict=True) if is_there]


def _is_bar(box: Boxes, height: float) -> bool:
    wide, high = box[2:] - box[:2]
    is_low = high < SMALL * height and wide > LONG * high
    return bool(is_low and SMALL * height <= wide <= TALLEST * height)


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
