"""The HTTP API gives what it promises, and the guide's examples work."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from asking import JSON, OCTETS, ask, file_part, form, metrics, picture
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import program, trained

from digitmlp import read
from digitmlp.limits import Limits
from digitmlp.serve import create_app


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


def test_single_reads_one_digit(service, recognizer):
    expected = read(picture(), recognizer, single=True).to_dict()
    assert len(expected["text"]) == 1 < len(read(picture(), recognizer).text)
    for query, text in (("true", expected["text"]), ("false", read(picture(), recognizer).text)):
        path = f"/v1/read?single={query}"
        answer = ask(service, path, picture(), content_type="image/png").json
        assert answer["text"] == text
        assert (answer == expected) == (query == "true")


def test_images_may_be_given_as_rows(service):
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 28))
    flat, rows = (
        ask(service, "/v1/predict", json.dumps({"images": given}), content_type=JSON)
        for given in (images.reshape(2, 784).tolist(), images.tolist())
    )
    assert rows.status == 200
    assert rows.json == flat.json


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
    for number in (
        limits.head,
        limits.body,
        limits.json,
        limits.progress,
        limits.held,
        limits.images,
    ):
        assert f"{number:,} " in GUIDE
    for sentence in (f"{limits.requests} requests", f"for {limits.patience:.0f} seconds"):
        assert sentence in GUIDE
    assert f"after {limits.drain} seconds" in GUIDE
