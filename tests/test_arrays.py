"""Digits in .npz and Parquet."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_digits
from PIL import Image
from pyarrow import parquet

from digitmlp import checks
from digitmlp.digits import Digits
from digitmlp.errors import DataError
from digitmlp.sources import open_source

TRAIN, TEST = make_digits(30), make_digits(11, seed=1)
PIXELS = [f"pixel{number}" for number in range(784)]
WHOLE = "expected a whole number from 0 to 255"
RESCALE = "pixels scaled to 0-1 must be multiplied by 255 and rounded first"


def same(one: Digits | None, other: Digits) -> bool:
    return one is not None and one.digest() == other.digest()


def fault(work) -> str:
    with pytest.raises(DataError) as caught:
        work()
    return str(caught.value)


@pytest.fixture
def npz(tmp_path):
    """Write arrays to a .npz and return its path."""

    def write(**arrays: np.ndarray) -> Path:
        path = tmp_path / "a.npz"
        np.savez_compressed(path, **arrays)
        return path

    return write


def npz_fault(path: Path) -> str:
    return fault(lambda: open_source(str(path)).read_train())


def test_npz_as_keras_has_it_is_read_in_its_two_parts(npz):
    path = npz(x_train=TRAIN.images, y_train=TRAIN.labels, x_test=TEST.images, y_test=TEST.labels)
    source = open_source(str(path))
    assert same(source.read_train(), TRAIN)
    assert same(source.read_test(), TEST)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("wide", [False, True])
def test_npz_of_any_number_type_and_shape_gives_the_same_digits(dtype, wide, npz):
    images = TRAIN.images.reshape(-1, 784) if wide else TRAIN.images
    source = open_source(str(npz(X=images.astype(dtype), y=TRAIN.labels.astype(dtype))))
    assert same(source.read_train(), TRAIN)
    assert source.test is None


def test_npz_without_labels_is_to_predict_for(npz):
    source = open_source(str(npz(X=TEST.images)))
    assert same(source.read_test(), Digits(TEST.images))
    assert fault(source.read_train) == (
        f"{source.name}: has no labels (y_train or y); training and evaluation need them"
    )
    assert open_source(str(npz(x_test=TEST.images))).read_test().labels is None


def test_npz_comes_in_batches(npz, monkeypatch):
    monkeypatch.setattr("digitmlp.arrays.BATCH_ROWS", 4)
    batches = list(open_source(str(npz(X=TEST.images))).stream_test())
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), TEST.images)


def test_npz_with_other_arrays_is_refused(npz):
    path = npz(images=TRAIN.images, labels=TRAIN.labels)
    assert npz_fault(path) == (
        f"{path}: holds the arrays images, labels; "
        "expected x_train, y_train, x_test, y_test, or X, y"
    )


def test_npz_with_objects_is_never_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    path = tmp_path / "a.npz"
    np.savez(path, X=np.array([Harmful()], object), y=TRAIN.labels)
    assert npz_fault(path) == (
        f"{path}: the array X cannot be read "
        "(Object arrays cannot be loaded when allow_pickle=False); "
        "expected plain numbers: objects are never unpickled"
    )
    path.write_bytes(pickle.dumps(Harmful()))
    assert npz_fault(path) == (
        f"{path}: damaged (File is not a zip file); download or copy it again"
    )
    assert not (tmp_path / "harm").exists()


def test_npz_of_wrong_shapes_is_refused(npz):
    path = npz(X=TRAIN.images[:, :20], y=TRAIN.labels)
    assert npz_fault(path) == (f"{path}: X: images of shape 30×20×28; expected n×784 or n×28×28")
    path = npz(X=TRAIN.images, y=TRAIN.labels[:-1])
    assert npz_fault(path) == f"{path}: X: 30 images but labels of shape 29"
    path = npz(X=TRAIN.images, y=np.eye(10)[TRAIN.labels])
    assert npz_fault(path) == f"{path}: X: 30 images but labels of shape 30×10"


@pytest.mark.parametrize("value", [-1, 256, 3.5, np.nan, np.inf, 1e9])
def test_npz_with_a_number_that_is_no_pixel_is_refused(value, npz):
    images = TRAIN.images.reshape(-1, 784).astype(float)
    images[3, 70] = value
    path = npz(X=images, y=TRAIN.labels)
    assert npz_fault(path) == f"{path}: X: row 4, pixel70 is {float(value)}; {WHOLE}"


def test_npz_scaled_to_0_1_is_refused(npz):
    images = np.zeros((2, 784))
    images[0, 5] = 0.25
    path = npz(X=images, y=TRAIN.labels[:2])
    assert npz_fault(path) == f"{path}: X: row 1, pixel5 is 0.25; {WHOLE}; {RESCALE}"
    path = npz(X=np.ones((2, 784)), y=TRAIN.labels[:2])
    assert npz_fault(path) == (
        f"{path}: X: the highest of all pixels is 1, expected 0 to 255; {RESCALE}"
    )
    path = npz(X=np.zeros((2, 784)), y=TRAIN.labels[:2])
    assert not open_source(str(path)).read_train().images.any()


@pytest.mark.parametrize("value", [10, -1, 3.5])
def test_npz_with_a_label_that_is_no_digit_is_refused(value, npz):
    labels = TRAIN.labels.astype(float)
    labels[7] = value
    path = npz(X=TRAIN.images, y=labels)
    assert npz_fault(path) == (
        f"{path}: X: row 8, label is {float(value)}; expected a whole number from 0 to 9"
    )


def test_npz_with_text_or_booleans_is_refused(npz):
    path = npz(X=TRAIN.images > 99, y=TRAIN.labels)
    assert npz_fault(path) == (
        f"{path}: X: pixels of type bool; expected whole numbers from 0 to 255"
    )
    path = npz(X=TRAIN.images, y=TRAIN.labels.astype(str))
    assert npz_fault(path).startswith(f"{path}: X: labels of type <U")


def test_npz_bomb_and_damage_are_refused(npz, monkeypatch):
    path = npz(X=np.zeros((2000, 784), np.uint8), y=np.zeros(2000))
    monkeypatch.setattr(checks, "BOMB_BYTES", 1 << 20)
    assert npz_fault(path) == (
        f"{path}: unpacks to more than 200 times its size, as a zip bomb does; "
        "if it is sound, give it unpacked"
    )
    whole = npz(X=TRAIN.images, y=TRAIN.labels).read_bytes()
    for size in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:size])
        assert npz_fault(path).startswith(f"{path}: damaged (")


def test_npz_whose_array_is_damaged_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    array = io.BytesIO()
    np.save(array, TRAIN.images)
    for content in (b"", b"\x93NUMPY", array.getvalue()[:-1]):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", content)
            archive.writestr("y.npy", array.getvalue())
        assert npz_fault(path).startswith(f"{path}: the array X cannot be read (")


def columns_of(digits: Digits, dtype: str = "uint8") -> dict[str, np.ndarray]:
    """Return the columns of Kaggle's CSV."""
    columns = {} if digits.labels is None else {"label": digits.labels}
    pixels = digits.images.reshape(-1, 784).astype(dtype)
    return columns | {name: pixels[:, place] for place, name in enumerate(PIXELS)}


