"""Measure the service, beside LitServe and BentoML with the same model; write SERVING.md.

make bench-serve                     the tutorial's network, trained for this on the embedded digits
make bench-serve ARGS=--loud         in noise; writes nothing

The server is one process, the load generator (load.py) another: a closed loop of uvloop and
keep-alive connections that sends ready-made requests and compares every answer with that of the
Recognizer alone. Nothing counts during which another process was busy.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvloop
from bench import commit, machine
from load import Figures, Load, drive, drive_sink, request
from measure import HERE, PEERS, BenchError
from PIL import Image, ImageDraw
from quiet import Guard
from report import Claim, show, table

import digitmlp
from digitmlp import files, runfolder
from digitmlp.recognizer import find
from digitmlp.serve import Upload, read_picture

RUNS, WARM_UP = 5, 1.0
OURS = ("digitmlp", "numpy", "onnxruntime", "fastapi", "starlette", "uvicorn", "uvloop")
OTHERS = {"litserve": "", "bentoml": " "}  # what stands after the colons in the JSON they answer
OCTETS, JSON = "application/octet-stream", "application/json"


@dataclass(frozen=True)
class Side:
    """What one server has made of one load, in every run."""

    server: str
    load: Load
    runs: list[Figures]

    def median(self, name: str) -> float:
        return statistics.median(getattr(run, name) for run in self.runs)

    def cells(self) -> list[str]:
        rates = [run.rate for run in self.runs]
        rate = self.median("rate")
        return [
            self.server,
            self.load.name,
            f"{rate:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
            f"{rate * self.load.images:,.0f}" if self.load.images else "–",
            *(f"{self.median(name) * 1e3:.2f}" for name in ("p50", "p99")),
        ]


def loads(
    recognizer: digitmlp.Recognizer, path: str = "/v1/predict", space: str = ""
) -> tuple[Load, Load, Load]:
    """Return the three kinds of requests to predict, of made-up images.

    space  what stands after the colons in the JSON of the answers
    """
    random = np.random.default_rng(0)
    images = np.where(random.random((4000, 784)) < 0.2, 255, 0).astype(np.uint8)
    digits = recognizer.predict(images)
    raw, plain, bulk = [], [], []
    for image, digit in zip(images[:500], digits[:500].tolist(), strict=True):
        raw.append((request(path, image.tobytes(), OCTETS, OCTETS), bytes([digit])))
        body = json.dumps({"images": [image.tolist()]}).encode()
        plain.append((request(path, body, JSON, JSON), f'{{"digits":{space}[{digit}]'.encode()))
    for first in range(0, 4000, 1000):
        part = slice(first, first + 1000)
        expected = digits[part].astype(np.uint8).tobytes()
        bulk.append((request(path, images[part].tobytes(), OCTETS, OCTETS), expected))
    return (
        Load("1 raw image", 1, 16, raw),
        Load("1 image in JSON", 1, 16, plain),
        Load("1,000 raw images", 1000, 4, bulk),
    )


def drawings(recognizer: digitmlp.Recognizer) -> Load:
    """Return what the page asks while one draws: a growing stroke, one request after the other."""
    points = [(90, 50), (210, 50), (195, 80), (180, 110), (165, 140), (150, 170)]
    exchanges = []
    for count in range(2, len(points) + 1):
        sheet = Image.new("L", (300, 200), 255)
        ImageDraw.Draw(sheet).line(points[:count], fill=0, width=9, joint="curve")
        body = b"P5 300 200 255\n" + sheet.tobytes()
        reading = read_picture(Upload(body, "picture"), recognizer, single=False, explain=True)
        expected = json.dumps(
            {"picture": "picture", "text": reading["text"]}, separators=(",", ":")
        )
        exchanges.append(
            (
                request("/v1/read?explain=true", body, "image/x-portable-graymap", JSON),
                expected[:-1].encode(),
            )
        )
    return Load("a drawing of the page", 0, 1, exchanges)


@contextlib.contextmanager
def served(run: str) -> Iterator[tuple[int, psutil.Process]]:
    """Start `digitmlp serve` and give its port and process."""
    command = [sys.executable, "-m", "digitmlp", "serve", "--model", run, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout
            address = re.search(r":(\d+)", server.stdout.readline())
            if address is None:
                raise BenchError("digitmlp serve did not start")
            yield int(address[1]), psutil.Process(server.pid)
        finally:
            server.terminate()


@contextlib.contextmanager
def peer(name: str, model: Path) -> Iterator[int]:
    """Start the same model behind LitServe or BentoML and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = HERE.resolve() / "peers"
    command = {
        "litserve": [PEERS, folder / "serve_litserve.py", model, port],
        "bentoml": [
            *(PEERS.with_name("bentoml"), "serve", "serve_bentoml:Digits"),
            *("--host", "127.0.0.1", "--port", port),
        ],
    }[name]
    with tempfile.TemporaryDirectory() as home:
        more = {"MODEL": str(model), "BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "1"}
        server = subprocess.Popen(
            [*map(str, command)],
            cwd=folder,
            env=os.environ | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"{name} did not start; see {command[0]}")
                time.sleep(0.2)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def answers(port: int) -> bool:
    """Return whether a server tells a digit there."""
    body = json.dumps({"images": [[0] * 784]}).encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request("/predict", body, JSON, JSON))
            return b" 200 " in connection.recv(100)
    except OSError:
        return False


