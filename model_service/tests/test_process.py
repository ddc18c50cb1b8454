from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
PATIENT = b'{"age": 63, "sex": 1}'
HEAD = b"POST /invocations HTTP/1.1\r\nhost: heart\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
# Puts the socket where systemd's protocol has it, and becomes the service.
HAND_OVER = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, '-m', 'heart'])"


@contextmanager
def started(
    environment: dict[str, str], *command: str, pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=HERE,
        env=os.environ | environment,
        pass_fds=pass_fds,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def log_until(process: subprocess.Popen[str], words: str) -> str:
    """The log's lines up to the one with these words, which is returned; a log that ends first fails the test."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return line
    raise AssertionError(f"the log ended without {words!r}: {lines}")


def answer(connection: socket.socket) -> str:
    text = b""
    while chunk := connection.recv(65536):
        text += chunk
    return text.decode()


@pytest.fixture
def environment(model_file: Path) -> dict[str, str]:
    return {"HOST": "127.0.0.1", "PORT": "0", "MODEL_FILE": str(model_file), "RELEASE": "v17"}


def test_a_stop_in_mid_request_finishes_the_request(environment: dict[str, str]) -> None:
    """A request half sent when SIGTERM comes is answered in full; then the process exits 0."""
    with started(environment, "-m", "heart") as process:
        port = int(log_until(process, "listens on").split(":")[2].split(",")[0])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(HEAD % len(PATIENT) + PATIENT[:5])
            with socket.create_connection(("127.0.0.1", port)) as second:  # answered: the first one is being read
                second.sendall(b"GET /ping HTTP/1.1\r\nhost: heart\r\nconnection: close\r\n\r\n")
                assert answer(second).startswith("HTTP/1.1 200")
            process.terminate()
            log_until(process, "Waiting for connections to close")
            connection.sendall(PATIENT[5:])
            told = answer(connection)
        assert told.startswith("HTTP/1.1 200")
        assert "x-model-version: v17" in told
        assert "probability" in told
        assert process.wait() == 0


def test_a_socket_handed_over_is_served(environment: dict[str, str]) -> None:
    """The service takes a listening socket from its supervisor, and leaves it open when it stops."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        os.set_inheritable(fd, True)
        with started(environment | {"LISTEN_FDS": "1"}, "-c", HAND_OVER, str(fd), pass_fds=(fd,)) as process:
            log_until(process, "listens on")
            with socket.create_connection(listener.getsockname()) as connection:
                connection.sendall(b"GET /ping HTTP/1.1\r\nhost: heart\r\nconnection: close\r\n\r\n")
                assert answer(connection).startswith("HTTP/1.1 200")
            process.terminate()
            assert process.wait() == 0
        socket.create_connection(listener.getsockname()).close()


def test_without_a_model_nothing_starts(environment: dict[str, str], tmp_path: Path) -> None:
    """A missing model file ends the process at once, and the sentence says how to make one."""
    with started(environment | {"MODEL_FILE": str(tmp_path / "none.json")}, "-m", "heart") as process:
        assert "Make it with: python train.py" in log_until(process, "heart: no model at")
        assert process.wait() == 1


def test_a_taken_port_is_named(environment: dict[str, str]) -> None:
    """A port somebody else listens on ends the process with its number and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with started(environment | {"PORT": port}, "-m", "heart") as process:
            assert f"port {port}" in log_until(process, "heart: cannot listen")
            assert process.wait() == 1


def test_a_wrong_setting_is_named(environment: dict[str, str]) -> None:
    """A port that is none ends the process with the variable, the value and what is allowed."""
    with started(environment | {"PORT": "http"}, "-m", "heart") as process:
        assert "whole number from 0 to 65535" in log_until(process, "PORT is 'http'")
        assert process.wait() == 2
