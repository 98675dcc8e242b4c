"""Images that are no digits: what they are made of, and that a network learns to refuse them."""

import pytest
import torch
from conftest import make_digits

from digitmlp import outliers
from digitmlp import train as loop
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.errors import ConfigError
from digitmlp.model import score
from digitmlp.outliers import make_outliers
from digitmlp.split import tensors

CPU = torch.device("cpu")


def digits(count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    made = make_digits(count)
    return torch.from_numpy(made.images.reshape(count, -1)).float(), torch.from_numpy(made.labels)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
def test_as_many_are_made_as_are_asked_for(count):
    made = make_outliers(*digits(), count, random())
    assert made.shape == (count, 784)
    assert made.dtype == torch.float32
    assert count == 0 or (made.min() >= 0 and made.max() <= 255.01)
    assert torch.equal(made, make_outliers(*digits(), count, random()))
    assert count < 5 or not torch.equal(made, make_outliers(*digits(), count, random(1)))


def test_there_are_some_where_no_digit_may_be_misused():
    images = torch.zeros(8, 784)
    assert make_outliers(images, torch.zeros(8, dtype=torch.int64), 40, random()).shape == (40, 784)


def test_digits_that_stay_digits_are_neither_turned_nor_mirrored():
    images = torch.arange(10).float()[:, None].expand(10, 784) + 1  # ink tells the label
    made = outliers.misused(images, torch.arange(10), 300, random())
    turned, mirrored = made[:100], made[100:200]
    assert set(turned.unique().tolist()) == {1 + label for label in (1, 2, 3, 4, 5, 7, 8)}
    assert set(mirrored.unique().tolist()) == {1 + label for label in (3, 4, 7)}


def test_scribbles_are_strokes_without_gaps():
    made = outliers.scribbles(200, random()).view(-1, 28, 28)
    share = (made > 127).float().mean((1, 2))
    assert share.min() > 0.005
    assert share.max() < 0.7
    # Ink stands beside ink: no stroke falls apart into dots.
    inked = (made > 0).float()[:, None]
    beside = torch.nn.functional.avg_pool2d(inked, 3, stride=1, padding=1) * 9 - 1
    assert (beside[inked > 0] >= 1).float().mean() > 0.999


def test_network_with_an_output_for_nothing_tells_digits_from_what_it_never_saw():
    model = ModelConfig(hidden=(64,), nothing=True)
    config = TrainConfig(epochs=12, batch_size=32, learning_rate=3e-3, outliers=0.5)
    made = make_digits(400)
    training = loop.start(model, config, CPU)
    last = list(loop.fit(training, tensors(made.images, made.labels, CPU), None, config))[-1]
    assert last.train_accuracy > 0.9  # of digits and of what is none, together

    new = make_digits(200, 1)
    unseen = tensors(new.images, new.labels, CPU)
    assert loop.evaluate(training.network, unseen)[1] > 0.97
    odd = make_outliers(unseen.images.float(), unseen.labels, 200, random(5))
    of_digits, of_others = (
        score(loop.predict_logits(training.network, images), 10) for images in (unseen.images, odd)
    )
    assert (of_digits[:, None] > of_others).float().mean() > 0.95  # the area under the ROC curve


def test_output_for_nothing_and_outliers_go_together():
    with pytest.raises(ConfigError, match="needs such images to learn from"):
        loop.start(ModelConfig(nothing=True), TrainConfig(), CPU)
    with pytest.raises(ConfigError, match="they need that output"):
        loop.start(ModelConfig(), TrainConfig(outliers=0.1), CPU)
