"""Kaggle's files in a folder or zip, and the predictions written for them."""

import csv
import gzip
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits

from digitmlp import checks
from digitmlp.digits import Digits, Source
from digitmlp.errors import DataError, OutputError
from digitmlp.kaggle import write_predictions
from digitmlp.sources import open_source

TRAIN = make_digits(20)
TEST = Digits(make_digits(7, seed=1).images)


def csv_of(digits: Digits) -> str:
    """Return Kaggle's train.csv, or its test.csv where labels are unknown."""
    columns = [f"pixel{number}" for number in range(784)]
    rows = [list(map(str, image.ravel())) for image in digits.images]
    if digits.labels is not None:
        columns = ["label", *columns]
        rows = [[str(label), *row] for label, row in zip(digits.labels, rows, strict=True)]
    return "".join(",".join(row) + "\n" for row in [columns, *rows])


def sample_of(ids: list[int]) -> str:
    return "".join(["ImageId,Label\n", *(f"{number},0\n" for number in ids)])


FILES = {
    "train.csv": csv_of(TRAIN),
    "test.csv": csv_of(TEST),
    "sample_submission.csv": sample_of([3, 1, 4, 15, 9, 2, 6]),
}


def zip_of(path: Path, files: dict[str, str], prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(prefix + name, text)
    return path


def folder_of(path: Path, files: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def same(one: Digits | None, other: Digits) -> bool:
    return one is not None and one.digest() == other.digest()


def fault(work) -> str:
    with pytest.raises(DataError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a folder"])
def test_kaggle_files_are_read_as_downloaded(form, tmp_path):
    if form == "folder":
        path = folder_of(tmp_path / "digit-recognizer", FILES)
    else:
        path = zip_of(tmp_path / "digits.ZIP", FILES, "some/folder/" if "with" in form else "")
    before = sorted(tmp_path.rglob("*"))
    source = open_source(str(path))
    assert source.name == str(path)
    assert not source.named
    assert same(source.read_train(), TRAIN)
    assert same(source.read_test(), TEST)
    assert source.ids().tolist() == [3, 1, 4, 15, 9, 2, 6]
    assert source.ids().dtype == np.int64
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_either_file_alone_is_enough(tmp_path):
    train = open_source(str(zip_of(tmp_path / "train.csv.zip", {"train.csv": FILES["train.csv"]})))
    assert same(train.read_train(), TRAIN)
    assert fault(train.stream_test) == (
        f"{train.name}: has no test.csv; there is nothing to predict for"
    )
    test = open_source(str(folder_of(tmp_path / "data", {"test.csv": FILES["test.csv"]})))
    assert same(test.read_test(), TEST)
    assert test.ids is None
    assert fault(test.read_train) == (
        f"{test.name}: has no train.csv; training and evaluation need labelled digits"
    )


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".CSV"])
def test_single_csv_is_to_train_or_to_predict_by_its_header(ending, tmp_path):
    for name, text in (("train", FILES["train.csv"]), ("test", FILES["test.csv"])):
        content = text.encode()
        packed = gzip.compress(content) if ending == ".csv.gz" else content
        (tmp_path / f"{name}{ending}").write_bytes(packed)
    train = open_source(str(tmp_path / f"train{ending}"))
    test = open_source(str(tmp_path / f"test{ending}"))
    assert same(train.read_train(), TRAIN)
    assert train.read_test() is None
    assert fault(train.stream_test) == (
        f"{train.name}: has a label column, so it is a training file; "
        "give a file without labels to predict for"
    )
    assert same(test.read_test(), TEST)
    assert fault(test.read_train) == (
        f"{test.name}: has no label column, so it is a test file; "
        "training and evaluation need a label in every row"
    )


def test_swapped_train_and_test_are_noticed(tmp_path):
    swapped = {"train.csv": FILES["test.csv"], "test.csv": FILES["train.csv"]}
    source = open_source(str(zip_of(tmp_path / "a.zip", swapped)))
    assert fault(source.read_train) == (
        f"{tmp_path / 'a.zip'}/train.csv: has no label column, so it is a test file; "
        "training and evaluation need a label in every row"
    )
    assert fault(source.read_test) == (
        f"{tmp_path / 'a.zip'}/test.csv: has a label column, so it is a training file; "
        "give a file without labels to predict for"
    )


def test_training_needs_rows_and_prediction_does_not(tmp_path):
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(FILES[name].partition("\n")[0])
    source = open_source(str(tmp_path))
    assert fault(source.read_train) == (f"{tmp_path}: has no rows; training needs labelled digits")
    assert len(source.read_test()) == 0


def test_zip_without_kaggle_files_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"digits.csv": FILES["train.csv"]})
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: holds neither train.csv nor test.csv; expected Kaggle's files"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["old/train.csv", "train.csv"])
def test_zip_with_two_training_files_is_refused(second, tmp_path):
    path = zip_of(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(second, FILES["train.csv"])
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: holds more than one train.csv; expected one"
    )


