"""Files whole or not at all, sealed, and folders held by one process."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from digitmlp import files
from digitmlp.errors import ModelError, OutputError


def test_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    files.write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_error_while_writing_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError) as failure, files.replacing(path) as file:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(failure.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OutputError, match="No space left on device"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    seen = []
    synchronize = os.fsync

    def fsync(handle: int) -> None:
        synchronize(handle)
        seen.append((path.read_text(), os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    files.write(path, "newer")
    assert seen[0] == ("old", 5)


def test_temporary_file_lies_beside_the_target_whatever_tmpdir_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    with files.replacing(tmp_path / "a.txt") as file:
        file.write(b"x")
        assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes and links")
def test_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files.check_output(pipe, "uci")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write(pipe, b"passed on")
    assert os.read(reader, 100) == b"passed on"
    os.close(reader)
    assert pipe.is_fifo()
    assert files.is_stream(pipe)


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes and links")
def test_what_was_printed_comes_before_what_is_written_to_standard_output(tmp_path):
    (tmp_path / "out").symlink_to("/dev/fd/1")
    program = "from digitmlp import files; print('one'); files.write(files.Path('out'), 'two')"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    run = [sys.executable, "-c", program]
    assert subprocess.check_output(run, cwd=tmp_path, env=buffered) == b"one\ntwo"


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes and links")
@pytest.mark.parametrize("before", ["old", None])
def test_link_stays_and_leads_to_the_new_file(tmp_path, before):
    folder, link = tmp_path / "there", tmp_path / "link"
    folder.mkdir()
    if before:
        (folder / "target").write_text(before)
    link.symlink_to(folder / "target")
    files.check_output(link, "uci")
    files.write(link, "new")
    assert link.is_symlink()
    assert (folder / "target").read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["target"]


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes and links")
def test_link_into_no_folder_is_refused(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "missing" / "target")
    with pytest.raises(OutputError, match=r"there is no folder .*missing"):
        files.check_output(link, "uci")


def test_sealed_file_is_read_back(tmp_path):
    path = tmp_path / "sealed"
    files.write(path, files.seal(b"before " + files.UNSEALED.encode() + b" after"))
    content, sha256 = files.read_sealed(path)
    assert content.startswith(b"before digitmlp-sha256:" + sha256.encode())


def test_any_flipped_bit_and_any_cut_is_refused(tmp_path):
    whole = files.seal(b"before " + files.UNSEALED.encode() + b" after")
    path = tmp_path / "sealed"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            files.read_sealed(path)
    for place in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError):
            files.read_sealed(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "is empty"), (b"something else", "is cut or was not written by digitmlp")],
)
def test_foreign_file_is_refused_in_a_sentence(tmp_path, content, what):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as refusal:
        files.read_sealed(path)
    assert str(refusal.value) == (f"{path}: {what}; expected a model file with digitmlp's checksum")


HOLD = """
import sys, pathlib
from digitmlp.files import FolderLock
with FolderLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_process_is_refused_until_the_first_is_killed(tmp_path):
    lock = tmp_path / "run" / "state" / "lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another training is writing here"):
            files.FolderLock(lock)
        holder.kill()
    with files.FolderLock(lock):
        pass


def test_folder_that_cannot_be_locked_is_not_called_in_use(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files, "_lock", fail)
    with pytest.raises(OSError, match="No locks available"):
        files.FolderLock(tmp_path / "lock")


def test_output_is_checked_before_the_work(tmp_path):
    source = tmp_path / "in.csv"
    source.touch()
    for path, sentence in [
        (tmp_path, "is a folder; expected the name of a file to write"),
        (source, "is the input; give another file to write to"),
        (tmp_path / "no" / "out.csv", f"cannot be written: there is no folder {tmp_path / 'no'}"),
    ]:
        with pytest.raises(OutputError) as refusal:
            files.check_output(path, str(source))
        assert str(refusal.value) == f"{path}: {sentence}"
    files.check_output(tmp_path / "out.csv", str(source))
    assert not (tmp_path / "out.csv").exists()
