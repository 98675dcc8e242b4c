"""Digits in CSV files: a header, then a digit a row; read in batches, in bounded memory."""

import contextlib
import csv
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from digitmlp.checks import (
    BATCH_ROWS,
    LABELLED,
    UNLABELLED,
    reading,
    refuse_bomb,
    unscaled,
    wrong_value,
)
from digitmlp.digits import CLASSES, PIXELS, SIDE, Digits
from digitmlp.errors import DataError

LABEL = "label"
PIXEL_COLUMNS = [f"pixel{number}" for number in range(PIXELS)]
# As the other CSV of MNIST that goes round names the same pixels, row by column.
_PLACES = [f"{row}x{column}" for row in range(1, SIDE + 1) for column in range(1, SIDE + 1)]
_RENAMED = dict(zip(_PLACES, PIXEL_COLUMNS, strict=True))

_BLOCK = 1 << 19  # bytes parsed at once: with all that is made of them, they stay in the cache
_DECIMAL = re.compile(r"[01]?\.[0-9]*(e-?[0-9]+)?", re.IGNORECASE)  # scaled to 0-1, it seems
_LONGEST_LINE = 1 << 16  # bytes; a header has some 7,000, a row at most 3,140


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV that has not been read yet.

    name    what messages call it
    open    opens it for reading its bytes, unpacked
    packed  its size in the file that holds it, bytes
    """

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    packed: int

    def is_labelled(self) -> bool:
        """Return whether there is a label column; raises DataError where the header is wrong."""
        with self.opened() as file:
            return _read_header(self.name, file).label is not None

    def read(self, *, labelled: bool) -> Iterator[Digits]:
        """Yield the rows in order, some 8,192 at a time; none where there is only a header.

        Raises DataError, naming row and column, at the first cell that is not a whole number from
        0 to 255 (a label: 9), and where there is a label column but none is wanted, or none but
        one is. Rows count from 1, after the header. Whether pixels are scaled to 0-1 is known, and
        raised, only after the last row.
        """
        return unscaled(self.name, self._digits(labelled))

    def _digits(self, labelled: bool) -> Iterator[Digits]:
        with self.opened() as file:
            header = _read_header(self.name, file)
            header.expect(self.name, labelled)
            gathered: list[NDArray[np.uint8]] = []
            rows, waiting = 0, 0
            for block in self.blocks(file):
                cells = _parse(block, len(header.columns))
                if cells is None or header.has_wrong_label(cells):
                    raise _fault(self.name, header.columns, block, rows + 1)
                gathered.append(cells)
                rows += len(cells)
                waiting += len(cells)
                if waiting >= BATCH_ROWS:
                    yield header.digits(gathered)
                    gathered, waiting = [], 0
            if gathered:
                yield header.digits(gathered)

    def blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the rest of the open file in blocks of whole lines, each ended by a line feed.

        Blank lines at the end of the file are left out.
        """
        total = 0
        block = self._next_block(file)
        while block:
            total += len(block)
            refuse_bomb(self.name, total, self.packed)
            following = self._next_block(file)
            if not following:
                block = block.rstrip(b"\n") + b"\n"
            if block != b"\n":
                yield block
            block = following

    def _next_block(self, file: BinaryIO) -> bytes:
        block = file.read(_BLOCK)
        if block and not block.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE)
            if len(rest) == _LONGEST_LINE:
                raise DataError(
                    f"{self.name}: has a line of more than {_LONGEST_LINE:,} bytes; is it a CSV?"
                )
            block += rest
        return block.replace(b"\r\n", b"\n") if b"\r" in block else block

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file; what goes wrong while it is open is a DataError."""
        with reading(self.name), self.open() as file:
            yield file


@dataclass(frozen=True, slots=True)
class _Header:
    """Where the columns stand: their names in order, that of the label, those of the pixels."""

    columns: list[str]
    label: int | None
    pixels: NDArray[np.intp]

    def expect(self, name: str, labelled: bool) -> None:
        if labelled and self.label is None:
            raise DataError(f"{name}: {UNLABELLED}")
        if not labelled and self.label is not None:
            raise DataError(f"{name}: {LABELLED}")

    def has_wrong_label(self, cells: NDArray[np.uint8]) -> bool:
        return self.label is not None and bool(cells[:, self.label].max() >= CLASSES)

    def digits(self, blocks: list[NDArray[np.uint8]]) -> Digits:
        first = int(self.pixels[0])
        in_order = np.array_equal(self.pixels, np.arange(first, first + PIXELS))
        pixels = slice(first, first + PIXELS) if in_order else self.pixels
        images = np.concatenate([cells[:, pixels] for cells in blocks]).reshape(-1, SIDE, SIDE)
        if self.label is None:
            return Digits(images)
        labels = np.concatenate([cells[:, self.label] for cells in blocks])
        return Digits(images, labels.astype(np.int64))


def _read_header(name: str, file: BinaryIO) -> _Header:
    expected = "expected the column names label (if known), pixel0, pixel1, … pixel783"
    line = file.readline(_LONGEST_LINE)
    if not line.strip():
        what = "the first line is blank" if line else "is empty"
        raise DataError(f"{name}: {what}; {expected}")
    line = line.rstrip(b"\r\n")
    if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name}: is UTF-16 or no text at all; save it as CSV in UTF-8")
    if b"\r" in line:
        raise DataError(f"{name}: its lines end in CR alone; save it with LF or CR LF")
    columns = next(csv.reader([line.decode("utf-8-sig", "replace")]))
    known = [_RENAMED.get(column, column) for column in columns]
    places = {column: place for place, column in enumerate(known)}
    if not places.keys() & {LABEL, *PIXEL_COLUMNS}:
        raise DataError(f"{name}: the first line starts with {columns[0][:20]!r}; {expected}")
    expect_columns(name, known)
    pixels = np.array([places[column] for column in PIXEL_COLUMNS])
    return _Header(columns, places.get(LABEL), pixels)


def expect_columns(name: str, columns: list[str]) -> None:
    """Raise DataError unless these are pixel0 to pixel783, with or without label, in any order."""
    expected = "expected label (if known) and pixel0 to pixel783, in any order"
    for place, column in enumerate(columns):
        if column in columns[:place]:
            raise DataError(f"{name}: column {column[:20]!r} is there twice; {expected}")
    there, known = set(columns), {LABEL, *PIXEL_COLUMNS}
    missing = [column for column in PIXEL_COLUMNS if column not in there]
    unknown = [column for column in columns if column not in known]
    faults = [
        f"{len(faulty):,} columns are {word} ({faulty[0][:20]!r} is the first)"
        if len(faulty) > 1
        else f"column {faulty[0][:20]!r} is {word}"
        for faulty, word in ((missing, "missing"), (unknown, "unknown"))
        if faulty
    ]
    if faults:
        raise DataError(f"{name}: {' and '.join(faults)}; {expected}")


def _parse(block: bytes, columns: int) -> NDArray[np.uint8] | None:
    """Return the cells of whole lines, uint8 (rows, columns); None if anything is wrong.

    Every cell must be one to three decimal digits of at most 255, every line have so many cells.
    A dozen passes of numpy over a block in the cache take less than half the time of
    `numpy.loadtxt`, and nothing else is let through: no sign, space, blank line or comment.
    """
    text = np.frombuffer(block, np.uint8)
    digit = text - np.uint8(ord("0"))  # wraps around: all that is no digit is above 9
    place = np.flatnonzero(digit > 9)  # of the comma or line feed after each cell
    rows, rest = divmod(len(place), columns)
    if (
        rest
        or (text[place[columns - 1 :: columns]] != ord("\n")).any()
        or np.count_nonzero(text == ord(",")) != rows * (columns - 1)
    ):
        return None
    # Place -1, before the first cell, is the block's last line feed: no digit, as it must be.
    place -= 1
    cells = digit[place]
    if cells.max() > 9:  # an empty cell
        return None
    place -= 1
    longer = np.flatnonzero(digit[place] <= 9)  # cells of two digits or three, about a fifth
    place = place[longer]
    values = cells[longer] + np.uint16(10) * digit[place]
    place -= 1
    longest = np.flatnonzero(digit[place] <= 9)
    place = place[longest]
    values[longest] += np.uint16(100) * digit[place]
    if values.max(initial=0) > 255 or (digit[place - 1] <= 9).any():
        return None
    cells[longer] = values
    return cells.reshape(rows, columns)


def _fault(name: str, columns: list[str], block: bytes, row: int) -> DataError:
    """Return the error that names the first fault in a block whose first line is this row."""
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), row):
        cells = line.decode("utf-8", "replace").split(",")
        if not line.strip():
            return DataError(f"{name}: row {number} is blank; expected {len(columns)} cells")
        if len(cells) != len(columns):
            what = f"{name}: row {number} has {len(cells)} cells, expected {len(columns)}"
            cut = "a last row that is too short means that the file was cut"
            advice = cut if len(cells) < len(columns) else "mend or delete that row"
            return DataError(f"{what}; {advice}")
        for column, cell in zip(columns, cells, strict=True):
            most = CLASSES - 1 if column == LABEL else 255
            if not re.fullmatch("[0-9]{1,3}", cell) or int(cell) > most:
                place = f"{name}: row {number}, column {column}"
                value = repr(cell[:20]) if cell else "empty"
                return wrong_value(place, value, most, decimal=bool(_DECIMAL.fullmatch(cell)))
    raise AssertionError("the block was refused, yet every cell is right")
