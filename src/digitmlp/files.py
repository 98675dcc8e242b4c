"""Writing files whole or not at all, sealing them with a checksum, and locking a folder."""

import contextlib
import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from digitmlp.errors import ModelError, OutputError

# A sealed file carries this text once, in its own metadata, with its SHA-256 in place of the zeros.
UNSEALED = "digitmlp-sha256:" + "0" * 64
_SEAL = re.compile(rb"digitmlp-sha256:([0-9a-f]{64})")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; it takes that name when the block ends without error.

    Synchronized to disk before the rename, so a crash leaves the old file or the new one. A link
    stays, and leads to the new file. What cannot be replaced, a stream, is written to as it is.
    Raises OutputError when anything cannot be written; the old file then stays as it was. A pipe
    whose reader has gone raises BrokenPipeError.
    """
    temporary = None
    try:
        if is_stream(path):
            with _stream(path) as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _synchronize(target.parent)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        raise


def is_stream(path: Path) -> bool:
    """Return whether this is a device, a pipe, or the file to which standard output goes."""
    return path.exists() and not path.is_dir() and (not path.is_file() or _is_stdout(path))


def _is_stdout(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # it is closed
        return False


def _stream(path: Path) -> BinaryIO:
    """Open a stream; standard output where it stands, so that what was printed there stays."""
    if not _is_stdout(path):
        return path.open("wb")
    sys.stdout.flush()
    return os.fdopen(os.dup(1), "wb")


def write(path: Path, content: bytes | str) -> None:
    """Write the file whole or not at all; text as UTF-8. Raises OutputError."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def check_output(path: Path, data: str) -> None:
    """Raise OutputError where a result could not be written to `path`, before the work is done.

    data  the input, which the result must not replace
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; expected the name of a file to write")
    if path.exists() and Path(data).exists() and path.samefile(data):
        raise OutputError(f"{path}: is the input; give another file to write to")
    if is_stream(path):
        return
    parent = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {parent}")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make the folder unless it is there; raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror}") from error


def seal(content: bytes) -> bytes:
    """Return the content with its SHA-256 in place of the one UNSEALED that it holds.

    The hash is taken over the content with the field still zero.
    """
    assert content.count(UNSEALED.encode()) == 1, "the metadata must hold UNSEALED once"
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(UNSEALED.encode(), f"digitmlp-sha256:{digest}".encode())


def read_sealed(path: Path) -> tuple[bytes, str]:
    """Return a sealed file's content and its SHA-256 (64 hexadecimal digits).

    Raises ModelError when the file is missing, was not sealed by digitmlp, or has changed since.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    return content, checksum(content, path)


def checksum(content: bytes, path: Path) -> str:
    """Return the SHA-256 that sealed content carries; raises ModelError naming the path."""
    seals = _SEAL.findall(content)
    if len(seals) != 1:
        what = "is empty" if not content else "is cut or was not written by digitmlp"
        raise ModelError(f"{path}: {what}; expected a model file with digitmlp's checksum")
    zeroed = content.replace(seals[0], b"0" * 64)
    if hashlib.sha256(zeroed).hexdigest().encode() != seals[0]:
        raise ModelError(f"{path}: damaged: its content does not match its checksum; copy it again")
    sha256: str = seals[0].decode()
    return sha256


class FolderLock:
    """Holds a folder for one process; the system frees it when the process ends, however it ends.

    Raises OutputError when another process holds it, OSError where the system cannot lock files.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        try:
            _lock(self._file)
        except OSError as error:
            self._file.close()
            if not isinstance(error, BlockingIOError | PermissionError):  # the latter on Windows
                raise
            raise OutputError(
                f"{path.parent.parent}: another training is writing here; "
                "wait for it, or give another --out"
            ) from error

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


if os.name == "nt":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]

    def _synchronize(folder: Path) -> None:
        """Windows keeps a rename without this."""
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _synchronize(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
