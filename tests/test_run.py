"""The main job: what a run folder holds, and what it takes to fill one."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_digits, write_csv
from training import models, resume, train

from digitmlp import checkpoint, files, recognizer, runfolder
from digitmlp import train as loop
from digitmlp.digits import Digits
from digitmlp.errors import ConfigError, DataError, DigitmlpError, ModelError, OutputError
from digitmlp.history import COLUMNS


def test_run_folder_holds_all_that_it_should(finished):
    assert {path.name for path in finished.iterdir()} == {
        "config.json",
        "history.csv",
        "metrics.json",
        "model.safetensors",
        "model.onnx",
        "state",
        "submission.csv",
        "suspects.csv",
        "figures",
        "report.html",
    }
    assert {path.name for path in (finished / "figures").iterdir()} == {
        "samples.png",
        "curves.png",
        "confusion.png",
        "most-wrong.png",
        "weights.png",
        "calibration.png",
    }
    assert len(checkpoint.states(finished / "state")) == 2


def test_config_says_how_the_model_came_to_be(finished, kaggle):
    settings = json.loads((finished / "config.json").read_text())
    assert settings["preset"] == "tutorial"
    assert settings["data"]["source"] == str(kaggle)
    assert settings["data"]["rows"] == 120
    assert settings["data"]["sha256"] == make_digits(120).digest()
    assert settings["model"]["hidden"] == [16]
    assert settings["training"]["epochs"] == 5
    assert settings["training"]["seed"] == 302
    assert settings["from"] is None
    assert settings["device"] in ("cpu", "cuda", "mps")
    assert settings["threads"] == torch.get_num_threads()
    assert settings["precision"] == "float32"
    assert settings["versions"]["torch"] == torch.__version__
    assert settings["versions"].keys() >= {"python", "digitmlp", "numpy", "onnx", "onnxruntime"}
    assert len(set(settings["validation_rows"])) == 24
    assert set(settings["validation_rows"]) < set(range(120))


def test_metrics_say_what_came_of_it(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["validation"].keys() >= {"count", "accuracy", "loss"}
    assert metrics["validation"]["count"] == 24
    assert metrics["test"] is None  # the test part has no labels
    assert metrics["best_epoch"] in range(1, 6)
    assert metrics["parameters"] == 784 * 16 + 16 + 2 * 16 + 16 * 10 + 10
    phases = ("read", "train", "validate", "save", "export", "predict", "report", "total")
    assert tuple(metrics["seconds"]) == phases
    assert all(seconds >= 0 for seconds in metrics["seconds"].values())
    *parts, total = metrics["seconds"].values()
    assert sum(parts) <= total + 0.01


def test_history_has_a_row_an_epoch(finished):
    with (finished / "history.csv").open() as file:
        header, *rows = csv.reader(file)
    assert (
        header
        == COLUMNS
        == [
            "epoch",
            "seconds",
            "learning_rate",
            "train_loss",
            "train_accuracy",
            "validation_loss",
            "validation_accuracy",
        ]
    )
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert {row[2] for row in rows} == {"0.01"}


def test_submission_is_what_the_model_predicts(finished):
    loaded = recognizer.load(finished)
    expected = loaded.predict(make_digits(30, seed=1).images)
    lines = (finished / "submission.csv").read_text().splitlines()
    assert lines == ["ImageId,Label", *(f"{i},{digit}" for i, digit in enumerate(expected, 1))]


@pytest.mark.usefixtures("without_pictures")
def test_labelled_test_part_is_judged(tmp_path):
    given, tested = make_digits(60), make_digits(25, seed=3)
    data = tmp_path / "mnist.npz"
    np.savez(
        data,
        x_train=given.images,
        y_train=given.labels,
        x_test=tested.images,
        y_test=tested.labels,
    )
    folder = train(data, tmp_path / "run", learning_rate=0.01)
    judged = json.loads((folder / "metrics.json").read_text())["test"]
    answers = recognizer.load(folder).predict(tested.images)
    assert (judged["count"], judged["accuracy"]) == (25, (answers == tested.labels).mean())


def test_models_of_a_run_agree(finished):
    network, card = checkpoint.load_network(finished / "model.safetensors")
    loaded = recognizer.load(finished)
    assert loaded.card == card
    digits = make_digits(50, seed=3)
    logits = loop.predict_logits(network, torch.from_numpy(digits.images.reshape(50, -1)))
    np.testing.assert_array_equal(loaded.predict(digits.images), logits[0].argmax(1).numpy())


@pytest.mark.usefixtures("without_pictures")
def test_same_seed_gives_the_same_bytes_and_another_seed_others(kaggle, reference, tmp_path):
    assert models(train(kaggle, tmp_path / "again")) == models(reference)
    assert models(train(kaggle, tmp_path / "other", seed=303)) != models(reference)


@pytest.mark.usefixtures("without_pictures")
def test_loose_csv_and_folder_give_the_same_model(kaggle, reference, tmp_path):
    assert models(train(kaggle / "train.csv", tmp_path / "loose")) == models(reference)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ([0, 1], {}),
        ([0, 0, 1], {}),
        ([3, 4, 5, 6], {"validation": 0}),
        ([0, 1] * 4 + [7], {}),  # a class with one row
        ([0, 1] * 10, {"batch_size": 1000}),
        ([0, 1] * 10 + [2], {"batch_size": 4, "validation": 0}),  # last batch: one row
        ([0, 1] * 3, {"batch_size": 1}),
        ([5, 8] * 10, {"preset": "fast", "members": 2}),
        ([5, 8], {"preset": "fast", "members": 2}),
    ],
)
def test_little_data_is_learned(tmp_path, labels, options):
    digits = Digits(make_digits(len(labels)).images, np.array(labels))
    folder = train(write_csv(tmp_path / "train.csv", digits), tmp_path / "run", **options)
    assert recognizer.load(folder).predict(digits.images).shape == (len(labels),)
    held_out = json.loads((folder / "config.json").read_text())["validation_rows"]
    judged = json.loads((folder / "metrics.json").read_text())["validation"]
    assert (judged["count"] if judged else 0) == len(held_out)


def test_little_data_is_drawn_and_reported_too(tmp_path):
    data = write_csv(tmp_path / "train.csv", Digits(make_digits(2).images, np.array([4, 9])))
    folder = train(data, tmp_path / "run")
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([], "has no rows; training needs labelled digits"),
        ([3], "only the label 3; training needs at least two classes"),
        ([3, 3, 3], "only the label 3; training needs at least two classes"),
    ],
)
def test_too_little_data_is_refused_and_leaves_nothing_behind(tmp_path, labels, sentence):
    digits = Digits(make_digits(len(labels)).images, np.array(labels, np.int64))
    path = write_csv(tmp_path / "train.csv", digits)
    with pytest.raises(DataError) as refused:
        train(path, tmp_path / "run")
    assert str(refused.value) == f"{path}: {sentence}"
    assert list(tmp_path.iterdir()) == [path]


def test_split_that_leaves_nothing_to_train_on_is_refused(tmp_path):
    digits = Digits(make_digits(4).images, np.array([3, 3, 5, 5]))
    path = write_csv(tmp_path / "train.csv", digits)
    with pytest.raises(DataError, match="give more rows or a smaller --validation"):
        train(path, tmp_path / "run", validation=0.9)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("preset", "outliers", "nothing"),
    [("tutorial", 0.2, True), ("tutorial", 0.001, True), ("compact", 0.0, False)],
)
def test_outliers_bring_the_output_that_learns_from_them(
    kaggle, tmp_path, preset, outliers, nothing
):
    folder = train(
        kaggle, tmp_path / "run", preset=preset, outliers=outliers, epochs=1, hidden=(16,)
    )
    network, card = checkpoint.load_network(folder)
    assert (card.training.outliers, card.model.nothing) == (outliers, nothing)
    assert network.config.outputs == 10 + nothing
    # With a batch of 16 images and a share of 0.001 there is one all the same.
    assert loop.made_up(16, card.training) == {0.2: 3, 0.001: 1, 0.0: 0}[outliers]
    assert (recognizer.load(folder).threshold_of_views is not None) == nothing


def test_without_out_a_new_folder_is_taken(kaggle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [train(kaggle, None, epochs=1) for _ in range(3)]
    assert folders == [Path("runs", name) for name in ("tutorial", "tutorial-2", "tutorial-3")]


@pytest.mark.usefixtures("without_pictures")
def test_failed_start_can_be_tried_again_in_the_same_folder(kaggle, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with pytest.raises(DataError):
        train(tmp_path / "missing.csv", out)
    assert list(out.iterdir()) == []  # the folder itself was there before
    train(kaggle, out, epochs=1)


@pytest.mark.usefixtures("without_pictures")
def test_folder_of_a_process_killed_before_it_had_written_its_settings_is_free(kaggle, tmp_path):
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "state" / "lock").touch()
    (tmp_path / "run" / ".config.json.0123abcd.tmp").touch()
    train(kaggle, tmp_path / "run", epochs=1)


def test_output_folder_is_judged_before_data_is_read(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").touch()
    begun = shutil.copytree(taken, tmp_path / "begun")
    (begun / "config.json").touch()
    file = tmp_path / "file"
    file.touch()
    for out, kind, sentence in [
        (
            begun,
            ConfigError,
            f"{begun}: not empty; give another --out, or go on with the run in it: --resume",
        ),
        (taken, ConfigError, f"{taken}: not empty; give another --out"),
        (file, ConfigError, f"{file}: is a file; give a folder as --out"),
        (file / "run", OutputError, f"{file / 'run'}: cannot be written: Not a directory"),
    ]:
        with pytest.raises(kind) as refused:
            train(tmp_path / "missing.csv", out)
        assert str(refused.value) == sentence
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"taken", "begun", "config.json", "mine.txt", "file"}


def test_folder_that_may_not_be_written_to_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(OutputError) as refused:
            train(tmp_path / "missing.csv", tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)
    assert str(refused.value) == f"{tmp_path / 'run'}: cannot be written: Permission denied"


def test_folder_in_which_another_training_writes_is_refused(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "run")
    with files.FolderLock(out / "state" / "lock"), pytest.raises(OutputError) as refused:
        resume(out)
    assert str(refused.value) == (
        f"{out}: another training is writing here; wait for it, or give another --out"
    )


@pytest.mark.usefixtures("without_pictures")
def test_training_starts_from_given_weights_also_when_resumed(kaggle, reference, tmp_path):
    for given in (reference, reference / "model.safetensors"):
        out = tmp_path / given.name
        tuned = train(kaggle, out, fine_tune=given, learning_rate=1e-12, epochs=1)
        before, _ = checkpoint.load_network(reference / "model.safetensors")
        after, _ = checkpoint.load_network(tuned / "model.safetensors")
        for ours, theirs in zip(after.parameters(), before.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)
        assert json.loads((tuned / "config.json").read_text())["from"] == str(given)
    whole = models(tuned)
    shutil.rmtree(tuned / "state")
    (tuned / "metrics.json").unlink()  # as if it had not come to its end
    assert models(resume(tuned)) == whole
    with pytest.raises(ConfigError, match=rf"but: from .*safetensors → {reference}; "):
        resume(tuned, fine_tune=reference)


def test_weights_that_cannot_be_trained_on_are_refused(kaggle, finished, tmp_path):
    for given, what in (
        (finished / "model.onnx", "is for predicting alone"),
        (tmp_path / "nowhere", "no such file"),
    ):
        for begun in ({"fine_tune": given}, {"teacher": [given]}):
            with pytest.raises(ModelError) as refused:
                train(kaggle, tmp_path / "run", **begun)
            assert str(refused.value) == (
                f"{given}: {what}; expected a finished run's folder or model.safetensors"
            )


def test_weights_of_another_network_are_refused(kaggle, reference, tmp_path):
    with pytest.raises(ConfigError) as refused:
        train(kaggle, tmp_path / "run", fine_tune=reference, hidden=(8,))
    assert str(refused.value) == (
        f"{reference}: not the network that this run builds: hidden (16,) → (8,); "
        "give the preset, --hidden and --outliers of that run"
    )
    assert not (tmp_path / "run").exists()


def test_diverged_training_is_said(kaggle, tmp_path):
    with pytest.raises(DigitmlpError, match=r"^training diverged: the loss of epoch 1 is"):
        train(kaggle, tmp_path / "run", preset="tutorial", learning_rate=1e38)


def test_versions_and_processor_are_recorded_as_text():
    assert all(isinstance(text, str) and text for text in runfolder.versions().values())
    assert runfolder.processor()
