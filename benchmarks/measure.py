"""Means of measuring: trainers that wait between epochs, commands from a cold start."""

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
OURS = Path(sys.executable)  # the environment that users have
PEERS = ROOT / ".venv-bench" / "bin" / "python"

# The processor is what is compared; the row on GPUs takes this back.
ON_CPU = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}


class BenchError(Exception):
    """What keeps the benchmark from a result, in a sentence."""


class EpochTime(NamedTuple):
    """An epoch: seconds of its steps alone, and the validation accuracy after it."""

    seconds: float
    accuracy: float


Epochs = Generator[EpochTime, None, None]


class Trainer:
    """A trainer in a process of its own, that stands still between epochs (peers/protocol.py)."""

    def __init__(self, script: str, split: Path, *, gpu: bool = False) -> None:
        self.name = script
        python = OURS if script == "with_digitmlp" else PEERS
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), str(HERE / "peers" / f"{script}.py"), str(split)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ if gpu else ON_CPU,
        )

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind:
            self._process.terminate()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def warm_up(self, **settings: Any) -> None:
        """Train an epoch that nobody looks at."""
        training = self.train(seed=0, **settings)
        next(training)
        training.close()

    def train(self, **settings: Any) -> Epochs:
        """Yield the epochs of a training; one is run when it is asked for."""
        self._send(settings)
        try:
            while answer := self._receive():
                yield EpochTime(*answer)
                self._send(True)
        except GeneratorExit:
            if self._process.poll() is None:
                self._send(False)
                self._receive()
            raise

    def _send(self, message: Any) -> None:
        assert self._process.stdin
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self._fail()

    def _receive(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        return json.loads(line)

    def _fail(self) -> None:
        self._errors.seek(0)
        raise BenchError(f"{self.name} ended without an answer:\n{self._errors.read()[-2000:]}")


def seconds_to(target: float, training: Epochs) -> tuple[float, list[EpochTime]]:
    """Return the seconds of training until the accuracy is first reached, infinity if never.

    Beside it the epochs so far; no more are trained.
    """
    seen: list[EpochTime] = []
    for epoch in training:
        seen.append(epoch)
        if epoch.accuracy >= target:
            training.close()
            return sum(past.seconds for past in seen), seen
    return math.inf, seen


def curve(epochs: Sequence[EpochTime]) -> list[tuple[float, float]]:
    """Return (seconds of training so far, validation accuracy) after each epoch."""
    seconds = itertools.accumulate(epoch.seconds for epoch in epochs)
    return [(past, epoch.accuracy) for past, epoch in zip(seconds, epochs, strict=True)]


def middle(values: Sequence[float]) -> float:
    """Return the median; a miss, infinity, counts as later than everything."""
    return statistics.median_high(values)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Cold(NamedTuple):
    """A command from start to end: seconds on the clock, peak memory of its largest process."""

    seconds: float
    peak_bytes: int


def cold(*command: str | Path) -> Cold:
    """Run a command from a cold start; raises BenchError with what it said where it fails."""
    return Cold(*answer(sys.executable, "-I", "-S", HERE / "cold.py", *command))


def answer(*command: str | Path, gpu: bool = False) -> Any:
    """Return the JSON that a command prints; raises BenchError with what it said if it fails."""
    env = os.environ if gpu else ON_CPU
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))}: failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)
