"""Lines of pieces become digits: touching ones are cut, broken ones put together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitmlp.digits import Images
from digitmlp.glyph import to_digit
from digitmlp.layout import SMALL
from digitmlp.pieces import Boxes, Pieces, around, cut_out, heights, longest

Judge = Callable[[Images], tuple[NDArray[np.float32], NDArray[np.float32]]]

# What a reading of a line costs, in nats, beside the doubt about each digit.
PER_DIGIT = 0.15
PER_CUT = 0.3  # a digit that is part of a piece
PER_TIGHTNESS = 3.0  # by how much its piece is narrower than two digits, in heights of the line
PER_ONE = 1.0  # such a part taken for a 1, which any straight stroke resembles
PER_JOIN = 0.3  # a digit put together, for each piece more
PER_HEIGHT = 6.0  # a piece passed over as a dot or dirt, by its share of the line's height
UNKNOWN = 1.2  # a whole piece that is no digit
ODD = 3.0  # the same on a line on which a digit was read without doubt

COMPANY = 3.0  # what is among digits is a digit with a score lower by so much
CERTAIN = 0.9  # probability from which a piece is neither cut nor joined with another such
JOINED = 0.25  # of the line's height: pieces farther apart are no parts of one digit
WIDEST = 1.7  # digit, in heights of the line
PAIR = 1.3  # width of two digits that touch, likewise
CUTS = 5  # in a piece, at most
LEANS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # of cuts: pixels to the right at the top, a pixel of height


@dataclass(frozen=True, eq=False, slots=True)
class Glyph:
    """What is taken for one character.

    image        uint8 (28, 28), as the model saw it
    box          (4,): left, top, right, bottom in the ink
    digit        the likeliest
    probability  of it
    margin       by how much the score is above the threshold; below 0 it is no digit
    """

    image: Images
    box: Boxes
    digit: int
    probability: float
    margin: float

    @property
    def is_digit(self) -> bool:
        return self.margin >= 0


@dataclass(frozen=True, eq=False, slots=True)
class _Candidate:
    """Atoms first to end - 1 of a line, taken for one character, or passed over (no glyph)."""

    first: int
    end: int
    cost: float
    glyph: Glyph | None


def read_lines(
    pieces: Pieces, lines: list[list[int]], judge: Judge, threshold: float
) -> list[list[Glyph]]:
    """Return the glyphs of each line, left to right; lines are numbers of pieces.

    judge      gives probabilities (n, 10) and scores (n,) of images (n, 28, 28)
    threshold  a score below it is no digit
    """
    numbers = [number for line in lines for number in line]
    glyphs = judged(pieces, [[number] for number in numbers], judge, threshold)
    alone = dict(zip(numbers, glyphs, strict=True))
    sides = longest(pieces.boxes)
    read = []
    for line in lines:
        large = [number for number in line if sides[number] >= SMALL * pieces.height]
        height = float(np.median(heights(pieces.boxes[large])))
        sure = [
            number
            for number in line
            if sides[number] >= SMALL * height and _is_sure(alone[number], height)
        ]
        if len(sure) == len(line):
            read.append([alone[number] for number in line])
            continue
        among_digits = len(sure) >= 2 and len(sure) >= len(large) / 2
        bar = threshold - COMPANY if among_digits else threshold
        read.append(_read_line(pieces, line, set(sure), height, judge, bar))
    return read


def judged(pieces: Pieces, groups: list[list[int]], judge: Judge, threshold: float) -> list[Glyph]:
    """Return a glyph for each group of pieces that are taken for one character."""
    if not groups:
        return []
    boxes = [around(pieces.boxes[group]) for group in groups]
    images = np.stack(
        [to_digit(cut_out(pieces, *each)) for each in zip(groups, boxes, strict=True)]
    )
    probabilities, scores = judge(images)
    likeliest = probabilities.argmax(1).tolist()
    margins = (scores - threshold).tolist()
    return list(map(Glyph, images, boxes, likeliest, probabilities.max(1).tolist(), margins))


def _is_sure(glyph: Glyph, height: float) -> bool:
    width = glyph.box[2] - glyph.box[0]
    return bool(glyph.is_digit and glyph.probability >= CERTAIN and width <= 1.1 * height)


def _read_line(
    pieces: Pieces,
    line: list[int],
    sure: set[int],
    height: float,
    judge: Judge,
    threshold: float,
) -> list[Glyph]:
    """Return the glyphs of the cheapest way to read the line."""
    cut, owners = _cut(pieces, line, sure, height)
    spans = list(_spans(cut.boxes, owners, sure, height))
    glyphs = judged(cut, [list(range(*span)) for span in spans], judge, threshold)
    candidates = []
    for (first, end), glyph in zip(spans, glyphs, strict=True):
        joined = len(set(owners[first:end])) - 1
        # A character starts or ends in the middle of a piece where the next atom is of the same.
        split = owners[first] in owners[:first] or owners[end - 1] in owners[end:]
        doubt = -float(np.log(glyph.probability / (1 + np.exp(-glyph.margin)) + 1e-4))
        if not joined and not split:
            doubt = min(doubt, ODD if sure else UNKNOWN)
        elif not glyph.is_digit:
            doubt += ODD
        cost = PER_DIGIT + PER_JOIN * joined + doubt
        if split:
            left, _, right, _ = pieces.boxes[owners[first]]
            tightness = max(0.0, PAIR - (right - left) / height)
            cost += PER_CUT + PER_TIGHTNESS * tightness + PER_ONE * (glyph.digit == 1)
        candidates.append(_Candidate(first, end, cost, glyph))
    for place, side in enumerate(longest(cut.boxes)):
        candidates.append(_Candidate(place, place + 1, PER_HEIGHT * float(side) / height, None))
    return _cheapest(candidates, len(owners))


def _cheapest(candidates: list[_Candidate], count: int) -> list[Glyph]:
    """Return the glyphs of the candidates that together take `count` atoms at the least cost."""
    cost = [0.0] + [np.inf] * count  # of the first so many atoms
    last: dict[int, _Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.end):
        total = cost[candidate.first] + candidate.cost
        if total < cost[candidate.end]:
            cost[candidate.end], last[candidate.end] = total, candidate
    glyphs = []
    while count > 0:
        candidate = last[count]
        if candidate.glyph is not None:
            glyphs.append(candidate.glyph)
        count = candidate.first
    return glyphs[::-1]


def _spans(
    boxes: Boxes, owners: list[int], sure: set[int], height: float
) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the atoms that may be one digit: few, near each other, not too wide."""
    for first in range(len(owners)):
        for end in range(first + 1, len(owners) + 1):
            taken = owners[first:end]
            pieces = set(taken)
            if len(taken) > 1 and taken[-1] != taken[-2]:
                left, right = boxes[end - 2], boxes[end - 1]
                apart = max(right[0] - left[2], left[0] - right[2])
                if pieces <= sure or apart > JOINED * height or len(pieces) > 3:
                    break
            box = around(boxes[first:end])
            if len(pieces) > 1 and box[2] - box[0] > WIDEST * height:
                break
            if box[3] - box[1] >= 0.35 * height or len(owners) == 1:
                yield first, end


