"""Ink and ground: what was drawn, whatever the light, the paper and the pen."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.components import (
    Components,
    along_sides,
    find_components,
    median,
    outline,
    thickness,
)
from digitmlp.ruled import lines_through, ruled_lines
from digitmlp.windows import Floats, Mask, blurred, coarseness, expanded, greyscale, highest, shrunk

WINDOWS = (3, 6, 16)  # radii, in coarse pixels, of windows that strokes may be narrower than
NEAR = 8  # coarse pixels, the surroundings of a stroke
NEARLY = 0.8  # share of the bends that a window need explain of what the best one does
FAR = 2  # coarse pixels from ink, where its edge has come to an end
# Places far from ink that are darker than paper, by this share of what ink is, are in a shadow if
# there are more of them than this share of those with ink.
SHADE, SHADED = 0.15, 0.02
# A snippet lies in a shadow if more than this share of its sides differ from paper by more than the
# first share of the contrast and, as ink does not, by less than the second; and, as grain does not,
# from each other by the third, or by what is ink on any paper.
SIDES_SHADED, LIT, INKED, UNEVEN = 0.3, 0.2, 0.7, 0.35
RIM = 2  # coarse pixels over which the ground passes into that shadow
BEND = 3  # pixels between a place and the sides that it is compared with
SNIPPET = 300  # a picture with no longer side has one ground but for shadows
# Degrees of two surfaces of light: one follows light that falls off, but goes into no shadow, whose
# end would be left as a dark ring; the other follows shadows too, which else look like ink.
FALLING, SHADOWY = 2, 4
# No paper is what is off such a surface by more than so many times the median of all, or one grey
# level; where ink is dark, also what is below by the second of these, as it may lie in a shadow.
OFF, DARKER = 2.5, 1.0
# A snippet's light rises from its middle to a corner by at least this share of its contrast, and so
# much of its sides is as near to the surface.
SLOPE, ALONG = 0.1, 0.9
WEAK = 90  # ink that is part of a stroke
SEED = 1.28  # strength, in edge levels, that a stroke has somewhere
# A piece no wider than high is a crease, and no 1, if its strength times its thickness, in those of
# most ink, is less than the first of these, and its length, in its box's diagonal, no more than the
# second. Where more than the third, a share of all strokes, are such pieces, another pen drew them;
# where no lines are ruled, one beside other ink may be a 1 all the same.
WEAKEST, STRAIGHT, LITTLE = 0.33, 1.2, 0.1
FAINTEST = 0.4  # mean strength, in that of most ink; on ruled paper fainter is the rest of a line
LOWEST = 0.35  # edge level of the faintest parts of a stroke, in edge levels near it
REACH = 3  # coarse pixels within which the strongest part of a stroke sets the level
# Where most pieces of ink have edges along so much of their outline, one with less is the rim of a
# shadow.
SHARP, SOFT = 0.9, 0.5
OUTLINE = 30  # pixels of outline that tell enough of a piece
# Grey levels, half way from paper to ink, from which it is ink and not paper: so many times the
# usual step between pixels, within bounds.
ABOVE_NOISE, FAINT, PLAIN = 4.5, 3.5, 6.0
ROUNDED = 0.75  # grey levels; less is no step of one level


def find_ink(pixels: NDArray[np.uint8], paper: Mask | None = None) -> NDArray[np.uint8]:
    """Return the ink of a picture, (h, w) grey or (h, w, 3) RGB: uint8 (h, w), 255 ink, 0 ground.

    Ink may be dark on light or light on dark. 128 is the edge of a stroke, half way between ink
    and ground as they are near that place.

    paper  (h, w): where there is any; None: everywhere
    """
    grey = greyscale(pixels)
    if min(grey.shape) <= 2 * BEND:
        return np.zeros(grey.shape, np.uint8)
    if paper is None:
        paper = np.ones(grey.shape, np.bool_)
    known = _gone_on_with(grey, paper)
    flat = _evenly_lit(known, SHADOWY)
    if _ink_is_dark(flat, _edges(flat)[0]):
        grey = _evenly_lit(known, FALLING, below=DARKER)
    else:
        grey = 255 - _evenly_lit(known, FALLING)
    edges, step = _edges(grey)
    strength = _ground(grey) - grey
    level = _edge_level(strength, edges, float(np.clip(ABOVE_NOISE * step, FAINT, PLAIN)))
    ink = _ink(strength, _faint_level(strength, level))
    snippet = max(ink.shape) <= SNIPPET
    if snippet:
        lines = lines_through(ink >= WEAK, strength)
    else:
        lines = ruled_lines(ink >= WEAK, strength, paper)
    ink[lines] = 0
    mask = ink >= WEAK
    found = find_components(mask)
    count = len(found) + 1
    seeds = strength >= SEED * level
    firm = np.bincount(found.labels[seeds], minlength=count) > 0
    rim = outline(mask)
    if not snippet:
        firm &= ~_faint(found, rim, strength, firm, bool(lines.any()))
        firm &= ~_soft(found.labels, rim, edges > 0, firm)
    firm[0] = True
    ink[~firm[found.labels] | ~paper] = 0
    return ink


def _faint(found: Components, rim: Mask, strength: Floats, firm: Mask, ruled: bool) -> Mask:
    """Return (n + 1,): which of the n pieces are creases, or what is left of ruled lines."""
    real = firm[1:]
    if not real.any():
        return np.zeros_like(firm)
    sums = np.bincount(found.labels.ravel(), strength.ravel(), len(firm))[1:]
    means, thick = sums / found.areas, thickness(found, rim)
    lengths = real * found.areas / thick
    fainter = means / median(means, real * found.areas)
    wide, high = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    weak = fainter * thick / median(thick, lengths) < WEAKEST
    weak &= (high >= wide) & (lengths <= STRAIGHT * np.hypot(wide, high))
    if lengths[weak].sum() > LITTLE * lengths.sum():
        weak[:] = False  # another pen's
    if ruled:
        weak |= fainter < FAINTEST
    else:
        weak[weak] = ~_has_company(found.boxes[weak], found.boxes[real & ~weak])
    return np.append(False, weak)


def _has_company(boxes: NDArray[np.int64], others: NDArray[np.int64]) -> Mask:
    """Return (n,): which of the boxes (n, 4) share half of their rows with one of the others."""
    (_, top, _, bottom), (_, first, _, end) = boxes.T[..., None], others.T
    shared = np.minimum(bottom, end) - np.maximum(top, first)
    beside: Mask = (2 * shared >= bottom - top).any(1)
    return beside


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
    factor = coarseness(strength.shape)
    height, width = strength.shape
    padded = np.pad(strength, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(len(padded) // factor, factor, -1, factor)
    peaks = highest(blocks.max(1).max(2), REACH)
    half = expanded(blurred(peaks, REACH) * np.float32(0.5), strength.shape)
    return np.clip(half, LOWEST * level, level)


def _ink_is_dark(grey: Floats, edges: Floats) -> bool:
    """Return whether the pixels that depart far from their surroundings do so to the dark side.

    In a snippet, from its frame; else from surroundings near and far, as a stroke may be thick and
    a shadow large, and most of all at sharp edges: a shadow has soft ones.
    """
    coarse = shrunk(grey)
    if max(grey.shape) <= SNIPPET:
        return bool(((coarse - np.median(along_sides(coarse))) ** 3).sum() <= 0)
    weight = highest(shrunk(edges), 1)
    skew = 0.0
    for radius in (NEAR, max(coarse.shape) // 8):
        cubes = (coarse - blurred(coarse, radius)) ** 3 * weight
        skew += float(cubes.sum() / max(np.abs(cubes).sum(), 1e-9))
    return skew <= 0


def _gone_on_with(grey: Floats, known: Mask) -> Floats:
    """Return the picture with what is not known as what is known near it, which coarser copies
    tell where that is far.
    """
    if known.all() or not known.any():
        return grey
    weight = np.asarray(Image.fromarray(known.astype(np.float32)).reduce(2))
    sums = np.asarray(Image.fromarray(np.where(known, grey, np.float32(0))).reduce(2))
    coarse = _gone_on_with(sums / np.maximum(weight, np.float32(1e-6)), weight > 0)
    return np.where(known, grey, expanded(coarse, grey.shape))


def _evenly_lit(grey: Floats, degree: int, below: float = OFF) -> Floats:
    """Return the picture as under even light: divided by a smooth surface through its paper.

    A snippet may be full of ink: by a surface through its sides, or not at all if they are on none
    that slopes.

    degree  of the surface; a snippet's is FALLING
    below   how many medians below it paper may be (OFF); in a snippet OFF, whatever is given
    """
    snippet = max(grey.shape) <= SNIPPET
    degree, below = (FALLING, OFF) if snippet else (degree, below)
    coarse = shrunk(grey) if snippet else shrunk(grey)[::2, ::2]  # enough for so smooth a surface
    y, x = (np.linspace(-1, 1, side) for side in coarse.shape)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    surface = np.stack([np.multiply.outer(y**i, x**j) for i, j in powers])
    where = along_sides if snippet else np.ravel
    terms, values = np.stack([where(term) for term in surface]), where(coarse)
    paper = np.ones(len(values), bool)
    for _ in range(8):
        basis = terms[:, paper]  # the normal equations: fifteen unknowns at most
        weights, *_ = np.linalg.lstsq(basis @ basis.T, basis @ values[paper], rcond=None)
        over = values - weights @ terms
        off = np.abs(over)
        usual = max(np.median(off), 1.0)
        paper = (off <= OFF * usual) & (over >= -below * usual)
    if snippet:
        least = SLOPE * np.ptp(coarse)
        if np.abs(weights[1:]).sum() < least or (off <= least).mean() < ALONG:
            return grey
    light = np.maximum(np.tensordot(weights, surface, 1), 24).astype(np.float32)
    even: Floats = grey * (np.median(light) / expanded(light, grey.shape))
    return even.clip(0, 255)


def _edges(grey: Floats) -> tuple[Floats, float]:
    """Return the square of the gradient where it is far above noise, 0 elsewhere; and its median,
    not squared.
    """
    edges = np.zeros_like(grey)
    # The outermost pixels are taken for those next to them: of a sliver one pixel wide only the
    # paper beside it would count, and no ink.
    inner = np.pad(grey[1:-1, 1:-1], 1, mode="edge")
    across = np.abs(inner[1:-1, 2:] - inner[1:-1, :-2])
    down = np.abs(inner[2:, 1:-1] - inner[:-2, 1:-1])
    edges[1:-1, 1:-1] = np.maximum(across, down)
    # From the lower quartile, as in a small picture most pixels may lie at edges; but where every
    # other pixel differs by the one level to which rounding brings it, the quartile is 0.
    noise, step = np.quantile(edges[1:-1:2, 1:-1:2], (0.25, 0.5))
    edges[edges < 6 * max(noise, min(step, ROUNDED))] = 0
    return edges * edges, float(step)


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
    coarse = shrunk(grey)
    if max(grey.shape) <= SNIPPET:
        return expanded(_ground_of_snippet(coarse), grey.shape)
    weight = shrunk(_bends(grey))
    contrast = highest(coarse, 1) + highest(-coarse, 1)
    grounds, shares = [], []
    for radius in WINDOWS:
        ground = _closed(coarse, radius)
        grounds.append(blurred(ground, radius // 2))
        gone = highest(ground - coarse, 1) >= 0.5 * contrast
        shares.append(float(weight[gone].sum()))
    if not _is_shaded(grounds[-1] - coarse, weight):
        return expanded(grounds[-1], grey.shape)
    enough = NEARLY * max(shares)
    chosen = next(place for place, share in enumerate(shares) if share >= enough)
    return expanded(grounds[chosen], grey.shape)


def _ground_of_snippet(coarse: Floats) -> Floats:
    """Return one ground, but where its sides tell that a shadow lies over part of the snippet."""
    level = max(np.median(along_sides(coarse)), np.median(coarse))
    ground = _closed(coarse, WINDOWS[-1])
    sides, contrast = along_sides(ground), max(float(np.ptp(coarse)), 1)
    depth = np.abs(sides - level) / contrast
    shaded = (depth > LIT) & (depth < INKED)
    if shaded.mean() > SIDES_SHADED and np.ptp(sides) > min(UNEVEN * contrast, 2 * PLAIN):
        return blurred(ground, RIM)
    return np.full_like(coarse, level)


def _closed(coarse: Floats, radius: int) -> Floats:
    """Return the picture without what is dark and narrower than a square window."""
    return -highest(-highest(coarse, radius), radius)


def _is_shaded(strength: Floats, weight: Floats) -> bool:
    """Return whether much lies between paper and ink that is not the edge of a stroke.

    strength  of the coarse picture, above the ground in the widest window
    weight    of its bends
    """
    typical = (weight * highest(strength, 1)).sum() / max(weight.sum(), 1e-9)
    ink = strength >= 0.5 * typical
    between = (strength > SHADE * typical) & (highest(strength, FAR) < 0.5 * typical)
    return bool(between.sum() > SHADED * ink.sum())


def _edge_level(strength: Floats, edges: Floats, least: float) -> Floats:
    """Return the strength half way between ink and ground, near each place; infinite if in all of
    the picture that is less than the least that is ink.

    The mean strength weighted by the square of its gradient: the gradient lies on edges, where
    strength goes from one to the other (robust automatic threshold selection, Kittler et al. 1985).
    """
    edges = np.where(strength < -least, np.float32(0), edges)  # of what is lighter than paper
    weight = shrunk(edges)
    if not weight.any():
        return np.full_like(strength, np.inf)
    weighted = shrunk(edges * strength)
    whole = weighted.sum() / weight.sum()
    if whole < least:
        return np.full_like(strength, np.inf)
    if max(strength.shape) <= SNIPPET:
        return np.full_like(strength, whole)
    # Where there are few edges near, the level of the whole picture counts.
    radius, few = min(weight.shape) // 8, 0.1 * weight.mean()
    near = (blurred(weighted, radius) + few * whole) / (blurred(weight, radius) + few)
    return expanded(np.maximum(near, 0.6 * whole), strength.shape)
