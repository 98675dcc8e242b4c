"""What the rows share: the data in the forms they need, a model, the guard, a place to write."""

import functools
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from zipfile import ZipFile

import numpy as np
from measure import OURS, Cold, Trainer, answer, cold
from quiet import Guard
from settings import SEED, Effort

from digitmlp import sources
from digitmlp.digits import Images
from digitmlp.split import stratified_split

T = TypeVar("T")
FILES = ("train.csv", "test.csv", "sample_submission.csv")


class Workplace:
    """data: Kaggle's zip; folder: a temporary one, for everything that is written."""

    def __init__(self, data: Path, folder: Path, effort: Effort, guard: Guard) -> None:
        self.data, self.folder, self.effort, self.guard = data, folder, effort, guard
        self.command = OURS.with_name("digitmlp")

    @functools.cached_property
    def unpacked(self) -> Path:
        """Kaggle's files in a folder; in a trial their first rows alone."""
        folder = self.folder / "kaggle"
        folder.mkdir()
        with ZipFile(self.data) as archive:
            for name in FILES:
                archive.extract(name, folder)
        if self.effort.rows:
            for name in FILES:
                with (folder / name).open() as file:
                    lines = list(itertools.islice(file, self.effort.rows + 1))
                (folder / name).write_text("".join(lines))
        return folder

    @property
    def kaggle(self) -> Path:
        """DATA of the main command: the zip as downloaded; in a trial the first rows."""
        return self.unpacked if self.effort.rows else self.data

    @functools.cached_property
    def split(self) -> Path:
        """The labelled digits, split as the tutorial splits them, for the trainers."""
        digits = sources.open_source(str(self.kaggle)).read_train()
        assert digits.labels is not None
        rows, held_out = stratified_split(digits.labels, 0.2, SEED)
        path = self.folder / "split.npz"
        np.savez(
            path,
            train_images=digits.images[rows],
            train_labels=digits.labels[rows],
            validation_images=digits.images[held_out],
            validation_labels=digits.labels[held_out],
        )
        return path

    @functools.cached_property
    def model(self) -> Path:
        """A run folder with the tutorial's network; how well it reads does not matter here."""
        folder = self.folder / "model"
        flags = ("--preset", "tutorial", "--epochs", "1", "--out", folder)
        cold(self.command, "train", self.kaggle, *flags)
        return folder

    @property
    def labelled_rows(self) -> int:
        with np.load(self.split) as arrays:
            return sum(len(arrays[name]) for name in ("train_labels", "validation_labels"))

    def has_gpu(self) -> bool:
        """Return whether PyTorch sees a GPU where digitmlp is installed."""
        ask = "import torch; print(int(torch.cuda.is_available()))"
        return bool(answer(OURS, "-c", ask, gpu=True))

    def predict(self, data: Path, model: Path) -> Cold:
        """Run `digitmlp predict` from a cold start."""
        flags = ("--model", model, "--out", self.fresh("predictions.csv"))
        return cold(self.command, "predict", data, *flags)

    def test_images(self) -> Images:
        source = sources.open_source(str(self.unpacked / "test.csv"))
        return np.concatenate([digits.images for digits in source.stream_test()])

    def trainer(self, script: str, *, gpu: bool = False) -> Trainer:
        return Trainer(script, self.split, gpu=gpu)

    def fresh(self, name: str) -> Path:
        """Return a path in the temporary folder where nothing is."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return path

    def in_turns(
        self, sides: dict[str, Callable[[], T]], repeats: int | None = None, warm_up: bool = True
    ) -> dict[str, list[T]]:
        """Return what each side measured: one after the other, so often, after a warm-up."""
        if warm_up:
            for measure in sides.values():
                measure()
        taken: dict[str, list[T]] = {name: [] for name in sides}
        for _ in range(repeats or self.effort.repeats):
            turn = self.guard.measured(lambda: {name: measure() for name, measure in sides.items()})
            for name, value in turn.items():
                taken[name].append(value)
        return taken
