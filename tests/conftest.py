"""Digits made up for the tests: each class has a shape of its own, with noise."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from digitmlp import cli
from digitmlp.digits import Digits

# Before torch is imported, here and in every process a test starts: what is computed is so small
# that a second thread only waits, and seconds are lost where other work keeps the cores busy.
os.environ["OMP_NUM_THREADS"] = "1"


def make_digits(count: int, seed: int = 0) -> Digits:
    """Return digits that a small network learns: a bright block for each class, and noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        top, left = divmod(int(label), 5)
        images[row, 4 + 10 * top : 12 + 10 * top, 2 + 5 * left : 6 + 5 * left] += 180
    return Digits(images, labels)


def write_csv(path: Path, digits: Digits) -> Path:
    """Write digits as Kaggle does, with a label column where they have labels."""
    columns = [f"pixel{number}" for number in range(784)]
    cells = digits.images.reshape(-1, 784)
    if digits.labels is not None:
        columns, cells = ["label", *columns], np.column_stack([digits.labels, cells])
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in [columns, *cells.tolist()]))
    return path


@pytest.fixture
def digits() -> Digits:
    return make_digits(200)


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory) -> Path:
    """Return a folder of Kaggle's files: 120 rows to train on, 30 to predict."""
    folder = tmp_path_factory.mktemp("kaggle")
    write_csv(folder / "train.csv", make_digits(120))
    write_csv(folder / "test.csv", Digits(make_digits(30, seed=1).images))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, kaggle) -> Path:
    """Return the folder of a whole run; to be read, or copied, never changed."""
    from digitmlp import run

    folder = tmp_path_factory.mktemp("runs") / "finished"
    run.train(
        str(kaggle),
        preset="tutorial",
        out=folder,
        model={"hidden": (16,)},
        training={"epochs": 5, "batch_size": 16, "learning_rate": 0.01},
    )
    return folder


@pytest.fixture
def without_pictures(monkeypatch) -> None:
    """Let runs end without figures and report, which take most of a small run's time."""
    from digitmlp import report, results

    monkeypatch.setattr(results, "draw", lambda *_: None)
    monkeypatch.setattr(report, "build", lambda *_: None)


@pytest.fixture(scope="session")
def reference(tmp_path_factory, kaggle) -> Path:
    """Return the folder of a run without pictures, that nothing has stopped; never changed."""
    from training import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitmlp.results.draw", lambda *_: None)
        patch.setattr("digitmlp.report.build", lambda *_: None)
        return train(kaggle, tmp_path_factory.mktemp("runs") / "reference")


@pytest.fixture(scope="session")
def recognizer():
    """Return a Recognizer of a small network that learned digits made of strokes."""
    from serving import trained

    from digitmlp import load

    return load(trained())


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Return 200 images, uint8 (200, 784), of which no two are alike."""
    random = np.random.default_rng(0)
    return np.where(random.random((200, 784)) < 0.2, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def service(recognizer) -> Iterator[str]:
    """Give the address of a server of that network, in this process."""
    from serving import listening

    from digitmlp.serve import create_app

    with listening(create_app(recognizer)) as address:
        yield address


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch, capsys) -> Iterator[Command]:
    """Give a function that runs `digitmlp …` in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["digitmlp", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return end.value.code, output.out, output.err

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield call
    for number, handler in before.items():
        signal.signal(number, handler)
