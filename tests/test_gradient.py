"""Backpropagation, against autograd."""

import pytest
import torch
import torch.nn.functional as F

from digitmlp.config import ModelConfig
from digitmlp.gradient import backpropagate
from digitmlp.model import MLP
from digitmlp.train import wanted


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("norm", "slope"), [("none", 0.0), ("last", 0.01), ("every", 0.0)])
def test_gradients_are_those_of_autograd(norm, slope, members, smoothing):
    torch.manual_seed(0)
    config = ModelConfig(
        inputs=20, classes=4, hidden=(16, 8), norm=norm, negative_slope=slope, members=members
    )
    networks = [MLP(config, torch.Generator().manual_seed(1)).train() for _ in range(2)]
    images = torch.randint(0, 256, (32, 20), dtype=torch.uint8)
    labels = torch.randint(0, 4, (32,))

    logits = networks[0](images)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(members), label_smoothing=smoothing)
    (loss * members).backward()
    totals = backpropagate(networks[1], images, wanted(labels, 4, smoothing))

    for (name, expected), found in zip(
        networks[0].named_parameters(), networks[1].parameters(), strict=True
    ):
        torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, n=name: n + text)
    for expected, found in zip(networks[0].buffers(), networks[1].buffers(), strict=True):
        torch.testing.assert_close(found, expected)
    hits = (logits.argmax(-1) == labels).sum() / members
    torch.testing.assert_close(totals, torch.stack([loss.detach() * 32, hits]))


def test_gradients_of_rounded_products_are_near_those_of_float32():
    config = ModelConfig(inputs=60, classes=4, hidden=(64, 32))
    networks = [MLP(config, torch.Generator().manual_seed(1)).train() for _ in range(2)]
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (256, 60), dtype=torch.uint8, generator=random)
    targets = wanted(torch.randint(0, 4, (256,), generator=random), 4, 0.0)

    backpropagate(networks[0], images, targets)
    backpropagate(networks[1], images, targets, torch.bfloat16)

    for exact, rounded in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert rounded.grad.dtype == torch.float32
        if exact.grad.abs().max() > 1e-6:  # a bias before BatchNorm has none
            assert (rounded.grad - exact.grad).norm() < 0.15 * exact.grad.norm()
