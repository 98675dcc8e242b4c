"""Pieces of ink that may be digits, or parts of digits."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from digitmlp.components import Components, find_components, outline
from digitmlp.ink import SNIPPET, WEAK, find_ink

Boxes = NDArray[np.int64]

SOLID = 0.45  # strokes are thinner than this share of what they draw
FINEST = 0.35  # thinner strokes than so much of the usual ones are creases or dirt
MOST = 400  # pieces; the largest are kept
# A frame, no digit, encloses one piece of so much of its height, or so many of so little.
FRAMED, SEVERAL, SMALL = 0.3, 3, 0.08
# A sheet on a desk covers so much of the picture, and so much of its width and height; paper is so
# much of it; its edge is so wide, in pixels.
SHEET, BROAD, FULL, EDGE = 0.1, 0.3, 0.65, 3
# Its area by the root of the determinant of its covariance: 12 for any parallelogram, 4π for an
# ellipse, less for what is less compact.
FORM, UNEVEN = 12, 0.15
FRAMES = 60  # at most; the largest pieces are tried

FLAT = 3  # wide by high: so many digits seldom touch each other

LONGEST = 2048  # pixels on the longer side of a picture that is looked at; more are no help
LEAST = 400  # on the longer side of a copy whose pixels are averaged
SHORTEST = 100  # on the shorter side; with fewer, ink has no clear edge
ENOUGH = 40  # in the height of a digit; a finer copy shows no more


@dataclass(frozen=True, eq=False, slots=True)
class Pieces:
    """Connected ink, without specks and blots.

    ink     uint8 (h, w), as from `find_ink`
    labels  int32 (h, w): the piece's number, from 0; -1 elsewhere
    boxes   int64 (n, 4): left, top, right, bottom; right and bottom are the first outside
    height  of a digit here, about, in pixels
    scale   pixels of the picture to a pixel of ink
    """

    ink: NDArray[np.uint8]
    labels: NDArray[np.int32]
    boxes: Boxes
    height: float
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.boxes)


def look(pixels: NDArray[np.uint8]) -> Pieces:
    """Return the pieces of a picture, (h, w) grey or (h, w, 3) RGB, at a scale that suits them."""
    image = Image.fromarray(pixels)
    for factor in (4, 2):
        if max(image.size) >= factor * LEAST:
            coarse = _look(np.asarray(image.reduce(factor)))
            if coarse.height >= ENOUGH:
                return dataclasses.replace(coarse, scale=float(factor))
    zoom = max(1, min(-(-SHORTEST // min(image.size)), LONGEST // max(image.size)))
    if zoom > 1:
        size = image.width * zoom, image.height * zoom
        pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return dataclasses.replace(_look(pixels), scale=1 / zoom)


def _look(pixels: NDArray[np.uint8]) -> Pieces:
    """Return the pieces of a picture; where there is a sheet of paper in it, those on the sheet."""
    pieces = find_pieces(find_ink(pixels))
    if max(pieces.ink.shape) <= SNIPPET or (sheet := _sheet(pieces)) is None:
        return pieces
    alone = pixels.copy()
    alone[~sheet] = np.median(pixels[sheet], axis=0)
    drawn = find_pieces(find_ink(alone))
    return drawn if len(drawn) else pieces


def _sheet(pieces: Pieces) -> NDArray[np.bool_] | None:
    """Return where a sheet lies, or a board, (h, w): a large piece with four sides, full but for
    small holes; None where there is none.
    """
    sizes = np.bincount(pieces.labels[pieces.labels >= 0], minlength=1)
    largest = int(sizes.argmax())
    if len(pieces) == 0 or sizes[largest] < SHEET * pieces.labels.size:
        return None
    sides = pieces.boxes[largest, 2:] - pieces.boxes[largest, :2]
    if (sides < BROAD * np.array(pieces.labels.shape[::-1])).any():
        return None
    mask = pieces.labels == largest
    grounds = find_components(~mask).labels
    rim = np.unique(np.concatenate([grounds[0], grounds[-1], grounds[:, 0], grounds[:, -1]]))
    outside = np.isin(grounds, rim[rim > 0])
    area = np.count_nonzero(~outside)
    form = area / math.sqrt(np.linalg.det(np.cov(np.nonzero(~outside))))
    if sizes[largest] < FULL * area or abs(form - FORM) > UNEVEN:
        return None
    # Its edge is no ink either.
    wider = Image.fromarray(outside).convert("L").filter(ImageFilter.MaxFilter(2 * EDGE + 1))
    inside: NDArray[np.bool_] = np.asarray(wider) == 0
    return inside


def find_pieces(ink: NDArray[np.uint8]) -> Pieces:
    """Return the pieces of ink (h, w) that are large enough and drawn with strokes."""
    mask = ink >= WEAK
    found = find_components(mask)
    count = len(found) + 1
    sizes = longest(found.boxes)
    around_each = np.bincount(found.labels[outline(mask)], minlength=count)[1:]
    # A stroke of this thickness has half its outline on either side.
    thickness = 2 * found.areas / np.maximum(around_each, 1)
    able = (sizes >= 6) & (found.areas >= 12)
    drawn = able & (thickness <= SOLID * sizes)
    if drawn.any():
        able = drawn
    able[_frames(found, np.flatnonzero(able))] = False
    kept = np.flatnonzero(able)
    if len(kept) == 0:
        return Pieces(ink, np.full(ink.shape, -1, np.int32), np.zeros((0, 4), np.int64), 0.0)
    lengths = found.areas[kept] / thickness[kept]  # of the strokes
    height = _median(heights(found.boxes[kept]), lengths)
    usual = _median(thickness[kept], lengths)
    kept = kept[(sizes[kept] >= 0.3 * height) & (thickness[kept] >= FINEST * usual)]
    kept = np.sort(kept[np.argsort(-found.areas[kept], kind="stable")][:MOST])
    numbers = np.full(count, -1, np.int32)
    numbers[kept + 1] = np.arange(len(kept))
    return Pieces(ink, numbers[found.labels], found.boxes[kept], height)


def _frames(found: Components, able: NDArray[np.int64]) -> list[int]:
    """Return which of the components, from 0, are frames around others of the able ones."""
    boxes, sides = found.boxes, found.boxes[:, 3] - found.boxes[:, 1]
    frames = []
    # A digit as open as a 4 may have a loose piece in its box; in a hole of it, hardly ever.
    for outer in able[np.argsort(-longest(boxes[able]), kind="stable")][:FRAMES].tolist():
        inside = (boxes[able, :2] > boxes[outer, :2]) & (boxes[able, 2:] < boxes[outer, 2:])
        inner = able[inside.all(1) & (sides[able] >= SMALL * sides[outer])]
        if len(inner) == 0:
            continue
        left, top, right, bottom = boxes[outer].tolist()
        labels = np.pad(found.labels[top:bottom, left:right], 1)
        grounds = find_components(labels != outer + 1).labels
        enclosed = inner[~np.isin(inner + 1, labels[grounds == grounds[0, 0]])]
        tall = sides[enclosed] >= FRAMED * sides[outer]
        if tall.any() or len(enclosed) >= SEVERAL:
            frames.append(outer)
    return frames


def longest(boxes: Boxes) -> NDArray[np.int64]:
    """Return the longer side of each box (n, 4)."""
    sides: NDArray[np.int64] = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    return sides


def heights(boxes: Boxes) -> NDArray[np.float64]:
    """Return how tall each box (n, 4) is; a flat one, as the digit of which it may be the bar."""
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    tall: NDArray[np.float64] = np.where(wide > FLAT * high, 0.6 * wide, high)
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


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the least value that, with those below it, has half of all weight."""
    order = np.argsort(values)
    reached = weights[order].cumsum()
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
