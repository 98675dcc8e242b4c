"""Figures say what the numbers say: texts and drawn values are read back from the Figure."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from digitmlp import drawing, figures
from digitmlp.digits import Digits
from digitmlp.errors import OutputError
from digitmlp.history import Epoch


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *(t for a in figure.axes for t in a.texts)]]


def shade(count):
    """Return images whose every pixel tells their number."""
    return np.repeat(np.arange(count, dtype=np.uint8), 784).reshape(-1, 28, 28)


def history(epochs, validated=True):
    return [
        Epoch(n, 1.0, 1e-3, 1 / n, 1 - 0.3 / n, 0.2 + (n - 3) ** 2 / 9, 1 - 0.2 / n)
        if validated
        else Epoch(n, 1.0, 1e-3, 1 / n, 1 - 0.3 / n, None, None)
        for n in range(1, epochs + 1)
    ]


def probable(*answers):
    """Return probabilities (n, 10) from pairs (digit, its probability)."""
    rows = [[(1 - p) / 9] * digit + [p] + [(1 - p) / 9] * (9 - digit) for digit, p in answers]
    return np.array(rows, np.float32).reshape(-1, 10)


def test_equal_figures_give_equal_bytes_without_a_date(tmp_path):
    for name in ("one.png", "two.png"):
        figures.save(figures.curves(history(5), 3), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert set(image.info) == {"dpi"}


def test_save_to_an_impossible_place_says_so_and_leaves_nothing(tmp_path):
    path = tmp_path / "missing" / "curves.png"
    with pytest.raises(OutputError) as caught:
        figures.save(figures.curves(history(1), 1), path)
    assert str(caught.value) == f"{path}: cannot be written: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_figures_need_no_pyplot():
    code = (
        "import io, sys; from digitmlp import figures; from digitmlp.history import Epoch\n"
        "figures.curves([Epoch(1, 1.0, 1.0, 1.0, 0.5, None, None)], 1).savefig(io.BytesIO())\n"
        "sys.exit(' '.join({'matplotlib.pyplot', 'torch', 'sklearn'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_leave_the_settings_of_others_alone():
    before = {name: matplotlib.rcParams[name] for name in drawing.STYLE}
    figures.curves(history(2), 2)
    assert {name: matplotlib.rcParams[name] for name in drawing.STYLE} == before


def test_a_style_of_the_user_does_not_change_the_picture(tmp_path):
    figures.save(figures.confusion(np.eye(10, dtype=int)), tmp_path / "plain.png")
    with matplotlib.rc_context({"savefig.bbox": "tight", "font.size": 30, "axes.facecolor": "k"}):
        figures.save(figures.confusion(np.eye(10, dtype=int)), tmp_path / "styled.png")
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "styled.png").read_bytes()


def test_samples_of_two_by_five_are_twelve_by_six_inches(tmp_path):
    figure = figures.samples(Digits(shade(50), np.arange(50) % 10))
    assert figure.get_size_inches().tolist() == [12, 6]
    assert len(texts(figure)) == 10
    figures.save(figure, tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as image:
        assert image.size == (1200, 600)


def test_samples_put_each_label_on_its_own_image():
    figure = figures.samples(Digits(shade(100), np.arange(100) % 10), rows=3, columns=4, seed=1)
    axes = figure.axes[0]
    page = axes.images[0].get_array()
    for text in axes.texts:
        x, y = text.get_position()
        assert text.get_text() == str(page[int(y) + 10, int(x)] % 10)
    assert len(axes.texts) == 12


def test_samples_are_the_same_for_the_same_seed_and_never_repeat_a_digit():
    digits = Digits(shade(12))
    assert texts(figures.samples(digits, 3, 4, seed=5)) == texts(figures.samples(digits, 3, 4, 5))
    assert sorted(texts(figures.samples(digits, 3, 4, seed=5))) == sorted(
        f"row {row}" for row in range(1, 13)
    )
    assert texts(figures.samples(digits, seed=5)) != texts(figures.samples(digits, seed=6))


def test_samples_without_labels_show_file_names_that_cannot_disturb(tmp_path):
    names = ("$\\x$_2.png", "a very long name of a picture.png", "\udcff数.png")
    figure = figures.samples(Digits(shade(3), None, names), 1, 3)
    assert sorted(texts(figure)) == sorted(["$\\x$_2.png", "a very l…cture.png", "??.png"])
    figures.save(figure, tmp_path / "samples.png")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_samples_leave_places_empty_where_digits_run_out(count):
    assert len(texts(figures.samples(Digits(shade(count)), 2, 5))) == count


def test_many_samples_stay_one_page(tmp_path):
    figures.save(figures.samples(Digits(shade(9)), 100, 3), tmp_path / "many.png")
    with Image.open(tmp_path / "many.png") as image:
        assert max(image.size) <= 6000


@pytest.mark.parametrize("best", [3, 5])
def test_curves_draw_every_value_and_mark_the_epoch_that_was_kept(best):
    epochs = history(5)
    loss, accuracy = figures.curves(epochs, best).axes
    training, validation = loss.lines[:2]
    assert training.get_ydata().tolist() == [epoch.train_loss for epoch in epochs]
    assert validation.get_ydata().tolist() == [epoch.validation_loss for epoch in epochs]
    errors = [1 - epoch.validation_accuracy for epoch in epochs]
    assert accuracy.lines[1].get_ydata().tolist() == pytest.approx(errors)
    assert accuracy.yaxis_inverted()
    assert loss.get_title("right") == f"epoch {best}: {epochs[best - 1].validation_loss:.3g}"
    assert accuracy.get_title("right").startswith(f"epoch {best}: ")
    assert [line.get_xdata()[0] for line in (loss.lines[2], accuracy.lines[2])] == [best, best]


def test_curves_without_validation_show_training_alone(tmp_path):
    figure = figures.curves(history(4, validated=False), 4)
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training"]
    figures.save(figure, tmp_path / "curves.png")


@pytest.mark.parametrize("epochs", [1, 2, 30, 800])
def test_curves_have_some_but_few_labels_on_each_axis(epochs):
    for axes in figures.curves(history(epochs), epochs).axes:
        assert 2 <= len(axes.get_yticks()) <= 9
        whole = [tick for tick in axes.get_xticks() if 1 <= tick <= epochs]
        assert all(tick == int(tick) for tick in whole)
        assert 1 <= len(whole) <= 9


def test_curves_place_an_accuracy_of_one_at_the_top_and_say_100_percent():
    axes = figures.curves(
        [Epoch(1, 1, 1, 0.5, 0.9, None, None), Epoch(2, 1, 1, 0.1, 1, None, None)], 2
    )
    lower = axes.axes[1]
    labels = {label.get_text(): label.get_position()[1] for label in lower.get_yticklabels()}
    assert labels["100%"] == pytest.approx(lower.lines[0].get_ydata()[1])
    assert lower.lines[0].get_ydata()[1] > 0


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0])
def test_curves_survive_losses_that_are_no_number(loss, tmp_path):
    figures.save(figures.curves([Epoch(1, 1, 1, loss, 0.1, loss, 0.1)], 1), tmp_path / "curves.png")


def test_confusion_counts_mistakes_and_gives_the_diagonal_as_percentage():
    matrix = np.diag([50] * 10)
    matrix[4, 9], matrix[4, 4] = 3, 1197
    figure = figures.confusion(matrix.tolist())
    axes = figure.axes[0]
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts(figure)[0] == "3 mistakes in 1,650 digits"
    assert shown[9, 4] == "3"
    assert shown[4, 4] == "99.8"
    assert len(shown) == 11


def test_confusion_of_nearly_all_never_reads_100():
    matrix = np.diag([50000] * 10)
    matrix[1, 7] = 1
    shown = {
        text.get_position(): text.get_text() for text in figures.confusion(matrix).axes[0].texts
    }
    assert shown[1, 1] == "99.9"
    assert shown[2, 2] == "100"


def test_confusion_without_some_digits_and_without_mistakes(tmp_path):
    figure = figures.confusion(np.diag([0, 5] * 5))
    assert texts(figure)[0] == "0 mistakes in 25 digits"
    assert texts(figure).count("–") == 5
    figures.save(figure, tmp_path / "confusion.png")


def test_most_wrong_shows_the_surest_mistake_first_then_the_least_sure_answer():
    labels = np.array([3, 3, 8, 1, 2])
    probabilities = probable((3, 0.9), (5, 0.7), (0, 0.999), (7, 0.8), (2, 0.6))
    rows = np.array([11, 12, 1300, 14, 15])
    figure = figures.most_wrong(shade(5), labels, probabilities, rows)
    assert texts(figure) == [
        "3 mistakes, then the least sure answers",
        *("8→0", "99.90%", "row 1,300"),
        *("1→7", "80.00%", "row 14"),
        *("3→5", "70.00%", "row 12"),
        *("2", "60.00%", "row 15"),
        *("3", "90.00%", "row 11"),
    ]
    page = figure.axes[0].images[0].get_array()
    assert [page[5, 32 * n + 5] for n in range(5)] == [2, 3, 1, 4, 0]


def test_most_wrong_shows_twenty_of_many():
    figure = figures.most_wrong(
        shade(99), np.zeros(99, np.int64), probable(*[(1, 1.0)] * 99), np.arange(99)
    )
    assert len(figure.axes[0].texts) == 60
    assert texts(figure)[:3] == ["The most confident mistakes", "0→1", "100%"]


def test_most_wrong_of_a_single_right_answer(tmp_path):
    figure = figures.most_wrong(shade(1), np.array([3]), probable((3, 0.9)), np.array([1]))
    assert texts(figure)[:2] == ["0 mistakes, then the least sure answers", "3"]
    figures.save(figure, tmp_path / "most-wrong.png")


def test_weights_go_evenly_from_the_strongest_unit_to_the_weakest():
    strengths = np.random.default_rng(0).permutation(95).astype(np.float32)
    figure = figures.weights(np.repeat(strengths[:, None], 784, axis=1))
    page = figure.axes[0].images[0].get_array()
    shown = [page[30 * (n // 8) + 5, 30 * (n % 8) + 5] for n in range(48)]
    assert shown == list(range(94, -1, -2))
    assert texts(figure)[0] == "What 48 of 95 hidden units look for"


@pytest.mark.parametrize("units", [1, 9])
def test_weights_of_few_units_and_of_zeros(units, tmp_path):
    figures.save(figures.weights(np.zeros((units, 784), np.float32)), tmp_path / "weights.png")


def test_calibration_plots_errors_made_against_errors_announced():
    probabilities = probable(*[(3, 0.8)] * 10, *[(3, 0.995)] * 100)
    labels = np.array([3] * 7 + [1] * 3 + [3] * 100)
    upper, lower = figures.calibration(probabilities, labels).axes
    (points,) = (part for part in upper.collections if isinstance(part, PathCollection))
    announced, made = points.get_offsets().T
    assert announced.tolist() == pytest.approx([0.2, 0.005], rel=1e-5)
    assert made.tolist() == pytest.approx([0.3, upper.get_ylim()[1]])  # no error: at the top
    assert [text.get_text() for text in lower.texts] == ["10", "100"]


def test_calibration_of_one_digit(tmp_path):
    figures.save(figures.calibration(probable((3, 1.0)), np.array([3])), tmp_path / "one.png")
