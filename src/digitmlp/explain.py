"""Pictures that show how a picture was read."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from digitmlp import files
from digitmlp.digits import SIDE
from digitmlp.reading import Digit, Reading

BLUE, VERMILION = "#0072b2", "#d55e00"  # digits; what is no digit
ZOOM = 3  # of the images below the picture
TILE, CAPTION, GAP = SIDE * ZOOM, 20, 8
NARROWEST, WIDEST, HIGHEST = 480, 1600, 4000  # pixels: magnified or shrunk to these


def save_explanation(reading: Reading, path: Path) -> None:
    """Write a PNG: the picture with a box around each digit, below it each as the model saw it.

    Raises OutputError.
    """
    buffer = io.BytesIO()
    draw_explanation(reading).save(buffer, "PNG")
    files.write(path, buffer.getvalue())


def draw_explanation(reading: Reading) -> Image.Image:
    """Return the picture with a box around each digit, below it each as the model saw it."""
    digits = [digit for number in reading.numbers for digit in number.digits]
    picture = Image.fromarray(reading.pixels).convert("RGB")
    width = min(max(picture.width, NARROWEST), WIDEST)
    zoom = min(width / picture.width, HIGHEST / picture.height)
    picture = picture.resize([max(1, round(side * zoom)) for side in picture.size])
    columns = width // (TILE + GAP)
    height = picture.height + GAP + -(-len(digits) // columns) * (TILE + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    scale = picture.width / reading.size[0]
    for place, digit in enumerate(digits):
        _draw_box(draw, digit, scale)
        row, column = divmod(place, columns)
        x = column * (TILE + GAP)
        y = picture.height + GAP + row * (TILE + CAPTION + GAP)
        seen = Image.fromarray(digit.image).resize((TILE, TILE), Image.Resampling.NEAREST)
        sheet.paste(seen, (x, y))
        caption = f"{digit.text}  {digit.probability:.1%}"
        draw.text((x, y + TILE + 2), caption, _colour(digit), ImageFont.load_default(14))
    return sheet


def _draw_box(draw: ImageDraw.ImageDraw, digit: Digit, scale: float) -> None:
    left, top, right, bottom = (edge * scale for edge in digit.box)
    draw.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=_colour(digit), width=2)
    draw.text((left, top - 4), digit.text, _colour(digit), ImageFont.load_default(18), anchor="ld")


def _colour(digit: Digit) -> str:
    return VERMILION if digit.digit is None else BLUE
