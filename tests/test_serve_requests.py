"""Requests that no server should take: too large, malformed, from elsewhere."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from unittest.mock import Mock
from urllib.parse import urlsplit

import psutil
import pytest
import uvicorn
from asking import JSON, OCTETS, ask, exchange, file_part, form, picture
from serving import listening, served
from uvicorn.server import ServerState

from digitmlp.limits import Limits
from digitmlp.serve import create_app
from digitmlp.server import OPTIONS, Protocol

# Too large


@pytest.mark.parametrize(
    "kind", [OCTETS, JSON, JSON.title(), "application/x-www-form-urlencoded", "multipart"]
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/read"])
def test_body_over_the_limit_is_refused_before_it_is_sent(service, path, kind):
    kind = "multipart/form-data; boundary=edge" if kind == "multipart" else kind
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    received = exchange(service, f"{head}Content-Length: 20000001\r\n\r\n".encode())
    assert b" 413 " in received.partition(b"\r\n")[0]
    most = "5,000,000" if (kind.lower(), path) == (JSON, "/v1/predict") else "20,000,000"
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


# Forms


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


# JSON


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
        ('{"images": [[1, 2]]}', "image 0 has 2 pixels; expected 784, or 28 rows of 28"),
        (
            json.dumps({"images": [[[0] * 28] * 27]}),
            "image 0 has 27 pixels; expected 784, or 28 rows of 28",
        ),
        (
            json.dumps({"images": [[255] * 784] * 1001}),
            "the body holds 1,001 images; expected 1 to 1,000",
        ),
        (
            json.dumps({"images": [[0] * 784, [0] * 785]}),
            "image 1 has 785 pixels; expected 784, or 28 rows of 28",
        ),
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


# What is no HTTP


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 66_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000 + b"\r\n", 431),
        (b"GET /" + b"y" * 66_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_is_refused_in_the_form_of_all_errors(service, request_line, status):
    head, _, body = exchange(service, request_line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert list(json.loads(body)) == ["error"]


def test_a_body_is_not_counted_as_the_head_that_follows_it(recognizer):
    """They may come in one piece, which is larger than a head may be."""
    asyncio.run(receive_body_and_head(create_app(recognizer)))


async def receive_body_and_head(app) -> None:
    config = uvicorn.Config(app, **OPTIONS)
    config.load()
    protocol = Protocol(config=config, server_state=ServerState(), app_state={})
    transport = Mock(asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    protocol.connection_made(transport)
    kind = f"Host: localhost\r\nContent-Type: {OCTETS}\r\nContent-Length: 78400\r\n\r\n"
    whole = b"POST /v1/predict HTTP/1.1\r\n" + kind.encode() + bytes(78400)
    for first in (0, 100):  # what comes in two pieces, and what comes in one
        protocol.data_received(whole[:first])
        protocol.data_received(whole[first:] + b"GET /healthz HTTP/1.1\r\nHost: local")
        protocol.data_received(b"host\r\n\r\n")
    for _ in range(500):
        written = b"".join(call.args[0] for call in transport.write.call_args_list)
        if written.count(b"HTTP/1.1 200 ") == 4:
            break
        await asyncio.sleep(0.01)
    assert written.count(b"HTTP/1.1 ") == written.count(b"HTTP/1.1 200 ") == 4
    transport.close.assert_not_called()
    protocol.connection_lost(None)


# Paths and names


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


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/model", "/healthz", "/readyz", "/metrics"])
def test_head_is_get_without_a_body(service, path):
    request = "{} " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for method in ("GET", "HEAD"):
        answer = exchange(service, request.format(method).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert bool(body) == (method == "GET")


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/v1/predict", "POST"),
        ("DELETE", "/v1/read", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/v1/model", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ],
)
def test_wrong_method_is_refused_with_the_right_ones(service, method, path, right):
    answer = ask(service, path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, right)
    sentence = f"{path} does not take {method}; /docs says what it takes"
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


# Foreign hosts and origins


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
