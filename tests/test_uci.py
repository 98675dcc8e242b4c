"""The UCI digits, brought into MNIST's form."""

import numpy as np
import pytest

from digitmlp.digits import Digits, concatenate
from digitmlp.sources import open_source


@pytest.fixture(scope="module")
def parts() -> tuple[Digits, Digits]:
    source = open_source("uci")
    return source.read_train(), source.read_test()


def test_a_quarter_of_each_label_is_the_test_part(parts):
    train, test = parts
    assert len(train) + len(test) == 1797
    for digits, share in ((train, 3 / 4), (test, 1 / 4)):
        counts = np.bincount(np.concatenate([parts[0].labels, parts[1].labels]))
        assert np.all(np.abs(np.bincount(digits.labels) - share * counts) < 1)


def test_every_digit_is_in_one_part_only_and_always_the_same(parts):
    train, test = parts
    seen = {image.tobytes() for image in train.images}
    assert not seen & {image.tobytes() for image in test.images}
    again = open_source("uci")
    assert concatenate([again.read_train()]).digest() == train.digest()
    assert again.read_test().digest() == test.digest()


def test_digits_stand_as_mnists_do(parts):
    images = np.concatenate([digits.images for digits in parts])
    for image in images:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert max(height, width) in (19, 20)  # 20, but for a row too faint to count
        centre = (
            np.arange(28) @ image.sum(1) / image.sum(),
            image.sum(0) @ np.arange(28) / image.sum(),
        )
        assert np.allclose(centre, 13.5, atol=1)
    assert 30 < images.mean() < 45  # MNIST: 33
    assert 0.06 < (images > 250).mean() < 0.12  # MNIST: 0.07
