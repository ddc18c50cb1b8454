"""Ports of 127.0.0.1: a free one, the one that was had before, and the wait until a program listens on its own."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def kept_port(note: Path, wanted: int = 0) -> int:
    """The port ``wanted`` (0: any), else the one in the file ``note`` if still free, else a free one. It is noted."""
    kept = int(note.read_text()) if note.exists() else 0
    port = wanted or (kept if kept and not is_open(kept) else free_port())
    note.write_text(str(port))
    return port


def await_listener(process: subprocess.Popen[bytes], port: int, name: str, log: Path) -> None:
    """Wait until ``process`` listens. Raises OSError with its last words if it ends, or does not come."""
    await_ready(process, lambda: is_open(port), f"{name} does not start on {LOOPBACK}:{port}", log)


def await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], failed: str, log: Path) -> None:
    """Wait until ``process`` is ready. Raises OSError with ``failed`` and its last words if it ends, or is not."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            process.kill()
            raise OSError(f"{failed}: {said[0]}; its log is {log}")
        time.sleep(0.02)


def get_status(port: int, path: str, seconds: float, headers: dict[str, str] | None = None) -> int:
    """GET ``path`` on ``port`` of 127.0.0.1: the status. Raises OSError if no HTTP answer came within ``seconds``."""
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
