"""The optimizer, against PyTorch's."""

import subprocess
import sys

import torch
from torch import nn

from digitmlp.adam import AdamW


def parameters() -> dict[str, nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (1, 30, 20), "0.bias": (1, 1, 20), "norm.gain": (20,)}
    return {
        name: nn.Parameter(torch.randn(shape, generator=random)) for name, shape in shapes.items()
    }


def test_steps_are_those_of_torch_with_decay_on_weights_alone():
    ours, theirs = parameters(), parameters()
    optimizer = AdamW(ours.items(), (0.8, 0.95), 0.1)
    reference = torch.optim.AdamW(
        [
            {"params": [theirs["0.weight"]], "weight_decay": 0.1},
            {"params": [theirs["0.bias"], theirs["norm.gain"]], "weight_decay": 0.0},
        ],
        betas=(0.8, 0.95),
        foreach=False,
    )
    random = torch.Generator().manual_seed(1)
    for rate in (1e-2, 3e-2, 1e-3):
        for group in reference.param_groups:
            group["lr"] = rate
        for name in ours:
            ours[name].grad = torch.randn(ours[name].shape, generator=random)
            theirs[name].grad = ours[name].grad.clone()
        optimizer.step(rate)
        reference.step()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])
    assert optimizer.steps == 3


def test_tensors_are_all_that_it_remembers():
    one, other = parameters(), parameters()
    first, second = AdamW(one.items(), (0.9, 0.999), 0.1), AdamW(other.items(), (0.9, 0.999), 0.1)

    def step(optimizer: AdamW, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        for value in optimizer.parameters.values():
            value.grad = torch.randn(value.shape, generator=random)
        optimizer.step(1e-2)

    step(first, 0)
    with torch.no_grad():
        for name, value in second.tensors().items():
            value.copy_(first.tensors()[name])
        for name, value in other.items():
            value.copy_(one[name])
    step(first, 1)
    step(second, 1)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_training_does_not_load_pytorchs_compiler():
    code = """
import sys, torch
from digitmlp import train
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.split import Batch
config = TrainConfig(epochs=1, batch_size=8)
training = train.start(ModelConfig(hidden=(4,)), config, torch.device("cpu"))
few = Batch(torch.zeros(16, 784, dtype=torch.uint8), torch.arange(16) % 10)
list(train.fit(training, few, few, config))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
