"""Folders of pictures, each of one digit."""

import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from digitmlp.checks import BATCH_ROWS
from digitmlp.digits import CLASSES, Digits, Source
from digitmlp.errors import DataError
from digitmlp.glyph import read_digit

_LABELS = {str(digit): digit for digit in range(CLASSES)}
_BESIDE = {".txt", ".md", ".csv", ".json", ".ini", ".db"}  # notes, not pictures: passed over

_Entry = tuple[Path, str, int | None]  # file, its name in the folder, label


def open_pictures(folder: Path) -> Source:
    """Return a folder of pictures as a source: with sub-folders 0 to 9, labelled; else to predict.

    Pictures are read in the order of their names. What cannot be read is passed over, and named in
    the source's `bad`; hidden files and notes (.txt, .csv, …) are passed over in silence.
    """
    name = str(folder)
    labelled = any((folder / digit).is_dir() for digit in _LABELS)
    bad: list[str] = []
    if not any(path.is_file() for path, _, _ in _entries(folder, labelled, [])):
        raise DataError(
            f"{name}: holds no data; expected Kaggle's or MNIST's files, pictures, "
            "or sub-folders 0 to 9 with pictures"
        )
    stream = partial(_stream, folder, labelled, bad)
    if labelled:
        return Source(name=name, train=stream, named=True, bad=bad)
    return Source(
        name=name,
        test=stream,
        named=True,
        bad=bad,
        no_train="has no sub-folders 0 to 9; training and evaluation need the pictures sorted so",
    )


def pictures_in(path: Path, bad: list[str]) -> Iterator[Path]:
    """Yield the path itself, or what may be a picture in a folder and below it, by name.

    What cannot be listed is named in `bad`; links to folders are not followed.
    """
    try:
        is_folder = path.is_dir() and not path.is_symlink()
    except OSError:  # in a folder that may not be entered: whoever opens it tells
        is_folder = False
    if not is_folder:
        yield path
        return
    for entry in _sorted(path, bad):
        if not (entry.is_symlink() and entry.is_dir()):
            yield from pictures_in(entry, bad)


def _stream(folder: Path, labelled: bool, bad: list[str]) -> Iterator[Digits]:
    bad.clear()
    gathered = []
    for path, name, label in _entries(folder, labelled, bad):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise DataError(f"{path}: is no file; expected a picture")
            gathered.append((read_digit(path), name, label))
        except OSError as error:
            bad.append(f"{path}: cannot be read: {error.strerror}")
        except DataError as error:
            bad.append(str(error))
        if len(gathered) == BATCH_ROWS:
            yield _digits(gathered)
            gathered = []
    if gathered:
        yield _digits(gathered)


def _digits(gathered: list[tuple[np.ndarray, str, int | None]]) -> Digits:
    images, names, labels = zip(*gathered, strict=True)
    return Digits(
        np.stack(images), None if labels[0] is None else np.array(labels, np.int64), names
    )


def _entries(folder: Path, labelled: bool, bad: list[str]) -> Iterator[_Entry]:
    """Yield what may be a picture, by name; what lies where it can have no label goes to `bad`."""
    for path in _sorted(folder, bad):
        if not labelled:
            yield path, path.name, None
        elif path.name in _LABELS:
            for picture in _sorted(path, bad):
                yield picture, f"{path.name}/{picture.name}", _LABELS[path.name]
        else:
            bad.append(f"{path}: is in no sub-folder 0 to 9, so it has no label")


def _sorted(folder: Path, bad: list[str]) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        bad.append(f"{folder}: cannot be read: {error.strerror}")
        return []
    return [
        path
        for path in paths
        if not path.name.startswith(".") and path.suffix.lower() not in _BESIDE
    ]
