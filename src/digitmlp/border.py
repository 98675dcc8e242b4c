"""The border of one colour that a picture may have: bars at two sides, a frame around it."""

import numpy as np

from digitmlp.ink import SNIPPET
from digitmlp.windows import Floats, Mask

EVEN = 10  # grey levels within which a border is of one colour
UNLIKE = 25  # grey levels by which what lies inside differs from it
NEARLY = 0.9  # share of a row or column for which that holds
NESTED = 3  # frames that may lie within each other
SOFT = 8  # pixels over which one may pass into the other
# Share of the picture's side that lies inside: else what lies there is a stroke, and the border is
# paper. Of a snippet it is more, as that may be cut to a stroke.
LEAST, LEAST_OF_SNIPPET = 0.3, 0.65


def inside(grey: Floats) -> tuple[slice, slice]:
    """Return the rows and columns of a picture (h, w) that lie within its border, if it has one.

    A border runs along two sides that face each other, or all four, in one colour, and ends in
    straight lines: the paper around what is drawn does not.
    """
    snippet = max(grey.shape) <= SNIPPET
    rows, columns = _whole(grey)
    for _ in range(NESTED):
        down, across = _inside(grey[rows, columns], snippet)
        inner = (
            slice(rows.start + down.start, rows.start + down.stop),
            slice(columns.start + across.start, columns.start + across.stop),
        )
        if inner == (rows, columns):
            break
        rows, columns = inner
    return rows, columns


def _inside(grey: Floats, snippet: bool) -> tuple[slice, slice]:
    """Return the rows and columns within the outermost border."""
    for side, opposite in ((grey[0], grey[-1]), (grey[:, 0], grey[:, -1])):
        colour = np.median(side)
        if (np.abs(opposite - colour) > EVEN).any():
            continue
        far = np.abs(grey - colour)
        even = far <= EVEN
        down, across = _between(even), _between(even.T)
        unlike = far >= UNLIKE
        rows = _clear(unlike[:, across], down, snippet)
        columns = _clear(unlike[down].T, across, snippet)
        if rows is None or columns is None or (rows, columns) == _whole(grey):
            continue
        # Within a line on paper, or a square zero, lies the same paper.
        if min(np.median(far[rows, columns]), _in_the_middle(far[rows, columns])) >= UNLIKE:
            return rows, columns
    return _whole(grey)


def _in_the_middle(far: Floats) -> float:
    """Return the median over the middle third of the rows and of the columns."""
    height, width = far.shape
    middle = far[height // 3 : height - height // 3, width // 3 : width - width // 3]
    return float(np.median(middle))


def _whole(grey: Floats) -> tuple[slice, slice]:
    return slice(0, grey.shape[0]), slice(0, grey.shape[1])


def _between(even: Mask) -> slice:
    """Return the rows between those at the top and those at the bottom that are of one colour.

    All of them where there are not both, or nothing between.
    """
    full = np.asarray(even.all(axis=1))  # a digit beside a frame is not lost
    if full.all() or not (full[0] and full[-1]):
        return slice(0, len(full))
    return slice(int(full.argmin()), len(full) - int(full[::-1].argmin()))


def _clear(unlike: Mask, rows: slice, snippet: bool) -> slice | None:
    """Return the rows without those that pass into the border; None where it has no end."""
    if rows == slice(0, len(unlike)):
        return rows
    clear = unlike[rows].mean(1) >= NEARLY
    if not (clear[:SOFT].any() and clear[-SOFT:].any()):
        return None
    mixed = 0 if snippet else 1
    first = rows.start + int(clear.argmax()) + mixed
    end = rows.stop - int(clear[::-1].argmax()) - mixed
    least = LEAST_OF_SNIPPET if snippet else LEAST
    return slice(first, end) if end - first >= least * len(unlike) else None
