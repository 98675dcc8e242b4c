"""The multilayer perceptron, and the committee of several trained side by side."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from digitmlp.config import ModelConfig
from digitmlp.products import of_weights

Layers = list[
    tuple[Tensor, Tensor]
]  # weight (members, inputs, outputs), bias (members, 1, outputs)


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

    def accept(self, x: Tensor, gradient: Tensor) -> None:
        """Store the gradients of weight and bias, given that of the output for the input x."""
        self.weight.grad = of_weights(x, gradient).to(self.weight.dtype)
        self.bias.grad = gradient.sum(1, keepdim=True, dtype=self.bias.dtype)

    def extra_repr(self) -> str:
        return "{}, {} to {}".format(*self.weight.shape)


class BatchNorm(nn.Module):
    """Batch normalization of each member's features (Ioffe and Szegedy 2015): (members, B, width).

    PyTorch's defaults: running averages move by 0.1 a step, 1e-5 is added to the variance.
    """

    pace, epsilon = 0.1, 1e-5
    mean: Tensor
    variance: Tensor

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.members = members
        self.gain = nn.Parameter(torch.ones(members * width))
        self.bias = nn.Parameter(torch.zeros(members * width))
        self.register_buffer("mean", torch.zeros(members * width))
        self.register_buffer("variance", torch.ones(members * width))

    def forward(self, x: Tensor) -> Tensor:
        state = (self.mean, self.variance, self.gain, self.bias)
        return self._apart(F.batch_norm(self._rows(x), *state, self.training, self.pace))

    def normalize(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what `forward` does in training, and what `accept` needs."""
        rows = self._rows(x)
        state = (self.gain, self.bias, self.mean, self.variance)
        y, *moments = torch.native_batch_norm(rows, *state, True, self.pace, self.epsilon)
        return self._apart(y), (rows, *moments)

    def accept(self, gradient: Tensor, kept: tuple[Tensor, ...]) -> Tensor:
        """Store the gradients of gain and bias, given that of the output; return the input's."""
        rows, mean, deviation = kept
        of_input, of_gain, of_bias = torch.ops.aten.native_batch_norm_backward(
            self._rows(gradient), rows, self.gain, None, None, mean, deviation, True,
            self.epsilon, (True, True, True),
        )  # fmt: skip
        self.gain.grad, self.bias.grad = of_gain, of_bias
        return self._apart(of_input)

    def _rows(self, x: Tensor) -> Tensor:
        """Return (members, B, width) as (B, members · width); of one member, not copied."""
        return x[0] if self.members == 1 else x.transpose(0, 1).reshape(x.shape[1], -1)

    def _apart(self, rows: Tensor) -> Tensor:
        # Of one member, in the strides of a contiguous tensor, without which products copy it.
        if self.members == 1:
            return rows[None]
        return rows.view(len(rows), self.members, -1).transpose(0, 1)

    def extra_repr(self) -> str:
        return f"{self.members}, {len(self.gain) // self.members}"


class MLP(nn.Module):
    """Images (B, inputs), any dtype, to logits (members, B, outputs).

    It scales the images itself, so that nobody else has to know how.
    """

    def __init__(self, config: ModelConfig, random: torch.Generator) -> None:
        super().__init__()
        self.config = config
        widths = (config.inputs, *config.hidden, config.outputs)
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

    def layers(self) -> list[tuple[Linear, BatchNorm | None]]:
        """Return the linear layers in order, each with the BatchNorm that follows it, if any."""
        norms = [norm if isinstance(norm, BatchNorm) else None for norm in self.norms]
        linears = [linear for linear in self.linears if isinstance(linear, Linear)]
        return list(zip(linears, [*norms, None], strict=True))

    def features(self, images: Tensor) -> Tensor:
        """Return the scaled images as float32 (members, B, inputs); members share the memory."""
        x = images.float() * self.config.scale
        return x.expand(self.config.members, *x.shape)

    def forward(self, images: Tensor) -> Tensor:
        x = self.features(images)
        *hidden, (output, _) = self.layers()
        for linear, norm in hidden:
            z = linear(x)
            x = F.leaky_relu(norm(z) if norm else z, self.config.negative_slope)
        logits: Tensor = output(x)
        return logits

    def folded(self) -> Layers:
        """Return each layer's weight (members, inputs, outputs) and bias (members, 1, outputs),
        float64, with the scale and every BatchNorm folded in: what is left is linear layers with
        a (leaky) ReLU between them: `chain`.
        """
        layers = []
        scale = self.config.scale
        for linear, norm in self.layers():
            weight, bias = linear.weight.detach().double() * scale, linear.bias.detach().double()
            scale = 1.0  # of the first layer only
            if norm:
                gain, shift, mean, variance = (
                    value.detach().double().view(len(weight), 1, -1)
                    for value in (norm.gain, norm.bias, norm.mean, norm.variance)
                )
                gain = gain / (variance + norm.epsilon).sqrt()
                weight, bias = weight * gain, (bias - mean) * gain + shift
            layers.append((weight.cpu(), bias.cpu()))
        return layers

    def first_layer(self) -> Tensor:
        """Return the first member's first weights (outputs, inputs)."""
        (first, _), *_ = self.layers()
        return first.weight.detach()[0].T.cpu()

    def parameter_count(self) -> int:
        """Return the number of trained numbers, all members together."""
        return sum(parameter.numel() for parameter in self.parameters())


def chain(layers: Layers, images: Tensor, slope: float) -> Tensor:
    """Return logits (members, B, outputs) of images (B, inputs), in the type of the layers."""
    (first, _), *_ = layers
    x = images.expand(len(first), *images.shape)
    for index, (weight, bias) in enumerate(layers):
        x = F.leaky_relu(x, slope) if index else x
        x = torch.baddbmm(bias, x, weight)
    return x


def committee(logits: Tensor, classes: int) -> Tensor:
    """Return log probabilities (B, classes): of the mean of the members' (members, B, outputs)."""
    return logits[..., :classes].log_softmax(-1).logsumexp(0) - math.log(len(logits))


def score(logits: Tensor, classes: int) -> Tensor:
    """Return (B,), the higher, the more like a digit: log Σ exp of the classes' logits, less the
    logit for what is none of them, where there is one; mean of the members.

    With that output these are log odds; without, the free energy of Liu et al., "Energy-based
    Out-of-distribution Detection", 2020.
    """
    scores = logits[..., :classes].logsumexp(-1)
    if logits.shape[-1] > classes:
        scores = scores - logits[..., classes]
    return scores.mean(0)
