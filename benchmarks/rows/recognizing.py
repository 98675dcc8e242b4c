"""Recognizer in process, against ONNX Runtime without it."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from measure import timed
from onnxruntime import InferenceSession
from report import Claim, Row, Side
from settings import REFERENCE
from workplace import Workplace

from digitmlp import recognizer

CALLS = 1000  # of one image, timed together
MANY = 100_000


def one_image(place: Workplace) -> Row:
    """h. One image in process, against the bare runtime."""
    loaded, session = recognizer.load(place.model), bare(place)
    image = place.test_images()[:1]
    taken = place.in_turns(
        {
            "Recognizer.predict": partial(calls, lambda: loaded.predict(image)),
            "bare session.run": partial(calls, lambda: session.run(None, {"images": image})),
        }
    )
    ours, theirs = (min(values) for values in taken.values())
    return Row(
        letter="h",
        title="one image through `Recognizer` against the bare `session.run`",
        claims=[Claim(what="its time", must=1.3, aim=1.1, value=ours / theirs, at_least=False)],
        sides=[
            Side(name=name, values=values, reference=REFERENCE.get(name))
            for name, values in taken.items()
        ],
        notes=[f"each measurement is the mean of {CALLS} calls"],
    )


def many_images(place: Workplace) -> Row:
    """i. 100,000 images in process, against the bare runtime."""
    # A session each: one that has held all images at once keeps that memory, to others' advantage.
    loaded, session, whole = recognizer.load(place.model), bare(place), bare(place)
    images = np.resize(place.test_images(), (MANY, 28, 28))

    def in_batches() -> None:
        for first in range(0, MANY, 1000):
            session.run(None, {"images": images[first : first + 1000]})

    taken = place.in_turns(
        {
            "Recognizer.predict_proba": partial(timed, lambda: loaded.predict_proba(images)),
            "bare, all at once": partial(timed, lambda: whole.run(None, {"images": images})),
            "bare, a thousand at once": partial(timed, in_batches),
        }
    )
    ours, *theirs = (min(values) for values in taken.values())
    return Row(
        letter="i",
        title=f"{MANY:,} images through `Recognizer` against bare ONNX Runtime",
        claims=[Claim(what="its speed", must=0.95, aim=1.0, value=min(theirs) / ours)],
        sides=[Side(name=name, values=values) for name, values in taken.items()],
    )


def bare(place: Workplace) -> InferenceSession:
    """Return a session of the model's graph as ONNX Runtime makes it when nothing is said."""
    return InferenceSession(place.model / "model.onnx")


def calls(work: Callable[[], object]) -> float:
    """Return the seconds of a call, the mean of many."""
    began = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - began) / CALLS
