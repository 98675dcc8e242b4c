"""Learning from another network's answers."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
from conftest import make_digits, write_csv
from training import models, resume, train

from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.checkpoint import load_committee, load_network, save
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ConfigError, DataError, ModelError
from digitmlp.hands import HANDS
from digitmlp.model import committee
from digitmlp.split import Batch, tensors
from digitmlp.teacher import Teacher

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=10, batch_size=32, learning_rate=3e-3, precision="float32")


def taught(train: Batch, model: ModelConfig, **options) -> loop.Training:
    training = loop.start(model, QUICK, CPU)
    list(loop.fit(training, train, None, QUICK, **options))
    return training


def digits(seed: int = 0) -> Batch:
    made = make_digits(300, seed)
    return tensors(made.images, made.labels, CPU)


def test_teacher_gives_the_probabilities_of_its_committee():
    network = taught(digits(), ModelConfig(hidden=(32,), members=2)).network
    images = digits(1).images
    expected = committee(loop.predict_logits(network, images), 10).exp()
    found = Teacher(network, CPU, torch.float32)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    rounded = Teacher(network, CPU, torch.bfloat16)(images)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, expected, rtol=0, atol=0.05)


def test_student_learns_the_answers_not_the_labels():
    right = digits()
    teacher = taught(right, ModelConfig(hidden=(32,))).network
    wrong = dataclasses.replace(right, labels=(right.labels + 1) % 10)
    student = taught(wrong, ModelConfig(hidden=(16,)), teacher=teacher).network
    assert loop.evaluate(student, digits(1))[1] > 0.97


def test_run_learns_from_runs_records_them_and_resumes_with_them_alone(tmp_path, without_pictures):
    kaggle = write_csv(tmp_path / "train.csv", make_digits(200))
    teachers = [
        train(kaggle, tmp_path / f"teacher{seed}", seed=seed, split_seed=302) for seed in (1, 2)
    ]

    student = train(kaggle, tmp_path / "student", teacher=teachers, hidden=(8,))
    recorded = json.loads((student / "config.json").read_text())["teacher"]
    assert recorded == [str(path) for path in teachers]
    from_labels = train(kaggle, tmp_path / "from-labels", hidden=(8,))
    assert models(student) != models(from_labels)

    whole = models(student)
    shutil.rmtree(student / "state")
    (student / "metrics.json").unlink()  # as if it had not come to its end
    assert models(resume(student)) == whole
    with pytest.raises(ConfigError, match="but: teacher "):
        resume(student, teacher=teachers[:1])


@pytest.mark.usefixtures("without_pictures")
def test_long_run_says_how_long_teachers_included_and_ends_the_same(tmp_path, monkeypatch, capsys):
    kaggle = write_csv(tmp_path / "train.csv", make_digits(200))
    teacher = train(kaggle, tmp_path / "teacher")
    monkeypatch.setattr("digitmlp.run.LONG_RUN", 0)
    asked = []
    answer = Teacher.__call__

    def ask(self, images):
        asked.append(len(images))
        return answer(self, images)

    monkeypatch.setattr(Teacher, "__call__", ask)
    runs = []
    for options in ({}, {"teacher": [teacher]}):
        capsys.readouterr()
        asked.clear()
        told = train(kaggle, tmp_path / f"told{len(options)}", **options)
        assert re.search(r"3 epochs will take about \d+ minutes here", capsys.readouterr().err)
        steps = 30 + 12  # of the training, and of the trial on six batches
        assert len(asked) == (steps if options else 0)
        with monkeypatch.context() as patch:
            patch.setattr("digitmlp.run.LONG_RUN", float("inf"))
            runs += [told, train(kaggle, tmp_path / f"short{len(options)}", **options)]
    assert models(runs[0]) == models(runs[1]) != models(runs[2])
    assert models(runs[2]) == models(runs[3])


@pytest.mark.usefixtures("without_pictures")
def test_answers_are_learned_by_cross_entropy_and_that_is_recorded(tmp_path):
    kaggle = write_csv(tmp_path / "train.csv", make_digits(200))
    teacher = train(kaggle, tmp_path / "teacher", preset="best", validation=0.2)
    options = {"preset": "best", "validation": 0.2, "seed": 3, "split_seed": 302}
    student = train(kaggle, tmp_path / "student", teacher=[teacher], **options)
    losses = [load_network(folder)[1].training.loss for folder in (teacher, student)]
    assert losses == ["squared-hinge", "cross-entropy"]
    assert models(resume(student)) == models(student)


def test_what_learned_digits_that_are_held_out_here_is_no_teacher_nor_a_beginning(
    tmp_path, without_pictures
):
    low, rest = (make_digits(200).select(np.arange(100) + first) for first in (0, 100))
    data, more = write_csv(tmp_path / "data.csv", low), write_csv(tmp_path / "more.csv", rest)
    other = train(data, tmp_path / "other", seed=1)
    both = train(more, tmp_path / "both", also=[str(data)])
    every = train(data, tmp_path / "every", validation=0)
    held_out = [
        set(json.loads((run / "config.json").read_text())["validation_rows"])
        for run in (other, train(data, tmp_path / "plain"))
    ]
    learned = len(held_out[1] - held_out[0])
    assert 10 < learned < 20
    remedy = "hold out the same ones, --validation 0.2 --split-seed 1, or none, --validation 0"
    alone = "give --validation 0"
    for run, count, advice in ((other, learned, remedy), (both, 20, alone), (every, 20, alone)):
        for given in ({"fine_tune": run}, {"teacher": [run]}):
            with pytest.raises(DataError) as refused:
                train(data, tmp_path / "run", **given)
            assert str(refused.value) == (
                f"{run}: it learned {count} of the 20 digits held out here, which would make this "
                f"run look better than it is: {advice}"
            )
            train(data, tmp_path / f"{next(iter(given))}-{run.name}", validation=0, **given)
    train(data, tmp_path / "same", seed=5, split_seed=1, validation=0.2, teacher=[other])
    train(data, tmp_path / "elsewhere", teacher=[train(more, tmp_path / "far")])


@pytest.mark.usefixtures("without_pictures")
def test_what_learned_the_test_part_is_no_teacher_nor_a_beginning(tmp_path):
    low, rest = (make_digits(200).select(np.arange(100) + first) for first in (0, 100))
    data = tmp_path / "digits.npz"
    np.savez(data, x_train=low.images, y_train=low.labels, x_test=rest.images, y_test=rest.labels)
    spied = train(write_csv(tmp_path / "rest.csv", rest), tmp_path / "spied")
    for given in ({"fine_tune": spied}, {"teacher": [spied]}):
        with pytest.raises(DataError) as refused:
            train(data, tmp_path / "run", **given)
        assert str(refused.value) == (
            f"{spied}: it learned the test part of {data}, which would make this run look better "
            "than it is: give another, or DATA without that part"
        )
    fair = train(data, tmp_path / "fair")
    train(data, tmp_path / "run", teacher=[fair])


def test_teachers_of_different_forms_are_no_committee(tmp_path):
    paths = []
    for number, hidden in enumerate([(16,), (8,)]):
        model = ModelConfig(hidden=hidden)
        network = taught(digits(), model).network
        paths.append(tmp_path / f"{number}.safetensors")
        save(paths[-1], network.state_dict(), Card(model=model, training=QUICK, data=""))
    with pytest.raises(ModelError) as refused:
        load_committee(paths)
    assert str(refused.value) == (
        f"{paths[1]}: not of the form of {paths[0]}: hidden (16,) → (8,); "
        "a committee's members are alike"
    )


def test_redrawn_digits_are_taught_by_label():
    train = digits()
    teacher = Teacher(taught(train, ModelConfig(hidden=(16,))).network, CPU, torch.float32)
    config = dataclasses.replace(QUICK, augment=AugmentConfig(redrawn=1.0))
    random = torch.Generator().manual_seed(0)
    none = torch.zeros(len(train), dtype=torch.bool)
    _, targets = loop.lesson(train, none, ModelConfig(), config, random, None, teacher)
    redrawn = torch.isin(train.labels, torch.tensor(list(HANDS)))
    assert torch.equal(targets[redrawn].argmax(1), train.labels[redrawn])
    assert (targets[redrawn].amax(1) == 1).all()
    assert (targets[~redrawn].amax(1) < 1).any()
