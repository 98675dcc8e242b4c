"""Which way a line of ink is taken apart, whatever the model."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import label
from strokes import write

from digitmlp.judge import Judge
from digitmlp.layout import find_lines
from digitmlp.pieces import Pieces, find_pieces
from digitmlp.segment import PER_CUT, PER_DIGIT, PER_JOIN, _candidates, read_lines


def two_rings() -> np.ndarray:
    """Return ink of two rings that touch, 60 pixels high and twice as wide."""
    picture = Image.new("L", (160, 100), 0)
    draw = ImageDraw.Draw(picture)
    for left in (20, 78):
        draw.ellipse((left, 20, left + 60, 80), outline=255, width=7)
    return np.asarray(picture)


def read(ink: np.ndarray, recognize) -> list[str]:
    """Return each line's digits, a ? for what is none."""
    pieces = find_pieces(ink)
    lines = read_lines(pieces, find_lines(pieces.boxes, pieces.height), Judge(recognize, 0, 0))
    return [
        "".join(str(glyph.digit) if glyph.is_digit else "?" for glyph in line) for line in lines
    ]


@pytest.mark.parametrize(("score", "text"), [(4.0, "00"), (1.0, "?"), (-2.0, "?")])
def test_a_piece_is_cut_only_into_digits_beyond_doubt(score, text):
    def recognize(images):
        wide, high = ((images > 127).any(axis).sum(1) for axis in (1, 2))
        is_whole = wide > high  # in any view
        probabilities = np.full((len(images), 10), 0.001, np.float32)
        probabilities[:, 0] = 0.991
        return probabilities, np.where(is_whole, -6, score).astype(np.float32)

    assert len(find_pieces(two_rings())) == 1
    assert read(two_rings(), recognize) == [text]


def test_a_piece_is_a_digit_if_it_is_one_in_another_view():
    seen = []

    def recognize(images):
        score = -1 if not seen else 9
        seen.append(len(images))
        probabilities = np.full((len(images), 10), 0.001, np.float32)
        probabilities[:, 3] = 0.991
        return probabilities, np.full(len(images), score, np.float32)

    assert read(write("3").ink * np.uint8(255), recognize) == ["3"]
    assert seen == [1, 8]


def two_hooks(right: int) -> np.ndarray:
    """Return ink of two hooks, 80 by 55 pixels, the lower one so much farther to the right."""
    picture = Image.new("L", (220, 140), 0)
    draw = ImageDraw.Draw(picture)
    for left, top in ((20, 15), (20 + right, 60)):
        draw.line([(left, top), (left + 80, top), (left + 5, top + 55)], fill=255, width=6)
    return np.asarray(picture)


@pytest.mark.parametrize(("right", "text"), [(30, "3"), (38, "3"), (85, "77")])
def test_pieces_above_each_other_are_parts_of_one_digit_however_sure_each_is(right, text):
    def recognize(images):
        levels = [label((image > 127).sum(1) > 8)[1] for image in images]  # long strokes
        digits = [3 if count == 2 else 7 for count in levels]
        probabilities = np.full((len(images), 10), 0.005, np.float32)
        probabilities[range(len(images)), digits] = 0.955
        return probabilities, np.full(len(images), 5, np.float32)

    assert len(find_pieces(two_hooks(right))) == 2
    assert read(two_hooks(right), recognize) == [text]


def test_slanted_digits_side_by_side_stay_apart():
    picture = Image.new("L", (120, 140), 0)
    draw = ImageDraw.Draw(picture)
    for foot in (20, 40):
        draw.line([(foot + 40, 20), (foot, 120)], fill=255, width=7)

    def recognize(images):
        probabilities = np.full((len(images), 10), 0.005, np.float32)
        probabilities[:, 1] = 0.955
        return probabilities, np.full(len(images), 5, np.float32)

    assert len(find_pieces(np.asarray(picture))) == 2
    assert read(np.asarray(picture), recognize) == ["11"]


@pytest.mark.parametrize(("apart", "sure", "text"), [(14, 0.95, "4"), (30, 0.85, "11")])
def test_strokes_beside_each_other_are_ones_only_where_they_share_few_columns(apart, sure, text):
    picture = Image.new("L", (140, 140), 0)
    draw = ImageDraw.Draw(picture)
    for foot, head in ((20, 20), (20 + apart, 40)):
        draw.line([(foot + 40, head), (foot, head + 80)], fill=255, width=7)

    def recognize(images):
        strokes = [label(image[14] > 127)[1] for image in images]
        probabilities = np.full((len(images), 10), 0.005, np.float32)
        for row, count in zip(probabilities, strokes, strict=True):
            row[[1, 4]] = (0, 0.955) if count == 2 else (sure, 0)
        return probabilities, np.full(len(images), 5, np.float32)

    assert len(find_pieces(np.asarray(picture))) == 2
    assert read(np.asarray(picture), recognize) == [text]


def test_tightness_is_that_of_the_piece_that_is_cut():
    """A narrow stroke joined to the near half of a wide piece, and the mirror image of both."""
    narrow, wide, height = [0, 0, 8, 60], [20, 0, 90, 60], 60
    halves = [20, 0, 55, 60], [55, 0, 90, 60]
    flat = np.zeros((60, 100), np.uint8)
    costs = []
    for mirrored in (False, True):
        boxes, owners = [narrow, *halves], [0, 1, 1]
        both = [narrow, wide]
        if mirrored:
            boxes, owners, both = (turned[::-1] for turned in (boxes, owners, both))
            boxes, both = (
                [[90 - right, 0, 90 - left, 60] for left, _, right, _ in given]
                for given in (boxes, both)
            )
            owners = [0, 0, 1]
        line, atoms = (Pieces(flat, flat, np.array(given), height) for given in (both, boxes))
        place = (1, 3) if mirrored else (0, 2)
        found = _candidates(line, atoms, owners, set(), height)
        costs += [each.cost for each in found if (each.first, each.end) == place]
    assert costs[0] == costs[1] == PER_DIGIT + PER_JOIN + PER_CUT
