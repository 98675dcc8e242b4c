"""The split: scikit-learn's rows, and sense where scikit-learn refuses."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from digitmlp.errors import DataError
from digitmlp.split import stratified_split


@pytest.mark.parametrize("seed", range(25))
def test_split_gives_the_rows_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(10, random.integers(100, 3000), p=random.dirichlet(np.full(10, 3)))
    counts = np.bincount(labels, minlength=10)
    labels = labels[~np.isin(labels, np.flatnonzero(counts == 1))]
    share = [0.1, 0.2, 0.25, 0.33][seed % 4]
    expected = train_test_split(
        np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed
    )
    for ours, theirs in zip(stratified_split(labels, share, seed), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_class_with_one_row_goes_to_training():
    labels = np.array([0] * 10 + [1] * 10 + [7])
    rows, validation = stratified_split(labels, 0.2, 0)
    assert 20 in rows
    assert sorted([*rows, *validation]) == list(range(21))


def test_share_of_nothing_trains_on_all_rows():
    rows, validation = stratified_split(np.array([0, 1, 1, 0]), 0.0, 0)
    assert sorted(rows) == [0, 1, 2, 3]
    assert len(validation) == 0


def test_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError) as refusal:
        stratified_split(np.array([3, 3, 5, 5]), 0.9, 0)
    assert str(refusal.value) == (
        "4 labelled rows cannot be split: validation 0.9 would take 4 of the 4 rows; "
        "give more rows or a smaller --validation"
    )
