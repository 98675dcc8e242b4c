"""Lines of writing: which pieces stand beside each other, on boxes given here or drawn."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from strokes import write

from digitmlp.layout import SMALL, find_lines, find_stacks, join_bars
from digitmlp.pieces import find_pieces


def test_lines_go_from_top_to_bottom_and_from_left_to_right():
    boxes = np.array([[0, 0, 30, 50], [60, 6, 90, 56], [120, 12, 150, 62],
                      [0, 90, 30, 140], [60, 96, 90, 146], [36, 130, 42, 140]])  # fmt: skip
    assert find_lines(boxes, 50) == [[0, 1, 2], [3, 5, 4]]


def test_a_piece_far_taller_than_the_digits_has_a_line_of_its_own():
    boxes = np.array([[0, 0, 30, 50], [50, 0, 80, 50], [95, 0, 120, 180]])
    assert sorted(find_lines(boxes, 50)) == [[0, 1], [2]]


def test_halves_of_a_broken_digit_are_on_one_line():
    halves = np.array([[10, 10, 35, 32], [10, 38, 38, 60]])
    assert find_lines(halves, 50) == [[0, 1]]
    halves[1, [1, 3]] += 6  # twice as far apart
    assert find_lines(halves, 50) == [[0], [1]]


def test_whole_digits_close_above_each_other_are_on_two_lines():
    assert find_lines(np.array([[10, 10, 35, 60], [10, 62, 38, 112]]), 50) == [[0], [1]]


def test_a_rule_three_times_as_long_as_the_digit_on_it_is_tall_makes_it_no_dot():
    sheet = Image.new("L", (260, 120), 0)
    draw = ImageDraw.Draw(sheet)
    draw.line([(100, 20), (100, 70)], fill=255, width=6)
    draw.line([(20, 80), (170, 80)], fill=255, width=5)
    assert SMALL * find_pieces(np.asarray(sheet)).height < 50


def test_line_goes_on_after_the_bar_of_a_broken_5():
    body_and_bar = [[92, 110, 111, 134], [104, 110, 123, 114]]
    boxes = np.array([*body_and_bar, [133, 105, 163, 136], [169, 112, 198, 143]])
    assert find_lines(boxes, 31) == [[0, 1, 2, 3]]


def test_line_goes_on_past_a_5_whose_bar_rises_beside_its_body():
    boxes = np.array([[256, 0, 292, 49], [358, 14, 399, 65],
                      [277, 37, 298, 58], [292, 15, 334, 33],
                      [113, 0, 147, 48], [175, 0, 221, 50], [432, 23, 479, 72]])  # fmt: skip
    assert find_lines(boxes, 50) == [[4, 5, 0, 2, 3, 1, 6]]
    far_off = np.array([[68, 267, 83, 296], [92, 272, 109, 300],
                        [125, 287, 136, 299], [133, 275, 155, 285]])  # fmt: skip
    assert find_lines(far_off, 28) == [[0, 1, 2, 3]]


def test_digits_that_nearly_touch_are_no_parts_of_one():
    boxes = np.array([[0, 0, 30, 50], [34, 0, 60, 50]])
    assert find_stacks([0, 1], boxes, 50) == [[0], [1]]
    assert join_bars([[0], [1]], boxes, 50) == [[0], [1]]


def test_bar_goes_with_the_body_below_it_not_with_a_digit_of_the_line_above():
    boxes = np.array([[60, 0, 90, 50], [95, 52, 130, 66], [90, 70, 112, 105]])
    assert find_lines(boxes, 50) == [[0], [2, 1]]


# Two whole digits, and between them a body as high as half of one and a bar at its right.
BROKEN = np.array([[40, 0, 70, 50], [175, 0, 205, 50], [100, 20, 125, 48], [123, 5, 160, 17]])


def test_bar_is_joined_with_its_body_and_the_line_goes_on():
    assert join_bars([[0], [1], [2], [3]], BROKEN, 50) == [[0], [1], [3, 2]]
    assert find_lines(BROKEN, 50) == [[0, 2, 3, 1]]


@pytest.mark.parametrize(
    "bar",
    [
        [123, 5, 147, 17],  # shorter than half of a digit's height
        [123, -4, 150, 18],  # not flat
        [123, -8, 165, 18],  # as high as half of a digit
        [123, 5, 184, 17],  # longer than a digit is high
        [133, 5, 170, 17],  # farther from the body
    ],
)
def test_what_is_no_bar_of_the_body_is_not_joined_with_it(bar):
    boxes = BROKEN.copy()
    boxes[3] = bar
    assert join_bars([[2], [3]], boxes, 50) == [[2], [3]]


def test_bar_and_body_that_are_taller_than_a_digit_are_not_joined():
    boxes = np.array([[100, 20, 125, 58], [123, -5, 160, 15]])
    assert join_bars([[0], [1]], boxes, 50) == [[0], [1]]
    assert join_bars([[0], [1]], boxes, 55) == [[1, 0]]


def test_dash_before_a_1_is_no_part_of_it():
    page = write("1", size=(300, 200), at=(120, 60), height=60)
    left, top, _, bottom = page.boxes[0]
    middle = (top + bottom) // 2
    page.ink[middle - 3 : middle + 3, left - 44 : left - 6] = True
    boxes = find_pieces(page.ink * np.uint8(255)).boxes
    assert find_stacks([0, 1], boxes, 60) in ([[0], [1]], [[1], [0]])
