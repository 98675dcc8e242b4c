"""A picture that was enlarged is looked at as it was before; no other is reduced."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from strokes import Templates, write

from digitmlp import read
from digitmlp.detail import enlargement

NUMBERS = "20\n47 358"


def enlarged(picture: np.ndarray, factor: float, how: Image.Resampling) -> np.ndarray:
    image = Image.fromarray(picture)
    size = (round(factor * image.width), round(factor * image.height))
    return np.asarray(image.resize(size, how))


def grainy(digit: str, side: int) -> np.ndarray:
    """Return a small photo of a digit, the whole picture's height but for a margin."""
    page = write(digit, size=(side, side), at=(0.3 * side, 0.15 * side), height=0.7 * side, pen=3)
    return page.picture(120, 180, noise=10)


@pytest.mark.parametrize("how", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
@pytest.mark.parametrize(("factor", "least"), [(4, 2), (9, 4), (20, 8)])
def test_an_enlarged_picture_is_told(factor, least, how):
    found = enlargement(enlarged(grainy("5", 40), factor, how))
    assert least <= found <= factor


@pytest.mark.parametrize("noise", [0, 5])
@pytest.mark.parametrize("size", [(600, 400), (1900, 1300)])
def test_a_picture_with_sharp_edges_is_not_reduced(size, noise):
    assert enlargement(write(NUMBERS, size=size).picture(40, 230, noise)) == 1


def test_one_sharp_digit_beside_others_out_of_focus_keeps_its_edges():
    page = write("7", size=(1900, 1300), at=(1500, 100), height=60, pen=3)
    others = Image.fromarray(write("25", size=(1300, 1300), at=(200, 100)).picture())
    picture = page.picture()
    picture[:, :1300] = np.asarray(others.filter(ImageFilter.GaussianBlur(4)))
    assert enlargement(picture[:, :1300]) > 1
    assert enlargement(picture) == 1


@pytest.mark.parametrize("place", [200, 201])
@pytest.mark.parametrize("transposed", [False, True])
def test_an_edge_between_the_pixels_of_a_smaller_copy_is_sharp(place, transposed):
    picture = np.full((700, 700), 35, np.uint8)
    picture[place:] = 230
    assert enlargement(picture.T if transposed else picture) == 1


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_picture_is_not_reduced(level):
    assert enlargement(np.full((300, 500), level, np.uint8)) == 1


@pytest.mark.parametrize("digit", ["2", "4", "7", "8"])
@pytest.mark.parametrize("side", [360, 450, 700])
def test_a_small_photo_that_was_enlarged_is_read(digit, side):
    picture = enlarged(grainy(digit, 40), side / 40, Image.Resampling.BICUBIC)
    reading = read(picture, Templates())
    assert reading.text == digit
    # Its box lies where it is seen: ink goes from 4.5 to 35.5 of the 40 pixels.
    left, top, right, bottom = reading.numbers[0].box
    assert abs(top / side - 4.5 / 40) < 0.05
    assert abs(bottom / side - 35.5 / 40) < 0.05
    assert 0.2 < left / side < right / side < 0.9


@pytest.mark.parametrize("factor", [3, 4])
@pytest.mark.parametrize("light", [0.6, 0.8])
def test_an_enlarged_page_in_a_shadow_is_read(factor, light):
    page = write(NUMBERS, size=(300, 220), at=(40, 40), height=28, pen=4, gap=0.6)
    shaded = page.picture(110, 200).astype(float)
    shaded[:, :160] *= light
    soft = Image.fromarray(shaded.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    picture = enlarged(np.asarray(soft), factor, Image.Resampling.BICUBIC)
    assert read(picture, Templates()).text == NUMBERS
