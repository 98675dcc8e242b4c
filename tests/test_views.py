"""Views of an image: where its ink goes."""

import math

import numpy as np
import pytest

from digitmlp.views import SHEAR, STRETCH, TURN, views

COS, SIN = math.cos(TURN), math.sin(TURN)


def centres(y: int, x: int) -> np.ndarray:
    """Return (views, 2): where a dot of two by two pixels is shown that lies so far from the
    middle, down and to the right.
    """
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 13 + y : 15 + y, 13 + x : 15 + x] = 255
    seen = views(image)[0].astype(np.float64)
    at = np.arange(28) - 13.5
    mass = seen.sum((1, 2))
    return np.stack([seen.sum(2) @ at / mass, seen.sum(1) @ at / mass], 1)


@pytest.mark.parametrize(
    ("dot", "places"),
    [
        (
            (-8, 0),
            (
                *((-8, -8 * SHEAR), (-8, 8 * SHEAR), (-8 * COS, -8 * SIN), (-8 * COS, 8 * SIN)),
                *((-8, 0), (-8, 0), (-8 * STRETCH, 0), (-8 / STRETCH, 0)),
            ),
        ),
        (
            (0, 8),
            (
                *((0, 8), (0, 8), (-8 * SIN, 8 * COS), (8 * SIN, 8 * COS)),
                *((0, 8 * STRETCH), (0, 8 / STRETCH), (0, 8), (0, 8)),
            ),
        ),
    ],
)
def test_each_way_of_drawing_is_seen_both_ways(dot, places):
    found = centres(*dot)
    apart = np.abs(found[:, None] - np.array(places)[None]).max(2)
    assert (apart.min(0) < 0.15).all()
    assert (apart.min(1) < 0.15).all()


def test_what_is_in_a_mirror_is_seen_in_a_mirror():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    seen, mirrored = views(images), views(images[:, :, ::-1])[..., ::-1]
    # Sheared and turned the other way; as wide and as tall.
    np.testing.assert_allclose(mirrored[:, [4, 5, 2, 3, 0, 1, 6, 7]], seen, atol=1e-3)


def test_beyond_the_image_is_ground():
    images = np.zeros((1, 28, 28), np.uint8)
    images[0, :, 27] = 255
    assert views(images)[..., :14].max() == 0
    corners = views(np.full((1, 28, 28), 255, np.uint8))[0, :, [0, 0, 27, 27], [0, 27, 0, 27]]
    assert (corners.min(0) < 255).sum() == 6  # whole in what is wider or taller alone


@pytest.mark.parametrize("count", [0, 1, 5])
def test_views_are_of_each_image_apart(count):
    images = np.random.default_rng(1).random((count, 28, 28))
    seen = views(images)
    assert seen.shape == (count, 8, 28, 28)
    assert seen.dtype == np.float32
    for image, own in zip(images, seen, strict=True):
        np.testing.assert_array_equal(views(image[None])[0], own)
