"""Images that arrive at the same time, recognized as one batch."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise

import numpy as np

from digitmlp.digits import Images
from digitmlp.recognizer import Floats, Recognizer

Answer = tuple[Floats, Floats]  # probabilities (n, 10), scores (n,)

# Multiplications done at once, between two looks at the network: a few milliseconds. A network
# reads all its weights for one image and for twenty alike, so that a batch costs little more.
INLINE = 50_000_000


class Batcher:
    """Recognizes images for many clients.

    What arrives in one turn of the event loop is one batch. Small batches run at once, as handing
    them to another thread takes longer than they do; large ones run on a thread.
    """

    def __init__(self, recognizer: Recognizer, threads: Executor) -> None:
        model = recognizer.card.model
        products = sum(a * b for a, b in pairwise(model.widths)) * model.members
        self._most = INLINE // products  # images
        self._recognizer = recognizer
        self._threads = threads
        self._waiting: list[tuple[Images, asyncio.Future[Answer]]] = []

    async def recognize(self, images: Images) -> Answer:
        """Return what `Recognizer.recognize` returns, up to the rounding of another batch size."""
        loop = asyncio.get_running_loop()
        if len(images) > self._most:
            return await loop.run_in_executor(self._threads, self._recognizer.recognize, images)
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((images, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._run)
        return await answer

    def _run(self) -> None:
        """Recognize all that is waiting."""
        waiting, self._waiting = self._waiting, []
        images = np.concatenate([images for images, _ in waiting]) if waiting[1:] else waiting[0][0]
        if len(images) > self._most:
            joint = self._threads.submit(self._recognizer.recognize, images)
            asyncio.wrap_future(joint).add_done_callback(
                lambda done: _hand_out(waiting, done.result)
            )
        else:
            _hand_out(waiting, lambda: self._recognizer.recognize(images))


def _hand_out(
    waiting: list[tuple[Images, asyncio.Future[Answer]]], recognized: Callable[[], Answer]
) -> None:
    """Give everyone who waits his part of what was recognized, or the error."""
    try:
        probabilities, scores = recognized()
    except Exception as error:
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        return
    first = 0
    for images, answer in waiting:
        last = first + len(images)
        if not answer.done():  # the client may have left
            answer.set_result((probabilities[first:last], scores[first:last]))
        first = last
