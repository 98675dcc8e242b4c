"""How long a photo of 12 megapixels with ten digits takes: the whole command, and a warm call.

python benchmarks/photo.py DATA
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from generate import SPLIT_SEED, VALIDATION, Digits, resized, row_of_digits
from PIL import Image

from digitmlp import read, sources
from digitmlp.split import stratified_split

WIDTH, HEIGHT = 4000, 3000
TIMES = 7  # of which the fastest counts


def photo(digits: Digits, size: int) -> tuple[Image.Image, str]:
    """Return two lines of five digits, so many pixels high, in light that falls off."""
    ink = np.zeros((HEIGHT, WIDTH), np.float32)
    labels = []
    for top in (700, 1700):
        row, label = row_of_digits(digits, 5, (4, 12))
        row = resized(row, row.shape[1] * size / 20, row.shape[0] * size / 20)
        ink[top : top + row.shape[0], 500 : 500 + row.shape[1]] = row / 255
        labels.append(label)
    light = np.linspace(1, 0.7, WIDTH, dtype=np.float32)
    pixels = 225 * light * (1 - 0.7 * ink) + digits.random.normal(0, 3, ink.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB"), "\n".join(labels)


def fastest(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    options = parser.parse_args()
    held = sources.open_source(options.data).read_train()
    if held.labels is None:
        parser.error(f"{options.data}: has no labels")
    _, rows = stratified_split(held.labels, VALIDATION, SPLIT_SEED)
    digits = Digits(held.images[rows], held.labels[rows])
    print("digits, pixels high   right   command, s   warm call, s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        command = [sys.executable, "-m", "digitmlp", "read", str(path)]
        for size in (100, 200, 400):
            picture, label = photo(digits, size)
            picture.save(path, quality=90)
            right = "yes" if read(path).text.replace(" ", "") == label else "no"
            whole = fastest(lambda: subprocess.run(command, check=True, capture_output=True))
            warm = fastest(lambda: read(path))
            print(f"{size:19}{right:>8}{whole:13.2f}{warm:15.3f}")


if __name__ == "__main__":
    main()
