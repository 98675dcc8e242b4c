"""Pictures, decoded from what people have: the right way up, within limits."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from digitmlp.errors import DataError

# Formats of pixels alone: nothing here (as SVG, PDF or EPS would) draws, runs or fetches.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 64_000_000
MAX_SIDE = 20_000

ONE_COLOUR = 32  # between the least and the greatest of each channel
_UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

PictureSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A picture the right way up.

    pixels  uint8, (h, w) grey or (h, w, 3) RGB
    size    (width, height) of the upright picture, of which pixels may be a smaller copy
    frames  how many pictures the source holds; this is the first
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    frames: int = 1


def decode(source: PictureSource, longest: int | None = None) -> Picture:
    """Return the picture in a file, its bytes, an open file, a PIL image or an array.

    Transparency is laid on a ground in contrast to what is drawn. Arrays are (h, w), (h, w, 1),
    (h, w, 3) or (h, w, 4): uint8, uint16, bool, or other numbers from 0 to 1, 255, 4095 or 65535.
    With `longest`, pixels are averaged until no side has more than so many. Raises DataError.
    """
    name = describe(source)
    if isinstance(source, np.ndarray):
        pixels = _array_pixels(name, source)
        image = Image.fromarray(pixels)
        return Picture(_pixels(name, _shrunk(image, longest)), image.size)
    with _opened(name, source) as image:
        _check_size(name, image.size)
        size = image.size
        try:
            frames = getattr(image, "n_frames", 1)
            if longest and image is not source:
                # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time.
                factor = -(-max(size) // longest)
                image.draft(None, (size[0] // factor, size[1] // factor))
            image.load()
            orientation = _orientation(image)
            upright = _shrunk(image, longest)
            if orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
            turned = size[::-1] if orientation >= 5 else size
            return Picture(_pixels(name, upright), turned, frames)
        except DataError:
            raise
        except Exception as error:  # damaged files raise nearly anything in Pillow's decoders
            raise DataError(
                f"{name}: is cut or damaged ({error}); save or send it again"
            ) from error


def describe(source: PictureSource) -> str:
    """Return what an error or a result calls the source: its path, or `picture`."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "filename", "") or "picture")


