"""How many pictures of a folder are read rightly under other conditions than their own.

python benchmarks/conditions.py FOLDER [--every N]

FOLDER holds pictures and `labels.csv`, as for pictures.py. Each is read as it is and as a lamp, a
camera or a program may change it; what is read wrongly is printed with the condition.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from pictures import agree, labelled, plain
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from digitmlp.picture import decode
from digitmlp.reading import read
from digitmlp.recognizer import load

Change = Callable[[Image.Image], Image.Image]


def scaled(factor: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        size = [max(1, round(side * factor)) for side in image.size]
        return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)

    return change


def enlarged(longest: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        return scaled(max(longest / max(image.size), 1))(image)

    return change


def turned(degrees: float, fill: str | None) -> Change:
    def change(image: Image.Image) -> Image.Image:
        colour = fill or paper(image)
        return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=colour)

    return change


def paper(image: Image.Image) -> tuple[int, ...]:
    return tuple(int(level) for level in np.median(np.asarray(image), (0, 1)))


def framed(share: float, colour: str, *, beside: bool = True) -> Change:
    def change(image: Image.Image) -> Image.Image:
        bar = max(1, round(share * image.height))
        return ImageOps.expand(image, (bar if beside else 0, bar), colour)

    return change


def lit(across: float, down: float) -> Change:
    """Light falls off to so much of itself from left to right, and from top to bottom."""

    def change(image: Image.Image) -> Image.Image:
        light = np.outer(np.linspace(1, down, image.height), np.linspace(1, across, image.width))
        return _image(np.asarray(image) * light[..., None])

    return change


def vignetted(image: Image.Image) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    return _image(np.asarray(image) * (1 - 0.3 * (x * x + y * y))[..., None])


def shaded(rim: float) -> Change:
    """A shadow takes 0.45 of the light from a corner, its rim as soft as this share of the side."""

    def change(image: Image.Image) -> Image.Image:
        y, x = np.mgrid[: image.height, : image.width]
        beyond = 0.8 * x / image.width + 0.6 * y / image.height - 0.7
        return _image(np.asarray(image) * (1 - 0.45 / (1 + np.exp(-beyond / rim)))[..., None])

    return change


def ink(image: Image.Image) -> tuple[int, ...]:
    """Return a colour that is 150 grey levels darker than the paper, or lighter than dark paper."""
    step = 150 if sum(paper(image)) < 330 else -150
    return tuple(min(max(level + step, 0), 255) for level in paper(image))


def ruled(share: float, *, squared: bool = False) -> Change:
    """Lines are so much of the way from paper to ink, a third of the longer side apart."""

    def change(image: Image.Image) -> Image.Image:
        values, size = np.asarray(image).astype(float), max(image.size)
        lines = np.zeros(values.shape[:2], bool)
        step, wide = max(round(size / 3), 6), max(round(size / 150), 1)
        for first in range(step // 2, size, step):
            lines[first : first + wide] = True
            if squared:
                lines[:, first : first + wide] = True
        ground, colour = np.array(paper(image)), np.array(ink(image))
        line, darkest = ground + share * (colour - ground), colour.mean() < ground.mean()
        over = np.minimum(values, line) if darkest else np.maximum(values, line)
        return _image(np.where(lines[..., None], over, values))

    return change


def drawn_round(shape: str) -> Change:
    """A circle or a box is drawn round it, in ink, on paper that goes on."""

    def change(image: Image.Image) -> Image.Image:
        size = max(image.size)
        wide = ImageOps.expand(image, round(0.3 * size), paper(image))
        outline = (size // 12, size // 12, wide.width - size // 12, wide.height - size // 12)
        draw = ImageDraw.Draw(wide)
        {"circle": draw.ellipse, "box": draw.rectangle}[shape](
            outline, outline=ink(image), width=max(round(size / 30), 1)
        )
        return wide

    return change


def beside_desk(image: Image.Image) -> Image.Image:
    size = max(image.size)
    wide = ImageOps.expand(image, (0, 0, round(0.3 * size), 0), paper(image))
    wide.paste(ink(image), (wide.width - round(0.15 * size), 0, wide.width, wide.height))
    return wide


def rounded(image: Image.Image) -> Image.Image:
    corners = Image.new("L", image.size)
    right, bottom = image.width - 1, image.height - 1
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, right, bottom), min(image.size) / 5, 255)
    beyond = Image.new("RGB", image.size, ink(image))
    beyond.paste(image, mask=corners)
    return beyond


def coloured(pen: tuple[int, int, int], sheet: tuple[int, int, int]) -> Change:
    """Ink and paper have these colours, and what lies between those in between."""

    def change(image: Image.Image) -> Image.Image:
        grey = np.asarray(image.convert("L"), float)
        ground = float(np.median(grey))
        darkest, lightest = grey.min(), grey.max()
        end = lightest if lightest - ground > ground - darkest else darkest
        share = ((grey - ground) / ((end - ground) or 1)).clip(0, 1)[..., None]
        return _image(np.array(sheet) * (1 - share) + np.array(pen) * share)

    return change


def faint(share: float) -> Change:
    """So much of its contrast is left, in whole grey levels."""

    def change(image: Image.Image) -> Image.Image:
        return _image(120 + share * np.asarray(image, float))

    return change


def noisy(image: Image.Image) -> Image.Image:
    grain = np.random.default_rng(0).normal(0, 8, (image.height, image.width, 3))
    return _image(np.asarray(image) + grain)


def compressed(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 500))


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


RED_ON_GREEN = coloured((200, 50, 40), (70, 145, 60))
CONDITIONS: dict[str, Change] = {
    "as it is": lambda image: image,
    "0.7 as large": scaled(0.7),
    "1.5 as large": scaled(1.5),
    "enlarged to 500 pixels": enlarged(500),
    "turned by 3°": turned(3, None),
    "turned by -7°": turned(-7, None),
    "turned by 3°, white beside": turned(3, "white"),
    "turned by -7°, black beside": turned(-7, "black"),
    "a white frame": framed(0.1, "white"),
    "a black frame": framed(0.1, "black"),
    "bars above and below": framed(0.25, "black", beside=False),
    "round corners": rounded,
    "a desk at the right": beside_desk,
    "a circle round it": drawn_round("circle"),
    "a box round it": drawn_round("box"),
    "ruled paper": ruled(0.3),
    "ruled as dark as ink": ruled(0.6),
    "squared paper": ruled(0.3, squared=True),
    "a tenth of its contrast": faint(0.1),
    "light falls to all corners": vignetted,
    "light falls to the right": lit(0.75, 1),
    "light falls downwards": lit(1, 0.75),
    "less than half down there": lit(1, 0.45),
    "a shadow with a soft rim": shaded(0.02),
    "a shadow with a sharp rim": shaded(0.004),
    "noise": noisy,
    "JPEG of quality 30": compressed,
    "out of focus": blurred,
    "negative": ImageOps.invert,
    "yellow on white": coloured((255, 240, 0), (255, 255, 255)),
    "pink on light blue": coloured((255, 160, 190), (150, 195, 255)),
    "red on green, noise": lambda image: noisy(RED_ON_GREEN(image)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one of N pictures")
    options = parser.parse_args()
    if not (options.folder / "labels.csv").is_file():
        parser.error(f"{options.folder}: has no labels.csv; expected one beside its pictures")
    recognizer = load()
    pictures = labelled(options.folder)[:: options.every]
    right: Counter[str] = Counter()
    for path, label in pictures:
        image = Image.fromarray(decode(path).pixels).convert("RGB")
        for condition, change in CONDITIONS.items():
            text = plain(read(change(image), recognizer).text)
            if agree(text, label):
                right[condition] += 1
            else:
                print(f"{path.name}  {label}  {condition}: {text}")
    for condition in CONDITIONS:
        print(f"{condition:28} {right[condition]:5} of {len(pictures)}")


if __name__ == "__main__":
    main()
