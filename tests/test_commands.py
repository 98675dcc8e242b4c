"""What the commands answer, print and refuse."""

import csv
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits, write_csv
from PIL import Image
from training import train

from digitmlp import checkpoint, metrics, recognizer
from digitmlp.digits import Digits


@pytest.fixture
def zipped(kaggle, tmp_path) -> Path:
    path = tmp_path / "digit-recognizer.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train.csv", "test.csv"):
            archive.write(kaggle / name, name)
    return path


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """Return a copy of a finished run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


def picture_folder(path: Path, labelled: bool) -> Path:
    """Write ten digits as pictures, and one that is none."""
    digits = make_digits(10)
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        folder = path / str(label) if labelled else path
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image).save(folder / f"digit {number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return path


# evaluate


def test_evaluate_tells_exactly_what_programs_rely_on(command, finished, tmp_path):
    unseen = make_digits(70, seed=4)
    data = write_csv(tmp_path / "unseen.csv", unseen)
    code, out, err = command("evaluate", data, "--model", finished, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert list(result) == [
        "count",
        "accuracy",
        "error",
        "confidence_interval",
        "ece",
        "confusion",
    ]
    answers = recognizer.load(finished).predict(unseen.images)
    correct = int((answers == unseen.labels).sum())
    assert result["count"] == 70
    assert result["accuracy"] == correct / 70
    assert result["error"] == (70 - correct) / 70
    assert result["confidence_interval"] == list(metrics.wilson(correct, 70))
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (unseen.labels, answers), 1)
    assert result["confusion"] == confusion.tolist()


def test_evaluate_on_the_data_trained_on_takes_the_validation_rows(
    command, finished, kaggle, zipped
):
    recorded = json.loads((finished / "metrics.json").read_text())["validation"]
    for data in (kaggle, zipped, kaggle / "train.csv"):
        for model in (finished, finished / "model.onnx"):
            code, out, _ = command("evaluate", data, "--model", model, "--json")
            assert code == 0
            result = json.loads(out)
            assert result == {name: recorded[name] for name in result}
            assert result["count"] == 24


def test_evaluate_includes_training_rows_only_when_told(command, finished, kaggle):
    code, out, _ = command("evaluate", kaggle, "--model", finished, "--json", "--include-training")
    assert (code, json.loads(out)["count"]) == (0, 120)


def test_model_moved_away_from_its_run_is_not_evaluated_on_rows_it_may_have_seen(
    command, run, kaggle, tmp_path
):
    bare = shutil.copy(run / "model.onnx", tmp_path / "moved.onnx")
    sentence = (
        f"digitmlp: {kaggle}: the model was trained on these rows and no validation rows are "
        "recorded beside it; give its run folder, other data, or --include-training\n"
    )
    assert command("evaluate", kaggle, "--model", bare) == (3, "", sentence)
    config = run / "config.json"
    config.write_text(config.read_text().replace('"seed": 302', '"seed": 303'))  # another run's
    assert command("evaluate", kaggle, "--model", run) == (3, "", sentence)
    code, out, _ = command("evaluate", kaggle, "--model", bare, "--include-training", "--json")
    assert (code, json.loads(out)["count"]) == (0, 120)


@pytest.mark.usefixtures("without_pictures")
def test_run_without_validation_rows_is_not_evaluated_on_its_own_data(command, kaggle, tmp_path):
    folder = train(kaggle, tmp_path / "run", validation=0, epochs=1)
    code, out, err = command("evaluate", kaggle, "--model", folder)
    assert (code, out) == (3, "")
    assert "no validation rows are recorded beside it" in err


@pytest.mark.parametrize("rows", ["[0, 5000]", "[-1]", '["a"]', "{}", "[[1]]"])
def test_damaged_validation_rows_are_refused(command, run, kaggle, rows):
    config = run / "config.json"
    settings = json.loads(config.read_text()) | {"validation_rows": json.loads(rows)}
    config.write_text(json.dumps(settings))
    assert command("evaluate", kaggle, "--model", run) == (
        3,
        "",
        f"digitmlp: {config}: validation_rows are not rows of the data; "
        "expected numbers from 0 to 119\n",
    )


def test_labelled_test_part_is_what_counts(command, finished, tmp_path):
    train_part, test_part = make_digits(20), make_digits(13, seed=2)
    path = tmp_path / "mnist.npz"
    np.savez(
        path,
        x_train=train_part.images,
        y_train=train_part.labels,
        x_test=test_part.images,
        y_test=test_part.labels,
    )
    code, out, _ = command("evaluate", path, "--model", finished, "--json")
    assert (code, json.loads(out)["count"]) == (0, 13)
    code, out, _ = command("evaluate", path, "--model", finished, "--json", "--include-training")
    assert (code, json.loads(out)["count"]) == (0, 33)


def test_labelled_test_part_that_was_trained_on_is_noticed(command, finished, tmp_path):
    seen, fresh = make_digits(120), make_digits(20, seed=2)
    path = tmp_path / "turned.npz"
    np.savez(
        path,
        x_train=fresh.images,
        y_train=fresh.labels,
        x_test=seen.images,
        y_test=seen.labels,
    )
    code, out, _ = command("evaluate", path, "--model", finished, "--json")
    assert (code, json.loads(out)["count"]) == (0, 24)


def test_evaluation_is_shown_as_tables(command, finished, kaggle):
    code, out, err = command("evaluate", kaggle, "--model", finished)
    assert (code, err) == (0, "")
    for text in ("accuracy", "(95 %:", "n = 24", "calibration error", "recall", "true digit ↓"):
        assert text in out


def test_evaluate_without_labels_says_so(command, finished, kaggle):
    path = kaggle / "test.csv"
    assert command("evaluate", path, "--model", finished) == (
        3,
        "",
        f"digitmlp: {path}: has no label column, so it is a test file; "
        "training and evaluation need a label in every row\n",
    )


def test_without_a_model_it_is_asked_for(command, kaggle, monkeypatch, tmp_path):
    monkeypatch.setattr(recognizer, "SHIPPED", tmp_path / "weights.onnx")
    sentence = (
        "digitmlp: no model given, and no weights are shipped with this version: "
        "train with `digitmlp train`, then name its run folder with --model\n"
    )
    assert command("evaluate", kaggle) == (3, "", sentence)
    assert command("predict", kaggle, "--out", tmp_path / "out.csv") == (3, "", sentence)


# predict


def test_predictions_are_kaggles_submission(command, finished, kaggle, zipped, tmp_path):
    for data in (kaggle, zipped, kaggle / "test.csv"):
        out = tmp_path / "out.csv"
        assert command("predict", data, "--model", finished, "--out", out) == (0, f"{out}\n", "")
        assert out.read_bytes() == (finished / "submission.csv").read_bytes()


def test_probabilities_are_added_when_asked_for(command, finished, kaggle, tmp_path):
    out = tmp_path / "out.csv"
    command("predict", kaggle, "--model", finished, "--out", out, "--probabilities")
    with out.open() as file:
        header, *rows = csv.reader(file)
    assert header == ["ImageId", "Label", *(f"p{digit}" for digit in range(10))]
    expected = recognizer.load(finished).predict_proba(make_digits(30, seed=1).images)
    np.testing.assert_allclose(np.array(rows, float)[:, 2:], expected, rtol=1e-5)
    np.testing.assert_array_equal(np.array(rows, float)[:, 1], expected.argmax(1))


def test_header_alone_gives_a_header(command, finished, tmp_path):
    empty = write_csv(tmp_path / "test.csv", Digits.none())
    out = tmp_path / "out.csv"
    assert command("predict", empty, "--model", finished, "--out", out)[0] == 0
    assert out.read_text() == "ImageId,Label\n"


def test_bad_row_leaves_the_old_predictions(command, finished, kaggle, tmp_path):
    data, out = tmp_path / "test.csv", tmp_path / "out.csv"
    lines = (kaggle / "test.csv").read_text().splitlines()
    data.write_text("\n".join([*lines[:5], lines[5].replace(",", ";", 1), *lines[6:]]))
    out.write_text("old")
    code, printed, err = command("predict", data, "--model", finished, "--out", out)
    assert (code, printed) == (3, "")
    assert err.startswith(f"digitmlp: {data}: row 5 ")
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"test.csv", "out.csv"}


def test_output_is_judged_before_the_model_and_data(command, kaggle, tmp_path):
    source = shutil.copy(kaggle / "test.csv", tmp_path / "test.csv")
    missing = tmp_path / "missing" / "out.csv"
    for out, sentence in [
        (tmp_path, f"{tmp_path}: is a folder; expected the name of a file to write"),
        (source, f"{source}: is the input; give another file to write to"),
        (missing, f"{missing}: cannot be written: there is no folder {missing.parent}"),
    ]:
        given = command("predict", source, "--model", tmp_path / "no.onnx", "--out", out)
        assert given == (1, "", f"digitmlp: {sentence}\n")
    assert Path(source).read_bytes() == (kaggle / "test.csv").read_bytes()


def test_bad_pictures_are_named_after_the_others_were_read(command, finished, tmp_path):
    data = picture_folder(tmp_path / "pictures", labelled=False)
    out = tmp_path / "out.csv"
    code, printed, err = command("predict", data, "--model", finished, "--out", out)
    assert (code, printed) == (3, f"{out}\n")
    assert err.startswith(f"digitmlp: {data / 'broken.png'}: ")
    assert len(err.splitlines()) == 1
    lines = out.read_text().splitlines()
    assert lines[0] == "file,label"
    assert [line.split(",")[0] for line in lines[1:]] == [f"digit {i}.png" for i in range(10)]


@pytest.mark.usefixtures("without_pictures")
def test_bad_pictures_are_named_after_training_and_evaluation(command, finished, tmp_path):
    data = picture_folder(tmp_path / "pictures", labelled=True)
    code, printed, err = command("evaluate", data, "--model", finished, "--json")
    assert (code, json.loads(printed)["count"]) == (3, 10)
    assert err.startswith(f"digitmlp: {data / '9' / 'broken.png'}: ")
    code, printed, err = command(
        "train", data, "--out", tmp_path / "run", "--hidden", 8, "--epochs", 1, "--json"
    )
    assert code == 3
    assert err.splitlines()[-1].startswith(f"digitmlp: {data / '9' / 'broken.png'}: ")
    (sentence,) = json.loads(printed)["passed_over"]
    assert f"digitmlp: {sentence}" == err.splitlines()[-1]


# show, runs, export, report


def test_show_draws_a_png(command, kaggle, tmp_path):
    out = tmp_path / "digits.png"
    for data in (kaggle, kaggle / "test.csv"):
        assert command("show", data, "--out", out, "--rows", 1, "--columns", 3) == (
            0,
            f"{out}\n",
            "",
        )
        with Image.open(out) as picture:
            assert picture.format == "PNG"
    empty = write_csv(tmp_path / "test.csv", Digits.none())
    assert command("show", empty, "--out", out) == (
        3,
        "",
        f"digitmlp: {empty}: no digits to show\n",
    )


@pytest.mark.usefixtures("without_pictures")
def test_show_names_what_it_passed_over(command, tmp_path):
    data, out = picture_folder(tmp_path / "pictures", labelled=True), tmp_path / "digits.png"
    code, printed, err = command("show", data, "--out", out)
    assert (code, printed) == (3, f"{out}\n")
    assert err.startswith(f"digitmlp: {data / '9' / 'broken.png'}: ")


def test_show_draws_nothing_but_png(command, tmp_path):
    out = tmp_path / "digits.jpg"
    assert command("show", "uci", "--out", out) == (
        2,
        "",
        f"digitmlp: {out}: a PNG is written; expected a name that ends in .png\n",
    )
    assert not out.exists()


def test_runs_stand_side_by_side_with_damaged_and_unfinished_ones(command, finished, tmp_path):
    for name in ("a", "b", "c", "d", "e"):
        shutil.copytree(finished, tmp_path / name)
    (tmp_path / "b" / "config.json").write_text("{")
    (tmp_path / "c" / "metrics.json").unlink()
    (tmp_path / "d" / "metrics.json").write_text('{"validation": {"accuracy": "high"}}')
    (tmp_path / "e" / "metrics.json").write_text('{"seconds": [], "model_sha256": "0"}')
    (tmp_path / "no run").mkdir()
    code, out, err = command("runs", tmp_path)
    assert (code, err) == (0, "")
    whole, damaged, unfinished, fourth, fifth = out.splitlines()[3:8]
    accuracy = json.loads((finished / "metrics.json").read_text())["validation"]["accuracy"]
    sha256 = recognizer.load(finished).sha256
    assert whole.split()[:2] == [str(tmp_path / "a"), "tutorial"]
    assert f"{accuracy:.2%}" in whole
    assert whole.split()[-1] == sha256[:12]
    for line in (damaged, fourth, fifth):
        assert line.split()[1] == "damaged"
    assert unfinished.split()[-1] == "unfinished"
    code, out, _ = command("runs", tmp_path, "--json")
    first, second, *_ = json.loads(out)
    assert (code, first["sha256"], first["validation"]) == (0, sha256, accuracy)
    assert second == dict.fromkeys(first) | {
        "folder": str(tmp_path / "b"),
        "preset": "damaged",
        "data": "",
    }
    assert command("runs", tmp_path / "a") == (0, f"no runs in {tmp_path / 'a'}\n", "")
    sentence = f"digitmlp: {tmp_path / 'z'}: no such folder; expected one with run folders in it\n"
    assert command("runs", tmp_path / "z") == (3, "", sentence)


def test_names_are_shown_as_they_are(command, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "a[old] :tada:")
    settings = json.loads((run / "config.json").read_text())
    settings["data"]["name"], settings["preset"] = "digits[/x]\x1b[31m", "[bold]mine"
    (run / "config.json").write_text(json.dumps(settings))
    code, out, err = command("runs", tmp_path)
    assert (code, err) == (0, "")
    for name in (f"{run} ", "digits[/x]\\x1b[31m ", "[bold]mine "):
        assert name in out
    code, out, _ = command("export", run, "--out", tmp_path / "[red]\n.onnx")
    assert code == 0
    assert f"{tmp_path}/[red]\\n.onnx\n" in out


def test_export_copies_the_checked_file_and_states_its_contract(command, run, tmp_path):
    out = tmp_path / "out.onnx"
    code, printed, err = command("export", run, "--out", out)
    assert (code, err) == (0, "")
    assert out.read_bytes() == (run / "model.onnx").read_bytes()
    for text in (
        "uint8   (n, 28, 28)",
        "float32 (n, 10)",
        "784-16-10",
        recognizer.load(out).sha256,
    ):
        assert text in printed
    model = run / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    assert command("export", run, "--out", out) == (
        3,
        "",
        f"digitmlp: {model}: damaged: its content does not match its checksum; copy it again\n",
    )
    recognizer.load(out)


def test_several_runs_are_exported_as_one_committee(command, run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    out = tmp_path / "committee.onnx"
    code, printed, err = command("export", run, other, "--out", out)
    assert (code, err) == (0, "")
    assert "784-16-10, 2 members" in printed
    images = make_digits(50).images
    alone, joint = recognizer.load(run), recognizer.load(out)
    np.testing.assert_allclose(
        joint.score_samples(images), alone.score_samples(images), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(joint.predict(images), alone.predict(images))


def test_a_committee_is_measured_only_on_what_no_member_learned(command, kaggle, tmp_path):
    one = train(kaggle, tmp_path / "one", seed=1)
    out = one / "committee.onnx"
    for options, accepted in (({"seed": 2, "split_seed": 1}, True), ({"seed": 3}, False)):
        other = train(kaggle, tmp_path / str(options), **options)
        assert command("export", one, other, "--out", out)[0] == 0
        card = recognizer.load(out).card
        assert card.held_out is None  # what the first one read is not what both do
        members = [recognizer.load(run).card for run in (one, other)]
        for fitted in ("temperature", "threshold"):
            each = [getattr(member, fitted) for member in members]
            assert each[0] != each[1]
            assert getattr(card, fitted) == pytest.approx(sum(each) / 2)
        code, found, err = command("evaluate", kaggle, "--model", out, "--json")
        if accepted:
            rows = json.loads((one / "config.json").read_text())["validation_rows"]
            assert (code, json.loads(found)["count"]) == (0, len(rows))
        else:
            assert (code, card.also) == (3, (card.data,))
            assert "the model was trained on all of these rows" in err


@pytest.mark.parametrize(("of_views", "mean"), [((3.0, 4.0), 3.5), ((3.0, None), None)])
def test_a_committee_has_a_threshold_of_views_if_all_members_have(
    command, run, tmp_path, of_views, mean
):
    tensors, card = checkpoint.load(run / "model.safetensors")
    members = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for path, threshold in zip(members, of_views, strict=True):
        checkpoint.save(path, tensors, replace(card, threshold_of_views=threshold))
    assert command("export", *members, "--out", tmp_path / "both.onnx")[0] == 0
    assert recognizer.load(tmp_path / "both.onnx").card.threshold_of_views == mean


@pytest.mark.parametrize("again", ["../{}", "model.safetensors"])
def test_a_committee_of_one_run_twice_is_refused(command, run, tmp_path, again):
    again = run / again.format(run.name)
    assert command("export", run, again, "--out", tmp_path / "twice.onnx") == (
        3,
        "",
        f"digitmlp: {again}: is named twice; a committee needs different runs\n",
    )


def test_compact_export_takes_a_byte_a_weight(command, run, tmp_path):
    out = tmp_path / "compact.onnx"
    assert command("export", run, "--compact", "--out", out)[0] == 0
    assert out.stat().st_size < 0.6 * (run / "model.onnx").stat().st_size
    images = make_digits(50).images
    answers = [recognizer.load(model).predict(images).tolist() for model in (out, run)]
    assert answers[0] == answers[1]


def test_export_takes_a_temperature_in_place_of_the_runs_own(command, run, tmp_path):
    out, images = tmp_path / "warm.onnx", make_digits(50).images
    own = recognizer.load(run)
    assert command("export", run, "--temperature", "2.5", "--out", out)[0] == 0
    warm = recognizer.load(out)
    assert (warm.card.temperature, warm.threshold) == (2.5, own.threshold)
    expected = own.predict_proba(images).astype(float) ** (own.card.temperature / 2.5)
    expected /= expected.sum(1, keepdims=True)
    assert warm.predict_proba(images) == pytest.approx(expected, abs=1e-5)
    assert warm.score_samples(images) == pytest.approx(own.score_samples(images), abs=1e-4)


@pytest.mark.parametrize("temperature", ["0.0", "-1.0", "20.0000001", "nan"])
def test_export_refuses_a_temperature_that_no_model_has(command, run, tmp_path, temperature):
    out = tmp_path / "out.onnx"
    assert command("export", run, "--temperature", temperature, "--out", out) == (
        2,
        "",
        f"digitmlp: temperature must be in [0.05, 20], got {temperature}\n",
    )
    assert not out.exists()


@pytest.mark.parametrize("place", ["first", "second"])
def test_export_onto_weights_that_it_reads_is_refused(command, run, tmp_path, place):
    other = shutil.copytree(run, tmp_path / "other")
    weights = run / "model.safetensors"
    before = weights.read_bytes()
    given = (weights, other) if place == "first" else (other, run)
    assert command("export", *given, "--out", weights) == (
        1,
        "",
        f"digitmlp: {weights}: is the input; give another file to write to\n",
    )
    assert weights.read_bytes() == before


def test_export_onto_the_model_itself_is_refused(command, run):
    model = run / "model.onnx"
    assert command("export", run, "--out", model) == (
        1,
        "",
        f"digitmlp: {model}: is the input; give another file to write to\n",
    )


def test_report_is_built_again(command, run, finished, tmp_path):
    (run / "report.html").unlink()
    assert command("report", run) == (0, f"{run / 'report.html'}\n", "")
    page = (run / "report.html").read_text()
    assert "<html" in page
    nothing = tmp_path / "nothing"
    assert command("report", nothing) == (
        3,
        "",
        f"digitmlp: {nothing}: not a run folder: it has no config.json\n",
    )


@pytest.mark.parametrize("name", ["a,b.csv", "-o.csv", "\n.csv", "Ziffern Ω.csv", "\udcff.csv"])
def test_files_with_strange_names_are_read_and_written(
    command, finished, kaggle, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    try:
        os.fsencode(name)
        shutil.copy(kaggle / "test.csv", name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this system takes no such name")
    out = f"of {name}"
    code, _, err = command("predict", "--model", finished, "--out", out, "--", name)
    assert (code, err) == (0, "")
    assert Path(out).read_bytes() == (finished / "submission.csv").read_bytes()
