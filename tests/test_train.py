"""The loop: what it learns, counts and repeats."""

import copy
import dataclasses
import itertools
import math

import pytest
import torch
from conftest import make_digits
from torch import nn

from digitmlp import train as loop
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.device import choose_device
from digitmlp.errors import ConfigError, DataError, DigitmlpError
from digitmlp.split import Batch, tensors

CPU = torch.device("cpu")
SMALL = ModelConfig(hidden=(32, 16))
QUICK = TrainConfig(epochs=3, batch_size=32, learning_rate=3e-3, precision="float32")


def batch(count: int, seed: int = 0) -> Batch:
    digits = make_digits(count, seed)
    return tensors(digits.images, digits.labels, CPU)


def trained(config=QUICK, model=SMALL, train=None, validation=None, until=None) -> loop.Training:
    training = loop.start(model, config, CPU)
    train = train or batch(200)
    validation = validation or batch(100, seed=1)
    list(itertools.islice(loop.fit(training, train, validation, config), until))
    return training


def weights(training: loop.Training) -> torch.Tensor:
    return torch.cat([value.flatten() for value in training.network.state_dict().values()])


def test_untrained_network_has_the_loss_of_guessing():
    training = loop.start(ModelConfig(norm="none"), QUICK, CPU)
    loss, accuracy = loop.evaluate(training.network, batch(1000))
    assert abs(loss - math.log(10)) < 0.1
    assert accuracy < 0.3


def test_network_learns_and_generalizes():
    training = trained(dataclasses.replace(QUICK, epochs=10))
    assert training.history[-1].validation_accuracy == 1
    assert training.history[-1].train_loss < training.history[0].train_loss / 3


@pytest.mark.parametrize("nothing", [False, True])
def test_network_learns_by_the_squared_hinge_what_entropy_does_not_teach(nothing):
    config = dataclasses.replace(QUICK, epochs=10, loss="squared-hinge", outliers=0.2 * nothing)
    model = dataclasses.replace(SMALL, nothing=nothing)
    training = trained(config, model)
    assert training.history[-1].validation_accuracy == 1
    other = trained(dataclasses.replace(config, loss="cross-entropy"), model)
    assert not torch.equal(weights(training), weights(other))


def test_committee_learns_in_the_same_loop():
    training = trained(dataclasses.replace(QUICK, epochs=10), ModelConfig(hidden=(32,), members=3))
    assert training.history[-1].validation_accuracy == 1


