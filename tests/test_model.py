"""The network, against plain PyTorch layers."""

import math

import pytest
import torch
from torch import nn

from digitmlp.config import ModelConfig
from digitmlp.model import MLP, BatchNorm, committee, score


def network(**settings) -> MLP:
    config = ModelConfig(**{"inputs": 20, "classes": 4, "hidden": (16, 8), **settings})
    made = MLP(config, torch.Generator().manual_seed(1))
    made(torch.randint(0, 256, (64, 20), dtype=torch.uint8))  # moves the running averages
    for norm in made.norms:
        if isinstance(norm, BatchNorm):
            nn.init.uniform_(norm.gain, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
    return made.eval()


def plain(network: MLP, member: int) -> nn.Sequential:
    """Return the member as layers of torch.nn."""
    layers: list[nn.Module] = []
    for index, linear in enumerate(network.linears):
        _, inputs, outputs = linear.weight.shape
        twin = nn.Linear(inputs, outputs)
        twin.weight.data = linear.weight.data[member].T
        twin.bias.data = linear.bias.data[member, 0]
        layers.append(twin)
        if index < len(network.norms):
            norm = network.norms[index]
            if isinstance(norm, BatchNorm):
                normed = nn.BatchNorm1d(outputs)
                gain, bias, mean, variance = (
                    value.view(network.config.members, -1)[member]
                    for value in (norm.gain.data, norm.bias.data, norm.mean, norm.variance)
                )
                normed.weight.data, normed.bias.data = gain, bias
                normed.running_mean, normed.running_var = mean, variance
                layers.append(normed)
            layers.append(nn.LeakyReLU(network.config.negative_slope))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", ["none", "last", "every"])
def test_every_member_computes_what_torch_layers_compute(norm, training):
    made = network(norm=norm, members=3, negative_slope=0.01).train(training)
    images = torch.randint(0, 256, (32, 20), dtype=torch.uint8)
    twins = [plain(made, member).train(training) for member in range(3)]
    expected = torch.stack([twin(images / 255) for twin in twins])
    torch.testing.assert_close(made(images), expected)


def test_tutorial_network_has_the_layers_of_the_tutorial():
    made = MLP(ModelConfig(norm="last", negative_slope=0.01), torch.Generator())
    assert made.parameter_count() == 784 * 512 + 512 + 512 * 256 + 256 + 2 * 256 + 256 * 10 + 10
    assert [type(norm).__name__ for norm in made.norms] == ["Identity", "BatchNorm"]


def test_weights_start_as_in_torch():
    weight = MLP(ModelConfig(), torch.Generator().manual_seed(0)).linears[0].weight
    reference = nn.Linear(784, 512).weight
    assert abs(weight.std() / reference.std() - 1) < 0.01
    assert weight.abs().max() <= 1 / math.sqrt(784)


@pytest.mark.parametrize("norm", ["none", "last", "every"])
def test_folded_layers_compute_the_same(norm):
    made = network(norm=norm, members=2)
    images = torch.randint(0, 256, (16, 20), dtype=torch.uint8)
    x = images.double().expand(2, 16, 20)
    *hidden, (weight, bias) = made.folded()
    for matrix, vector in hidden:
        x = torch.relu(x @ matrix + vector)
    torch.testing.assert_close((x @ weight + bias).float(), made(images))


def test_committee_is_the_mean_of_the_probabilities():
    logits = torch.randn(5, 7, 10)
    torch.testing.assert_close(
        committee(logits, logits.shape[-1]).exp(), logits.softmax(-1).mean(0)
    )


def test_score_of_one_member_is_log_sum_exp():
    logits = torch.randn(1, 7, 10)
    torch.testing.assert_close(score(logits, logits.shape[-1]), logits[0].exp().sum(-1).log())


def test_score_with_an_output_for_nothing_is_the_log_odds_of_a_digit():
    logits = torch.randn(1, 6, 11)
    chances = logits[0].softmax(-1)
    odds = chances[:, :10].sum(-1) / chances[:, 10]
    torch.testing.assert_close(score(logits, 10), odds.log())
    torch.testing.assert_close(committee(logits, 10).exp().sum(-1), torch.ones(6))
