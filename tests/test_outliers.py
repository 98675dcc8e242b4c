"""Images that are no digits: what they are made of, and that a network learns to refuse them."""

import pytest
import torch
from conftest import make_digits

from digitmlp import outliers
from digitmlp import train as loop
from digitmlp.augment import Augment
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ConfigError
from digitmlp.model import score
from digitmlp.outliers import make_outliers
from digitmlp.split import Batch, tensors
from digitmlp.strokes import POINTS, draw, straight

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


def in_one_quarter() -> torch.Tensor:
    """Return an image (10, 784) for each digit, whose ink, at the top left, tells which it is."""
    images = torch.zeros(10, 28, 28)
    images[:, :14, :14] = torch.arange(10).float()[:, None, None] + 1
    return images.flatten(1)


def labels_with_ink(made: torch.Tensor, down: slice, right: slice) -> set[float]:
    return {ink - 1 for ink in made.view(-1, 28, 28)[:, down, right].unique().tolist() if ink}


def test_what_is_a_digit_upside_down_is_not_turned_so():
    turned = outliers.misused(in_one_quarter(), torch.arange(10), 300, random())[:100]
    top, bottom = slice(14), slice(14, None)
    assert labels_with_ink(turned, bottom, bottom) == {3, 4, 7}
    assert not labels_with_ink(turned, top, top)
    aside = {1, 2, 3, 4, 5, 7, 8}
    assert labels_with_ink(turned, top, bottom) == labels_with_ink(turned, bottom, top) == aside


def test_bows_are_even_and_bend_too_much_for_a_one():
    points = outliers.bows(500, random())
    half = POINTS // 2
    first, middle, last = points[:, 0], points[:, half - 1 : half + 1].mean(1), points[:, -1]
    chord = (first - last).norm(dim=1)
    assert torch.allclose((first - middle).norm(dim=1), (last - middle).norm(dim=1), atol=1e-4)
    bend = (middle - (first + last) / 2).norm(dim=1) / chord
    assert 0.14 < bend.min() < 0.18
    assert 0.45 < bend.max() <= 0.5
    is_upright = (first - last)[:, 1].abs() > 0.9 * chord
    assert 0.5 < is_upright.float().mean() < 0.75


def test_scribbles_are_strokes_without_gaps():
    made = outliers.scribbles(200, random()).view(-1, 28, 28)
    share = (made > 127).float().mean((1, 2))
    assert share.min() > 0.005
    assert share.max() < 0.7
    # Ink stands beside ink: no stroke falls apart into dots.
    inked = (made > 0).float()[:, None]
    beside = torch.nn.functional.avg_pool2d(inked, 3, stride=1, padding=1) * 9 - 1
    assert (beside[inked > 0] >= 1).float().mean() > 0.999


def test_pen_presses_more_and_less_along_a_stroke():
    ends = torch.tensor([[0.0, -1.0], [0.0, 1.0]]).expand(200, 2, 2)
    across = draw(straight(ends), random()).view(-1, 28, 28).sum(2)[:, 8:20]  # from row to row
    uneven = across.std(1) / across.mean(1)
    assert uneven.min() < 0.05
    assert uneven.median() > 0.1


def test_what_is_no_digit_is_changed_as_digits_are():
    # The ground of all is raised: else its brightness would tell what is a digit.
    changes = AugmentConfig(spoiled=1.0, light=0.9)
    config = TrainConfig(outliers=1.0, augment=changes)
    batch, by_label = Batch(*digits()), torch.zeros(64, dtype=torch.bool)
    model, augment = ModelConfig(nothing=True), Augment(changes, CPU)
    images, targets = loop.lesson(batch, by_label, model, config, random(), augment, None)
    is_odd = targets.argmax(1) == 10
    assert is_odd.tolist() == [False] * 64 + [True] * 64
    raised = images.mean(1) - torch.cat([batch.images, unchanged(batch, model)]).mean(1)
    assert (raised[~is_odd] > 1).float().mean() > 0.9
    assert (raised[is_odd] > 1).float().mean() > 0.9


def unchanged(batch: Batch, model: ModelConfig) -> torch.Tensor:
    """Return the images that are no digits, as the same random numbers make them."""
    none, plain = torch.zeros(len(batch), dtype=torch.bool), TrainConfig(outliers=1.0)
    return loop.lesson(batch, none, model, plain, random(), None, None)[0][len(batch) :]


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
