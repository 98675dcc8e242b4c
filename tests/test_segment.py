"""Which way a line of ink is taken apart, whatever the model."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digitmlp.judge import Judge
from digitmlp.layout import find_lines
from digitmlp.pieces import find_pieces
from digitmlp.segment import read_lines


def two_rings() -> np.ndarray:
    """Return ink of two rings that touch, 60 pixels high and twice as wide."""
    picture = Image.new("L", (160, 100), 0)
    draw = ImageDraw.Draw(picture)
    for left in (20, 78):
        draw.ellipse((left, 20, left + 60, 80), outline=255, width=7)
    return np.asarray(picture)


@pytest.mark.parametrize(("score", "text"), [(4.0, "00"), (1.0, "?"), (-2.0, "?")])
def test_a_piece_is_cut_only_into_digits_beyond_doubt(score, text):
    def recognize(images):
        wide, high = ((images > 127).any(axis).sum(1) for axis in (1, 2))
        is_whole = wide > 1.3 * high
        probabilities = np.full((len(images), 10), 0.001, np.float32)
        probabilities[:, 0] = 0.991
        return probabilities, np.where(is_whole, -6, score).astype(np.float32)

    pieces = find_pieces(two_rings())
    assert len(pieces) == 1
    lines = read_lines(pieces, find_lines(pieces.boxes, pieces.height), Judge(recognize, 0))
    read = [
        "".join(str(glyph.digit) if glyph.is_digit else "?" for glyph in line) for line in lines
    ]
    assert read == [text]
