"""The UCI digits that come inside scikit-learn, brought into MNIST's form."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.digits import CLASSES, Digits, Images, Source
from digitmlp.glyph import to_digit

# E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
# Repository, 1998: 8×8 counts of inked pixels, 0-16, of which scikit-learn holds 1,797.
_FULL = 16
_MARGIN, _ENLARGED = 2, 10  # cells of ground put around, pixels a cell
_GROUND, _INK = 0.35, 0.6  # shares of inked pixels; chosen by eye, to look as crisp as MNIST


def open_uci() -> Source:
    """Return the 1,797 digits as a source; every fourth of each label is the test part."""
    return Source(name="uci", train=lambda: _part(test=False), test=lambda: _part(test=True))


def _part(*, test: bool) -> Iterator[Digits]:
    digits = _digits()
    assert digits.labels is not None
    tested = np.zeros(len(digits), bool)
    for label in range(CLASSES):
        tested[np.flatnonzero(digits.labels == label)[3::4]] = True
    yield digits.select(np.flatnonzero(tested == test))


@functools.cache
def _digits() -> Digits:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.stack([_enlarged(cells) for cells in pixels.reshape(-1, 8, 8)])
    return Digits(images, labels.astype(np.int64))


def _enlarged(cells: NDArray[np.float64]) -> Images:
    """Return 8×8 cells, 0-16, as one image (28, 28): smoothly enlarged, then given hard edges."""
    share = Image.fromarray(np.pad(cells / _FULL, _MARGIN).astype(np.float32))
    side = share.width * _ENLARGED
    smooth = np.asarray(share.resize((side, side), Image.Resampling.BICUBIC))
    ink = ((smooth - _GROUND) / (_INK - _GROUND)).clip(0, 1)
    return to_digit((ink * 255).astype(np.uint8))
