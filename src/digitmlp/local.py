"""Where on the image each unit of the first layer begins to look."""

import numpy as np
import torch
from torch import Tensor

from digitmlp.digits import SIDE
from digitmlp.errors import ConfigError
from digitmlp.model import Linear

MARGIN = 2.5  # pixels, where nothing is to be seen: digits fill 20×20 of 28×28


@torch.no_grad()
def begin_local(layer: Linear, spread: float, random: torch.Generator) -> None:
    """Let the first weights of each unit fall off around a place of its own on the image.

    As a bell does whose standard deviation is `spread` pixels; their mean square stays. Only the
    beginning is local: training moves every weight. A network that begins so ends with fewer
    errors than one whose pixels begin as strangers to each other, as do those that begin as
    convolutions (d'Ascoli et al., "Finding the needle in the haystack with convolutions", 2019).
    Raises ConfigError where the layer's inputs are not the pixels of an image.
    """
    members, inputs, units = layer.weight.shape
    if inputs != SIDE**2:
        raise ConfigError(f"local {spread} with {inputs} inputs: needs images of {SIDE}×{SIDE}")
    places = MARGIN + torch.rand(members, units, 2, generator=random) * (SIDE - 1 - 2 * MARGIN)
    near = nearness(places, spread)
    size = layer.weight.square().mean(1, keepdim=True)
    layer.weight.mul_(near)
    layer.weight.mul_((size / layer.weight.square().mean(1, keepdim=True)).sqrt())


def nearness(places: Tensor, spread: float) -> Tensor:
    """Return (members, 784, units): 1 at the place (members, units, 2) of a unit, 0 far from it."""
    line = np.arange(SIDE)[:, None]
    # PyTorch's own exp gives, on some processors, other last bits from run to run.
    down, across = (
        torch.from_numpy(np.exp(np.square(line - place[:, None]) / (-2 * spread**2))).float()
        for place in np.moveaxis(places.double().numpy(), 2, 0)
    )  # (members, 28, units)
    return (down[:, :, None] * across[:, None]).flatten(1, 2)