def recognize(run: str, seconds: float, ready: Any, answer: Any) -> None:
    """Put into `answer` how many images a second the Recognizer tells in this process."""
    recognizer = digitmlp.load(run)
    images = np.zeros((1000, 784), np.uint8)
    recognizer.predict(images)
    ready.set()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        recognizer.predict(images)
        count += len(images)
    answer.put(count / (time.perf_counter() - began))


def in_process(run: str, load: Load, seconds: float, rate: float) -> float:
    """Return images a second of the Recognizer in a process of its own, beside the same load."""
    context = multiprocessing.get_context("spawn")
    ready, answer = context.Event(), context.Queue()
    process = context.Process(target=recognize, args=(run, seconds, ready, answer))
    process.start()
    ready.wait()
    uvloop.run(drive_sink(load, seconds, rate))
    process.join()
    return float(answer.get())


class Bench:
    """Measures in quiet: five runs of each load after a warm-up."""

    def __init__(self, run: str, guard: Guard, seconds: float) -> None:
        self.run, self.guard, self.seconds = run, guard, seconds
        self.recognizer = digitmlp.load(run)
        self.sides: list[Side] = []
        self.claims: list[Claim] = []

    def measure(self, server: str, load: Load, port: int) -> Side:
        uvloop.run(drive(load, port, WARM_UP))
        runs = [
            self.guard.measured(lambda: uvloop.run(drive(load, port, self.seconds)))
            for _ in range(RUNS)
        ]
        side = Side(server, load, runs)
        self.sides.append(side)
        print("  ".join(side.cells()), flush=True)
        return side

    def claim(self, what: str, must: float, aim: float | None, value: float, **more: Any) -> None:
        self.claims.append(Claim(what=what, must=must, aim=aim, value=value, **more))

    def ours(self, requests: int) -> None:
        """Measure `digitmlp serve`."""
        raw, plain, bulk = loads(self.recognizer)
        rate = "requests/s"
        latency: Any = {"unit": "s", "at_least": False}
        with served(self.run) as (port, process):
            side = self.measure("digitmlp", raw, port)
            self.claim("one raw image a request", 3000, 5000, side.median("rate"), unit=rate)
            self.claim("p99 of it", 0.01, None, side.median("p99"), **latency)
            side = self.measure("digitmlp", plain, port)
            self.claim("one image in JSON a request", 2000, 3000, side.median("rate"), unit=rate)
            side = self.measure("digitmlp", bulk, port)
            images = side.median("rate") * bulk.images
            alone = statistics.median(
                self.guard.measured(
                    lambda: in_process(self.run, bulk, self.seconds, side.median("rate"))
                )
                for _ in range(RUNS)
            )
            print(f"in process, beside the same load: {alone:,.0f} images/s", flush=True)
            what = "1,000 raw images a request, beside the Recognizer in process"
            self.claim(what, 0.6, 0.85, images / alone, unit="%")
            side = self.measure("digitmlp", drawings(self.recognizer), port)
            self.claim("p99 of a drawing of the page", 0.05, None, side.median("p99"), **latency)
            memory, done = [], 0
            while done < requests:
                done += uvloop.run(drive(raw, port, self.seconds)).count
                memory.append(process.memory_info().rss / 1e6)
            print(f"MB over {done:,} requests:", *(f"{size:.1f}" for size in memory), flush=True)
            growth = max(memory) - memory[0]
            what = f"memory over {done:,} requests: growth"
            self.claim(what, 2, None, growth, unit="MB", at_least=False)

    def others(self) -> None:
        """Measure LitServe and BentoML with the JSON that all three take."""
        for name, space in OTHERS.items():
            load = loads(self.recognizer, "/predict", space)[1]
            with peer(name, find(self.run).resolve()) as port:
                self.measure(name, load, port)

    def markdown(self) -> str:
        """Return SERVING.md."""
        about = machine() | {"network": self.recognizer.card.model.describe()}
        claims = [
            [
                claim.what,
                claim.goal(claim.must),
                "–" if claim.aim is None else claim.goal(claim.aim),
                f"**{show(claim.value or 0.0, claim.unit)}**",
                claim.verdict(),
            ]
            for claim in self.claims
        ]
        head = ["server", "request", "requests/s (range)", "images/s", "p50, ms", "p99, ms"]
        return "\n".join(
            [
                "# The service, measured",
                "",
                "Written by `make bench-serve`; do not edit.",
                "",
                *(f"- {name}: {value}" for name, value in about.items()),
                "- " + ", ".join(f"{name} {version}" for name, version in versions().items()),
                f"- {date.today()} at {commit()}",
                "",
                f"One server process with its load generator on the same cores; median of {RUNS} "
                f"runs of {self.seconds:g} s",
                "after a warm-up. Every answer was compared with the Recognizer's own.",
                "",
                *table(["claim", "must", "aim", "measured", "met"], claims),
                "",
                *table(head, [side.cells() for side in self.sides]),
                "",
            ]
        )


