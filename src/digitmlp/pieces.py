"""Pieces of ink that may be digits, or parts of digits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from digitmlp.components import (
    Components,
    find_components,
    longest,
    median,
    outline,
    parents,
    thickness,
)
from digitmlp.ink import WEAK

Boxes = NDArray[np.int64]

SOLID = 0.45  # strokes are thinner than this share of what they draw
FINEST = 0.35  # thinner strokes than so much of the usual ones are creases or dirt
# At a side of the picture what is so many times as tall as digits, or runs along it for as much,
# lies beside the paper.
STRIP = 4
MOST = 400  # pieces; the largest are kept
# A frame, no digit, has in a hole one piece with strokes as long as so much of its height and so
# tall, or so many of so little, and is so much taller than digits.
FRAMED, LOW, SEVERAL, SMALL, TALLER = 0.3, 0.15, 3, 0.08, 1.2

FLAT = 3  # wide by high: so many digits seldom touch each other


@dataclass(frozen=True, eq=False, slots=True)
class Pieces:
    """Connected ink, without specks and blots.

    ink     uint8 (h, w), as from `find_ink`
    labels  int32 (h, w): the piece's number, from 0; -1 elsewhere
    boxes   int64 (n, 4): left, top, right, bottom; right and bottom are the first outside
    height  of a digit here, about, in pixels
    scale   pixels of the picture to a pixel of ink
    origin  (left, top) of the ink in the picture, in its pixels
    """

    ink: NDArray[np.uint8]
    labels: NDArray[np.int32]
    boxes: Boxes
    height: float
    scale: float = 1.0
    origin: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.boxes)


def find_pieces(ink: NDArray[np.uint8]) -> Pieces:
    """Return the pieces of ink (h, w) that are large enough and drawn with strokes."""
    mask = ink >= WEAK
    found = find_components(mask)
    count = len(found) + 1
    sizes = longest(found.boxes)
    thick = thickness(found, outline(mask))
    able = (sizes >= 6) & (found.areas >= 12)
    drawn = able & (thick <= SOLID * sizes)
    if drawn.any():
        able = drawn
    lengths = found.areas / thick  # of the strokes
    able &= ~_frames(found, np.flatnonzero(able), lengths[able])
    kept = np.flatnonzero(able)
    if len(kept) == 0:
        return Pieces(ink, np.full(ink.shape, -1, np.int32), np.zeros((0, 4), np.int64), 0.0)
    lengths = lengths[kept]
    height = median(heights(found.boxes[kept]), lengths)
    usual = median(thick[kept], lengths)
    sides = (found.labels[0], found.labels[-1], found.labels[:, 0], found.labels[:, -1])
    along = np.max([np.bincount(side, minlength=count) for side in sides], 0)[kept + 1]
    tall = found.boxes[kept, 3] - found.boxes[kept, 1]
    beside = np.where(along > 0, np.maximum(along, tall), 0) > STRIP * height
    kept = kept[(sizes[kept] >= 0.3 * height) & (thick[kept] >= FINEST * usual) & ~beside]
    kept = np.sort(kept[np.argsort(-found.areas[kept], kind="stable")][:MOST])
    numbers = np.full(count, -1, np.int32)
    numbers[kept + 1] = np.arange(len(kept))
    return Pieces(ink, numbers[found.labels], found.boxes[kept], height)


def _frames(
    found: Components, drawn: NDArray[np.int64], lengths: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (n,): which components are frames around others of those drawn, numbers from 0.

    lengths  of the strokes of those drawn
    """
    count = len(found) + 1
    sides = found.boxes[:, 3] - found.boxes[:, 1]
    parent = parents(found)[drawn]
    outer = np.where(parent > 0, sides[parent - 1], np.inf)  # the height of what goes round it
    # A digit as open as a 4 may have a loose piece in its box; in a hole of it, hardly ever.
    framed = (lengths >= FRAMED * outer) & (sides[drawn] >= LOW * outer)
    frames = np.bincount(parent[framed], minlength=count) > 0
    frames |= np.bincount(parent[sides[drawn] >= SMALL * outer], minlength=count) >= SEVERAL
    frames = frames[1:]
    # What is no taller than digits are is a zero, with a stroke through it.
    others = ~frames[drawn]
    if others.any():
        frames &= sides > TALLER * median(sides[drawn][others], lengths[others])
    return frames


def heights(boxes: Boxes, of_bar: float = 0.6) -> NDArray[np.float64]:
    """Return how tall each box (n, 4) is; a flat one, as the digit of which it may be the bar.

    of_bar  how tall that is, by the bar's width; low by default: what is flat may be a long rule
    """
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    tall: NDArray[np.float64] = np.where(wide > FLAT * high, of_bar * wide, high)
    return tall


def around(boxes: Boxes) -> Boxes:
    """Return the box (4,) around boxes (n, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def cut_out(pieces: Pieces, numbers: list[int], box: Boxes) -> NDArray[np.uint8]:
    """Return the ink of the pieces with these numbers alone, with its soft edges, in their box."""
    height, width = pieces.ink.shape
    left, top = max(box[0] - 1, 0), max(box[1] - 1, 0)
    place = slice(top, min(box[3] + 1, height)), slice(left, min(box[2] + 1, width))
    labels = pieces.labels[place]
    wanted = np.zeros(len(pieces) + 1, bool)  # the last: what is no piece, -1
    wanted[numbers] = True
    own = wanted[labels]
    # The faint rim of a stroke belongs to it, and to no piece.
    near = np.asarray(Image.fromarray(own.view(np.uint8)).filter(ImageFilter.MaxFilter(3)))
    return np.where(own | ((labels < 0) & near.view(bool)), pieces.ink[place], np.uint8(0))
