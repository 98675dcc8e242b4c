"""Connected components of a mask, found from its runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Components:
    """The components of a mask (h, w), numbered from 1 in the order of their top row.

    labels  int32 (h, w): the component's number, 0 on the ground
    boxes   int64 (n, 4): left, top, right, bottom; right and bottom are the first outside
    areas   int64 (n,): pixels
    firsts  int64 (n,): the column of the leftmost pixel in its top row
    """

    labels: NDArray[np.int32]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    firsts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)


def find_components(mask: NDArray[np.bool_], *, at_corners: bool = True) -> Components:
    """Return the components of a mask (h, w).

    at_corners  whether pixels that meet at a corner are connected too, as strokes are
    """
    labels = np.zeros(mask.shape, np.int32)
    stride = mask.shape[1] + 2  # a column of ground on either side parts the rows
    padded = np.zeros((mask.shape[0], stride), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded.ravel())
    starts, ends = np.flatnonzero(change == 1) + 1, np.flatnonzero(change == -1) + 1
    # A run touches those of the next row that neither end before it starts nor start after its end.
    first = np.searchsorted(ends, starts + stride, "left" if at_corners else "right")
    counts = np.searchsorted(starts, ends + stride, "right" if at_corners else "left") - first
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) - np.repeat(counts.cumsum() - counts - first, counts)
    roots, owner = np.unique(_merged(len(starts), upper, lower), return_inverse=True)
    labels[mask] = np.repeat(owner + 1, ends - starts)
    boxes = np.zeros((len(roots), 4), np.int64)
    boxes[:, :2] = max(mask.shape)
    rows = starts // stride
    for side, values in ((0, starts % stride - 1), (1, rows)):
        np.minimum.at(boxes[:, side], owner, values)
    for side, values in ((2, ends - rows * stride - 1), (3, rows + 1)):
        np.maximum.at(boxes[:, side], owner, values)
    areas = np.bincount(owner, ends - starts, len(roots)).astype(np.int64)
    return Components(labels, boxes, areas, starts[roots] % stride - 1)


def _merged(count: int, upper: NDArray[np.int64], lower: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `count` nodes the least node that the edges connect it with."""
    least = np.arange(count)
    while True:
        one, other = least[upper], least[lower]
        if (one == other).all():
            return least
        np.minimum.at(least, np.maximum(one, other), np.minimum(one, other))
        while (least[least] != least).any():
            least = least[least]


def parents(found: Components) -> NDArray[np.int64]:
    """Return (n,): for each component the number of the one that has it in a hole, or 0."""
    ground = find_components(found.labels == 0, at_corners=False)  # a thin line encloses it
    labels = ground.labels
    # Above the first pixel of a component is ground; above that of a ground, what goes round it.
    around = np.append(0, _above(ground, found.labels))
    around[along_sides(labels)] = 0
    return around[_above(found, labels)]


def _above(found: Components, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (n,): the label above the first pixel of each component; 0 above the picture."""
    rows = found.boxes[:, 1]
    return np.where(rows > 0, labels[rows - 1, found.firsts], 0)


def along_sides(picture: NDArray[Any]) -> NDArray[Any]:
    """Return what lies along the four sides of a picture (h, w), each place once."""
    return np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])


def longest(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the longer side of each box (n, 4)."""
    sides: NDArray[np.int64] = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    return sides


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask (h, w) beside, above or below which is one outside the mask.

    The picture's edge is no such place.
    """
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def thickness(found: Components, rim: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (n,): how thick the strokes of each component are, in pixels.

    rim  (h, w), as from `outline`
    """
    length = np.bincount(found.labels[rim], minlength=len(found) + 1)[1:]
    # A stroke of this thickness has half its outline on either side.
    thick: NDArray[np.float64] = 2 * found.areas / np.maximum(length, 1)
    return thick


def form(mask: NDArray[np.bool_]) -> float:
    """Return the area of what a mask (h, w) holds by the root of the determinant of its covariance:
    12 for any parallelogram, 4π for an ellipse, more for what is less compact.
    """
    return float(np.count_nonzero(mask) / np.sqrt(np.linalg.det(np.cov(np.nonzero(mask)))))


def median(values: NDArray[Any], weights: NDArray[Any]) -> float:
    """Return the least value that, with those below it, has half of all weight."""
    order = np.argsort(values)
    reached = weights[order].cumsum()
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
