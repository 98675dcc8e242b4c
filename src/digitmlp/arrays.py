"""Digits in NumPy's .npz and in Parquet."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from digitmlp.checks import (
    BATCH_ROWS,
    LABELLED,
    UNLABELLED,
    digits_of,
    reading,
    refuse_bomb,
    unscaled,
)
from digitmlp.csvfile import LABEL, PIXEL_COLUMNS, expect_columns
from digitmlp.digits import SIDE, Digits, Source
from digitmlp.errors import DataError
from digitmlp.picture import decode

# Parquet holds a page of each of its 784 columns at once; with these, little comes on top.
_PARQUET_ROWS, _BUFFER = 2048, 1 << 14  # rows a batch, bytes read at once


def open_npz(path: Path) -> Source:
    """Return an .npz as a source: x_train, y_train, x_test, y_test as in Keras's MNIST, or X, y.

    Images are (n, 784) or (n, 28, 28), of any number type; without y, X is the test part.
    """
    name = str(path)
    with reading(name), ZipFile(path) as archive:
        for member in archive.infolist():
            refuse_bomb(name, member.file_size, member.compress_size)
        keys = {member.removesuffix(".npy") for member in archive.namelist()}
    train = test = None
    for images, labels in (("x_train", "y_train"), ("X", "y")):
        if {images, labels} <= keys:
            train = partial(_read_npz, path, images, labels)
    if "x_test" in keys:
        test = partial(_read_npz, path, "x_test", "y_test" if "y_test" in keys else None)
    elif "X" in keys and "y" not in keys:
        test = partial(_read_npz, path, "X", None)
    if train is None and test is None:
        raise DataError(
            f"{name}: holds the arrays {', '.join(sorted(keys)) or 'none'}; "
            "expected x_train, y_train, x_test, y_test, or X, y"
        )
    return Source(
        name=name,
        train=train,
        test=test,
        no_train="has no labels (y_train or y); training and evaluation need them",
    )


def _read_npz(path: Path, images: str, labels: str | None) -> Iterator[Digits]:
    """Yield the digits in batches; an .npz is unpacked whole."""
    pixels = _read_array(path, images)
    known = None if labels is None else _read_array(path, labels)
    digits = digits_of(f"{path}: {images}", pixels, known)
    batches = (
        digits.select(np.arange(start, min(start + BATCH_ROWS, len(digits))))
        for start in range(0, len(digits), BATCH_ROWS)
    )
    return unscaled(f"{path}: {images}", batches)


def _read_array(path: Path, key: str) -> NDArray[Any]:
    try:
        with reading(str(path)), np.load(path, allow_pickle=False) as arrays:
            array = arrays[key]
            if not isinstance(array, np.ndarray):  # bytes, where the member is no .npy file
                raise ValueError("not an array")
            return array
    except (ValueError, MemoryError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: the array {key} cannot be read ({error}); "
            "expected plain numbers: objects are never unpickled"
        ) from error


def open_parquet(path: Path) -> Source:
    """Return a Parquet file as a source: labelled, to train on; else to predict for.

    Columns as in Kaggle's CSV (label, pixel0 to pixel783, in any order), or as in Hugging Face's
    MNIST (label, and image with a 28×28 grey picture's file in image.bytes).
    """
    import pyarrow
    from pyarrow import parquet

    name = str(path)
    try:
        with reading(name), parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
    except pyarrow.ArrowException as error:
        raise DataError(f"{name}: not a sound Parquet file ({error})") from error
    pictures = "image" in schema.names
    if pictures:
        image = schema.field("image").type
        if not (pyarrow.types.is_struct(image) and image.get_field_index("bytes") >= 0):
            raise DataError(f"{name}: column image is {image}; expected a struct with bytes")
    else:
        expect_columns(name, schema.names)
    if LABEL in schema.names:
        return Source(
            name=name,
            train=lambda: _read_parquet(path, pictures, labelled=True),
            no_test=LABELLED,
        )
    return Source(
        name=name,
        test=lambda: _read_parquet(path, pictures, labelled=False),
        no_train=UNLABELLED,
    )


def _read_parquet(path: Path, pictures: bool, labelled: bool) -> Iterator[Digits]:
    return unscaled(str(path), _parquet_batches(path, pictures, labelled))


def _parquet_batches(path: Path, pictures: bool, labelled: bool) -> Iterator[Digits]:
    import pyarrow
    from pyarrow import parquet

    name = str(path)
    columns = (["image"] if pictures else PIXEL_COLUMNS) + ([LABEL] if labelled else [])
    row = 1
    try:
        with reading(name), parquet.ParquetFile(path, buffer_size=_BUFFER) as file:
            for batch in _record_batches(file, columns):
                cells = batch.select(columns).columns
                for column, array in zip(columns, cells, strict=True):
                    if array.null_count:
                        missing = array.is_null().to_pylist().index(True)
                        raise DataError(f"{name}: row {row + missing}, {column} is empty")
                labels = cells.pop().to_numpy(zero_copy_only=False) if labelled else None
                if pictures:
                    pixels = _decoded(name, cells[0], row)
                else:
                    pixels = np.stack([array.to_numpy(zero_copy_only=False) for array in cells]).T
                yield digits_of(name, pixels, labels, row)
                row += len(batch)
    except pyarrow.ArrowException as error:
        raise DataError(f"{name}: damaged near row {row} ({error})") from error


def _record_batches(file: Any, columns: list[str]) -> Iterator[Any]:
    """Yield the rows a row group at a time: taken all at once, pyarrow keeps those gone by."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(
            _PARQUET_ROWS, row_groups=[group], columns=columns, use_threads=False
        )


def _decoded(name: str, pictures: Any, row: int) -> NDArray[np.uint8]:
    """Return the pictures, uint8 (n, 28, 28), with the pixels that they have."""
    images = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    for place, content in enumerate(pictures.field("bytes").to_pylist()):
        try:
            pixels = decode(BytesIO(content or b"")).pixels
        except DataError as error:
            raise DataError(f"{name}: row {row + place}, {error}") from error
        if pixels.shape != (SIDE, SIDE):
            raise DataError(
                f"{name}: row {row + place}, the picture is {'×'.join(map(str, pixels.shape))}; "
                f"expected {SIDE}×{SIDE}, grey"
            )
        images[place] = pixels
    return images
