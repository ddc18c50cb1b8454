from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE
from websockets.exceptions import ConnectionClosedError
from websockets.sync import client

from serving.__main__ import BadSetting, settings_from

PATIENT = b'{"age": 63, "sex": 1}'
HEAD = b"POST /invocations HTTP/1.1\r\nhost: heart\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
PING = b"GET /ping HTTP/1.1\r\nhost: heart\r\n\r\n"
pytestmark = pytest.mark.thorough
# Moves the socket to the descriptor of systemd's protocol, and becomes the service.
HAND_OVER = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, '-m', 'serving'])"


@contextmanager
def started(environment: dict[str, str], *command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *(command or ("-m", "serving"))],
        cwd=HERE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def log_until(process: subprocess.Popen[str], words: str) -> str:
    """The log's next line with these words. The test fails if the log ends before it."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return line
    raise AssertionError(f"the log ended without {words!r}: {lines}")


def address(process: subprocess.Popen[str]) -> tuple[str, int]:
    """The address in the log, once the service listens."""
    return "127.0.0.1", int(log_until(process, "listens on").split(":")[2].split(",")[0])


def whole(connection: socket.socket) -> str:
    text = b""
    while chunk := connection.recv(65536):
        text += chunk
    return text.decode()


def heard(where: tuple[str, int]) -> None:
    """Wait until earlier bytes are read: connections are accepted in order, and a later one is answered."""
    with socket.create_connection(where, 10) as later:
        later.sendall(PING)
        assert later.recv(65536).startswith(b"HTTP/1.1 200")


def stopping(process: subprocess.Popen[str], where: tuple[str, int], under_way: int) -> None:
    heard(where)
    process.terminate()
    assert f"stopping, {under_way} requests under way" in log_until(process, "stopping")


@pytest.fixture
def environment(model_folder: Path) -> dict[str, str]:
    return {"HOST": "127.0.0.1", "PORT": "0", "MODEL_FOLDER": str(model_folder), "RELEASE": "v17", "LISTEN_FDS": ""}


def test_a_stop_in_mid_request_finishes_the_request(environment: dict[str, str]) -> None:
    """At SIGTERM half of a body, and half of a head, have arrived: both requests are answered; the exit status is 0."""
    with started(environment) as process:
        where = address(process)
        with socket.create_connection(where, 10) as body, socket.create_connection(where, 10) as head:
            body.sendall(HEAD % len(PATIENT) + PATIENT[:5])
            head.sendall((HEAD % len(PATIENT))[:30])
            stopping(process, where, 2)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(where, 10)
            body.sendall(PATIENT[5:])
            head.sendall((HEAD % len(PATIENT))[30:] + PATIENT)
            for connection in (body, head):
                told = whole(connection)
                assert told.startswith("HTTP/1.1 200")
                assert "x-model-version: v17" in told
                assert "connection: close" in told
                assert json.loads(told.partition("\r\n\r\n")[2])["predictions"][0]["probability"] > 0
        assert process.wait() == 0


def test_a_stop_under_load_loses_no_request(environment: dict[str, str]) -> None:
    """Eight clients send requests without pause, on kept and on new connections, when SIGTERM arrives. Every client
    that could connect gets the whole answer, each answer is in the log, the others are refused, and it exits with 0.
    """
    with started(environment | {"LOG_FEATURES": "none"}) as process:
        where = address(process)
        clients = [Client(where, keep=n % 2 == 0) for n in range(8)]
        log: list[str] = []
        reader = threading.Thread(target=lambda: log.extend(process.stdout or ()))
        reader.start()
        for client in clients:
            client.start()
        clients[0].busy.wait(10)
        process.terminate()
        for client in clients:
            client.join(20)
        assert [client.lost for client in clients] == [[]] * 8
        assert all(client.refused for client in clients)
        assert process.wait() == 0
        reader.join(10)
        assert len(log) == sum(client.answered for client in clients) > 100
        assert all(json.loads(line)["release"] == "v17" for line in log)


class Client(threading.Thread):
    """A client that sends requests until its connection is refused."""

    def __init__(self, where: tuple[str, int], keep: bool) -> None:
        super().__init__(daemon=True)
        self.where = where
        self.keep = keep
        self.answered = 0
        self.lost: list[str] = []
        self.refused = False
        self.busy = threading.Event()

    def run(self) -> None:
        while not self.lost:
            connection = http.client.HTTPConnection(*self.where, timeout=10)
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.refused = True
                return
            try:
                while self.ask(connection) and self.keep:
                    pass
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.lost.append(f"{error!r} after {self.answered} answers, kept: {self.keep}")
            connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> bool:
        """Send one request. The result tells whether the connection may be kept."""
        connection.request("POST", "/invocations", PATIENT, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["predictions"]) == 1
        self.answered += 1
        if self.answered == 50:
            self.busy.set()
        return answer.headers["connection"] != "close"


def test_a_request_on_its_way_is_still_answered(environment: dict[str, str]) -> None:
    """A request just after the stop, on an earlier connection, is answered as the last of that connection."""
    with started(environment) as process:
        where = address(process)
        with socket.create_connection(where, 10) as fresh, socket.create_connection(where, 10) as kept:
            kept.sendall(PING)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200")
            with socket.create_connection(where, 10) as held:
                held.sendall(HEAD % len(PATIENT))
                stopping(process, where, 1)
                fresh.sendall(PING)
                kept.sendall(PING)
                assert "connection: close" in whole(fresh)
                assert "connection: close" in whole(kept)
                held.sendall(PATIENT)
                assert whole(held).startswith("HTTP/1.1 200")
        assert process.wait() == 0


def test_a_request_that_never_ends_is_cut_at_the_deadline(environment: dict[str, str]) -> None:
    """A request whose body does not arrive delays the end by DRAIN_SECONDS at most."""
    with started(environment | {"DRAIN_SECONDS": "1"}) as process:
        where = address(process)
        with socket.create_connection(where, 10) as slow:
            slow.sendall(HEAD % len(PATIENT) + PATIENT[:5])
            heard(where)
            process.terminate()
            assert "1 connections are cut" in log_until(process, "cut")
            assert whole(slow) == ""
        assert process.wait() == 0


def test_an_open_page_is_asked_to_connect_again(environment: dict[str, str]) -> None:
    """The page's WebSocket names the release, does not delay the stop, and is closed with 1012 (service restart)."""
    with started(environment) as process:
        host, port = address(process)
        with client.connect(f"ws://{host}:{port}/websocket/") as page:
            assert page.response.headers["x-model-version"] == "v17"
            with socket.create_connection((host, port), 10) as slow:
                slow.sendall(HEAD % len(PATIENT) + PATIENT[:5])
                stopping(process, (host, port), 1)
                page.ping().wait(10)  # it stays open while requests are finished
                slow.sendall(PATIENT[5:])
                assert whole(slow).startswith("HTTP/1.1 200")
            with pytest.raises(ConnectionClosedError, match="1012"):
                deque(page, maxlen=0)  # every message until the end
        assert process.wait() == 0


