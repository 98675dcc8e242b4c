"""The HTTP API, asked for everything it promises and attacked with everything it must survive."""

import asyncio
import contextlib
import functools
import http.client
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import schemathesis
import uvicorn
from hypothesis import given, settings
from PIL import Image, ImageDraw
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import program, served, trained

import digitmlp
from digitmlp import server
from digitmlp.batching import Batcher
from digitmlp.limits import Limits
from digitmlp.serve import create_app

JSON, OCTETS = "application/json", "application/octet-stream"


@pytest.fixture(scope="module")
def recognizer() -> digitmlp.Recognizer:
    return digitmlp.load(trained())


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """200 images, uint8 (200, 784), of which no two are alike."""
    random = np.random.default_rng(0)
    return np.where(random.random((200, 784)) < 0.2, 255, 0).astype(np.uint8)


@contextlib.contextmanager
def listening(app: object, limits: Limits | None = None, **options: int) -> Iterator[str]:
    """Serve an app in a thread of this process, with options of the socket; give its address."""
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.create_server(("127.0.0.1", 0), backlog=1000) as listener,
    ):
        for name, value in options.items():
            listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        patch.setattr(server.Protocol, "limits", limits or Limits())
        running = uvicorn.Server(uvicorn.Config(app, **server.OPTIONS))
        thread = threading.Thread(target=running.run, args=[[listener]])
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def service(recognizer) -> Iterator[str]:
    with listening(create_app(recognizer)) as address:
        yield address


