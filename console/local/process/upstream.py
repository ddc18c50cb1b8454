"""One release behind the front: its connections, what is in flight on them, and the headers it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

from console.local.ports import LOOPBACK

# Below uvicorn's and gunicorn's own keep-alive limits, so that it is the front that drops an idle connection first.
UPSTREAM_IDLE_SECONDS = 1.5
CONNECT_SECONDS = 5.0
PROBE = istr("X-Esteira-Probe")


# RFC 9110, 7.6.1: these speak of one connection and not of the message.
_HOP_BY_HOP = (
    hdrs.CONNECTION,
    hdrs.KEEP_ALIVE,
    hdrs.PROXY_AUTHENTICATE,
    hdrs.PROXY_AUTHORIZATION,
    hdrs.TE,
    hdrs.TRAILER,
    hdrs.TRANSFER_ENCODING,
    hdrs.UPGRADE,
    istr("Proxy-Connection"),
)
# RFC 9110, 9.2.2: only these may be sent a second time by a proxy that does not know whether the first was carried out.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

Body = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True)
class Limits:
    """What a release takes of a request and of time."""

    body_mb: int = 0  # 0: any size
    response_seconds: float = 3600.0  # between two pieces of an answer

    @property
    def too_large(self) -> str:
        """The answer to a request that is too large, as the default bundle's nginx gives it."""
        return f"the request is larger than {self.body_mb} MB, which is max_body_mb of this service\n"

    def refuse(self, size: int) -> bool:
        """Whether a body of ``size`` bytes is too large."""
        return 0 < self.body_mb * 1024 * 1024 < size


class AnswerCounts(NamedTuple):
    """How many requests a release has answered, and how many of the answers were 500 or above."""

    answers: int = 0
    errors: int = 0


class Upstream:
    """One release's port: its connections, and what is on them. Lives on the front's loop."""

    def __init__(self, port: int, limits: Limits) -> None:
        self.port = port
        self.limits = limits
        self.tally = AnswerCounts()
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._pooled = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=UPSTREAM_IDLE_SECONDS))
        # What may not be sent twice never rides a kept connection, which the upstream may be closing as we write.
        self._single = _session(aiohttp.TCPConnector(limit=0, force_close=True))

    def begin(self) -> None:
        self.in_flight += 1
        self.idle.clear()

    def finish(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self.idle.set()

    def count(self, status: int) -> None:
        answers, errors = self.tally
        self.tally = AnswerCounts(answers + 1, errors + (status >= HTTPStatus.INTERNAL_SERVER_ERROR))

    def url(self, request: web.BaseRequest) -> URL:
        return URL(f"http://{LOOPBACK}:{self.port}{request.rel_url.raw_path_qs}", encoded=True)

    def send(self, request: web.BaseRequest, body: Body) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        repeatable = request.method in IDEMPOTENT and is_whole(body)
        return (self._pooled if repeatable else self._single).request(
            request.method, self.url(request), headers=_headers_for_upstream(request), data=body, allow_redirects=False,
            timeout=_timeout(self.limits.response_seconds),
        )  # fmt: skip

    def join(self, request: web.BaseRequest) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        return self._single.ws_connect(
            self.url(request),
            headers=_headers_for_upstream(request),
            protocols=_offered_protocols(request),
            autoping=False,
            max_msg_size=0,
        )

    async def close(self) -> None:
        await self._pooled.close()
        await self._single.close()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """A client that adds nothing of its own: no cookies, no headers, no decompression, no total timeout."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_timeout(None),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
    )


def _timeout(read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=read)


def is_whole(body: Body) -> bool:
    return body is None or isinstance(body, bytes)


def _headers_for_upstream(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = end_to_end(request.headers)
    for name in (hdrs.EXPECT, PROBE, *(name for name in headers if name.lower().startswith("sec-websocket-"))):
        headers.popall(name, None)
    hops = [*headers.popall(hdrs.X_FORWARDED_FOR, []), request.remote or "unknown"]
    headers[hdrs.X_FORWARDED_FOR] = ", ".join(hops)
    headers.setdefault(hdrs.X_FORWARDED_PROTO, request.scheme)
    if hdrs.HOST in headers:
        headers.setdefault(hdrs.X_FORWARDED_HOST, headers[hdrs.HOST])
    return headers


def end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that are about the message, without those about one connection."""
    named = [name.strip() for value in headers.getall(hdrs.CONNECTION, []) for name in value.split(",")]
    kept = CIMultiDict(headers)
    for name in (*_HOP_BY_HOP, *named):
        kept.popall(name, None)
    return kept


def _offered_protocols(request: web.BaseRequest) -> tuple[str, ...]:
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    return tuple(name.strip() for name in offered.split(",") if name.strip())
