"""Ink and ground: what was drawn, whatever the light, the paper and the pen."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.components import find_components, outline

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

COARSE = 128  # pixels on the shorter side of the coarse copy in which light and paper are judged
WINDOWS = (3, 6, 16)  # radii, in coarse pixels, of windows that strokes may be narrower than
NEAR = 8  # coarse pixels, the surroundings of a stroke
NEARLY = 0.8  # share of the bends that a window need explain of what the best one does
FAR = 2  # coarse pixels from ink, where its edge has come to an end
# Places far from ink that are darker than paper, by this share of what ink is, are in a shadow if
# there are more of them than this share of those with ink.
SHADE, SHADED = 0.15, 0.02
LINES = 3  # fewer lines across are none of the paper's
MARGIN = 0.04  # of the picture's width, up to which they reach
BEND = 3  # pixels between a place and the sides that it is compared with
SNIPPET = 300  # a picture with no longer side has one ground, and no ruled lines
WEAK = 90  # ink that is part of a stroke
SEED = 1.28  # strength, in edge levels, that a stroke has somewhere
LOWEST = 0.35  # edge level of the faintest parts of a stroke, in edge levels near it
REACH = 3  # coarse pixels within which the strongest part of a stroke sets the level
# Where most pieces of ink have edges along so much of their outline, one with less is the rim of a
# shadow.
SHARP, SOFT = 0.9, 0.5
OUTLINE = 30  # pixels of outline that tell enough of a piece
FAINT = 6.0  # grey levels at a stroke's edge; less is noise


def find_ink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the ink of a picture, (h, w) grey or (h, w, 3) RGB: uint8 (h, w), 255 ink, 0 ground.

    Ink may be dark on light or light on dark. 128 is the edge of a stroke, half way between ink
    and ground as they are near that place.
    """
    grey = _grey(pixels)
    if min(grey.shape) <= 2 * BEND:
        return np.zeros(grey.shape, np.uint8)
    if max(grey.shape) > SNIPPET:
        grey = _evenly_lit(grey)
    edges = _edges(grey)
    if not _ink_is_dark(grey, edges):
        grey = 255 - grey
    strength = _ground(grey) - grey
    level = _edge_level(strength, edges)
    ink = _ink(strength, _faint_level(strength, level))
    if max(ink.shape) > SNIPPET:
        mask = ink >= WEAK
        lines = _ruled(mask)
        if lines.any():  # squared paper has lines down the page too
            ink[lines | _ruled(mask.T).T] = 0
    mask = ink >= WEAK
    found = find_components(mask)
    count = len(found) + 1
    seeds = strength >= SEED * level
    firm = np.bincount(found.labels[seeds], minlength=count) > 0
    if max(ink.shape) > SNIPPET:
        firm &= ~_soft(found.labels, outline(mask), edges > 0, firm)
    firm[0] = True
    ink[~firm[found.labels]] = 0
    return ink


def _soft(labels: NDArray[np.int32], rim: Mask, edges: Mask, firm: Mask) -> Mask:
    """Return (n,): which pieces have a soft outline where others' are sharp, as shadows have.

    In a picture that is out of focus, or where noise hides its edges, none.
    """
    length = np.bincount(labels[rim], minlength=len(firm))
    share = np.bincount(labels[rim & edges], minlength=len(firm)) / np.maximum(length, 1)
    told = firm & (length >= OUTLINE)
    if not told.any() or np.median(share[told]) < SHARP:
        return np.zeros_like(firm)
    soft: Mask = told & (share < SOFT)
    return soft


def _ink(strength: Floats, level: Floats) -> NDArray[np.uint8]:
    return ((strength / level - 0.5).clip(0, 1) * 255).astype(np.uint8)


