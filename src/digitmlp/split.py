"""Rows for training and for validation, and the tensors made of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from digitmlp.errors import DataError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Images (n, inputs), uint8 pixels or float32 features, and labels int64 (n,), on one device.

    A whole set is one Batch as well: it stays on the device, and steps take rows of it.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


def tensors(images: NDArray[np.generic], labels: Rows, device: torch.device) -> Batch:
    """Return images (n, …), flattened to a row each, and labels (n,) as tensors on the device."""
    flat = np.ascontiguousarray(images).reshape(len(images), math.prod(images.shape[1:]))
    return Batch(
        torch.from_numpy(flat).to(device),
        torch.from_numpy(np.ascontiguousarray(labels, np.int64)).to(device),
    )


def stratified_split(labels: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the row numbers (from 0) for training and for validation, each in random order.

    Every class is represented in both as in the whole. Gives the rows that scikit-learn's
    `train_test_split(rows, test_size=share, stratify=labels, random_state=seed)` gives, without
    the second that its import takes; unlike it, a class with a single row goes to training, and
    there may be fewer validation rows than classes. A share of 0 leaves validation empty.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    single = np.isin(codes, np.flatnonzero(counts == 1))
    rows = np.flatnonzero(~single)
    held_out = int(np.ceil(share * len(rows)))
    if share == 0 or len(rows) == 0:
        return np.random.RandomState(seed).permutation(len(labels)), np.empty(0, np.int64)
    if held_out >= len(rows):
        raise DataError(
            f"{len(labels)} labelled rows cannot be split: validation {share} would take "
            f"{held_out} of the {len(rows)} rows; give more rows or a smaller --validation"
        )
    shared = counts[counts > 1]
    # RandomState, and every draw in this order: the row numbers must be scikit-learn's.
    random = np.random.RandomState(seed)
    for_training = _apportion(shared, len(rows) - held_out, random)
    for_validation = _apportion(shared - for_training, held_out, random)
    training, validation = [], []
    for code, first, second in zip(
        np.flatnonzero(counts > 1), for_training, for_validation, strict=True
    ):
        members = np.flatnonzero(codes == code)[random.permutation(counts[code])]
        training.append(members[:first])
        validation.append(members[first : first + second])
    kept = random.permutation(np.concatenate(training))
    return (
        np.concatenate([kept, np.flatnonzero(single)]),
        random.permutation(np.concatenate(validation)),
    )


def _apportion(counts: Rows, seats: int, random: np.random.RandomState) -> Rows:
    """Return how many of the seats each class gets: its share, ties of the remainder by lot."""
    exact = counts / counts.sum() * seats
    shares = np.floor(exact)
    missing = int(seats - shares.sum())
    remainder = exact - shares
    for value in np.unique(remainder)[::-1]:
        if missing <= 0:
            break
        tied = np.flatnonzero(remainder == value)
        chosen = random.choice(tied, size=min(len(tied), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    seats_taken: Rows = shares.astype(np.int64)
    return seats_taken
