"""Deformed copies of training images, a batch at a time, on the device that trains."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.config import AugmentConfig
from digitmlp.digits import SIDE


class Augment:
    """Deforms images (B, 784): each pixel is fetched from a displaced place, bilinearly.

    A displacement field is a sum of few fixed fields, three that make it affine and smooth bumps
    on a coarse grid that make it elastic (Simard et al. 2003), with random coefficients; so the
    fields of a whole batch are one matrix product.
    """

    def __init__(self, config: AugmentConfig, device: torch.device) -> None:
        self.config = config
        line = torch.linspace(-1, 1, SIDE)
        y, x = torch.meshgrid(line, line, indexing="ij")
        knots = torch.linspace(-1, 1, config.elastic_grid)
        spread = 2 / (config.elastic_grid - 1)  # a knot's bump reaches about its neighbours
        bump = torch.exp(-(((line[:, None] - knots) / spread) ** 2))
        bumps = torch.einsum("ya,xb->yxab", bump, bump).flatten(2)  # (28, 28, knots)
        bumps = bumps / bumps.square().sum(2, keepdim=True).sqrt()  # unit variance everywhere
        affine = torch.stack([x, y, torch.ones_like(x)], 2)
        self.basis = torch.cat([affine, bumps], 2).flatten(0, 1).T.contiguous().to(device)

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Return the images, (B, 784), deformed, as float32 with the same ink scale."""
        config, batch, device = self.config, len(images), images.device

        def draw(largest: float) -> Tensor:
            return (torch.rand(batch, device=device, generator=random) * 2 - 1) * largest

        angle, shear = draw(math.radians(config.rotation)), draw(config.shear)
        wide, high = 1 + draw(config.scale), 1 + draw(config.scale)
        cos, sin = torch.cos(angle), torch.sin(angle)
        pixel = 2 / (SIDE - 1)  # a pixel, where the image reaches from -1 to 1
        across = torch.stack([wide * cos, shear - high * sin, draw(config.shift * pixel)], 1)
        down = torch.stack([wide * sin, high * cos, draw(config.shift * pixel)], 1)
        affine = torch.stack([across, down], 1)  # (B, 2, 3)
        bumps = torch.randn(batch, 2, len(self.basis) - 3, device=device, generator=random)
        fields = torch.cat([affine, bumps * (config.elastic * pixel)], 2) @ self.basis
        grid = fields.view(batch, 2, SIDE, SIDE).permute(0, 2, 3, 1)
        pictures = images.float().view(batch, 1, SIDE, SIDE)
        return F.grid_sample(pictures, grid, align_corners=True).view(batch, -1)
