"""Ctrl-C and SIGTERM: asked once, stop between two steps; asked twice, stop at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Interrupted(BaseException):
    """A signal ended the work; the exit code says which, as a shell does: 128 + its number.

    Not an Exception, so that nobody on the way up takes it for a failure of his own.
    """

    def __init__(self, number: int, message: str) -> None:
        self.exit_code = 128 + number
        self.number = number
        super().__init__(message)


def raise_on_signals() -> None:
    """From now on Ctrl-C and SIGTERM raise Interrupted, wherever the program is."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, WORDS[signal.Signals(number)])

    for number in WORDS:
        signal.signal(number, handle)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Give a function that returns the number of the signal that came, 0 while none has.

    A second signal acts as it did before. Outside the main thread signals stay as they are.
    """
    received = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in WORDS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number
        restore()

    for number in WORDS:
        signal.signal(number, handle)
    try:
        yield lambda: received
    finally:
        restore()