@pytest.mark.parametrize("name", ["../train.csv", "a/../../b", "/etc/train.csv", "..\\train.csv"])
def test_zip_with_paths_out_of_it_is_refused(name, tmp_path):
    path = zip_of(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "")
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: holds {name!r}, a path out of the zip; refused"
    )


def test_encrypted_zip_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", FILES)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the directory of the first member
    path.write_bytes(content)
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: train.csv is encrypted; unpack it and give the folder"
    )


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\5\6"])
def test_file_that_is_no_zip_is_refused(content, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: damaged (File is not a zip file); download or copy it again"
    )


def test_zip_cut_at_any_place_is_refused(tmp_path):
    whole = zip_of(tmp_path / "a.zip", FILES).read_bytes()
    path = tmp_path / "cut.zip"
    for size in range(0, len(whole), len(whole) // 50):
        path.write_bytes(whole[:size])
        assert fault(lambda: open_source(str(path))).startswith(f"{path}: damaged (")


def test_zip_with_a_flipped_byte_never_gives_other_digits(tmp_path):
    whole = zip_of(tmp_path / "a.zip", {"train.csv": FILES["train.csv"]}).read_bytes()
    path = tmp_path / "flipped.zip"
    for place in range(0, len(whole), len(whole) // 100):
        content = bytearray(whole)
        content[place] ^= 0x10
        path.write_bytes(content)
        try:
            read = open_source(str(path)).read_train()
        except DataError:
            continue
        assert same(read, TRAIN)  # dates and the like are of no weight


def test_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "BOMB_BYTES", 1 << 24)
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("test.csv", "w") as member,
    ):
        member.write(FILES["test.csv"].partition("\n")[0].encode() + b"\n")
        rows = (b",".join([b"0"] * 784) + b"\n") * 1000
        for _ in range(12):  # 19 MB
            member.write(rows)
    assert fault(lambda: all(open_source(str(path)).stream_test())) == (
        f"{path}/test.csv: unpacks to more than 200 times its size, as a zip bomb does; "
        "if it is sound, give it unpacked"
    )


def test_cut_gz_is_refused(tmp_path):
    path = tmp_path / "train.csv.gz"
    path.write_bytes(gzip.compress(FILES["train.csv"].encode())[:-100])
    assert fault(open_source(str(path)).read_train) == (
        f"{path}: damaged (Compressed file ended before the end-of-stream marker was reached); "
        "download or copy it again"
    )


def test_csv_under_the_name_of_a_gz_is_refused(tmp_path):
    path = tmp_path / "train.csv.gz"
    path.write_text(FILES["train.csv"])
    assert fault(lambda: open_source(str(path))) == (
        f"{path}: cannot be read: Not a gzipped file (b'la')"
    )


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions")
def test_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(FILES["train.csv"])
    path.chmod(0)
    assert fault(lambda: open_source(str(path))) == f"{path}: cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("sample", "where"),
    [
        ("", "the first line"),
        ("Id,Label\n1,0\n", "the first line"),
        ("ImageId,Label\n1,0\n2.5,0\n", "row 2"),
        ("ImageId,Label\n1,0\n\n3,0\n", "row 2"),
        (f"ImageId,Label\n{10**30},0\n", "row 1"),
    ],
)
def test_sample_submission_that_cannot_be_read_is_refused(sample, where, tmp_path):
    source = open_source(str(folder_of(tmp_path / "a", FILES | {"sample_submission.csv": sample})))
    assert fault(source.ids) == (
        f"{tmp_path / 'a' / 'sample_submission.csv'}: {where} cannot be read; "
        "expected the columns ImageId,Label and a whole number as ImageId in every row"
    )


@pytest.mark.parametrize(
    "sample", ["\ufeffImageId,Label\r\n7,0\r\n8,0", '"Label","ImageId"\n0,7\n0,8\n']
)
def test_common_forms_of_the_sample_submission_are_read(sample, tmp_path):
    folder = folder_of(tmp_path / "a", {"test.csv": FILES["test.csv"]})
    (folder / "sample_submission.csv").write_bytes(sample.encode())
    assert open_source(str(folder)).ids().tolist() == [7, 8]


def batches_of(digits: Digits, labels: np.ndarray, size: int = 3):
    """Yield the digits with these predictions, in small batches."""
    chances = np.full((len(digits), 10), 0.01, np.float32)
    chances[np.arange(len(digits)), labels] = 0.91
    for start in range(0, len(digits), size):
        rows = np.arange(start, min(start + size, len(digits)))
        yield digits.select(rows), labels[rows], chances[rows]


LABELS = np.array([7, 0, 9, 1, 1, 3, 2])