@pytest.fixture
def table(tmp_path):
    """Write columns to a Parquet file and return its path."""

    def write(columns: dict, **options: object) -> Path:
        path = tmp_path / "a.parquet"
        parquet.write_table(pa.table(columns), path, **options)
        return path

    return write


def table_fault(path: Path) -> str:
    return fault(lambda: open_source(str(path)).read_train())


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_parquet_with_the_columns_of_the_csv_is_read(dtype, table):
    source = open_source(str(table(columns_of(TRAIN, dtype))))
    assert same(source.read_train(), TRAIN)
    assert fault(source.stream_test) == (
        f"{source.name}: has a label column, so it is a training file; "
        "give a file without labels to predict for"
    )
    unlabelled = Digits(TEST.images)
    source = open_source(str(table(columns_of(unlabelled, dtype))))
    assert same(source.read_test(), unlabelled)
    assert fault(source.read_train) == (
        f"{source.name}: has no label column, so it is a test file; "
        "training and evaluation need a label in every row"
    )


def test_parquet_columns_in_any_order_give_the_same_digits(table):
    shuffled = list(columns_of(TRAIN).items())
    np.random.default_rng(1).shuffle(shuffled)
    assert same(open_source(str(table(dict(shuffled)))).read_train(), TRAIN)


def test_parquet_comes_in_batches(table, monkeypatch):
    monkeypatch.setattr("digitmlp.arrays._PARQUET_ROWS", 4)
    path = table(columns_of(Digits(TEST.images)), row_group_size=5)
    batches = list(open_source(str(path)).stream_test())
    assert max(map(len, batches)) <= 4
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), TEST.images)


