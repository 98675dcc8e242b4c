"""How a trainer and the harness talk: settings in, an epoch's seconds and accuracy out.

A trainer runs as a process of its own, `python with_….py SPLIT.npz`, and waits for lines of JSON.
A line of settings starts a training; after each epoch the trainer says how long its steps took and
what its validation accuracy is, and stands still until it hears `true` (go on) or `false` (enough).
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

Settings = dict[str, Any]
Split = dict[str, np.ndarray]
Report = Callable[[float, float], None]


class EnoughError(Exception):
    """The harness wants no more epochs of this training."""


def serve(train: Callable[[Split, Settings, Report], None]) -> None:
    """Answer to the harness until it hangs up; `train` calls its last argument after each epoch."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    with np.load(sys.argv[1]) as arrays:
        split = {name: arrays[name] for name in arrays.files}

    def say(answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    def report(seconds: float, accuracy: float) -> None:
        say([seconds, float(accuracy)])
        if not json.loads(sys.stdin.readline() or _leave()):
            raise EnoughError

    while line := sys.stdin.readline():
        with contextlib.suppress(EnoughError):
            train(split, json.loads(line), report)
        say(None)


def features(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images (n, 784), float32 from 0 to 1, and labels; then those to validate."""
    images, held_out = (
        split[name].reshape(-1, 784).astype(np.float32) / 255
        for name in ("train_images", "validation_images")
    )
    return images, split["train_labels"], held_out, split["validation_labels"]


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Return the share of the highest rate at a step: up for the first `warmup`, then down."""
    done = (step + 0.5) / steps
    return min(done / warmup, (1 - done) / (1 - warmup))


def _leave() -> NoReturn:
    sys.exit()