def test_first_steps_are_those_of_a_plain_torch_loop():
    train = batch(96)
    config = dataclasses.replace(QUICK, epochs=1, learning_rate=1e-2)
    model = ModelConfig(hidden=(16,), norm="none", negative_slope=0.01)
    training = loop.start(model, config, CPU)
    first, second = nn.Linear(784, 16), nn.Linear(16, 10)
    for twin, ours in zip((first, second), training.network.linears, strict=True):
        twin.weight.data = ours.weight.data[0].T.clone()
        twin.bias.data = ours.bias.data[0, 0].clone()
    network = nn.Sequential(first, nn.LeakyReLU(0.01), second, nn.LogSoftmax(1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    total, hits = 0.0, 0
    order = torch.randperm(96, generator=loop.generator(config.seed, "order", 1))
    for rows in order.split(32):
        answers = network(train.images[rows] / 255)
        loss = nn.CrossEntropyLoss()(answers, train.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
        hits += int((answers.argmax(1) == train.labels[rows]).sum())
    (epoch,) = loop.fit(training, train, None, config)
    assert epoch.train_loss == pytest.approx(total / 96, rel=1e-5)
    assert epoch.train_accuracy == hits / 96
    torch.testing.assert_close(training.network.linears[0].weight[0].T, first.weight)


def test_loss_of_an_epoch_is_that_of_all_rows():
    frozen = dataclasses.replace(QUICK, epochs=1, learning_rate=1e-12, batch_size=32)
    train = batch(70)  # 23 + 23 + 24
    model = ModelConfig(hidden=(16,), norm="none")
    training = loop.start(model, frozen, CPU)
    expected, _ = loop.evaluate(training.network, train)
    (epoch,) = loop.fit(training, train, None, frozen)
    assert epoch.train_loss == pytest.approx(expected, rel=1e-6)


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    augmented = dataclasses.replace(QUICK, augment=AugmentConfig(rotation=10, shift=1, elastic=0.5))
    first, again = weights(trained(augmented)), weights(trained(augmented))
    assert torch.equal(first, again)
    assert not torch.equal(first, weights(trained(dataclasses.replace(augmented, seed=1))))


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_best_epoch_is_the_one_of_lowest_validation_loss():
    wild = dataclasses.replace(QUICK, epochs=8, learning_rate=0.05)
    training = trained(wild)
    losses = [epoch.validation_loss for epoch in training.history]
    assert training.best_epoch == losses.index(min(losses)) + 1
    training.network.load_state_dict(training.best)
    loss, _ = loop.evaluate(training.network, batch(100, seed=1))
    assert loss == pytest.approx(min(losses))


def test_the_last_epoch_of_one_cycle_is_the_best_one():
    history = [
        loop.Epoch(number, 0.0, 0.0, 0.0, 0.0, loss, 0.0)
        for number, loss in enumerate((0.5, 0.1, 0.3), 1)
    ]
    bests = {
        schedule: [
            epoch.epoch
            for epoch in history
            if loop.is_best(
                epoch, history[: epoch.epoch - 1], dataclasses.replace(QUICK, schedule=schedule)
            )
        ]
        for schedule in ("constant", "one-cycle")
    }
    assert bests == {"constant": [1, 2], "one-cycle": [1, 2, 3]}


def test_weights_after_the_last_epochs_are_averaged():
    config = dataclasses.replace(QUICK, epochs=5, schedule="one-cycle", averaged=0.6)
    training, validation = loop.start(SMALL, config, CPU), batch(100, seed=1)
    after = []
    for epoch in loop.fit(training, batch(200), validation, config):
        after.append(weights(training))
        mean = copy.deepcopy(training.network)
        mean.load_state_dict(training.best)
        assert loop.evaluate(mean, validation)[0] == epoch.validation_loss
        expected = torch.stack(after[2:] or after[-1:]).mean(0)  # of epochs 3, 4 and 5
        found = torch.cat([value.flatten() for value in training.best.values()])
        torch.testing.assert_close(found, expected)
    assert training.best_epoch == 5


def test_averaging_changes_nothing_of_the_training():
    plain = dataclasses.replace(QUICK, epochs=5, schedule="one-cycle")
    mean = trained(dataclasses.replace(plain, averaged=1.0))
    assert torch.equal(weights(mean), weights(trained(plain)))


def test_without_validation_the_last_epoch_is_kept():
    training = loop.start(SMALL, QUICK, CPU)
    history = list(loop.fit(training, batch(64), None, QUICK))
    assert training.best_epoch == 3
    assert [epoch.validation_loss for epoch in history] == [None] * 3


def test_evaluation_gives_the_same_numbers_for_any_batch_size(monkeypatch):
    training, images = trained(), batch(100)
    whole = loop.evaluate(training.network, images)
    monkeypatch.setattr(loop, "EVALUATION_ROWS", 7)
    assert loop.evaluate(training.network, images) == pytest.approx(whole, rel=1e-5)


def test_stop_ends_between_two_steps():
    training = loop.start(SMALL, QUICK, CPU)
    answers = iter([False] * 9 + [True])  # 7 steps an epoch
    with pytest.raises(loop.Stopped):
        list(loop.fit(training, batch(200), None, QUICK, stop=lambda: next(answers)))
    assert (len(training.history), training.step) == (1, 2)


def test_stopped_training_goes_on_as_if_it_had_not_stopped():
    for stop_after in range(21):
        training = loop.start(SMALL, QUICK, CPU)
        answers = iter([False] * stop_after + [True])
        with pytest.raises(loop.Stopped):
            list(loop.fit(training, batch(200), None, QUICK, stop=lambda: next(answers)))  # noqa: B023
        list(loop.fit(training, batch(200), None, QUICK))
        whole = loop.start(SMALL, QUICK, CPU)
        history = list(loop.fit(whole, batch(200), None, QUICK))
        assert torch.equal(weights(training), weights(whole))
        assert [e.train_loss for e in training.history] == [e.train_loss for e in history]


@pytest.mark.parametrize(
    ("rows", "size", "lengths"),
    [
        (12, 4, [4, 4, 4]),
        (10, 4, [3, 3, 4]),
        (1032, 512, [344, 344, 344]),
        (3, 64, [3]),
        (3, 2, [3]),
        (2, 1, [2]),
        (5, 1, [2, 3]),
    ],
)
def test_batches_are_even_and_none_has_a_single_row(rows, size, lengths):
    assert [end - first for first, end in loop.batch_bounds(rows, size)] == lengths


def test_one_row_is_refused():
    with pytest.raises(DataError, match=r"1 row\(s\) to train on"):
        loop.batch_bounds(1, 64)


def test_diverging_training_says_so():
    mad = dataclasses.replace(QUICK, learning_rate=1e30)
    with pytest.raises(DigitmlpError, match=r"^training diverged: .*take a lower --learning-rate$"):
        trained(mad, ModelConfig(hidden=(32,), norm="none"))


def test_small_data_gets_more_epochs_to_reach_the_least_steps():
    config = dataclasses.replace(QUICK, epochs=2, min_steps=50)
    assert loop.epochs(config, 200) == 8  # 7 steps an epoch
    assert loop.epochs(config, 32_000) == 2


def test_one_cycle_rises_and_falls_to_nothing():
    config = dataclasses.replace(QUICK, schedule="one-cycle", warmup=0.25)
    rates = [loop.learning_rate(step, 100, config) for step in range(100)]
    assert rates.index(max(rates)) in (24, 25)
    assert max(rates) <= config.learning_rate
    assert rates[0] > 0
    assert rates[-1] < 0.01 * config.learning_rate


def test_missing_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(ConfigError, match=r"^device cuda is not to be had here; found: cpu"):
        choose_device("cuda")