def versions() -> dict[str, str]:
    """Return the versions of what serves here and of what is compared with."""
    ask = "import importlib.metadata as m, json, sys\n"
    ask += "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    found: dict[str, str] = {"python": runfolder.versions()["python"]}
    for python, names in ((sys.executable, OURS), (PEERS, tuple(OTHERS))):
        asked = subprocess.run(
            [python, "-c", ask, *names], capture_output=True, text=True, check=True
        )
        found |= json.loads(asked.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of a run")
    parser.add_argument("--requests", type=int, default=200_000, help="while memory is watched")
    parser.add_argument("--loud", action="store_true", help="measure in noise, write nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave no server behind
    try:
        if not PEERS.exists():
            raise BenchError(f"{PEERS}: no such file; `make bench-serve` makes that environment")
        with tempfile.TemporaryDirectory(prefix="digitmlp-bench-") as folder:
            run = str(Path(folder, "run"))
            command = ["train", "uci", "--preset", "tutorial", "--epochs", "1", "--out", run]
            subprocess.run(
                [sys.executable, "-m", "digitmlp", *command], capture_output=True, check=True
            )
            bench = Bench(run, Guard(loud=options.loud), options.seconds)
            bench.ours(options.requests)
            bench.others()
            text = bench.markdown()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    if options.loud:
        print(text + "\nnothing written: the machine was not watched (--loud)")
    else:
        files.write(HERE / "SERVING.md", text)


if __name__ == "__main__":
    main()
