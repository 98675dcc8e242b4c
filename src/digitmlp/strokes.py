"""Strokes drawn on images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.digits import SIDE

INK = 255.0
POINTS = 48  # drawn of a stroke: so many that few are dotted
PRESSURE, PRESSES = 0.6, 7  # by how much of itself the pen's radius changes, at so many places


def drawing(random: torch.Generator) -> Callable[..., Tensor]:
    """Return a function that draws numbers from 0 to 1, of the shape given."""
    return lambda *shape: torch.rand(shape, device=random.device, generator=random)


def straight(ends: Tensor) -> Tensor:
    """Return points (…, POINTS, 2) of the lines between ends (…, 2, 2)."""
    t = torch.linspace(0, 1, POINTS, device=ends.device)[:, None]
    return ends[..., :1, :].lerp(ends[..., 1:, :], t)


def draw(points: Tensor, random: torch.Generator) -> Tensor:
    """Return images (n, 784), ink 255, of points (n, points, 2) that lie close, x and y.

    Scaled to a box of mostly 20 pixels, with thin to thick strokes, even and uneven ones, whose
    edges are hard to soft.
    """
    count, chance = len(points), drawing(random)
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    size = (high - low).amax(2, keepdim=True).clamp_min(0.1)
    usual, any_size = 17 + 3 * chance(count, 1, 1), 14 + 14 * chance(count, 1, 1)
    box = torch.where(chance(count, 1, 1) < 0.7, usual, any_size)
    points = (points - (low + high) / 2) * (box / size) + (SIDE - 1) / 2
    radius = 0.6 + 1.2 * chance(count, 1)
    radius = torch.where(chance(count, 1) < 0.15, 2 * radius, radius)
    # Along all points in their order: of a stroke that is given several times the widest shows.
    presses = 2 * chance(count, 1, PRESSES) - 1
    along = F.interpolate(presses, points.shape[1], mode="linear", align_corners=True).mT
    radii = radius[:, None] * (1 + PRESSURE * chance(count, 1, 1) * along)
    line = torch.arange(SIDE, device=points.device, dtype=torch.float32)
    pixels = torch.cartesian_prod(line, line).flip(1)  # (784, 2): x, y
    # The squared distance of each pixel a to the nearest point b, |a|² + min(|b|² - 2ab): a point
    # of another radius being so much nearer or farther that its edge is where it belongs.
    squares = points.square().sum(2, keepdim=True) + radius[:, None] ** 2 - radii**2
    of_points = torch.cat([squares, -2 * points], 2)
    of_pixels = F.pad(pixels, (1, 0), value=1.0)  # 1, x, y
    nearest = pixels.square().sum(1) + (of_points @ of_pixels.T).amin(1)
    nearest = nearest.clamp_min(0).sqrt()
    soft = 1 + 1.5 * chance(count, 1)
    return ((radius - nearest) / soft + 0.5).clamp(0, 1) * (0.75 + 0.25 * chance(count, 1)) * INK
