"""Metrics against scikit-learn, SciPy and plain loops."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from digitmlp import metrics
from digitmlp.errors import DataError


def answers(count=500, seed=0, sharpness=3.0):
    """Return logits, probabilities (n, 10) and labels drawn from them with some noise."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, sharpness, (count, 10))
    labels = np.where(generator.random(count) < 0.8, logits.argmax(1), generator.integers(10))
    return logits, softmax(logits, 1).astype(np.float32), labels.astype(np.int64)


def test_evaluate_agrees_with_scikit_learn():
    _, probabilities, labels = answers()
    evaluation = metrics.evaluate(probabilities, labels)
    predictions = probabilities.argmax(1)
    assert evaluation.count == 500
    assert evaluation.accuracy == (predictions == labels).mean()
    assert evaluation.error == pytest.approx(1 - evaluation.accuracy)
    assert np.array_equal(evaluation.confusion, confusion_matrix(labels, predictions))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    assert evaluation.loss == pytest.approx(log_loss(labels, exact), rel=1e-6)


def test_to_dict_is_what_the_command_prints():
    _, probabilities, labels = answers()
    printed = json.loads(json.dumps(metrics.evaluate(probabilities, labels).to_dict()))
    assert list(printed) == [
        "count",
        "accuracy",
        "error",
        "confidence_interval",
        "ece",
        "confusion",
    ]
    assert len(printed["confidence_interval"]) == 2
    assert np.shape(printed["confusion"]) == (10, 10)
    assert sum(map(sum, printed["confusion"])) == printed["count"] == 500


def test_confusion_has_a_row_for_each_true_digit():
    probabilities = np.eye(10, dtype=np.float32)[[9, 9, 4]]
    matrix = metrics.evaluate(probabilities, np.array([4, 4, 4])).confusion
    assert matrix[4, 9] == 2
    assert matrix[4, 4] == 1
    assert matrix.sum() == 3


def test_evaluate_refuses_no_rows():
    with pytest.raises(DataError) as caught:
        metrics.evaluate(np.empty((0, 10), np.float32), np.empty(0, np.int64))
    assert str(caught.value) == "no labelled digits to evaluate: found 0, expected at least 1"


def test_decide_takes_the_smaller_digit_on_a_tie_and_nothing_from_nothing():
    tie = np.full((1, 10), 0.1, np.float32)
    assert metrics.decide(tie).tolist() == [0]
    assert metrics.decide(tie).dtype == np.int64
    assert metrics.decide(tie[:0]).shape == (0,)


@pytest.mark.parametrize(("correct", "count"), [(0, 1), (1, 1), (37, 40), (8339, 8400), (50, 50)])
def test_wilson_agrees_with_scipy(correct, count):
    expected = binomtest(correct, count).proportion_ci(0.95, "wilson")
    assert metrics.wilson(correct, count) == pytest.approx((expected.low, expected.high))
    low, high = metrics.wilson(correct, count)
    assert (low == 0) == (correct == 0)
    assert (high == 1) == (correct == count)


def test_ece_agrees_with_a_plain_loop_over_fifteen_bins():
    _, probabilities, labels = answers(2000, seed=1, sharpness=1.0)
    top, right = probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels
    ece = 0.0
    for number in range(15):
        inside = (top > number / 15) & (top <= (number + 1) / 15)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    evaluation = metrics.evaluate(probabilities, labels)
    assert evaluation.ece == pytest.approx(ece)
    assert sum(part.count for part in evaluation.reliability) == 2000


def test_reliability_bins_are_closed_above():
    half = np.zeros((1, 10), np.float32)
    half[0, :2] = 0.5
    (part,) = metrics.reliability(half, np.array([0]), [0, 0.5, 1])
    assert (part.low, part.high, part.count, part.confidence, part.accuracy) == (0, 0.5, 1, 0.5, 1)


def test_ece_is_zero_for_answers_as_sure_as_they_are_right():
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[:, 3], probabilities[:, 5] = 0.75, 0.25
    assert metrics.evaluate(probabilities, np.array([3, 3, 3, 5])).ece == 0


