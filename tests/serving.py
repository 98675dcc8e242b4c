"""Digits made of strokes, a model that learned them, and servers that really listen."""

import contextlib
import functools
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image, ImageDraw

from digitmlp import server
from digitmlp.glyph import to_digit
from digitmlp.limits import Limits

Stroke = list[tuple[float, float]]  # from 0 to 1, right and down

_FOLDER = tempfile.TemporaryDirectory(prefix="digitmlp-serving-")


def arc(x: float, y: float, rx: float, ry: float, first: float, last: float) -> Stroke:
    """Return an arc from one angle to another, in degrees, clockwise from the right."""
    angles = [math.radians(first + (last - first) * step / 24) for step in range(25)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


DIGITS: dict[int, list[Stroke]] = {
    0: [arc(0.5, 0.5, 0.26, 0.4, -90, 270)],
    1: [[(0.38, 0.25), (0.53, 0.1), (0.53, 0.9)]],
    2: [[*arc(0.5, 0.32, 0.22, 0.2, -170, 30), (0.28, 0.88), (0.75, 0.88)]],
    3: [arc(0.48, 0.3, 0.2, 0.2, -140, 90) + arc(0.48, 0.7, 0.24, 0.2, -90, 140)],
    4: [[(0.5, 0.1), (0.25, 0.6), (0.75, 0.6)], [(0.62, 0.4), (0.6, 0.92)]],
    5: [[(0.72, 0.12), (0.38, 0.12), (0.34, 0.45), *arc(0.48, 0.66, 0.22, 0.24, -110, 140)]],
    6: [[(0.6, 0.1), (0.4, 0.35), *arc(0.5, 0.7, 0.2, 0.2, 180, 540)]],
    7: [[(0.28, 0.15), (0.72, 0.15), (0.45, 0.9)]],
    8: [arc(0.5, 0.3, 0.18, 0.19, 90, 450), arc(0.5, 0.7, 0.2, 0.21, -90, 270)],
    9: [[*arc(0.5, 0.32, 0.2, 0.2, 0, 360), (0.68, 0.55), (0.6, 0.9)]],
}


def drawing(digit: int, random: np.random.Generator) -> np.ndarray:
    """Return a digit, (28, 28), drawn by an unsteady hand."""
    sheet = Image.new("L", (120, 120))
    draw = ImageDraw.Draw(sheet)
    width = int(random.integers(4, 12))
    turn = np.array([[1, 0], [0, 1]]) + random.uniform(-0.2, 0.2, (2, 2))
    for stroke in DIGITS[digit]:
        points = (np.array(stroke) - 0.5 + random.normal(0, 0.008, (len(stroke), 2))) @ turn
        line = [tuple(point) for point in (60 + 90 * points).tolist()]
        draw.line(line, fill=255, width=width, joint="curve")
        for x, y in (line[0], line[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return to_digit(np.asarray(sheet))


@functools.cache
def trained() -> Path:
    """Return the run folder of a small network that learned digits made of strokes."""
    from digitmlp import run

    random = np.random.default_rng(0)
    labels = np.arange(3000) % 10
    images = np.stack([drawing(digit, random) for digit in labels.tolist()])
    data, folder = Path(_FOLDER.name, "digits.npz"), Path(_FOLDER.name, "small")
    np.savez(data, X=images, y=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitmlp.results.draw", lambda *_: None)
        patch.setattr("digitmlp.report.build", lambda *_: None)
        settings = {"epochs": 8, "learning_rate": 2e-3}
        run.train(
            str(data), preset="tutorial", out=folder, model={"hidden": (128,)}, training=settings
        )
    return folder


def program(*names: str) -> str | None:
    """Return the path of the first of these programs that there is; in CI there has to be one."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"these tests need {names[0]}: apt-get install -y {names[0]}", pytrace=False)
    return found


@contextlib.contextmanager
def served(*options: str, model: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start `digitmlp serve` on a free port; give its address once it is ready, and its process."""
    command = [sys.executable, "-m", "digitmlp", "serve", "--model", str(model or trained())]
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            line = process.stdout.readline()
            address = re.search(r"http://\S+:\d+", line)
            assert address, line + process.stderr.read()
            yield address[0], process
        finally:
            process.kill()


@contextlib.contextmanager
def listening(app: object, limits: Limits | None = None, **options: int) -> Iterator[str]:
    """Serve an app in a thread of this process, with options of the socket; give its address."""
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.create_server(("127.0.0.1", 0), backlog=1000) as listener,
    ):
        for name, value in options.items():
            listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        patch.setattr(server.Protocol, "limits", limits or Limits())
        running = uvicorn.Server(uvicorn.Config(app, **server.OPTIONS))
        thread = threading.Thread(target=running.run, args=[[listener]])
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()
