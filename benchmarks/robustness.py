"""How a model bears what it was not trained for: spoiled digits, and what is none.

python benchmarks/robustness.py DATA RUN [--model M] [--outliers FOLDER]

DATA    Kaggle's digit-recognizer.zip
RUN     a run folder: its validation rows, which the model was not trained on, are spoiled
M       another model of the same split, such as what `digitmlp export --compact` makes of the run
FOLDER  pictures that show no digit, one each, in any sub-folders; as `digitmlp read` prepares them

The fifteen ways are those of MNIST-C (Mu and Gilmer 2019), written anew after their description:
near to the published set in kind, not the same pixels. Prints the error in each and the mean, then
the area under the ROC curve of `score_samples`, digits against each kind of outlier.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from digitmlp import runfolder, sources
from digitmlp.folder import pictures_in
from digitmlp.glyph import read_digit
from digitmlp.recognizer import Recognizer, load

Image = NDArray[np.float64]  # (28, 28), ink 1
Random = np.random.Generator
SIDE = 28
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def affine(image: Image, matrix: list[list[float]], shift: tuple[float, float] = (0, 0)) -> Image:
    """Return the image whose pixel p comes from matrix · (p - centre) + centre + shift."""
    centre = np.full(2, (SIDE - 1) / 2)
    offset = centre - np.array(matrix) @ centre + shift
    return ndimage.affine_transform(image, np.array(matrix), offset, order=1)


def rotate(image: Image, random: Random) -> Image:
    angle = random.choice([-1, 1]) * 0.5
    return affine(image, [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def shear(image: Image, random: Random) -> Image:
    return affine(image, [[1, 0], [random.choice([-1, 1]) * 0.6, 1]])


def scale(image: Image, _: Random) -> Image:
    return affine(image, [[1 / 0.6, 0], [0, 1 / 0.6]])


def translate(image: Image, random: Random) -> Image:
    return affine(image, [[1, 0], [0, 1]], tuple(random.choice([-5, -4, 4, 5], 2)))


def shot_noise(image: Image, random: Random) -> Image:
    return random.poisson(image * 5) / 5 + random.poisson(0.04, image.shape) / 5


def impulse_noise(image: Image, random: Random) -> Image:
    hit = random.random(image.shape)
    return np.where(hit < 0.1, 0, np.where(hit > 0.9, 1, image))


def glass_blur(image: Image, random: Random) -> Image:
    image = ndimage.gaussian_filter(image, 0.7)
    moved = [axis + random.integers(-1, 2, image.shape) for axis in (ROWS, COLUMNS)]
    image = image[moved[0].clip(0, SIDE - 1), moved[1].clip(0, SIDE - 1)]
    return ndimage.gaussian_filter(image, 0.7)


def motion_blur(image: Image, random: Random) -> Image:
    angle, steps = random.uniform(-np.pi / 4, np.pi / 4), np.linspace(-4, 4, 9)
    ways = [(step * np.sin(angle), step * np.cos(angle)) for step in steps]
    return np.mean([ndimage.shift(image, way, order=1) for way in ways], 0)


def brightness(image: Image, _: Random) -> Image:
    return image + 0.5


def fog(image: Image, random: Random) -> Image:
    cloud = sum(
        ndimage.zoom(random.random((2**k + 1,) * 2), SIDE / (2**k + 1), order=1)[:SIDE, :SIDE] / k
        for k in range(1, 5)
    )
    cloud = (cloud - cloud.min()) / np.ptp(cloud)
    return (image + 1.5 * cloud) / 2.0


def stripe(image: Image, _: Random) -> Image:
    image = image.copy()
    image[:, :7], image[:, 21:] = 1 - image[:, :7], 1 - image[:, 21:]
    return image


def spatter(image: Image, random: Random) -> Image:
    drops = ndimage.gaussian_filter(random.standard_normal(image.shape), 1.2)
    return np.where(drops > 1.2 * drops.std(), 0.9, image)


def dotted_line(image: Image, random: Random) -> Image:
    return _across(image, random, dots=True, steep=0)


def zigzag(image: Image, random: Random) -> Image:
    return _across(image, random, dots=False, steep=3)


def canny_edges(image: Image, _: Random) -> Image:
    inside = image > 0.4
    return (inside ^ ndimage.binary_erosion(inside)).astype(float)


def _across(image: Image, random: Random, *, dots: bool, steep: float) -> Image:
    """Draw a bright line from the left to the right edge."""
    image, (first, last) = image.copy(), random.uniform(4, SIDE - 4, 2)
    for place in np.arange(0, SIDE, 0.25):
        row = first + (last - first) * place / SIDE
        row += steep * (abs(place / 2 % 4 - 2) - 1)
        if not (dots and int(place) % 3 == 2):
            image[int(np.clip(row, 0, SIDE - 1)), int(place)] = 1
    return image


WAYS: list[Callable[[Image, Random], Image]] = [
    shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness,
    translate, stripe, fog, spatter, dotted_line, zigzag, canny_edges,
]  # fmt: skip


def spoiled(images: NDArray[np.uint8], way: Callable[[Image, Random], Image]) -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    made = np.stack([way(image / 255, random) for image in images])
    return np.rint(made.clip(0, 1) * 255).astype(np.uint8)


def chance(count: int) -> dict[str, NDArray[np.uint8]]:
    """Return images of no digit that need no pictures, by kind."""
    random = np.random.default_rng(1)
    white = random.integers(0, 256, (count, SIDE, SIDE))
    cloudy = ndimage.gaussian_filter(random.standard_normal((count, SIDE, SIDE)), (0, 2, 2))
    cloudy = (cloudy / cloudy.std() * 64 + 128).clip(0, 255)
    sparse = np.where(random.random((count, SIDE, SIDE)) < 0.15, 255, 0)
    kinds = {"white noise": white, "clouds": cloudy, "sparse dots": sparse}
    return {name: images.astype(np.uint8) for name, images in kinds.items()}


def score(images: NDArray[np.uint8], labels: NDArray[np.int64], model: Recognizer) -> None:
    errors = []
    for way in WAYS:
        wrong = model.predict(spoiled(images, way)) != labels
        errors.append(wrong.mean())
        print(f"{way.__name__:16} {errors[-1]:7.2%}")
    print(f"{'mean of 15':16} {np.mean(errors):7.2%}")
    print(f"{'not spoiled':16} {np.mean(model.predict(images) != labels):7.2%}")


def score_outliers(
    images: NDArray[np.uint8], odd: dict[str, NDArray[np.uint8]], model: Recognizer
) -> None:
    of_digits = model.score_samples(images)
    for name, others in odd.items():
        of_others = model.score_samples(others)
        truth = np.repeat([1, 0], [len(images), len(others)])
        area = roc_auc_score(truth, np.concatenate([of_digits, of_others]))
        bar = np.quantile(of_digits, 0.01)
        print(
            f"{name:16} AUROC {area:7.2%}, {np.mean(of_others < bar):.1%} of {len(others)} refused "
            "with 1 % of the digits"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--outliers", type=Path)
    options = parser.parse_args()
    digits = sources.open_source(options.data).read_train()
    rows = runfolder.read_config(options.run)["validation_rows"]
    held_out, model = digits.select(np.array(rows)), load(options.model or options.run)
    assert held_out.labels is not None
    score(held_out.images, held_out.labels, model)
    odd = chance(2000)
    if options.outliers:
        for folder in sorted({path.parent for path in pictures_in(options.outliers, [])}):
            odd[folder.name] = np.stack([read_digit(path) for path in pictures_in(folder, [])])
    score_outliers(held_out.images, odd, model)


if __name__ == "__main__":
    main()
