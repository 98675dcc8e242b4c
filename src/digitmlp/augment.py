"""Changed copies of training images, a batch at a time, on the device that trains."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.config import AugmentConfig
from digitmlp.digits import SIDE
from digitmlp.strokes import INK

PIXEL = 2 / (SIDE - 1)  # where the image reaches from -1 to 1
FINE = 2 * SIDE - 1  # pixels a side of an image with one more between any two
# How many times as much some images are turned, scaled and sheared, and shifted, as others.
FAR, FAR_SHIFT = 4.0, 7.0
MOTIONS = [(0, 1), (1, 1), (1, 0), (1, -1)]  # down, right
MOVED = range(-3, 4)  # pixels
PATCHES = 2  # rectangles painted over (random erasing, Zhong et al. 2017)


class Augment:
    """Deforms images (B, 784): each pixel is fetched from a displaced place.

    Bilinearly, but from an image twice as fine, which cubic convolution gives: from the image
    itself all strokes would come out softer than those that the network will be shown.

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
        self.places = torch.arange(SIDE, device=device)
        pixels = torch.eye(SIDE).view(SIDE, 1, 1, SIDE)
        finer = F.interpolate(pixels, (1, FINE), mode="bicubic", align_corners=True)
        self.finer = finer.view(SIDE, FINE).to(device)

    def __call__(self, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the images (B, 784) as float32 with the same ink scale: deformed and spoiled, as
        the network is shown them, and deformed but a little, as a teacher is.
        """
        config, batch, device = self.config, len(images), images.device
        affine = self._affine(batch, random)
        bumps = torch.randn(batch, 2, len(self.basis) - 3, device=device, generator=random)
        bumps *= config.elastic * PIXEL
        pictures = self.finer.T @ images.float().view(batch, 1, SIDE, SIDE) @ self.finer
        clean = seen = self._deformed(pictures, affine, bumps)
        if config.far:
            is_far = torch.rand(batch, device=device, generator=random) < config.far
            rows = is_far.nonzero()[:, 0]
            farther = self._affine(len(rows), random, FAR, FAR_SHIFT)
            seen = seen.index_copy(0, rows, self._deformed(pictures[rows], farther, bumps[rows]))
        if config.thickness:
            seen = self._thickened(seen, random)
        if config.sharpness > 1:
            seen = self._sharpened(seen, random)
        if config.light or config.noise or config.blur or config.erase:
            is_spoiled = torch.rand(batch, device=device, generator=random) < config.spoiled
            rows = is_spoiled.nonzero()[:, 0]
            seen = seen.index_copy(0, rows, self._spoiled(seen[rows], random))
        return seen.view(batch, -1), clean.view(batch, -1)

    def _affine(
        self, batch: int, random: torch.Generator, far: float = 1.0, far_shift: float = 1.0
    ) -> Tensor:
        """Return random affine coefficients (B, 2, 3)."""
        config = self.config

        def draw(largest: float) -> Tensor:
            return (torch.rand(batch, device=random.device, generator=random) * 2 - 1) * largest

        angle, shear = draw(far * math.radians(config.rotation)), draw(far * config.shear)
        wide, high = torch.exp(draw(far * config.scale)), torch.exp(draw(far * config.scale))
        cos, sin = torch.cos(angle), torch.sin(angle)
        shift = far_shift * config.shift * PIXEL
        across = torch.stack([wide * cos, shear - high * sin, draw(shift)], 1)
        down = torch.stack([wide * sin, high * cos, draw(shift)], 1)
        return torch.stack([across, down], 1)

    def _deformed(self, pictures: Tensor, affine: Tensor, bumps: Tensor) -> Tensor:
        """Return pictures (B, 1, 28, 28) fetched from displaced places of finer ones."""
        fields = torch.cat([affine, bumps], 2) @ self.basis
        grid = fields.view(len(pictures), 2, SIDE, SIDE).permute(0, 2, 3, 1)
        return F.grid_sample(pictures, grid, align_corners=True).clamp(0, INK)

    def _thickened(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """Return pictures some way to the brightest, or the darkest, pixel around each."""
        ways = torch.rand(len(pictures), 1, 1, 1, device=pictures.device, generator=random) * 2 - 1
        ways *= self.config.thickness
        thick, thin = _highest_around(pictures), -_highest_around(-pictures)
        return torch.where(ways > 0, pictures.lerp(thick, ways), pictures.lerp(thin, -ways))

    def _sharpened(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """Return pictures, half of them with steeper edges, as where ink is there or not."""
        chance = torch.rand(len(pictures), 1, 1, 1, device=pictures.device, generator=random)
        steepness = self.config.sharpness ** (2 * chance - 1).clamp_min(0)
        return ((pictures - INK / 2) * steepness + INK / 2).clamp(0, INK)

    def _spoiled(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """Return pictures blurred, partly erased, on a raised ground, with noise: some of each."""
        config, device = self.config, pictures.device
        shape = (len(pictures), 1, 1, 1)

        def draw() -> Tensor:
            return torch.rand(shape, device=device, generator=random)

        if config.blur:
            mean = F.avg_pool2d(pictures, 3, stride=1, padding=1)
            pictures = pictures.lerp(mean, config.blur * draw())
            moving = self._in_motion(pictures)
            pictures = torch.where(
                draw() < 0.3, pictures.lerp(moving, config.blur * draw()), pictures
            )
        for _ in range(PATCHES if config.erase else 0):
            corners, sides = draw() * SIDE, draw() * config.erase * SIDE
            columns = (self.places >= corners) & (self.places < corners + sides)
            corners, sides = draw() * SIDE, draw() * config.erase * SIDE
            rows = (self.places >= corners) & (self.places < corners + sides)
            grey = INK * draw() * (draw() < 0.5)
            pictures = torch.where(columns & rows.mT, grey, pictures)
        if config.light:
            level = config.light * draw() * self._uneven(draw(), draw() * 2 * math.pi)
            pictures = pictures.lerp(torch.full_like(pictures, INK), level)
        if config.noise:
            noise = torch.randn(pictures.shape, device=device, generator=random)
            pictures = pictures + noise * (INK * config.noise * draw())
        return pictures.clamp(0, INK)

    def _uneven(self, slope: Tensor, angle: Tensor) -> Tensor:
        """Return light (B, 1, 28, 28), up to 1, that falls off evenly towards one side."""
        x, y = self.basis[:2].view(2, SIDE, SIDE)
        falling: Tensor = 1 - slope * (1 - (x * torch.cos(angle) + y * torch.sin(angle))) / 2
        return falling.clamp(0, 1)

    def _in_motion(self, pictures: Tensor) -> Tensor:
        """Return pictures blurred along one of few directions, each quarter of them along its own.

        In their order, which is random; so no number has to leave the device.
        """
        moving = torch.empty_like(pictures)
        for place, (down, right) in enumerate(MOTIONS):
            part = pictures[place :: len(MOTIONS)]
            steps = [part.roll((step * down, step * right), (2, 3)) for step in MOVED]
            moving[place :: len(MOTIONS)] = torch.stack(steps).mean(0)
        return moving


def _highest_around(pictures: Tensor) -> Tensor:
    """Return the highest of the nine pixels around each, ground beyond the edge.

    A tenth of the time of `max_pool2d`, which notes where it found each.
    """
    across = F.pad(pictures, (1, 1, 1, 1))
    across = torch.maximum(torch.maximum(across[..., :-2], across[..., 1:-1]), across[..., 2:])
    above, row, below = across[:, :, :-2], across[:, :, 1:-1], across[:, :, 2:]
    return torch.maximum(torch.maximum(above, row), below)
