"""The HTTP front of the local host: it owns the public listening socket for its whole life.

Because the socket never closes while releases come and go, no connection is ever refused. The front knows HTTP, so a
client's keep-alive connection outlives a swap: every request is sent to whatever release is live when the request
begins, and stays there to its end. It is the laptop's nginx, on aiohttp, in a thread with a loop of its own. It
decides nothing: ``host.py`` says where it turns, and asks it what is still in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from aiohttp import hdrs, web

from console.local.ports import LOOPBACK, get_status
from console.local.process.upstream import IDEMPOTENT, PROBE, AnswerCounts, Body, Limits, Upstream, end_to_end, is_whole
from console.local.process.websocket_relay import CLOSE_SECONDS, asks_for_websocket, relay

BACKLOG = 1024
# A body up to this size is read whole before it is sent on, so that it can be sent again; a larger one streams.
RESENDABLE_BYTES = 1024 * 1024
NO_LIMITS = Limits()
NOTHING_LIVE = "nothing is live yet: push a release, and see where it stands with: esteira status\n"

_T = TypeVar("_T")


@dataclass(frozen=True)
class FrontAnswer:
    """What the public port answered to ``Front.ask``. ``upstream`` is the port that really answered, or None."""

    status: int
    upstream: int | None


class Front:
    """The public port. Every method is safe from any thread but the front's own.

    ``port`` 0 takes a free one. Ports of upstreams are ports on 127.0.0.1. ``answered`` hears of each request the
    upstream it came for, its status and the seconds it took.
    """

    listener: socket.socket
    _site: web.SockSite
    _server: web.Server

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        self._host = host
        self._port = port
        self.answered: Callable[[int, int, float], None] = lambda _port, _status, _seconds: None
        self._target: Upstream | None = None
        self._upstreams: dict[int, Upstream] = {}
        self._probes: dict[str, int | None] = {}
        self._leaving = False
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

    def take_over(self, other: Front) -> None:
        """Listen where another front does, which listens no more; what it accepted before stays with it.

        Both have the one socket for a moment, so no connection is refused and none is lost in its queue.
        """
        listener = other.listener.dup()
        asyncio.run_coroutine_threadsafe(self._listen_at(listener), self._running()).result()
        asyncio.run_coroutine_threadsafe(other.listen_no_more(), other._running()).result()
        self._port = other.port

    def emptied(self, seconds: float) -> bool:
        """Wait until no client is connected, at most so long; after ``take_over`` each answer asks for that."""
        end = time.monotonic() + seconds
        while self._call(lambda: self._server.connections) and time.monotonic() < end:
            time.sleep(0.05)
        return not self._call(lambda: self._server.connections)

    def turn_to(self, upstream: int | None, limits: Limits = NO_LIMITS) -> None:
        """Send every request that begins from now on to ``upstream``; what began before stays where it is.

        ``limits`` are those of an upstream that is not known yet.
        """
        self._call(lambda: self._turn(upstream, limits))

    def tally(self, upstream: int | None) -> AnswerCounts:
        """What ``upstream`` has answered since it was turned to; nothing once it has been left."""
        return self._call(lambda: self._upstreams[upstream].tally if upstream in self._upstreams else AnswerCounts())

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

    async def _listen_at(self, listener: socket.socket) -> None:
        await self._site.stop()
        self.listener = listener
        self._site = web.SockSite(self._runner, listener, backlog=BACKLOG)
        await self._site.start()

    async def listen_no_more(self) -> None:
        """Accept nothing new, and keep no connection after its next answer; on the front's own loop."""
        self._leaving = True
        await self._site.stop()

    async def _serve(self, listener: socket.socket, started: Future[None]) -> None:
        # handler_cancellation: a client that went away takes its request off the upstream, as with nginx.
        self._server = server = web.Server(
            self._heard, handler_cancellation=True, auto_decompress=False, access_log=None
        )
        self._runner = runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        try:
            await runner.setup()
            self.listener, self._site = listener, web.SockSite(runner, listener, backlog=BACKLOG)
            await self._site.start()
        except BaseException as error:
            started.set_exception(error)
            raise
        self._loop = asyncio.get_running_loop()
        started.set_result(None)
        await self._end.wait()
        await runner.cleanup()
        for upstream in self._upstreams.values():
            await upstream.close()

    def _turn(self, upstream: int | None, limits: Limits) -> None:
        before = self._target
        self._target = None if upstream is None else self._upstream(upstream, limits)
        if before is not None:
            self._forget_if_idle(before)

    def _upstream(self, port: int, limits: Limits) -> Upstream:
        if port not in self._upstreams:
            self._upstreams[port] = Upstream(port, limits)
        return self._upstreams[port]

    def _forget_if_idle(self, upstream: Upstream) -> None:
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
    def _carrying(self, upstream: Upstream) -> Iterator[None]:
        upstream.begin()
        try:
            yield
        finally:
            upstream.finish()
            self._forget_if_idle(upstream)

    async def _heard(self, request: web.BaseRequest) -> web.StreamResponse:
        begun, target = time.monotonic(), self._target
        response = await self._handle(request)
        if target is not None:
            self.answered(target.port, response.status, time.monotonic() - begun)
        return response

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = self._target
        if target is None:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, NOTHING_LIVE)
        with self._carrying(target):
            if target.limits.refuse(request.content_length or 0):
                return _sentence(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, target.limits.too_large)
            # Held while the body comes in: a request has begun when its head is here.
            body = await _body_of(request, target.limits)
            try:
                return await self._pass(request, target, body)
            except _NotAnsweredError as error:
                if not error.may_send_again:
                    return _bad_gateway(request, target, error)
        return await self._second_try(request, body)

    async def _second_try(self, request: web.BaseRequest, body: Body) -> web.StreamResponse:
        """Once more, to whatever is live by now: the upstream may have ended between the swap and the request."""
        target = self._target
        if target is None:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, NOTHING_LIVE)
        with self._carrying(target):
            try:
                return await self._pass(request, target, body)
            except _NotAnsweredError as error:
                return _bad_gateway(request, target, error)

    async def _pass(self, request: web.BaseRequest, upstream: Upstream, body: Body) -> web.StreamResponse:
        """Send the request to the upstream and its answer to the client. Raises _NotAnsweredError before any of it."""
        ticket = request.headers.get(PROBE, "")
        try:
            if asks_for_websocket(request):
                return await relay(request, upstream)
            async with upstream.send(request, body) as answer:
                if ticket in self._probes:
                    self._probes[ticket] = upstream.port
                else:
                    upstream.count(answer.status)
                return await _stream(request, answer, last=self._leaving)
        except (aiohttp.ClientError, OSError) as error:
            raise _NotAnsweredError(upstream.port, error, _may_send_again(request, body, error)) from error


