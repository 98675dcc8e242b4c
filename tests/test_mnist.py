"""MNIST's download, from servers on this machine that have made-up files."""

import gzip
import hashlib
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits

from digitmlp import mnist
from digitmlp.errors import DataError, OutputError
from digitmlp.sources import open_source

TRAIN, TEST = make_digits(30), make_digits(11, seed=1)


def idx_of(array: np.ndarray) -> bytes:
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes())


FILES = {
    "train-images-idx3-ubyte.gz": idx_of(TRAIN.images),
    "train-labels-idx1-ubyte.gz": idx_of(TRAIN.labels),
    "t10k-images-idx3-ubyte.gz": idx_of(TEST.images),
    "t10k-labels-idx1-ubyte.gz": idx_of(TEST.labels),
}


class Mirror:
    """A server of a folder; `asked` lists the files that it was asked for."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path.removeprefix("/"))
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self.folder = folder
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(tmp_path, monkeypatch) -> Iterator[tuple[Mirror, Mirror]]:
    """Two mirrors of the made-up files; their hashes and an empty cache."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for file, content in FILES.items():
            (tmp_path / name / file).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setenv("DIGITMLP_CACHE", str(tmp_path / "cache"))
    with (
        closing(Mirror(tmp_path / "first")) as first,
        closing(Mirror(tmp_path / "second")) as second,
    ):
        monkeypatch.setattr(mnist, "MIRRORS", (first.url, second.url))
        yield first, second


def both_parts() -> tuple[str, str]:
    source = open_source("mnist")
    return source.read_train().digest(), source.read_test().digest()


WANTED = (TRAIN.digest(), TEST.digest())


def test_mnist_is_downloaded_once(mirrors, tmp_path):
    first, second = mirrors
    source = open_source("mnist")
    assert first.asked == []  # nothing is read before it is asked for
    assert source.read_train().digest() == TRAIN.digest()
    assert both_parts() == WANTED
    assert first.asked == list(FILES)
    assert second.asked == []
    cached = {path.name: path.read_bytes() for path in (tmp_path / "cache" / "mnist").iterdir()}
    assert cached == FILES


def test_second_mirror_is_asked_where_the_first_is_down(mirrors):
    first, second = mirrors
    first.close()
    assert both_parts() == WANTED
    assert second.asked == list(FILES)


def test_second_mirror_is_asked_where_the_first_lacks_a_file(mirrors):
    first, second = mirrors
    (first.folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert both_parts() == WANTED
    assert second.asked == ["t10k-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>", idx_of(TEST.labels)])
def test_second_mirror_is_asked_where_the_first_has_another_file(content, mirrors):
    first, second = mirrors
    (first.folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    assert both_parts() == WANTED
    assert second.asked == ["train-labels-idx1-ubyte.gz"]


def test_files_that_are_not_mnists_are_never_used(mirrors, tmp_path):
    for mirror in mirrors:
        (mirror.folder / "train-labels-idx1-ubyte.gz").write_bytes(idx_of(TRAIN.labels[::-1]))
    with pytest.raises(DataError) as caught:
        open_source("mnist").read_train()
    wrong = "its SHA-256 is not that of MNIST's file"
    assert str(caught.value) == (
        "mnist: train-labels-idx1-ubyte.gz cannot be downloaded "
        f"({mirrors[0].url}: {wrong}; {mirrors[1].url}: {wrong}); "
        f"copy {', '.join(FILES)} into {tmp_path / 'cache' / 'mnist'}, "
        "or give a folder that holds them as DATA"
    )
    assert [path.name for path in (tmp_path / "cache" / "mnist").iterdir()] == [
        "train-images-idx3-ubyte.gz"
    ]


def test_offline_says_how_to_bring_the_files(mirrors, tmp_path):
    for mirror in mirrors:
        mirror.close()
    with pytest.raises(DataError) as caught:
        open_source("mnist").read_train()
    message = str(caught.value)
    assert message.startswith(
        f"mnist: train-images-idx3-ubyte.gz cannot be downloaded ({mirrors[0].url}: "
    )
    assert message.endswith(
        f"copy {', '.join(FILES)} into {tmp_path / 'cache' / 'mnist'}, "
        "or give a folder that holds them as DATA"
    )
    assert not (tmp_path / "cache").exists()


def test_files_brought_by_hand_are_enough(mirrors, tmp_path):
    for mirror in mirrors:
        mirror.close()
    (tmp_path / "cache").mkdir()
    mirrors[0].folder.rename(tmp_path / "cache" / "mnist")
    assert both_parts() == WANTED


def test_damaged_file_in_the_cache_is_downloaded_again(mirrors, tmp_path):
    both_parts()
    path = tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    mirrors[0].asked.clear()
    assert both_parts() == WANTED
    assert mirrors[0].asked == [path.name]


def test_cache_that_cannot_be_made_is_named(mirrors, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError) as caught:
        open_source("mnist").read_train()
    assert str(caught.value).startswith(f"{tmp_path / 'cache' / 'mnist'}: cannot be made: ")


def test_progress_is_shown_on_a_terminal_only(mirrors, monkeypatch, capsys):
    mnist.download()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("DIGITMLP_CACHE", str(mirrors[0].folder / "another"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    mnist.download()
    out, shown = capsys.readouterr()
    assert out == ""
    last = [line.rpartition("\r")[2] for line in shown.removesuffix("\n").split("\n")]
    assert last == [f"mnist: {name} 100%" for name in FILES]


def test_cache_lies_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("DIGITMLP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for system, folder in (
        ("linux", tmp_path / "xdg"),
        ("darwin", tmp_path / "Library" / "Caches"),
        ("win32", tmp_path / "local"),
    ):
        monkeypatch.setattr(sys, "platform", system)
        assert mnist.cache_folder() == folder / "digitmlp"


def test_hashes_and_mirrors_are_whole():
    assert [len(bytes.fromhex(digest)) for digest in mnist.SHA256.values()] == [32] * 4
    assert all(url.startswith("https://") and url.endswith("/") for url in mnist.MIRRORS)
