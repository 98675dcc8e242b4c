"""Lines of pieces become digits: touching ones are cut, broken ones put together."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from digitmlp.components import longest
from digitmlp.cuts import cut
from digitmlp.judge import Glyph, Judge
from digitmlp.layout import SMALL, find_stacks, slope
from digitmlp.pieces import Boxes, Pieces, around, heights

# What a reading of a line costs, in nats, beside the doubt about each digit.
PER_DIGIT = 0.15
PER_CUT = 0.3  # a digit that is part of a piece
PART_DOUBT = 4.0  # times its doubt: half a letter is a digit more often, but seldom without doubt
PER_TIGHTNESS = 3.0  # by how much its piece is narrower than two digits, in heights of the line
PER_ONE = 0.6  # such a part taken for a 1, which any straight stroke resembles
PER_CLOSE_ONE = 0.3  # a piece taken for a 1 that shares columns with its neighbour; or both
PER_JOIN = 0.6  # a digit put together, for each piece more
PER_OVERLAP = 3.0  # a digit above or below the piece before it, by the columns they share
PER_HEIGHT = 6.0  # a piece passed over as a dot or dirt, by its share of the line's height
UNKNOWN = 2.0  # a whole piece that is no digit; more where it is as wide as several
ODD = 3.0  # the same on a line on which a digit was read without doubt

COMPANY = 3.0  # what is among digits is a digit with a score lower by so much
CERTAIN = (
    0.9  # probability from which a piece is neither cut nor joined with another such beside it
)
JOINED = 0.25  # of the line's height: pieces farther apart are no parts of one digit
LARGEST = 1.4  # digit put together from pieces, in heights of the line
PAIR = 1.1  # width of two digits that touch, likewise
TOGETHER = 0.5  # of the narrower one's columns shared: two pieces may be parts of one digit
APART = 0.5  # of the flatter one's rows shared: neither of two pieces is above the other
STEEP = 0.1  # slope from which a line's digits may be turned with it


@dataclass(frozen=True, eq=False, slots=True)
class _Candidate:
    """Atoms first to end - 1 of a line, taken for one character or passed over.

    cost    in nats, without what the model says
    most    that its doubt about a whole piece may cost; None: about what is no whole piece
    split   whether the character is part of a piece
    one     what it costs more where it is taken for a 1
    passed  over as a dot or dirt
    """

    first: int
    end: int
    cost: float
    most: float | None = None
    split: bool = False
    one: float = 0.0
    passed: bool = False

    def judged(self, glyph: Glyph) -> float:
        """Return the cost with what the model says; it is never less than without."""
        cost = self.cost + self.one * (glyph.digit == 1)
        if self.most is not None:
            return cost + min(glyph.doubt, self.most)
        doubt = glyph.doubt * (PART_DOUBT if self.split else 1)
        return cost + doubt + (0 if glyph.is_digit else ODD)


def read_lines(pieces: Pieces, lines: list[list[int]], judge: Judge) -> list[list[Glyph]]:
    """Return the glyphs of each line, left to right; lines are numbers of pieces."""
    read = []
    for line in lines:
        glyphs = _read_line(pieces, line, judge)
        rise = slope(pieces.boxes[line])
        if abs(rise) >= STEEP:
            turned = dataclasses.replace(judge, turn=math.degrees(math.atan(rise)))
            glyphs = max(glyphs, _read_line(pieces, line, turned), key=_mean_margin)
        read.append(glyphs)
    return read


def _mean_margin(glyphs: list[Glyph]) -> float:
    return float(np.mean([glyph.margin for glyph in glyphs])) if glyphs else -math.inf


def _read_line(pieces: Pieces, line: list[int], judge: Judge) -> list[Glyph]:
    """Return the line's glyphs: each piece alone where they are sure, else the cheapest way."""
    sides = longest(pieces.boxes[line])
    large = [n for n, side in zip(line, sides, strict=True) if side >= SMALL * pieces.height]
    stacks = [
        around(pieces.boxes[stack]) for stack in find_stacks(large, pieces.boxes, pieces.height)
    ]
    height = float(np.median(heights(np.array(stacks))))
    alone = judge(pieces, [[number] for number in line], closely=True)
    sure = {
        number
        for number, side, glyph in zip(line, sides, alone, strict=True)
        if side >= SMALL * height
        and glyph.is_digit
        and glyph.probability >= CERTAIN
        and glyph.box[2] - glyph.box[0] <= 1.1 * height
    }
    if len(sure) == len(line) and not (_overlaps(pieces.boxes[line], 0) > TOGETHER).any():
        return alone
    company = COMPANY if len(sure) >= 2 and len(sure) >= len(large) / 2 else 0.0
    judge = dataclasses.replace(judge, threshold=judge.threshold - company)
    atoms, owners = cut(pieces, line, sure, height)
    candidates = list(_candidates(pieces, atoms, owners, sure, height))
    whole = {
        number: dataclasses.replace(glyph, margin=glyph.margin + company)
        for number, glyph in zip(line, alone, strict=True)
    }
    seen = {each: whole[owners[each.first]] for each in candidates if each.most is not None}
    # The model looks only at what would be taken if it had no doubt about it, often nothing more.
    while True:
        way = _cheapest(candidates, seen, len(owners))
        unseen = [each for each in way if each not in seen and not each.passed]
        if not unseen:
            return [seen[each] for each in way if not each.passed]
        groups = [list(range(each.first, each.end)) for each in unseen]
        seen.update(zip(unseen, judge(atoms, groups), strict=True))


