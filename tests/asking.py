"""Requests to servers that listen, as clients that behave send them and as others do."""

import contextlib
import functools
import http.client
import io
import json
import re
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import urlsplit

from PIL import Image, ImageDraw

JSON, OCTETS = "application/json", "application/octet-stream"


def ask(
    address: str, path: str, body: object = None, *, method: str | None = None, **headers: str
) -> SimpleNamespace:
    """Return status, headers and body of an answer; the body also as JSON where it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method or ("GET" if body is None else "POST"), path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = response.headers.get("content-type") == JSON
    return SimpleNamespace(
        status=response.status,
        headers=response.headers,
        body=content,
        json=json.loads(content) if is_json else None,
    )


def exchange(address: str, content: bytes, *, wait: float = 10) -> bytes:
    """Return all that comes back for these bytes until the server closes, or says nothing more."""
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port), timeout=wait) as connection:
        received = b""
        with contextlib.suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                received += part
        return received


def form(*parts: tuple[str, bytes], boundary: str = "edge") -> tuple[bytes, str]:
    """Return a form of parts (their headers, their content), and its content type."""
    body = b"".join(
        f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def file_part(content: bytes, name: str = "photo.png") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="picture"; filename="{name}"', content


@functools.cache
def picture() -> bytes:
    """Return a PNG of two strokes, black on white, a 7 and what may be a 1."""
    image = Image.new("L", (300, 200), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(60, 50), (120, 50), (85, 150)], fill=0, width=12, joint="curve")
    draw.line([(200, 45), (200, 150)], fill=0, width=12)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def metrics(address: str) -> dict[str, float]:
    """Return the metrics; every line must have Prometheus's form."""
    found = {}
    answer = ask(address, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, value = re.fullmatch(r"(\w+(?:\{.+\})?) ([\d.]+)", line).groups()
            found[name] = float(value)
    return found


def until(true: Callable[[], bool]) -> None:
    """Wait until it is true; fail if that takes ten seconds."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true")