def ask(
    address: str, path: str, body: object = None, *, method: str | None = None, **headers: str
) -> SimpleNamespace:
    """Return status, headers and body of an answer; the body also as JSON where it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method or ("GET" if body is None else "POST"), path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = response.headers.get("content-type") == JSON
    return SimpleNamespace(
        status=response.status,
        headers=response.headers,
        body=content,
        json=json.loads(content) if is_json else None,
    )


def exchange(address: str, content: bytes, *, wait: float = 10) -> bytes:
    """Return all that comes back for these bytes until the server closes, or says nothing more."""
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port), timeout=wait) as connection:
        received = b""
        with contextlib.suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                received += part
        return received


def form(*parts: tuple[str, bytes], boundary: str = "edge") -> tuple[bytes, str]:
    """Return a form of parts (their headers, their content), and its content type."""
    body = b"".join(
        f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def file_part(content: bytes, name: str = "photo.png") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="picture"; filename="{name}"', content


@functools.cache
def picture() -> bytes:
    """Return a PNG of two strokes, black on white, a 7 and what may be a 1."""
    image = Image.new("L", (300, 200), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(60, 50), (120, 50), (85, 150)], fill=0, width=12, joint="curve")
    draw.line([(200, 45), (200, 150)], fill=0, width=12)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


# What it answers


def test_predict_gives_what_the_recognizer_gives(service, recognizer, images):
    body = json.dumps({"images": images.tolist()})
    answer = ask(service, "/v1/predict", body, content_type=JSON)
    assert answer.status == 200
    assert list(answer.json) == ["digits", "probabilities", "scores"]
    assert answer.json["digits"] == recognizer.predict(images).tolist()
    np.testing.assert_allclose(
        answer.json["probabilities"], recognizer.predict_proba(images), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(answer.json["scores"], recognizer.score_samples(images), rtol=1e-5)


def test_predict_takes_and_gives_raw_bytes(service, recognizer, images):
    raw = ask(service, "/v1/predict", images.tobytes(), content_type=OCTETS)
    assert raw.json["digits"] == recognizer.predict(images).tolist()
    digits = ask(service, "/v1/predict", images.tobytes(), content_type=OCTETS, accept=OCTETS)
    assert digits.headers["content-type"] == OCTETS
    assert list(digits.body) == raw.json["digits"]


def test_large_batches_run_on_a_thread_and_answer_alike(service, recognizer):
    images = np.random.default_rng(1).integers(0, 256, (3000, 784), dtype=np.uint8)
    answer = ask(service, "/v1/predict", images.tobytes(), content_type=OCTETS, accept=OCTETS)
    assert list(answer.body) == recognizer.predict(images).tolist()


def test_read_gives_what_the_command_gives(service, tmp_path):
    (tmp_path / "photo.png").write_bytes(picture())
    command = [sys.executable, "-m", "digitmlp", "read", "photo.png", "--json", "--model"]
    printed = subprocess.run(
        [*command, trained()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = json.loads(printed.stdout)
    assert [len(number["digits"]) for number in expected["numbers"]]
    body, kind = form(file_part(picture()))
    assert ask(service, "/v1/read", body, content_type=kind).json == expected
    for kind in ("image/png", OCTETS, "application/x-www-form-urlencoded"):
        answer = ask(service, "/v1/read", picture(), content_type=kind)
        assert answer.json == expected | {"picture": "picture"}


def test_explain_adds_what_the_network_saw(service, recognizer):
    plain = ask(service, "/v1/read", picture(), content_type="image/png").json
    answer = ask(service, "/v1/read?explain=true", picture(), content_type="image/png").json
    digits = [digit for number in answer["numbers"] for digit in number["digits"]]
    assert digits
    for digit in digits:
        image = np.array(digit.pop("image"), np.uint8)[None]
        probabilities = digit.pop("probabilities")
        np.testing.assert_allclose(probabilities, recognizer.predict_proba(image)[0], atol=1e-6)
    assert answer == plain


def test_model_is_named_and_described(service, recognizer):
    answer = ask(service, "/v1/model").json
    assert answer["sha256"] == recognizer.sha256
    assert answer["network"] == "784-128-10"
    assert answer["weights"] == 784 * 128 + 128 + 128 * 10 + 10
    assert answer["held_out"] == recognizer.card.held_out
    assert answer["held_out"]["count"] == 600
    assert answer["threshold"] == recognizer.threshold
    assert answer["training"]["epochs"] == 8


def test_health_readiness_and_metrics(service):
    assert ask(service, "/healthz").json == {"status": "ok"}
    assert ask(service, "/readyz").json == {"status": "ready"}
    before = metrics(service)
    ask(service, "/v1/predict", bytes(784 * 3), content_type=OCTETS)
    ask(service, "/v1/predict", b"1", content_type=OCTETS)
    after = metrics(service)
    ok, bad = (f'digitmlp_requests_total{{route="/v1/predict",status="{s}"}}' for s in (200, 422))
    assert after[ok] - before.get(ok, 0) == 1
    assert after[bad] - before.get(bad, 0) == 1
    assert after["digitmlp_images_total"] - before["digitmlp_images_total"] == 3
    route = 'digitmlp_request_seconds_{}{{route="/v1/predict"{}}}'
    assert after[route.format("bucket", ',le="+Inf"')] == after[route.format("count", "")]
    assert after[route.format("sum", "")] > before[route.format("sum", "")]


def metrics(address: str) -> dict[str, float]:
    """Return the metrics; every line must have Prometheus's form."""
    found = {}
    answer = ask(address, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, value = re.fullmatch(r"(\w+(?:\{.+\})?) ([\d.]+)", line).groups()
            found[name] = float(value)
    return found


OPERATIONS = [
    ("POST", "/v1/predict"),
    ("POST", "/v1/read"),
    ("GET", "/v1/model"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_keeps_to_the_openapi(recognizer, method, path, mode):
    openapi = schemathesis.openapi.from_asgi("/openapi.json", create_app(recognizer))
    operation = openapi[path][method]
    if mode == schemathesis.GenerationMode.NEGATIVE and method == "GET":
        return  # they take nothing that could be wrong

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        # No schema can tell the bytes of a picture, or of whole images, from others.
        opaque = [] if case.media_type == JSON else [positive_data_acceptance]
        case.call_and_validate(excluded_checks=opaque)

    check()


def test_openapi_lists_every_operation(service):
    paths = ask(service, "/openapi.json").json["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert found == OPERATIONS


def test_openapi_examples_are_answered(service):
    paths = ask(service, "/openapi.json").json["paths"]
    example = paths["/v1/predict"]["post"]["requestBody"]["content"][JSON]["example"]
    answer = ask(service, "/v1/predict", json.dumps(example), content_type=JSON)
    assert answer.json["digits"] == [7]


def test_pages_ask_nobody_else(service):
    for path in ("/", "/docs", "/page.css", "/page.js", "/docs.js", "/icon.svg"):
        answer = ask(service, path)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        addresses = set(re.findall(rb"https?://[\w.]+", answer.body))
        assert addresses <= {b"http://www.w3.org"}  # the name of SVG, which nobody fetches


# 24: too large


@pytest.mark.parametrize("kind", [OCTETS, JSON, "application/x-www-form-urlencoded", "multipart"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/read"])
def test_body_over_the_limit_is_refused_before_it_is_sent(service, path, kind):
    kind = "multipart/form-data; boundary=edge" if kind == "multipart" else kind
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    received = exchange(service, f"{head}Content-Length: 20000001\r\n\r\n".encode())
    assert b" 413 " in received.partition(b"\r\n")[0]
    most = "5,000,000" if (kind, path) == (JSON, "/v1/predict") else "20,000,000"
    sentence = f"the body has more than {most} bytes; send less in a request"
    assert received.endswith(json.dumps({"error": sentence}).encode())


def test_endless_chunked_body_is_refused_in_constant_memory():
    with served() as (address, process):
        memory = psutil.Process(process.pid).memory_info
        ask(address, "/v1/predict", bytes(784), content_type=OCTETS)
        before = memory().rss
        sent = 0

        def endless() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(200):
                sent += 1_000_000
                yield bytes(1_000_000)

        url = urlsplit(address)
        highest = before
        for kind in (OCTETS, "multipart/form-data; boundary=edge"):
            with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
                head = "POST /v1/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                connection.sendall(f"{head}Content-Type: {kind}\r\n\r\n".encode())
                with contextlib.suppress(OSError):  # closed on us
                    for chunk in endless():
                        connection.sendall(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
                        highest = max(highest, memory().rss)
                assert b" 413 " in connection.recv(100)
        assert highest - before < 80_000_000  # the limit is 20 MB, copied twice on its way
        assert ask(address, "/healthz").status == 200


def test_bodies_held_at_a_time_are_limited(recognizer):
    with listening(create_app(recognizer, limits=Limits(held=1000))) as address:
        answer = ask(address, "/v1/predict", bytes(784 * 2), content_type=OCTETS)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert ask(address, "/v1/predict", bytes(784), content_type=OCTETS).status == 200


# 25: forms


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (*form(*[file_part(b"x")] * 10_000), "the form has more than one part"),
        (*form(("Content-Disposition: form-data", b"x")), "the part of the form has no name or is"),
        (
            *form(('Content-Disposition: form-data; name="a"', b"x")),
            "the part of the form has no n",
        ),
        (*form(("X: " + "y" * 1_000_000, b"x")), "the form is damaged: "),
        (*form(("\r\n".join(["X: y"] * 10_000), b"x")), "the form is damaged: "),
        (
            form(file_part(b"x"))[0],
            "multipart/form-data",
            "the form has no boundary in its content",
        ),
        (form(file_part(b"x"))[0], "multipart/form-data; boundary=other", "the form is "),
        (form(file_part(b"x"))[0], "multipart/form-data; boundary=" + "e" * 5000, "the form is "),
        (form(file_part(b"x"))[0][:-9], "multipart/form-data; boundary=edge", "the form is cut, "),
        (b"", "multipart/form-data; boundary=edge", "the form is cut, or has no file; expected"),
        (*form(file_part(b"no picture", "a.png")), "a.png: is empty, damaged or no picture; exp"),
        (b"{}", JSON, f"the content type is {JSON}; expected a picture"),
    ],
)
def test_hostile_forms_are_refused_at_once(service, body, kind, sentence):
    began = time.process_time()  # of client and server; other work may keep the cores busy
    answer = ask(service, "/v1/read", body, content_type=kind)
    assert time.process_time() - began < 1
    assert answer.status == (415 if kind == JSON else 422)
    assert answer.json["error"].startswith(sentence)


# 26: JSON


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"images": [[NaN]]}', "the body is not JSON that can be read: "),
        ('{"images": [[1e999]]}', "the body is not JSON that can be read: "),
        ("[" * 100_000, "the body is not JSON that can be read: "),
        ('{"a":' * 100_000, "the body is not JSON that can be read: "),
        ("", "the body is not JSON that can be read: "),
        ('"images"', 'the body is a str; expected {"images": [[…], …]}'),
        ('{"pictures": []}', """the body is an object with 'pictures'; expected {"images": [["""),
        ('{"images": [], "b": 1}', "the body is an object with 'images', 'b'; expected "),
        ('{"images": "iVBORw0KGgo="}', "images is a str; expected a list of images"),
        ('{"images": []}', "the body holds 0 images; expected 1 to 1,000"),
        ('{"images": ["!!! no base64"]}', "image 0 is a str; expected a list of pixels"),
        ('{"images": [[1, 2]]}', "image 0 has 2 pixels; expected 784"),
        (
            json.dumps({"images": [[255] * 784] * 1001}),
            "the body holds 1,001 images; expected 1 to 1,000",
        ),
        (json.dumps({"images": [[0] * 784, [0] * 785]}), "image 1 has 785 pixels; expected 784"),
    ],
)
def test_json_that_holds_no_images_is_refused(service, body, sentence):
    answer = ask(service, "/v1/predict", body, content_type=JSON)
    assert answer.status == 422
    assert answer.json["error"].startswith(sentence)


@pytest.mark.parametrize("wrong", [-1, 256, 0.5, 256.0, True, False, None, "1", [1], {}, 10**30])
def test_pixels_that_are_no_bytes_are_refused_by_place(service, wrong):
    image = [0] * 784
    image[17] = wrong
    answer = ask(
        service, "/v1/predict", json.dumps({"images": [[0] * 784, image]}), content_type=JSON
    )
    assert answer.status == 422
    if wrong != 10**30:  # which is no whole number to the parser
        assert answer.json["error"] == (
            f"image 1, pixel 17 is {json.dumps(wrong)}; expected a whole number from 0 to 255, "
            "ink 255 on ground 0, 784 an image"
        )


def test_whole_numbers_may_have_a_point(service, images):
    body = [json.dumps({"images": (images[:1] * one).tolist()}) for one in (1, 1.0)]
    assert ".0" in body[1]
    whole, pointed = (ask(service, "/v1/predict", text, content_type=JSON) for text in body)
    assert pointed.json == whole.json


def test_raw_bytes_that_are_no_images_are_refused(service):
    for body, sentence in [
        (bytes(785), "the body has 785 bytes; expected a multiple of 784, one a pixel"),
        (b"", "the body holds 0 images; expected 1 to 10,000"),
        (bytes(784 * 10_001), "the body holds 10,001 images; expected 1 to 10,000"),
    ]:
        answer = ask(service, "/v1/predict", body, content_type=OCTETS)
        assert (answer.status, answer.json) == (422, {"error": sentence})
    answer = ask(service, "/v1/predict", b"1", content_type="text/plain")
    sentence = f"the content type is text/plain; expected {JSON} or {OCTETS}"
    assert (answer.status, answer.json) == (415, {"error": sentence})


# 27: slow clients, and those that leave


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


def until(true: Callable[[], bool]) -> None:
    """Wait until it is true; fail if that takes ten seconds."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GARBAGE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, 431)],
)
def test_what_is_no_http_is_refused_in_the_form_of_all_errors(service, request_line, status):
    head, _, body = exchange(service, request_line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert list(json.loads(body)) == ["error"]


# 28: paths and names


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/..\\..\\etc\\passwd",
        "/page.css/../../serve.py",
        "/page.css/",
        "//etc/passwd",
        "/v1/../v1/model",
        "/index.html",
        "/%00",
    ],
)
def test_paths_that_lead_elsewhere_are_not_found(service, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(service, request.encode()).startswith(b"HTTP/1.1 404 ")


def test_wrong_method_is_refused_with_the_right_one(service):
    answer = ask(service, "/v1/predict")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    sentence = "/v1/predict does not take GET; /docs says what it takes"
    assert answer.json == {"error": sentence}


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\etc\\passwd", "/etc/passwd"])
def test_file_names_lead_nowhere(service, name):
    body, kind = form(file_part(picture(), name))
    assert ask(service, "/v1/read", body, content_type=kind).json["picture"] == "passwd"
    body, kind = form(file_part(b"", name))
    assert (
        ask(service, "/v1/read", body, content_type=kind).json["error"].startswith("passwd: is em")
    )


def test_addresses_are_never_fetched(service):
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/a.png"
        body, kind = form(file_part(url.encode(), url))
        for path, content, media in [
            ("/v1/read", url, "image/png"),
            ("/v1/read", body, kind),
            (f"/v1/read?picture={url}&url={url}", url, OCTETS),
            ("/v1/predict", json.dumps({"images": url}), JSON),
            ("/v1/predict", json.dumps({"images": [url]}), JSON),
        ]:
            assert ask(service, path, content, content_type=media).status == 422
        with pytest.raises(TimeoutError):
            trap.accept()


# 29: foreign hosts and origins


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1:80", "", "[::2]"]
)
def test_foreign_hosts_are_refused(service, host):
    for path in ("/", "/v1/model", "/openapi.json"):
        answer = ask(service, path, host=host)
        assert answer.status == 421
        assert list(answer.json) == ["error"]


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "127.0.0.1:8000", "[::1]:8000", "[::1]"]
)
def test_names_of_this_machine_are_served(service, host):
    assert ask(service, "/healthz", host=host).status == 200


def test_named_hosts_and_addresses_in_figures_are_served(recognizer):
    with listening(create_app(recognizer, hosts=["Digits.example", "*"])) as address:
        for host, status in [
            ("digits.example", 200),
            ("192.168.1.7:8000", 200),
            ("[fe80::1]:8000", 200),
            ("evil.example", 421),
        ]:
            assert ask(address, "/healthz", host=host).status == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "localhost"]
)
def test_pages_of_other_origins_are_refused(service, origin):
    for path in ("/v1/predict", "/v1/read"):
        answer = ask(service, path, bytes(784), origin=origin, content_type=OCTETS)
        assert answer.status == 403
        assert answer.json == {"error": "pages of other sites may not use this server"}


def test_its_own_origin_is_served(service):
    answer = ask(service, "/v1/predict", bytes(784), origin=service, content_type=OCTETS)
    assert answer.status == 200


# 30: many at once


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
            if answer.status == 503:
                assert answer.headers["retry-after"] == "1"
            elif row % 10 == 0:
                assert answer.json == serial[0]
            else:
                assert answer.json["digits"] == [expected[row]]
    began = time.perf_counter()
    assert ask(service, "/healthz").status == 200
    assert time.perf_counter() - began < 2  # milliseconds, on a machine with nothing else to do


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


# 31: beginning and end


def test_readiness_waits_for_the_model(recognizer):
    loaded = threading.Event()

    def load() -> digitmlp.Recognizer:
        loaded.wait()
        return recognizer

    with listening(create_app(load)) as address:
        try:
            for path, body in [("/readyz", None), ("/v1/predict", bytes(784)), ("/v1/model", None)]:
                answer = ask(address, path, body, content_type=OCTETS)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                sentence = "the model is still being loaded; try again in a second"
                assert answer.json == {"error": sentence}
            assert ask(address, "/healthz").status == 200
        finally:
            loaded.set()
        until(lambda: ask(address, "/readyz").status == 200)


def test_service_is_ready_after_less_than_a_second_of_work():
    with served() as (_, process):
        used = psutil.Process(process.pid).cpu_times()
    assert used.user + used.system < 1  # not by the clock: other work may keep the cores busy


def run(*arguments: object) -> tuple[int, str]:
    """Return exit code and stderr of `digitmlp serve`."""
    done = subprocess.run(
        [sys.executable, "-m", "digitmlp", "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_port_in_use_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = run("--port", port, "--model", trained())
    assert code == 1
    assert said == (
        f"digitmlp: 127.0.0.1:{port}: cannot listen there: Address already in use; "
        "stop what listens there, or give another --host or --port\n"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_missing_or_damaged_model_is_a_sentence(tmp_path, workers):
    missing = tmp_path / "none"
    code, said = run("--port", 0, "--model", missing, "--workers", workers)
    assert code == 3
    assert said == (f"digitmlp: {missing}: no such file; expected a run folder or a model.onnx\n")
    damaged = tmp_path / "model.onnx"
    content = bytearray((trained() / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    code, said = run("--port", 0, "--model", damaged, "--workers", workers)
    assert code == 3
    assert said == (
        f"digitmlp: {damaged}: damaged: its content does not match its checksum; copy it again\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_drains(workers):
    with served("--workers", workers) as (address, process):
        url = urlsplit(address)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {OCTETS}\r\n"
            connection.sendall(f"{head}Content-Length: 784\r\n\r\n".encode() + bytes(400))
            until(lambda: ask(address, "/healthz").status == 200)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            until(lambda: refuses(address))
            connection.sendall(bytes(384))
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert process.wait(20) == 143
        assert process.stderr.read() == "digitmlp: terminated\n"


def refuses(address: str) -> bool:
    try:
        ask(address, "/healthz")
    except OSError:
        return True
    return False


def test_workers_share_their_counters_and_the_log_is_json():
    with served("--workers", "2", "--access-log") as (address, process):
        for _ in range(20):
            assert ask(address, "/v1/predict", bytes(784), content_type=OCTETS).status == 200
        assert metrics(address)["digitmlp_images_total"] == 20
        process.send_signal(signal.SIGTERM if os.name != "nt" else signal.CTRL_BREAK_EVENT)
        *lines, _ = process.stderr.read().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 21
    assert {record["path"] for record in records} == {"/v1/predict", "/metrics"}
    first = records[0]
    assert list(first) == ["time", "client", "method", "path", "status", "seconds"]
    assert (first["client"], first["method"], first["status"]) == ("127.0.0.1", "POST", 200)


# The documents


GUIDE = (Path(__file__).parents[1] / "docs" / "serve.md").read_text(encoding="utf-8")


@pytest.mark.skipif(program("curl") is None, reason="there is no curl on this machine")
def test_curl_examples_of_the_guide_are_answered(service, images, recognizer, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(picture())
    (tmp_path / "images.bin").write_bytes(images.tobytes())
    (tmp_path / "images.json").write_text(json.dumps({"images": images.tolist()}))
    commands = re.findall(r"^curl .+$", GUIDE, re.M)
    assert len(commands) == 9
    answers = []
    for command in commands:
        arguments = shlex.split(command.replace("http://127.0.0.1:8000", service))
        done = subprocess.run(
            [*arguments, "--fail", "--silent"], cwd=tmp_path, capture_output=True, check=True
        )
        answers.append(done.stdout)
    form, raw, as_json, as_bytes, digits, *_ = answers
    assert json.loads(form)["numbers"] == json.loads(raw)["numbers"]
    assert as_json == as_bytes
    assert list(digits) == json.loads(as_json)["digits"] == recognizer.predict(images).tolist()


def test_client_of_the_guide_has_five_lines_and_works(service, images, recognizer):
    (client,) = re.findall(r"```python\n(.+?)```", GUIDE, re.S)
    assert len([line for line in client.splitlines() if line]) <= 5
    names = {}
    exec(client, names)
    answer = names["predict"](images, service)
    assert answer == recognizer.predict(images).tolist()


def test_limits_of_the_guide_are_those_in_force():
    limits = Limits()
    for number in (limits.head, limits.body, limits.json, limits.progress, limits.held):
        assert f"{number:,} " in GUIDE
    for sentence in (f"{limits.requests} requests", f"for {limits.patience:.0f} seconds"):
        assert sentence in GUIDE
    assert f"after {limits.drain} seconds" in GUIDE