def test_submission_has_the_ids_of_the_sample_submission(tmp_path):
    source = open_source(str(zip_of(tmp_path / "a.zip", FILES)))
    path = tmp_path / "submission.csv"
    assert write_predictions(path, source, batches_of(TEST, LABELS)) == 7
    assert path.read_bytes() == b"ImageId,Label\n3,7\n1,0\n4,9\n15,1\n9,1\n2,3\n6,2\n"


def test_submission_without_sample_counts_from_1(tmp_path):
    path = tmp_path / "submission.csv"
    write_predictions(path, Source(name="a"), batches_of(TEST, LABELS))
    assert path.read_bytes() == b"ImageId,Label\n1,7\n2,0\n3,9\n4,1\n5,1\n6,3\n7,2\n"


def test_no_rows_give_the_header_alone(tmp_path):
    path = tmp_path / "submission.csv"
    assert write_predictions(path, Source(name="a"), []) == 0
    assert path.read_bytes() == b"ImageId,Label\n"
    write_predictions(path, Source(name="a", named=True), [], probabilities=True)
    assert path.read_bytes() == b"file,label,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9\n"


def test_probabilities_come_back_to_six_digits(tmp_path):
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.full(10, 0.05), 7).astype(np.float32)
    path = tmp_path / "submission.csv"
    write_predictions(path, Source(name="a"), [(TEST, LABELS, chances)], probabilities=True)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["ImageId", "Label", *(f"p{digit}" for digit in range(10))]
    assert [row[:2] for row in rows] == [[str(n), str(d)] for n, d in enumerate(LABELS, 1)]
    written = np.array([row[2:] for row in rows], float)
    np.testing.assert_allclose(written, chances, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 6, 8])
def test_ids_that_do_not_match_the_rows_are_refused(count, tmp_path):
    sample = {"sample_submission.csv": sample_of(list(range(count)))}
    source = open_source(str(folder_of(tmp_path / "a", FILES | sample)))
    path = tmp_path / "submission.csv"
    path.write_text("what was here before")
    assert fault(lambda: write_predictions(path, source, batches_of(TEST, LABELS))) == (
        f"{source.name}: test.csv has 7 rows but sample_submission.csv has {count} ids; "
        "the two must match"
    )
    assert path.read_text() == "what was here before"
    assert {entry.name for entry in tmp_path.iterdir()} == {"a", "submission.csv"}


def test_failure_half_way_leaves_what_was_there(tmp_path):
    def failing():
        yield from batches_of(TEST, LABELS)
        raise DataError("row 8 is wrong")

    path = tmp_path / "submission.csv"
    path.write_text("what was here before")
    assert fault(lambda: write_predictions(path, Source(name="a"), failing())) == "row 8 is wrong"
    assert [entry.name for entry in tmp_path.iterdir()] == ["submission.csv"]
    assert path.read_text() == "what was here before"


def test_place_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "nowhere" / "submission.csv"
    with pytest.raises(OutputError) as caught:
        write_predictions(path, Source(name="a"), batches_of(TEST, LABELS))
    assert str(caught.value) == f"{path}: cannot be written: No such file or directory"


NAMES = ("a.png", "-rf.png", 'with "quotes".png', "a,b.png", "a\nb.png", "a\rb.png", " 'ü' ")


def test_file_names_are_quoted_as_csv_asks(tmp_path):
    path = tmp_path / "out.csv"
    named = Digits(TEST.images, names=NAMES)
    write_predictions(path, Source(name="a", named=True), batches_of(named, LABELS))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["file", "label"], *([n, str(d)] for n, d in zip(NAMES, LABELS, strict=True))]
    assert path.read_text(encoding="utf-8").splitlines()[1] == "a.png,7"


def test_file_names_that_are_no_utf_8_keep_their_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.png") if sys.platform != "win32" else "caf\udce9.png"
    path = tmp_path / "out.csv"
    named = Digits(TEST.images[:1], names=(name,))
    write_predictions(path, Source(name="a", named=True), batches_of(named, LABELS[:1]))
    assert path.read_bytes() == b"file,label\ncaf\xe9.png,7\n"


@pytest.mark.kaggle
@pytest.mark.skipif("DIGITMLP_KAGGLE" not in os.environ, reason="DIGITMLP_KAGGLE is not set")
def test_kaggle_own_zip_is_read_as_numpy_reads_it():
    path = os.environ["DIGITMLP_KAGGLE"]
    with zipfile.ZipFile(path) as archive, archive.open("train.csv") as file:
        wanted = np.loadtxt(file, np.uint8, delimiter=",", skiprows=1, max_rows=3000)
    source = open_source(path)
    train = source.read_train()
    assert train.images.shape == (42_000, 28, 28)
    assert np.array_equal(train.images[:3000].reshape(-1, 784), wanted[:, 1:])
    assert np.array_equal(train.labels[:3000], wanted[:, 0])
    assert sum(len(batch) for batch in source.stream_test()) == 28_000
    assert np.array_equal(source.ids(), np.arange(1, 28_001))
