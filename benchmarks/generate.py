"""Pictures made of MNIST's digits, to be scored by benchmarks/pictures.py.

python benchmarks/generate.py DATA FOLDER [--count 300] [--seed 0]

The digits are those that the trainings of `make weights` hold out, so that the weights that come
with digitmlp have not seen them. Each kind of picture gets a folder with labels.csv.
"""

import argparse
import csv
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from digitmlp import sources
from digitmlp.split import stratified_split

Ink = NDArray[np.uint8]

VALIDATION, SPLIT_SEED = 0.05, 302  # of `make weights`


class Digits:
    """Hands out digits, cropped to their ink, each with its label; and all chance."""

    def __init__(self, images: Ink, labels: NDArray[np.int64], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self._order = iter(self.random.permutation(len(images)).tolist() * 100)
        self._images, self._labels = images, labels

    def draw(self) -> tuple[Ink, str]:
        row = next(self._order)
        image = self._images[row]
        rows, columns = np.flatnonzero(image.max(1) > 99), np.flatnonzero(image.max(0) > 99)
        ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return ink, str(self._labels[row])


Kind = Callable[[Digits], tuple[Image.Image, str]]


def resized(ink: Ink, width: float, height: float) -> Ink:
    size = max(1, round(width)), max(1, round(height))
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC))


