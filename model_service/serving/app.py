"""The whole service as one ASGI application: the JSON routes, /health, and the page at every other address.

This file is about HTTP: the routes, the limits for a body's size and time, the work that runs in a thread, and the
header ``x-model-version`` of every answer. The content of the answers is in the routes' own modules. There is no
framework between the server and the model, because it would cost more time than the model does.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST

from serving import health
from serving.api import Answer, Api, failure
from serving.drift import Window
from serving.health import Origin, State
from serving.journal import Journal, Source
from serving.metrics import Metrics
from serving.model import Model, Prediction, Record
from serving.words import language

MOST_BYTES = 1_000_000  # of a request's body
MOST_UNREAD = 10_000_000  # of a longer body that is read and discarded, so that its sender can read the answer
BODY_SECONDS = 20.0  # for the whole body to arrive
FEW_BYTES = 4_000  # up to this size (some 25 records, 2 ms of work) a body is answered at once; else in a thread
JSON_ROUTES = "POST /invocations, GET /ping, GET /version, GET /card, GET /metrics, GET /openapi.json, GET /health"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Tell = Callable[[Record, Prediction], None]
CreatePage = Callable[[Model, Tell], Asgi]

_log = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")


def create_app(model: Model, origin: Origin, journal: Journal | None = None, page: CreatePage | None = None) -> Service:
    """The service. Without a journal nothing is logged; without a page the address / is not served."""
    return Service(model, origin, journal, page)


class Service:
    """The ASGI application."""

    def __init__(self, model: Model, origin: Origin, journal: Journal | None, page: CreatePage | None) -> None:
        self._model = model
        self._origin = origin
        self._journal = journal
        self._window = Window(model.card)
        self._predictions = 0
        dropped = (lambda: journal.dropped) if journal else (lambda: 0)
        self._metrics = Metrics(model.card, _about(model, origin), self._window.drift, dropped)
        self._api = Api(model, origin, self._telling("api"))
        self._page = page(model, self._telling("page")) if page else None
        # One thread: two of them competed for the interpreter's lock and gave fewer and later answers.
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._openapi = b""
        self._get: dict[str, Callable[[Scope], Answer]] = {
            "/ping": lambda _: self._api.ping(),
            "/version": lambda _: self._api.version(),
            "/card": lambda _: self._api.card(),
            "/metrics": lambda _: Answer(200, CONTENT_TYPE_LATEST.encode(), self._metrics.text()),
            "/openapi.json": lambda _: Answer(200, b"application/json", self._described()),
            "/health": self._health,
        }
        self._version = (b"x-model-version", origin.release.encode("latin-1"))
        self._headers = [self._version, (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one WebSocket, or the server's start and stop."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._page:
            await self._page(scope, receive, self._signing(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        path = scope["path"]
        if path == "/invocations":
            status = await self._answered(self._invocations(scope, receive), scope, send)
        elif path in self._get:
            status = await self._answered(self._got(scope), scope, send)
        elif self._page:
            path = "page"
            status = await self._paged(scope, receive, send)
        else:
            path = "none"
            status = await self._answered(self._nowhere(scope), scope, send)
        if status:
            self._metrics.answered(path, status, perf_counter() - began)

    async def _answered(self, answering: Awaitable[Answer], scope: Scope, send: Send) -> int:
        try:
            answer = await answering
        except _GoneError:
            return 0
        except Exception as error:  # noqa: BLE001 - any error is logged and answered with 500
            answer = _failed(scope, error)
        return await self._respond(answer, send)

    async def _respond(self, answer: Answer, send: Send) -> int:
        length = b"%d" % len(answer.body)
        headers = [*self._headers, (b"content-type", answer.kind), (b"content-length", length), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        return answer.status

    async def _got(self, scope: Scope) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            return _not_allowed(scope, b"GET, HEAD")
        return self._get[scope["path"]](scope)

    async def _nowhere(self, scope: Scope) -> Answer:
        return failure(404, f"There is nothing at {_shown(scope['path'])}. Use one of {JSON_ROUTES}.")

    async def _invocations(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return _not_allowed(scope, b"POST")
        head = _head(scope)
        if head.encoding not in ("", "identity"):
            return failure(
                415, f"The content-encoding is {_shown(head.encoding)}. Send it without a content-encoding.", _CLOSE
            )
        if head.length > (MOST_BYTES if head.waits else MOST_UNREAD):
            return _too_long(_CLOSE)  # the sender has not begun to send it, or would take too long
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(receive)
        except TimeoutError:
            message = f"The body did not arrive within {BODY_SECONDS:g} s. Send it again, faster or in parts."
            return failure(408, message, _CLOSE)
        if isinstance(body, Answer):
            return body
        if len(body) <= FEW_BYTES:
            return self._api.invocations(body, head.content_type, head.accept)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._batches, self._api.invocations, body, head.content_type, head.accept)

    def _described(self) -> bytes:
        if not self._openapi:  # made on the first request, because it takes a tenth of the start-up time
            from serving.openapi import describe

            self._openapi = json.dumps(describe(self._model.card, self._origin.release)).encode()
        return self._openapi

    def _health(self, scope: Scope) -> Answer:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [None])[-1]
        accepted = next((v.decode("latin-1") for name, v in scope["headers"] if name == b"accept-language"), "")
        well = self._api.ping().status == 200
        state = State(
            well=well,
            origin=self._origin,
            card=self._model.card,
            now=datetime.now(UTC),
            predictions=self._predictions,
            looked_at=len(self._window),
            drift=self._window.drift(),
        )
        page = health.render(state, language(asked, accepted)).encode()
        return Answer(200 if well else 503, b"text/html; charset=utf-8", page, health.HEADERS)

    async def _paged(self, scope: Scope, receive: Receive, send: Send) -> int:
        assert self._page is not None  # noqa: S101 - _http has checked it
        statuses: list[int] = []
        try:
            await self._page(scope, receive, self._signing(send, statuses))
        except Exception as error:
            if statuses:
                raise  # an answer has begun: the server closes the connection and logs the error
            return await self._respond(_failed(scope, error), send)
        return statuses[0] if statuses else 0

    def _signing(self, send: Send, statuses: list[int] | None = None) -> Send:
        async def signed(message: Message) -> None:
            kind = message["type"]
            if kind in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
                message["headers"] = [*message.get("headers", []), self._version]
                if statuses is not None and "status" in message:
                    statuses.append(message["status"])
            await send(message)

        return signed

    def _telling(self, source: Source) -> Tell:
        def tell(record: Record, prediction: Prediction) -> None:
            self._predictions += 1
            self._window.add(record)
            self._metrics.predicted(source, prediction)
            if self._journal:
                self._journal.tell(source, record, prediction)

        return tell

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._page:
            await self._page(scope, receive, send)
        else:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        self._batches.shutdown(wait=False, cancel_futures=True)


class _Head(NamedTuple):
    """The headers that describe a body. ``waits``: the sender waits for permission to send it."""

    content_type: str
    accept: str
    encoding: str
    length: int
    waits: bool


def _head(scope: Scope) -> _Head:
    said = {name: value.decode("latin-1") for name, value in scope["headers"]}
    length = said.get(b"content-length", "")
    return _Head(
        said.get(b"content-type", ""),
        said.get(b"accept", ""),
        said.get(b"content-encoding", "").lower(),
        int(length[:18]) if length.isdecimal() else 0,
        b"expect" in said,
    )


class _GoneError(Exception):
    """The client has closed the connection."""


async def _read(receive: Receive) -> bytes | Answer:
    """The body, or the answer to a body that is too long."""
    message = await receive()
    parts: list[bytes] = []
    length = 0
    while True:
        if message["type"] == "http.disconnect":
            raise _GoneError
        part = message.get("body", b"")
        length += len(part)
        if length <= MOST_BYTES:
            parts.append(part)
        elif length > MOST_UNREAD:
            return _too_long(_CLOSE)
        if not message.get("more_body"):
            return _too_long() if length > MOST_BYTES else b"".join(parts)
        message = await receive()


def _too_long(*headers: tuple[bytes, bytes]) -> Answer:
    return failure(413, f"The body is longer than {MOST_BYTES} bytes. Send fewer records at a time.", *headers)


def _not_allowed(scope: Scope, allowed: bytes) -> Answer:
    message = f"{_shown(scope['path'])} does not take {_shown(scope['method'])}. Use {allowed.decode()}."
    return failure(405, message, (b"allow", allowed))


def _failed(scope: Scope, error: Exception) -> Answer:
    _log.error("%s %s failed", scope["method"], _shown(scope["path"]), exc_info=error)
    message = f"The service failed on this request ({type(error).__name__}). Its log says why; try again."
    return failure(500, message)


def _shown(text: str) -> str:
    return json.dumps(text[:60])[1:-1]


def _about(model: Model, origin: Origin) -> dict[str, str]:
    card = model.card
    known = {name: value for name, value in asdict(origin).items() if name != "since"}
    return {**known, "name": card.name, "kind": card.kind, "sha256": card.sha256}
