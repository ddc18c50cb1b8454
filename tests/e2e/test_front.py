"""The front's promises, kept against real servers on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
from aiohttp import web

from console.local.process.front import Front
from console.local.process.upstream import Limits

SECONDS = 10.0  # after which something that should have happened has not


class Upstream(ThreadingHTTPServer):
    """A server on a free port; ``answer`` is called with each request's handler."""

    daemon_threads = True

    def __init__(self, name: str, answer: Callable[[Exchange], None] | None = None) -> None:
        self.seen: list[str] = []
        self.open = 0
        self.all_closed = threading.Event()
        self.name = name
        self.answer = answer or (lambda exchange: exchange.reply(name.encode()))
        super().__init__(("127.0.0.1", 0), Exchange)

    @property
    def port(self) -> int:
        return self.server_address[1]


class Exchange(BaseHTTPRequestHandler):
    """One request at an upstream."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def setup(self) -> None:
        super().setup()
        self.server.open += 1
        self.server.all_closed.clear()

    def finish(self) -> None:
        super().finish()
        self.server.open -= 1
        if not self.server.open:
            self.server.all_closed.set()

    def any_method(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.answer(self)

    do_GET = do_POST = do_PUT = do_HEAD = any_method  # noqa: N815

    def body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def reply(self, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    front.start()
    yield front
    front.close()


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    with contextlib.ExitStack() as stack:

        def serve(name: str, answer: Callable[[Exchange], None] | None = None) -> Upstream:
            server = Upstream(name, answer)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield serve


def ask(front: Front, path: str = "/", method: str = "GET", **request: object) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, **request)
        answer = connection.getresponse()
        return answer.status, answer.read()


def in_thread(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    return thread, results


def test_a_front_with_nothing_behind_it_says_that_nothing_is_live(front: Front) -> None:
    """Before the first release, a request is answered with a sentence and not refused."""
    status, body = ask(front)
    assert (status, front.target) == (503, None)
    assert b"nothing is live yet" in body


def test_a_taken_port_is_named_in_the_error(front: Front) -> None:
    """A second front on the same port says which port it could not have."""
    with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{front.port}.*choose another port"):
        Front(port=front.port).start()


def test_a_request_begun_before_a_swap_ends_on_the_old_and_later_ones_go_to_the_new(
    front: Front, upstream: Callable[..., Upstream]
) -> None:
    """A swap moves no request that has begun, and every one that begins after it."""
    begun, finish = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        begun.set()
        finish.wait(SECONDS)
        exchange.reply(b"old")

    old, new = upstream("old", slow), upstream("new")
    front.turn_to(old.port)
    thread, results = in_thread(lambda: ask(front))
    begun.wait(SECONDS)
    front.turn_to(new.port)

    assert ask(front) == (200, b"new")
    assert (front.in_flight(old.port), front.target) == (1, new.port)
    assert not front.drained(old.port, 0.01)
    finish.set()
    thread.join()
    assert results == [(200, b"old")]
    assert front.drained(old.port, SECONDS)
    assert front.in_flight(old.port) == 0


def test_a_clients_connection_outlives_the_swap(front: Front, upstream: Callable[..., Upstream]) -> None:
    """One keep-alive connection is answered by the old release, then by the new."""
    old, new = upstream("old"), upstream("new")
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    with contextlib.closing(connection):
        bodies, sockets = [], []
        for port in (old.port, new.port):
            front.turn_to(port)
            connection.request("GET", "/")
            bodies.append(connection.getresponse().read())
            sockets.append(connection.sock)
    assert bodies == [b"old", b"new"]
    assert sockets[0] is sockets[1] is not None


def test_the_pool_of_an_old_upstream_is_closed_once_it_has_drained(
    front: Front, upstream: Callable[..., Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that is no longer the target is left with no open connection, however long one may idle."""
    monkeypatch.setattr("console.local.process.upstream.UPSTREAM_IDLE_SECONDS", 600)
    old, new = upstream("old"), upstream("new")
    front.turn_to(old.port)
    ask(front)
    assert old.open == 1
    front.turn_to(new.port)
    assert old.all_closed.wait(SECONDS)
    assert ask(front) == (200, b"new")


def test_requests_and_answers_pass_unchanged(front: Front, upstream: Callable[..., Upstream]) -> None:
    """Path, query, headers and bodies arrive as they were sent; only X-Forwarded-* is added."""
    packed = gzip.compress(b"an answer")

    def echo(exchange: Exchange) -> None:
        told = json.dumps([exchange.path, exchange.headers.items(), exchange.body().decode()]).encode()
        seen.append(told)  # before the reply: the client reads it as soon as it has its answer
        exchange.reply(packed, ("Content-Encoding", "gzip"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))

    seen: list[bytes] = []
    front.turn_to(upstream("echo", echo).port)
    sent = {
        "X-Forwarded-For": "192.0.2.1",
        "Connection": "X-Mine",
        "X-Mine": "1",
        "X-Yours": "ç".encode().decode("latin1"),
    }
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", "/a%2Fb/%C3%A7?q=a+b%20c&q=", body=b'{"age": 63}', headers=sent)
        answer = connection.getresponse()
        body = answer.read()

    path, headers, received = json.loads(seen[0])
    kept = {name.lower(): value for name, value in headers}
    assert (path, received) == ("/a%2Fb/%C3%A7?q=a+b%20c&q=", '{"age": 63}')
    assert kept["x-forwarded-for"] == "192.0.2.1, 127.0.0.1"
    assert kept["host"] == f"127.0.0.1:{front.port}"
    assert kept["x-yours"] == "Ã§"
    assert not kept.keys() & {"x-mine", "user-agent", "accept"}
    assert (body, answer.headers.get_all("Set-Cookie")) == (packed, ["a=1", "b=2"])


