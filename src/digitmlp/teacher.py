"""A trained network whose answers another one learns (Hinton et al. 2015)."""

import torch
from torch import Tensor

from digitmlp.model import MLP, chain, committee


class Teacher:
    """Gives the probabilities that it wants a student to give.

    For images as a network is trained on them, BatchNorm, scaling and committee included.
    """

    def __init__(self, network: MLP, device: torch.device, products: torch.dtype) -> None:
        self.config, self.products = network.config, products
        self.layers = [
            (weight.to(device, products), bias.to(device, products))
            for weight, bias in network.folded()
        ]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities float32 (B, classes) of images (B, inputs)."""
        logits = chain(self.layers, images.to(self.products), self.config.negative_slope).float()
        return committee(logits, self.config.classes).exp()
