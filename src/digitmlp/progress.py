"""What a command shows of its work: seconds of each phase, epochs as they end."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from digitmlp.history import Epoch

PHASES = ("read", "train", "validate", "save", "export", "predict", "report")


@dataclass(slots=True)
class Clock:
    """Adds up the seconds of each phase of a run."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    began: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - began

    def count(self, phase: str, seconds: float) -> None:
        """Add seconds that the phase took before the clock was made."""
        self.seconds[phase] += seconds
        self.began -= seconds

    def read(self) -> dict[str, float]:
        """Return the seconds of all phases, and of everything since the clock was made."""
        total = time.perf_counter() - self.began
        return {name: round(value, 3) for name, value in (self.seconds | {"total": total}).items()}


class EpochProgress:
    """Shows epochs as they end: a bar on a terminal, a line for each otherwise."""

    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> "EpochProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, epoch: Epoch) -> None:
        """Show that this epoch has ended."""
        text = f"loss {epoch.train_loss:.4f}  accuracy {epoch.train_accuracy:.2%}"
        if epoch.validation_accuracy is not None:
            text += f"  validation {epoch.validation_loss:.4f}  {epoch.validation_accuracy:.2%}"
        if self._bar:
            self._bar.update(self._task, completed=epoch.epoch, description=text)
        else:
            width = len(str(self.total))
            say(f"epoch {epoch.epoch:{width}}/{self.total}  {text}  {epoch.seconds:.2f} s")


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)
