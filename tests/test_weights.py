"""The weights that come with the package."""

import subprocess
import sys

import numpy as np
import pytest

from digitmlp import load, recognizer, sources


@pytest.fixture(scope="module")
def shipped():
    return load()


def test_they_are_small():
    assert recognizer.SHIPPED.stat().st_size <= 5_000_000


def test_their_card_tells_how_well_they_read(shipped):
    assert shipped.card.held_out["count"] >= 2000
    assert shipped.card.held_out["accuracy"] > 0.99
    assert shipped.card.model.nothing


def test_they_read_digits_of_another_collection(shipped):
    uci = sources.open_source("uci").read_test()
    assert np.mean(shipped.predict(uci.images) == uci.labels) > 0.98
    assert np.mean(shipped.score_samples(uci.images) >= shipped.threshold) > 0.98


def test_they_refuse_what_is_no_digit(shipped):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    blank = np.zeros((1, 28, 28), np.uint8)
    grey = np.full((1, 28, 28), 128, np.uint8)
    cross = np.zeros((1, 28, 28), np.uint8)
    cross[0, 4:24, 12:16] = cross[0, 12:16, 4:24] = 255
    for odd in (noise, blank, grey, cross):
        assert np.mean(shipped.score_samples(odd) < shipped.threshold) > 0.95


def test_reading_with_them_loads_no_torch():
    code = "import sys, digitmlp; digitmlp.load(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
