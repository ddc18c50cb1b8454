"""The HTTP front of the local host: it owns the public listening socket for its whole life.

Because the socket never closes while releases come and go, no connection is ever refused. The front knows HTTP, so a
client's keep-alive connection outlives a swap: every request is sent to whatever release is live when the request
begins, and stays there to its end. It is the laptop's nginx, on aiohttp, in a thread with a loop of its own. It
decides nothing: ``host.py`` says where it turns, and asks it what is still in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
# A body up to this size is read whole before it is sent on, so that it can be sent again; a larger one streams.
RESENDABLE_BYTES = 1024 * 1024
# Below uvicorn's and gunicorn's own keep-alive limits, so that it is the front that drops an idle connection first.
UPSTREAM_IDLE_SECONDS = 1.5
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
PROBE = istr("X-Esteira-Probe")
NOTHING_LIVE = "nothing is live yet: push a release, and see where it stands with: esteira status\n"

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
# RFC 9110, 9.2.2: only these may be sent a second time by a proxy that cannot know what came of the first.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_UNSENDABLE_CLOSE_CODES = frozenset({1004, 1005, 1006, 1015})

_T = TypeVar("_T")
_Body = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True)
class FrontAnswer:
    """What the public port answered to ``Front.ask``. ``upstream`` is the port that really answered, or None."""

    status: int
    upstream: int | None


class Front:
    """The public port. Every method is safe from any thread but the front's own.

    ``port`` 0 takes a free one. Ports of upstreams are ports on 127.0.0.1.
    """

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        self._host = host
        self._port = port
        self._target: _Upstream | None = None
        self._upstreams: dict[int, _Upstream] = {}
        self._probes: dict[str, int | None] = {}
        self._closings: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The public port; the real one once ``start`` has returned."""
        return self._port

    @property
    def target(self) -> int | None:
        """The upstream port new requests go to, or None while nothing is live."""
        target = self._target
        return None if target is None else target.port

    def start(self) -> None:
        """Listen and serve; connections are accepted from here on. Raises OSError with a sentence if it cannot."""
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, started)), name=f"front-{self._port}", daemon=True
        )
        self._thread.start()
        started.result()

    def close(self) -> None:
        """Stop listening, give requests in flight two seconds, end. Closing twice is closing once."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._end.set)
        thread.join()

    def turn_to(self, upstream: int | None) -> None:
        """Send every request that begins from now on to ``upstream``; what began before stays where it is."""
        self._call(lambda: self._turn(upstream))

    def in_flight(self, upstream: int) -> int:
        """Requests and WebSockets that are on ``upstream`` at this moment."""
        return self._call(lambda: self._upstreams[upstream].in_flight if upstream in self._upstreams else 0)

    def drained(self, upstream: int, deadline_seconds: float) -> bool:
        """Wait until nothing is in flight on ``upstream``, at most the deadline. False if something still is."""
        return asyncio.run_coroutine_threadsafe(self._drained(upstream, deadline_seconds), self._running()).result()

    def ask(self, path: str, seconds: float) -> FrontAnswer:
        """GET ``path`` through the public port, as a client would, and learn which upstream answered.

        Raises OSError if no HTTP answer came within ``seconds``.
        """
        ticket = secrets.token_hex(16)
        self._probes[ticket] = None
        try:
            status = get_status(self.port, path, seconds, {PROBE: ticket})
        finally:
            upstream = self._probes.pop(ticket)
        return FrontAnswer(status, upstream)

    # The rest runs on the front's own loop.

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            raise RuntimeError("the front is not running: call start() first")
        return self._loop

    def _call(self, act: Callable[[], _T]) -> _T:
        async def once() -> _T:
            return act()

        return asyncio.run_coroutine_threadsafe(once(), self._running()).result()

    async def _serve(self, listener: socket.socket, started: Future[None]) -> None:
        # handler_cancellation: a client that went away takes its request off the upstream, as with nginx.
        server = web.Server(self._handle, handler_cancellation=True, auto_decompress=False, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        except BaseException as error:
            started.set_exception(error)
            raise
        self._loop = asyncio.get_running_loop()
        started.set_result(None)
        await self._end.wait()
        await runner.cleanup()
        for upstream in self._upstreams.values():
            await upstream.close()

    def _turn(self, upstream: int | None) -> None:
        before = self._target
        self._target = None if upstream is None else self._upstream(upstream)
        if before is not None:
            self._forget_if_idle(before)

    def _upstream(self, port: int) -> _Upstream:
        if port not in self._upstreams:
            self._upstreams[port] = _Upstream(port)
        return self._upstreams[port]

    def _forget_if_idle(self, upstream: _Upstream) -> None:
        """Close the pool of an upstream which is no longer the target and has finished its last request."""
        if upstream is self._target or upstream.in_flight or self._upstreams.get(upstream.port) is not upstream:
            return
        del self._upstreams[upstream.port]
        closing = asyncio.get_running_loop().create_task(upstream.close())
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)

    async def _drained(self, port: int, deadline_seconds: float) -> bool:
        upstream = self._upstreams.get(port)
        if upstream is None:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(upstream.idle.wait(), deadline_seconds)
        return upstream.in_flight == 0

    @contextlib.contextmanager
    def _carrying(self, upstream: _Upstream) -> Iterator[None]:
        upstream.begin()
        try:
            yield
        finally:
            upstream.finish()
            self._forget_if_idle(upstream)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = self._target
        if target is None:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, NOTHING_LIVE)
        with self._carrying(target):
            # Held while the body comes in: a request has begun when its head is here.
            body = await _body_of(request)
            try:
                return await self._pass(request, target, body)
            except _NotAnsweredError as error:
                if not error.may_send_again:
                    return _bad_gateway(request, error)
        return await self._second_try(request, body)

    async def _second_try(self, request: web.BaseRequest, body: _Body) -> web.StreamResponse:
        """Once more, to whatever is live by now: the upstream may have ended between the swap and the request."""
        target = self._target
        if target is None:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, NOTHING_LIVE)
        with self._carrying(target):
            try:
                return await self._pass(request, target, body)
            except _NotAnsweredError as error:
                return _bad_gateway(request, error)

    async def _pass(self, request: web.BaseRequest, upstream: _Upstream, body: _Body) -> web.StreamResponse:
        """Send the request to the upstream and its answer to the client. Raises _NotAnsweredError before any of it."""
        ticket = request.headers.get(PROBE, "")
        try:
            if _asks_for_websocket(request):
                return await _relay(request, upstream)
            async with upstream.send(request, body) as answer:
                if ticket in self._probes:
                    self._probes[ticket] = upstream.port
                return await _stream(request, answer)
        except (aiohttp.ClientError, OSError) as error:
            raise _NotAnsweredError(upstream.port, error, _may_send_again(request, body, error)) from error


class _NotAnsweredError(Exception):
    """The upstream's connection failed before any byte of the answer."""

    def __init__(self, port: int, cause: Exception, may_send_again: bool) -> None:
        super().__init__(f"{type(cause).__name__} on {LOOPBACK}:{port}: {cause}")
        self.may_send_again = may_send_again


