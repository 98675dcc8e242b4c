"""Folders of pictures."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitmlp.errors import DataError
from digitmlp.glyph import read_digit
from digitmlp.sources import open_source

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and permissions")


def draw(path: Path, left: int = 20) -> Path:
    """Draw a stroke, dark on light, at this place."""
    path.parent.mkdir(exist_ok=True)
    pixels = np.full((60, 60), 255, np.uint8)
    pixels[10:50, left : left + 6] = 0
    pixels[10:16, left : left + 20] = 0
    Image.fromarray(pixels).save(path)
    return path


def fault(work) -> str:
    with pytest.raises(DataError) as caught:
        work()
    return str(caught.value)


def test_pictures_are_read_by_name_through_the_picture_code(tmp_path):
    paths = [
        draw(tmp_path / name, left)
        for name, left in (("b.png", 9), ("A.jpg", 25), ("c", 3))
        if name != "c"
    ]
    source = open_source(str(tmp_path))
    digits = source.read_test()
    assert source.named
    assert digits.names == ("A.jpg", "b.png")
    assert digits.labels is None
    assert np.array_equal(digits.images, [read_digit(path) for path in sorted(paths)])
    assert source.bad == []
    assert fault(source.read_train) == (
        f"{tmp_path}: has no sub-folders 0 to 9; "
        "training and evaluation need the pictures sorted so"
    )


def test_sub_folders_are_labels(tmp_path):
    for name in ("7/b.png", "7/a.png", "0/a.png", "3/x.png"):
        draw(tmp_path / name)
    (tmp_path / "9").mkdir()
    source = open_source(str(tmp_path))
    digits = source.read_train()
    assert digits.names == ("0/a.png", "3/x.png", "7/a.png", "7/b.png")
    assert digits.labels.tolist() == [0, 3, 7, 7]
    assert digits.labels.dtype == np.int64
    assert source.bad == []
    assert source.test is None


def test_hidden_files_and_notes_are_passed_over(tmp_path):
    draw(tmp_path / "a.png")
    for name in (".DS_Store", "Thumbs.db", "labels.csv", "README.md", "notes.TXT"):
        (tmp_path / name).write_text("not a picture")
    source = open_source(str(tmp_path))
    assert source.read_test().names == ("a.png",)
    assert source.bad == []


def test_broken_pictures_are_named_and_the_others_read(tmp_path):
    draw(tmp_path / "a.png")
    whole = draw(tmp_path / "z.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "folder").mkdir()
    source = open_source(str(tmp_path))
    for _ in range(2):  # reading again does not name them twice
        assert source.read_test().names == ("a.png", "z.png")
        cut, *others = source.bad
        assert cut.startswith(f"{tmp_path / 'cut.png'}: is cut or damaged (")
        no_picture = (
            "is empty, damaged or no picture; expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM "
            "(save others, such as HEIC or PDF, as one of these)"
        )
        assert others == [
            f"{tmp_path / 'drawing.svg'}: {no_picture}",
            f"{tmp_path / 'empty.png'}: {no_picture}",
            f"{tmp_path / 'folder'}: is no file; expected a picture",
        ]


@posix
def test_pipes_and_loops_are_named_and_the_others_read(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    source = open_source(str(tmp_path))
    assert source.read_test().names == ("a.png", "link.png")
    assert source.bad == [
        f"{tmp_path / 'loop.png'}: cannot be read: Too many levels of symbolic links",
        f"{tmp_path / 'nowhere.png'}: cannot be read: No such file or directory",
        f"{tmp_path / 'pipe.png'}: is no file; expected a picture",
        f"{tmp_path / 'up'}: is no file; expected a picture",
    ]


@posix
@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_named_and_the_others_read(tmp_path):
    draw(tmp_path / "1" / "a.png")
    draw(tmp_path / "1" / "b.png").chmod(0)
    draw(tmp_path / "2" / "a.png").parent.chmod(0)
    source = open_source(str(tmp_path))
    try:
        assert source.read_train().names == ("1/a.png",)
    finally:
        (tmp_path / "2").chmod(0o700)
    assert source.bad == [
        f"{tmp_path / '1' / 'b.png'}: cannot be read: Permission denied",
        f"{tmp_path / '2'}: cannot be read: Permission denied",
    ]


def test_pictures_beside_the_sub_folders_are_named(tmp_path):
    for name in ("1/a.png", "b.png", "letters/c.png"):
        draw(tmp_path / name)
    source = open_source(str(tmp_path))
    assert source.read_train().names == ("1/a.png",)
    assert source.bad == [
        f"{tmp_path / 'b.png'}: is in no sub-folder 0 to 9, so it has no label",
        f"{tmp_path / 'letters'}: is in no sub-folder 0 to 9, so it has no label",
    ]


@posix
def test_odd_names_are_kept(tmp_path):
    names = [b"-rf.png", b"a\nb.png", b"caf\xe9.png", b'q"u.png']
    for name in names:
        draw(tmp_path / os.fsdecode(name))
    assert open_source(str(tmp_path)).read_test().names == tuple(map(os.fsdecode, names))


def test_batches_give_what_one_read_gives(tmp_path, monkeypatch):
    for number in range(7):
        draw(tmp_path / f"{number % 2}" / f"{number}.png", left=5 * number)
    whole = open_source(str(tmp_path)).read_train()
    monkeypatch.setattr("digitmlp.folder.BATCH_ROWS", 3)
    source = open_source(str(tmp_path))
    assert [len(batch) for batch in source.train()] == [3, 3, 1]
    assert source.read_train().digest() == whole.digest()
    assert source.read_train().names == whole.names


def test_folder_without_data_is_refused(tmp_path):
    expected = (
        f"{tmp_path}: holds no data; expected Kaggle's or MNIST's files, pictures, "
        "or sub-folders 0 to 9 with pictures"
    )
    assert fault(lambda: open_source(str(tmp_path))) == expected
    (tmp_path / "4").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert fault(lambda: open_source(str(tmp_path))) == expected
