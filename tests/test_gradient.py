"""Backpropagation, against autograd."""

import pytest
import torch
import torch.nn.functional as F

from digitmlp.config import ModelConfig
from digitmlp.gradient import backpropagate
from digitmlp.model import MLP
from digitmlp.train import wanted


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels)


def smoothed(logits, labels):
    return F.cross_entropy(logits, labels, label_smoothing=0.1)


def squared_hinge(logits, labels):
    side = 2 * F.one_hot(labels, logits.shape[-1]) - 1
    return F.relu(1 - side * logits / 2).square().sum(-1).mean()


@pytest.mark.parametrize("lowered", [cross_entropy, smoothed, squared_hinge])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("norm", "slope"), [("none", 0.0), ("last", 0.01), ("every", 0.0)])
def test_gradients_are_those_of_autograd(norm, slope, members, lowered):
    torch.manual_seed(0)
    config = ModelConfig(
        inputs=20, classes=4, hidden=(16, 8), norm=norm, negative_slope=slope, members=members
    )
    networks = [MLP(config, torch.Generator().manual_seed(1)).train() for _ in range(2)]
    images = torch.randint(0, 256, (32, 20), dtype=torch.uint8)
    labels = torch.randint(0, 4, (32,))

    logits = networks[0](images)
    each = logits.flatten(0, 1), labels.repeat(members)
    (lowered(*each) * members).backward()
    targets = wanted(labels, 4, 0.1 if lowered is smoothed else 0.0)
    loss = "squared-hinge" if lowered is squared_hinge else "cross-entropy"
    totals = backpropagate(networks[1], images, targets, loss)

    for (name, expected), found in zip(
        networks[0].named_parameters(), networks[1].parameters(), strict=True
    ):
        torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, n=name: n + text)
    for expected, found in zip(networks[0].buffers(), networks[1].buffers(), strict=True):
        torch.testing.assert_close(found, expected)
    hits = (logits.argmax(-1) == labels).sum() / members
    told = smoothed if lowered is smoothed else cross_entropy
    torch.testing.assert_close(totals, torch.stack([told(*each).detach() * 32, hits]))


def test_probabilities_weigh_the_two_sides_of_the_squared_hinge():
    config = ModelConfig(inputs=6, classes=3, hidden=(), norm="none")
    network = MLP(config, torch.Generator().manual_seed(1))
    images = torch.randint(0, 256, (5, 6), dtype=torch.uint8)
    sure = [wanted(torch.full((5,), label), 3, 0.0) for label in (0, 2)]
    (output,) = network.linears

    gradients = []
    for targets in (*sure, 0.3 * sure[0] + 0.7 * sure[1]):
        backpropagate(network, images, targets, "squared-hinge")
        gradients.append(output.weight.grad)
    torch.testing.assert_close(gradients[2], 0.3 * gradients[0] + 0.7 * gradients[1])


def test_gradients_of_rounded_products_are_near_those_of_float32():
    config = ModelConfig(inputs=60, classes=4, hidden=(64, 32))
    networks = [MLP(config, torch.Generator().manual_seed(1)).train() for _ in range(2)]
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (256, 60), dtype=torch.uint8, generator=random)
    targets = wanted(torch.randint(0, 4, (256,), generator=random), 4, 0.0)

    backpropagate(networks[0], images, targets)
    backpropagate(networks[1], images, targets, kind=torch.bfloat16)

    for exact, rounded in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert rounded.grad.dtype == torch.float32
        if exact.grad.abs().max() > 1e-6:  # a bias before BatchNorm has none
            assert (rounded.grad - exact.grad).norm() < 0.15 * exact.grad.norm()