def test_a_socket_handed_over_is_served(environment: dict[str, str]) -> None:
    """The service uses a listening socket from its supervisor and leaves it open at its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        os.set_inheritable(fd, True)
        with started(environment | {"LISTEN_FDS": "1"}, "-c", HAND_OVER, str(fd), pass_fds=(fd,)) as process:
            log_until(process, "listens on")
            with socket.create_connection(listener.getsockname(), 10) as connection:
                connection.sendall(PING)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            process.terminate()
            assert process.wait() == 0
        socket.create_connection(listener.getsockname(), 10).close()


def test_the_service_writes_no_file(environment: dict[str, str]) -> None:
    """It serves, also the page, when no file may have a single byte, so a read-only file system is enough."""

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with started(environment | {"HOME": "/nonexistent"}, preexec_fn=no_files) as process:
        host, port = address(process)
        with client.connect(f"ws://{host}:{port}/websocket/") as page:  # a visitor
            assert "config" in str(page.recv(10))  # Shiny began a session
        connection = http.client.HTTPConnection(host, port, timeout=10)
        for path in ("/ping", "/", "/health", "/metrics", "/openapi.json"):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert (path, answer.status, answer.headers["x-model-version"]) == (path, 200, "v17")
        connection.close()
        process.terminate()
        assert process.wait() == 0


def test_without_a_model_nothing_starts(environment: dict[str, str], tmp_path: Path) -> None:
    """A missing model ends the process at once, with the command that makes one."""
    with started(environment | {"MODEL_FOLDER": str(tmp_path / "none")}) as process:
        line = log_until(process, "serving: no model at")
        assert "model-card.json" in line
        assert "Make it with: python train.py" in line
        assert process.wait() == 1


def test_a_taken_port_is_named(environment: dict[str, str]) -> None:
    """A port that another process listens on ends this one with its number and the next step."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with started(environment | {"PORT": port}) as process:
            assert f"port {port}" in log_until(process, "serving: cannot listen")
            assert process.wait() == 1


def test_a_wrong_setting_ends_the_start(environment: dict[str, str]) -> None:
    """The message is in the log, and the exit status is 2."""
    with started(environment | {"PORT": "http"}) as process:
        log_until(process, "serving: PORT is 'http'")
        assert process.wait() == 2


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("DRAIN_SECONDS", "0", "a whole number from 1 to 3600"),
        ("RELEASE", "v1\r\nset-cookie: x", "one word"),
        ("LOG_FEATURES", "yes", "one of hashed, plain, none"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, allowed: str) -> None:
    """With the variable, the value, the allowed values, and a setting that works."""
    with pytest.raises(BadSetting) as caught:
        settings_from({name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}, allowed is {allowed}")
    assert f"Set {name}=" in str(caught.value)


def test_a_setting_left_empty_is_not_set() -> None:
    """An image built without a release has RELEASE="", which counts as not set."""
    empty = settings_from(dict.fromkeys(("PORT", "RELEASE", "COMMIT", "LOG_FEATURES", "LISTEN_FDS"), ""))
    assert empty == settings_from({})
    assert (empty.port, empty.release, empty.log_features, empty.handed_over) == (8080, "unreleased", "hashed", False)
