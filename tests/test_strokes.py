"""Drawn digits: ones and sevens anew."""

import torch
from conftest import make_digits

from digitmlp import strokes


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_ones_and_sevens_alone_are_redrawn_and_named():
    made = make_digits(200)
    images = torch.from_numpy(made.images.reshape(200, -1)).float()
    labels = torch.from_numpy(made.labels)
    drawn, rows = strokes.redraw(images, labels, 0.5, random())
    changed = (drawn != images).any(1).nonzero()[:, 0]
    assert changed.tolist() == sorted(rows.tolist())
    assert set(labels[rows].tolist()) == {1, 7}
    assert 0.3 < len(rows) / (labels % 6 == 1).sum() < 0.7
    assert drawn.min() >= 0
    assert drawn.max() <= 255


def test_without_ones_and_sevens_nothing_is_redrawn():
    images, labels = torch.zeros(6, 784), torch.tensor([0, 2, 3, 4, 5, 6])
    drawn, rows = strokes.redraw(images, labels, 1.0, random())
    assert torch.equal(drawn, images)
    assert len(rows) == 0


def test_upstroke_of_a_one_stays_nearer_its_stem_than_the_bar_of_a_seven():
    one, seven = (make(200, random()) for make in (strokes._ones, strokes._sevens))
    lean = lambda a, b: torch.atan2(*(b - a).abs().unbind(-1))  # noqa: E731 - from the vertical
    assert lean(one[:, 1, 0], one[:, 1, -1]).rad2deg().max() < 60
    assert lean(seven[:, 0, 0], seven[:, 0, -1]).rad2deg().min() > 70
