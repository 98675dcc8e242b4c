"""How fast the service answers, beside LitServe and BentoML where they are installed.

    python benchmarks/serve.py RUN [--seconds 5] [--requests 200000] [--peers .venv-bench]

RUN is a run folder; with `--preset tutorial` its network has the tutorial's size. The server is one
process, the load generator another: this one, of 150 lines, a closed loop of uvloop and keep-alive
connections that sends ready-made requests and compares every answer with that of the Recognizer
alone. Every figure is the median of three runs after a warm-up, with the range.
"""

import argparse
import asyncio
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
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvloop

import digitmlp
from digitmlp.recognizer import find
from digitmlp.runfolder import cores, processor

RUNS, WARM_UP = 3, 1.0
PERCENTILES = ("p50", "p99")


@dataclass(frozen=True)
class Load:
    """A kind of request: (request, how the body of its answer begins) for each of the images."""

    name: str
    images: int  # in a request
    connections: int
    exchanges: list[tuple[bytes, bytes]]


class Connection(asyncio.Protocol):
    """Sends one request after the other; keeps the seconds that each took."""

    def __init__(self, load: Load, place: int, pace: float | None) -> None:
        self.load, self.place, self.pace = load, place, pace
        self.seconds: list[float] = []
        self.wrong = 0
        self.running = True
        self.received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.place += 1
        request, self.expected = self.load.exchanges[self.place % len(self.load.exchanges)]
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self.received = self.received + data if self.received else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = re.search(rb"content-length: (\d+)", data[:end], re.I)
        assert length, data
        if len(data) < end + 4 + int(length[1]):
            return
        self.received = b""
        self.seconds.append(time.perf_counter() - self.began)
        if not (data.startswith(b"HTTP/1.1 20") and data.startswith(self.expected, end + 4)):
            self.wrong += 1
        if not self.running:
            self.transport.close()
        elif self.pace:
            asyncio.get_running_loop().call_later(self.pace, self.send)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        assert not self.running, f"the server closed the connection: {error}"


@dataclass(frozen=True)
class Figures:
    """What a run of a load has come to."""

    rate: float  # requests a second
    p50: float  # seconds
    p99: float
    count: int


async def drive(load: Load, port: int, seconds: float, rate: float | None = None) -> Figures:
    """Return what the load comes to in so many seconds; raises if an answer is wrong."""
    loop = asyncio.get_running_loop()
    pace = load.connections / rate if rate else None
    began = time.perf_counter()
    connections = [
        (
            await loop.create_connection(
                lambda p=place: Connection(load, p * 7, pace), "127.0.0.1", port
            )
        )[1]
        for place in range(load.connections)
    ]
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    taken = np.concatenate([connection.seconds for connection in connections])
    wrong = sum(connection.wrong for connection in connections)
    for connection in connections:
        connection.running = False
    await asyncio.sleep(0.3)
    assert not wrong, f"{load.name}: {wrong} of {len(taken)} answers are wrong"
    return Figures(len(taken) / elapsed, *np.percentile(taken, [50, 99]), len(taken))


def request(path: str, body: bytes, kind: str, accept: str) -> bytes:
    """Return the bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\naccept: {accept}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


OCTETS, JSON = "application/octet-stream", "application/json"


def loads(
    recognizer: digitmlp.Recognizer, path: str = "/v1/predict", space: str = ""
) -> list[Load]:
    """Return the three kinds of requests, of made-up images.

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
    return [
        Load("1 raw image", 1, 16, raw),
        Load("1 image in JSON", 1, 16, plain),
        Load("1,000 raw images", 1000, 4, bulk),
    ]


