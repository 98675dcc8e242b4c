"""What every request passes: who may ask, what is counted, how errors look."""

import ipaddress
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitmlp.bodies import ClientLeft, header
from digitmlp.errors import DataError
from digitmlp.limits import Limits, Refusal, busy
from digitmlp.telemetry import Telemetry

LOOPBACK = ("localhost", "127.0.0.1", "::1")

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]

_logger = logging.getLogger("digitmlp")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the service, whole."""

    body: bytes
    media: bytes = b"application/json"
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Endpoint = Callable[[Scope, Receive], Awaitable[Answer]]


def error(status: int, message: str, headers: Collection[tuple[bytes, bytes]] = ()) -> Answer:
    """Return an error in the one form that all have: `{"error": "…"}`."""
    return Answer(json.dumps({"error": message}).encode(), status=status, headers=tuple(headers))


class Gate:
    """Wraps the app: refuses foreign hosts and origins, counts, and answers errors as JSON.

    hosts   names that requests may address, besides the loopback's and the very address that the
            connection came to; "*" stands for every address in figures. Other names are refused:
            the owner of a page elsewhere may have pointed his name here
    direct  by path, what answers a POST itself, past the app: its routing takes longer than a
            small network does
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        limits: Limits,
        telemetry: Telemetry,
        direct: Mapping[str, Endpoint],
    ) -> None:
        self._app = app
        self._hosts = {name.lower() for name in (*LOOPBACK, *hosts)}
        self._limits = limits
        self._telemetry = telemetry
        self._direct = direct
        self._welcome: set[bytes] = set()  # values of Host that were found right before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        telemetry = self._telemetry
        telemetry.under_way += 1
        status = 499
        try:
            status = await self._pass(scope, receive, send)
        except ClientLeft:
            pass
        finally:
            telemetry.under_way -= 1
            seconds = time.perf_counter() - began
            telemetry.count(scope["path"], status, seconds)
            telemetry.write(scope, status, seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer the request; return the status."""
        sent = 0

        async def guarded(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        try:
            self._admit(scope)
            direct = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
            if direct is None:
                asked = scope
                if scope["method"] == "HEAD":  # GET, of whose answer the server sends the head
                    asked = {**scope, "method": "GET"}
                await self._app(asked, receive, guarded)
                return sent
            answer = await direct(scope, receive)
        except Refusal as refusal:
            answer = error(refusal.status, str(refusal), refusal.headers)
        except DataError as problem:
            answer = error(422, str(problem))
        except ClientLeft:
            raise
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            answer = error(500, "something went wrong here; the log of the server says what")
        if not sent:
            await reply(send, answer)
        return sent or answer.status

    def _admit(self, scope: Scope) -> None:
        """Raise Refusal for what comes from a foreign page or when too much is under way."""
        host = origin = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
        if host not in self._welcome:
            if not self._addressed(host.decode("latin-1"), scope):
                raise Refusal(
                    421,
                    f"this server is not {header(scope, b'host') or 'nobody'!r}; start it with "
                    "--allow-host and that name if it is to answer under it",
                )
            if len(self._welcome) < 100:
                self._welcome.add(host)
        if origin and origin.partition(b"://")[2] != host:
            raise Refusal(403, "pages of other sites may not use this server")
        if self._telemetry.under_way > self._limits.requests:
            raise busy("too many requests are under way")

    def _addressed(self, host: str, scope: Scope) -> bool:
        name = (
            host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host.lower()
        )
        name = name.removeprefix("[").removesuffix("]")
        if name in self._hosts or name == (scope.get("server") or [""])[0]:
            return bool(name)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return "*" in self._hosts


async def reply(send: Send, answer: Answer) -> None:
    """Send an answer."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.media),
                (b"content-length", b"%d" % len(answer.body)),
                *HEADERS,
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
