"""Bars beside a picture and frames around it are left out, with nothing of what is drawn."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from strokes import Templates, pixels, write

from digitmlp import read
from digitmlp.border import inside
from digitmlp.sheet import look
from digitmlp.windows import greyscale


def lit(picture: np.ndarray) -> Image.Image:
    """Return the picture as a lamp at its left lights it, as a photo is."""
    light = np.linspace(1, 0.75, picture.shape[1])
    return Image.fromarray(pixels(picture * light))


@pytest.mark.parametrize("colour", [0, 255, 90])
@pytest.mark.parametrize("bars", [(0, 120), (230, 0), (40, 40)])
def test_a_photo_between_bars_or_in_a_frame_is_read_where_it_lies(colour, bars):
    page = write("407\n25", size=(600, 400))
    picture = ImageOps.expand(lit(page.picture(40, 200, noise=2)), bars, colour)
    reading = read(picture, Templates())
    assert reading.text == "407\n25"
    found = [digit.box for number in reading.numbers for digit in number.digits]
    drawn = np.array(page.boxes) + np.tile(bars, 2)
    assert np.abs(np.array(found) - drawn).max() <= 3


@pytest.mark.parametrize("colour", [0, 255])
def test_a_small_crop_with_the_frame_of_its_cell_is_read(colour):
    digit = write("5", size=(44, 48), at=(12, 8), height=32, pen=4).picture(60, 190)
    picture = ImageOps.expand(Image.fromarray(digit), 3, colour)
    assert read(picture, Templates()).text == "5"


def test_a_frame_may_have_another_in_it():
    page = lit(write("407").picture(40, 200, noise=2))
    framed = ImageOps.expand(ImageOps.expand(page, 10, 0), 25, 255)
    rows, columns = inside(greyscale(np.asarray(framed)))
    assert (rows, columns) == (slice(36, 434), slice(36, 634))


def test_what_mixes_with_the_border_goes_with_it():
    page = lit(write("407").picture(40, 200, noise=2))
    wide = ImageOps.expand(page, (33, 0), 255)
    halved = np.asarray(wide.reduce(2))
    _, columns = inside(greyscale(halved))
    assert 17 <= columns.start <= 18
    assert halved.shape[1] - 18 <= columns.stop <= halved.shape[1] - 17


@pytest.mark.parametrize("number", ["1", "4", "7", "0", "2549"])
@pytest.mark.parametrize("paper", [255, 0])
@pytest.mark.parametrize("size", [(700, 400), (200, 90)])
def test_clean_paper_round_what_is_drawn_is_no_border(number, paper, size):
    high = size[1] / 2
    page = write(number, size=size, at=(high / 2, high / 2), height=high, pen=round(high / 6))
    picture = page.picture(255 - paper, paper)
    assert inside(greyscale(picture)) == (slice(0, size[1]), slice(0, size[0]))


@pytest.mark.parametrize("size", [(20, 28), (16, 16), (240, 280)])
def test_an_upright_stroke_from_side_to_side_is_a_one(size):
    width, height = size
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).rectangle((width * 0.4, 0, width * 0.6, height), fill=0)
    (box,) = look(np.asarray(picture)).boxes
    assert box[2] - box[0] < box[3] - box[1]


def test_a_digit_beside_a_frame_is_read_too():
    panel = write("407", size=(500, 350), at=(100, 120), height=100, pen=10).picture(30, 190)
    page = write("5", size=(800, 600), at=(50, 40), height=60).picture(0, 255)
    page[150:500, 150:650] = panel
    assert "5" in read(page, Templates()).text


@pytest.mark.parametrize("pen", [4, 7])
def test_a_small_square_zero_is_no_frame(pen):
    picture = Image.new("L", (28, 28), 255)
    ImageDraw.Draw(picture).rectangle((6, 4, 21, 23), outline=0, width=pen)
    soft = picture.filter(ImageFilter.GaussianBlur(0.6))
    assert inside(greyscale(np.asarray(soft))) == (slice(0, 28), slice(0, 28))


@pytest.mark.parametrize("scale", [1, 2, 10])
@pytest.mark.parametrize("pen", [5, 7])
def test_a_square_zero_that_fills_most_of_a_small_picture_is_no_frame(scale, pen):
    picture = Image.new("L", (28 * scale, 28 * scale), 0)
    box = (4 * scale, 3 * scale, 24 * scale - 1, 25 * scale - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=255, width=pen * scale)
    assert inside(greyscale(np.asarray(picture))) == (slice(0, 28 * scale),) * 2


def test_a_square_zero_is_no_frame():
    picture = Image.new("L", (560, 600), 255)
    ImageDraw.Draw(picture).rectangle((150, 100, 410, 500), outline=20, width=70)
    (box,) = look(np.asarray(picture)).boxes
    assert np.abs(box - np.array([150, 100, 411, 501])).max() <= 2
