"""Clients that are slow, that leave, and that are many."""

import asyncio
import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from asking import JSON, OCTETS, ask, metrics, picture, until
from serving import listening

from digitmlp.batching import Batcher
from digitmlp.limits import Limits
from digitmlp.serve import create_app

# Slow clients, and those that leave


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", b""),  # says nothing at all
        (b"POST /v1/pre", b"HTTP/1.1 408 "),
        (
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 784\r\n\r\n",
            b"HTTP/1.1 408 ",
        ),
    ],
)
def test_slow_client_is_timed_out_while_others_are_served(recognizer, head, status):
    with listening(create_app(recognizer), Limits(patience=0.6)) as address:
        url = urlsplit(address)
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            connection.sendall(head)
            connection.settimeout(0.1)
            received = None
            for _ in range(100):
                with contextlib.suppress(OSError):
                    if head:
                        connection.sendall(b"0")
                with contextlib.suppress(TimeoutError):
                    received = connection.recv(1000)
                    break
                answer = ask(address, "/v1/predict", bytes(784), content_type=OCTETS)
                assert answer.status == 200
            assert received is not None
            assert received.startswith(status)
            assert received or not status


def test_client_that_sends_steadily_is_waited_for(recognizer):
    with listening(create_app(recognizer), Limits(patience=0.3, progress=300)) as address:
        url = urlsplit(address)
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + OCTETS
            connection.sendall(f"{head}\r\nContent-Length: 7840\r\n\r\n".encode())
            for _ in range(10):
                time.sleep(0.1)
                connection.sendall(bytes(784))
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_client_that_does_not_take_its_answer_is_cut_off(recognizer):
    # What waits must wait in the server, not in buffers of the kernel.
    with listening(create_app(recognizer), Limits(patience=0.3), SO_SNDBUF=4096) as address:
        url = urlsplit(address)
        images = bytes(784 * 10_000)  # and an answer of megabytes
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {OCTETS}\r\n"
            f"Content-Length: {len(images)}\r\n\r\n"
        )
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((url.hostname, url.port))
            connection.sendall(head.encode() + images)
            server_side = (connection.getsockname()[1], url.port)
            until(lambda: server_side not in connected())
            assert ask(address, "/healthz").status == 200


def connected() -> set[tuple[int, int]]:
    """Return client's and server's port of each connection that this process serves."""
    return {
        (found.raddr.port, found.laddr.port)
        for found in psutil.Process().net_connections("tcp4")
        if found.status == psutil.CONN_ESTABLISHED and found.raddr
    }


def test_clients_that_leave_in_mid_request_leave_nothing_behind(recognizer):
    app = create_app(recognizer)
    state = app.state.service
    with listening(app) as address:
        url = urlsplit(address)
        for path in ("/v1/predict", "/v1/read", "/v1/predict"):
            with socket.create_connection((url.hostname, url.port)) as connection:
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
                connection.sendall(head.encode() + bytes(500_000))
                until(lambda: state.bodies.held == 500_000)
        until(lambda: state.bodies.held == 0)
        until(lambda: state.telemetry.under_way == 0)
        assert metrics(address)['digitmlp_requests_total{route="/v1/read",status="499"}'] == 1


# Many at once


def test_200_clients_at_once_get_the_serial_answers(service, recognizer, images):
    expected = recognizer.predict(images)
    serial = [ask(service, "/v1/read", picture(), content_type="image/png").json]

    def one(row: int) -> tuple[int, object]:
        if row % 10 == 0:
            return row, ask(service, "/v1/read", picture(), content_type="image/png")
        body = json.dumps({"images": images[row : row + 1].tolist()})
        return row, ask(service, "/v1/predict", body, content_type=JSON)

    with ThreadPoolExecutor(200) as clients:
        for row, answer in clients.map(one, range(200)):
            assert answer.status == 200
            if row % 10 == 0:
                assert answer.json == serial[0]
            else:
                assert answer.json["digits"] == [expected[row]]
    assert ask(service, "/healthz").status == 200


@pytest.mark.parametrize("most", [None, 3, 0])  # images at once: as many as usual, few, none
def test_what_arrives_together_is_recognized_as_one_batch(recognizer, images, most):
    batches = []

    class Counting:
        card = recognizer.card

        def recognize(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            batches.append(len(batch))
            return recognizer.recognize(batch)

    async def ask_together() -> list[tuple[np.ndarray, np.ndarray]]:
        batcher = Batcher(Counting(), threads)
        if most is not None:
            batcher._most = most
        parts = np.split(images.reshape(-1, 28, 28)[:10], [1, 3, 6])
        waiting = [asyncio.create_task(batcher.recognize(part)) for part in parts]
        leaving = asyncio.create_task(batcher.recognize(parts[0]))
        asyncio.get_running_loop().call_soon(leaving.cancel)
        return await asyncio.gather(*waiting)

    with ThreadPoolExecutor(2) as threads:
        answers = asyncio.run(ask_together())
    assert [len(scores) for _, scores in answers] == [1, 2, 3, 4]
    for found, expected in zip(
        map(np.concatenate, zip(*answers, strict=True)),
        recognizer.recognize(images[:10]),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    if most is None:
        assert batches == [11]


def test_more_requests_than_the_limit_are_told_to_come_again(recognizer):
    limits = Limits(requests=3)
    with (
        listening(create_app(recognizer, limits=limits)) as address,
        contextlib.ExitStack() as stack,
    ):
        url = urlsplit(address)
        for _ in range(3):
            connection = socket.create_connection((url.hostname, url.port))
            stack.enter_context(connection)
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
            )

        def refused() -> bool:
            answer = ask(address, "/healthz")
            return answer.status == 503 and answer.json["error"] == (
                "too many requests are under way; try again in a second"
            )

        until(refused)
