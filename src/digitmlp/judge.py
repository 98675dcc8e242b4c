"""What the model says of ink that is taken for one character."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitmlp.digits import Images
from digitmlp.glyph import narrowed, to_digit
from digitmlp.pieces import Boxes, Pieces, around, cut_out
from digitmlp.views import views

CLEAR = 3.0  # margin from which no other view is looked at

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Glyph:
    """What is taken for one character.

    image        uint8 (28, 28), as the model saw it
    box          (4,): left, top, right, bottom in the ink
    digit        the likeliest
    probability  of it
    margin       by how much the score is above the threshold that applies; below 0 it is no digit
    """

    image: Images
    box: Boxes
    digit: int
    probability: float
    margin: float

    @property
    def is_digit(self) -> bool:
        """Whether it is no letter, symbol or dirt."""
        return self.margin >= 0

    @property
    def doubt(self) -> float:
        """How far from sure it is that this is its digit, in nats."""
        sure = self.probability / (1 + np.exp(-self.margin))
        return -float(np.log(min(sure + 1e-4, 1.0)))


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that tells digits, and how it is shown them.

    recognize           gives probabilities (n, 10) and scores (n,) of images (n, 28, 28)
    threshold           a score below it is no digit
    threshold_of_views  the same of what is looked at closely; None: nothing is
    turn                degrees by which ink is turned counterclockwise first
    """

    recognize: Callable[[Images], tuple[Floats, Floats]]
    threshold: float
    threshold_of_views: float | None = None
    turn: float = 0.0

    def __call__(
        self, pieces: Pieces, groups: list[list[int]], *, closely: bool = False
    ) -> list[Glyph]:
        """Return a glyph for each group of pieces that are taken for one character.

        closely  whether what may be no digit is looked at in other views as well, of which the
                 least doubtful counts
        """
        if not groups:
            return []
        boxes = [around(pieces.boxes[group]) for group in groups]
        images: list[Images] = []
        owners: list[int] = []
        for place, (group, box) in enumerate(zip(groups, boxes, strict=True)):
            ink = self._turned(cut_out(pieces, group, box))
            inks = [ink, narrowed(ink)] if _fills(box, pieces.ink.shape) else [ink]
            images += map(to_digit, inks)
            owners += [place] * len(inks)
        of_views = self.threshold_of_views if closely else None
        threshold = self.threshold if of_views is None else of_views
        best: dict[int, Glyph] = {}

        def look(images: Images, owners: list[int]) -> None:
            probabilities, scores = self.recognize(images)
            for place, image, likely, score in zip(
                owners, images, probabilities, scores, strict=True
            ):
                digit = int(likely.argmax())
                margin = float(score) - threshold
                glyph = Glyph(image, boxes[place], digit, float(likely[digit]), margin)
                if place not in best or glyph.doubt < best[place].doubt:
                    best[place] = glyph

        look(np.stack(images), owners)
        unsure = [n for n, place in enumerate(owners) if best[place].margin < CLEAR]
        if of_views is not None and unsure:
            others = np.rint(views(np.stack([images[n] for n in unsure]))).astype(np.uint8)
            look(np.concatenate(others), [owners[n] for n in unsure for _ in others[0]])
        return list(best.values())

    def _turned(self, ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.turn == 0:
            return ink
        image = Image.fromarray(ink)
        return np.asarray(image.rotate(self.turn, Image.Resampling.BICUBIC, expand=True))


def _fills(box: Boxes, shape: tuple[int, ...]) -> bool:
    """Return whether the box reaches all sides of a picture of this shape.

    Such a picture was cut to its ink, and may have been stretched to its form.
    """
    height, width = shape
    slack = 0.04 * min(shape)
    apart = box - np.array([0, 0, width, height])
    return bool((np.abs(apart) <= slack).all())
