"""Made-up images that are no digits, from which a network learns what to refuse.

They come from digits and from chance alone: digits turned, mirrored, laid over each other or
squeezed together, random strokes, bows, spots and noise. Nobody's letters, symbols or things are
among them, so that refusing those is not learned by heart.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.digits import SIDE
from digitmlp.strokes import INK, POINTS, draw, drawing, straight

# What still is a digit, or might be taken for another, when it is turned by 90°, mirrored or turned
# by 180°.
NOT_TURNED = (0, 6, 9)
NOT_MIRRORED = NOT_UPSIDE_DOWN = (0, 1, 2, 5, 6, 8, 9)

STROKES, CORNERS = 3, 4  # most strokes of a scribble, and points that bend each
TURNING = 1.5  # length of a stroke that turns, in distances between its ends
BOWS = 0.2  # share of the scribbles
SHARES = {"scribbles": 0.4, "misused": 0.3, "spots": 0.17}  # the rest is noise


def make_outliers(images: Tensor, labels: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Return (count, 784) float32 images, ink 255, that are no digits.

    images  float32 (B, 784), some of which are digits to misuse, and labels (B,)
    """
    parts = {kind: round(share * count) for kind, share in SHARES.items()}
    made = [
        scribbles(parts["scribbles"], random),
        misused(images, labels, parts["misused"], random),
        spots(parts["spots"], random),
    ]
    made.append(noise(count - sum(map(len, made)), random))
    return torch.cat(made)


def scribbles(count: int, random: torch.Generator) -> Tensor:
    """Return (count, 784): a few strokes each, straight or bent, some of them symmetric; or a
    single one that turns or bows so much that it is no 1.
    """
    chance = drawing(random)
    corners = chance(count, STROKES, CORNERS, 2) * 2 - 1
    t = torch.linspace(0, 1, POINTS, device=random.device)[:, None]
    bernstein = [math.comb(CORNERS - 1, k) * t**k * (1 - t) ** (CORNERS - 1 - k) for k in range(4)]
    bent = torch.cat(bernstein, 1) @ corners  # (count, STROKES, POINTS, 2): Bézier curves
    is_bent = chance(count, STROKES, 1, 1) < 0.5
    points = torch.where(is_bent, bent, straight(corners[:, :, :2]))
    for axis in (0, 1):  # the second stroke is the first one in a mirror
        mirror = torch.ones(2, device=random.device)
        mirror[axis] = -1
        mirrored = chance(count, 1, 1) < 0.15
        points[:, 1] = torch.where(mirrored, points[:, 0] * mirror, points[:, 1])
    wanted = 2 + (chance(count) < 0.5).long()  # strokes
    length = points[:, 0].diff(dim=1).norm(dim=-1).sum(1)
    turns = length > TURNING * (points[:, 0, 0] - points[:, 0, -1]).norm(dim=-1)
    wanted = torch.where(turns & (chance(count) < 0.5), 1, wanted)
    is_bow = chance(count) < BOWS
    points[:, 0] = torch.where(is_bow[:, None, None], bows(count, random), points[:, 0])
    wanted = torch.where(is_bow, 1, wanted)[:, None, None, None]
    order = torch.arange(STROKES, device=random.device)[:, None, None]
    points = torch.where(order < wanted, points, points[:, :1])
    return draw(points.flatten(1, 2), random)


def bows(count: int, random: torch.Generator) -> Tensor:
    """Return points (count, POINTS, 2) of bows, pointed to square, most of them nearly upright."""
    chance = drawing(random)
    along = torch.linspace(-math.pi / 2, math.pi / 2, POINTS, device=random.device).sin()
    along = along.expand(count, -1)
    depth, power = 0.3 + 0.7 * chance(count, 1), 1.5 * 4 ** chance(count, 1)
    across = depth * (1 - along.abs() ** power)
    tilt = torch.where(chance(count, 1) < 0.5, 0.7, 2 * math.pi) * (chance(count, 1) - 0.5)
    angle = tilt + math.pi * (chance(count, 1) < 0.5)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([across * cos - along * sin, across * sin + along * cos], -1)


