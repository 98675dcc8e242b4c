"""Reading the numbers in a picture."""

import functools
import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitmlp import recognizer as recognizers
from digitmlp.digits import Images
from digitmlp.glyph import largest_group
from digitmlp.judge import Glyph, Judge
from digitmlp.layout import UNLIKE, find_lines
from digitmlp.picture import PictureSource, decode, describe
from digitmlp.pieces import Pieces, around
from digitmlp.recognizer import Recognizer
from digitmlp.segment import read_lines
from digitmlp.sheet import LONGEST, look

UNKNOWN = "?"  # what is no digit
WORD = 3  # characters that are no digits make a line of their own beside lines of digits

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Digit:
    """A character of a number.

    digit        0 to 9; None for what is no digit
    probability  of the likeliest digit, calibrated but for doubtful ink, of which the view counts
                 that is least so
    box          left, top, right, bottom: whole pixels of the upright picture
    image        uint8 (28, 28), as the model saw it
    """

    digit: int | None
    probability: float
    box: Box
    image: Images = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The digit as a character, `?` for what is no digit."""
        return UNKNOWN if self.digit is None else str(self.digit)


@dataclass(frozen=True, slots=True)
class Number:
    """A run of digits on a line of the picture; lines count from 1."""

    line: int
    digits: tuple[Digit, ...]

    @property
    def text(self) -> str:
        """Its digits as a word."""
        return "".join(digit.text for digit in self.digits)

    @property
    def box(self) -> Box:
        """The box around its digits."""
        left, top, right, bottom = around(np.array([digit.box for digit in self.digits])).tolist()
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture says.

    picture  its path, or `picture`
    numbers  in reading order
    frames   how many pictures the source holds, of which the first was read
    pixels   uint8, of the upright picture, (h, w) or (h, w, 3)
    size     (width, height) in which boxes are given
    """

    picture: str
    numbers: tuple[Number, ...]
    frames: int = 1
    pixels: NDArray[np.uint8] = field(repr=False, compare=False, kw_only=True)
    size: tuple[int, int] = field(kw_only=True)

    @property
    def text(self) -> str:
        """A line for each line of the picture, numbers parted by a space; blank gives no text."""
        lines: dict[int, list[str]] = {}
        for number in self.numbers:
            lines.setdefault(number.line, []).append(number.text)
        return "\n".join(" ".join(words) for words in lines.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what `digitmlp read --json` prints."""
        return {
            "picture": self.picture,
            "text": self.text,
            "numbers": [
                {
                    "text": number.text,
                    "line": number.line,
                    "box": list(number.box),
                    "digits": [
                        {
                            "digit": digit.digit,
                            "probability": round(digit.probability, 4),
                            "box": list(digit.box),
                        }
                        for digit in number.digits
                    ],
                }
                for number in self.numbers
            ],
        }


def read(
    source: PictureSource, recognizer: Recognizer | None = None, *, single: bool = False
) -> Reading:
    """Return the numbers in a picture: a path, bytes, an open file, a PIL image or an array.

    recognizer  as from `load`; None: the weights shipped in the package
    single      the picture is known to hold one digit
    Raises DataError when the source is no picture, ModelError when there are no shipped weights.
    """
    recognizer = recognizer or _shipped()
    picture = decode(source, LONGEST)
    pieces = look(picture.pixels)
    if single:
        group = largest_group(pieces)
        judge = Judge(recognizer.recognize, -math.inf)
        lines = [judge(pieces, [group] if group else [])]
    else:
        found = find_lines(pieces.boxes, pieces.height)
        judge = Judge(recognizer.recognize, recognizer.threshold, recognizer.threshold_of_views)
        lines = read_lines(pieces, found, judge)
    zoom = max(picture.size) / max(picture.pixels.shape)
    numbers = []
    for line, glyphs in enumerate(_without_dirt(lines, pieces), 1):
        for run in _runs(glyphs):
            digits = [_digit(glyph, pieces, zoom, picture.size) for glyph in run]
            numbers.append(Number(line, tuple(digits)))
    return Reading(
        describe(source),
        tuple(numbers),
        picture.frames,
        pixels=picture.pixels,
        size=picture.size,
    )


@functools.cache
def _shipped() -> Recognizer:
    return recognizers.load()


def _without_dirt(lines: list[list[Glyph]], pieces: Pieces) -> list[list[Glyph]]:
    """Return the lines without what, beside digits, is hardly a character.

    That is what is no digit at the frame, in lines of their own with less than a word, and what is
    far taller than the digits.
    """
    lines = [line for line in lines if line]
    heights = [_height(glyph) for line in lines for glyph in line if glyph.is_digit]
    if not heights:
        return lines
    tallest = UNLIKE * float(np.median(heights))
    bottom, right = pieces.ink.shape
    kept = []
    for line in lines:
        characters = [
            glyph
            for glyph in line
            if _height(glyph) <= tallest
            and (
                glyph.is_digit
                or (min(glyph.box[:2]) > 0 and glyph.box[2] < right and glyph.box[3] < bottom)
            )
        ]
        if len(characters) >= WORD or any(glyph.is_digit for glyph in characters):
            kept.append(characters)
    return kept


def _height(glyph: Glyph) -> int:
    return int(glyph.box[3] - glyph.box[1])


def _runs(line: list[Glyph]) -> list[list[Glyph]]:
    """Return the line's numbers: runs of digits parted by wide gaps."""
    gaps = [right.box[0] - left.box[2] for left, right in itertools.pairwise(line)]
    usual = np.median([_height(glyph) for glyph in line])
    wide = max(0.7 * usual, 2.5 * np.median(gaps)) if gaps else 0.0
    runs = [[line[0]]]
    for gap, glyph in zip(gaps, line[1:], strict=True):
        if gap > wide:
            runs.append([])
        runs[-1].append(glyph)
    return runs


def _digit(glyph: Glyph, pieces: Pieces, zoom: float, size: tuple[int, int]) -> Digit:
    corners = (glyph.box * pieces.scale + np.tile(pieces.origin, 2)) * zoom
    left, top, right, bottom = (
        min(max(round(float(edge)), 0), end)
        for edge, end in zip(corners, (*size, *size), strict=True)
    )
    return Digit(
        glyph.digit if glyph.is_digit else None,
        glyph.probability,
        (left, top, max(right, left + 1), max(bottom, top + 1)),
        glyph.image,
    )
