"""MNIST's own files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits

from digitmlp.digits import Digits
from digitmlp.errors import DataError
from digitmlp.sources import open_source

TRAIN, TEST = make_digits(30), make_digits(11, seed=1)
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx_of(array: np.ndarray) -> bytes:
    """Return the array in IDX, as MNIST's page describes it."""
    content = bytes([0, 0, 8, array.ndim])
    for side in array.shape:
        content += side.to_bytes(4, "big")
    return content + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train: Digits = TRAIN, test: Digits = TEST) -> None:
    """Write MNIST's four files, unpacked, into the folder."""
    (folder / TRAIN_IMAGES).write_bytes(idx_of(train.images))
    (folder / TRAIN_LABELS).write_bytes(idx_of(train.labels))
    (folder / TEST_IMAGES).write_bytes(idx_of(test.images))
    (folder / TEST_LABELS).write_bytes(idx_of(test.labels))


def pack(folder: Path) -> None:
    for path in list(folder.iterdir()):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def same(one: Digits | None, other: Digits) -> bool:
    return one is not None and one.digest() == other.digest()


def fault(work) -> str:
    with pytest.raises(DataError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize("form", ["plain", "gz", "dots"])
def test_mnist_files_are_read_in_their_two_parts(form, tmp_path):
    write_mnist(tmp_path)
    if form == "gz":
        pack(tmp_path)
    if form == "dots":  # as some archives name them
        for path in list(tmp_path.iterdir()):
            path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    source = open_source(str(tmp_path))
    assert same(source.read_train(), TRAIN)
    assert same(source.read_test(), TEST)


def test_of_a_file_that_is_there_twice_the_unpacked_one_is_read(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(b"")
    assert same(open_source(str(tmp_path)).read_train(), TRAIN)


def test_batches_give_what_one_read_gives(tmp_path, monkeypatch):
    monkeypatch.setattr("digitmlp.idx.BATCH_ROWS", 7)
    write_mnist(tmp_path)
    batches = list(open_source(str(tmp_path)).train())
    assert [len(batch) for batch in batches] == [7, 7, 7, 7, 2]
    assert same(open_source(str(tmp_path)).read_train(), TRAIN)


def test_test_part_needs_no_labels_and_training_does(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / TRAIN_LABELS).unlink()
    (tmp_path / TEST_LABELS).unlink()
    source = open_source(str(tmp_path))
    assert source.read_test().labels is None
    assert np.array_equal(source.read_test().images, TEST.images)
    assert fault(source.read_train) == (
        f"{tmp_path}: has not both train-images and train-labels; training needs the two"
    )
    (tmp_path / TEST_IMAGES).unlink()
    assert fault(open_source(str(tmp_path)).stream_test) == (
        f"{tmp_path}: has no t10k-images; there is nothing to predict for"
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        (TRAIN_IMAGES, b"", "starts with nothing, expected 00000803; not an IDX file of images"),
        (
            TRAIN_IMAGES,
            idx_of(TRAIN.labels),
            "starts with 00000801, expected 00000803; not an IDX file of images",
        ),
        (
            TRAIN_LABELS,
            idx_of(TRAIN.images),
            "starts with 00000803, expected 00000801; not an IDX file of labels",
        ),
        (TRAIN_IMAGES, idx_of(np.zeros((30, 32, 32))), "images of 32×32; expected 28×28"),
        (
            TRAIN_IMAGES,
            idx_of(TRAIN.images)[:9],
            "cut: it ends before its header says; copy it again",
        ),
        (
            TRAIN_LABELS,
            idx_of(np.where(np.arange(30) == 4, 10, TRAIN.labels)),
            "row 5, label is 10; expected a whole number from 0 to 9",
        ),
    ],
)
def test_file_that_is_not_mnists_is_refused(name, content, what, packed, tmp_path, monkeypatch):
    monkeypatch.setattr("digitmlp.idx.BATCH_ROWS", 3)
    write_mnist(tmp_path)
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    if packed:
        pack(tmp_path)
        path = Path(f"{path}.gz")
    if what.startswith("row 5"):
        path = tmp_path / (TRAIN_IMAGES + ".gz" * packed)
    assert fault(open_source(str(tmp_path)).read_train) == f"{path}: {what}"


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS])
def test_length_that_differs_from_the_header_is_refused(name, tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    read = open_source(str(tmp_path)).read_train
    header, size = (16, 30 * 784) if name == TRAIN_IMAGES else (8, 30)
    for content in (whole[:-1], whole + b"\0"):
        path.write_bytes(content)
        assert fault(read) == (
            f"{path}: {len(content) - header:,} bytes follow its header, which says {size:,}; "
            "copy it again"
        )
    path.unlink()
    gz = Path(f"{path}.gz")
    gz.write_bytes(gzip.compress(whole[:-1]))
    assert fault(read) == f"{gz}: cut: it ends before its header says; copy it again"
    gz.write_bytes(gzip.compress(whole + b"\0"))
    assert fault(read) == f"{gz}: goes on after what its header says; copy it again"


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS])
def test_header_that_promises_billions_is_refused_at_once(name, tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert "which says " in fault(open_source(str(tmp_path)).read_train)
    pack(tmp_path)
    assert fault(open_source(str(tmp_path)).read_train) == (
        f"{path}.gz: unpacks to more than 200 times its size, as a zip bomb does; "
        "if it is sound, give it unpacked"
    )


def test_images_and_labels_of_different_counts_are_refused(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / TRAIN_LABELS).write_bytes(idx_of(TRAIN.labels[:-1]))
    assert fault(open_source(str(tmp_path)).read_train) == (
        f"{tmp_path / TRAIN_IMAGES}: 30 images but 29 labels in {tmp_path / TRAIN_LABELS}; "
        "the two files must match"
    )


def test_cut_gz_is_refused(tmp_path):
    write_mnist(tmp_path)
    pack(tmp_path)
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert fault(open_source(str(tmp_path)).read_train) == (
        f"{path}: damaged (Compressed file ended before the end-of-stream marker was reached); "
        "download or copy it again"
    )


def test_one_file_alone_is_no_source(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / TRAIN_IMAGES
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: is one of MNIST's files; give the folder that holds all of them"
    )
