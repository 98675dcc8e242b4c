"""Digits drawn anew, as other hands write them."""

import numpy as np
import pytest
import torch
from conftest import make_digits
from scipy.ndimage import label

from digitmlp import hands, load
from digitmlp.strokes import draw

COUNT = 200


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_only_digits_of_other_hands_are_redrawn_and_named():
    made = make_digits(600)
    images = torch.from_numpy(made.images.reshape(600, -1)).float()
    labels = torch.from_numpy(made.labels)
    drawn, rows = hands.redraw(images, labels, 0.5, random())
    changed = (drawn != images).any(1).nonzero()[:, 0]
    assert changed.tolist() == sorted(rows.tolist())
    assert set(labels[rows].tolist()) == set(hands.HANDS)
    able = torch.isin(labels, torch.tensor(list(hands.HANDS))).sum()
    assert 0.4 < len(rows) / able < 0.6
    assert drawn.min() >= 0
    assert drawn.max() <= 255


def test_of_other_digits_nothing_is_redrawn():
    labels = torch.tensor([digit for digit in range(10) if digit not in hands.HANDS])
    images = torch.rand(len(labels), 784)
    drawn, rows = hands.redraw(images, labels, 1.0, random())
    assert torch.equal(drawn, images)
    assert len(rows) == 0


@pytest.mark.parametrize("digit", hands.HANDS)
def test_drawn_digits_are_what_their_label_says(digit):
    labels = torch.full((COUNT,), digit)
    drawn, _ = hands.redraw(torch.zeros(COUNT, 784), labels, 1.0, random())
    found = load().predict(drawn.to(torch.uint8).numpy().reshape(-1, 28, 28))
    assert np.mean(found == digit) > 0.9


@pytest.mark.parametrize("digit", hands.HANDS)
def test_digits_reach_from_top_to_foot_and_hardly_aside(digit):
    points = hands.HANDS[digit](COUNT, random()).flatten(1, 2)
    low, high = points.amin(1), points.amax(1)
    torch.testing.assert_close(high[:, 1], torch.ones(COUNT), atol=0.2, rtol=0)
    torch.testing.assert_close(low[:, 1], -torch.ones(COUNT), atol=0.2, rtol=0)
    assert points[..., 0].abs().max() < 1.3


def test_zeros_close_and_some_are_square():
    points = hands.zeros(COUNT, random())
    torch.testing.assert_close(points[:, 0, 0], points[:, -1, -1], atol=1e-5, rtol=0)
    flat = points.flatten(1, 2)
    high = (flat[..., 1] > 0.95).float().mean(1)  # the share of the loop that is its foot
    assert high.min() < 0.15
    assert high.max() > 0.2
    wide = flat[..., 0].amax(1)
    assert wide.min() < 0.45
    assert wide.max() > 0.85


def test_upstroke_of_a_one_stays_nearer_its_stem_than_the_bar_of_a_seven():
    one, seven = hands.ones(COUNT, random()), hands.sevens(COUNT, random())
    lean = lambda a, b: torch.atan2(*(b - a).abs().unbind(-1))  # noqa: E731 - from the vertical
    assert lean(one[:, 1, 0], one[:, 1, -1]).rad2deg().max() < 60
    assert lean(seven[:, 0, 0], seven[:, 0, -1]).rad2deg().min() > 70


@pytest.mark.parametrize(
    ("make", "stroke", "share"),
    [(hands.ones, 2, 0.3), (hands.sevens, 2, 0.75), (hands.sevens, 3, 0.3)],
)
def test_some_have_a_foot_a_bar_or_a_serif(make, stroke, share):
    drawn = make(COUNT, random())[:, stroke]
    is_there = (drawn[:, 0] - drawn[:, -1]).norm(dim=1) > 0.1
    assert is_there.float().mean() == pytest.approx(share, abs=0.12)


def test_fours_are_closed_or_open_and_some_lack_half_a_stem():
    down, across, stem = hands.fours(COUNT, random()).unbind(1)
    torch.testing.assert_close(down[:, -1], across[:, 0])
    is_closed = torch.isclose(down[:, 0], stem[:, 0]).all(1)
    is_half = torch.isclose(across[:, -1], stem[:, 0], atol=1e-4).all(1)
    assert 0.2 < is_closed.float().mean() < 0.4
    assert 0.1 < is_half.float().mean() < 0.3
    assert not (is_closed & is_half).any()


def test_bowl_of_a_five_hangs_on_its_neck_and_may_curl_in():
    top, neck, bowl, rest = hands.fives(COUNT, random()).unbind(1)
    torch.testing.assert_close(top[:, 0], neck[:, 0])
    torch.testing.assert_close(neck[:, -1], bowl[:, 0])
    end = rest[:, -1]
    apart = (end - bowl[:, 0]).norm(dim=1)
    assert apart.min() < 0.35  # curled in
    assert apart.max() > 0.8  # open
    assert (rest[:, :, 1].amax(1) > 0.99).all()


@pytest.mark.parametrize("digit", hands.HANDS)
def test_strokes_of_a_digit_hold_together(digit):
    points = hands.HANDS[digit](COUNT, random()).flatten(1, 2)
    images = draw(points, random()).view(-1, 28, 28).numpy()
    pieces = [label(image > 40)[1] for image in images]
    assert pieces.count(1) >= 0.8 * COUNT
