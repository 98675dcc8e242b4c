"""Ink and its pieces, on pictures drawn here: what is found is what was drawn."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from strokes import pixels, write

from digitmlp.components import find_components, parents
from digitmlp.cuts import cut
from digitmlp.glyph import narrowed, stroke_thickness, to_digit
from digitmlp.ink import WEAK, find_ink
from digitmlp.pieces import cut_out, find_pieces
from digitmlp.ruled import ruled_lines, run_lengths
from digitmlp.sheet import look


def agreement(found: np.ndarray, drawn: np.ndarray) -> float:
    """Return the pixels in both by those in either."""
    return (found & drawn).sum() / (found | drawn).sum()


@pytest.mark.parametrize(("ink", "paper"), [(40, 230), (230, 40), (190, 230), (0, 255)])
def test_ink_is_what_was_drawn_whatever_the_contrast(ink, paper):
    page = write("47\n25")
    assert agreement(find_ink(page.picture(ink, paper, noise=1)) >= 128, page.ink) > 0.9


@pytest.mark.parametrize("size", [(800, 600), (280, 200)])
@pytest.mark.parametrize(("noise", "contrast"), [(0, 8), (0.4, 14)])
def test_ink_hardly_darker_than_smooth_paper_is_found(size, noise, contrast):
    high = size[1] // 3
    page = write("47", size=size, at=(size[0] // 5, high), height=high, pen=high // 10)
    seen = Image.fromarray(page.picture(150 - contrast, 150, noise)).filter(ImageFilter.BoxBlur(1))
    assert agreement(find_ink(np.asarray(seen)) >= 128, page.ink) > 0.8


@pytest.mark.parametrize("size", [(800, 600), (280, 200), (100, 100)])
@pytest.mark.parametrize(("noise", "blur"), [(1, 0), (3, 0), (10, 2)])
@pytest.mark.parametrize("quality", [95, 75])
def test_grain_of_paper_is_no_ink(size, noise, blur, quality):
    grain = noise * np.random.default_rng(0).standard_normal(size[::-1])
    paper = Image.fromarray(pixels(180 + grain)).filter(ImageFilter.GaussianBlur(blur))
    file = io.BytesIO()
    paper.save(file, "JPEG", quality=quality)
    assert not find_ink(np.asarray(Image.open(file))).any()


def test_ink_is_found_in_a_shadow_with_a_sharp_edge():
    page = write("47\n25")
    light = np.where(np.arange(page.ink.shape[1]) > 140, 0.5, 1.0)
    assert agreement(find_ink(pixels(page.picture(noise=1) * light)) >= 128, page.ink) > 0.9


@pytest.mark.parametrize("size", [(28, 32), (60, 56), (280, 240)])
@pytest.mark.parametrize("to", ["the right", "the bottom", "all corners"])
def test_light_may_fall_off_across_a_small_crop(size, to):
    high = 0.6 * size[1]
    page = write("5", size=size, at=(0.3 * size[0], 0.2 * size[1]), height=high, pen=size[1] // 10)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    off = {"the right": 1 + x, "the bottom": 1 + y, "all corners": x * x + y * y}[to]
    lit = page.picture(70, 210, noise=1) * (1 - 0.2 * off)
    assert agreement(find_ink(pixels(lit)) >= 128, page.ink) > 0.9


@pytest.mark.parametrize(
    ("size", "light"), [((40, 44), 0.55), ((40, 44), 0.7), ((40, 44), 0.75), ((200, 240), 0.7)]
)
@pytest.mark.parametrize("blur", [0, 2])
def test_a_shadow_over_part_of_a_small_crop_is_no_ink(size, light, blur):
    high = 0.6 * size[1]
    page = write("5", size=size, at=(0.3 * size[0], 0.2 * size[1]), height=high, pen=size[1] // 10)
    shadow = Image.new("L", size, 255)
    corners = [(size[0], 0), size, (size[0] * 0.3, size[1])]
    ImageDraw.Draw(shadow).polygon(corners, fill=round(255 * light))
    lit = np.asarray(shadow.filter(ImageFilter.GaussianBlur(blur))) / 255
    pieces = look(pixels(page.picture(60, 210, noise=1) * lit))
    (box,) = pieces.boxes * pieces.scale
    assert np.abs(box - np.array(page.boxes[0])).max() <= 0.1 * high


@pytest.mark.parametrize("digit", ["2", "3", "5", "8"])
@pytest.mark.parametrize(("side", "ink"), [(60, 40), (60, 130), (190, 130)])
def test_a_thick_pen_along_the_sides_of_a_small_crop_is_no_shadow(digit, side, ink):
    at, height = (0.22 * side, 0.08 * side), 0.84 * side
    page = write(digit, size=(side, side), at=at, height=height, pen=round(0.28 * side))
    pieces = look(page.picture(ink, 230, noise=3))
    zoom = round(1 / pieces.scale)
    drawn = np.kron(page.ink, np.ones((zoom, zoom), bool))
    assert agreement(pieces.ink >= 128, drawn) > 0.95


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("slope", [0, 2])
@pytest.mark.parametrize("digit", ["4", "5", "7"])
def test_lines_through_a_small_crop_are_no_ink(digit, slope, squared):
    page = write(digit, size=(40, 46), at=(12, 8), height=28, pen=3)
    crop = Image.fromarray(page.picture(90, 210, noise=1))
    lines = Image.new("L", crop.size, 255)
    draw = ImageDraw.Draw(lines)
    for y in (6, 20, 34):
        draw.line((0, y, 39, y + slope), fill=145)
    for x in (5, 19, 33) if squared else ():
        draw.line((x, 0, x - slope, 45), fill=145)
    found = find_ink(np.minimum(np.asarray(crop), np.asarray(lines))) >= 128
    assert agreement(found, page.ink) > 0.9


@pytest.mark.parametrize("digit", ["2", "5", "7"])
@pytest.mark.parametrize("pen", [3, 5])
@pytest.mark.parametrize("scale", [1, 4])
def test_bars_of_a_digit_that_is_cut_to_its_ink_are_no_lines(digit, pen, scale):
    page = write(digit, size=(60, 60), at=(15, 15), height=30, pen=pen)
    rows, columns = np.flatnonzero(page.ink.any(1)), np.flatnonzero(page.ink.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    drawn = np.kron(page.ink[box], np.ones((scale, scale), bool))
    assert agreement(find_ink(np.where(drawn, np.uint8(60), np.uint8(230))) >= 128, drawn) > 0.95


def test_strokes_that_cross_the_sides_of_a_small_crop_are_no_light_that_falls_off():
    picture = Image.new("L", (40, 60), 230)
    draw = ImageDraw.Draw(picture)
    draw.line([(0, 4), (39, 4)], fill=40, width=9)
    draw.line([(36, 4), (14, 60)], fill=40, width=9)
    found = find_ink(np.asarray(picture)) >= 128
    assert agreement(found, np.asarray(picture) < 128) > 0.95


def creased(strokes: list, ink: int, pen: int) -> np.ndarray:
    page = write("407\n259", size=(900, 700), at=(120, 100), height=110, pen=12)
    picture = Image.fromarray(page.picture(40, 210))
    for stroke in strokes:
        ImageDraw.Draw(picture).line(stroke, fill=ink, width=pen)
    return np.asarray(picture)


def test_a_crease_fainter_and_thinner_than_strokes_is_no_one():
    assert len(look(creased([(560, 420, 500, 560)], 130, 5))) == 6


@pytest.mark.parametrize(("ink", "pen"), [(40, 7), (100, 12), (110, 9)])
def test_a_one_as_faint_or_as_thin_is_kept(ink, pen):
    assert len(look(creased([(560, 420, 530, 540)], ink, pen))) == 7


@pytest.mark.parametrize("strokes", [[(560, 110), (550, 205)], [(570, 110), (570, 215)]])
def test_a_faint_thin_one_beside_digits_is_kept(strokes):
    assert len(look(creased([strokes], 120, 6))) == 7


def test_what_another_pen_wrote_more_of_is_no_crease():
    strokes = [(560 + x, 120, 530 + x, 240) for x in range(0, 240, 60)]
    assert len(look(creased(strokes, 130, 5))) == 10


@pytest.mark.parametrize(("ink", "light", "blur"), [(140, 0.5, 3), (170, 0.5, 6), (190, 0.35, 15)])
def test_the_soft_rim_of_a_shadow_is_no_ink(ink, light, blur):
    page = write("47\n25", size=(800, 600), at=(120, 150), height=70, pen=7)
    shadow = Image.new("L", (800, 600), 255)
    ImageDraw.Draw(shadow).ellipse((330, -200, 1100, 500), fill=int(255 * light))
    lit = np.asarray(shadow.filter(ImageFilter.GaussianBlur(blur))) / 255
    found = find_ink(pixels(page.picture(ink, noise=2) * lit)) >= WEAK
    assert found[page.ink].mean() > 0.95
    assert not found[~page.ink].any()


@pytest.mark.parametrize(("level", "found"), [(175, False), (130, True)])
def test_a_stroke_on_squared_paper_as_faint_as_its_lines_is_no_ink(level, found):
    page = write("47\n25", size=(800, 600), at=(60, 60), height=70, pen=7)
    y, x = np.mgrid[:600, :800]
    rest = (x >= 620) & (x < 624) & (y > 325) & (y < 357)  # between two lines
    lines = (x % 40 < 2) | (y % 40 < 2)
    picture = np.where(page.ink, 40, np.where(lines | rest, level, 230))
    ink = find_ink(pixels(picture)) >= WEAK
    assert ink[page.ink].mean() > 0.9
    assert ink[rest].any() == found


def test_faint_digits_beside_darker_ink_stay_ink():
    faint = write("407", size=(800, 600), at=(60, 60), pen=5)
    marker = write("25938", size=(800, 600), at=(60, 400), height=90, pen=10)
    picture = np.where(marker.ink, 20, faint.picture(152, 235))
    assert (find_ink(pixels(picture)) >= WEAK)[faint.ink].mean() > 0.9


@pytest.mark.parametrize("pen", [4, 7, 10, 14, 22])
@pytest.mark.parametrize("margin", [15, 100])
def test_strokes_on_a_clean_ground_are_never_hollow(pen, margin):
    size = 300 + 2 * margin, 110 + 2 * margin
    page = write("407", size=size, at=(margin, margin), height=110, pen=pen)
    assert agreement(find_ink(page.picture(0, 255)) >= 128, page.ink) > 0.95


@pytest.mark.parametrize(("blur", "noise"), [(4, 0), (3, 12), (0, 25)])
def test_digits_out_of_focus_or_in_noise_stay_ink(blur, noise):
    page = write("47\n25", size=(800, 600), at=(120, 150), height=70, pen=7)
    seen = Image.fromarray(page.picture(90)).filter(ImageFilter.GaussianBlur(blur))
    grain = noise * np.random.default_rng(0).standard_normal(page.ink.shape)
    found = find_ink(pixels(np.asarray(seen) + grain)) >= WEAK
    assert found[page.ink].mean() > 0.8


@pytest.mark.parametrize("digit", "58")
def test_ink_is_found_where_most_of_the_picture_lies_at_edges(digit):
    page = write(digit, size=(92, 112), at=(18, 10), height=92, pen=17)
    blurred = Image.fromarray(page.picture(255, 0)).filter(ImageFilter.GaussianBlur(4))
    assert agreement(find_ink(np.asarray(blurred)) >= 128, page.ink) > 0.7


@pytest.mark.parametrize("slope", [0, 0.05, -0.1])
def test_ruled_lines_are_taken_away_and_the_digits_stay(slope):
    page = write("47\n25", size=(800, 600), at=(200, 200), pen=8)
    y, x = np.mgrid[:600, :800]
    lines = np.rint(y - slope * x) % 50 < 2
    picture = pixels(np.where(page.ink, 40, np.where(lines, 150, 235)))
    ink = find_ink(picture) >= 128
    assert ink[page.ink].mean() > 0.9
    assert ink[lines & ~page.ink].mean() < 0.1


def test_runs_are_as_long_as_they_are():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    assert run_lengths(mask).tolist() == [[2, 2, 0, 1], [0, 0, 0, 0], [4, 4, 4, 4]]


def test_components_are_those_of_a_flood():
    mask = np.random.default_rng(0).random((30, 40)) < 0.35
    found = find_components(mask)
    flood = np.zeros(mask.shape, int)
    for seed in zip(*np.nonzero(mask), strict=True):
        waiting, number = [seed], flood.max() + 1
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < 30 and 0 <= x < 40 and mask[y, x] and not flood[y, x]:
                flood[y, x] = number
                waiting += [(y + v, x + u) for v in (-1, 0, 1) for u in (-1, 0, 1)]
    np.testing.assert_array_equal(found.labels, flood)
    for number in range(1, len(found) + 1):
        rows, columns = np.nonzero(flood == number)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.boxes[number - 1].tolist() == box
        assert found.areas[number - 1] == len(rows)


def test_a_component_in_a_hole_of_another_has_it_for_its_parent():
    mask = np.zeros((40, 60), bool)
    for left, top, right, bottom in ([2, 2, 58, 38], [10, 10, 20, 30], [30, 10, 34, 30]):
        mask[top:bottom, left:right] = True
        mask[top + 1 : bottom - 1, left + 1 : right - 1] = False
    mask[18:20, 14:16] = True
    mask[4:6, 57:60] = True  # goes on from the first to the picture's side
    assert parents(find_components(mask)).tolist() == [0, 1, 1, 2]
    mask[2:38, 57] = False  # the first is open
    assert parents(find_components(mask)).tolist() == [0, 0, 0, 0, 3]


def test_pieces_are_digits_without_specks_and_blots():
    page = write("472", gap=0.6)
    ink = page.ink.copy()
    ink[300:370, 300:370] = True  # a blot
    ink[20:23, 500:503] = ink[200:202, 40:42] = True  # specks
    pieces = find_pieces(np.where(ink, np.uint8(255), np.uint8(0)))
    assert sorted(pieces.boxes.tolist()) == sorted(map(list, page.boxes))
    assert pieces.height == pytest.approx(66, abs=3)
    alone = cut_out(pieces, [0], pieces.boxes[0])
    left, top, right, bottom = pieces.boxes[0]
    np.testing.assert_array_equal(
        alone[1:-1, 1:-1] > 0, (pieces.labels == 0)[top:bottom, left:right]
    )


@pytest.mark.parametrize("side", range(4))
def test_a_long_strip_along_a_side_of_the_picture_is_no_piece(side):
    page = write("472\n358\n469", size=(600, 600), at=(60, 60), height=60)
    strip = page.ink.copy()
    np.rot90(strip, side)[150:600, :8] = True
    pieces = find_pieces(np.where(strip, np.uint8(255), np.uint8(0)))
    assert sorted(pieces.boxes.tolist()) == sorted(map(list, page.boxes))
    within = np.pad(strip, 1)  # not at the side: a stroke
    assert len(find_pieces(np.where(within, np.uint8(255), np.uint8(0)))) == len(pieces) + 1


def test_a_tall_strip_that_leaves_the_side_of_the_picture_is_no_piece():
    page = write("472\n358\n469", size=(600, 600), at=(60, 60), height=60)
    sheet = Image.fromarray(page.ink * np.uint8(255))
    ImageDraw.Draw(sheet).line([(0, 150), (20, 590)], fill=255, width=5)
    assert len(find_pieces(np.asarray(sheet))) == len(page.boxes)


def test_digits_that_a_side_of_the_picture_cuts_stay():
    page = write("472358469", size=(700, 200), at=(20, 60), height=60)
    cut = page.ink[65:]
    assert cut[0].any()
    assert len(find_pieces(np.where(cut, np.uint8(255), np.uint8(0)))) == 9


def test_long_ink_that_crosses_the_side_of_the_picture_stays():
    page = write("472358\n472358469\n472358469", size=(700, 400), at=(20, 60), height=60)
    page.ink[100:106, 20:390] = True  # the first line is one piece
    page.ink[:70, 300:306] = True
    assert len(find_pieces(page.ink * np.uint8(255))) == 19


def test_large_pictures_are_looked_at_in_a_coarser_copy():
    page = write("47", size=(1800, 1200), height=300, pen=30, at=(300, 300))
    pieces = look(page.picture())
    assert pieces.scale == 4
    np.testing.assert_allclose(np.sort(pieces.boxes * 4, 0), np.sort(page.boxes, 0), atol=6)


@pytest.mark.parametrize("pen", [3, 6, 12])
@pytest.mark.parametrize("digit", range(10))
def test_digits_become_mnist_s_in_size_place_and_stroke(digit, pen):
    image = to_digit(write(str(digit), size=(200, 200), pen=pen).ink * np.uint8(255))
    rows, columns = (np.flatnonzero(image.max(axis) >= 64) for axis in (1, 0))
    assert 17 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22
    mass = image.sum()
    for axis in (0, 1):
        centre = (image.sum(1 - axis) @ np.arange(28)) / mass
        assert centre == pytest.approx(13.5, abs=0.7)
    assert 1.8 <= stroke_thickness(image) <= 4.2


def test_wide_digits_are_squeezed_and_narrowed_ones_half_as_wide():
    ink = write("0", size=(200, 200)).ink[40:140, 40:140] * np.uint8(255)
    wide = to_digit(np.repeat(ink, 2, 1))
    rows, columns = (np.flatnonzero(wide.max(axis) >= 64) for axis in (1, 0))
    assert np.ptp(columns) <= 1.15 * np.ptp(rows)
    assert narrowed(ink).shape == (100, 50)


def test_a_cut_goes_through_the_narrow_place_between_two_digits():
    ink = np.zeros((70, 120), np.uint8)
    ink[5:65, 5:15] = ink[5:65, 100:110] = ink[30:36, 15:100] = 255
    ink[5:65, 45:55] = 255
    pieces = find_pieces(ink)
    atoms, owners = cut(pieces, [0], set(), 60)
    assert len(owners) >= 3
    assert (atoms.labels[ink > 0] >= 0).all()
    assert cut(pieces, [0], {0}, 60)[1] == [0]


def test_a_cut_follows_the_gap_between_digits_that_no_straight_line_parts():
    row, column = np.mgrid[:70, :60]
    aside = column - np.rint(5 * np.sin(row / 10)).astype(int)
    inside = (row >= 5) & (row < 65)
    left, right = ((aside >= edge) & (aside < edge + 12) & inside for edge in (15, 30))
    touching = (row >= 33) & (row < 36) & (aside >= 15) & (aside < 42)
    ink = np.where(left | right | touching, np.uint8(255), np.uint8(0))
    atoms, _ = cut(find_pieces(ink), [0], set(), 60)
    assert not set(atoms.labels[left]) & set(atoms.labels[right])


def test_a_thin_line_with_gaps_is_a_line_of_the_paper():
    mask = np.zeros((400, 600), bool)
    mask[50::70] = np.arange(600) % 9 > 0
    mask[60:100, 200:206] = True
    ruled = ruled_lines(mask, np.ones(mask.shape), np.ones_like(mask))
    np.testing.assert_array_equal(ruled[50::70], mask[50::70])
    assert ruled.sum() == mask[50::70].sum()


@pytest.mark.parametrize("transposed", [False, True])
def test_dark_strokes_along_faint_lines_stay(transposed):
    lines = np.zeros((600, 800), bool)
    lines[40::60] = lines[41::60] = True
    if transposed:
        lines[:, 40::60] = lines[:, 41::60] = True
    strokes = np.zeros_like(lines)
    strokes[280:283, 300:360] = strokes[220:223, 300:360] = strokes[220:283, 300:303] = True
    if transposed:
        lines, strokes = lines.T, strokes.T
    ink = find_ink(pixels(np.where(strokes, 40, np.where(lines, 160, 230)))) >= 128
    assert ink[strokes].mean() > 0.95
    assert ink[lines & ~strokes].mean() < 0.05


@pytest.mark.parametrize("kind", ["accented grid", "accented lines", "darker to the right"])
def test_some_lines_may_be_darker_than_others(kind):
    page = write("47\n25", size=(800, 600), at=(200, 195), pen=8)
    faint, strong = np.zeros((600, 800), bool), np.zeros((600, 800), bool)
    faint[20::20] = strong[100::100] = True
    if kind == "accented grid":
        faint[:, 20::20] = strong[:, 100::100] = True
    if kind == "darker to the right":
        strong = faint & (np.arange(800) > 480)
    paper = np.where(strong, 150, np.where(faint, 195, 230))
    ink = find_ink(pixels(np.where(page.ink, 40, paper))) >= 128
    assert ink[page.ink].mean() > 0.9
    assert ink[strong & ~page.ink].mean() < 0.1


def test_a_dark_sliver_at_the_side_is_left_whole():
    mask = np.zeros((600, 800), bool)
    mask[40::60] = mask[41::60] = True
    strength = np.where(mask, 30.0, 0.0)
    mask[1:3, 100:700] = mask[1:8, 100:110] = True
    strength[1:8] = np.where(mask[1:8], 120, 0)
    ruled = ruled_lines(mask, strength, np.ones_like(mask))
    assert not ruled[:8].any()
    assert ruled[40::60].all()


def test_dashes_in_turn_above_and_below_a_row_break_nothing():
    grey = np.full((400, 400), 255, np.uint8)
    first = np.arange(400) // 8 % 2 == 0
    for row in range(20, 380, 40):
        grey[row - 1, first] = grey[row + 1, ~first] = 0
    assert not ruled_lines(grey == 0, np.ones(grey.shape), np.ones(grey.shape, bool)).any()
    assert find_ink(grey).shape == grey.shape


@pytest.mark.parametrize("size", [(600, 400), (1000, 800), (400, 400)])
def test_level_strokes_of_digits_are_no_lines_of_the_paper(size):
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    for left in np.arange(3) * size[0] // 4 + size[0] // 7:
        wide, high = size[0] // 6, size[1] // 2
        x, y = int(left), size[1] // 4
        five = [(x + wide, y), (x, y), (x, y + high // 2), (x + wide, y + high // 2)]
        draw.line([*five, (x + wide, y + high), (x, y + high)], fill=0, width=6)
    drawn = np.asarray(picture) < 128
    assert agreement(find_ink(np.asarray(picture)) > 127, drawn) > 0.9
