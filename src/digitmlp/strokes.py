"""Strokes drawn on images, and digits of strokes: ones and sevens as they are written in Europe.

In MNIST, from American hands, a one is seldom more than a stroke and a seven seldom has a bar.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from digitmlp.digits import SIDE

INK = 255.0
POINTS = 32  # drawn of a stroke: so many that none is dotted


def drawing(random: torch.Generator) -> Callable[..., Tensor]:
    """Return a function that draws numbers from 0 to 1, of the shape given."""
    return lambda *shape: torch.rand(shape, device=random.device, generator=random)


def straight(ends: Tensor) -> Tensor:
    """Return points (…, POINTS, 2) of the lines between ends (…, 2, 2)."""
    t = torch.linspace(0, 1, POINTS, device=ends.device)[:, None]
    return ends[..., :1, :].lerp(ends[..., 1:, :], t)


def draw(points: Tensor, random: torch.Generator) -> Tensor:
    """Return images (n, 784), ink 255, of points (n, points, 2) that lie close, x and y.

    Scaled to a box of mostly 20 pixels, with thin to thick strokes whose edges are hard to soft.
    """
    count, chance = len(points), drawing(random)
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    size = (high - low).amax(2, keepdim=True).clamp_min(0.1)
    usual, any_size = 17 + 3 * chance(count, 1, 1), 14 + 14 * chance(count, 1, 1)
    box = torch.where(chance(count, 1, 1) < 0.7, usual, any_size)
    points = (points - (low + high) / 2) * (box / size) + (SIDE - 1) / 2
    radius = 0.6 + 1.2 * chance(count, 1)
    radius = torch.where(chance(count, 1) < 0.15, 2 * radius, radius)
    line = torch.arange(SIDE, device=points.device, dtype=torch.float32)
    pixels = torch.cartesian_prod(line, line).flip(1)  # (784, 2): x, y
    # The squared distance of each pixel to the nearest point, |a|² - 2ab + |b|².
    crossed = points @ pixels.T
    distances = pixels.square().sum(1) - 2 * crossed + points.square().sum(2, keepdim=True)
    nearest = distances.amin(1).clamp_min(0).sqrt()
    soft = 1 + 1.5 * chance(count, 1)
    return ((radius - nearest) / soft + 0.5).clamp(0, 1) * (0.75 + 0.25 * chance(count, 1)) * INK


def redraw(
    images: Tensor, labels: Tensor, share: float, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return images (B, 784), float32, a share of whose ones and sevens is drawn anew, and the
    numbers of those rows.
    """
    chosen = drawing(random)(len(labels)) < share
    ones = (chosen & (labels == 1)).nonzero()[:, 0]
    sevens = (chosen & (labels == 7)).nonzero()[:, 0]
    rows = torch.cat([ones, sevens])
    strokes = [_ones(len(ones), random), _sevens(len(sevens), random)]
    drawn = torch.cat([draw(points.flatten(1, 2), random) for points in strokes])
    return images.float().index_copy(0, rows, drawn), rows


def _ones(count: int, random: torch.Generator) -> Tensor:
    """Return points (count, 3, POINTS, 2): a stem, an upstroke to its top, perhaps a foot."""
    chance = drawing(random)
    top = torch.stack([0.3 * (chance(count) - 0.3), -torch.ones(count, device=random.device)], 1)
    foot = torch.stack([0.3 * (chance(count) - 0.5), torch.ones(count, device=random.device)], 1)
    angle = math.radians(15) + math.radians(40) * chance(count)  # between upstroke and stem
    # A long upstroke stays close to the stem: far from it, it would be the bar of a seven.
    length = (0.4 + 1.2 * chance(count)) * (1.2 - angle / math.radians(90))
    upstroke = top + length[:, None] * torch.stack([-torch.sin(angle), torch.cos(angle)], 1)
    has_foot = (chance(count, 1) < 0.25).float()
    wide = torch.stack([0.25 + 0.45 * chance(count), 0.1 * (chance(count) - 0.5)], 1) * has_foot
    ends = [(top, foot), (upstroke, top), (foot - wide, foot + wide)]
    return straight(torch.stack([torch.stack(pair, 1) for pair in ends], 1))


def _sevens(count: int, random: torch.Generator) -> Tensor:
    """Return points (count, 4, POINTS, 2): a top, a stem, mostly a bar, perhaps a serif."""
    chance = drawing(random)
    level = -torch.ones(count, device=random.device)
    half = 0.45 + 0.35 * chance(count)
    left = torch.stack([-half, level + 0.25 * (chance(count) - 0.4)], 1)
    right = torch.stack([half, level], 1)
    foot = torch.stack([0.6 * (chance(count) - 0.6), -level], 1)
    middle = right.lerp(foot, 0.4 + 0.25 * chance(count, 1))
    has_bar = (chance(count, 1) < 0.75).float()
    bar = torch.stack([0.25 + 0.3 * chance(count), 0.3 * (chance(count) - 0.6)], 1) * has_bar
    has_serif = (chance(count, 1) < 0.3).float()
    drop = torch.stack([0.1 * (chance(count) - 0.5), 0.15 + 0.25 * chance(count)], 1) * has_serif
    ends = [(left, right), (right, foot), (middle - bar, middle + bar), (left, left + drop)]
    return straight(torch.stack([torch.stack(pair, 1) for pair in ends], 1))
