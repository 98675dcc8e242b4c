"""history.csv: read back as written, anything else refused."""

import math

import pytest

from digitmlp import history
from digitmlp.errors import DataError
from digitmlp.history import COLUMNS, Epoch

EPOCHS = [
    Epoch(1, 0.123456789, 1e-5, 1 / 3, 0.5, 2 / 3, 0.25),
    Epoch(2, 1e-9, 1e-5, 0.1, 1.0, None, None),
]


def test_history_is_read_back_to_the_last_bit(tmp_path):
    history.write(tmp_path / "history.csv", EPOCHS)
    assert history.read(tmp_path / "history.csv") == EPOCHS


def test_file_is_plain_csv(tmp_path):
    history.write(tmp_path / "history.csv", EPOCHS[1:])
    text = (tmp_path / "history.csv").read_bytes().decode()
    assert text == ",".join(COLUMNS) + "\n2,1e-09,1e-05,0.1,1.0,,\n"


def test_no_epochs_are_a_header(tmp_path):
    history.write(tmp_path / "history.csv", [])
    assert history.read(tmp_path / "history.csv") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,loss\n1,2\n",
        ",".join(COLUMNS).encode() + b"\n1,2,3\n",
        ",".join(COLUMNS).encode() + b"\n1,a,3,4,5,6,7\n",
        b"\xff\xfe",
        b"\0",
    ],
)
def test_anything_else_is_refused(tmp_path, content):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        history.read(path)
    assert str(refused.value).startswith(f"{path}: not the history of a training: ")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not the history of a training: .*No such file"):
        history.read(tmp_path / "history.csv")


def test_infinite_losses_survive(tmp_path):
    wild = [Epoch(1, 0.0, 1.0, math.inf, 0.0, math.inf, 0.0)]
    history.write(tmp_path / "history.csv", wild)
    assert history.read(tmp_path / "history.csv") == wild
