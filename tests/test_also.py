"""Learning more digits than those of DATA, such as one's own."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import make_digits, write_csv
from PIL import Image
from training import models, resume, train

from digitmlp import commands, recognizer
from digitmlp import train as loop
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.errors import ConfigError, DataError, ModelError
from digitmlp.split import tensors
from digitmlp.teacher import Teacher
from digitmlp.uci import open_uci

pytestmark = pytest.mark.usefixtures("without_pictures")

LEARNED = {"learning_rate": 3e-3, "epochs": 12, "hidden": (32,)}


def halves(count: int, seed: int = 0):
    """Return made-up digits 0 to 4, and 5 to 9."""
    made = make_digits(count, seed)
    is_low = made.labels < 5
    return made.select(np.flatnonzero(is_low)), made.select(np.flatnonzero(~is_low))


def test_more_digits_are_learned_and_none_of_them_is_held_out(tmp_path, capsys):
    low, high = halves(400)
    data = write_csv(tmp_path / "low.csv", low)
    more = write_csv(tmp_path / "high.csv", high)
    folder = train(data, tmp_path / "run", also=[str(more)], **LEARNED)
    assert f"{more}: {len(high)} more to train on" in capsys.readouterr().err
    _, others = halves(300, seed=1)
    assert (recognizer.load(folder).predict(others.images) == others.labels).mean() > 0.9
    settings = json.loads((folder / "config.json").read_text())
    assert settings["also"] == [{"source": str(more), "sha256": high.digest()}]
    assert settings["data"]["sha256"] == low.digest()
    assert max(settings["validation_rows"]) < len(low)
    judged = json.loads((folder / "metrics.json").read_text())["validation"]
    assert judged["count"] == len(settings["validation_rows"])

    with pytest.raises(DataError) as refused:
        commands.evaluate(str(more), folder)
    assert str(refused.value) == (
        f"{more}: the model was trained on all of these rows; give other data, or "
        "--include-training"
    )
    assert commands.evaluate(str(more), folder, include_training=True)["count"] == len(high)


def refuse_to_evaluate(data, model):
    with pytest.raises(DataError, match="was trained on all of these rows"):
        commands.evaluate(str(data), model)


def test_committee_knows_what_each_of_its_members_learned(tmp_path):
    low, high = halves(100)
    data, more = write_csv(tmp_path / "low.csv", low), write_csv(tmp_path / "high.csv", high)
    other = write_csv(tmp_path / "other.csv", make_digits(60, seed=3))
    members = [
        train(data, tmp_path / "plain"),
        train(data, tmp_path / "run", also=[str(more)]),
        train(other, tmp_path / "elsewhere"),
    ]
    commands.export(members, tmp_path / "committee.onnx")
    refuse_to_evaluate(more, tmp_path / "committee.onnx")
    refuse_to_evaluate(other, tmp_path / "committee.onnx")


def test_network_that_goes_on_knows_what_it_learned_before(tmp_path):
    low, high = halves(100)
    data, more = write_csv(tmp_path / "low.csv", low), write_csv(tmp_path / "high.csv", high)
    other = write_csv(tmp_path / "other.csv", make_digits(60, seed=3))
    first = train(data, tmp_path / "first", also=[str(more)])
    second = train(other, tmp_path / "second", fine_tune=first)
    refuse_to_evaluate(data, second)
    refuse_to_evaluate(more, second)
    whole = models(second)
    shutil.rmtree(first)
    assert models(resume(second)) == whole


@pytest.mark.parametrize("damage", ['"also": 3', '"also": ["uci"]', '"also": [{"source": "uci"}]'])
def test_damaged_record_is_refused(tmp_path, damage):
    folder = train(write_csv(tmp_path / "train.csv", make_digits(50)), tmp_path / "run")
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"also": []', damage))
    with pytest.raises(ModelError, match=r"config.json: not a run's settings: "):
        resume(folder)


def test_teacher_that_knows_no_such_digits_does_not_spoil_them(tmp_path):
    low, high = halves(400)
    data, more = write_csv(tmp_path / "low.csv", low), write_csv(tmp_path / "high.csv", high)
    teacher = train(data, tmp_path / "teacher", **LEARNED)
    folder = train(data, tmp_path / "run", also=[str(more)], teacher=[teacher], **LEARNED)
    _, others = halves(300, seed=1)
    assert (recognizer.load(folder).predict(others.images) == others.labels).mean() > 0.9


def test_several_sources_of_any_kind_join(tmp_path, capsys):
    low, high = halves(60)
    data = write_csv(tmp_path / "low.csv", low)
    own = tmp_path / "own"
    for number, (image, label) in enumerate(zip(high.images, high.labels, strict=True)):
        (own / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(own / str(label) / f"{number}.png")
    (own / "5" / "broken.png").write_bytes(b"no picture")
    folder = train(data, tmp_path / "run", also=[str(own), "uci"])
    count = len(high) + len(open_uci().read_train())
    assert f"{own}, uci: {count:,} more to train on" in capsys.readouterr().err
    passed_over = json.loads((folder / "metrics.json").read_text())["passed_over"]
    assert len(passed_over) == 1
    assert "broken.png" in passed_over[0]


def test_run_resumes_with_the_same_digits_alone(tmp_path):
    low, high = halves(120)
    data = write_csv(tmp_path / "low.csv", low)
    more = write_csv(tmp_path / "high.csv", high)
    folder = train(data, tmp_path / "run", also=[str(more)])
    whole = models(folder)
    shutil.rmtree(folder / "state")
    (folder / "metrics.json").unlink()  # as if it had not come to its end
    assert models(resume(folder)) == whole
    assert models(resume(folder, also=[str(more)])) == whole
    other = halves(120, seed=2)[1]
    write_csv(more, other)
    with pytest.raises(ConfigError) as refused:
        resume(folder)
    changed = f"{high.digest()[:12]} ({more}) → {other.digest()[:12]} ({more})"
    assert f"but: also {changed}; leave them as they were" in str(refused.value)


def test_digits_held_out_are_not_learned_by_the_back_door(tmp_path):
    data = write_csv(tmp_path / "train.csv", make_digits(50))
    with pytest.raises(DataError) as refused:
        train(data, tmp_path / "run", also=[str(data)])
    assert str(refused.value) == (
        f"{data}: 10 of its digits are held out of {data} for validation; learned as well they "
        "would make it look better than it is: give other digits, or --validation 0"
    )
    assert not (tmp_path / "run").exists()


def test_digits_of_the_test_part_are_not_learned_by_the_back_door(tmp_path):
    made, tested = make_digits(50), make_digits(30, seed=1)
    both = {"x_test": tested.images, "y_test": tested.labels}
    np.savez(tmp_path / "digits.npz", x_train=made.images, y_train=made.labels, **both)
    more = write_csv(tmp_path / "more.csv", tested)
    with pytest.raises(DataError) as refused:
        train(tmp_path / "digits.npz", tmp_path / "run", also=[str(more)])
    assert str(refused.value) == (
        f"{more}: 30 of its digits are in the test part of {tmp_path / 'digits.npz'}; learned as "
        "well they would make it look better than it is: give other digits"
    )


def test_more_digits_are_taught_by_label():
    made = make_digits(40)
    batch = tensors(made.images, made.labels, torch.device("cpu"))
    config = TrainConfig(precision="float32")
    teacher = loop.start(ModelConfig(hidden=(8,)), config, torch.device("cpu")).network
    shown = []

    def keep(batch, by_label, *rest):
        images, targets = lesson(batch, by_label, *rest)
        shown.append((images, targets))
        return images, targets

    lesson = loop.lesson
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "lesson", keep)
        training = loop.start(ModelConfig(hidden=(8,)), config, torch.device("cpu"))
        next(loop.fit(training, batch, None, config, teacher=teacher, taught_rows=30))
    images = torch.cat([images for images, _ in shown])
    targets = torch.cat([targets for _, targets in shown])
    by_label = (images[:, None] == batch.images[30:]).all(2).any(1)
    assert by_label.sum() == 10
    assert (targets[by_label].amax(1) == 1).all()
    answers = Teacher(teacher, torch.device("cpu"), torch.float32)(images)
    torch.testing.assert_close(targets[~by_label], answers[~by_label])