class _Upstream:
    """One release's port: its connections, and what is on them. Lives on the front's loop."""

    def __init__(self, port: int) -> None:
        self.port = port
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

    def url(self, request: web.BaseRequest) -> URL:
        return URL(f"http://{LOOPBACK}:{self.port}{request.rel_url.raw_path_qs}", encoded=True)

    def send(self, request: web.BaseRequest, body: _Body) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        repeatable = request.method in _IDEMPOTENT and _is_whole(body)
        return (self._pooled if repeatable else self._single).request(
            request.method, self.url(request), headers=_headers_for_upstream(request), data=body, allow_redirects=False
        )

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


def get_status(port: int, path: str, seconds: float, headers: dict[str, str] | None = None) -> int:
    """GET http://127.0.0.1:``port````path``: the status. Raises OSError if no HTTP answer came within ``seconds``."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"what answered does not speak HTTP ({type(error).__name__}: {error})") from error
    else:
        return answer.status
    finally:
        connection.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}. End the program there, or choose another port"
        raise OSError(error.errno, message) from error


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """A client that adds nothing of its own: no cookies, no headers, no decompression, no total timeout."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
    )


async def _body_of(request: web.BaseRequest) -> _Body:
    """None, the whole body if it is small and of known length, or the body as it comes."""
    if not request.can_read_body:
        return None
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        # The client waits for this before it sends anything; the upstream is not asked.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.content_length is not None and request.content_length <= RESENDABLE_BYTES:
        return await request.content.read()
    return request.content.iter_any()


