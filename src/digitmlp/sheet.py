"""The sheet in a picture that shows more than the sheet, and what is written on it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.border import beyond, within
from digitmlp.colour import contrasting
from digitmlp.components import Components, along_sides, find_components, form, outline
from digitmlp.detail import enlargement
from digitmlp.ink import SNIPPET, WEAK, find_ink
from digitmlp.pieces import Pieces, find_pieces
from digitmlp.windows import Floats, Mask, greyscale, highest

# A sheet on a desk covers so much of the picture, and so much of its width and height; paper is so
# much of it, as it is not of a zero with corners.
SHEET, BROAD, FULL = 0.05, 0.25, 0.8
EDGE = 3  # pixels along the side of a sheet that are neither paper nor ink
FORM, UNEVEN = 12, 0.15  # a parallelogram's, and by how much its may differ
# What lies beside a sheet runs along so much of the picture's shorter side, and goes straight to
# the picture's sides in so much of its area.
ALONG, STRAIGHT = 0.15, 0.8
REST = 0.5  # at most, of the picture: else it is the paper round a stroke as thick
# A picture may be cut to digits that have so much of its height, a snippet to any. Then what lies
# beside them is so much broader than strokes, and they have so much of the height but no side.
FILLED, BROADER, SEEN = 0.7, 3, 0.33

LONGEST = 2048  # pixels on the longer side of a picture that is looked at; more are no help
LEAST = 400  # on the longer side of a copy whose pixels are averaged
SHORTEST = 100  # on the shorter side; with fewer, ink has no clear edge
ENOUGH = 25  # in the height of a digit; a finer copy shows no more
# A copy so small that it has one ground counts if a digit has the first of these of its height, and
# its sides differ by no more than the second of its contrast.
CROP, EVEN = 0.3, 0.2


@dataclass(frozen=True, eq=False, slots=True)
class _Surroundings:
    """What is no paper in a picture.

    outside  (h, w): where there is none
    sheets   whether it lies round sheets, which were taken for ink, or else beside one
    """

    outside: Mask
    sheets: bool


def look(pixels: NDArray[np.uint8]) -> Pieces:
    """Return the pieces of a picture, (h, w) grey or (h, w, 3) RGB, at a scale that suits them."""
    pixels = contrasting(pixels)
    border = beyond(greyscale(pixels))
    rows, columns = within(border)
    found = _look_closely(pixels[rows, columns], border[rows, columns])
    if len(found) == 0 and border.any():  # a square zero
        return _look_closely(pixels, np.zeros_like(border))
    return dataclasses.replace(found, origin=(columns.start, rows.start))


def _look_closely(pixels: NDArray[np.uint8], border: Mask) -> Pieces:
    """Return the pieces of a picture within its border, at a scale that suits them."""
    image = Image.fromarray(pixels)
    around = None
    for factor in _reductions(pixels):
        copy = np.asarray(image.reduce(factor))
        coarse, around = _look(copy, border, around)
        if max(copy.shape) <= SNIPPET and not _is_crop(copy, coarse):
            around = None  # which is told otherwise in larger ones
        elif coarse.height >= ENOUGH:
            return dataclasses.replace(coarse, scale=float(factor))
    zoom = max(1, min(-(-SHORTEST // min(image.size)), LONGEST // max(image.size)))
    if zoom > 1:
        size = image.width * zoom, image.height * zoom
        pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return dataclasses.replace(_look(pixels, border, around)[0], scale=1 / zoom)


def _is_crop(copy: NDArray[np.uint8], pieces: Pieces) -> bool:
    """Return whether a small copy shows digits nearly as tall, on paper as bright at all sides:
    else it is of a page.
    """
    grey = greyscale(copy)
    darkest, lightest = np.quantile(along_sides(grey), (0.1, 0.9))
    is_even = lightest - darkest <= EVEN * np.ptp(grey)
    return bool(is_even and pieces.height >= CROP * len(grey))


def _reductions(pixels: NDArray[np.uint8]) -> list[int]:
    """Return by how much to reduce a picture for copies that may show enough, the coarsest first:
    a large one by 4 and 2, one that was enlarged by up to as much.
    """
    height, width = pixels.shape[:2]
    most = max(1, min(4, max(height, width) // LEAST))
    smallest = min(height, width) // SHORTEST
    if smallest >= 2 * most:
        small = np.asarray(Image.fromarray(pixels).reduce(most))
        most = min(most * enlargement(small), smallest)
    return [factor for factor in (16, 8, 4, 2) if factor <= most]


def _look(
    pixels: NDArray[np.uint8], border: Mask, around: _Surroundings | None
) -> tuple[Pieces, _Surroundings]:
    """Return the pieces of a picture; where there are sheets in it, those on the sheets too.

    border  where there is one, in a finer or coarser copy
    around  as found in a coarser copy, if any
    """
    paper = ~highest(_at(pixels.shape, border), 1)
    ink = find_ink(pixels, paper)
    if around is None or not around.sheets:  # a finer copy shows slivers of what lies beside
        found = _find_surroundings(pixels, ink)
        if around and not found.sheets:
            found = _Surroundings(found.outside | _at(ink.shape, around.outside), False)
        around = found
    return _pieces(pixels, ink, paper, around), around


def _at(shape: tuple[int, ...], mask: Mask) -> Mask:
    """Return the mask of a finer or coarser copy at the size (h, w, …) of a picture."""
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _pieces(
    pixels: NDArray[np.uint8], ink: NDArray[np.uint8], paper: Mask, around: _Surroundings
) -> Pieces:
    outside = _at(ink.shape, around.outside)
    if not outside.any():
        return find_pieces(ink)
    # The edge of the sheet is no ink either.
    written = find_ink(pixels, paper & ~highest(outside, EDGE))
    if not around.sheets:
        pieces = find_pieces(written)
        return pieces if _leaves_digits(outside, pieces) else find_pieces(ink)
    # What lies between sheets counts too, but neither the desk nor the rim of a sheet.
    labels = find_components(ink >= WEAK).labels
    between = ~np.isin(labels, np.append(labels[~outside], _sides(labels)))
    pieces = find_pieces(np.maximum(written, np.where(between, ink, np.uint8(0))))
    # A blank sheet, but a stroke that thick is a 1.
    return pieces if len(pieces) or _is_broad(~outside) else find_pieces(ink)


def _leaves_digits(outside: Mask, pieces: Pieces) -> bool:
    """Return whether what lies beside a sheet is none of the digits, which run along the sides of
    a picture that is cut to its ink.
    """
    drawn = pieces.labels >= 0
    high = (pieces.boxes[:, 3] - pieces.boxes[:, 1]).max(initial=0)
    if max(drawn.shape) > SNIPPET and high < FILLED * len(drawn):
        return True
    if high < SEEN * len(drawn) or along_sides(drawn).any():
        return False
    broad, stroke = (
        np.count_nonzero(mask) / max(int(np.count_nonzero(outline(mask))), 1)
        for mask in (outside, drawn)
    )
    return bool(broad >= BROADER * stroke)


def _find_surroundings(pixels: NDArray[np.uint8], ink: NDArray[np.uint8]) -> _Surroundings:
    grey = greyscale(pixels)
    if max(ink.shape) <= SNIPPET:
        return _Surroundings(_beside_sheet(grey, ink), False)
    sheets = _sheets(grey, find_components(ink >= WEAK))
    found = bool(sheets.any())
    return _Surroundings(~sheets if found else _beside_sheet(grey, ink), found)


def _sheets(grey: Floats, found: Components) -> Mask:
    """Return where in a picture, (h, w), lie sheets, or boards, that were taken for ink: large
    components with four sides, full but for what is written there.
    """
    shape = found.labels.shape
    sheets = np.zeros(shape, np.bool_)
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    for number in np.flatnonzero((sizes >= BROAD * np.array(shape[::-1])).all(1)) + 1:
        own = found.labels == number
        grounds = find_components(~own).labels
        sheet = ~np.isin(grounds, _sides(grounds))
        area = np.count_nonzero(sheet)
        if not SHEET * sheet.size <= area < sheet.size:
            continue
        # Where a sheet is wide it is found as ink at its edge alone, but it is as light inside.
        paper, desk = grey[own].mean(), grey[~sheet].mean()
        full = np.abs(grey[sheet] - paper) < np.abs(grey[sheet] - desk)
        # A ring of desk round a sheet is like what lies beyond, not like what it encloses.
        ring = abs(np.median(grey[sheet]) - paper) >= abs(paper - desk)
        if not ring and abs(form(sheet) - FORM) <= UNEVEN and np.count_nonzero(full) >= FULL * area:
            sheets |= sheet
    return sheets


def _is_broad(mask: Mask) -> bool:
    """Return whether a mask (h, w) holds what is at least half as wide as long."""
    narrow, wide = np.linalg.eigvalsh(np.cov(np.nonzero(mask)))
    return bool(narrow >= wide / 4)


def _sides(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels, 0 not among them, along the sides of a picture, (h, w)."""
    sides = np.unique(along_sides(labels))
    return sides[sides > 0]


