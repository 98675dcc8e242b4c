"""Digits drawn with strokes, pages of them, and a stand-in for the network that knows them."""

import functools
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from digitmlp.glyph import to_digit

WIDE = 0.6  # of a digit's height


def arc(x: float, y: float, a: float, b: float, first: float, last: float) -> list:
    """Return points of an ellipse around (x, y): degrees, clockwise from the right."""
    turns = np.radians(np.linspace(first, last, 25))
    return [(x + a * math.cos(turn), y + b * math.sin(turn)) for turn in turns]


# The strokes of each digit: points (x, y) in a box of 1 by 1.
STROKES = {
    0: [arc(0.5, 0.5, 0.5, 0.5, 0, 360)],
    1: [[(0.5, 0), (0.5, 1)]],
    2: [[*arc(0.5, 0.28, 0.5, 0.28, 180, 390), (0, 1), (1, 1)]],
    3: [arc(0.45, 0.25, 0.5, 0.25, 200, 450), arc(0.45, 0.75, 0.5, 0.25, 270, 520)],
    4: [[(0.65, 0), (0, 0.65), (1, 0.65)], [(0.65, 0), (0.65, 1)]],
    5: [[(0.95, 0), (0.1, 0), (0.1, 0.42), *arc(0.45, 0.68, 0.52, 0.32, 230, 500)]],
    6: [[(0.7, 0), *arc(0.5, 0.7, 0.5, 0.3, 190, 550)]],
    7: [[(0, 0), (1, 0), (0.35, 1)]],
    8: [arc(0.5, 0.24, 0.42, 0.24, 90, 450), arc(0.5, 0.74, 0.5, 0.26, -90, 270)],
    9: [[*arc(0.5, 0.3, 0.48, 0.3, 0, 360), (0.9, 1)]],
}


@dataclass
class Page:
    """A mask of ink, (h, w), True on ink; boxes of what was drawn, in reading order."""

    ink: np.ndarray
    boxes: list = field(default_factory=list)

    def picture(self, ink: float = 40, paper: float = 230, noise: float = 0) -> np.ndarray:
        """Return it as uint8 (h, w)."""
        even = np.where(self.ink, ink, paper)
        return pixels(even + noise * np.random.default_rng(0).standard_normal(even.shape))


def pixels(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)


def write(
    lines: str,
    *,
    size: tuple[int, int] = (600, 400),
    at: tuple[float, float] = (60, 60),
    height: float = 60,
    pen: int = 6,
    gap: float = 0.35,
    slope: float = 0.0,
    missing: tuple[float, float] = (0, 0),
) -> Page:
    """Return a page with these lines of digits; `.`, `,` and a blank stand between them.

    size     width and height of the page
    at       left and top of the first digit
    gap      between digits, in heights
    slope    of the lines, downwards
    missing  share of each digit's height, from and to, without ink
    """
    page = Page(np.zeros(size[::-1], bool))
    for row, line in enumerate(lines.split("\n")):
        x, y = at[0], at[1] + 1.8 * height * row
        for character in line:
            if character.isdigit():
                drawn = _drawn(int(character), x, y + slope * (x - at[0]), height, pen, size)
                top, bottom = (y + share * height for share in missing)
                drawn[round(top) : round(bottom)] = False
                rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
                page.boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
                page.ink |= drawn
                x += (WIDE * (character != "1") + gap) * height
            elif character == " ":
                x += 1.2 * height
            else:
                tail = height / 8 if character == "," else 0
                mark = Image.new("1", size)
                end = (x - tail, y + height + 2 * tail)
                ImageDraw.Draw(mark).line([(x, y + height), end], 1, pen + 1)
                foot = (x - pen / 2, y + height - pen / 2, x + pen / 2, y + height + pen / 2)
                ImageDraw.Draw(mark).ellipse(foot, 1)
                page.ink |= np.asarray(mark)
                x += gap * height
    return page


def _drawn(
    digit: int, x: float, y: float, height: float, pen: int, size: tuple[int, int]
) -> np.ndarray:
    picture = Image.new("1", size)
    draw = ImageDraw.Draw(picture)
    wide = 0 if digit == 1 else WIDE * height
    for stroke in STROKES[digit]:
        points = [(x + wide * u, y + height * v) for u, v in stroke]
        draw.line(points, 1, pen, joint="curve")
        for u, v in (points[0], points[-1]):
            draw.ellipse((u - pen / 2, v - pen / 2, u + pen / 2, v + pen / 2), 1)
    return np.asarray(picture).copy()


class Templates:
    """Recognizes these digits by their likeness to how they are drawn here."""

    threshold, threshold_of_views = 0.0, 1.0

    def recognize(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likeness = np.stack([_softened(images) @ known.T for known in _templates()]).max(0)
        chances = np.exp(40 * likeness)
        chances /= chances.sum(1, keepdims=True)
        return chances.astype(np.float32), (40 * (likeness.max(1) - 0.85)).astype(np.float32)


@functools.cache
def _templates() -> list[np.ndarray]:
    """Return for each thickness of the pen the ten digits as rows of unit length."""
    known = []
    for pen in (4, 8, 13):
        drawn = [write(str(digit), size=(140, 140), pen=pen).ink for digit in range(10)]
        known.append(_softened(np.stack([to_digit(np.uint8(255) * ink) for ink in drawn])))
    return known


def _softened(images: np.ndarray) -> np.ndarray:
    """Return images (n, 28, 28) as rows of unit length, blurred so that a pixel off is near."""
    soft = images.astype(np.float64)
    for axis in (1, 2):
        soft = sum(np.roll(soft, shift, axis) for shift in (-1, 0, 1))
    rows = soft.reshape(len(soft), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
