"""A run stopped at any moment goes on as if it had never stopped, or says why it does not."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import make_digits, write_csv
from training import leftovers, models, resume, train

from digitmlp import checkpoint, files, history, run
from digitmlp import train as loop
from digitmlp.errors import ConfigError, ModelError, OutputError
from digitmlp.interrupt import Interrupted, raise_on_signals


@pytest.fixture
def every_epoch(monkeypatch) -> None:
    """Let states be saved after every epoch, however short."""
    monkeypatch.setattr(run, "SAVING_SHARE", float("inf"))


@pytest.fixture
def snapshots(kaggle, tmp_path, monkeypatch, every_epoch, without_pictures) -> list[Path]:
    """Return copies of a run's folder, each as it was when a state had just been saved."""
    taken: list[Path] = []
    save = checkpoint.save_state

    def save_and_copy(folder: Path, training, card) -> Path:
        path = save(folder, training, card)
        taken.append(shutil.copytree(folder.parent, tmp_path / f"after-{len(taken) + 1}"))
        return path

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_state", save_and_copy)
        train(kaggle, tmp_path / "run")
    return taken


def test_run_resumed_after_any_epoch_ends_with_the_same_bytes(snapshots, reference, capsys):
    assert len(snapshots) == 3
    capsys.readouterr()
    for epoch, folder in enumerate(snapshots, 1):
        resume(folder)
        state = folder / "state" / f"epoch-{epoch:05}-step-0000000.safetensors"
        said = capsys.readouterr().err.splitlines()[0]
        assert said == f"resuming after {epoch} epochs, 0 steps: {state}"
        assert models(folder) == models(reference)
        assert (folder / "submission.csv").read_bytes() == (
            reference / "submission.csv"
        ).read_bytes()


def test_run_resumed_once_it_has_finished_gives_the_same_bytes(snapshots, reference):
    folder = snapshots[-1]
    resume(folder)
    assert models(resume(folder)) == models(reference)


def test_damaged_state_is_passed_over_with_a_warning(snapshots, reference, capsys):
    folder = snapshots[2]
    newest, before = checkpoint.states(folder / "state")
    newest.write_bytes(newest.read_bytes()[:-100])
    capsys.readouterr()
    resume(folder)
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"warning: {newest}: damaged: its content does not match its checksum; copy it again; "
        "taking the state before it",
        f"resuming after 2 epochs, 0 steps: {before}",
    ]
    assert models(folder) == models(reference)
    assert len(checkpoint.states(folder / "state")) == 2
    for path in checkpoint.states(folder / "state"):
        files.read_sealed(path)


def test_without_a_sound_state_training_starts_anew_and_says_so(snapshots, reference, capsys):
    folder = snapshots[2]
    for path in checkpoint.states(folder / "state"):
        path.write_bytes(b"")
    capsys.readouterr()
    resume(folder)
    said = capsys.readouterr().err.splitlines()
    assert said[2] == "resuming: no sound state found, training from the start"
    assert models(folder) == models(reference)


def test_finished_run_without_a_state_is_not_trained_again(reference, tmp_path):
    folder = tmp_path / "finished"
    shutil.copytree(reference, folder)
    shutil.rmtree(folder / "state")
    before = models(folder)
    with pytest.raises(ModelError, match="is finished, and holds no sound state to go on from"):
        resume(folder)
    assert models(folder) == before


def test_files_of_a_killed_process_are_cleared(snapshots):
    folder = snapshots[0]
    for name in (".model.onnx.0123abcd.tmp", "state/.epoch-00002.0123abcd.tmp"):
        (folder / name).write_bytes(b"half")
    resume(folder)
    assert leftovers(folder) == []


