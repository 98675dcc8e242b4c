"""An image as it would be, had the same hand drawn it a little otherwise."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitmlp.digits import PIXELS, SIDE

# By how much a view is sheared, columns a row; turned, radians; stretched, a factor.
SHEAR, TURN, STRETCH = 0.15, math.radians(8), 1.15

Floats = NDArray[np.float64]


def views(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return images (n, 28, 28) as (n, 8, 28, 28), float32 in the same units: sheared, turned,
    wider or narrower, taller or flatter, each one way and the other.
    """
    framed = np.pad(images.reshape(-1, PIXELS), ((0, 0), (0, 1)))
    seen = np.zeros((len(images), *_PLACES.shape[1:]), np.float32)
    for places, shares in zip(_PLACES, _SHARES, strict=True):
        seen += framed[:, places] * shares
    return seen.reshape(*seen.shape[:2], SIDE, SIDE)


def _changes() -> list[Floats]:
    """Return for each view a matrix (2, 2), from y and x in it to y and x in the image, both from
    the middle.
    """
    made = []
    for way in (-1, 1):
        cos, sin = math.cos(way * TURN), math.sin(way * TURN)
        made += [
            np.array([[1, 0], [way * SHEAR, 1]]),
            np.array([[cos, -sin], [sin, cos]]),
            np.diag([1, STRETCH**way]),
            np.diag([STRETCH**way, 1]),
        ]
    return made


def _corners(change: Floats) -> list[tuple[NDArray[np.int64], Floats]]:
    """Return the four pixels between which each pixel of a view lies, and the share of each.

    Numbers (784,), of what lies outside the image 784, and shares (784,): bilinear interpolation.
    """
    middle = (SIDE - 1) / 2
    y, x = change @ (np.indices((SIDE, SIDE)).reshape(2, PIXELS) - middle) + middle
    corners = []
    for row in (np.floor(y), np.floor(y) + 1):
        for column in (np.floor(x), np.floor(x) + 1):
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            place = np.where(inside, row * SIDE + column, PIXELS).astype(np.int64)
            corners.append((place, (1 - abs(y - row)) * (1 - abs(x - column))))
    return corners


# (4, views, 784), for each of the four pixels.
_CORNERS = [_corners(change) for change in _changes()]
_PLACES = np.array([[place for place, _ in corners] for corners in _CORNERS]).swapaxes(0, 1)
_SHARES = np.array([[share for _, share in corners] for corners in _CORNERS], np.float32)
_SHARES = _SHARES.swapaxes(0, 1)
