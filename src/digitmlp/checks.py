"""What every reader of data checks, whatever the format."""

import contextlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from digitmlp.digits import CLASSES, PIXELS, SIDE, Digits
from digitmlp.errors import DataError

try:
    from lzma import LZMAError
except ImportError:  # a Python built without it, which refuses such archives otherwise
    LZMAError = BadZipFile  # type: ignore[misc,assignment]

BATCH_ROWS = 8192
BOMB_BYTES, BOMB_RATIO = 1 << 28, 200  # files of handwriting shrink to a tenth at best

LABELLED = "has a label column, so it is a training file; give a file without labels to predict for"
UNLABELLED = (
    "has no label column, so it is a test file; training and evaluation need a label in every row"
)
_RESCALE = "; pixels scaled to 0-1 must be multiplied by 255 and rounded first"

# What opening and unpacking an archive raises; of a member's name as well, which is text.
DAMAGED = (BadZipFile, zlib.error, LZMAError, NotImplementedError, UnicodeDecodeError)


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong while a file is opened, read or unpacked into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    except (EOFError, *DAMAGED) as error:
        raise DataError(f"{name}: damaged ({error}); download or copy it again") from error


def refuse_bomb(name: str, unpacked: int, packed: int) -> None:
    """Raise DataError where so many bytes came out of so few that it cannot be handwriting."""
    if unpacked > max(BOMB_BYTES, BOMB_RATIO * packed):
        raise DataError(
            f"{name}: unpacks to more than {BOMB_RATIO} times its size, as a zip bomb does; "
            "if it is sound, give it unpacked"
        )


def unscaled(name: str, batches: Iterable[Digits]) -> Iterator[Digits]:
    """Yield the batches; raise DataError after the last one if the highest pixel of all is 1.

    Such digits were scaled to 0-1 and cut to whole numbers: nearly all of their ink is lost. Only
    after the last pixel is this certain. All zeros are blank images, and fine.
    """
    highest = 0
    for batch in batches:
        highest = max(highest, int(batch.images.max(initial=0)))
        yield batch
    if highest == 1:
        raise DataError(f"{name}: the highest of all pixels is 1, expected 0 to 255{_RESCALE}")


def wrong_value(place: str, value: str, most: int, *, decimal: bool) -> DataError:
    """Return the error for a value that is no whole number from 0 to `most`."""
    advice = _RESCALE if decimal and most == 255 else ""
    return DataError(f"{place} is {value}; expected a whole number from 0 to {most}{advice}")


def digits_of(
    name: str, pixels: NDArray[Any], labels: NDArray[Any] | None, first_row: int = 1
) -> Digits:
    """Return arrays of any number type as Digits, once every number is known to be right.

    pixels  (n, 784) or (n, 28, 28), whole numbers 0-255; labels (n,), whole numbers 0-9
    Raises DataError, naming the row; the first is `first_row`.
    """
    if pixels.shape[1:] not in ((PIXELS,), (SIDE, SIDE)):
        shape = "×".join(map(str, pixels.shape))
        raise DataError(f"{name}: images of shape {shape}; expected n×{PIXELS} or n×{SIDE}×{SIDE}")
    if labels is not None and labels.shape != pixels.shape[:1]:
        shape = "×".join(map(str, labels.shape))
        raise DataError(f"{name}: {len(pixels)} images but labels of shape {shape}")
    flat = pixels.reshape(-1, PIXELS)
    _expect_whole(name, "pixel", flat, 255, first_row)
    images = np.ascontiguousarray(flat.astype(np.uint8, copy=False)).reshape(-1, SIDE, SIDE)
    if labels is None:
        return Digits(images)
    _expect_whole(name, "label", labels.reshape(-1, 1), CLASSES - 1, first_row)
    return Digits(images, labels.astype(np.int64))


def _expect_whole(name: str, what: str, array: NDArray[Any], most: int, first_row: int) -> None:
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"{name}: {what}s of type {array.dtype}; expected whole numbers from 0 to {most}"
        )
    if array.dtype == np.uint8 and most == 255:
        return
    right = (array >= 0) & (array <= most)
    if array.dtype.kind == "f":
        right &= array == np.floor(array)
    if not right.all():
        row, column = np.argwhere(~right)[0]
        value = array[row, column].item()
        where = f"{what}{column}" if what == "pixel" else what
        raise wrong_value(
            f"{name}: row {first_row + row}, {where}", str(value), most, decimal=0 < value < 1
        )
