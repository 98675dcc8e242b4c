"""Bars beside a picture and frames around it are left out, with nothing of what is drawn."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from strokes import Templates, pixels, write

from digitmlp import read
from digitmlp.border import beyond, within
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


def test_a_small_crop_between_bars_a_quarter_as_high_is_read():
    digit = write("5", size=(40, 48), at=(12, 8), height=32, pen=4).picture(60, 190)
    picture = ImageOps.expand(Image.fromarray(digit), (0, 12), 0)
    assert read(picture, Templates()).text == "5"


def test_a_frame_may_have_another_in_it():
    page = lit(write("407").picture(40, 200, noise=2))
    framed = ImageOps.expand(ImageOps.expand(page, 10, 0), 25, 255)
    rows, columns = within(beyond(greyscale(np.asarray(framed))))
    assert (rows, columns) == (slice(37, 433), slice(37, 633))


def test_what_mixes_with_the_border_goes_with_it():
    page = lit(write("407").picture(40, 200, noise=2))
    wide = ImageOps.expand(page, (33, 0), 255)
    halved = np.asarray(wide.reduce(2))
    _, columns = within(beyond(greyscale(halved)))
    assert 17 <= columns.start <= 18
    assert halved.shape[1] - 18 <= columns.stop <= halved.shape[1] - 17


@pytest.mark.parametrize("number", ["1", "4", "7", "0", "2549"])
@pytest.mark.parametrize("paper", [255, 0])
@pytest.mark.parametrize("size", [(700, 400), (200, 90)])
def test_clean_paper_round_what_is_drawn_is_no_border(number, paper, size):
    high = size[1] / 2
    page = write(number, size=size, at=(high / 2, high / 2), height=high, pen=round(high / 6))
    picture = page.picture(255 - paper, paper)
    assert not beyond(greyscale(picture)).any()


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
    assert not beyond(greyscale(np.asarray(soft))).any()


@pytest.mark.parametrize("scale", [1, 2, 10])
@pytest.mark.parametrize("pen", [5, 7])
def test_a_square_zero_that_fills_most_of_a_small_picture_is_no_frame(scale, pen):
    picture = Image.new("L", (28 * scale, 28 * scale), 0)
    box = (4 * scale, 3 * scale, 24 * scale - 1, 25 * scale - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=255, width=pen * scale)
    assert not beyond(greyscale(np.asarray(picture))).any()


def test_a_square_zero_is_no_frame():
    picture = Image.new("L", (560, 600), 255)
    ImageDraw.Draw(picture).rectangle((150, 100, 410, 500), outline=20, width=70)
    (box,) = look(np.asarray(picture)).boxes
    assert np.abs(box - np.array([150, 100, 411, 501])).max() <= 2


@pytest.mark.parametrize(("turn", "beside"), [(3, 255), (-7, 0), (4, 90)])
@pytest.mark.parametrize("digit", ["1", "4", "5", "8"])
def test_what_a_turned_small_crop_leaves_is_no_ink(digit, turn, beside):
    page = write(digit, size=(44, 48), at=(14, 10), height=28, pen=4)
    crop = lit(page.picture(80, 200, noise=1))
    turned = crop.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor=beside)
    assert read(turned, Templates()).text == digit


@pytest.mark.parametrize(("ink", "panel", "paper"), [(255, 90, 255), (30, 200, 255), (255, 60, 0)])
@pytest.mark.parametrize("scale", [1, 5])
def test_a_panel_with_round_corners_is_what_is_read(ink, panel, paper, scale):
    side = 60 * scale
    page = write("4", size=(side, side), at=(side / 3, side / 4), height=side / 2, pen=side // 12)
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), side // 5, fill=255)
    picture = Image.new("L", (side + 8 * scale, side + 8 * scale), paper)
    picture.paste(Image.fromarray(page.picture(ink, panel)), (4 * scale, 4 * scale), mask)
    assert read(picture, Templates()).text == "4"


def test_strokes_that_reach_the_frame_in_its_colour_are_read():
    page = write("17", size=(120, 90), at=(20, 29), height=60, pen=8)
    picture = ImageOps.expand(Image.fromarray(page.picture(0, 220)), 9, 0)
    assert read(picture, Templates()).text == "17"


@pytest.mark.parametrize("scale", [1, 4])
def test_two_panels_are_read_and_what_parts_them_is_no_digit(scale):
    side = 60 * scale
    picture = np.zeros((side + 12 * scale, 2 * side + 18 * scale), np.uint8)
    for left, digit in ((6 * scale, "5"), (side + 12 * scale, "7")):
        at = (side / 3, side / 4)
        panel = write(digit, size=(side, side), at=at, height=side / 2, pen=side // 12)
        picture[6 * scale : -6 * scale, left : left + side] = panel.picture()
    assert read(picture, Templates()).text.replace(" ", "") == "57"


@pytest.mark.parametrize("side", [200, 800])
def test_a_panel_may_fill_half_of_the_picture(side):
    inner = round(0.7 * side)
    page = write(
        "7", size=(inner, inner), at=(inner / 3, inner / 4), height=inner / 2, pen=inner // 12
    )
    picture = np.full((side, side), 128, np.uint8)
    first = (side - inner) // 2
    picture[first : first + inner, first : first + inner] = page.picture(0, 255)
    assert read(picture, Templates()).text == "7"


def test_dots_with_a_line_among_them_give_no_warning():
    dots = np.full((200, 200), 255, np.uint8)
    dots[1:-1:2, 1:-1:2] = 0
    dots[99:102, 40:160], dots[100, 42:150] = 255, 0
    assert not beyond(greyscale(dots)).any()
