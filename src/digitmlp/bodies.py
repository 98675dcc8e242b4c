"""What a request brings: its body, the picture in a form, the images in JSON or in raw bytes."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from digitmlp.digits import PIXELS, SIDE, Images
from digitmlp.limits import Limits, Refusal, busy

OCTETS = "application/octet-stream"
JSON = "application/json"
# What curl says of `--data-binary @photo.jpg` unless it is told better.
_CURL = "application/x-www-form-urlencoded"

_PIXEL = f"a whole number from 0 to 255, ink 255 on ground 0, {PIXELS} an image"


class ClientLeft(Exception):  # noqa: N818 - nobody is there to be told
    """The client closed the connection before its request was whole."""


class Bodies:
    """Receives bodies, and knows how many bytes of them are held at the moment."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0

    async def receive(self, scope: Scope, receive: Receive, most: int) -> bytes:
        """Return the body, to be handed back to `release`; raises Refusal or ClientLeft.

        With more than `most` bytes announced, nothing is received; with more that come unannounced,
        no more than that.
        """
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > most:
                raise _too_large(most)
        parts = []
        size = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                part = message.get("body", b"")
                size += len(part)
                self.held += len(part)
                if size > most:
                    raise _too_large(most)
                if self.held > self.limits.held:
                    raise busy("too many bytes are being received")
                parts.append(part)
                more = message.get("more_body", False)
        except BaseException:
            self.held -= size
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self, body: bytes) -> None:
        """Count the body as no longer held."""
        self.held -= len(body)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body has more than {most:,} bytes; send less in a request")


def header(scope: Scope, wanted: bytes) -> str:
    """Return a header of the request, "" where there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def media_of(kind: str) -> str:
    """Return the media type of a content type, without its parameters."""
    return kind.partition(";")[0].strip().lower()


def images_of(kind: str, body: bytes, limits: Limits) -> Images:
    """Return the images in a body of this content type, uint8 (n, 28, 28); raises Refusal."""
    media = media_of(kind)
    most = limits.images
    if media == OCTETS:
        if len(body) % PIXELS:
            raise Refusal(
                422,
                f"the body has {len(body):,} bytes; expected a multiple of {PIXELS}, one a pixel",
            )
    elif media == JSON:
        most = limits.json_images
        body = _pixels(_parse(body), literals=b"r" in body or b"l" in body)
    else:
        raise Refusal(415, f"the content type is {kind or 'missing'}; expected {JSON} or {OCTETS}")
    count = len(body) // PIXELS
    if not 1 <= count <= most:
        raise Refusal(422, f"the body holds {count:,} images; expected 1 to {most:,}")
    return np.frombuffer(body, np.uint8).reshape(count, SIDE, SIDE)


def _parse(body: bytes) -> list[Any]:
    """Return the list of images in `{"images": […]}`; raises Refusal."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(422, f"the body is not JSON that can be read: {error}") from error
    if not isinstance(content, dict) or content.keys() != {"images"}:
        found = (
            f"an object with {', '.join(map(repr, content))}"
            if isinstance(content, dict)
            else (f"a {type(content).__name__}")
        )
        raise Refusal(422, f"""the body is {found[:200]}; expected {{"images": [[…], …]}}""")
    images = content["images"]
    if not isinstance(images, list):
        raise Refusal(422, f"images is a {type(images).__name__}; expected a list of images")
    return images


def _pixels(images: list[Any], *, literals: bool) -> bytes:
    """Return the pixels of images given as lists of 784 whole numbers, 0 to 255, or of 28 rows.

    literals  the JSON has an r or an l, as true, false and null have; looking at the type of every
              pixel would take as long as all the rest
    """
    rows = []
    for place, image in enumerate(map(_flat, images)):
        if not isinstance(image, list) or len(image) != PIXELS or literals:
            _check(place, image)
        try:
            rows.append(bytes(image))  # takes whole numbers from 0 to 255, and True and False
        except (ValueError, TypeError):
            _check(place, image)
            rows.append(bytes(map(int, image)))  # 207.0 is a whole number in JSON
    return b"".join(rows)


def _flat(image: Any) -> Any:
    """Return the pixels of an image given as 28 rows; anything else as it is."""
    if not isinstance(image, list) or len(image) != SIDE:
        return image
    if not all(isinstance(row, list) and len(row) == SIDE for row in image):
        return image
    return list(chain.from_iterable(image))


def _check(place: int, image: Any) -> None:
    """Raise the Refusal that says what is wrong with an image, if anything is."""
    if not isinstance(image, list):
        raise Refusal(422, f"image {place} is a {type(image).__name__}; expected a list of pixels")
    if len(image) != PIXELS:
        expected = f"{PIXELS}, or {SIDE} rows of {SIDE} (images is a list of images)"
        raise Refusal(422, f"image {place} has {len(image):,} pixels; expected {expected}")
    for pixel, value in enumerate(image):
        if type(value) not in (int, float) or not 0 <= value <= 255 or value % 1:
            found = orjson.dumps(value).decode()[:40]
            raise Refusal(422, f"image {place}, pixel {pixel} is {found}; expected {_PIXEL}")


def picture_of(kind: str, body: bytes) -> tuple[bytes, str]:
    """Return the picture in a body of this content type, and its name; raises Refusal.

    The body is the picture itself, or a form (multipart/form-data) with it as its one file. The
    name is the last part of the file name in the form, else `picture`.
    """
    media = media_of(kind)
    if media == "multipart/form-data":
        return _file_of(kind, body)
    if media.startswith("image/") or media in ("", OCTETS, _CURL):
        return body, "picture"
    raise Refusal(
        415,
        f"the content type is {kind}; expected a picture (image/png, image/jpeg, …, {OCTETS}) or a "
        "form with one (multipart/form-data)",
    )


def _file_of(kind: str, body: bytes) -> tuple[bytes, str]:
    boundary = parse_options_header(kind)[1].get(b"boundary", b"")
    if not boundary:
        raise Refusal(422, "the form has no boundary in its content type")
    form = _Form()
    try:
        # One file is all a form may hold; the parser's limits on part headers hold here as well.
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin,
                "on_header_begin": form.begin_header,
                "on_header_field": form.field,
                "on_header_value": form.value,
                "on_header_end": form.end_header,
                "on_part_data": form.data,
                "on_end": form.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(422, f"the form is damaged: {error}") from error
    if not form.ended or form.name is None:
        raise Refusal(422, "the form is cut, or has no file; expected one file, the picture")
    name = form.name.replace("\\", "/").rpartition("/")[2]
    return b"".join(form.parts), name or "picture"


class _Form:
    """Gathers the one file of a form while it is parsed."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.parts: list[bytes] = []
        self.ended = False
        self._begun = False
        self._header: tuple[list[bytes], list[bytes]] = ([], [])

    def begin(self) -> None:
        if self._begun:
            raise Refusal(422, "the form has more than one part; expected one file, the picture")
        self._begun = True

    def begin_header(self) -> None:
        self._header = ([], [])

    def field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].append(data[start:end])

    def value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].append(data[start:end])

    def end_header(self) -> None:
        name, value = map(_joined, self._header)
        if name.lower() == b"content-disposition":
            options = parse_options_header(value)[1]
            if b"name" not in options or b"filename" not in options:
                raise Refusal(
                    422,
                    "the part of the form has no name or is no file; "
                    "expected one file, the picture, as curl's -F picture=@photo.jpg sends it",
                )
            self.name = options[b"filename"].decode("utf-8", "replace")

    def data(self, data: bytes, start: int, end: int) -> None:
        self.parts.append(data[start:end])

    def end(self) -> None:
        self.ended = True


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)
