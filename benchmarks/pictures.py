"""How many pictures of a folder are read rightly: a table, and a sheet of the mistakes.

python benchmarks/pictures.py FOLDER [--model M] [--sheet mistakes.png] [--single]

FOLDER, or each folder below it, holds pictures and `labels.csv` with the columns file and label.
A label is the digits in the picture, its lines parted by `|`; one without digits says that there
is nothing to read. Spaces do not count. What is not to be read is right when no digit is.
"""

import argparse
import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from digitmlp.reading import Reading, read
from digitmlp.recognizer import Recognizer, load

TILE, CAPTION, COLUMNS = 120, 14, 12


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read in a picture, beside what stands there."""

    path: Path
    label: str
    text: str
    reading: Reading | None
    seconds: float

    @property
    def is_right(self) -> bool:
        return agree(self.text, self.label)


def has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def agree(text: str, label: str) -> bool:
    """Return whether what was read is right; what holds no digit is all the same."""
    return text == label or not (has_digit(text) or has_digit(label))


def plain(text: str) -> str:
    """Return a reading's text, or a label, without spaces, its lines parted by `|`."""
    return text.replace(" ", "").replace("\n", "|")


def labelled(folder: Path) -> list[tuple[Path, str]]:
    """Return the pictures of a folder's labels.csv, each with its label."""
    with (folder / "labels.csv").open(newline="") as file:
        return [(folder / row["file"], plain(row["label"])) for row in csv.DictReader(file)]


def labelled_folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("labels.csv"))


def score(folder: Path, recognizer: Recognizer, single: bool = False) -> list[Answer]:
    """Return an answer for each row of the folder's labels.csv."""
    answers = []
    for path, label in labelled(folder):
        began = time.perf_counter()
        try:
            reading = read(path, recognizer, single=single)
            text = plain(reading.text)
        except Exception as error:  # a crash is a mistake to be seen on the sheet
            reading, text = None, type(error).__name__
        answers.append(Answer(path, label, text, reading, time.perf_counter() - began))
    return answers


def print_table(folder: Path, results: dict[Path, list[Answer]]) -> None:
    print(f"{'folder':28} {'pictures':>8} {'right':>7} {'share':>7} {'? or none':>9} {'ms':>6}")
    for path, answers in results.items():
        right = sum(answer.is_right for answer in answers)
        silent = sum(
            "?" in answer.text or not answer.text for answer in answers if not answer.is_right
        )
        milliseconds = 1000 * float(np.median([answer.seconds for answer in answers]))
        name = str(path.relative_to(folder)) if path != folder else path.name
        print(
            f"{name:28} {len(answers):8} {right:7} {right / len(answers):7.2%} "
            f"{silent:9} {milliseconds:6.1f}"
        )


def draw_sheet(mistakes: list[Answer]) -> Image.Image:
    """Return a sheet of pictures, each above what the model saw of it, label and text below."""
    columns = min(COLUMNS, max(len(mistakes), 1))
    height = TILE + 30 + 2 * CAPTION
    sheet = Image.new("RGB", (columns * (TILE + 8), max(1, -(-len(mistakes) // columns)) * height))
    draw = ImageDraw.Draw(sheet)
    for place, mistake in enumerate(mistakes):
        x, y = place % columns * (TILE + 8), place // columns * height
        if mistake.reading is not None:
            tile = Image.fromarray(mistake.reading.pixels).convert("RGB")
            sheet.paste(ImageOps.contain(tile, (TILE, TILE), Image.Resampling.BICUBIC), (x, y))
            digits = [digit for number in mistake.reading.numbers for digit in number.digits]
            for index, digit in enumerate(digits[: TILE // 29]):
                sheet.paste(Image.fromarray(digit.image), (x + 29 * index, y + TILE))
        draw.text((x, y + TILE + 29), f"{mistake.path.stem}: {mistake.label[:14]}", fill="white")
        draw.text((x, y + TILE + 42), f"read {mistake.text[:16]}", fill="orange")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sheet", type=Path, default=Path("mistakes.png"))
    parser.add_argument("--single", action="store_true")
    options = parser.parse_args()
    folders = labelled_folders(options.folder)
    if not folders:
        sys.exit(f"{options.folder}: no labels.csv here or below; expected the columns file, label")
    recognizer = load(options.model)
    results = {folder: score(folder, recognizer, options.single) for folder in folders}
    print_table(options.folder, results)
    mistakes = [answer for answers in results.values() for answer in answers if not answer.is_right]
    draw_sheet(mistakes).save(options.sheet)
    print(f"{len(mistakes)} mistakes: {options.sheet}")


if __name__ == "__main__":
    main()
