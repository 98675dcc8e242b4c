"""Measure digitmlp beside the tutorial's loop and other trainers; write RESULTS.md and a plot.

make bench DATA=path/to/digit-recognizer.zip
make bench DATA=path/to/digit-recognizer.zip ARGS="--rows a,c"    those rows alone; others stay
make bench DATA=path/to/digit-recognizer.zip ARGS=--trial         does it all work?
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from measure import HERE, PEERS, ROOT, BenchError
from quiet import Guard
from report import HEAD, Row, markdown, printed, save_plot
from rows import commands, large, peers, recognizing, steps, tutorial
from settings import TRIAL, Effort
from workplace import Workplace

from digitmlp import files, runfolder

ROWS = {
    "a": tutorial.preset,
    "b": tutorial.its_accuracy,
    "c": peers.ninety_seven,
    "d": commands.training,
    "e": tutorial.ninety_nine,
    "f": steps.best_step,
    "g": commands.predicting,
    "h": recognizing.one_image,
    "i": recognizing.many_images,
    "j": commands.starting,
    "k": large.files,
    "l": steps.ten_times_the_rows,
    "m": steps.gpu,
}
PEER_PACKAGES = ("pandas", "scikit-learn", "skorch", "keras", "jax", "lightning")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave no gigabytes behind
    arguments = parser().parse_args()
    effort = TRIAL if arguments.trial else Effort()
    if arguments.repeats:
        effort = replace(effort, repeats=arguments.repeats)
    loud = arguments.loud or arguments.trial
    try:
        check(arguments.data)
        with tempfile.TemporaryDirectory(prefix="digitmlp-bench-") as folder:
            place = Workplace(arguments.data, Path(folder), effort, Guard(loud=loud))
            for letter in arguments.rows:
                began = time.perf_counter()
                row = ROWS[letter](place)
                row.measured = f"{date.today()} at {commit()}"
                print(f"{printed(row)}\n     {time.perf_counter() - began:.0f} s\n", flush=True)
                if not loud:
                    keep(row)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    if loud:
        print("nothing written: the machine was not watched (--loud, --trial)")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Kaggle's digit-recognizer.zip")
    parser.add_argument("--rows", type=letters, default=list(ROWS), help="a part, such as a,c,g")
    parser.add_argument("--repeats", type=int, help="measurements of each side, at least 5")
    parser.add_argument("--loud", action="store_true", help="measure in noise, write nothing")
    parser.add_argument("--trial", action="store_true", help="few and small, to see that it works")
    return parser


def letters(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(ROWS):
        raise argparse.ArgumentTypeError(f"no row {', '.join(sorted(unknown))}; from a to m")
    return chosen


def check(data: Path) -> None:
    """Raise BenchError for what would only show after minutes."""
    if not data.is_file():
        raise BenchError(
            f"{data}: no such file; give Kaggle's files: "
            "make bench DATA=path/to/digit-recognizer.zip"
        )
    if not PEERS.exists():
        raise BenchError(f"{PEERS}: no such file; `make bench` makes that environment")


def keep(row: Row) -> None:
    """Put the row into results.json in place of its last measurement, and write all anew.

    Every processor has rows of its own; what was measured on it with other versions, or with other
    memory or another system, is dropped.
    """
    path = HERE / "results.json"
    about = {"machine": machine(), "versions": versions()}
    measured = json.loads(path.read_text()) if path.exists() else {}
    name = about["machine"]["processor"]
    rows = {}
    if name in measured:
        if {key: measured[name][key] for key in about} == about:
            rows = measured[name]["rows"]
        else:
            print("     another system or other versions: this processor's other rows are dropped")
    measured[name] = about | {"rows": dict(sorted((rows | {row.letter: asdict(row)}).items()))}
    files.write(path, json.dumps(measured, indent=1) + "\n")
    write(measured)


def write(measured: dict[str, Any]) -> None:
    """Write RESULTS.md and a plot for each processor, of what results.json holds."""
    sections = []
    for name, own in measured.items():
        rows = [Row.from_dict(values) for values in own["rows"].values()]
        plot = f"accuracy-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
        sections.append(markdown(own["machine"], own["versions"], rows, plot))
        save_plot(rows, HERE / plot)
    files.write(HERE / "RESULTS.md", HEAD + "\n".join(sections))


def machine() -> dict[str, str]:
    """Return what the figures depend on besides the code."""
    wide = [name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in cpu_flags()]
    memory = psutil.virtual_memory().total / 2**30
    return {
        "processor": f"{runfolder.processor()}, {', '.join(wide[:1]) or 'no AVX'}",
        "cores and threads": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "system": platform.platform(terse=True),
    }


def cpu_flags() -> set[str]:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return set(next(line for line in lines if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return set()


def versions() -> dict[str, str]:
    """Return the versions of our packages and of those compared with."""
    ask = "import importlib.metadata as m, json, sys\n"
    ask += "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    asked = subprocess.run(
        [PEERS, "-c", ask, *PEER_PACKAGES], capture_output=True, text=True, check=True
    )
    return runfolder.versions() | json.loads(asked.stdout)


def commit() -> str:
    """Return the commit that was measured, with a + where files differed from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"], check=False)
    return head.stdout.strip() + ("+" if changed.returncode else "")


if __name__ == "__main__":
    main()
