"""Numbers on pages drawn here are read, whatever the light, the paper, the pen and the slope."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from strokes import Page, Templates, pixels, write

from digitmlp import read
from digitmlp.explain import draw_explanation

NUMBERS = "20\n47 358\n9164"


def text(picture: object) -> str:
    return read(picture, Templates()).text


@pytest.mark.parametrize(("of_views", "expected"), [(None, "47"), (100.0, "??")])
def test_whole_pieces_are_judged_by_the_threshold_of_views_where_there_is_one(of_views, expected):
    recognizer = Templates()
    recognizer.threshold_of_views = of_views
    assert read(write("47").picture(), recognizer).text == expected


def lit(page: Page, light: np.ndarray, ink: float = 60) -> np.ndarray:
    return pixels(page.picture(ink, 230, noise=1) * light)


def test_numbers_are_read_in_order_with_their_boxes():
    page = write(NUMBERS)
    reading = read(page.picture(), Templates())
    assert reading.text == NUMBERS
    assert [number.line for number in reading.numbers] == [1, 2, 2, 3]
    boxes = [digit.box for number in reading.numbers for digit in number.digits]
    np.testing.assert_allclose(boxes, page.boxes, atol=2)
    first = reading.to_dict()["numbers"][1]
    assert (first["text"], first["line"]) == ("47", 2)
    np.testing.assert_allclose(first["box"], reading.numbers[1].box)


def test_boxes_are_right_at_the_end_of_a_long_strip():
    page = write("7", size=(205, 20_000), at=(20, 19_786), height=164, pen=16)
    (number,) = read(page.picture(), Templates()).numbers
    np.testing.assert_allclose(number.box, page.boxes[0], atol=12)


@pytest.mark.parametrize("zoom", [0.4, 1, 5])
def test_boxes_are_pixels_of_the_picture_however_large_it_is(zoom):
    page = write("35", size=(400, 300), at=(100, 90))
    picture = Image.fromarray(page.picture())
    reading = read(picture.resize((round(400 * zoom), round(300 * zoom))), Templates())
    assert reading.text == "35"
    boxes = [digit.box for digit in reading.numbers[0].digits]
    np.testing.assert_allclose(boxes, np.array(page.boxes) * zoom, atol=1 + 1.5 * zoom)


def test_light_may_be_uneven():
    page = write(NUMBERS)
    x = np.linspace(0, 1, page.ink.shape[1])
    y = np.linspace(0, 1, page.ink.shape[0])[:, None]
    assert text(lit(page, 1 - 0.7 * x * y)) == NUMBERS
    vignette = 1 - 0.6 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.5
    assert text(lit(page, vignette)) == NUMBERS


@pytest.mark.parametrize("frame", ["a box for each", "a box for all", "an oval", "the desk"])
def test_what_goes_round_digits_is_none(frame):
    page = write("407", size=(500, 260), at=(130, 90))
    picture = Image.fromarray(page.picture())
    draw, boxes = ImageDraw.Draw(picture), np.array(page.boxes)
    left, top, right, bottom = [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]
    if frame == "a box for each":
        for box in page.boxes:
            draw.rectangle((box[0] - 8, box[1] - 12, box[2] + 8, box[3] + 12), outline=40, width=3)
    elif frame == "a box for all":
        draw.rectangle((left - 40, top - 20, right + 60, bottom + 30), outline=40, width=4)
    elif frame == "an oval":
        draw.ellipse((left - 70, top - 50, right + 70, bottom + 50), outline=40, width=4)
    else:
        draw.rectangle((0, 0, 499, 259), outline=40, width=25)
    assert text(np.asarray(picture)) == "407"


@pytest.mark.parametrize("digit", ["2", "5", "0"])
@pytest.mark.parametrize(("pen", "share"), [(1, 0.5), (3, 0.25)])
def test_a_circle_round_a_digit_is_none(digit, pen, share):
    side = 160
    page = write(digit, size=(side, side), at=(60, 60), height=share * side, pen=2)
    picture = Image.fromarray(page.picture())
    ImageDraw.Draw(picture).ellipse((4, 4, side - 5, side - 5), outline=40, width=pen)
    assert text(np.asarray(picture)) == digit


@pytest.mark.parametrize("share", [0.3, 0.4, 0.6])
def test_a_zero_with_a_stroke_in_it_is_no_frame(share):
    page = write("407", size=(500, 260), at=(130, 70), height=110, pen=8)
    picture = Image.fromarray(page.picture())
    left, top, right, bottom = page.boxes[1]
    x, y, half = (left + right) / 2, (top + bottom) / 2, share * (bottom - top) / 2
    stroke = (x - 0.4 * half, y + half, x + 0.4 * half, y - half)
    ImageDraw.Draw(picture).line(stroke, fill=40, width=7)
    found = text(np.asarray(picture))
    assert (found[0], found[-1]) == ("4", "7")
    assert len(found) >= 3


def test_a_dash_in_a_zero_does_not_make_a_frame_of_it():
    page = write("0", size=(300, 200), at=(100, 40), height=120, pen=8)
    picture = Image.fromarray(page.picture())
    x, y = np.mean(np.reshape(page.boxes[0], (2, 2)), 0)
    ImageDraw.Draw(picture).line((x - 18, y, x + 18, y), fill=40, width=6)
    assert text(np.asarray(picture)).startswith("0")


def test_a_table_of_a_hundred_cells_hides_none_of_its_digits():
    rows = ["2749406358", "7354092748"] * 5
    page = write("\n".join(" ".join(row) for row in rows), size=(1400, 1250), gap=0.35)
    picture = Image.fromarray(page.picture())
    for left, top, right, bottom in page.boxes:
        cell = (left - 10, top - 10, right + 10, bottom + 10)
        ImageDraw.Draw(picture).rectangle(cell, outline=40, width=3)
    found = text(np.asarray(picture)).replace(" ", "").split("\n")
    assert found == rows


def test_a_sliver_along_each_side_does_not_make_ink_faint():
    picture = write("20\n35", size=(800, 1000), at=(150, 150), height=40, pen=4).picture(
        150, noise=3
    )
    picture[:, [0, -1]] = 20
    assert text(picture) == "20\n35"


def test_a_speck_in_a_zero_does_not_make_a_frame_of_it():
    page = write("0", size=(300, 200), at=(100, 50), height=100)
    picture = Image.fromarray(page.picture())
    x, y = np.mean(np.reshape(page.boxes[0], (2, 2)), 0)
    ImageDraw.Draw(picture).rectangle((x - 2, y - 10, x + 1, y + 10), fill=40)
    assert text(np.asarray(picture)).startswith("0")


@pytest.mark.parametrize("ink", [60, 170])
def test_a_shadow_over_digits_hides_none(ink):
    page = write(NUMBERS, size=(900, 700), at=(150, 150))
    shadow = Image.new("L", (900, 700), 255)
    ImageDraw.Draw(shadow).ellipse((-100, 180, 420, 900), 150)
    light = np.asarray(shadow.filter(ImageFilter.GaussianBlur(12))) / 255
    assert text(lit(page, light, ink)) == NUMBERS


def test_thick_chalk_in_light_that_falls_off_is_whole():
    numbers = "748675\n31502\n162283"
    page = write(numbers, size=(820, 620), at=(30, 30), height=128, pen=25, gap=0.3)
    noise = 2 * np.random.default_rng(0).standard_normal(page.ink.shape)
    board = np.where(page.ink, 200, 60) * np.linspace(1, 0.3, 820) + noise
    assert text(pixels(board)) == numbers


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("oval", [(100, 150, 870, 650), (-200, 200, 500, 1000)])
def test_a_shadow_on_lined_paper_leaves_no_ring_of_ink(squared, oval):
    page = write("6415\n03\n78\n366", size=(1000, 900), at=(150, 100), height=55, pen=5)
    lines = np.zeros_like(page.ink)
    for first in (60, 61):
        lines[first::90] = True
        if squared:
            lines[:, first::90] = True
    shadow = Image.new("L", (1000, 900), 255)
    ImageDraw.Draw(shadow).ellipse(oval, 150)
    light = np.asarray(shadow.filter(ImageFilter.GaussianBlur(17))) / 255
    noise = 4 * np.random.default_rng(0).standard_normal(page.ink.shape)
    picture = np.where(page.ink, 170, np.where(lines, 195, 230)) * light + noise
    assert text(pixels(picture)) == "6415\n03\n78\n366"


@pytest.mark.parametrize(
    ("oval", "light"), [((388, 78, 692, 666), 0.52), ((397, 267, 683, 725), 0.41)]
)
def test_a_shadow_beside_faint_ink_turns_it_not_into_paper(oval, light):
    page = write(NUMBERS, size=(540, 740), at=(150, 40), height=30, pen=3)
    shadow = Image.new("L", (540, 740), 255)
    ImageDraw.Draw(shadow).ellipse(oval, round(255 * light))
    soft = np.asarray(shadow.filter(ImageFilter.GaussianBlur(20))) / 255
    x, y = np.linspace(-1, 1, 540), np.linspace(-1, 1, 740)[:, None]
    assert text(lit(page, soft * (1 - 0.1 * np.abs(x + y)), 170)) == NUMBERS


@pytest.mark.parametrize("degrees", [0, 3, -5])
@pytest.mark.parametrize(("kind", "margin"), [("ruled", 0), ("ruled", 80), ("squared", 0)])
def test_lines_of_the_paper_are_no_digits(kind, degrees, margin):
    page = write(NUMBERS, size=(900, 700), at=(200, 200), pen=7)
    lines = np.zeros_like(page.ink)
    sheet = lines[margin : 700 - margin, margin : 900 - margin]
    for first in (0, 1):
        sheet[first::47] = True
        if kind == "squared":
            sheet[:, first::47] = True
    paper = Image.fromarray(pixels(np.where(page.ink, 50, np.where(lines, 180, 235))))
    turned = paper.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=235)
    assert text(turned) == NUMBERS


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((30, 60, 190), (250, 250, 250)),
        ((200, 40, 40), (255, 255, 240)),
        ((40, 120, 60), (240, 225, 130)),
        ((250, 240, 120), (30, 60, 40)),
        ((255, 255, 255), (0, 0, 0)),
    ],
)
def test_ink_and_paper_may_have_any_colour(ink, paper):
    page = write(NUMBERS)
    picture = np.where(page.ink[..., None], ink, paper).astype(np.uint8)
    assert text(picture) == NUMBERS


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((200, 50, 40), (70, 145, 60)),
        ((255, 160, 190), (150, 195, 255)),
        ((255, 255, 120), 3 * (255,)),
    ],
)
@pytest.mark.parametrize("noise", [0, 12])
@pytest.mark.parametrize("size", [(600, 400), (1900, 1300)])
def test_colours_that_are_as_bright_are_told_apart(ink, paper, noise, size):
    page = write(NUMBERS, size=size)
    grain = noise * np.random.default_rng(0).standard_normal((*page.ink.shape, 3))
    assert text(pixels(np.where(page.ink[..., None], ink, paper) + grain)) == NUMBERS


@pytest.mark.parametrize("noise", [0, 5])
@pytest.mark.parametrize("level", [150, 190])
def test_pencil_on_marked_paper_stays_what_it_is(level, noise):
    page = write(NUMBERS)
    paper = Image.new("RGB", page.ink.shape[::-1], "white")
    for top in (40, 140, 240):
        ImageDraw.Draw(paper).rectangle((20, top, 580, top + 90), (255, 255, 150))
    grain = noise * np.random.default_rng(0).standard_normal((*page.ink.shape, 3))
    ink = np.full(3, level)
    assert text(pixels(np.where(page.ink[..., None], ink, paper) + grain)) == NUMBERS


def test_a_coloured_thing_beside_digits_changes_nothing():
    page = write(NUMBERS)
    picture = np.repeat(page.picture(150, 170)[..., None], 3, axis=2)
    picture[340:, 300:] = (60, 200, 170)  # as bright as the paper
    assert text(picture) == NUMBERS


@pytest.mark.parametrize(("pen", "ink"), [(3, 190), (6, 205), (14, 20)])
def test_strokes_may_be_faint_or_thick(pen, ink):
    page = write("2047\n5369", pen=pen, gap=0.5)
    assert text(page.picture(ink, 230, noise=1)) == "2047\n5369"


@pytest.mark.parametrize("slope", [-0.25, -0.1, 0.1, 0.25])
def test_lines_may_slope(slope):
    page = write(NUMBERS, size=(700, 700), at=(80, 200), slope=slope)
    assert text(page.picture()) == NUMBERS


@pytest.mark.parametrize("number", ["35", "274", "2475"])
def test_touching_digits_are_cut(number):
    page = write(number, gap=0.06)
    assert text(page.picture()) == number


@pytest.mark.parametrize("missing", [(0.2, 0.24), (0.28, 0.33)])
def test_broken_digits_are_put_together(missing):
    page = write("5 8 2 0 6", size=(700, 200), missing=missing)
    assert text(page.picture()).replace(" ", "") == "58206"


def test_digits_may_touch_the_frame():
    page = write("35", size=(120, 60), at=(2, 2), height=56)
    assert text(page.picture()) == "35"
    page = write("247", size=(600, 400), at=(0, 338))
    assert text(page.picture()) == "247"


@pytest.mark.parametrize("line", ["3.14", "2,50", "20.07"])
def test_full_stops_and_commas_are_passed_over(line):
    assert text(write(line).picture()) == line.replace(".", "").replace(",", "")


def test_a_digit_is_read_in_small_pictures_and_on_large_pages():
    tight = write("5", size=(24, 28), at=(5, 3), height=22, pen=3)
    assert text(tight.picture()) == "5"
    large = write("5", size=(3000, 2200), at=(1400, 900), height=160, pen=14)
    assert text(large.picture(noise=2)) == "5"


def test_a_digit_stretched_over_its_whole_picture_is_read():
    page = write("7", size=(80, 80), at=(16, 10), height=56, pen=8)
    (left, top, right, bottom) = page.boxes[0]
    cropped = Image.fromarray(page.picture(0, 255)[top:bottom, left:right])
    assert text(cropped.resize((16, 16), Image.Resampling.BILINEAR)) == "7"


def test_pictures_lie_as_exif_says():
    page = write("47")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(page.picture())).save(buffer, "JPEG", quality=95, exif=exif)
    reading = read(buffer.getvalue(), Templates())
    assert reading.text == "47"
    np.testing.assert_allclose(reading.numbers[0].digits[0].box, page.boxes[0], atol=3)


def test_what_is_no_digit_is_a_question_mark():
    picture = Image.fromarray(write("47").picture())
    draw = ImageDraw.Draw(picture)
    for ends in ((300, 60, 336, 120), (336, 60, 300, 120)):
        draw.line(ends, 40, 6)
    reading = read(picture, Templates())
    assert reading.text.replace(" ", "") == "47?"
    assert reading.numbers[-1].digits[-1].digit is None


def test_single_gives_the_largest_and_never_a_question_mark():
    page = write("4", size=(300, 200), at=(100, 40), height=120, pen=12)
    page.ink[20:30, 20:26] = True
    assert read(page.picture(), Templates(), single=True).text == "4"
    bars = np.zeros((100, 100), bool)
    bars[20:80:12] = True
    assert read(Page(bars).picture(), Templates(), single=True).text != "?"


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (28, 28), (500, 700)])
def test_blank_and_noisy_pictures_hold_no_digit(shape):
    random = np.random.default_rng(0)
    for picture in (
        np.full(shape, 200, np.uint8),
        pixels(random.normal(200, 3, shape)),
        random.integers(0, 256, shape, dtype=np.uint8),
    ):
        assert not any(character.isdigit() for character in text(picture))


def test_things_in_the_background_are_left_out():
    page = write(NUMBERS, size=(900, 700), at=(150, 200))
    picture = page.picture(noise=2)
    picture[:, 800:] = 70  # the table beside the paper
    picture[620:, :200] = 120  # a thumb
    assert text(picture) == NUMBERS


def test_explanation_of_a_thin_picture_stays_small():
    sheet = draw_explanation(read(np.full((20_000, 1), 255, np.uint8), Templates()))
    assert max(sheet.size) < 5000


def test_explanation_frames_digits_and_shows_what_the_model_saw():
    page = write("35")
    reading = read(page.picture(), Templates())
    sheet = np.asarray(draw_explanation(reading))
    left, top, *_ = page.boxes[0]
    assert sheet.shape[1] == 600
    assert (sheet[top + 20, left - 4 : left + 1] == (0, 114, 178)).all(1).any()
    seen = np.repeat(np.repeat(reading.numbers[0].digits[1].image, 3, 0), 3, 1)
    tile = sheet[408 : 408 + 84, 92 : 92 + 84, 0]
    np.testing.assert_array_equal(tile, seen)
    assert math.isclose(reading.numbers[0].digits[1].probability, 1, abs_tol=0.2)
