"""Decoding pictures of every kind, and bringing one digit into MNIST's form."""

import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from digitmlp.errors import DataError
from digitmlp.glyph import read_digit
from digitmlp.picture import Picture, decode


def drawing() -> Image.Image:
    """A black 7-like hook on white, upright and unlike its mirror images; 60 wide, 40 high."""
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[8:12, 20:40] = 0
    pixels[8:34, 36:40] = 0
    return Image.fromarray(pixels)


def grey(picture: Picture | Image.Image) -> np.ndarray:
    pixels = picture.pixels if isinstance(picture, Picture) else np.asarray(picture)
    return pixels.astype(float) if pixels.ndim == 2 else pixels.mean(2)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_paths_bytes_files_images_and_arrays_give_the_same_pixels(tmp_path):
    image, path = drawing(), tmp_path / "a.png"
    image.save(path)
    expected = np.asarray(image)
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), image):
        picture = decode(source)
        np.testing.assert_array_equal(picture.pixels, expected)
        assert (picture.size, picture.frames) == ((60, 40), 1)
    np.testing.assert_array_equal(decode(expected).pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_common_formats_are_read(kind):
    picture = decode(encoded(drawing(), kind))
    assert np.abs(grey(picture) - grey(drawing())).mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_every_mode_gives_the_same_digit(mode):
    image = drawing()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(np.asarray(image).astype(np.int32) * 257)
    else:
        image = image.convert("RGB").convert(mode) if mode == "CMYK" else image.convert(mode)
    np.testing.assert_array_equal(read_digit(image), read_digit(drawing()))


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_twelve_bits_give_the_same_digit(kind):
    image = Image.fromarray(np.rint(np.asarray(drawing()) * (4095 / 255)).astype(kind))
    np.testing.assert_array_equal(read_digit(image), read_digit(drawing()))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16", "I", "F"])
def test_every_mode_is_made_smaller(mode):
    grey = np.asarray(drawing().resize((120, 80)), np.uint16)
    image = Image.fromarray(grey * 257) if mode == "I;16" else drawing().resize((120, 80))
    if mode == "I":
        image = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode != "I;16":
        image = image.convert(mode)
    picture = decode(encoded(image, "TIFF"), longest=60)
    assert picture.pixels.shape[:2] == (40, 60)
    assert picture.size == (120, 80)


def test_one_transparent_pixel_hides_no_ink():
    rgba = np.asarray(Image.new("RGBA", (400, 200), "white")).copy()
    rgba[90:110, 195:200, :3] = 0
    rgba[0, 0, 3] = 0
    pixels = decode(rgba).pixels
    assert pixels[100, 197].max() == 0
    assert pixels[:80].min() == 255


@pytest.mark.parametrize("most", [1 + 1e-6, 1.1, 255.1, 294, 66_000])
def test_a_hair_above_the_full_scale_is_no_other_scale(most):
    array = np.linspace(0, most, 400, dtype=np.float64).reshape(20, 20)
    assert decode(array).pixels.max() == 255
    assert 100 < np.median(decode(array).pixels) < 155


@pytest.mark.parametrize("colour", [0, 90, 255])
def test_a_shape_that_alpha_alone_carries_is_seen(colour):
    ink = 255 - np.asarray(drawing())
    rgba = np.dstack([np.full((40, 60, 3), colour, np.uint8), ink])
    np.testing.assert_array_equal(read_digit(rgba) > 60, read_digit(drawing()) > 60)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_exif_orientation_is_undone(orientation, kind):
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: np.rot90,
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](np.asarray(drawing()))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for longest in (None, 30):
        picture = decode(encoded(stored, kind, exif=exif), longest)
        assert picture.size == (60, 40)
        expected = (
            drawing() if longest is None else drawing().resize((30, 20), Image.Resampling.BOX)
        )
        assert np.abs(grey(picture) - grey(expected)).mean() < 8


def test_first_frame_is_taken_and_the_number_of_frames_told():
    frames = [drawing(), Image.new("L", (60, 40), 128)]
    for kind in ("GIF", "TIFF"):
        picture = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert picture.frames == 2
        np.testing.assert_array_equal(read_digit(picture.pixels), read_digit(drawing()))


def test_longest_bounds_the_pixels_but_not_the_size():
    picture = decode(encoded(drawing().resize((1200, 800)), "JPEG"), 300)
    assert picture.pixels.shape[:2] == (200, 300)
    assert picture.size == (1200, 800)


def test_too_many_pixels_are_refused_from_the_header():
    with pytest.raises(DataError, match=r"^picture: has too many pixels; at most 64,000,000 are"):
        decode(b"P5 50000 50000 255\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow has one of its own, for some sizes
        for width, height in ((1, 100_000), (12_000, 9_000)):
            sentence = (
                f"picture: has {width:,}×{height:,} pixels; at most 64,000,000 are read, and "
                "20,000 a side"
            )
            with pytest.raises(DataError, match=f"^{sentence}$"):
                decode(f"P5 {width} {height} 255\n".encode())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_files_cut_or_damaged_anywhere_are_read_or_refused_in_a_sentence(kind):
    content = encoded(drawing(), kind)
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[random.integers(len(damaged))] ^= 1 << int(random.integers(8))
        for bad in (content[: random.integers(len(content))], bytes(damaged)):
            sentence = ""
            try:
                decode(bad)
            except DataError as error:
                sentence = str(error)
            assert sentence.startswith("picture: ") or not sentence
            assert "\n" not in sentence


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%PDF-1.4", b"<svg xmlns=''/>", b"%!PS-Adobe EPSF"]
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        decode(path)
    assert str(error.value) == (
        f"{path}: is empty, damaged or no picture; expected PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM "
        "(save others, such as HEIC or PDF, as one of these)"
    )


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    with pytest.raises(DataError, match="No such file or directory"):
        decode(tmp_path / "none.png")
    with pytest.raises(DataError, match="is no file; expected a picture"):
        decode(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="is no file; expected a picture"):
            decode(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 3, 5)), "an array of shape (2, 3, 5) is no picture; expected (h, w), "),
        (np.zeros((0, 3)), "has no pixels (3×0)"),
        (np.full((3, 3), np.nan), "holds negative or infinite numbers or NaN; expected 0 to 255"),
        (np.full((3, 3), "a"), "an array of <U1 is no picture; expected numbers"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, sentence):
    with pytest.raises(DataError) as error:
        decode(array)
    assert str(error.value).startswith(f"picture: {sentence}")


@pytest.mark.parametrize("wrong", [np.nan, -1, np.inf])
def test_files_with_such_numbers_are_refused_as_arrays_are(wrong, tmp_path):
    path = tmp_path / "depth.tiff"
    numbers = np.full((30, 30), 0.5, np.float32)
    numbers[3, 4] = wrong
    Image.fromarray(numbers).save(path)
    with pytest.raises(DataError) as error:
        decode(path)
    sentence = "holds negative or infinite numbers or NaN; expected 0 to 255"
    assert str(error.value) == f"{path}: {sentence}"


def test_white_on_black_and_black_on_white_give_the_same_digit():
    black_on_white = np.asarray(drawing())
    expected = read_digit(black_on_white)
    assert expected.max() == 255
    np.testing.assert_array_equal(read_digit(255 - black_on_white), expected)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (300, 200)])
def test_a_uniform_picture_gives_an_empty_image(value, shape):
    assert not read_digit(np.full(shape, value, np.uint8)).any()
