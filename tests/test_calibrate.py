"""Temperature, threshold and accuracy: which rows they come from, and what they mean."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from digitmlp import train as loop
from digitmlp.calibrate import LEARNED, REFUSED_BY_VIEWS, VIEWED, calibrate
from digitmlp.card import Card
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.model import MLP, score
from digitmlp.split import Batch
from digitmlp.views import views

NOTHING = ModelConfig(hidden=(16,), nothing=True)
CARD = Card(model=NOTHING, training=TrainConfig(), data="", temperature=3.0, held_out={"count": 7})


def rows(count: int, seed: int, network: MLP | None = None) -> Batch:
    """Return noise, labelled as the network reads it, or by chance."""
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 784, generator=random)
    labels = torch.randint(10, (count,), generator=random)
    if network:
        labels = loop.predict_logits(network, images)[0, :, :10].argmax(-1)
    return Batch(images, labels)


@pytest.fixture(scope="module")
def network() -> MLP:
    return MLP(NOTHING, torch.Generator().manual_seed(1))


def scores(network: MLP, batch: Batch) -> np.ndarray:
    return score(loop.predict_logits(network, batch.images), 10).numpy()


def test_threshold_refuses_one_in_four_hundred_validation_rows(network):
    validation = rows(4001, 2)
    card = calibrate(CARD, network, rows(50, 3), validation)
    assert (scores(network, validation) < card.threshold).sum() == 10


def test_threshold_of_views_refuses_one_in_two_hundred_and_fifty_by_the_best_view(network):
    validation = rows(2501, 2)
    card = calibrate(CARD, network, rows(50, 3), validation)
    plain = scores(network, validation)
    seen = views(validation.images.numpy().reshape(-1, 28, 28)).reshape(-1, 784)
    of_views = scores(network, Batch(torch.from_numpy(seen), torch.zeros(len(seen))))
    best = np.maximum(plain, of_views.reshape(len(plain), -1).max(1))
    viewed = plain <= np.quantile(plain, VIEWED)
    assert (np.where(viewed, best, plain) < card.threshold_of_views).sum() == 10
    assert card.threshold_of_views > np.quantile(plain, REFUSED_BY_VIEWS)


def test_without_an_output_for_nothing_there_are_no_views():
    form = ModelConfig(hidden=(16,))
    network = MLP(form, torch.Generator().manual_seed(1))
    card = calibrate(replace(CARD, model=form), network, rows(50, 3), rows(251, 2))
    assert card.threshold_of_views is None


def test_accuracy_is_that_of_the_validation_rows(network):
    right = rows(1000, 2, network)
    labels = right.labels.where(torch.arange(1000) >= 250, 9 - right.labels)
    card = calibrate(CARD, network, rows(50, 3), Batch(right.images, labels))
    assert card.held_out == {"count": 1000, "accuracy": 0.75}


def test_wrong_answers_make_it_less_sure(network):
    sure, unsure = rows(1000, 2, network), rows(1000, 2)
    few = calibrate(CARD, network, sure, sure).temperature
    assert few < 1 < calibrate(CARD, network, sure, unsure).temperature


def test_without_validation_only_the_thresholds_are_set_and_by_rows_trained_on(network):
    train = rows(LEARNED + 1000, 2)
    card = calibrate(CARD, network, train, rows(0, 3))
    thresholds = {name: getattr(card, name) for name in ("threshold", "threshold_of_views")}
    assert card == replace(CARD, **thresholds)
    learned = Batch(train.images[:LEARNED], train.labels[:LEARNED])
    assert card == calibrate(card, network, learned, rows(0, 3))
    assert 12 <= (scores(network, learned) < card.threshold).sum() <= 13
