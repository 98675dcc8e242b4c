"""What the argument DATA may be; each reader has tests of its own."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits

from digitmlp import runfolder
from digitmlp.digits import NAMED
from digitmlp.errors import DataError
from digitmlp.sources import EXPECTED, open_source


def fault(data: object) -> str:
    with pytest.raises(DataError) as caught:
        open_source(str(data))
    return str(caught.value)


@pytest.mark.parametrize("name", NAMED)
def test_names_are_no_paths_to_any_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("no source of digits")
    assert runfolder.absolute(name) == name
    assert runfolder.absolute("x") == "x"
    Path("x").mkdir()
    assert runfolder.absolute("x") == str(tmp_path / "x")


def test_what_is_not_there_is_named_with_what_may_be(tmp_path):
    path = tmp_path / "digit-recogniser.zip"
    assert fault(path) == (
        f"{path}: there is no such file or folder; expected uci, mnist, a .zip or folder of "
        "Kaggle's Digit Recognizer, a .csv, .csv.gz, .npz or .parquet file, a folder of MNIST's "
        "IDX files, or a folder of pictures"
    )


@pytest.mark.parametrize("name", ["digit.png", "train.tsv", "model.onnx", "csv"])
def test_file_of_another_kind_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"")
    assert fault(path) == f"{path}: is no source of digits; {EXPECTED}"


def test_impossible_paths_are_refused():
    assert fault("") == f"'': there is no such file or folder; {EXPECTED}"
    assert fault("a\0b") == f"a\0b: there is no such file or folder; {EXPECTED}"
    assert fault("x" * 5000).startswith("x" * 5000 + ": ")  # each system in its own words


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    (tmp_path / "train.csv").write_text("wrong from the first line on\n")
    source = open_source(str(tmp_path))
    with pytest.raises(DataError):
        source.read_train()


def test_every_form_gives_the_same_digits(tmp_path):
    digits = make_digits(40)
    flat = digits.images.reshape(-1, 784)
    csv = tmp_path / "a.csv"
    header = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    table = np.column_stack([digits.labels, flat])
    np.savetxt(csv, table, "%d", ",", header=header, comments="")
    np.savez(tmp_path / "a.npz", X=flat, y=digits.labels)
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = bytes([0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 28, 0, 0, 0, 28]) + flat.tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 40]) + digits.labels.astype(np.uint8).tobytes()
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    for data in (csv, tmp_path / "a.npz", folder):
        assert open_source(str(data)).read_train().digest() == digits.digest()
