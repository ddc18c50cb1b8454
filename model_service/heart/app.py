"""The model over HTTP: SageMaker's two routes (``/ping``, ``/invocations``), ``/version``, and the page at ``/``.

This file turns requests into calls of the model and its answers into responses; it decides nothing about the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heart import page
from heart.model import Model, Refusal
from heart.words import language

MOST_BYTES = 1_000_000  # of a request's body
MOST_RECORDS = 1_000  # in one request: some milliseconds of work, so that nobody else waits
MOST_PROBLEMS = 20  # named in one answer
ROUTES = "GET /, GET /ping, GET /version, POST /invocations"


@dataclass(frozen=True)
class Origin:
    """Where this model comes from: the commit it was built of and the release it was built as, as text."""

    commit: str
    release: str


def create_app(model: Model, origin: Origin) -> ASGIApp:
    """The ASGI application. Every answer carries ``x-model-version``, the release."""
    endpoints = _Endpoints(model, origin)
    app = Starlette(
        routes=[
            Route("/ping", endpoints.ping),
            Route("/invocations", endpoints.invocations, methods=["POST"]),
            Route("/version", endpoints.version),
            Route("/", endpoints.page, methods=["GET", "POST"]),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    return _signed(app, origin.release)


class _Endpoints:
    def __init__(self, model: Model, origin: Origin) -> None:
        self.model = model
        self.origin = origin

    async def ping(self, _: Request) -> Response:
        """200 when the model answers: it predicts, from nothing but its usual values."""
        self.model.predict({})
        return JSONResponse({"status": "healthy", "release": self.origin.release})

    async def version(self, _: Request) -> Response:
        return JSONResponse(
            {
                "release": self.origin.release,
                "commit": self.origin.commit,
                "data_sha256": self.model.data_sha256,
                "model_sha256": self.model.sha256,
                "metrics": dict(self.model.metrics),
            }
        )

    async def invocations(self, request: Request) -> Response:
        """Records in, ``{"predictions": […]}`` out, in the same order."""
        records = _records(await _json(request))
        problems = [p for at, record in enumerate(records) for p in self._problems(at, record)]
        if problems:
            return JSONResponse({"error": problems[0]["message"], "problems": problems[:MOST_PROBLEMS]}, 422)
        predictions = [self.model.predict(record) for record in records]
        return JSONResponse(
            {
                "predictions": [
                    {"probability": round(p.probability, 6), "target": int(p.probability >= 0.5), "filled": p.filled}
                    for p in predictions
                ]
            }
        )

    def _problems(self, at: int, record: Any) -> list[dict[str, Any]]:
        if not isinstance(record, dict) or not record:
            message = f"Record {at} is {_shown(record)}; send an object with some of {_names(self.model)}."
            return [{"record": at, "message": message}]
        return [_problem(at, refusal, self.model) for refusal in self.model.refuses(record)]

    async def page(self, request: Request) -> Response:
        """The form; when it was sent, the answer above it."""
        lang = language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        typed = dict(parse_qsl((await _body(request)).decode("utf-8", "replace")))
        record = {name: _typed(value) for name, value in typed.items() if value.strip()}
        if not record:
            return _html(page.render(self.model, lang, {}), lang)
        if refusals := self.model.refuses(record):
            return _html(page.render(self.model, lang, typed, refusals), lang, 422)
        return _html(page.render(self.model, lang, typed, self.model.predict(record)), lang)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"The body is longer than {MOST_BYTES} bytes. Send fewer records at a time.")
    return bytes(body)


async def _json(request: Request) -> Any:
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"The content-type is {_shown(kind)}. Send JSON with content-type: application/json.")
    try:
        return json.loads(await _body(request), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(
            400, f'The body is not JSON ({error}). Send for instance {{"age": 54, "sex": 1}}.'
        ) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number, a missing value is null")


def _records(content: Any) -> Sequence[Any]:
    if isinstance(content, dict) and "instances" in content:
        if len(content) > 1:
            others = ", ".join(_shown(key) for key in content if key != "instances")
            raise HTTPException(422, f'Beside "instances" there is {others}. Send "instances" alone.')
        content = content["instances"]
    records = content if isinstance(content, list) else [content]
    if not 1 <= len(records) <= MOST_RECORDS:
        raise HTTPException(422, f"There are {len(records)} records. Send 1 to {MOST_RECORDS} in one request.")
    return records


def _problem(at: int, refusal: Refusal, model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {"record": at, "field": _plain(refusal.field), "value": _shown(refusal.value)}
    if refusal.feature is None:
        message = f"{_shown(refusal.field)} is no field of this model. Send some of {_names(model)}."
        return {**found, "message": message}
    allowed = refusal.feature.allowed
    message = f"{refusal.field} is {found['value']}, allowed is {allowed}. Send that, or null when it is not known."
    return {**found, "allowed": allowed, "message": message}


def _names(model: Model) -> str:
    return ", ".join(feature.name for feature in model.features)


def _shown(value: object) -> str:
    # ASCII, short and flat: whatever was sent, the answer to it can be written
    if isinstance(value, dict | list) and value:
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(name: str) -> str:
    return _shown(name)[1:-1]


def _typed(text: str) -> float | str:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return text


def _html(text: str, lang: str, status: int = 200) -> Response:
    headers = {
        "content-language": lang,
        "vary": "accept-language",
        "cache-control": "no-store",  # what a person typed about a heart stays out of caches
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    }
    return HTMLResponse(text, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls this for nothing else
    detail = error.detail
    if error.status_code in (404, 405):
        detail = f"There is no {request.method} {_plain(request.url.path)}. There are: {ROUTES}."
    return JSONResponse({"error": detail}, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    message = f"The service failed on this request ({type(error).__name__}). The cause is in its log; try again."
    return JSONResponse({"error": message}, 500)


def _signed(app: ASGIApp, release: str) -> ASGIApp:
    # around the whole application, so that its failures are signed as well
    async def signed(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-model-version"] = release
            await send(message)

        await app(scope, receive, send_signed)

    return signed
