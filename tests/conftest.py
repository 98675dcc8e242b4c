"""Digits made up for the tests: each class has a shape of its own, with noise."""

import os

import numpy as np
import pytest

from digitmlp.digits import Digits

# Before torch is imported, here and in every process a test starts: what is computed is so small
# that a second thread only waits, and seconds are lost where other work keeps the cores busy.
os.environ["OMP_NUM_THREADS"] = "1"


def make_digits(count: int, seed: int = 0) -> Digits:
    """Return digits that a small network learns: a bright block for each class, and noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        top, left = divmod(int(label), 5)
        images[row, 4 + 10 * top : 12 + 10 * top, 2 + 5 * left : 6 + 5 * left] += 180
    return Digits(images, labels)


@pytest.fixture
def digits() -> Digits:
    return make_digits(200)