def mnist(digits: Digits) -> tuple[Image.Image, str]:
    """A digit in MNIST's own frame."""
    ink, label = digits.draw()
    frame = np.zeros((28, 28), np.uint8)
    top, left = (28 - ink.shape[0]) // 2, (28 - ink.shape[1]) // 2
    frame[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return Image.fromarray(frame), label


def small_grey(digits: Digits) -> tuple[Image.Image, str]:
    """16×16, grey, white on black, without a margin (USPS): nearly as wide as high."""
    ink, label = digits.draw()
    height, width = ink.shape
    wide = min(16, 16 * width / height * 1.15)
    part = resized(ink, wide, 16)
    frame = np.zeros((16, 16), np.uint8)
    left = (16 - part.shape[1]) // 2
    frame[:, left : left + part.shape[1]] = part
    return Image.fromarray(frame), label


def small_binary(digits: Digits) -> tuple[Image.Image, str]:
    """16×16, black and white, stretched over the whole frame (Semeion)."""
    ink, label = digits.draw()
    return Image.fromarray(np.where(resized(ink, 16, 16) > 110, 0, 255).astype(np.uint8)), label


def scan(digits: Digits) -> tuple[Image.Image, str]:
    """32×32, black and white, one side filled (a form's cell)."""
    ink, label = digits.draw()
    scale = 32 / max(ink.shape)
    part = resized(ink, ink.shape[1] * scale, ink.shape[0] * scale)
    frame = np.zeros((32, 32), np.uint8)
    top, left = (32 - part.shape[0]) // 2, (32 - part.shape[1]) // 2
    frame[top : top + part.shape[0], left : left + part.shape[1]] = part
    return Image.fromarray(np.where(frame > 110, 255, 0).astype(np.uint8)), label


def row_of_digits(digits: Digits, count: int, gaps: tuple[float, float]) -> tuple[Ink, str]:
    """A number 28 pixels high: gaps in pixels, negative ones overlap."""
    label, left = "", 0
    row = np.zeros((34, 40 * count), np.uint8)
    for place in range(count):
        ink, text = digits.draw()
        if place:
            left = max(0, left + round(digits.random.uniform(*gaps)))
        top = (34 - ink.shape[0]) // 2 + int(digits.random.integers(-2, 3))
        into = row[top : top + ink.shape[0], left : left + ink.shape[1]]
        np.maximum(into, ink, out=into)
        left, label = left + ink.shape[1], label + text
    return row[:, :left], label


def pair(digits: Digits, gaps: tuple[float, float]) -> tuple[Image.Image, str]:
    row, label = row_of_digits(digits, 2, gaps)
    zoom = digits.random.uniform(2, 5)
    row = np.pad(resized(row, row.shape[1] * zoom, row.shape[0] * zoom), 20)
    return Image.fromarray(255 - row if digits.random.random() < 0.5 else row), label


def two_digits(digits: Digits) -> tuple[Image.Image, str]:
    """A two-digit number, its digits apart."""
    return pair(digits, (1, 10))


def two_touching(digits: Digits) -> tuple[Image.Image, str]:
    """A two-digit number, its digits touching or nearly."""
    return pair(digits, (-3, 1))


def canvas(digits: Digits) -> tuple[Image.Image, str]:
    """A number of three to six digits, drawn large and apart on a clean ground."""
    random = digits.random
    row, label = row_of_digits(digits, int(random.integers(3, 7)), (3, 12))
    zoom = random.uniform(1.5, 8)
    row = resized(row, row.shape[1] * zoom, row.shape[0] * zoom)
    row = np.pad(row, int(random.uniform(0.05, 1.2) * len(row)))
    return Image.fromarray(255 - row if random.random() < 0.8 else row), label


def page(digits: Digits) -> tuple[Image.Image, str]:
    """Lines of numbers on paper, plain, ruled or squared, photographed in uneven light."""
    random = digits.random
    width, height = (int(random.integers(700, 1500)) for _ in range(2))
    size = random.uniform(0.045, 0.09) * width  # of a digit
    paper = np.full((height, width), random.uniform(0.75, 1), np.float32)
    spacing, kind = size * random.uniform(0.5, 1.6), random.integers(3)
    if kind:
        shade = random.uniform(0.75, 0.92)
        for edge in np.arange(spacing, height, spacing).astype(int):
            paper[edge : edge + max(1, width // 700)] *= shade
    if kind == 2:
        for edge in np.arange(spacing, width, spacing).astype(int):
            paper[:, edge : edge + max(1, width // 700)] *= shade
    ink = np.zeros((height, width), np.float32)
    labels, top = [], size
    while top < height - 2.5 * size and len(labels) < 4:
        row, label = row_of_digits(digits, int(random.integers(1, 8)), (2, 12))
        row = resized(row, row.shape[1] * size / 24, row.shape[0] * size / 24)
        left = int(random.uniform(1.5, 3) * size)
        row = row[:, : width - left]
        if left + row.shape[1] < width - size / 4:
            ink[int(top) : int(top) + row.shape[0], left : left + row.shape[1]] = row / 255
            labels.append(label)
        top += row.shape[0] + size * random.uniform(0.3, 1.5)
    page = paper * (1 - ink * random.uniform(0.25, 0.8))
    picture = Image.fromarray((page * 255).astype(np.uint8)).rotate(
        random.uniform(-6, 6), Image.Resampling.BICUBIC, fillcolor=int(paper.max() * 255)
    )
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle = random.uniform(0, 2 * np.pi)
    light = 1 - random.uniform(0, 0.5) * (0.5 + (np.cos(angle) * x + np.sin(angle) * y) / 2.8)
    if random.random() < 0.4:  # the shadow of a hand or a telephone
        shadow = Image.new("L", (width, height), 255)
        x0, y0 = random.uniform(-0.3, 0.8, 2) * (width, height)
        ImageDraw.Draw(shadow).ellipse((x0, y0, x0 + width * 0.6, y0 + height * 0.7), 150)
        light *= np.asarray(shadow.filter(ImageFilter.GaussianBlur(width / 60))) / 255.0
    noise = random.normal(0, random.uniform(0, 6), (height, width))
    pixels = (np.asarray(picture) * light + noise).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)), "|".join(labels)


def turned(digits: Digits) -> tuple[Image.Image, str]:
    """A page that lies askew on something dark, which shows at its corners, as in a scan."""
    picture, label = page(digits)
    random = digits.random
    angle, dark, whole = random.uniform(-5, 5), int(random.integers(0, 90)), random.random() < 0.5
    return picture.rotate(angle, Image.Resampling.BICUBIC, whole, fillcolor=dark), label


def scrawl(digits: Digits) -> tuple[Image.Image, str]:
    """A few strokes between nine points, as letters have them: no digit, but for a rare chance."""
    random = digits.random
    picture = Image.new("L", (100, 100), 255)
    draw = ImageDraw.Draw(picture)
    width = int(random.integers(3, 9))
    points = np.array([[x, y] for x in (20, 45, 70) for y in (15, 48, 82)])
    order = points[random.permutation(9)] + random.integers(-5, 6, (9, 2))
    for first, last in itertools.pairwise(order[:5]):
        ends = tuple(first.tolist()), tuple(last.tolist())
        if random.random() < 0.7:
            draw.line(ends, 0, width)
        else:
            (x0, y0), (x1, y1) = (np.minimum(first, last), np.maximum(first, last))
            start = int(random.integers(360))
            draw.arc((x0, y0, x1 + 15, y1 + 15), start, start + 200, 0, width)
    return picture, ""


KINDS: tuple[Kind, ...] = (
    mnist, small_grey, small_binary, scan, two_digits, two_touching, scrawl, page, canvas, turned,
)  # fmt: skip


def pictures(digits: Digits, kind: Kind, count: int) -> Iterator[tuple[str, Image.Image, str]]:
    for number in range(count):
        picture, label = kind(digits)
        yield f"{number:04}.png", picture, label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the digits and of all chance")
    options = parser.parse_args()
    read = sources.open_source(options.data).read_train()
    if read.labels is None:
        parser.error(f"{options.data}: has no labels")
    _, rows = stratified_split(read.labels, VALIDATION, SPLIT_SEED)
    for kind in KINDS:
        folder = options.folder / kind.__name__
        folder.mkdir(parents=True, exist_ok=True)
        digits = Digits(read.images[rows], read.labels[rows], options.seed)
        with (folder / "labels.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "label"])
            for name, picture, label in pictures(digits, kind, options.count):
                picture.save(folder / name)
                table.writerow([name, label])


if __name__ == "__main__":
    main()