def _beside_sheet(grey: Floats, ink: NDArray[np.uint8]) -> Mask:
    """Return where ink, (h, w), is what lies beside a sheet: long along the picture's sides."""
    if not along_sides(ink).any():
        return np.zeros(ink.shape, np.bool_)
    grounds = find_components(ink < WEAK).labels
    sizes = np.bincount(grounds.ravel())
    mean = np.bincount(grounds.ravel(), grey.ravel()) / np.maximum(sizes, 1)
    paper = 1 + int(sizes[1:].argmax()) if len(sizes) > 1 else 0
    # Where it is wide it too is ink at its edge alone.
    beyond = (np.abs(mean - mean[0]) < np.abs(mean - mean[paper]))[grounds]
    found = find_components(beyond)
    labels = found.labels
    beside = np.bincount(along_sides(labels), minlength=len(found) + 1) >= ALONG * min(ink.shape)
    beside[0] = False
    if not beside.any():
        return np.zeros(ink.shape, np.bool_)
    straight = np.zeros_like(beyond)
    for axis in (0, 1):
        straight |= np.logical_and.accumulate(beyond, axis)
        straight |= np.flip(np.logical_and.accumulate(np.flip(beyond, axis), axis), axis)
    reached = np.bincount(labels[straight], minlength=len(beside))[1:]
    beside[1:] &= reached >= STRAIGHT * found.areas
    where: Mask = beside[labels]
    return where & (np.count_nonzero(where) <= REST * where.size)
