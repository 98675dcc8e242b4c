"""MNIST's own files: images and labels in IDX, plain or gzip-compressed, in one folder."""

import gzip
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from digitmlp.checks import BATCH_ROWS, digits_of, reading, refuse_bomb, unscaled
from digitmlp.digits import PIXELS, SIDE, Digits, Labels, Source
from digitmlp.errors import DataError

_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")


def is_idx(name: str) -> bool:
    """Return whether a file is called as MNIST's are."""
    return _NAME.fullmatch(name) is not None


def open_idx(folder: Path) -> Source:
    """Return a folder of MNIST's files as a source; t10k is its test part, if it is there."""
    found = _find(folder)
    trains = {("train", "images"), ("train", "labels")} <= found.keys()
    return Source(
        name=str(folder),
        train=partial(stream, folder, "train") if trains else None,
        test=partial(stream, folder, "t10k") if ("t10k", "images") in found else None,
        no_train="has not both train-images and train-labels; training needs the two",
        no_test="has no t10k-images; there is nothing to predict for",
    )


def stream(folder: Path, part: str) -> Iterator[Digits]:
    """Yield the digits of a part, train or t10k, in order, 8,192 at a time.

    Raises DataError on anything but MNIST's form: unsigned bytes, 28×28, a label to each image.
    """
    found = _find(folder)
    images, labels = found[part, "images"], found.get((part, "labels"))
    return unscaled(str(images), _digits(images, labels))


def _find(folder: Path) -> dict[tuple[str, str], Path]:
    """Return MNIST's files by part and kind; one that is there twice, unpacked."""
    found = {}
    for path in sorted(folder.iterdir(), reverse=True):  # with .gz first
        if match := _NAME.fullmatch(path.name):
            found[match[1], match[2]] = path
    return found


def _digits(images: Path, labels: Path | None) -> Iterator[Digits]:
    known = None if labels is None else _read_labels(labels)
    with reading(str(images)), _open(images) as file:
        count = _read_header(images, file, (SIDE, SIDE))
        if known is not None and len(known) != count:
            raise DataError(
                f"{images}: {count} images but {len(known)} labels in {labels}; "
                "the two files must match"
            )
        for start in range(0, count, BATCH_ROWS):
            rows = min(BATCH_ROWS, count - start)
            pixels = np.frombuffer(_exactly(images, file, rows * PIXELS), np.uint8)
            yield digits_of(
                str(images),
                pixels.reshape(rows, PIXELS),
                None if known is None else known[start : start + rows],
                start + 1,
            )
        _expect_end(images, file)


def _read_labels(path: Path) -> Labels:
    with reading(str(path)), _open(path) as file:
        count = _read_header(path, file, ())
        labels = np.frombuffer(_exactly(path, file, count), np.uint8)
        _expect_end(path, file)
    return labels.astype(np.int64)


def _read_header(path: Path, file: BinaryIO, sides: tuple[int, ...]) -> int:
    """Return how many items follow, each of these sides; the format: LeCun et al., MNIST page."""
    magic = bytes([0, 0, 8, 1 + len(sides)])  # unsigned bytes, so many dimensions
    found = file.read(4)
    if found != magic:
        what = "images" if sides else "labels"
        raise DataError(
            f"{path}: starts with {found.hex() or 'nothing'}, expected {magic.hex()}; "
            f"not an IDX file of {what}"
        )
    count, *size = np.frombuffer(_exactly(path, file, 4 + 4 * len(sides)), ">u4").tolist()
    if tuple(size) != sides:
        raise DataError(f"{path}: images of {size[0]}×{size[1]}; expected {SIDE}×{SIDE}")
    unpacked = count * (PIXELS if sides else 1)
    packed = path.stat().st_size
    if path.suffix == ".gz":
        refuse_bomb(str(path), unpacked, packed)
    elif unpacked != packed - file.tell():
        raise DataError(
            f"{path}: {packed - file.tell():,} bytes follow its header, which says {unpacked:,}; "
            "copy it again"
        )
    return int(count)


def _exactly(path: Path, file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise DataError(f"{path}: cut: it ends before its header says; copy it again")
    return content


def _expect_end(path: Path, file: BinaryIO) -> None:
    if file.read(1):
        raise DataError(f"{path}: goes on after what its header says; copy it again")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
