"""The service: a page to draw on, and an HTTP API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

from digitmlp import apidoc, metrics, reading
from digitmlp.batching import Batcher
from digitmlp.bodies import JSON, OCTETS, Bodies, header, images_of, media_of, picture_of
from digitmlp.gate import Answer, Gate
from digitmlp.limits import Limits, busy
from digitmlp.recognizer import Recognizer
from digitmlp.telemetry import Telemetry

THREADS = 2  # pictures read at a time, beside what the event loop does itself

# The pages run their own script and style, show pictures that they were given, ask their own
# server, and can be framed by nobody.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
PAGE = Path(__file__).with_name("page")
FILES = {  # by path: the page's own files, and no others
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Service:
    """What answers requests: one Recognizer, and the threads that it works on.

    settled  whether the model is loaded, or will never be
    failure  why it will never be
    """

    def __init__(self, name: str, limits: Limits, telemetry: Telemetry) -> None:
        self.name = name
        self.limits = limits
        self.telemetry = telemetry
        self.bodies = Bodies(limits)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="digitmlp")
        self.settled = asyncio.Event()
        self.failure: Exception | None = None
        self._loaded: tuple[Recognizer, Batcher] | None = None

    def use(self, recognizer: Recognizer) -> None:
        """Answer with this model from now on."""
        self._loaded = recognizer, Batcher(recognizer, self.threads)
        self.settled.set()

    async def load(self, make: Callable[[], Recognizer]) -> None:
        """Make the model on a thread and use it."""
        try:
            self.use(await asyncio.get_running_loop().run_in_executor(self.threads, make))
        except Exception as error:
            self.failure = error
            self.settled.set()

    def loaded(self) -> tuple[Recognizer, Batcher]:
        """Return the model; raises Refusal while it is not there."""
        if self._loaded is None:
            raise busy("the model is still being loaded")
        return self._loaded

    async def predict(self, scope: Scope, receive: Receive) -> Answer:
        """Answer POST /v1/predict."""
        _, batcher = self.loaded()
        kind = header(scope, b"content-type")
        most = self.limits.json if media_of(kind) == JSON else self.limits.body
        body = await self.bodies.receive(scope, receive, most)
        try:
            images = images_of(kind, body, self.limits)
            probabilities, scores = await batcher.recognize(images)
        finally:
            self.bodies.release(body)
        self.telemetry.count_images(len(images))
        digits = metrics.decide(probabilities)
        if OCTETS in header(scope, b"accept"):
            return Answer(digits.astype("uint8").tobytes(), OCTETS.encode())
        content = {"digits": digits, "probabilities": probabilities, "scores": scores}
        return Answer(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))

    async def read(
        self, scope: Scope, receive: Receive, single: bool, explain: bool
    ) -> dict[str, Any]:
        """Answer POST /v1/read."""
        recognizer, _ = self.loaded()
        body = await self.bodies.receive(scope, receive, self.limits.body)
        try:
            picture = Upload(*picture_of(header(scope, b"content-type"), body))
            return await asyncio.get_running_loop().run_in_executor(
                self.threads, read_picture, picture, recognizer, single, explain
            )
        finally:
            self.bodies.release(body)

    def model(self) -> dict[str, Any]:
        """Answer GET /v1/model."""
        recognizer, _ = self.loaded()
        card = recognizer.card
        weights = sum((a + 1) * b for a, b in pairwise(card.model.widths))
        return {
            "name": self.name,
            "sha256": recognizer.sha256,
            "network": card.model.describe(),
            "weights": weights * card.model.members,
            "held_out": card.held_out,
            "threshold": card.threshold,
            "temperature": card.temperature,
            "training": asdict(card.training),
            "data_sha256": card.data,
        }


class Upload(BytesIO):
    """A picture that was sent, with the name that errors and results call it."""

    def __init__(self, content: bytes, filename: str) -> None:
        super().__init__(content)
        self.filename = filename


def read_picture(
    picture: Upload, recognizer: Recognizer, single: bool, explain: bool
) -> dict[str, Any]:
    """Return what `digitmlp read --json` prints of the picture.

    single   the picture is known to hold one digit
    explain  add to each digit the `image` that the network saw, and its ten `probabilities`
    """
    found = reading.read(picture, recognizer, single=single)
    answer = found.to_dict()
    digits = [digit for number in found.numbers for digit in number.digits]
    if explain and digits:
        images = np.stack([digit.image for digit in digits])
        entries = (entry for number in answer["numbers"] for entry in number["digits"])
        for entry, image, chances in zip(
            entries, images, recognizer.predict_proba(images), strict=True
        ):
            entry |= {"image": image.ravel().tolist(), "probabilities": chances.tolist()}
    return answer


def create_app(
    recognizer: Recognizer | Callable[[], Recognizer],
    *,
    name: str = "digitmlp",
    hosts: Collection[str] = (),
    limits: Limits | None = None,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """Return the app for a model, loaded, or loaded by a call while the app already listens.

    name   what /v1/model calls the model
    hosts  names that requests may address, besides the loopback's (see `Gate`)
    """
    limits = limits or Limits()
    telemetry = telemetry or Telemetry()
    service = Service(name, limits, telemetry)
    if isinstance(recognizer, Recognizer):
        service.use(recognizer)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = None
        if not isinstance(recognizer, Recognizer):
            loading = asyncio.create_task(service.load(recognizer))
        yield
        if loading:
            await loading
        service.threads.shutdown()

    app = FastAPI(
        title="digitmlp",
        version=version("digitmlp"),
        description=apidoc.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(
        Gate,
        hosts=hosts,
        limits=limits,
        telemetry=telemetry,
        direct={"/v1/predict": service.predict},
    )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    _add_api(app, service, limits)
    for path, (file, media) in FILES.items():
        app.add_api_route(path, _static(file, media), include_in_schema=False)
    return app


def _add_api(app: FastAPI, service: Service, limits: Limits) -> None:
    """Add the routes of the API."""

    @app.post(
        "/v1/predict",
        summary="Tell the digits in images of 28×28",
        openapi_extra=apidoc.images_body(limits),
        responses=apidoc.predictions(),
        response_class=Response,
    )
    async def predict(request: Request) -> Response:
        """Digits, calibrated probabilities and scores, one for each image, in their order.

        With `Accept: application/octet-stream`: the digits alone, a byte of 0 to 9 for each.
        """
        # Reached by no request: the gate answers in its place. It stands here for the OpenAPI.
        raise AssertionError

    @app.post(
        "/v1/read",
        summary="Read the numbers in a picture",
        openapi_extra=apidoc.picture_body(limits),
        responses=apidoc.readings(),
        response_class=Response,
    )
    async def read(request: Request, single: bool = False, explain: bool = False) -> Response:
        """Every number in the picture, in reading order: what `digitmlp read --json` prints.

        With `single=true` the picture is known to hold one digit, and nothing in it is refused.
        With `explain=true` every digit has the 28×28 `image` that the network saw, and its ten
        `probabilities`.
        """
        return JSONResponse(await service.read(request.scope, request.receive, single, explain))

    @app.get(
        "/v1/model",
        summary="What model answers",
        responses=apidoc.models(),
        response_class=Response,
    )
    async def model() -> Response:
        return JSONResponse(service.model())

    @app.get(
        "/healthz",
        summary="Whether the process runs",
        responses=apidoc.health(),
        response_class=Response,
    )
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get(
        "/readyz",
        summary="Whether requests will be answered",
        responses=apidoc.readiness(),
        response_class=Response,
    )
    async def readiness() -> Response:
        service.loaded()
        return JSONResponse({"status": "ready"})

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        responses=apidoc.metrics(),
        response_class=Response,
    )
    async def counters() -> Response:
        return Response(service.telemetry.render(), media_type="text/plain; version=0.0.4")


def _static(file: str, media: str) -> Callable[[], Awaitable[Response]]:
    """Return the endpoint of one of the page's files, which is read now."""
    content = (PAGE / file).read_bytes()

    async def endpoint() -> Response:
        return Response(content, headers=PAGE_HEADERS, media_type=media)

    return endpoint


async def _http_error(request: Request, problem: Exception) -> Response:
    """Answer a wrong path or method in the form that all errors have."""
    assert isinstance(problem, HTTPException)
    message = {
        404: f"there is no {request.url.path}; /docs lists what there is",
        405: f"{request.url.path} does not take {request.method}; /docs says what it takes",
    }.get(problem.status_code, str(problem.detail))
    headers = dict(problem.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return JSONResponse({"error": message}, problem.status_code, headers)


async def _validation_error(request: Request, problem: Exception) -> Response:
    """Answer a wrong parameter in the form that all errors have."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return JSONResponse({"error": f"{where} is wrong: {first['msg']}"}, 422)
