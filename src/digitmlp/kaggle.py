"""Kaggle's Digit Recognizer: its files in a folder or zip, and the predictions that it takes."""

import contextlib
import csv
import gzip
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from digitmlp import files
from digitmlp.checks import LABELLED, UNLABELLED, reading
from digitmlp.csvfile import CsvFile
from digitmlp.digits import CLASSES, Digits, Labels, Source
from digitmlp.errors import DataError

TRAIN, TEST, SAMPLE = "train.csv", "test.csv", "sample_submission.csv"

Prediction = tuple[Digits, Labels, NDArray[np.float32]]


def open_csv(path: Path) -> Source:
    """Return a CSV, plain or gzip-compressed, as a source: by its header, to train or to test."""
    file = _loose(path)
    if file.is_labelled():
        return Source(name=file.name, train=lambda: file.read(labelled=True), no_test=LABELLED)
    return Source(name=file.name, test=lambda: file.read(labelled=False), no_train=UNLABELLED)


def open_folder(folder: Path) -> Source:
    """Return a folder of Kaggle's files as a source."""
    paths = (folder / name for name in (TRAIN, TEST, SAMPLE))
    return _source(str(folder), {path.name: _loose(path) for path in paths if path.exists()})


def open_zip(path: Path) -> Source:
    """Return Kaggle's zip as a source; its files are read where they are, never unpacked.

    Raises DataError where the zip is damaged, encrypted or suspicious.
    """
    found: dict[str, CsvFile] = {}
    with reading(str(path)), ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        *folders, name = re.split(r"[/\\]", member.filename)
        if ".." in folders or member.filename.startswith(("/", "\\")):
            raise DataError(f"{path}: holds {member.filename!r}, a path out of the zip; refused")
        if name not in (TRAIN, TEST, SAMPLE):
            continue
        if name in found:
            raise DataError(f"{path}: holds more than one {name}; expected one")
        if member.flag_bits & 1:
            raise DataError(f"{path}: {name} is encrypted; unpack it and give the folder")
        unpacked = partial(_opened_member, path, member)
        found[name] = CsvFile(f"{path}/{member.filename}", unpacked, member.compress_size)
    return _source(str(path), found)


@contextlib.contextmanager
def _opened_member(path: Path, member: ZipInfo) -> Iterator[BinaryIO]:
    with ZipFile(path) as archive, archive.open(member) as opened:
        yield cast(BinaryIO, opened)


def _loose(path: Path) -> CsvFile:
    with reading(str(path)):
        return CsvFile(str(path), partial(_open, path), path.stat().st_size)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _source(name: str, found: dict[str, CsvFile]) -> Source:
    train, test, sample = (found.get(file) for file in (TRAIN, TEST, SAMPLE))
    if train is None and test is None:
        raise DataError(f"{name}: holds neither {TRAIN} nor {TEST}; expected Kaggle's files")
    return Source(
        name=name,
        train=None if train is None else lambda: train.read(labelled=True),
        test=None if test is None else lambda: test.read(labelled=False),
        ids=None if sample is None else lambda: read_ids(sample),
        no_train=f"has no {TRAIN}; training and evaluation need labelled digits",
        no_test=f"has no {TEST}; there is nothing to predict for",
    )


def read_ids(file: CsvFile) -> NDArray[np.int64]:
    """Return the ImageIds of a sample submission, int64 (n,), in order; raises DataError."""
    parts = [np.empty(0, np.int64)]
    row = 0
    with file.opened() as opened:
        try:
            header = next(csv.reader([opened.readline(1000).decode("utf-8-sig").strip()]), [])
            place = header.index("ImageId")
            for block in file.blocks(opened):
                ids = []
                for cells in csv.reader(block.decode().splitlines()):
                    row += 1
                    ids.append(int(cells[place]))
                parts.append(np.array(ids, np.int64))
        except (ValueError, IndexError, OverflowError, csv.Error) as error:
            where = f"row {row}" if row else "the first line"
            raise DataError(
                f"{file.name}: {where} cannot be read; "
                "expected the columns ImageId,Label and a whole number as ImageId in every row"
            ) from error
    return np.concatenate(parts)


def write_predictions(
    path: Path,
    source: Source,
    batches: Iterable[Prediction],
    *,
    probabilities: bool = False,
) -> int:
    """Write the predictions for a source's test part, as they come; return how many.

    `ImageId,Label` with the source's ids, else counted from 1; `file,label` for digits with names;
    with probabilities, p0 to p9 besides, to six digits. Each batch is digits, labels (n,) and
    probabilities (n, 10). The file is written whole or not at all.
    Raises DataError where rows and ids differ in number, OutputError.
    """
    ids = None if source.ids is None else source.ids()
    columns = ["file", "label"] if source.named else ["ImageId", "Label"]
    row_format = "%s,%d"
    if probabilities:
        columns += [f"p{digit}" for digit in range(CLASSES)]
        row_format += ",%.6g" * CLASSES
    rows = 0
    with files.replacing(path) as file:
        file.write((",".join(columns) + "\n").encode())
        for digits, labels, chances in batches:
            keys: Iterable[str | int]
            if digits.names is not None:
                keys = map(_quoted, digits.names)
            elif ids is not None:
                keys = ids[rows : rows + len(digits)].tolist()
            else:
                keys = range(rows + 1, rows + len(digits) + 1)
            cells = [chances[:, digit].tolist() for digit in range(CLASSES if probabilities else 0)]
            # Too few ids end a batch early; the count below tells.
            lines = [row_format % row for row in zip(keys, labels.tolist(), *cells, strict=False)]
            file.write("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))
            rows += len(digits)
        if ids is not None and len(ids) != rows:
            raise DataError(
                f"{source.name}: {TEST} has {rows:,} rows but {SAMPLE} has {len(ids):,} ids; "
                "the two must match"
            )
    return rows


def _quoted(name: str) -> str:
    """Return a file name as a CSV cell (RFC 4180)."""
    return '"' + name.replace('"', '""') + '"' if re.search('[",\r\n]', name) else name
