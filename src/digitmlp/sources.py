"""Sources: what the argument DATA may be, and the reader of each."""

from pathlib import Path

from digitmlp import arrays, folder, idx, kaggle, mnist, uci
from digitmlp.checks import reading
from digitmlp.digits import Source
from digitmlp.errors import DataError

EXPECTED = (
    "expected uci, mnist, a .zip or folder of Kaggle's Digit Recognizer, a .csv, .csv.gz, .npz or "
    ".parquet file, a folder of MNIST's IDX files, or a folder of pictures"
)


def open_source(data: str) -> Source:
    """Return what DATA names, hardly read yet; raises DataError where it is none of the sources."""
    if data == "uci":
        return uci.open_uci()
    if data == "mnist":
        return mnist.open_mnist()
    path = Path(data)
    with reading(data):
        if not data or not path.exists():
            raise DataError(f"{data or repr(data)}: there is no such file or folder; {EXPECTED}")
        return _open_folder(path) if path.is_dir() else _open_file(path)


def _open_folder(path: Path) -> Source:
    names = {entry.name for entry in path.iterdir()}
    if names & {kaggle.TRAIN, kaggle.TEST}:
        return kaggle.open_folder(path)
    if any(map(idx.is_idx, names)):
        return idx.open_idx(path)
    return folder.open_pictures(path)


def _open_file(path: Path) -> Source:
    name = path.name.lower()
    if name.endswith(".zip"):
        return kaggle.open_zip(path)
    if name.endswith((".csv", ".csv.gz")):
        return kaggle.open_csv(path)
    if name.endswith(".npz"):
        return arrays.open_npz(path)
    if name.endswith(".parquet"):
        return arrays.open_parquet(path)
    if idx.is_idx(path.name):
        raise DataError(f"{path}: is one of MNIST's files; give the folder that holds all of them")
    raise DataError(f"{path}: is no source of digits; {EXPECTED}")
