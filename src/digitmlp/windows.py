"""A picture in grey, a coarse copy of it, and windows around its pixels."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

COARSE = 128  # pixels on the shorter side of the coarse copy in which light and paper are judged


def greyscale(pixels: NDArray[np.uint8]) -> Floats:
    """Return the grey levels, (h, w), of a picture, (h, w) grey or (h, w, 3) RGB."""
    grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    return grey.astype(np.float32)


def coarseness(shape: tuple[int, ...]) -> int:
    """Return how many pixels of a picture (h, w), across and down, its coarse copy averages."""
    return max(1, round(min(shape) / COARSE))


def shrunk(grey: Floats) -> Floats:
    """Return the coarse copy of a picture."""
    factor = coarseness(grey.shape)
    return np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey


def expanded(coarse: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a coarse copy at the size (h, w) of its picture."""
    if coarse.shape == shape:
        return coarse
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))


def highest(grey: NDArray[Scalar], radius: int) -> NDArray[Scalar]:
    """Return the maximum over a square window around each pixel; of a mask, whether any is set."""
    for axis in (0, 1):
        grey = np.moveaxis(grey, axis, 0)
        grey = np.pad(grey, ((radius, radius), (0, 0)), mode="edge")
        width, full = 1, 2 * radius + 1
        while width < full:  # the maximum over two windows that overlap is that over both
            step = min(width, full - width)
            grey = np.maximum(grey[:-step], grey[step:])
            width += step
        grey = np.moveaxis(grey, 0, axis)
    return np.ascontiguousarray(grey)


def blurred(grey: Floats, radius: int) -> Floats:
    """Return the mean over a square window around each pixel, cut off at the frame."""
    for axis in (0, 1):
        grey = np.moveaxis(grey, axis, 0)
        sums = np.zeros((len(grey) + 1, grey.shape[1]))
        grey.cumsum(0, out=sums[1:])
        place = np.arange(len(grey))
        first, end = np.maximum(place - radius, 0), np.minimum(place + radius + 1, len(grey))
        grey = np.moveaxis((sums[end] - sums[first]) / (end - first)[:, None], 0, axis)
    return np.ascontiguousarray(grey, np.float32)


def shift(by: int, length: int) -> tuple[slice, slice]:
    """Return which places of a line get what lies `by` places farther, and where that lies."""
    first, end = max(by, 0), max(length + min(by, 0), by, 0)
    return slice(first - by, end - by), slice(first, end)
