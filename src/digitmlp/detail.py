"""How many pixels a picture has for what it shows: one that was enlarged has too many."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.windows import Floats, greyscale

BAND, BLOCK = 64, 16  # rows, and pixels a side, looked at together
EDGE = 24  # levels from the darkest to the lightest pixel of a block that holds an edge
# Of that difference, by how much pixels may differ from those of the enlarged copy. In pictures
# of 23 to 64 pixels, enlarged four times and more, it is 0.03 to 0.27; in others, with edges as
# sharp as pixels show them, 0.37 and more.
LOST = 0.3


def enlargement(pixels: NDArray[np.uint8]) -> int:
    """Return by how much a picture, (h, w) or (h, w, 3), may be reduced without loss: 1, 2, 4, …"""
    factor, image = 1, Image.fromarray(greyscale(pixels))
    while _is_enlarged(image):
        factor, image = 2 * factor, image.reduce(2)
    return factor


def _is_enlarged(image: Image.Image) -> bool:
    """Return whether the picture of half the size shows all edges of this one, and there are any.

    In most pictures the first edges tell that it does not; soft and blank ones take a while.
    """
    # A sharp edge may lie between the pixels of one copy, but not of the next as well.
    losses = itertools.chain(_losses(image, 0), _losses(image, 1))
    first = next(losses, math.inf)
    return first <= LOST and all(lost <= LOST for lost in losses)


def _losses(image: Image.Image, first: int) -> Iterator[float]:
    """Yield, of each band of rows with edges, how much a copy of half the size loses of one.

    first  row and column at which the copy begins
    """
    width, height = ((side - first) // 2 * 2 for side in image.size)
    if min(width, height) < 2:
        return
    for top in range(first, first + height, BAND):
        band = image.crop((first, top, first + width, min(top + BAND, first + height)))
        fine = np.asarray(band)
        copy = band.reduce(2).resize(band.size, Image.Resampling.BICUBIC)
        off = np.abs(fine - np.asarray(copy))
        most, darkest = _highest_of_blocks(fine), -_highest_of_blocks(-fine)
        edges = most - darkest >= EDGE
        if edges.any():
            yield float((_highest_of_blocks(off)[edges] / (most - darkest)[edges]).max())


def _highest_of_blocks(values: Floats) -> Floats:
    """Return the highest value of each block, those at the end being as they come."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    blocks = padded.reshape(len(padded) // BLOCK, BLOCK, -1, BLOCK)
    return np.asarray(blocks.max(3).max(1))