def _cut(
    pieces: Pieces, line: list[int], sure: set[int], height: float
) -> tuple[Pieces, list[int]]:
    """Return the line's atoms as pieces, left to right, and for each the piece it comes from.

    An atom is a piece or, of a doubtful one, what lies between two cuts.
    """
    labels = np.full(pieces.labels.shape, -1, np.int32)
    boxes: list[Boxes] = []
    owners: list[int] = []
    for number in line:
        left, top, right, bottom = pieces.boxes[number]
        place = slice(top, bottom), slice(left, right)
        own = pieces.labels[place] == number
        part = np.zeros(own.shape, np.int64)
        if number not in sure:
            for column, lean in _cut_lines(own, height):
                part += _columns(own.shape) > column + _offsets(len(own), lean)[:, None]
        for each in np.unique(part[own]):
            inside = own & (part == each)
            labels[place][inside] = len(owners)
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            boxes.append(ends + np.array([left, top, left, top]))
            owners.append(number)
    return Pieces(pieces.ink, labels, np.array(boxes), pieces.height), owners


def _cut_lines(own: NDArray[np.bool_], height: float) -> list[tuple[int, float]]:
    """Return where a piece (h, w) is best cut: columns at half its height, and leans; from left."""
    high, wide = own.shape
    margin = int(0.12 * height)
    if wide < 0.35 * height or high < 0.4 * height or wide <= 2 * margin:
        return []
    crossed = []
    for lean in LEANS:
        columns = _columns(own.shape) + _offsets(high, lean)[:, None]
        inside = (columns >= 0) & (columns < wide)
        ink = np.take_along_axis(own, columns.clip(0, wide - 1), 1) & inside
        crossed.append(ink.sum(0) + 0.02 * high * abs(lean))
    least = np.min(crossed, axis=0)  # pixels of ink under the best cut through each column
    leans = np.argmin(crossed, axis=0)
    smooth = np.convolve(np.pad(least, 2, mode="edge"), np.ones(5) / 5, "valid")
    chosen: list[tuple[int, float]] = []
    for column in np.argsort(smooth[margin : wide - margin], kind="stable") + margin:
        if len(chosen) == CUTS or least[column] > 0.45 * high:
            break
        if all(abs(column - other) >= margin for other, _ in chosen):
            chosen.append((int(column), LEANS[leans[column]]))
    return sorted(chosen)


def _columns(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(shape[1]), shape)


def _offsets(high: int, lean: float) -> NDArray[np.int64]:
    """Return how far to the right a leaning cut is at each row, from where it is half way down."""
    offsets = lean * (high / 2 - np.arange(high))
    rounded: NDArray[np.int64] = np.rint(offsets).astype(np.int64)
    return rounded
