"""The server as a process: from loading to draining, with workers and a log."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import psutil
import pytest
from asking import OCTETS, ask, metrics, until
from serving import listening, served, trained

import digitmlp
from digitmlp.serve import create_app


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


@pytest.mark.skipif(sys.platform != "linux", reason="tells only there what is mapped")
def test_service_starts_without_what_only_training_needs():
    with served() as (_, process):
        mapped = " ".join(each.path for each in psutil.Process(process.pid).memory_maps())
    assert "/onnxruntime/" in mapped
    for package in ("torch", "onnx", "sklearn", "scipy", "matplotlib", "pandas"):
        assert f"/{package}/" not in mapped


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


@pytest.mark.parametrize("host", ["300.1.1.1", "a..b"])
def test_host_that_is_no_address_is_a_sentence(host):
    code, said = run("--port", 0, "--host", host, "--model", trained())
    assert code == 1
    assert said.startswith(f"digitmlp: {host}: no address of this machine: ")
    assert said.endswith("; give another --host\n")


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