def test_large_and_unmeasured_bodies_stream_through(front: Front, upstream: Callable[..., Upstream]) -> None:
    """A body of three megabytes arrives whole, with a length or in chunks."""
    front.turn_to(upstream("length", lambda exchange: exchange.reply(str(len(exchange.body())).encode())).port)
    size = 3_000_000
    assert ask(front, method="POST", body=b"x" * size) == (200, b"3000000")
    pieces = (b"x" * (size // 10) for _ in range(10))
    assert ask(front, method="POST", body=pieces, encode_chunked=True) == (200, b"3000000")


def test_an_answer_arrives_piece_by_piece(front: Front, upstream: Callable[..., Upstream]) -> None:
    """The first piece of a streamed answer is with the client before the upstream has written the second."""
    read_first = threading.Event()

    def stream(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Transfer-Encoding", "chunked")
        exchange.end_headers()
        exchange.wfile.write(b"5\r\nfirst\r\n")
        second = b"read" if read_first.wait(SECONDS) else b"late"
        exchange.wfile.write(b"4\r\n" + second + b"\r\n0\r\n\r\n")

    front.turn_to(upstream("stream", stream).port)
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=2 * SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        first = answer.read(5)
        read_first.set()
        assert (first, answer.read()) == (b"first", b"read")


def test_an_upstream_that_vanished_is_tried_again_where_the_front_points_by_then(
    front: Front, upstream: Callable[..., Upstream]
) -> None:
    """A GET whose upstream drops it unanswered during a swap is answered by the new one."""
    new = upstream("new")

    def vanish(exchange: Exchange) -> None:
        front.turn_to(new.port)
        exchange.close_connection = True

    old = upstream("old", vanish)
    front.turn_to(old.port)
    assert ask(front, "/x") == (200, b"new")
    assert (old.seen[-1], new.seen) == ("GET /x", ["GET /x"])


def test_what_may_not_be_done_twice_is_not_sent_twice(front: Front, upstream: Callable[..., Upstream]) -> None:
    """A POST dropped unanswered is a 502 with a sentence; nobody sees it a second time."""
    new = upstream("new")

    def vanish(exchange: Exchange) -> None:
        exchange.body()
        front.turn_to(new.port)
        exchange.close_connection = True

    old = upstream("old", vanish)
    front.turn_to(old.port)
    status, body = ask(front, "/invocations", "POST", body=b"{}")
    assert status == 502
    assert b"did not answer POST /invocations" in body
    assert (old.seen, new.seen) == (["POST /invocations"], [])


def test_a_dead_upstream_is_a_bad_gateway_with_a_sentence(front: Front) -> None:
    """Where nobody listens, the client learns which request was not answered and what to type."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        front.turn_to(taken.getsockname()[1])
        for method in ("GET", "POST"):
            status, body = ask(front, "/ping", method)
            assert status == 502
            assert f"did not answer {method} /ping".encode() in body
            assert b"esteira status" in body


def test_an_answer_cut_short_reaches_the_client_as_cut_short(front: Front, upstream: Callable[..., Upstream]) -> None:
    """When the upstream dies in mid-answer the client is not told that the answer is whole."""

    def cut(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Transfer-Encoding", "chunked")
        exchange.end_headers()
        exchange.wfile.write(b"4\r\nhalf\r\n")
        exchange.close_connection = True

    front.turn_to(upstream("cut", cut).port)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(front)


def test_a_client_that_goes_away_takes_its_request_with_it(front: Front, upstream: Callable[..., Upstream]) -> None:
    """An abandoned request does not hold up the drain."""
    begun, finish = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        begun.set()
        finish.wait(SECONDS)
        with contextlib.suppress(OSError):
            exchange.reply(b"")

    old = upstream("old", slow)
    front.turn_to(old.port)
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    connection.request("GET", "/")
    begun.wait(SECONDS)
    connection.close()
    assert front.drained(old.port, SECONDS)
    finish.set()


def test_head_and_http_1_0_and_expect_are_spoken(front: Front, upstream: Callable[..., Upstream]) -> None:
    """HEAD keeps its length, an HTTP/1.0 client gets a closed connection, Expect gets its 100."""
    front.turn_to(
        upstream("old", lambda exchange: exchange.reply(exchange.headers.get("Expect", "none").encode())).port
    )
    assert ask(front, method="HEAD") == (200, b"")
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", front.port), SECONDS) as client:
        client.sendall(head)
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"{}")
        assert _all(client).endswith(b"\r\n\r\nnone")
    with socket.create_connection(("127.0.0.1", front.port), SECONDS) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert _all(client).endswith(b"\r\n\r\nnone")


def test_asking_through_the_front_tells_which_upstream_answered(
    front: Front, upstream: Callable[..., Upstream]
) -> None:
    """Front.ask names the upstream port, its mark never reaches the upstream, and clients cannot forge one."""
    marks: list[str | None] = []

    def note(exchange: Exchange) -> None:
        marks.append(exchange.headers.get("X-Esteira-Probe"))
        exchange.reply(b"")

    old, new = upstream("old", note), upstream("new", note)
    for server in (old, new):
        front.turn_to(server.port)
        answer = front.ask("/ping", SECONDS)
        assert (answer.status, answer.upstream) == (200, server.port)
    ask(front, headers={"X-Esteira-Probe": "forged"})
    assert marks == [None, None, None]
    front.turn_to(None)
    assert front.ask("/ping", SECONDS).upstream is None


async def _echo(request: web.Request) -> web.StreamResponse:
    if request.path == "/no":
        return web.Response(status=403)
    socket_ = web.WebSocketResponse(protocols=("shiny",), max_msg_size=0)
    await socket_.prepare(request)
    async for message in socket_:
        if message.data == "die":
            request.transport.abort()
        elif message.data == "bye":
            await socket_.close(code=4001)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await socket_.send_str(f"{request.headers['X-Forwarded-For']} {message.data}")
        else:
            await socket_.send_bytes(message.data)
    return socket_


def test_websockets_are_joined_to_the_release_they_began_on(front: Front, upstream: Callable[..., Upstream]) -> None:
    """A WebSocket stays on the old upstream over a swap, both ways, until either side closes; codes pass through."""
    new = upstream("new")

    async def story() -> dict[str, object]:
        app = web.Application()
        app.router.add_get("/{path:.*}", _echo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told: dict[str, object] = {}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{front.port}") as session:
            rollout = lambda port: asyncio.get_running_loop().run_in_executor(None, front.turn_to, port)  # noqa: E731
            await rollout(site.port)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect("/no")
            told["refused"] = refused.value.status
            sockets = [await session.ws_connect("/ws", protocols=("x", "shiny"), max_msg_size=0) for _ in range(3)]
            told["protocol"] = sockets[0].protocol
            await rollout(new.port)
            told["in flight"] = front.in_flight(site.port)
            await sockets[0].send_str("hello")
            told["text"] = await sockets[0].receive_str()
            await sockets[0].send_bytes(b"\x00" * 5_000_000)
            told["bytes"] = len(await sockets[0].receive_bytes())
            await sockets[0].send_str("bye")
            await sockets[0].receive()
            await sockets[1].send_str("die")
            await sockets[1].receive()
            await sockets[2].close(code=1000)
            told["codes"] = [each.close_code for each in sockets]
            told["drained"] = await asyncio.to_thread(front.drained, site.port, SECONDS)
        await runner.cleanup()
        return told

    assert asyncio.run(story()) == {
        "refused": 403,
        "protocol": "shiny",
        "in flight": 3,
        "text": "127.0.0.1 hello",
        "bytes": 5_000_000,
        "codes": [4001, 1012, 1000],
        "drained": True,
    }


def _all(client: socket.socket) -> bytes:
    whole = b""
    while piece := client.recv(65536):
        whole += piece
    return whole


@pytest.mark.parametrize("measured", [True, False], ids=["a known length", "chunked"])
def test_a_request_that_is_too_large_is_refused_with_a_sentence(
    front: Front, upstream: Callable[..., Upstream], measured: bool
) -> None:
    """The limit holds for what says its length and for what does not, and a smaller request passes."""
    behind = upstream("one", lambda exchange: exchange.reply(str(len(exchange.body())).encode()))
    front.turn_to(behind.port, Limits(body_mb=3))

    def post(mebibytes: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
        with contextlib.closing(connection):
            pieces = [b"x" * 1024 * 1024] * mebibytes
            connection.request("POST", "/", b"".join(pieces) if measured else iter(pieces), encode_chunked=not measured)
            answer = connection.getresponse()
            return answer.status, answer.read()

    assert post(3) == (200, str(3 * 1024 * 1024).encode())
    assert post(4) == (413, b"the request is larger than 3 MB, which is max_body_mb of this service\n")


def test_an_answer_that_takes_too_long_is_a_gateway_timeout_with_a_sentence(
    front: Front, upstream: Callable[..., Upstream]
) -> None:
    """It is not asked a second time."""
    over = threading.Event()
    behind = upstream("one", lambda exchange: over.wait(SECONDS) and None)
    front.turn_to(behind.port, Limits(response_seconds=0.3))
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/slow")
        answer = connection.getresponse()
        said = answer.read().decode()
    over.set()
    assert (answer.status, behind.seen) == (504, ["GET /slow"])
    assert "did not answer GET /slow within 0.3 s, which is response_seconds of this service" in said