@contextlib.contextmanager
def served(run: str, *options: str) -> Iterator[tuple[int, psutil.Process]]:
    """Start `digitmlp serve` and give its port and process."""
    command = [sys.executable, "-m", "digitmlp", "serve", "--model", run, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = int(re.search(r":(\d+)", server.stdout.readline())[1])
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()


@contextlib.contextmanager
def peer(environment: Path, name: str, model: Path) -> Iterator[int]:
    """Start the same model behind LitServe or BentoML and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(__file__).with_name("peers").resolve()
    programs = environment.resolve() / "bin"
    command = {
        "litserve": [programs / "python", folder / "serve_litserve.py", model, port],
        "bentoml": [programs / "bentoml", "serve", "serve_bentoml:Digits", "--port", port],
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
            while not answers(port):
                assert server.poll() is None, f"{name} did not start"
                time.sleep(0.2)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def answers(port: int) -> bool:
    """Return whether a server tells a digit there."""
    body = json.dumps({"images": [[0] * 784]}).encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request("/predict", body, JSON, JSON))
            return b" 200 " in connection.recv(100)
    except OSError:
        return False


def measured(load: Load, port: int, seconds: float) -> list[Figures]:
    uvloop.run(drive(load, port, WARM_UP))
    return [uvloop.run(drive(load, port, seconds)) for _ in range(RUNS)]


def show(what: str, name: str, runs: list[Figures], images: int) -> float:
    """Print a line; return the median of the requests a second."""
    rates = sorted(run.rate for run in runs)
    rate = statistics.median(rates)
    p50, p99 = (statistics.median(getattr(run, name) * 1e3 for run in runs) for name in PERCENTILES)
    print(
        f"{what:10} {name:18} {rate:8,.0f} requests/s ({rates[0]:,.0f}-{rates[-1]:,.0f})"
        f"  {rate * images:10,.0f} images/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms",
        flush=True,
    )
    return rate


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


class Sink(asyncio.Protocol):
    """Takes the requests of a load, drops them, and answers at once."""

    def __init__(self, load: Load) -> None:
        self.size = len(load.exchanges[0][0])
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % load.images + bytes(
            load.images
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.taken = transport, 0

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken >= self.size:
            self.taken -= self.size
            self.transport.write(self.answer)


async def drive_sink(load: Load, seconds: float, rate: float) -> None:
    """Send the load at this rate to a sink in this process."""
    load = Load(load.name, load.images, load.connections, [(r, b"") for r, _ in load.exchanges])
    server = await asyncio.get_running_loop().create_server(lambda: Sink(load), "127.0.0.1", 0)
    async with server:
        await drive(load, server.sockets[0].getsockname()[1], seconds, rate)


def in_process(run: str, load: Load, seconds: float, rate: float) -> float:
    """Return images a second of the Recognizer in a process of its own, beside the same load."""
    context = multiprocessing.get_context("spawn")
    ready, answer = context.Event(), context.Queue()
    process = context.Process(target=recognize, args=(run, seconds, ready, answer))
    process.start()
    ready.wait()
    uvloop.run(drive_sink(load, seconds, rate))
    process.join()
    return answer.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, default=0, help="watch memory over so many")
    parser.add_argument("--peers", type=Path, help="an environment with LitServe and BentoML")
    options = parser.parse_args()
    recognizer = digitmlp.load(options.run)
    print(f"{recognizer.card.model.describe()} on {processor()}, {cores()} cores")
    kinds = loads(recognizer)
    with served(options.run) as (port, process):
        for load in kinds:
            rate = show("digitmlp", load.name, measured(load, port, options.seconds), load.images)
        alone = [in_process(options.run, load, options.seconds, rate) for _ in range(RUNS)]
        reference = statistics.median(alone)
        print(
            f"in process beside the same load: {reference:,.0f} images/s "
            f"({min(alone):,.0f}-{max(alone):,.0f}); over HTTP {rate * load.images / reference:.0%}"
        )
        done = 0
        memory = [process.memory_info().rss]
        while done < options.requests:
            done += uvloop.run(drive(kinds[0], port, options.seconds)).count
            memory.append(process.memory_info().rss)
        if done:
            print(
                f"memory over {done:,} requests: " + " ".join(f"{m / 1e6:.1f}" for m in memory),
                "MB",
            )
    for name, space in (("litserve", ""), ("bentoml", " ")) if options.peers else ():
        load = loads(recognizer, "/predict", space)[1]
        with peer(options.peers, name, find(options.run).resolve()) as port:
            show(name, load.name, measured(load, port, options.seconds), load.images)


if __name__ == "__main__":
    main()
