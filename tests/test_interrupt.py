"""Signals: asked once, told at the next look; asked twice, at once."""

import contextlib
import signal
import threading

import pytest

from digitmlp.interrupt import Interrupted, deferred, raise_on_signals


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal_raises_what_no_except_exception_holds(number, code, word):
    raise_on_signals()
    with pytest.raises(Interrupted) as stopped, contextlib.suppress(Exception):
        signal.raise_signal(number)
    assert (stopped.value.exit_code, str(stopped.value)) == (code, word)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_told_and_a_second_one_acts_at_once(number):
    raise_on_signals()
    with deferred() as received:
        assert received() == 0
        signal.raise_signal(number)
        assert received() == number
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_second_ctrl_c_is_pythons_own_where_nothing_else_was_set():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with deferred():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_act_as_before(handlers):
    with deferred():
        assert signal.getsignal(signal.SIGINT) is not handlers[signal.SIGINT]
    for number, handler in handlers.items():
        assert signal.getsignal(number) is handler


def test_outside_the_main_thread_signals_stay_as_they_are(handlers):
    told = []

    def work() -> None:
        with deferred() as received:
            told.append((received(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [(0, handlers[signal.SIGINT])]
