"""How often the model is shown a piece of ink, and which of its answers counts."""

import numpy as np
import pytest
from strokes import write

from digitmlp.digits import PIXELS
from digitmlp.judge import CLEAR, Judge
from digitmlp.pieces import Pieces, find_pieces
from digitmlp.views import views

NINE = np.eye(10, dtype=np.float32)[9] * 0.98 + 0.002
VIEWS = 8


class Model:
    """Calls what it is shown first by digit and score, and everything later by others."""

    def __init__(self, first: tuple[int, float], later: tuple[int, list[float]]) -> None:
        self.first, self.later = first, later
        self.shown: list[np.ndarray] = []

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        digit, scores = self.later if self.shown else (self.first[0], [self.first[1]])
        self.shown.append(images)
        chances = np.full((len(images), 10), 0.002, np.float32)
        chances[:, digit] = 0.982
        return chances, np.array(scores, np.float32)


def a_four() -> Pieces:
    return find_pieces(write("4").ink * np.uint8(255))


@pytest.mark.parametrize("first", [4.0, 4.5 + CLEAR])
def test_closely_what_may_be_no_digit_is_told_by_its_least_doubtful_view(first):
    model = Model((2, first), (7, [0, 1, 2, 9.5, 3, 5, 5, 5]))
    (glyph,) = Judge(model, 1.0, 5.0)(a_four(), [[0]], closely=True)
    assert (glyph.digit, glyph.margin, glyph.is_digit) == (7, 4.5, True)
    image, others = model.shown
    np.testing.assert_array_equal(others, np.rint(views(image)[0]).astype(np.uint8))
    np.testing.assert_array_equal(glyph.image, others[3])


def test_without_a_better_view_the_first_look_counts():
    model = Model((2, 4.0), (7, [3.0] * VIEWS))
    (glyph,) = Judge(model, 1.0, 5.0)(a_four(), [[0]], closely=True)
    assert (glyph.digit, glyph.margin, glyph.is_digit) == (2, -1, False)
    np.testing.assert_array_equal(glyph.image, model.shown[0][0])


@pytest.mark.parametrize(("closely", "score"), [(True, 5 + CLEAR), (False, -9)])
def test_no_view_is_looked_at_of_a_clear_digit_or_of_parts(closely, score):
    model = Model((2, score), (7, [99] * VIEWS))
    (glyph,) = Judge(model, 1.0, 5.0)(a_four(), [[0]], closely=closely)
    assert len(model.shown) == 1
    assert (glyph.digit, glyph.margin) == (2, CLEAR if closely else -10)


def test_without_a_threshold_of_views_there_are_none():
    model = Model((2, 4.0), (7, [99] * VIEWS))
    (glyph,) = Judge(model, 5.0)(a_four(), [[0]], closely=True)
    assert len(model.shown) == 1
    assert (glyph.digit, glyph.margin) == (2, -1)


def test_a_view_that_is_sure_of_its_digit_counts_more_than_one_of_a_higher_score():
    def recognize(images):
        chances = np.full((len(images), 10), 0.002, np.float32)
        if len(images) == 1:
            chances[:, 2] = 0.982
            return chances, np.array([0.0], np.float32)
        chances[np.arange(VIEWS), [8, 7, *[8] * 6]] = [0.3, 0.982, *[0.3] * 6]
        return chances, np.array([9, 6, *[0] * 6], np.float32)

    (glyph,) = Judge(recognize, 1.0, 5.0)(a_four(), [[0]], closely=True)
    assert (glyph.digit, glyph.margin) == (7, 1)


def test_each_view_is_told_of_its_own_piece():
    pieces = find_pieces(write("47").ink * np.uint8(255))
    alone = Judge(by_ink, 0, 0)
    whole = alone(pieces, [[0], [1]])
    near = Judge(by_ink, 0, max(glyph.margin for glyph in whole) + 1)
    for glyph, plain in zip(near(pieces, [[0], [1]], closely=True), whole, strict=True):
        scores = by_ink(np.rint(views(plain.image[None])[0]).astype(np.uint8))[1]
        best = max(scores.max() - near.threshold_of_views, plain.margin - near.threshold_of_views)
        assert glyph.margin == pytest.approx(best)


def by_ink(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score images by their ink, all the same digit."""
    scores = images.reshape(-1, PIXELS).sum(1, dtype=np.float64) / 10_000
    return np.tile(NINE, (len(images), 1)), scores.astype(np.float32)


@pytest.mark.parametrize(("margin", "looks"), [(0, 2), (20, 1)])
def test_a_picture_cut_to_its_ink_is_looked_at_half_as_wide_too(margin, looks):
    page = write("0", size=(200, 200))
    left, top, right, bottom = page.boxes[0]
    cut_to_ink = page.ink[top:bottom, left:right]
    pieces = find_pieces(np.pad(cut_to_ink, margin) * np.uint8(255))
    seen = []

    def recognize(images):
        seen.extend(images)
        widths = (images > 0).any(1).sum(1)
        return np.eye(10, dtype=np.float32)[np.zeros(len(images), int)], -widths

    (glyph,) = Judge(recognize, 0, 0)(pieces, [[0]])
    assert len(seen) == looks
    np.testing.assert_array_equal(glyph.image, seen[-1])  # the narrow one scores higher