def _is_whole(body: _Body) -> bool:
    return body is None or isinstance(body, bytes)


def _may_send_again(request: web.BaseRequest, body: _Body, error: Exception) -> bool:
    """Only a whole body can be sent again, and only if it was never sent or twice does what once does."""
    never_sent = isinstance(error, aiohttp.ClientConnectorError)
    return _is_whole(body) and (never_sent or request.method in _IDEMPOTENT)


def _headers_for_upstream(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    for name in (hdrs.EXPECT, PROBE, *(name for name in headers if name.lower().startswith("sec-websocket-"))):
        headers.popall(name, None)
    hops = [*headers.popall(hdrs.X_FORWARDED_FOR, []), request.remote or "unknown"]
    headers[hdrs.X_FORWARDED_FOR] = ", ".join(hops)
    headers.setdefault(hdrs.X_FORWARDED_PROTO, request.scheme)
    if hdrs.HOST in headers:
        headers.setdefault(hdrs.X_FORWARDED_HOST, headers[hdrs.HOST])
    return headers


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that are about the message, without those about one connection."""
    named = [name.strip() for value in headers.getall(hdrs.CONNECTION, []) for name in value.split(",")]
    kept = CIMultiDict(headers)
    for name in (*_HOP_BY_HOP, *named):
        kept.popall(name, None)
    return kept


async def _stream(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """The upstream's answer to the client, piece by piece as it comes."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, OSError):
        # The head is out: the one honest sign left that the body is not whole is to cut the connection.
        if request.transport is not None:
            request.transport.abort()
    return response


def _sentence(status: HTTPStatus, text: str) -> web.Response:
    headers = {hdrs.RETRY_AFTER: "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return web.Response(status=status, text=text, headers=headers)


def _bad_gateway(request: web.BaseRequest, error: _NotAnsweredError) -> web.Response:
    asked = f"{request.method} {request.path}"
    text = f"the live release did not answer {asked} ({error}): see what became of it with: esteira status\n"
    return _sentence(HTTPStatus.BAD_GATEWAY, text)


def _asks_for_websocket(request: web.BaseRequest) -> bool:
    tokens = {token.strip().lower() for token in request.headers.get(hdrs.CONNECTION, "").split(",")}
    return "upgrade" in tokens and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def _offered_protocols(request: web.BaseRequest) -> tuple[str, ...]:
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    return tuple(name.strip() for name in offered.split(",") if name.strip())


async def _relay(request: web.BaseRequest, upstream: _Upstream) -> web.StreamResponse:
    """Join the client's WebSocket to one on the upstream until either closes."""
    try:
        async with upstream.join(request) as far:
            near = web.WebSocketResponse(
                protocols=(far.protocol,) if far.protocol else (), autoping=False, max_msg_size=0, timeout=CLOSE_SECONDS
            )
            await near.prepare(request)
            await _join(near, far)
            return near
    except aiohttp.WSServerHandshakeError as refused:
        return web.Response(status=refused.status, text=f"the live release refused the WebSocket: {refused.message}\n")


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _join(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    """Pump both ways; when one side closes, close the other with the same code."""
    inward = asyncio.create_task(_pump(near, far))
    outward = asyncio.create_task(_pump(far, near))
    try:
        await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in (inward, outward):
            pump.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
    # A side that vanished without a word left no code to pass on; then each side is told what that means to it.
    code = far.close_code or near.close_code or aiohttp.WSCloseCode.OK
    vanished = code in _UNSENDABLE_CLOSE_CODES
    for side, instead in ((near, aiohttp.WSCloseCode.SERVICE_RESTART), (far, aiohttp.WSCloseCode.GOING_AWAY)):
        with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
            await side.close(code=instead if vanished else code)


async def _pump(source: _Socket, sink: _Socket) -> None:
    """Carry every message of ``source`` to ``sink``, control frames too, until ``source`` closes."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async for message in source:
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case aiohttp.WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case aiohttp.WSMsgType.PING:
                    await sink.ping(message.data)
                case aiohttp.WSMsgType.PONG:
                    await sink.pong(message.data)
                case _:
                    return
