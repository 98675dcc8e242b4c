"""Ctrl-C and SIGTERM: asked once, stop between two steps; asked twice, stop at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from digitmlp.errors import DigitmlpError


class Interrupted(DigitmlpError):  # noqa: N818 - a request that was followed, not an error
    """A signal ended the work; the exit code says which, as a shell does: 128 + its number."""

    def __init__(self, number: int, message: str = "interrupted") -> None:
        self.exit_code = 128 + number
        self.number = number
        super().__init__(message)


def raise_on_terminate() -> None:
    """From now on SIGTERM raises Interrupted, as Ctrl-C raises KeyboardInterrupt."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, "terminated")

    signal.signal(signal.SIGTERM, handle)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Give a function that returns the number of the signal that came, 0 while none has.

    A second signal acts as it did before. Outside the main thread signals stay as they are.
    """
    received = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield lambda: received
    finally:
        restore()
