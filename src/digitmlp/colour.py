"""Colour, where it tells ink from paper and brightness does not."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENOUGH = 256  # pixels on the longer side of the copy in which edges are judged
STEP = 2  # pixels between the two sides of an edge
STRONG, MOST = 0.5, 0.999  # of the strength that is above this share of all
FAINT = 20.0  # levels by which colours differ at a strong edge; less is noise
# Grey shows ink if it has this share of the clear edges that there are along the line between the
# strongest edges' colours: of so many levels, and so many times the finest differences' median.
CLEAR, LEVELS, NOISE = 0.02, 12.0, 10.0
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as Pillow's greyscale

Differences = NDArray[np.float64]


def contrasting(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, (h, w) grey or (h, w, 3) RGB, of which the grey levels show what is drawn.

    As it is or, where grey hides it, (h, w): along the line between the colours of ink and paper.
    """
    if pixels.ndim == 2 or min(pixels.shape[:2]) <= STEP:
        return pixels
    factor = -(-max(pixels.shape) // ENOUGH)
    edges = _edges(np.asarray(Image.fromarray(pixels).reduce(factor), np.float64))
    strength = np.linalg.norm(edges, axis=1)
    strong = edges[strength >= max(STRONG * np.quantile(strength, MOST), FAINT)]
    if len(strong) == 0:
        return pixels
    axis = np.linalg.eigh(strong.T @ strong)[1][:, -1]
    grain = _grain(pixels, factor)
    in_grey, in_colour = (_clear(edges @ line, grain @ line) for line in (LUMA, axis))
    if in_grey >= CLEAR * in_colour:
        return pixels
    weights = (axis / np.abs(axis).sum()).astype(np.float32)
    least = 255 * np.minimum(weights, 0).sum()
    grey: NDArray[np.float32] = pixels @ weights - least
    return np.rint(grey).clip(0, 255).astype(np.uint8)


def _edges(pixels: Differences) -> Differences:
    """Return by how much colours differ, (n, 3), a little across and down from each place."""
    pixels = np.pad(pixels, ((0, STEP), (0, STEP), (0, 0)), mode="edge")
    across, down = pixels[:, STEP:] - pixels[:, :-STEP], pixels[STEP:] - pixels[:-STEP]
    return np.concatenate([across.reshape(-1, 3), down.reshape(-1, 3)])


def _grain(pixels: NDArray[np.uint8], step: int) -> Differences:
    """Return by how much pixels side by side differ, (n, 3), in one of so many rows and columns."""
    sample = pixels[::step].astype(np.float64)
    return (sample[:, 1::step] - sample[:, :-1:step]).reshape(-1, 3)


def _clear(edges: Differences, grain: Differences) -> int:
    """Return how many edges (n,) are clear, where the finest differences are these."""
    least = NOISE * np.median(np.abs(grain))
    return int(np.count_nonzero(np.abs(edges) >= max(least, LEVELS)))
