"""Sheets on a desk, and what lies beside a sheet, hide no digit and are none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from strokes import Templates, pixels, write

from digitmlp import read
from digitmlp.sheet import look


def text(picture: object) -> str:
    return read(picture, Templates()).text


def sheet(digits: str, height: float = 60) -> Image.Image:
    return Image.fromarray(write(digits, size=(500, 260), at=(130, 90), height=height).picture())


@pytest.mark.parametrize("digits", ["407", "80869"])
@pytest.mark.parametrize("turn", [0, 5])
def test_a_sheet_on_a_dark_desk_is_paper(digits, turn):
    desk = Image.new("L", (900, 700), 35)
    paper = sheet(digits)
    desk.paste(paper.rotate(turn, Image.Resampling.BILINEAR, expand=True, fillcolor=35), (180, 200))
    assert text(np.asarray(desk)) == digits


@pytest.mark.parametrize("fall", [0.2, 0.4])
def test_a_sheet_may_lie_in_light_that_falls_off(fall):
    desk = Image.new("L", (900, 700), 35)
    desk.paste(sheet("407"), (180, 200))
    assert text(pixels(np.asarray(desk) * (1 - fall * np.linspace(0, 1, 900)))) == "407"


@pytest.mark.parametrize(("turn", "margins"), [(5, (35, 19)), (-4, (80, 33)), (-1, (50, 82))])
def test_a_sheet_that_nearly_fills_the_picture_is_no_ring_of_desk(turn, margins):
    page = Image.fromarray(write("407\n259 38", size=(1000, 640), at=(200, 150)).picture(130, 180))
    turned = page.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor=48)
    desk = Image.new("L", (turned.width + margins[0], turned.height + margins[1]), 48)
    desk.paste(turned, (margins[0] // 2, margins[1] // 3))
    assert text(np.asarray(desk)) == "407\n259 38"


def test_two_sheets_are_read():
    desk = Image.new("L", (1200, 900), 35)
    desk.paste(sheet("407").crop((60, 0, 480, 260)), (100, 100))
    desk.paste(sheet("259").crop((60, 0, 480, 260)), (600, 500))
    assert text(np.asarray(desk)) == "407\n259"


def test_a_dark_label_hides_nothing_beside_it():
    page = write("2549", size=(900, 700), at=(100, 560))
    picture = Image.fromarray(page.picture(70))
    label = write("38", size=(450, 340), at=(120, 120)).picture(230, 70)
    picture.paste(Image.fromarray(label), (250, 60))
    assert text(np.asarray(picture)) == "38\n2549"


@pytest.mark.parametrize("strokes", [[(60, 60), (240, 60), (120, 340)], [(150, 40), (150, 360)]])
def test_a_thick_digit_is_no_sheet_on_which_darker_places_are_drawn(strokes):
    picture = Image.new("L", (300, 400), 255)
    draw = ImageDraw.Draw(picture)
    draw.line(strokes, fill=110, width=42, joint="curve")
    draw.line([(x, y + 20) for x, y in strokes[:2]], fill=20, width=12)
    (box,) = look(np.asarray(picture)).boxes
    assert box[3] - box[1] > 250


@pytest.mark.parametrize(
    ("shape", "box", "pen"),
    [("ellipse", (50, 50, 250, 350), 65), ("rectangle", (150, 100, 410, 500), 80)],
)
def test_a_thick_zero_is_no_sheet_on_which_its_hole_is_drawn(shape, box, pen):
    picture = Image.new("L", (box[2] + box[0], box[3] + box[1]), 255)
    getattr(ImageDraw.Draw(picture), shape)(box, fill=255, outline=20, width=pen)
    (found,) = look(np.asarray(picture)).boxes
    assert found[3] - found[1] > 0.9 * (box[3] - box[1])


@pytest.mark.parametrize("offset", range(4))
def test_the_rim_of_a_sheet_between_pixels_of_a_coarse_copy_is_no_ink(offset):
    desk = Image.new("L", (1802, 1402), 35)
    page = write("407", size=(1001, 521), at=(260, 180), height=120, pen=12)
    desk.paste(Image.fromarray(page.picture()), (361 + offset, 401 + offset))
    assert text(np.asarray(desk)) == "407"


@pytest.mark.parametrize("blank", ["sheet", "scan", "strip"])
def test_nothing_is_read_on_a_blank_sheet(blank):
    picture = Image.new("L", (900, 700), 35)
    if blank == "sheet":
        picture.paste(230, (180, 200, 680, 460))
    elif blank == "strip":
        picture.paste(230, (0, 0, 780, 700))
    else:
        paper = Image.new("L", (900, 700), 230)
        picture = paper.rotate(4, Image.Resampling.BICUBIC, expand=True, fillcolor=0)
    assert text(np.asarray(picture)) == ""


@pytest.mark.parametrize("dark", [0, 70])
@pytest.mark.parametrize("turn", [-7, -2, 1, 4])
@pytest.mark.parametrize("whole", [True, False])
def test_dark_corners_of_a_turned_scan_are_no_ink(dark, turn, whole):
    page = write("20\n47 358\n9164", size=(900, 700), at=(200, 200))
    scan = Image.fromarray(page.picture(130))  # a faint pencil
    turned = scan.rotate(turn, Image.Resampling.BICUBIC, expand=whole, fillcolor=dark)
    assert text(np.asarray(turned)) == "20\n47 358\n9164"


@pytest.mark.parametrize("side", ["right", "bottom", "right and bottom"])
@pytest.mark.parametrize("width", [0.06, 0.14, 0.22])
@pytest.mark.parametrize("digits", ["4", "407"])
def test_a_strip_of_desk_hides_no_digit(side, width, digits):
    picture = write(digits, size=(900, 700), at=(120, 200)).picture()
    if "right" in side:
        picture[:, round(900 * (1 - width)) :] = 70
    if "bottom" in side:
        picture[round(700 * (1 - width)) :] = 70
    assert text(picture) == digits


@pytest.mark.parametrize("side", ["left", "bottom", "a corner"])
@pytest.mark.parametrize("digit", ["1", "4", "7", "9"])
@pytest.mark.parametrize(("ink", "desk"), [(60, 30), (150, 90)])
def test_a_desk_beside_a_small_crop_is_no_digit(side, digit, ink, desk):
    page = write(digit, size=(48, 52), at=(18, 10), height=28, pen=3)
    crop = Image.fromarray(page.picture(ink, 210, noise=1))
    ends = {
        "left": [(0, 0), (6, 0), (7, 51), (0, 51)],
        "bottom": [(0, 45), (47, 45), (47, 51), (0, 51)],
        "a corner": [(0, 36), (24, 51), (0, 51)],
    }
    ImageDraw.Draw(crop).polygon(ends[side], fill=desk)
    assert text(np.asarray(crop)) == digit


@pytest.mark.parametrize("dark", [0, 110])
@pytest.mark.parametrize("height", [36, 42])
def test_slivers_too_narrow_for_a_coarse_copy_hide_no_digit(height, dark):
    page = write("407\n259", size=(1314, 1003), at=(150, 150), height=height, pen=5)
    paper = Image.fromarray(page.picture(90, 200))
    scan = paper.rotate(0.3, Image.Resampling.BICUBIC, fillcolor=dark)
    assert text(np.asarray(scan)) == "407\n259"


def test_lines_of_a_sheet_go_to_its_own_sides():
    page = write("47", size=(900, 700), at=(200, 200))
    page.ink[30::47] = True
    scan = Image.fromarray(page.picture())
    turned = scan.rotate(5, Image.Resampling.BICUBIC, expand=True, fillcolor=0)
    assert text(np.asarray(turned)) == "47"


@pytest.mark.parametrize("digits", ["17", "71", "5107", "23", "83"])
def test_digits_along_the_sides_of_a_picture_cut_to_its_ink_are_read(digits):
    page = write(digits, size=(1200, 400), at=(60, 60), height=250, pen=24)
    rows, columns = np.flatnonzero(page.ink.any(1)), np.flatnonzero(page.ink.any(0))
    cut = page.picture()[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert text(cut) == digits