def _faint_level(strength: Floats, level: Floats) -> Floats:
    """Return the level, lower along strokes that are fainter than others."""
    factor = _factor(strength.shape)
    height, width = strength.shape
    padded = np.pad(strength, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(len(padded) // factor, factor, -1, factor)
    peaks = _highest(blocks.max((1, 3)), REACH)
    half = _expanded(_blurred(peaks, REACH) * np.float32(0.5), strength.shape)
    return np.clip(half, LOWEST * level, level)


def _grey(pixels: NDArray[np.uint8]) -> Floats:
    grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    return grey.astype(np.float32)


def _ink_is_dark(grey: Floats, edges: Floats) -> bool:
    """Return whether the pixels that depart far from their surroundings do so to the dark side.

    In a snippet, from its frame; else from surroundings near and far, as a stroke may be thick and
    a shadow large, and most of all at sharp edges: a shadow has soft ones.
    """
    coarse = _coarse(grey)
    if max(grey.shape) <= SNIPPET:
        return bool(((coarse - np.median(_frame(coarse))) ** 3).sum() <= 0)
    weight = _highest(_coarse(edges), 1)
    skew = 0.0
    for radius in (NEAR, max(coarse.shape) // 8):
        cubes = (coarse - _blurred(coarse, radius)) ** 3 * weight
        skew += float(cubes.sum() / max(np.abs(cubes).sum(), 1e-9))
    return skew <= 0


def _evenly_lit(grey: Floats) -> Floats:
    """Return the picture as under even light: divided by a smooth surface through most pixels."""
    coarse = _coarse(grey)[::2, ::2]  # enough for so smooth a surface
    y, x = (np.linspace(-1, 1, side) for side in coarse.shape)
    terms = [np.multiply.outer(y**i, x**j) for i in range(5) for j in range(5 - i)]
    surface = np.stack(terms).reshape(len(terms), -1)
    values = coarse.ravel()
    paper = np.ones(len(values), bool)
    for _ in range(4):
        basis = surface[:, paper]  # the normal equations: fifteen unknowns, however many pixels
        weights, *_ = np.linalg.lstsq(basis @ basis.T, basis @ values[paper], rcond=None)
        light = weights @ surface
        off = np.abs(values - light)
        paper = off <= 2.5 * max(np.median(off), 1.0)
    light = np.maximum(light, 24).reshape(coarse.shape).astype(np.float32)
    even: Floats = grey * (np.median(light) / _expanded(light, grey.shape))
    return even.clip(0, 255)


def _edges(grey: Floats) -> Floats:
    """Return the square of the gradient where it is far above noise; 0 elsewhere."""
    edges = np.zeros_like(grey)
    across = np.abs(grey[1:-1, 2:] - grey[1:-1, :-2])
    down = np.abs(grey[2:, 1:-1] - grey[:-2, 1:-1])
    edges[1:-1, 1:-1] = np.maximum(across, down)
    # From the lower quartile, as in a small picture most pixels may lie at edges.
    edges[edges < 6 * np.quantile(edges[1:-1:2, 1:-1:2], 0.25)] = 0
    return edges * edges


def _bends(grey: Floats) -> Floats:
    """Return the square of how much darker than its sides a place is, where far above noise.

    Strokes are; the soft edge of a shadow, however dark, hardly is.
    """
    bends, r = np.zeros_like(grey), BEND
    twice = 2 * grey[r:-r, r:-r]
    across = grey[r:-r, 2 * r :] + grey[r:-r, : -2 * r] - twice
    down = grey[2 * r :, r:-r] + grey[: -2 * r, r:-r] - twice
    bends[r:-r, r:-r] = np.maximum(np.maximum(across, down), 0)
    bends[bends < 4 * np.quantile(bends[r:-r:2, r:-r:2], 0.75)] = 0
    return bends * bends


def _ground(grey: Floats) -> Floats:
    """Return what the paper would be without its dark ink.

    A morphological closing: dark strokes narrower than its window vanish, shadows stay. Where the
    widest window finds none, nothing speaks against it: narrow ones make thick strokes hollow. Else
    it is the narrowest in which nearly as many bends vanish as in any.
    """
    coarse = _coarse(grey)
    if max(grey.shape) <= SNIPPET:
        return np.full_like(grey, max(np.median(_frame(coarse)), np.median(coarse)))
    weight = _coarse(_bends(grey))
    contrast = _highest(coarse, 1) + _highest(-coarse, 1)
    grounds, shares = [], []
    for radius in WINDOWS:
        ground = -_highest(-_highest(coarse, radius), radius)
        grounds.append(_blurred(ground, radius // 2))
        gone = _highest(ground - coarse, 1) >= 0.5 * contrast
        shares.append(float(weight[gone].sum()))
    if not _is_shaded(grounds[-1] - coarse, weight):
        return _expanded(grounds[-1], grey.shape)
    enough = NEARLY * max(shares)
    chosen = next(place for place, share in enumerate(shares) if share >= enough)
    return _expanded(grounds[chosen], grey.shape)


def _is_shaded(strength: Floats, weight: Floats) -> bool:
    """Return whether much lies between paper and ink that is not the edge of a stroke.

    strength  of the coarse picture, above the ground in the widest window
    weight    of its bends
    """
    typical = (weight * _highest(strength, 1)).sum() / max(weight.sum(), 1e-9)
    ink = strength >= 0.5 * typical
    between = (strength > SHADE * typical) & (_highest(strength, FAR) < 0.5 * typical)
    return bool(between.sum() > SHADED * ink.sum())


def _edge_level(strength: Floats, edges: Floats) -> Floats:
    """Return the strength half way between ink and ground, near each place.

    The mean strength weighted by the square of its gradient: the gradient lies on edges, where
    strength goes from one to the other (robust automatic threshold selection, Kittler et al. 1985).
    """
    edges = np.where(strength < -FAINT, np.float32(0), edges)  # of what is lighter than paper
    weight = _coarse(edges)
    if not weight.any():
        return np.full_like(strength, np.inf)
    weighted = _coarse(edges * strength)
    whole = weighted.sum() / weight.sum()
    if whole < FAINT:
        return np.full_like(strength, np.inf)
    if max(strength.shape) <= SNIPPET:
        return np.full_like(strength, whole)
    # Where there are few edges near, the level of the whole picture counts.
    radius, few = min(weight.shape) // 8, 0.1 * weight.mean()
    near = (_blurred(weighted, radius) + few * whole) / (_blurred(weight, radius) + few)
    return _expanded(np.maximum(near, 0.6 * whole), strength.shape)


def _ruled(mask: Mask) -> Mask:
    """Return the pixels of ruled lines across: three or more, thin, straight, parallel and long.

    They reach both sides of the picture, or beyond all ink between them, as the level strokes of
    a row of fives do not. What crosses them stays.
    """
    height, width = mask.shape
    drop = np.rint(_slope(mask) * (np.arange(width) - width / 2)).astype(np.int64)
    rows = np.arange(height)[:, None] + drop
    seen = (rows >= 0) & (rows < height)
    level = np.take_along_axis(mask, rows.clip(0, height - 1), 0) & seen
    slack = max(1, height // 300)  # lines bend a little
    thick = np.pad(level, ((slack, slack), (0, 0)))
    thick = np.logical_or.reduce([thick[k : k + height] for k in range(2 * slack + 1)])
    long = thick & (run_lengths(thick) > width // 12)
    # Beside strong ink a line may be too faint to be found: its parts count together.
    rows_of_lines = long.sum(1) > np.maximum(seen.sum(1) // 3, width // 12)
    count = np.count_nonzero(np.diff(rows_of_lines.astype(np.int8), prepend=0) == 1)
    lines = level & rows_of_lines[:, None]
    depths = run_lengths(level.T).T
    usual = np.median(depths[lines & long]) if count >= LINES else height
    if usual > min(mask.shape) / 60:
        return np.zeros_like(mask)
    thin = lines & (depths <= 1.6 * usual + 1)
    margin = MARGIN * width
    near = np.convolve(rows_of_lines, np.ones(2 * (slack + round(usual)) + 1), "same") > 0
    between = np.flatnonzero((level & ~near[:, None]).sum(0) > usual)
    first, last = between[[0, -1]] if len(between) else (width, 0)
    reached = np.flatnonzero(thin.any(0))
    if reached[0] > max(margin, first - margin) or reached[-1] < min(
        width - 1 - margin, last + margin
    ):
        return np.zeros_like(mask)
    ruled: Mask = np.take_along_axis(
        thin, (np.arange(height)[:, None] - drop).clip(0, height - 1), 0
    )
    return ruled & mask


def _slope(mask: Mask) -> float:
    """Return the slope along which the mask's pixels lie in the fewest rows."""
    inked = np.argwhere(mask)
    y, x = inked[:: len(inked) // 20_000 + 1].T.astype(np.float32)
    best = 0.0
    for step, row in ((0.01, max(mask.shape) / 250), (0.002, max(mask.shape) / 800)):
        reach = 15 * step if best == 0 else 5 * step
        slopes = best + np.arange(-reach, reach + step / 2, step)
        best = float(max(slopes, key=lambda slope: _crowding(y, x, slope, row)))
    return best


def _crowding(y: Floats, x: Floats, slope: float, row: float) -> float:
    rows = ((y - np.float32(slope) * x) / np.float32(row)).astype(np.int64)
    return float((np.bincount(rows - rows.min(initial=0)).astype(np.float64) ** 2).sum())


def run_lengths(mask: Mask) -> NDArray[np.int64]:
    """Return for each pixel of a mask (h, w) the length of its horizontal run; 0 outside."""
    lengths = np.zeros(mask.shape, np.int64)
    padded = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int8)
    padded[:, :-1] = mask
    change = np.diff(padded.ravel(), prepend=np.int8(0))
    runs = np.flatnonzero(change == -1) - np.flatnonzero(change == 1)
    lengths[mask] = np.repeat(runs, runs)
    return lengths


def _coarse(grey: Floats) -> Floats:
    factor = _factor(grey.shape)
    return np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey


def _factor(shape: tuple[int, ...]) -> int:
    return max(1, round(min(shape) / COARSE))


def _expanded(coarse: Floats, shape: tuple[int, ...]) -> Floats:
    if coarse.shape == shape:
        return coarse
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))


def _frame(grey: Floats) -> Floats:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _highest(grey: Floats, radius: int) -> Floats:
    """Return the maximum over a square window around each pixel."""
    for axis in (0, 1):
        grey = np.moveaxis(grey, axis, 0)
        highest = np.pad(grey, ((radius, radius), (0, 0)), mode="edge")
        width, full = 1, 2 * radius + 1
        while width < full:  # the maximum over two windows that overlap is that over both
            step = min(width, full - width)
            highest = np.maximum(highest[:-step], highest[step:])
            width += step
        grey = np.moveaxis(highest, 0, axis)
    return np.ascontiguousarray(grey)


def _blurred(grey: Floats, radius: int) -> Floats:
    """Return the mean over a square window around each pixel, cut off at the frame."""
    for axis in (0, 1):
        grey = np.moveaxis(grey, axis, 0)
        sums = np.zeros((len(grey) + 1, grey.shape[1]))
        grey.cumsum(0, out=sums[1:])
        place = np.arange(len(grey))
        first, end = np.maximum(place - radius, 0), np.minimum(place + radius + 1, len(grey))
        grey = np.moveaxis((sums[end] - sums[first]) / (end - first)[:, None], 0, axis)
    return np.ascontiguousarray(grey, np.float32)
