"""The border of one colour that a picture may have: bars, a frame, what a turned one leaves."""

import numpy as np
from PIL import Image, ImageDraw

from digitmlp.components import find_components, form, longest
from digitmlp.ink import SNIPPET
from digitmlp.windows import Floats, Mask, highest

Point = tuple[int, int]

EVEN = 10  # grey levels within which nearly all of a border is of one colour
UNLIKE = 25  # grey levels by which what lies inside differs from it
NEARLY = 0.85  # share of it, and of the rim of what lies inside, for which that holds
NESTED = 3  # frames that may lie within each other
DUST = 1 / 40  # of the picture's longer side
SEAM = 2  # pixels over which one passes into the other
# What lies inside is a parallelogram, of form 12, or one with round corners, up to a quarter of its
# side: 12.3.
FORM, UNEVEN = 12.1, 0.3
# Share of the picture's width and height, and of its area, that lies inside: else what lies there
# is a stroke. Of a snippet it is more, as that may be cut to a stroke.
LEAST, LEAST_OF_SNIPPET = (0.3, 0.1), (0.65, 0.47)
# What is of the border's colour inside, so much of all and so much of its own hull, is paper; a
# panel is as much of its hull.
HOLE, FULL = 0.1, 0.8
SMALLEST = 20  # pixels on the shorter side; with fewer, a digit's outline is as straight


def beyond(grey: Floats) -> Mask:
    """Return where in a picture (h, w) there is a border.

    It takes in the picture's four corners, in one colour, and has a clear end all around what lies
    inside, which has a simple form: the paper around what is drawn does not.
    """
    where = np.zeros(grey.shape, np.bool_)
    for _ in range(NESTED):
        rows, columns = within(where)
        outside = _beyond(grey[rows, columns])
        if not outside.any():
            break
        where[rows, columns] |= outside
    return where


def within(border: Mask) -> tuple[slice, slice]:
    """Return the rows and columns of a picture (h, w) that are not wholly border."""
    rows, columns = (np.flatnonzero(~border.all(axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _beyond(grey: Floats) -> Mask:
    """Return where the outermost border is."""
    corners = np.ix_((0, -1), (0, -1))
    colour = np.median(grey[corners])
    step = -(-max(grey.shape) // SNIPPET)  # of a large picture a sample tells enough
    sample = np.abs(grey - colour)[::step, ::step]
    outside = None
    if min(grey.shape) >= SMALLEST and (np.abs(grey[corners] - colour) <= EVEN).all():
        outside = _outside(sample, LEAST_OF_SNIPPET if step == 1 else LEAST)
    if outside is None:
        return np.zeros(grey.shape, np.bool_)
    # What is alike next to it, or at the picture's sides, may have no place in the sample.
    near = highest(np.pad(outside, 1, constant_values=True), min(step - 1, 1))[1:-1, 1:-1]
    height, width = grey.shape
    outside, near = (
        mask.repeat(step, 0).repeat(step, 1)[:height, :width] for mask in (outside, near)
    )
    return highest(outside | near & (np.abs(grey - colour) < UNLIKE), SEAM)


def _outside(far: Floats, least: tuple[float, float]) -> Mask | None:
    """Return what lies around a picture or panels; None where it is the paper around what is drawn.

    far    (h, w): how much each place differs from the colour of the corners
    least  shares of width and height, and of the area, that lie inside
    """
    side, area = least
    corners = np.ix_((0, -1), (0, -1))
    if np.count_nonzero(far >= UNLIKE) < LEAST[1] / 2 * far.size or (far[corners] > EVEN).any():
        return None
    labels = find_components(far < UNLIKE).labels
    border = np.isin(labels, labels[corners])
    others = find_components(~border)
    large = longest(others.boxes) > DUST * max(far.shape)
    boxes = others.boxes[large]
    if not large.any() or (
        (np.ptp(boxes.reshape(-1, 2), 0) < side * np.array(far.shape[::-1])).any()
    ):
        return None
    inside = _hull(np.append(False, large)[others.labels])
    rim = inside & highest(~np.pad(inside, SEAM), SEAM)[SEAM:-SEAM, SEAM:-SEAM]
    if inside.mean() < area or not _is_shown(inside, rim, far):
        return None
    # Where it shows several panels, what lies between them is border too; else strokes reach it.
    panels = [
        others.labels[top:bottom, left:right] == number
        for number, (left, top, right, bottom) in zip(np.flatnonzero(large) + 1, boxes, strict=True)
    ]
    if len(panels) == 1 or not all(panel.sum() >= FULL * _hull(panel).sum() for panel in panels):
        border &= rim
    return ~inside | border


def _is_shown(inside: Mask, rim: Mask, far: Floats) -> bool:
    """Return whether what lies inside, all (h, w), is a picture or panels rather than a stroke.

    far  how much each place differs from the border
    """
    if not (
        abs(form(inside) - FORM) <= UNEVEN
        and (far[~inside] <= EVEN).mean() >= NEARLY
        and (far[rim] >= UNLIKE).mean() >= NEARLY
        and np.median(far[inside]) >= UNLIKE
    ):
        return False
    # Within a line on paper, or a square zero, lies the same paper.
    alike = find_components(inside & (far < UNLIKE))
    if len(alike) == 0:
        return True
    hole = alike.labels == 1 + alike.areas.argmax()
    area = np.count_nonzero(hole)
    small = area < HOLE * np.count_nonzero(inside)
    return bool(small or area < FULL * np.count_nonzero(_hull(hole)))


def _hull(mask: Mask) -> Mask:
    """Return the mask's convex hull, (h, w)."""
    rows = np.flatnonzero(mask.any(1))
    left, right = mask[rows].argmax(1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)
    hull: list[Point] = []
    # Down the left side and up the right one, without what turns to the right.
    for xs, ys in ((left, rows), (right[::-1], rows[::-1])):
        side: list[Point] = []
        for point in zip(xs.tolist(), ys.tolist(), strict=True):
            while len(side) > 1 and not _turns(side[-2], side[-1], point):
                side.pop()
            side.append(point)
        hull += side
    filled = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(filled).polygon(hull, fill=1, outline=1)
    return np.array(filled)


def _turns(one: Point, other: Point, third: Point) -> bool:
    """Return whether the way from one point by the other to the third turns to the left there."""
    (x, y), (right, down) = np.subtract(other, one).tolist(), np.subtract(third, one).tolist()
    return bool(x * down < y * right)