def test_loss_of_an_impossible_label_is_finite():
    probabilities = np.eye(10, dtype=np.float32)[:1]
    loss = metrics.evaluate(probabilities, np.array([1])).loss
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_loss_of_a_uniform_guess_is_ln_10():
    uniform = np.full((3, 10), 0.1, np.float32)
    assert metrics.log_loss(uniform, np.array([0, 4, 9])) == pytest.approx(np.log(10))


def test_digit_scores_agree_with_scikit_learn():
    _, probabilities, labels = answers(seed=2)
    precision, recall, f1, count = precision_recall_fscore_support(labels, probabilities.argmax(1))
    scores = metrics.digit_scores(metrics.confusion(probabilities, labels))
    assert [score.digit for score in scores] == list(range(10))
    assert [score.count for score in scores] == count.tolist()
    assert [score.recall for score in scores] == pytest.approx(recall)
    assert [score.precision for score in scores] == pytest.approx(precision)
    assert [score.f1 for score in scores] == pytest.approx(f1)


def test_digit_scores_of_a_digit_that_never_occurs_are_none():
    scores = metrics.digit_scores(np.diag([0, 1, *[0] * 8]))
    assert (scores[1].recall, scores[1].precision, scores[1].f1) == (1, 1, 1)
    assert (scores[7].recall, scores[7].precision, scores[7].f1) == (None, None, None)


def mean_loss(logits, labels, temperature):
    return -log_softmax(logits / temperature, 1)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("sharpness", [0.5, 3.0, 12.0])
def test_fit_temperature_agrees_with_scipy(sharpness):
    logits, _, labels = answers(3000, seed=3, sharpness=sharpness)
    share = 0.1 / 3000.1

    def loss(temperature):
        unsure = -log_softmax(logits / temperature, 1).mean()
        return (1 - share) * mean_loss(logits, labels, temperature) + share * unsure

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-7})
    found = metrics.fit_temperature(logits.astype(np.float32), labels)
    assert found == pytest.approx(best.x, rel=1e-4)
    pure = minimize_scalar(lambda t: mean_loss(logits, labels, t), bounds=(0.05, 20))
    assert mean_loss(logits, labels, found) <= pure.fun + 1e-5


def test_fit_temperature_finds_the_one_that_made_the_labels():
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 3, (20000, 10))
    sure = softmax(logits / 1.7, 1).cumsum(1)
    labels = (generator.random((20000, 1)) > sure).sum(1).clip(max=9)
    assert metrics.fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.03)


def test_fit_temperature_stays_moderate_on_few_rows_that_are_all_right():
    logits = np.eye(10)[:5] * 8
    few = metrics.fit_temperature(logits, np.arange(5))
    many = metrics.fit_temperature(np.tile(logits, (200, 1)), np.tile(np.arange(5), 200))
    assert 0.5 < many < 1 < few < 3


def test_fit_temperature_is_bounded_whatever_the_logits():
    labels = np.array([0, 1])
    assert metrics.fit_temperature(-1e30 * np.eye(10)[:2], labels) == pytest.approx(20)
    assert metrics.fit_temperature(1e-30 * np.eye(10)[:2], labels) == pytest.approx(0.05)
    assert metrics.fit_temperature(np.empty((0, 10)), labels[:0]) == 1


def test_suspects_are_the_mistakes_with_the_least_probable_label_first():
    probabilities = np.full((4, 10), 0.01, np.float32)
    probabilities[:, 3] = [0.9, 0.6, 0.6, 0.5]
    probabilities[:, 8] = [0.02, 0.05, 0.3, 0.4]
    labels = np.array([3, 8, 8, 0])
    assert metrics.suspects(probabilities, labels).tolist() == [3, 1, 2]


def test_worst_pairs_leave_out_the_diagonal():
    matrix = np.diag([50] * 10)
    matrix[4, 9], matrix[7, 2] = 3, 5
    assert metrics.worst_pairs(matrix) == [(7, 2, 5), (4, 9, 3)]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100%"), (0.999999, "99.99%"), (0.98434, "98.43%"), (0.5, "50.00%"), (0, "0.00%")],
)
def test_percent_says_100_for_all_alone(share, text):
    assert metrics.percent(share) == text