def misused(images: Tensor, labels: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Return at most (count, 784): digits turned, mirrored, overlaid, or two in place of one."""
    third = -(-count // 3)
    down = _some(images, _none_of(labels, NOT_UPSIDE_DOWN), third // 3, random).rot90(2, (1, 2))
    aside = _some(images, _none_of(labels, NOT_TURNED), third - len(down), random)
    half = len(aside) // 2
    turned = [aside[:half].rot90(1, (1, 2)), aside[half:].rot90(-1, (1, 2)), down]
    mirrored = _some(images, _none_of(labels, NOT_MIRRORED), third, random).flip(2)
    all_rows = torch.arange(len(images), device=images.device)
    one, other = (_some(images, all_rows, third, random) for _ in range(2))
    over = torch.maximum(one[: third // 2].roll(-3, 2), other[: third // 2].roll(3, 2))
    left, right = (
        whole[third // 2 :].view(-1, 14, 2, 14, 2).mean((2, 4)) for whole in (one, other)
    )
    pair = torch.zeros_like(one[third // 2 :])
    pair[:, 7:21, 2:16] = left
    pair[:, 7:21, 12:26] = torch.maximum(pair[:, 7:21, 12:26], right)
    peaks = pair.amax((1, 2), keepdim=True).clamp_min(1)
    pair *= INK / peaks
    return torch.cat([*turned, mirrored, over, pair])[:count].flatten(1)


def spots(count: int, random: torch.Generator) -> Tensor:
    """Return (count, 784): areas with soft or sharp edges, even or uneven, some symmetric."""
    chance = drawing(random)
    areas, inks = torch.zeros(2, count, 1, SIDE, SIDE, device=random.device)
    grids = (3, 4, 6, 10)
    for place, grid in enumerate(grids):
        rows = slice(place, None, len(grids))
        coarse = chance(len(areas[rows]), 1, grid, grid)
        areas[rows] = F.interpolate(coarse, SIDE, mode="bicubic", align_corners=True)
        fine = chance(len(areas[rows]), 1, 28 // grid, 28 // grid)
        inks[rows] = F.interpolate(fine, SIDE, mode="bilinear", align_corners=True)
    is_even = chance(count, 1, 1, 1) < 0.5
    areas = torch.where(is_even, (areas + areas.flip(3)) / 2, areas)
    sharpness = 4 + 40 * chance(count, 1, 1, 1)
    areas = torch.sigmoid(sharpness * (areas - 0.3 - 0.4 * chance(count, 1, 1, 1)))
    inks = 1 - chance(count, 1, 1, 1) * inks
    drawn: Tensor = (areas * inks).clamp(0, 1).flatten(1) * INK
    return drawn


def noise(count: int, random: torch.Generator) -> Tensor:
    """Return (count, 784): independent pixels, even grey, or both, down to a blank image."""
    chance = drawing(random)
    ground = chance(count, 1) * (chance(count, 1) < 0.5)
    speckles = chance(count, SIDE * SIDE) ** (1 + 9 * chance(count, 1))
    is_sharp = chance(count, 1) < 0.3
    speckles = torch.where(is_sharp, (speckles > chance(count, 1)).float(), speckles)
    return (ground + chance(count, 1) * speckles).clamp(0, 1) * INK


def _some(images: Tensor, rows: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Return (count, 28, 28) of the images in these rows, drawn with repetition; none of none."""
    if len(rows) == 0:
        return images.new_zeros(0, SIDE, SIDE)
    drawn = torch.randint(len(rows), (count,), device=images.device, generator=random)
    return images[rows[drawn]].view(-1, SIDE, SIDE)


def _none_of(labels: Tensor, wrong: tuple[int, ...]) -> Tensor:
    return torch.isin(labels, torch.tensor(wrong, device=labels.device), invert=True).nonzero()[
        :, 0
    ]
