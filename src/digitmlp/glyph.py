"""One digit, brought into MNIST's form."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.components import longest
from digitmlp.digits import SIDE, Images
from digitmlp.picture import PictureSource, decode
from digitmlp.pieces import Pieces, around, cut_out
from digitmlp.sheet import LONGEST, look
from digitmlp.windows import shift

BOX = 20  # MNIST's digits fill a 20×20 box whose centre of mass lies in the middle of 28×28
FINE = 4  # strokes are made thicker or thinner at so many pixels a pixel
EDGE = 128  # ink at the edge of a stroke

# Of the digits in train.csv, 9 in 10 are drawn with strokes of 1.8 to 4 pixels, half under 2.6.
WIDE, WIDEST = 0.8, 1.5  # of a digit's height: MNIST's are seldom wider; others never
THIN, USUAL, THICK = 2.4, 2.6, 4.0


def read_digit(source: PictureSource) -> Images:
    """Return a picture of one digit as one image (28, 28) in MNIST's manner.

    Ink may be dark on light or light on dark; a blank picture gives an empty image. Raises
    DataError.
    """
    pieces = look(decode(source, LONGEST).pixels)
    group = largest_group(pieces)
    if not group:
        return np.zeros((SIDE, SIDE), np.uint8)
    return to_digit(cut_out(pieces, group, around(pieces.boxes[group])))


def largest_group(pieces: Pieces) -> list[int]:
    """Return the numbers of the largest piece and of those near enough to be parts of it."""
    group = [int(longest(pieces.boxes).argmax())] if len(pieces) else []
    near = 0.25 * pieces.height
    for number in group:
        box = pieces.boxes[number]
        apart = np.maximum(pieces.boxes[:, :2] - box[2:], box[:2] - pieces.boxes[:, 2:]).max(1)
        group += [int(other) for other in np.flatnonzero(apart <= near) if other not in group]
    return sorted(group)


def to_digit(ink: NDArray[np.uint8]) -> Images:
    """Return ink (h, w), uint8, ink 255 on ground 0, as one image (28, 28) in MNIST's manner.

    The inked part, its longer side scaled to 20 pixels, its centre of mass in the middle, with
    strokes as thick as MNIST's. No ink gives an empty image.
    """
    digit = np.zeros((SIDE, SIDE), np.uint8)
    if ink.max(initial=0) < EDGE:
        return digit
    fine = _fitted(_squeezed(_cropped(ink)), BOX * FINE)
    thickness = stroke_thickness(fine) / FINE
    wanted = USUAL if thickness < THIN else min(thickness, THICK)
    if wanted != thickness:
        fine = _cropped(thickened(fine, (wanted - thickness) / 2 * FINE))
    small = _fitted(fine, BOX)
    height, width = small.shape
    mass = small.sum(dtype=np.float64)
    top = round((SIDE - 1) / 2 - (small.sum(1) @ np.arange(height)) / mass)
    left = round((SIDE - 1) / 2 - (small.sum(0) @ np.arange(width)) / mass)
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    digit[top : top + height, left : left + width] = small
    return digit


def stroke_thickness(ink: NDArray[np.uint8]) -> float:
    """Return the thickness of the strokes, pixels: twice their area by the length of their edges.

    Summed over all levels of ink, edges are as long as the sum of the gradient (coarea formula).
    """
    soft = _framed(ink, 1).astype(np.float32)
    down, across = soft[2:, 1:-1] - soft[:-2, 1:-1], soft[1:-1, 2:] - soft[1:-1, :-2]
    return float(2 * soft.sum() / (np.sqrt(down * down + across * across).sum() / 2))


def thickened(ink: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Return the ink grown by a disk of this radius, pixels, or shrunk where it is negative.

    Grown ink takes a frame wider by as much, rounded up; shrunk ink that would vanish stays.
    """
    if radius < 0:
        thinner = 255 - _grown(255 - ink, -radius)
        return thinner if thinner.max(initial=0) >= EDGE else ink
    return _grown(_framed(ink, int(np.ceil(radius))), radius)


def _grown(ink: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Return the ink grown, in the same frame; between whole radii it is interpolated."""
    reach = int(np.ceil(radius))
    height, width = ink.shape
    least, most = ink.copy(), ink.copy()  # grown by the whole radii below and above
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            distance = math.hypot(x, y)
            if distance <= reach:
                (to_rows, rows), (to_columns, columns) = shift(y, height), shift(x, width)
                shifted = ink[rows, columns]
                np.maximum(most[to_rows, to_columns], shifted, out=most[to_rows, to_columns])
                if distance <= reach - 1:
                    np.maximum(least[to_rows, to_columns], shifted, out=least[to_rows, to_columns])
    share = radius - (reach - 1)
    return np.rint(least + (most - least) * share).astype(np.uint8)


def _framed(ink: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return the ink in a frame of ground; np.pad takes longer than all else that is done to it."""
    wider = np.zeros((ink.shape[0] + 2 * width, ink.shape[1] + 2 * width), np.uint8)
    wider[width : width + ink.shape[0], width : width + ink.shape[1]] = ink
    return wider


def _cropped(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    inked = ink >= min(EDGE, ink.max())
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _squeezed(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the ink, narrower where it is wider than MNIST's digits are."""
    height, width = ink.shape
    excess = min(width, WIDEST * height) - WIDE * height
    if excess <= 0:
        return ink
    size = max(1, round(width - 0.75 * excess)), height
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC))


def narrowed(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the ink half as wide: what it may have been before it was stretched to a square."""
    size = max(1, ink.shape[1] // 2), ink.shape[0]
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BOX))


def _fitted(ink: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Return the ink with its longer side scaled to so many pixels."""
    scale = longest / max(ink.shape)
    size = max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale))
    resampling = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(ink).resize(size, resampling))