def test_state_of_another_run_is_refused(snapshots, kaggle, tmp_path):
    other = train(kaggle, tmp_path / "other", seed=1)
    shutil.rmtree(snapshots[1] / "state")
    shutil.copytree(other / "state", snapshots[1] / "state")
    with pytest.raises(ConfigError) as refused:
        resume(snapshots[1])
    assert str(refused.value) == (
        "a resumed run keeps its settings and data, but: seed 1 → 302; "
        "leave them as they were, or start a new run with another --out"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_the_state_and_says_how_to_go_on(
    kaggle, reference, tmp_path, monkeypatch, without_pictures, number
):
    out = tmp_path / "my run"
    step = loop.train_step
    steps = iter(range(100))

    def step_and_signal(*arguments):
        if next(steps) == 8:  # an epoch has six
            signal.raise_signal(number)
        time.sleep(0.005)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", step_and_signal)
        with pytest.raises(Interrupted) as stopped:
            train(kaggle, out)
    assert stopped.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert str(stopped.value) == (
        f"stopped in epoch 2 of 3; go on with  digitmlp train --resume --out '{out}'"
    )
    newest, *_ = checkpoint.states(out / "state")
    assert newest.name == "epoch-00001-step-0000003.safetensors"
    assert models(resume(out)) == models(reference)
    seconds = json.loads((out / "metrics.json").read_text())["seconds"]
    assert all(value >= 0 for value in seconds.values())
    steps = sum(epoch.seconds for epoch in history.read(out / "history.csv"))
    assert seconds["train"] == pytest.approx(steps, abs=0.01)  # of both processes
    assert seconds["total"] > sum(value for name, value in seconds.items() if name != "total")


@pytest.mark.usefixtures("without_pictures")
def test_signal_while_exporting_says_how_to_go_on(kaggle, reference, tmp_path, monkeypatch):
    out = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    raise_on_signals()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(run.export, "save", lambda *_: signal.raise_signal(signal.SIGINT))
            with pytest.raises(Interrupted) as stopped:
                train(kaggle, out)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert str(stopped.value) == (f"interrupted; go on with  digitmlp train --resume --out {out}")
    assert models(resume(out)) == models(reference)


KILLS = """
import os, random, signal, sys, time, traceback
from pathlib import Path
from digitmlp import report, results, run

data, base, runs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
results.draw = report.build = lambda *_: None
run.SAVING_SHARE = float("inf")

def train(out):
    training = {"epochs": 8, "batch_size": 16}
    model = {"hidden": (16,)}
    run.train(data, preset="tutorial", out=out, resume=True, model=model, training=training)

def start(out):
    child = os.fork()
    if not child:
        try:
            train(out)
        except BaseException:
            traceback.print_exc()
        os._exit(0)  # a parent that waits looks at the files
    return child

train(base / "warm")  # here, so that no child imports anything; with one thread a fork is safe
began = time.monotonic()
os.waitpid(start(base / "whole"), 0)
takes = time.monotonic() - began

def models(out):
    return [(out / name).read_bytes() for name in ("model.safetensors", "model.onnx")]

random.seed(0)
for number in range(runs):
    out = base / str(number)
    for attempt in range(4):
        child = start(out)
        time.sleep(takes * random.random() ** 2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.waitpid(start(out), 0)
    assert models(out) == models(base / "whole"), number
    assert list(out.rglob(".*")) == []
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_run_killed_at_random_moments_again_and_again_ends_with_the_same_bytes(kaggle, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, kaggle, tmp_path, "4"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"seed": 7}, "seed 302 → 7"),
        ({"batch_size": 32}, "batch_size 16 → 32"),
        ({"hidden": (8,)}, "hidden (16,) → (8,)"),
        ({"members": 2}, "members 1 → 2"),
        ({"learning_rate": 0.5}, "learning_rate 1e-05 → 0.5"),
        ({"validation": 0.1}, "validation 0.2 → 0.1"),
        ({"epochs": 2}, "epochs 3 → 2"),
        ({"outliers": 0.1}, "nothing False → True; outliers 0.0 → 0.1"),
        ({"seed": 7, "batch_size": 32}, "batch_size 16 → 32; seed 302 → 7"),
    ],
)
def test_changed_settings_are_refused_by_name(reference, tmp_path, options, change):
    folder = shutil.copytree(reference, tmp_path / "run")
    with pytest.raises(ConfigError) as refused:
        resume(folder, **options)
    assert str(refused.value) == (
        f"a resumed run keeps its settings and data, but: {change}; "
        "leave them as they were, or start a new run with another --out"
    )
    assert models(folder) == models(reference)


def test_other_preset_is_refused_by_its_settings(reference, tmp_path):
    folder = shutil.copytree(reference, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"hidden \(16,\) → \(1024, 512\); norm last → every; "):
        resume(folder, preset="fast")


def test_other_data_is_refused(reference, tmp_path, kaggle):
    folder = shutil.copytree(reference, tmp_path / "run")
    other = write_csv(tmp_path / "other.csv", make_digits(120, seed=9))
    with pytest.raises(ConfigError) as refused:
        resume(folder, other)
    before, now = make_digits(120).digest()[:12], make_digits(120, seed=9).digest()[:12]
    assert str(refused.value) == (
        f"a resumed run keeps its settings and data, but: data {before} ({kaggle}) → {now}; "
        "leave them as they were, or start a new run with another --out"
    )


@pytest.mark.usefixtures("without_pictures")
def test_data_may_have_moved(kaggle, reference, tmp_path):
    moved = shutil.copytree(kaggle, tmp_path / "moved")
    folder = shutil.copytree(reference, tmp_path / "run")
    assert models(resume(folder, moved)) == models(reference)


@pytest.mark.usefixtures("without_pictures")
def test_more_epochs_at_a_constant_rate_equal_a_run_with_that_many(kaggle, reference, tmp_path):
    folder = shutil.copytree(reference, tmp_path / "run")
    resume(folder, epochs=6)
    assert models(folder) == models(train(kaggle, tmp_path / "whole", epochs=6))
    assert len((folder / "history.csv").read_text().splitlines()) == 7


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("first", "change"),
    [({"epochs": 2}, "epochs 2 → 5"), ({"epochs": None}, "epochs 12 → 5; min_steps 600 → 0")],
)
def test_other_epochs_are_refused_with_one_cycle(kaggle, tmp_path, monkeypatch, first, change):
    monkeypatch.setattr(run, "_fit", lambda *_: None)
    monkeypatch.setattr(run, "_finish", lambda *_: {})
    folder = train(kaggle, tmp_path / "run", preset="fast", batch_size=None, **first)
    with pytest.raises(ConfigError) as refused:
        resume(folder, epochs=5)
    assert str(refused.value) == (
        f"a resumed run keeps its settings and data, but: {change}; "
        "leave them as they were, or start a new run with another --out"
    )


@pytest.mark.usefixtures("without_pictures")
def test_resumed_run_computes_on_what_it_began_on(kaggle, tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    folder = train(kaggle, tmp_path / "run", epochs=1)
    assert threads == []
    resume(folder)
    resume(folder, threads=5)
    assert threads == [3, 5]
    asked = []
    choose = run.choose_device
    monkeypatch.setattr(run, "choose_device", lambda name: asked.append(name) or choose("cpu"))
    resume(folder)
    resume(folder, device="cuda")
    assert asked == [json.loads((folder / "config.json").read_text())["device"], "cuda"]


@pytest.mark.usefixtures("without_pictures")
def test_resume_without_a_run_starts_one_only_where_data_is_given(kaggle, reference, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ConfigError) as refused:
        resume(out)
    assert str(refused.value) == (
        f"{out}: no run to resume; expected a run folder with config.json, or DATA to start from"
    )
    with pytest.raises(ConfigError) as refused:
        resume(None)
    assert str(refused.value) == "--resume needs --out with the run folder to go on with"
    assert not out.exists()
    assert models(train(kaggle, out, resume=True)) == models(reference)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "damaged: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "damaged: expected a JSON object"),
        ("{}", "not a run's settings: 'preset' is missing"),
        (
            "\udcff",
            "damaged: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        ("[" * 100_000, "damaged: maximum recursion depth exceeded while decoding a JSON array"),
    ],
)
def test_damaged_config_is_named(tmp_path, content, sentence):
    path = tmp_path / "config.json"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(ModelError) as refused:
        resume(tmp_path)
    assert str(refused.value).startswith(f"{path}: {sentence}")


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_disk_full_at_any_write_is_loud_and_the_run_can_go_on(kaggle, tmp_path, monkeypatch):
    expected = models(train(kaggle, tmp_path / "whole", epochs=1))
    synchronize = os.fsync
    said = set()
    for fails_at in range(1000):
        out = tmp_path / str(fails_at)
        calls = iter(range(1000))

        def fsync(handle: int) -> None:
            if next(calls) == fails_at:  # noqa: B023
                raise OSError(errno.ENOSPC, "No space left on device")
            synchronize(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            try:
                train(kaggle, out, epochs=1)
            except OutputError as error:
                said.add(re.sub(str(out), "OUT", str(error)))
            else:
                break
        assert leftovers(out) == []
        assert models(train(kaggle, out, epochs=1, resume=True)) == expected
    assert said == {
        f"OUT/{name}: cannot be written: No space left on device"
        for name in (
            *("config.json", "state/epoch-00001-step-0000000.safetensors", "history.csv"),
            *("model.safetensors", "model.onnx"),
            *("submission.csv", "suspects.csv", "metrics.json"),
        )
    }


@pytest.mark.usefixtures("without_pictures")
def test_run_folder_that_vanishes_is_named(kaggle, tmp_path, monkeypatch):
    show = run.EpochProgress.show

    def show_and_remove(self, epoch) -> None:
        show(self, epoch)
        (tmp_path / "run").rename(tmp_path / "elsewhere")

    monkeypatch.setattr(run.EpochProgress, "show", show_and_remove)
    with pytest.raises(OutputError) as failed:
        train(kaggle, tmp_path / "run")
    path = tmp_path / "run" / "state" / "epoch-00001-step-0000000.safetensors"
    assert str(failed.value) == f"{path}: cannot be written: No such file or directory"


@pytest.mark.usefixtures("without_pictures")
def test_run_folder_that_becomes_read_only_is_named(kaggle, reference, tmp_path, monkeypatch):
    out = tmp_path / "run"
    show = run.EpochProgress.show

    def show_and_lock(self, epoch) -> None:
        show(self, epoch)
        (out / "state").chmod(0o500)
        if os.access(out / "state", os.W_OK):
            pytest.skip("this user may write everywhere")

    with monkeypatch.context() as patch:
        patch.setattr(run.EpochProgress, "show", show_and_lock)
        with pytest.raises(OutputError, match="cannot be written: Permission denied"):
            train(kaggle, out)
    (out / "state").chmod(0o700)
    assert leftovers(out) == []
    assert models(resume(out)) == models(reference)
