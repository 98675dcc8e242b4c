"""Sources: what the argument DATA may be, and the reader of each."""

from pathlib import Path

from digitmlp import kaggle, uci
from digitmlp.digits import Source
from digitmlp.errors import DataError


def open_source(data: str) -> Source:
    """Return what DATA names, hardly read yet; raises DataError where it is none of the sources."""
    if data == "uci":
        return uci.open_uci()
    path = Path(data)
    if path.is_dir():
        return kaggle.open_folder(path)
    if path.suffix.lower() == ".zip":
        return kaggle.open_zip(path)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return kaggle.open_csv(path)
    raise DataError(f"{data}: no such source")