def test_parquet_memory_does_not_grow_with_the_row_groups(tmp_path):
    rows = pa.table(columns_of(Digits(make_digits(50).images)))

    def held_at_the_end(groups: int) -> int:
        path = tmp_path / f"{groups}.parquet"
        with parquet.ParquetWriter(path, rows.schema) as writer:
            for _ in range(groups):
                writer.write_table(rows)
        before = pa.total_allocated_bytes()
        for batch in open_source(str(path)).stream_test():
            held = pa.total_allocated_bytes() - before
            assert len(batch) == 50
        return held

    assert held_at_the_end(12) < 1.5 * held_at_the_end(3)


def test_parquet_with_wrong_columns_is_refused(table):
    expected = "expected label (if known) and pixel0 to pixel783, in any order"
    columns = columns_of(TRAIN)
    columns["Pixel9"] = columns.pop("pixel9")
    path = table(columns)
    assert table_fault(path) == (
        f"{path}: column 'pixel9' is missing and column 'Pixel9' is unknown; {expected}"
    )
    path = table({"a": [1], "b": [2]})
    assert table_fault(path) == (
        f"{path}: 784 columns are missing ('pixel0' is the first) and "
        f"2 columns are unknown ('a' is the first); {expected}"
    )


@pytest.mark.parametrize(("value", "what"), [(256, "is 256"), (-1, "is -1"), (None, "is empty")])
def test_parquet_cell_that_is_no_pixel_is_named(value, what, table, monkeypatch):
    monkeypatch.setattr("digitmlp.arrays._PARQUET_ROWS", 4)
    columns = columns_of(TRAIN, "int64")
    columns["pixel9"] = pa.array([*columns["pixel9"].tolist()[:13], value, *[0] * 16])
    path = table(columns)
    expected = "" if value is None else f"; {WHOLE}"
    assert table_fault(path) == f"{path}: row 14, pixel9 {what}{expected}"


@pytest.mark.parametrize(("column", "most"), [("label", 9), ("pixel0", 255)])
def test_parquet_with_text_for_numbers_is_named(column, most, table):
    path = table(columns_of(TRAIN, "int64") | {column: ["1"] * len(TRAIN)})
    what = column.rstrip("0")
    expected = f"expected whole numbers from 0 to {most}"
    assert table_fault(path) == f"{path}: {what}s of type object; {expected}"


def test_parquet_scaled_to_0_1_is_refused(table):
    ones = {name: np.ones(3, np.uint8) for name in PIXELS}
    path = table({"label": [1, 2, 3]} | ones)
    assert table_fault(path) == (
        f"{path}: the highest of all pixels is 1, expected 0 to 255; {RESCALE}"
    )


def test_file_that_is_no_parquet_is_refused(table):
    path = table(columns_of(TRAIN))
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"no Parquet at all", whole[:-100], whole[100:]):
        path.write_bytes(content)
        assert table_fault(path).startswith(f"{path}: ")


def png_of(image: np.ndarray) -> dict[str, object]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": "0.png"}


def test_parquet_as_hugging_face_has_it_keeps_every_pixel(table):
    path = table({"image": [png_of(image) for image in TRAIN.images], "label": TRAIN.labels})
    assert same(open_source(str(path)).read_train(), TRAIN)


def test_parquet_with_other_pictures_is_refused(table):
    images = [png_of(TRAIN.images[0]), png_of(np.zeros((32, 32), np.uint8))]
    path = table({"image": images, "label": [0, 1]})
    assert table_fault(path) == f"{path}: row 2, the picture is 32×32; expected 28×28, grey"
    path = table({"image": [{"bytes": b"no picture"}], "label": [0]})
    assert table_fault(path) == (
        f"{path}: row 1, picture: is empty, damaged or no picture; "
        "expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM "
        "(save others, such as HEIC or PDF, as one of these)"
    )
    path = table({"image": ["a.png"], "label": [0]})
    assert table_fault(path) == f"{path}: column image is string; expected a struct with bytes"
