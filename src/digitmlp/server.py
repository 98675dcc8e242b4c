"""Listening: a socket, uvicorn, one process or several, and slow clients sent away."""

import asyncio
import ipaddress
import json
import math
import signal
import socket
import sys
from collections.abc import Callable, Collection
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from digitmlp import recognizer
from digitmlp.errors import DigitmlpError
from digitmlp.interrupt import WORDS, Interrupted
from digitmlp.limits import Limits
from digitmlp.serve import Service, create_app
from digitmlp.telemetry import Telemetry, shared_rows

ROWS = 64  # of counters; as many processes can start, one after the other, before two share a row


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with an end to patience.

    A connection whose request is not whole has to bring some of it in every span of time, and to
    take some of an answer that waits for it; the rest of a body that was refused is taken for a
    moment, so that the client comes to read why, and then the connection ends.
    """

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begun = False  # a request, whose end has not come
        self._ended = False  # a request, in the data received last
        self._in_head = False
        self._head = 0  # bytes of the head so far
        self._progress = 0  # bytes since the timer was set
        self._patience: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # runs while an answer waits for the client
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        for timer in (self._end, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()

    def data_received(self, data: bytes) -> None:
        self._ended = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and not self._ended:  # else most of it may be a body's
            self._head += len(data)
            if self._head > self.limits.head:
                self._refuse_head()
                return
        if self._begun:
            self._progress += len(data)
            if self._patience is None:
                self._wait()
        elif self._patience is not None:
            self._settle()

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        lines = [self.url, *(part for header in self.headers for part in header)]
        self._head = sum(map(len, lines)) + 2 * len(lines)  # and a colon or an end of line each
        if self._head > self.limits.head:
            raise ValueError("the head is too long")  # which ends its parsing
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._begun, self._ended = False, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._begun and not self.transport.is_closing():
            self._end = self.loop.call_later(self.limits.linger, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        if self._head > self.limits.head:
            self._refuse_head()
        else:
            self._refuse(400, "the request is not HTTP that can be read")

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head has more than {self.limits.head:,} bytes")

    def _wait(self) -> None:
        self._progress = 0
        self._patience = self.loop.call_later(self.limits.patience, self._judge)

    def _settle(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _judge(self) -> None:
        """End a connection that has made no progress, unless it is we who read nothing."""
        self._patience = None
        if self.transport.is_closing():
            return
        if not self._begun and self.cycle is None:
            self.transport.close()  # it came and said nothing
        elif self.flow.read_paused or (
            not self._in_head and self._progress >= self.limits.progress
        ):
            self._wait()
        elif self._begun:
            self._refuse(408, "the request came too slowly")

    def _expect_reading(self, before: float = math.inf) -> None:
        """End a connection that does not take its answer; `before`: bytes of it that waited."""
        waiting = self.transport.get_write_buffer_size()
        if before - waiting < self.limits.progress:
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(self.limits.patience, self._expect_reading, waiting)

    def _refuse(self, status: int, message: str) -> None:
        """Answer, if no answer has begun, and close."""
        cycle = self.cycle  # of the request before, while this one's head is coming
        if cycle is None or (
            cycle.response_complete if self._in_head else not cycle.response_started
        ):
            body = json.dumps({"error": message}).encode()
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nconnection: close\r\n"
                + b"content-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()


OPTIONS: dict[str, Any] = {
    "http": Protocol,
    "ws": "none",
    "lifespan": "on",
    "interface": "asgi3",
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "log_config": None,
    "log_level": "error",
    "timeout_graceful_shutdown": Limits().drain,
}


class Server(uvicorn.Server):
    """uvicorn's server, that tells when the model is loaded, and stops when it cannot be."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)  # it listens, and answers that the model is being loaded
        await self._service.settled.wait()
        if self._service.failure:
            self.should_exit = True
        else:
            self._ready()


class Workers(Multiprocess):
    """uvicorn's supervisor of processes, that remembers which signal ended it."""

    ended_by = 0

    def handle_int(self) -> None:
        self.ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self.ended_by = signal.SIGTERM
        super().handle_term()

    def terminate_all(self) -> None:
        super().terminate_all()
        for listener in self.sockets:  # or new clients would wait for an answer that nobody gives
            listener.close()


def run(
    model: Path | None,
    host: str,
    port: int,
    announce: Callable[[str], None],
    *,
    workers: int = 1,
    threads: int | None = None,
    hosts: Collection[str] = (),
    log: bool = False,
) -> None:
    """Serve the model until a signal ends it; `announce` is told the address.

    port     0 takes a free one
    threads  of one batch; None: one, as several requests keep several cores busy already
    hosts    names besides the host's own that requests may address
    Raises ModelError for a model that cannot be loaded, DigitmlpError where nothing can listen, and
    Interrupted when a signal has ended it and every request under way was answered.
    """
    path = recognizer.find(model)
    threads = threads or 1
    listener = _listen(host, port)
    settings: dict[str, Any] = {"name": _name(path), "hosts": [*hosts, *_own_names(host)]}
    if workers == 1:
        app = create_app(
            partial(recognizer.load, path, threads), telemetry=Telemetry(log=log), **settings
        )
        service: Service = app.state.service
        ready = partial(announce, _address(listener, host))
        Server(uvicorn.Config(app, **OPTIONS), service, ready).run([listener])
        if service.failure:
            raise service.failure
        return
    recognizer.load(path, threads)  # what is wrong with it is said once, here
    ticket = get_context("spawn").Value("i", 0)
    make = partial(_worker, path, threads, shared_rows(ROWS), ticket, log, settings)
    config = uvicorn.Config(make, factory=True, workers=workers, **OPTIONS)
    announce(_address(listener, host))
    supervisor = Workers(config, [listener])
    supervisor.run()
    if supervisor.ended_by:
        raise Interrupted(supervisor.ended_by, WORDS[signal.Signals(supervisor.ended_by)])


def _worker(
    path: Path, threads: int, rows: Any, ticket: Any, log: bool, settings: dict[str, Any]
) -> FastAPI:
    """Return the app of one process of several."""
    with ticket.get_lock():
        place = ticket.value
        ticket.value += 1
    telemetry = Telemetry(rows, place, log=log)
    return create_app(recognizer.load(path, threads), telemetry=telemetry, **settings)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises DigitmlpError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let two programs share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except (socket.gaierror, UnicodeError) as error:  # a..b is no name that can be looked up
        reason = getattr(error, "strerror", None) or error
        raise DigitmlpError(
            f"{host}: no address of this machine: {reason}; give another --host"
        ) from error
    except OSError as error:
        raise DigitmlpError(
            f"{host}:{port}: cannot listen there: {error.strerror}; stop what listens there, or "
            "give another --host or --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _own_names(host: str) -> list[str]:
    """Return the names under which a server that listens on this host may be addressed."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return [host]
    except ValueError:
        return [host]
    return ["*", socket.gethostname()]


def _address(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _name(path: Path) -> str:
    """Return what to call a model file: its run folder, or its own name."""
    if path == recognizer.SHIPPED:
        return "digitmlp"
    return path.resolve().parent.name if path.name == "model.onnx" else path.stem
