"""DigitClassifier: an estimator like any other of scikit-learn, and the training of the command."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import make_digits
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import digitmlp
from digitmlp import DigitClassifier, checkpoint, commands, history, run
from digitmlp.errors import ConfigError, DataError, DigitmlpError, OutputError
from digitmlp.presets import PRESETS

QUICK = {"hidden": (32,), "epochs": 5, "batch_size": 64, "random_state": 0}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks gain nothing from a second thread, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return make_digits(600)


@pytest.fixture(scope="module")
def fitted(digits):
    return DigitClassifier(**QUICK).fit(digits.images, digits.labels)


@parametrize_with_checks([DigitClassifier(hidden=(32,), epochs=30)])
def test_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_learns_digits(digits, fitted):
    unseen = make_digits(200, seed=1)
    assert fitted.score(unseen.images, unseen.labels) > 0.98
    assert fitted.classes_.tolist() == list(range(10))
    assert fitted.n_features_in_ == 784


def test_cross_validation_reads_eight_by_eight_digits_as_features():
    rows, labels = load_digits(return_X_y=True)
    model = DigitClassifier(hidden=(128,), epochs=25, batch_size=64, random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    assert cross_val_score(model, rows, labels, cv=folds).mean() > 0.95


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_learns_features(name):
    rows, labels = load_digits(return_X_y=True)  # 64 features, not the pixels of a 28×28 image
    model = DigitClassifier(name, **QUICK | {"epochs": 10, "learning_rate": 0.01})
    assert model.fit(rows[:1000] / 16, labels[:1000]).score(rows[1000:] / 16, labels[1000:]) > 0.9


def test_works_in_a_pipeline_with_a_scaler(digits):
    # Standardized pixels reach far beyond 1, and yet are features.
    model = make_pipeline(StandardScaler(), DigitClassifier(**QUICK))
    rows = digits.images.reshape(-1, 784)
    assert model.fit(rows[:400], digits.labels[:400]).score(rows[400:], digits.labels[400:]) > 0.95


def test_grid_search_finds_the_learning_rate_that_learns():
    rows, labels = load_digits(return_X_y=True)
    grid = {"learning_rate": np.array([1e-7, 5e-3])}
    search = GridSearchCV(DigitClassifier(**QUICK), grid, cv=2).fit(rows[:600], labels[:600])
    assert search.best_params_ == {"learning_rate": 5e-3}
    assert search.best_estimator_.history_[0].learning_rate < 5e-3  # one-cycle warms up


def test_same_random_state_gives_the_same_model_and_another_one_another(digits):
    def probabilities(**parameters):
        model = DigitClassifier(**QUICK | parameters).fit(digits.images, digits.labels)
        return model.predict_proba(digits.images)

    first = probabilities(random_state=7)
    assert np.array_equal(first, probabilities(random_state=7))
    assert not np.array_equal(first, probabilities(random_state=8))
    drawn = probabilities(random_state=np.random.RandomState(7))
    assert np.array_equal(drawn, probabilities(random_state=np.random.RandomState(7)))


def test_is_the_training_of_the_command(tmp_path, digits):
    rows = np.column_stack([digits.labels, digits.images.reshape(-1, 784)])
    header = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    data = tmp_path / "train.csv"
    np.savetxt(data, rows, "%d", ",", header=header, comments="")
    folder, _ = run.train(
        str(data),
        out=tmp_path / "run",
        device="cpu",
        model={"hidden": (32,)},
        training={"epochs": 5, "batch_size": 64, "seed": 0},
    )
    model = DigitClassifier(**QUICK, device="cpu").fit(digits.images, digits.labels)
    model.save(tmp_path / "mine")
    assert (tmp_path / "mine/model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    first, second = (history.read(path / "history.csv") for path in (tmp_path / "mine", folder))
    assert [epoch.train_loss for epoch in first] == [epoch.train_loss for epoch in second]


def test_saved_model_loads_without_torch_and_answers_alike(tmp_path, digits, fitted):
    fitted.save(tmp_path / "mine")
    loaded = digitmlp.load(tmp_path / "mine")
    assert np.array_equal(loaded.predict(digits.images), fitted.predict(digits.images))
    expected = fitted.predict_proba(digits.images)
    assert np.abs(loaded.predict_proba(digits.images) - expected).max() <= 1e-5
    script = f"import sys, digitmlp; digitmlp.load({str(tmp_path / 'mine')!r})"
    script += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_committee_is_saved_as_it_predicts(tmp_path, digits):
    model = DigitClassifier(**QUICK | {"hidden": (16, 8)}, members=2)
    model.fit(digits.images, digits.labels).save(tmp_path / "mine")
    loaded = digitmlp.load(tmp_path / "mine").predict_proba(digits.images)
    assert np.abs(loaded - model.predict_proba(digits.images)).max() <= 1e-5


def test_saved_run_is_a_run_to_the_commands(tmp_path, digits, fitted):
    folder = tmp_path / "mine"
    fitted.save(folder)
    data = tmp_path / "digits.npz"
    np.savez(data, X=digits.images, y=digits.labels)
    judged = commands.evaluate(str(data), folder)  # on the rows that `fit` held out
    recorded = json.loads((folder / "metrics.json").read_text())["validation"]
    assert judged["count"] == recorded["count"] == 120
    assert judged["accuracy"] == recorded["accuracy"]
    (summary,) = commands.runs(tmp_path)
    assert (summary.preset, summary.validation) == ("fast", recorded["accuracy"])
    network, card = checkpoint.load_network(folder / "model.safetensors")
    assert card == digitmlp.load(folder).card
    assert network.config.hidden == (32,)
    assert commands.report(folder).read_text().startswith("<!DOCTYPE html>")


def test_pixels_and_the_same_pixels_from_0_to_1_are_one(tmp_path, digits, fitted):
    features = digits.images / 255
    answers = fitted.predict_proba(digits.images)
    assert np.abs(fitted.predict_proba(features) - answers).max() < 1e-5
    other = DigitClassifier(**QUICK).fit(features, digits.labels)
    assert np.abs(other.predict_proba(digits.images) - other.predict_proba(features)).max() < 1e-5
    other.save(tmp_path / "mine")
    loaded = digitmlp.load(tmp_path / "mine").predict_proba(digits.images)
    assert np.abs(loaded - other.predict_proba(features)).max() <= 1e-5


def test_images_are_deformed_and_other_features_are_not(digits, fitted):
    assert fitted._fitted.card.training.augment is not None
    rows = StandardScaler().fit_transform(digits.images.reshape(-1, 784))
    assert DigitClassifier(**QUICK).fit(rows, digits.labels)._fitted.card.training.augment is None


def test_images_may_lie_flat(digits, fitted):
    flat = digits.images.reshape(-1, 784)
    assert np.array_equal(fitted.predict_proba(flat), fitted.predict_proba(digits.images))


def test_row_is_answered_alike_whatever_lies_beside_it(digits, fitted):
    together = fitted.predict_proba(digits.images)
    alone = np.concatenate([fitted.predict_proba(image[None]) for image in digits.images])
    assert np.abs(together - alone).max() < 1e-12
    assert np.allclose(together.sum(1), 1, rtol=0, atol=1e-12)


def test_text_labels_come_back_as_text(tmp_path, digits):
    labels = digits.labels.astype(str)
    model = DigitClassifier(**QUICK).fit(digits.images, labels)
    assert model.classes_.tolist() == list("0123456789")
    assert model.score(digits.images, labels) > 0.98
    model.save(tmp_path / "mine")
    read = digitmlp.load(tmp_path / "mine").predict(digits.images)
    assert np.array_equal(read.astype(str), model.predict(digits.images))


def test_any_labels_will_do(digits):
    names = np.array([3.0, -1.0])[digits.labels % 2]
    model = DigitClassifier(**QUICK).fit(digits.images, names)
    assert model.classes_.tolist() == [-1, 3]
    assert set(model.predict(digits.images)) == {-1, 3}


def test_pickle_predicts_and_trains_on_the_same(digits, fitted):
    twin = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(twin.predict_proba(digits.images), fitted.predict_proba(digits.images))
    original = copy.deepcopy(fitted)
    for model in (original, twin):
        model.partial_fit(digits.images, digits.labels)
    assert np.array_equal(twin.predict_proba(digits.images), original.predict_proba(digits.images))


def test_clone_has_the_parameters_and_nothing_learned(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        twin.predict(np.zeros((1, 784), np.uint8))


def test_partial_fit_learns_from_batches_that_lack_classes(digits):
    model = DigitClassifier(hidden=(32,), batch_size=16, learning_rate=0.05, random_state=0)
    by_label = np.argsort(digits.labels, kind="stable")
    for _ in range(6):
        for rows in (by_label[:300], by_label[300:]):
            model.partial_fit(digits.images[rows], digits.labels[rows], classes=range(10))
    assert len(model.history_) == 12
    assert model.score(digits.images, digits.labels) > 0.5  # the last half alone would give this
    assert set(model.predict(digits.images)) > set(range(5, 10))


def test_partial_fit_goes_on_from_fit(digits):
    few = DigitClassifier(**QUICK | {"epochs": 1, "learning_rate": 5e-4}).fit(
        digits.images, digits.labels
    )
    before = few.score(digits.images, digits.labels)
    for _ in range(10):
        few.partial_fit(digits.images, digits.labels)
    assert len(few.history_) == 11
    assert few.score(digits.images, digits.labels) > before


def test_partial_fit_holds_a_tenth_of_the_highest_rate(digits, fitted):
    model = copy.deepcopy(fitted).set_params(learning_rate=0.01)
    assert model.partial_fit(digits.images, digits.labels).history_[-1].learning_rate == 0.001
    for preset, rate in {"tutorial": 1e-5, "best": 3e-4}.items():
        model = DigitClassifier(preset, hidden=(32,))
        model.partial_fit(digits.images, digits.labels, classes=range(10))
        assert model.history_[-1].learning_rate == pytest.approx(rate)


def test_partial_fit_that_fails_changes_nothing(digits, fitted):
    model = copy.deepcopy(fitted).set_params(learning_rate=1e30)
    with pytest.raises(DigitmlpError, match=r"^training diverged"):
        model.partial_fit(digits.images, digits.labels)
    with pytest.raises(DataError, match=r"^1 row\(s\) to train on"):
        model.partial_fit(digits.images[:1], digits.labels[:1])
    expected = fitted.predict_proba(digits.images)
    assert np.array_equal(model.predict_proba(digits.images), expected)
    assert model._fitted.judged is not None


def test_partial_fit_drops_what_validation_told(tmp_path, digits, fitted):
    other = make_digits(100, seed=2)
    model = copy.deepcopy(fitted).partial_fit(other.images, other.labels)
    model.save(tmp_path / "mine")
    assert json.loads((tmp_path / "mine/metrics.json").read_text())["validation"] is None
    data = tmp_path / "digits.npz"
    np.savez(data, X=digits.images, y=digits.labels)
    with pytest.raises(DataError, match="the model was trained on these rows"):
        commands.evaluate(str(data), tmp_path / "mine")


def test_what_partial_fit_learned_is_not_measured_on(tmp_path, digits, fitted):
    other = make_digits(100, seed=2)
    data = tmp_path / "other.npz"
    np.savez(data, X=other.images, y=other.labels)
    fitted.save(tmp_path / "before")
    assert commands.evaluate(str(data), tmp_path / "before")["count"] == 100
    assert checkpoint.load_network(tmp_path / "before")[1].held_out["count"] == 120
    model = copy.deepcopy(fitted).set_params(preset="best")
    for _ in range(2):
        model.partial_fit(other.images, other.labels)
    model.save(tmp_path / "mine")
    card = checkpoint.load_network(tmp_path / "mine")[1]
    assert (len(card.also), card.held_out) == (1, None)
    assert (card.training.schedule, card.training.averaged) == ("constant", 0)
    told = (tmp_path / "mine" / "report.html").read_text("utf-8")
    assert "Trained on 580 digits, not measured" in told  # 480, and twice the same 100
    assert "The weights kept are the mean" not in told
    with pytest.raises(DataError, match="the model was trained on all of these rows"):
        commands.evaluate(str(data), tmp_path / "mine")


@pytest.mark.parametrize(("how", "more"), [("fit", {}), ("partial_fit", {"classes": range(10)})])
def test_a_model_that_held_nothing_out_is_no_teacher(tmp_path, digits, how, more):
    """Of rows that its settings alone would have held out."""
    few = digits.images[:400], digits.labels[:400]
    getattr(DigitClassifier(**QUICK), how)(*few, **more).save(tmp_path / "mine")
    np.savez(tmp_path / "few.npz", X=few[0], y=few[1])
    options = {"training": {"seed": 0, "epochs": 1}, "out": tmp_path / "run"}
    with pytest.raises(DataError, match="it learned 80 of the 80 digits held out"):
        run.train(str(tmp_path / "few.npz"), teacher=[tmp_path / "mine"], **options)


def test_few_rows_are_all_trained_on(digits):
    few = DigitClassifier(**QUICK).fit(digits.images[:400], digits.labels[:400])  # 80 to validate
    assert few.history_[-1].validation_loss is None
    assert few._fitted.training.best_epoch == 5
    enough = DigitClassifier(**QUICK).fit(digits.images[:500], digits.labels[:500])
    assert enough.history_[-1].validation_loss is not None
    none = DigitClassifier(**QUICK, validation_fraction=0).fit(digits.images, digits.labels)
    assert none.history_[-1].validation_loss is None


def test_keeps_the_epoch_of_the_lowest_validation_loss():
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(400, 20)), random.integers(0, 2, 400)  # nothing to learn
    parameters = QUICK | {"preset": "tutorial", "learning_rate": 0.01}
    model = DigitClassifier(**parameters).fit(rows, labels)
    losses = [epoch.validation_loss for epoch in model.history_]
    assert min(losses) < losses[-1]
    held_out = model._fitted.held_out
    logs = np.log(model.predict_proba(rows[held_out])) * model._fitted.card.temperature
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    kept = -logs[np.arange(len(held_out)), labels[held_out]].mean()
    assert kept == pytest.approx(min(losses), rel=1e-4)


def test_numbers_drawn_by_a_search_are_as_good_as_pythons(tmp_path, digits):
    parameters = {"epochs": np.int64(2), "batch_size": np.int32(64), "members": np.int64(1)}
    model = DigitClassifier(**parameters, hidden=np.array([8]), learning_rate=np.float32(0.01))
    model.fit(digits.images, digits.labels).save(tmp_path / "mine")
    settings = json.loads((tmp_path / "mine/config.json").read_text())
    assert (settings["training"]["epochs"], settings["model"]["hidden"]) == (2, [8])


def test_leaves_torchs_global_state_as_it_was(digits):
    torch.manual_seed(5)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    model = DigitClassifier(**QUICK).fit(digits.images, digits.labels)
    model.predict(digits.images)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert (torch.tensor(1e-310, dtype=torch.float64) * 1).item() > 0  # denormals are kept


def test_verbose_says_an_epoch_a_line_and_silence_is_the_default(digits, capsys):
    DigitClassifier(**QUICK).fit(digits.images, digits.labels)
    assert capsys.readouterr() == ("", "")
    DigitClassifier(**QUICK, verbose=True).fit(digits.images, digits.labels)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[:9] for line in err.splitlines()] == [f"epoch {n}/5" for n in range(1, 6)]


def test_history_shows_as_a_table_in_a_notebook(digits, fitted):
    table = fitted.history_._repr_html_()
    assert table.count("<tr>") == 1 + len(fitted.history_) == 6
    assert f"<td>{fitted.history_[0].train_loss:.4g}</td>" in table
    few = DigitClassifier(**QUICK).fit(digits.images[:100], digits.labels[:100])
    assert "<td>–</td>" in few.history_._repr_html_()


def refusal(kind, call, *arguments, **named):
    with pytest.raises(kind) as raised:
        call(*arguments, **named)
    return str(raised.value)


def test_pixels_that_were_not_scaled_are_refused(digits, fitted):
    expected = (
        "X has 784 columns with values from 0 to 239, expected pixels as uint8 or features of "
        "about 0 to 1: pass X.astype('uint8') if they are pixels from 0 to 255, or scale them"
    )
    for kind in (np.float64, np.int64, np.float32):
        images = digits.images.astype(kind)
        assert refusal(DataError, DigitClassifier().fit, images, digits.labels) == expected
        assert refusal(DataError, fitted.predict, images) == expected
    floats = digits.images.astype(float)
    model = DigitClassifier()
    assert refusal(DataError, model.partial_fit, floats, digits.labels, range(10)) == expected


def test_features_other_than_784_may_have_any_scale():
    rows = np.random.default_rng(0).normal(1000, 300, (60, 5))
    model = DigitClassifier(**QUICK).fit(rows, rows[:, 0] > 1000)
    assert model.predict(rows).dtype == bool


def test_images_of_another_size_are_refused(fitted):
    with pytest.raises(ValueError, match=r"Found array with dim 3"):
        fitted.predict(np.zeros((2, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("rows", "labels", "found"),
    [
        (np.eye(40), np.arange(40) % 2, "40 columns and the labels 0, 1"),
        (np.eye(40, 784), np.arange(40) % 2, "784 columns and the labels 0, 1"),
        (
            np.eye(40, 784) - 0.5,
            np.arange(40) % 10,
            "784 columns of other values and the labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            np.eye(40),
            np.arange(40) % 11,
            "40 columns and the labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …",
        ),
        (
            np.eye(40, 784),
            np.array(list("abcdefghij"))[np.arange(40) % 10],
            "784 columns and the labels a, b, c, d, e, f, g, h, i, j",
        ),
    ],
)
def test_only_a_classifier_of_digits_is_saved(tmp_path, rows, labels, found):
    model = DigitClassifier(**QUICK).fit(rows, labels)
    assert refusal(DataError, model.save, tmp_path / "mine") == (
        "only a classifier of digits can be saved: expected 784 columns, uint8 or from 0 to 1, "
        f"and the labels 0 to 9, found {found}; pickle it instead"
    )
    assert not (tmp_path / "mine").exists()


def test_save_never_writes_into_a_folder_in_use(tmp_path, fitted):
    (tmp_path / "notes.txt").write_text("mine")
    assert refusal(OutputError, fitted.save, tmp_path) == (
        f"{tmp_path}: not empty; save into a folder that is new or empty"
    )
    assert refusal(OutputError, fitted.save, tmp_path / "notes.txt") == (
        f"{tmp_path / 'notes.txt'}: cannot be written: File exists"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_saving_before_fitting_is_refused_as_predicting_is(tmp_path):
    with pytest.raises(NotFittedError):
        DigitClassifier().save(tmp_path / "mine")


def test_one_class_is_refused(digits):
    zeros = np.zeros(600, int)
    assert refusal(DataError, DigitClassifier().fit, digits.images, zeros) == (
        "y has one class, 0; training needs at least two"
    )


def test_partial_fit_names_what_is_wrong_with_its_labels(digits, fitted):
    model = DigitClassifier(**QUICK)
    assert refusal(ConfigError, model.partial_fit, digits.images, digits.labels) == (
        "the first call of partial_fit needs all labels that will ever come, as in "
        "partial_fit(X, y, classes=range(10))"
    )
    assert refusal(DataError, model.partial_fit, digits.images, digits.labels, range(8)) == (
        "y holds 8, 9, expected only 0, 1, 2, 3, 4, 5, 6, 7"
    )
    with pytest.raises(NotFittedError):
        model.predict(digits.images)
    assert refusal(ConfigError, fitted.partial_fit, digits.images, digits.labels, range(2)) == (
        "classes are 0, 1, but training began with 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; "
        "leave them out, or begin anew with fit"
    )


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"preset": "slow"}, "preset must be one of tutorial, fast, best, compact, got 'slow'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"hidden": (32, 0)}, "hidden must be at least 1, got 0"),
        ({"members": 0}, "members must be at least 1, got 0"),
        ({"random_state": -1}, "seed must be at least 0, got -1"),
        (
            {"validation_fraction": 1.0},
            "validation must be at least 0 and below 1, got 1.0",
        ),
    ],
)
def test_impossible_parameters_are_refused_by_fit(digits, parameters, sentence):
    model = DigitClassifier(**parameters)
    assert refusal(ConfigError, model.fit, digits.images, digits.labels) == sentence
