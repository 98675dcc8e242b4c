"""Where on the image each unit of the first layer begins to look."""

import numpy as np
import torch
from torch import Tensor

from digitmlp.digits import SIDE
from digitmlp.errors import ConfigError
from digitmlp.model import Linear

MARGIN = 2.5  # pixels at the rim without places: little ink gets there; no other value was tried


@torch.no_grad()
def begin_local(layer: Linear, spread: float, random: torch.Generator) -> None:
    """Let the first weights of each unit fall off around a place of its own on the image.

    layer   its weights, float32 (members, 784, units) on the CPU, are changed; each member's units
            have other places
    spread  standard deviation, pixels, of the bell as which they fall off

    The mean square of each unit's weights stays. Only the beginning is local: training moves every
    weight. Wide networks that begin so end with fewer errors than those to which neighbouring
    pixels are strangers (EXPERIMENTS.md). D'Ascoli et al., "Finding the needle in the haystack with
    convolutions", 2019, begin as a whole convolutional network and find the same.
    Raises ConfigError where the layer's inputs are not the pixels of an image.
    """
    members, inputs, units = layer.weight.shape
    if inputs != SIDE**2:
        raise ConfigError(
            f"local {spread} with {inputs} inputs: places are on images of {SIDE}×{SIDE} pixels; "
            "expected those, or local 0"
        )
    places = MARGIN + torch.rand(members, units, 2, generator=random) * (SIDE - 1 - 2 * MARGIN)
    near = nearness(places, spread)
    size = layer.weight.square().mean(1, keepdim=True)
    layer.weight.mul_(near)
    layer.weight.mul_((size / layer.weight.square().mean(1, keepdim=True)).sqrt())


def nearness(places: Tensor, spread: float) -> Tensor:
    """Return exp(-d² / 2 spread²), float32 (members, 784, units), for d pixels from pixel to place.

    places  (members, units, 2): row and column, in pixels from the centre of the first one
    """
    line = np.arange(SIDE)[:, None]
    # PyTorch's own exp gives, on some processors, other last bits from run to run.
    down, across = (
        torch.from_numpy(np.exp(np.square(line - place[:, None]) / (-2 * spread**2))).float()
        for place in np.moveaxis(places.double().numpy(), 2, 0)
    )  # (members, 28, units)
    return (down[:, :, None] * across[:, None]).flatten(1, 2)