class _NotAnsweredError(Exception):
    """The upstream's connection failed before any byte of the answer."""

    def __init__(self, port: int, cause: Exception, may_send_again: bool) -> None:
        super().__init__(f"{type(cause).__name__} on {LOOPBACK}:{port}: {cause}")
        self.may_send_again = may_send_again
        self.too_large = isinstance(cause.__cause__, _TooLargeError)
        self.took_too_long = isinstance(cause, aiohttp.SocketTimeoutError)


class _TooLargeError(Exception):
    """A body of unknown length turned out to be larger than the release takes."""


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}. End the program there, or choose another port"
        raise OSError(error.errno, message) from error


async def _body_of(request: web.BaseRequest, limits: Limits) -> Body:
    """None, the whole body if it is small and of known length, or the body as it comes."""
    if not request.can_read_body:
        return None
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        # The client waits for this before it sends anything; the upstream is not asked.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.content_length is not None and request.content_length <= RESENDABLE_BYTES:
        return await request.content.read()
    return _limited(request.content.iter_any(), limits)


async def _limited(pieces: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if limits.refuse(size):
            raise _TooLargeError
        yield piece


def _may_send_again(request: web.BaseRequest, body: Body, error: Exception) -> bool:
    """Only a whole body can be sent again, and only if it was never sent or twice does what once does."""
    if isinstance(error, aiohttp.SocketTimeoutError):  # it is being worked on
        return False
    never_sent = isinstance(error, aiohttp.ClientConnectorError)
    return is_whole(body) and (never_sent or request.method in IDEMPOTENT)


async def _stream(request: web.BaseRequest, answer: aiohttp.ClientResponse, *, last: bool) -> web.StreamResponse:
    """The upstream's answer to the client, piece by piece as it comes."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=end_to_end(answer.headers))
    if last:
        response.force_close()
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


def _bad_gateway(request: web.BaseRequest, upstream: Upstream, error: _NotAnsweredError) -> web.Response:
    if error.too_large:
        return _sentence(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, upstream.limits.too_large)
    asked, seconds = f"{request.method} {request.path}", upstream.limits.response_seconds
    status = HTTPStatus.GATEWAY_TIMEOUT if error.took_too_long else HTTPStatus.BAD_GATEWAY
    upstream.count(status)
    within = f" within {seconds:g} s, which is response_seconds of this service" if error.took_too_long else ""
    text = f"the live release did not answer {asked}{within} ({error}): see what became of it with: esteira status\n"
    return _sentence(status, text)
