"""MNIST, downloaded once and kept."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from digitmlp import files, idx
from digitmlp.digits import Source
from digitmlp.errors import DataError, OutputError

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_TIMEOUT = 30  # seconds without a byte, until the next mirror is asked
_MOST = 1 << 25  # bytes; the largest file has 9,912,422


def open_mnist() -> Source:
    """Return MNIST as a source; its files are downloaded when they are first read."""
    return Source(
        name="mnist",
        train=lambda: idx.stream(download(), "train"),
        test=lambda: idx.stream(download(), "t10k"),
    )


def download() -> Path:
    """Return the folder that holds MNIST's four files, each checked by its SHA-256.

    What is missing or damaged there is downloaded. Raises DataError when no mirror has it.
    """
    folder = cache_folder() / "mnist"
    for name, digest in SHA256.items():
        path = folder / name
        if path.is_file() and _is_sound(path.read_bytes(), digest):
            continue
        content = _fetch(name, digest, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
        files.write(path, content)
    return folder


def cache_folder() -> Path:
    """Return where downloads are kept: DIGITMLP_CACHE, else the system's place for caches."""
    if folder := os.environ.get("DIGITMLP_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "digitmlp"


def _is_sound(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _fetch(name: str, digest: str, folder: Path) -> bytes:
    """Return the file from the first mirror that has it unharmed; raises DataError."""
    from http.client import HTTPException

    reasons = []
    for mirror in MIRRORS:
        try:
            content = _get(mirror + name, lambda share: _show(name, share))
        except (OSError, HTTPException) as error:
            reasons.append(f"{mirror}: {getattr(error, 'reason', None) or error}")
            continue
        if _is_sound(content, digest):
            return content
        reasons.append(f"{mirror}: its SHA-256 is not that of MNIST's file")
    raise DataError(
        f"mnist: {name} cannot be downloaded ({'; '.join(reasons)}); "
        f"copy {', '.join(SHA256)} into {folder}, or give a folder that holds them as DATA"
    )


def _get(url: str, show: Callable[[float], None]) -> bytes:
    from urllib.request import urlopen

    content = bytearray()
    with urlopen(url, timeout=_TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or _MOST)
        while (chunk := response.read(1 << 16)) and len(content) < _MOST:
            content += chunk
            show(len(content) / total)
    return bytes(content)


def _show(name: str, share: float) -> None:
    if sys.stderr.isatty():
        end = "\n" if share >= 1 else ""
        print(f"\rmnist: {name} {min(share, 1):4.0%}", end=end, file=sys.stderr, flush=True)