@contextlib.contextmanager
def _opened(name: str, source: Any) -> Iterator[Image.Image]:
    """Open the source as far as its header; raises DataError."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, Image.Image):
            yield source
            return
        try:
            if isinstance(source, str | os.PathLike):
                path = Path(source)
                if path.exists() and not path.is_file():
                    raise DataError(f"{name}: is no file; expected a picture")
                source = stack.enter_context(path.open("rb"))
            elif isinstance(source, bytes | bytearray | memoryview):
                source = BytesIO(source)
            elif not hasattr(source, "read"):
                raise DataError(
                    f"{name}: a {type(source).__name__} is no picture; expected a path, bytes, "
                    "an open file, a PIL image or a numpy array"
                )
            with warnings.catch_warnings():  # of sizes that are refused below, with the size
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = stack.enter_context(Image.open(source, formats=FORMATS))
        except Image.DecompressionBombError as error:
            raise DataError(f"{name}: has too many pixels; {_LIMITS}") from error
        except UnidentifiedImageError as error:
            raise DataError(
                f"{name}: is empty, damaged or no picture; expected PNG, JPEG, GIF, BMP, TIFF, "
                "WEBP or PPM (save others, such as HEIC or PDF, as one of these)"
            ) from error
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
        except DataError:
            raise
        except Exception as error:  # damaged headers raise nearly anything
            raise DataError(
                f"{name}: its header is damaged ({error}); save or send it again"
            ) from error
        yield image


_LIMITS = f"at most {MAX_PIXELS:,} are read, and {MAX_SIDE:,} a side"


def _check_size(name: str, size: tuple[int, ...]) -> None:
    width, height = size
    if width * height > MAX_PIXELS or max(size) > MAX_SIDE:
        raise DataError(f"{name}: has {width:,}×{height:,} pixels; {_LIMITS}")
    if min(size) < 1:
        raise DataError(f"{name}: has no pixels ({width}×{height})")


def _orientation(image: Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF is no reason to refuse sound pixels
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _shrunk(image: Image.Image, longest: int | None) -> Image.Image:
    """Return the image, by a whole factor smaller, with no side longer than this."""
    if longest is None or max(image.size) <= longest:
        return image
    if image.mode in ("P", "PA", "1"):  # colours that cannot be averaged
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode.startswith("I;16"):  # Pillow cannot reduce it
        image = Image.fromarray(eight_bits(np.asarray(image).astype(np.uint16)))
    return image.reduce(-(-max(image.size) // longest))


def _pixels(name: str, image: Image.Image) -> NDArray[np.uint8]:
    """Return the image, of any mode, as uint8, (h, w) grey or (h, w, 3) RGB; raises DataError."""
    if image.mode.startswith("I;16"):
        return eight_bits(np.asarray(image).astype(np.uint16))
    if image.mode in ("I", "F"):
        return _eight_bits_of(name, np.asarray(image))
    if image.has_transparency_data:
        return _on_ground(np.asarray(image.convert("RGBA")))
    if image.mode == "LAB":
        image = image.getchannel(0)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _on_ground(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB (h, w, 3) of RGBA, laid on a ground that hides nothing.

    A shape of one colour is carried by alpha alone: black on white, whatever the colour. Other
    drawings on a transparent sheet get the one of black and white that is farther from their
    colour; a photo with transparent parts, its own median.
    """
    colours, alpha = rgba[..., :3], rgba[..., 3]
    visible = colours[alpha >= 128] if (alpha >= 128).any() else colours[alpha > 0]
    if alpha.min() == 255 or len(visible) == 0:
        return np.where(alpha[..., None] > 0, colours, 255).astype(np.uint8)
    if np.ptp(visible, axis=0).max() < ONE_COLOUR:
        return np.repeat(255 - alpha[..., None], 3, axis=2)
    if len(visible) < alpha.size / 2:
        ground = np.full(3, 255.0 if visible.mean() < 128 else 0.0)
    else:
        ground = np.median(visible, axis=0)
    opacity = alpha[..., None] / np.float32(255)
    return np.rint(colours * opacity + ground * (1 - opacity)).astype(np.uint8)


def _array_pixels(name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array as uint8 (h, w), (h, w, 3) or (h, w, 4); raises DataError."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise DataError(
            f"{name}: an array of shape {array.shape} is no picture; expected (h, w), (h, w, 1), "
            "(h, w, 3) or (h, w, 4)"
        )
    _check_size(name, array.shape[1::-1])
    if array.dtype.kind not in "buif":
        raise DataError(f"{name}: an array of {array.dtype} is no picture; expected numbers")
    return _eight_bits_of(name, array)


def _eight_bits_of(name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype.kind in "if" and not (np.isfinite(array).all() and array.min() >= 0):
        raise DataError(f"{name}: holds negative or infinite numbers or NaN; expected 0 to 255")
    return eight_bits(array)


def eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return numbers, 0 or above, as uint8.

    uint8 as it is, bool 0 or 255; uint16 from 0-65535 or, where none is above, from 0-4095, as
    cameras of 12 bits give them; of others, the full scale is the least of 1, 255, 4095 and 65535
    that holds them, give or take a fifth, or else their maximum.
    """
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return (array >> (8 if array.max(initial=0) >= 4096 else 4)).astype(np.uint8)
    top = float(array.max())
    scales = [1.0] if array.dtype.kind == "f" else []
    # A hair above the full scale comes of arithmetic, more of it of an interpolation.
    full = next((scale for scale in (*scales, 255.0, 4095.0, 65535.0) if top <= 1.2 * scale), top)
    return np.rint(array.astype(np.float64) * (255 / full)).clip(0, 255).astype(np.uint8)
