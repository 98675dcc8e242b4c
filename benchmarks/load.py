"""The load generator: a closed loop over keep-alive connections, every answer compared."""

import asyncio
import re
import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """A kind of request: (request, how the body of its answer begins) for each that is sent."""

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
