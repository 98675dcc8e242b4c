"""Digits: the images and labels that every source is read into."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from digitmlp.errors import DataError

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10

NAMED = ("uci", "mnist")  # sources that are no path

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Digits:
    """Images of digits, with labels where they are known.

    images  uint8 (n, 28, 28), ink 255 on ground 0
    labels  int64 (n,), 0-9; None where they are not known
    names   file names of a folder of pictures; None where a row number is all there is
    """

    images: Images
    labels: Labels | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.shape[1:] == (SIDE, SIDE)
        assert self.labels is None or self.labels.shape == (len(self),)
        assert self.names is None or len(self.names) == len(self)

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def none() -> "Digits":
        """Return no digits."""
        return Digits(np.empty((0, SIDE, SIDE), np.uint8))

    def select(self, rows: NDArray[np.intp]) -> "Digits":
        """Return the digits of these rows, in this order."""
        return Digits(
            self.images[rows],
            None if self.labels is None else self.labels[rows],
            None if self.names is None else tuple(self.names[row] for row in rows),
        )

    def digest(self) -> str:
        """Return a SHA-256 of images and labels: equal digits in equal order, equal digest."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        if self.labels is not None:
            digest.update(self.labels.astype(np.uint8).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What DATA offers; nothing is read before one of its functions is called.

    train        yields the labelled part to train on, in order, in batches of bounded size; None
                 where there is none
    test         yields the test part likewise, with labels where the source has them
    ids          reads Kaggle's ImageIds in the order of the test part; None: count from 1
    named        the digits have file names: predictions are `file,label` rows
    no_train     why there is nothing to train on, where there is not
    no_test      why there is nothing to predict for, where there is not
    bad          a sentence for each file that was passed over; fills while the digits are read
    """

    name: str
    train: Callable[[], Iterator[Digits]] | None = None
    test: Callable[[], Iterator[Digits]] | None = None
    ids: Callable[[], NDArray[np.int64]] | None = None
    named: bool = False
    no_train: str = "has no labels; training and evaluation need them"
    no_test: str = "has labels for all its digits; give digits without labels to predict for"
    bad: list[str] = field(default_factory=list)

    def read_train(self) -> Digits:
        """Return the labelled part; raises DataError where the source has none."""
        if self.train is None:
            raise DataError(f"{self.name}: {self.no_train}")
        digits = concatenate(list(self.train()))
        if not len(digits):
            raise DataError(f"{self.name}: has no rows; training needs labelled digits")
        return digits

    def stream_test(self) -> Iterator[Digits]:
        """Return the batches of the test part; raises DataError where the source has none."""
        if self.test is None:
            raise DataError(f"{self.name}: {self.no_test}")
        return self.test()

    def read_test(self) -> Digits | None:
        """Return the whole test part, or None where the source has none."""
        if self.test is None:
            return None
        return concatenate(list(self.test()))

    def read_labelled_test(self) -> Digits | None:
        """Return the whole test part where it has labels, else None."""
        if self.test is None or next(self.test(), Digits.none()).labels is None:
            return None
        return self.read_test()


def concatenate(batches: list[Digits]) -> Digits:
    """Return the batches as one; they agree in having labels and names. No batch: no digits."""
    if not batches:
        return Digits.none()
    labels = [batch.labels for batch in batches if batch.labels is not None]
    names = [batch.names for batch in batches if batch.names is not None]
    return Digits(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate(labels) if labels else None,
        tuple(name for part in names for name in part) if names else None,
    )
