"""The multilayer perceptron, and the committee of several trained side by side."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from digitmlp.config import ModelConfig


class Linear(nn.Module):
    """A linear layer for each member: (members, B, inputs) to (members, B, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int, random: torch.Generator) -> None:
        super().__init__()
        # PyTorch's default for nn.Linear: uniform within 1/√inputs, for weight and bias alike.
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(
            torch.empty(members, inputs, outputs).uniform_(-bound, bound, generator=random)
        )
        self.bias = nn.Parameter(
            torch.empty(members, 1, outputs).uniform_(-bound, bound, generator=random)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)

    def extra_repr(self) -> str:
        return "{}, {} to {}".format(*self.weight.shape)


class BatchNorm(nn.Module):
    """Batch normalization of each member's features (Ioffe and Szegedy 2015): (members, B, width).

    PyTorch's defaults: running averages move by 0.1 a step, 1e-5 is added to the variance.
    """

    epsilon = 1e-5
    mean: Tensor
    variance: Tensor

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))
        self.register_buffer("mean", torch.zeros(members, width))
        self.register_buffer("variance", torch.ones(members, width))

    def forward(self, x: Tensor) -> Tensor:
        members, batch, width = x.shape
        rows = x.transpose(0, 1).reshape(batch, members * width)  # every member's features a row
        rows = F.batch_norm(
            rows,
            self.mean.view(-1),
            self.variance.view(-1),
            self.gain.view(-1),
            self.bias.view(-1),
            self.training,
            momentum=0.1,
            eps=self.epsilon,
        )
        return rows.view(batch, members, width).transpose(0, 1)

    def extra_repr(self) -> str:
        return "{}, {}".format(*self.gain.shape)


class MLP(nn.Module):
    """Images (B, inputs), any dtype, to logits (members, B, classes).

    It scales the images itself, so that nobody else has to know how.
    """

    def __init__(self, config: ModelConfig, random: torch.Generator) -> None:
        super().__init__()
        self.config = config
        widths = (config.inputs, *config.hidden, config.classes)
        self.linears = nn.ModuleList(
            Linear(config.members, inputs, outputs, random)
            for inputs, outputs in itertools.pairwise(widths)
        )
        normed = {"none": 0, "last": 1, "every": len(config.hidden)}[config.norm]
        plain = len(config.hidden) - min(normed, len(config.hidden))
        self.norms = nn.ModuleList(
            nn.Identity() if layer < plain else BatchNorm(config.members, width)
            for layer, width in enumerate(config.hidden)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = images.float() * self.config.scale
        x = x.expand(self.config.members, *x.shape)  # (members, B, inputs), no copy
        *hidden, output = self.linears
        for linear, norm in zip(hidden, self.norms, strict=True):
            x = F.leaky_relu(norm(linear(x)), self.config.negative_slope)
        logits: Tensor = output(x)
        return logits

    def folded(self) -> list[tuple[Tensor, Tensor]]:
        """Return each layer's weight (members, inputs, outputs) and bias (members, 1, outputs),
        float64, with the scale and every BatchNorm folded in: what is left is linear layers with
        a (leaky) ReLU between them.
        """
        layers = []
        for index, linear in enumerate(self.linears):
            assert isinstance(linear, Linear)
            weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
            if index == 0:
                weight = weight * self.config.scale
            norm = self.norms[index] if index < len(self.norms) else None
            if isinstance(norm, BatchNorm):
                gain = norm.gain.detach().double() / (norm.variance.double() + norm.epsilon).sqrt()
                weight = weight * gain[:, None]
                bias = (bias - norm.mean.double()[:, None]) * gain[:, None]
                bias = bias + norm.bias.detach().double()[:, None]
            layers.append((weight.cpu(), bias.cpu()))
        return layers

    def first_layer(self) -> Tensor:
        """Return the first member's first weights (outputs, inputs)."""
        first = self.linears[0]
        assert isinstance(first, Linear)
        return first.weight.detach()[0].T.cpu()

    def parameter_count(self) -> int:
        """Return the number of trained numbers, all members together."""
        return sum(parameter.numel() for parameter in self.parameters())


def committee(logits: Tensor) -> Tensor:
    """Return log probabilities (B, classes): of the mean of the members' (members, B, classes)."""
    return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))


def score(logits: Tensor) -> Tensor:
    """Return (B,), the higher, the more like a digit: log Σ exp of the logits, mean of members.

    The free energy of Liu et al., "Energy-based Out-of-distribution Detection", 2020.
    """
    return logits.logsumexp(-1).mean(0)
