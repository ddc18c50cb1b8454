from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import ORIGIN

from serving import server as module
from serving.app import create_app
from serving.model import Model
from serving.server import Server

PING = b"GET /ping HTTP/1.1\r\nhost: heart\r\n\r\n"
LAST = b"GET /ping HTTP/1.1\r\nhost: heart\r\nconnection: close\r\n\r\n"

pytestmark = pytest.mark.thorough

Impatient = Callable[[], None]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Impatient:
    """A function that shortens the time limits of the service."""

    def shorten() -> None:
        monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
        monkeypatch.setattr(module, "TAKE_SECONDS", 0.2)

    return shorten


@pytest.fixture
def address(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The address of a running service."""
    monkeypatch.setattr(module, "FIRST_WORD_SECONDS", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    where = listener.getsockname()
    server = Server(create_app(model, ORIGIN), listener, "v17", 5, own=True, say=lambda _: None)
    thread = threading.Thread(target=server.serve_until_told)
    thread.start()
    yield where
    server.should_exit = True
    thread.join()


def whole(connection: socket.socket) -> str:
    text = b""
    while chunk := connection.recv(65536):
        text += chunk
    return text.decode("latin-1")


def refused(text: str, status: int) -> str:
    head, _, body = text.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "x-model-version: v17" in head
    assert "connection: close" in head
    return str(json.loads(body)["error"])


def test_a_head_that_does_not_end_is_not_waited_for(address: Any, impatient: Impatient) -> None:
    """408 in JSON with the release, and the connection is closed."""
    impatient()
    with socket.create_connection(address, 10) as slow:
        slow.sendall(b"GET /ping HTTP/1.1\r\nhost: he")
        assert "Send it again" in refused(whole(slow), 408)


def test_a_head_that_does_not_end_is_not_waited_for_on_a_kept_connection(address: Any, impatient: Impatient) -> None:
    """The same holds for the second request of a connection."""
    with socket.create_connection(address, 10) as slow:
        slow.sendall(PING)
        answer = b""
        while not answer.endswith(b"}"):
            answer += slow.recv(65536)
        impatient()
        slow.sendall(b"GET /ping")
        assert "Send it again" in refused(whole(slow), 408)


def test_a_silent_connection_is_closed(address: Any, impatient: Impatient) -> None:
    """A connection without a request is closed without an answer."""
    impatient()
    with socket.create_connection(address, 10) as silent:
        assert whole(silent) == ""


def test_a_head_without_end_is_cut(address: Any) -> None:
    """431, before it fills the memory."""
    with socket.create_connection(address, 10) as endless:
        endless.sendall(b"GET /ping HTTP/1.1\r\n" + b"x-a: " + b"a" * (module.MOST_HEAD - 100))
        endless.sendall(b"a" * 200)
        assert "shorter headers" in refused(whole(endless), 431)


def test_what_is_no_http_is_refused(address: Any) -> None:
    """400 in JSON with the release."""
    with socket.create_connection(address, 10) as other:
        other.sendall(b"\x16\x03\x01 hello?\r\n\r\n")
        assert "Send HTTP/1.1" in refused(whole(other), 400)


def test_noise_does_not_stop_the_service(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a hundred connections with random bytes, some of them cut short, it still answers."""
    chance = random.Random(5)
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.1)
    for _ in range(100):
        with socket.create_connection(address, 10) as noise:
            text = bytearray(LAST)
            for _ in range(chance.randint(1, 6)):
                text[chance.randrange(len(text))] = chance.randrange(256)
            noise.sendall(text[: chance.choice((len(text), 30))])
            if chance.random() < 0.5:
                with contextlib.suppress(ConnectionResetError):  # closed before everything was read
                    whole(noise)
    monkeypatch.undo()
    with socket.create_connection(address, 10) as good:
        good.sendall(LAST)
        assert whole(good).startswith("HTTP/1.1 200")


def test_an_answer_that_is_not_taken_is_given_up(
    address: Any, impatient: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that requests many cards and reads none is disconnected; others are answered."""
    impatient()
    with socket.create_connection(address, 10) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        card = b"GET /card HTTP/1.1\r\nhost: heart\r\n\r\n"
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            greedy.sendall(card * 1_000_000)
    monkeypatch.undo()
    with socket.create_connection(address, 10) as good:
        good.sendall(LAST)
        assert whole(good).startswith("HTTP/1.1 200")


def test_requests_sent_at_once_are_answered_in_their_order(address: Any) -> None:
    """Pipelining: three heads in one packet, three answers."""
    with socket.create_connection(address, 10) as connection:
        connection.sendall(PING + b"GET /version HTTP/1.1\r\nhost: heart\r\n\r\n" + LAST)
        text = whole(connection)
    bodies = [part.split("HTTP/1.1")[0] for part in text.split("\r\n\r\n")[1:]]
    assert ["status" in json.loads(body) for body in bodies] == [True, False, True]


def test_head_is_get_without_the_body(address: Any) -> None:
    """The same headers, including the length."""
    with socket.create_connection(address, 10) as connection:
        connection.sendall(LAST.replace(b"GET", b"HEAD"))
        head = whole(connection)
    assert head.endswith("\r\n\r\n")
    assert "content-length: 36" in head
