"""Digits made of strokes, as other hands than MNIST's write them.

There, from American hands, a one is seldom more than a stroke, a seven seldom has a bar, and a five
seldom has a square neck or a bowl that curls in. Every function of a digit returns points (count,
strokes, POINTS, 2), x to the right and y down, that reach about from -1 to 1; `draw` scales them.
"""

import math

import torch
from torch import Tensor

from digitmlp.strokes import POINTS, draw, drawing, straight


def redraw(
    images: Tensor, labels: Tensor, share: float, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return images (B, 784), float32, a share of whose digits in HANDS is drawn anew, and the
    numbers of those rows.
    """
    chosen = drawing(random)(len(labels)) < share
    rows = [(chosen & (labels == digit)).nonzero()[:, 0] for digit in HANDS]
    strokes = [make(len(own), random) for make, own in zip(HANDS.values(), rows, strict=True)]
    drawn = torch.cat([draw(points.flatten(1, 2), random) for points in strokes])
    redrawn = torch.cat(rows)
    return images.float().index_copy(0, redrawn, drawn), redrawn


def zeros(count: int, random: torch.Generator) -> Tensor:
    """A loop, round to square, narrow to wide: a superellipse, in two strokes."""
    chance = drawing(random)
    circle = _arc(torch.zeros_like(chance(count, 1)), 2 * math.pi)
    power = 2 * 4 ** chance(count, 1, 1) ** 2
    circle /= circle.abs().pow(power).sum(2, keepdim=True).pow(1 / power)
    circle[..., 0] *= 0.4 + 0.5 * chance(count, 1)
    return circle.view(count, 2, POINTS, 2)


def ones(count: int, random: torch.Generator) -> Tensor:
    """A stem, an upstroke to its top, perhaps a foot."""
    chance = drawing(random)
    top = _points(0.3 * (chance(count) - 0.3), -1)
    foot = _points(0.6 * (chance(count) - 0.4), 1)
    angle = math.radians(15) + math.radians(40) * chance(count)  # between upstroke and stem
    # A long upstroke stays close to the stem: far from it, it would be the bar of a seven.
    length = (0.4 + 1.4 * chance(count)) * (1.2 - angle / math.radians(90))
    upstroke = top + length[:, None] * _points(-angle.sin(), angle.cos())
    wide = _points(0.25 + 0.6 * chance(count), 0.3 * (chance(count) - 0.5))
    wide *= chance(count, 1) < 0.3  # else no foot
    return _lines((top, foot), (upstroke, top), (foot - wide, foot + wide))


def fours(count: int, random: torch.Generator) -> Tensor:
    """Down to a corner, across, and the stem: closed at the top, open, or without the upper half
    of the stem.
    """
    chance = drawing(random)
    form, level = chance(count), 0.1 + 0.4 * chance(count)  # of the bar
    is_closed, is_half = form < 0.3, form > 0.8
    crossing, lean = 0.15 + 0.35 * chance(count), 0.3 * (chance(count) - 0.3)
    top = torch.where(is_closed, -1, -1 + 0.8 * chance(count))
    top = torch.where(is_half, level, top)
    stem = _points(crossing + lean * (level - top) / 2, top)
    foot = _points(crossing - lean * (1 - level) / 2, 1)
    aside = chance(count) - 0.6
    start = _points(torch.where(is_half, 0.6 * aside + 0.4, 0.4 * aside), -1)
    start = torch.where(is_closed[:, None], stem, start)
    corner = _points(-0.4 - 0.35 * chance(count), level + 0.15 * (chance(count) - 0.5))
    beyond = torch.where(is_half, 0, 0.05 + 0.45 * chance(count))
    return _lines((start, corner), (corner, _points(crossing + beyond, level)), (stem, foot))


def fives(count: int, random: torch.Generator) -> Tensor:
    """A top, a neck, and a bowl in two strokes that is open or curls in."""
    chance = drawing(random)
    corner = _points(torch.full_like(chance(count), -0.5), -1.05 + 0.15 * chance(count))
    right = _points(0.2 + 0.7 * chance(count), -1)
    first = math.radians(-170) + math.radians(50) * chance(count, 1)
    last = math.radians(110) + math.radians(115) * chance(count, 1)
    wide, high = 0.35 + 0.35 * chance(count, 1), 0.4 + 0.2 * chance(count, 1)
    bowl = _arc(first, last - first) * torch.stack([wide, high], 2)
    neck = corner[:, :1] + 0.3 * (chance(count, 1) - 0.6)  # where it meets the bowl
    bowl += torch.stack([neck - bowl[:, :1, 0], 1 - high], 2)
    top_and_neck = _lines((corner, right), (corner, bowl[:, 0]))
    return torch.cat([top_and_neck, bowl.view(count, 2, POINTS, 2)], 1)


def sevens(count: int, random: torch.Generator) -> Tensor:
    """A top, a stem, mostly a bar, perhaps a serif."""
    chance = drawing(random)
    half = 0.45 + 0.35 * chance(count)
    left, right = _points(-half, -1.1 + 0.25 * chance(count)), _points(half, -1)
    foot = _points(0.6 * (chance(count) - 0.6), 1)
    middle = right.lerp(foot, 0.35 + 0.4 * chance(count, 1))
    bar = _points(0.25 + 0.3 * chance(count), 0.6 * (chance(count) - 0.55))
    bar *= chance(count, 1) < 0.75  # else no bar
    drop = _points(0.1 * (chance(count) - 0.5), 0.15 + 0.25 * chance(count))
    drop *= chance(count, 1) < 0.3  # else no serif
    return _lines((left, right), (right, foot), (middle - bar, middle + bar), (left, left + drop))


HANDS = {0: zeros, 1: ones, 4: fours, 5: fives, 7: sevens}


def _points(x: Tensor, y: Tensor | float) -> Tensor:
    """Return points (count, 2) of x (count,) and y, likewise or the same for all."""
    return torch.stack([x, torch.as_tensor(y, device=x.device).expand_as(x)], 1)


def _lines(*ends: tuple[Tensor, Tensor]) -> Tensor:
    """Return points (count, lines, POINTS, 2) of straight lines between ends (count, 2)."""
    return straight(torch.stack([torch.stack(pair, 1) for pair in ends], 1))


def _arc(first: Tensor, span: Tensor | float) -> Tensor:
    """Return points (count, 2 · POINTS, 2) of a circle, from first (count, 1) on, in radians."""
    angle = first + span * torch.linspace(0, 1, 2 * POINTS, device=first.device)
    return torch.stack([angle.cos(), angle.sin()], 2)
