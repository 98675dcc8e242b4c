"""Pictures of one digit, brought into MNIST's form."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.digits import SIDE, Images

BOX = 20  # MNIST's digits fill a 20×20 box whose centre of mass lies in the middle of 28×28


def to_digit(ink: NDArray[np.uint8]) -> Images:
    """Return ink (h, w), uint8, ink 255 on ground 0, as one image (28, 28) in MNIST's manner.

    The inked part, its longer side scaled to 20 pixels, its centre of mass in the middle.
    No ink gives an empty image.
    """
    digit = np.zeros((SIDE, SIDE), np.uint8)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if len(rows) == 0:
        return digit
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(crop.shape)
    height, width = (max(1, round(side * scale)) for side in crop.shape)
    small = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.LANCZOS))
    mass = small.sum(dtype=np.float64)
    top = round((SIDE - 1) / 2 - (small.sum(1) @ np.arange(height)) / mass)
    left = round((SIDE - 1) / 2 - (small.sum(0) @ np.arange(width)) / mass)
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    digit[top : top + height, left : left + width] = small
    return digit
