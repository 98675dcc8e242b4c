"""The guard: what was measured while another process was busy does not count."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil
from measure import BenchError

LIMIT = 0.05  # of a core, that another process may use
WINDOW = 0.5  # seconds watched before and after a measurement
PATIENCE = 120  # seconds to wait for quiet
TRIES = 3

T = TypeVar("T")
Usage = dict[tuple[int, float], tuple[str, float]]


class Guard:
    """Measures when, and only when, no other process is busy: before, during and after.

    Not counted are this process with all that it started, and the kernel's threads, which mostly
    write to disk what was measured.
    """

    def __init__(self, *, loud: bool) -> None:
        self.loud = loud

    def measured(self, measure: Callable[[], T]) -> T:
        """Return what `measure` returns; raises BenchError when there is no quiet for it."""
        if self.loud:
            return measure()
        for _ in range(TRIES):
            self._wait()
            before = usage()
            began = time.perf_counter()
            result = measure()
            seconds = time.perf_counter() - began
            after = usage()
            intruder = busiest(before, after, seconds) or watched()
            if intruder is None:
                return result
            print(f"  disturbed by {intruder}: measured once more", flush=True)
        raise BenchError(f"disturbed {TRIES} times, last by {intruder}; {_ADVICE}")

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while intruder := watched():
            if time.monotonic() > deadline:
                raise BenchError(f"this machine is not quiet: {intruder}; {_ADVICE}")


_ADVICE = "stop it, or see figures that are not written with --loud"


def watched() -> str | None:
    """Return who was busy within the next WINDOW, and how much; None if nobody."""
    before = usage()
    time.sleep(WINDOW)
    return busiest(before, usage(), WINDOW)


def busiest(before: Usage, after: Usage, seconds: float) -> str | None:
    """Return the busiest process between the two, if it used more than LIMIT of a core."""
    shares = {
        key: (used - before.get(key, (name, 0.0))[1]) / seconds
        for key, (name, used) in after.items()
    }
    key = max(shares, key=lambda key: shares[key], default=None)
    if key is None or shares[key] <= LIMIT:
        return None
    return f"{after[key][0]} (process {key[0]}), which used {shares[key]:.0%} of a core"


def usage() -> Usage:
    """Return name and seconds of computing of every other process, its ended children included."""
    this = psutil.Process()
    own = {this.pid} | {child.pid for child in this.children(recursive=True)}
    used: Usage = {}
    for process in psutil.process_iter(["pid", "ppid", "name", "create_time", "cpu_times"]):
        info = process.info
        if info["pid"] in own or info["cpu_times"] is None or 2 in (info["pid"], info["ppid"]):
            continue
        used[info["pid"], info["create_time"]] = (info["name"], sum(info["cpu_times"][:4]))
    return used