def _candidates(
    pieces: Pieces, atoms: Pieces, owners: list[int], sure: set[int], height: float
) -> Iterator[_Candidate]:
    across = _overlaps(atoms.boxes, 0) * [one != other for one, other in pairwise(owners)]
    above = across * (_overlaps(atoms.boxes, 1) < APART)
    close = [False, *(across > TOGETHER), False]  # to the atom before each; none at the ends
    for first, end in _spans(atoms.boxes, owners, sure, height):
        joined = len(set(owners[first:end])) - 1
        # A character starts or ends in the middle of a piece where the next atom is of the same.
        starts_within = owners[first] in owners[:first]
        split = starts_within or owners[end - 1] in owners[end:]
        cost = PER_DIGIT + PER_JOIN * joined + PER_OVERLAP * (above[first - 1] if first else 0)
        most = None
        if not joined and not split:
            left, _, right, _ = around(atoms.boxes[first:end])
            most = (ODD if sure else UNKNOWN) * max(1.0, (right - left) / height - 0.3)
        if split:
            left, _, right, _ = pieces.boxes[owners[first if starts_within else end - 1]]
            cost += PER_CUT + PER_TIGHTNESS * max(0.0, PAIR - (right - left) / height)
        one = PER_ONE if split else PER_CLOSE_ONE * any(close[first : end + 1])
        yield _Candidate(first, end, cost, most, split, one)
    for place, side in enumerate(longest(atoms.boxes)):
        yield _Candidate(place, place + 1, PER_HEIGHT * float(side) / height, passed=True)


def _overlaps(boxes: Boxes, axis: int) -> NDArray[np.float64]:
    """Return (n - 1,): the share that a box and the next have in common of the narrower one's
    columns (axis 0), or of the flatter one's rows (axis 1).
    """
    first, last = boxes[:, axis], boxes[:, axis + 2]
    shared = np.minimum(last[1:], last[:-1]) - np.maximum(first[1:], first[:-1])
    sides = last - first
    overlaps: NDArray[np.float64] = np.maximum(shared, 0) / np.minimum(sides[1:], sides[:-1])
    return overlaps


def _cheapest(
    candidates: list[_Candidate], seen: dict[_Candidate, Glyph], count: int
) -> list[_Candidate]:
    """Return the candidates that together take `count` atoms at the least cost, in order."""
    cost = [0.0] + [np.inf] * count  # of the first so many atoms
    last: dict[int, _Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.end):
        own = candidate.judged(seen[candidate]) if candidate in seen else candidate.cost
        total = cost[candidate.first] + own
        if total < cost[candidate.end]:
            cost[candidate.end], last[candidate.end] = total, candidate
    way = []
    while count > 0:
        way.append(last[count])
        count = way[-1].first
    return way[::-1]


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
                aside = _overlaps(boxes[end - 2 : end], 0)[0] <= TOGETHER
                if (pieces <= sure and aside) or apart > JOINED * height or len(pieces) > 3:
                    break
            box = around(boxes[first:end])
            if len(pieces) > 1 and max(box[2] - box[0], box[3] - box[1]) > LARGEST * height:
                break
            if box[3] - box[1] >= 0.35 * height or len(owners) == 1:
                yield first, end
