"""One script of a lifecycle event as the CodeDeploy agent runs it: its start, output, timeout and end.

The script runs in ``/`` with no standard input and its own process group. Its output goes line by line to
``logs/scripts.log``, and the last of it to the service.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from console.local.agent.appspec_reader import Script

TAIL = 2048  # characters of a script's log that go back to the service
GRACE = 30.0  # seconds between TERM and KILL
GLANCE = 0.05  # seconds between looks at a script


class ScriptError(Exception):
    """A script failed; ``code`` is CodeDeploy's error code."""

    def __init__(self, code: str, script: str, message: str) -> None:
        self.code, self.script = code, script
        super().__init__(message)


@dataclass
class ScriptRun:
    """One run of a script. ``stopped`` says whether the script must end; ``left_open`` gets the process group of a
    script that ended but left a child that holds its output."""

    script: Script
    log: ScriptLog
    stopped: Callable[[], bool]
    left_open: Callable[[int], None]
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.script.timeout

    @property
    def title(self) -> str:
        """The beginning of a message about the script."""
        runas = f" run as user {self.script.runas}" if self.script.runas else ""
        return f"Script at specified location: {self.script.location}{runas}"

    def to_end(self, path: Path, environment: Mapping[str, str]) -> None:
        """Run the script at ``path`` until it has ended and its output is closed. Raises ScriptError."""
        try:
            process = _start(self.script, path, environment)
        except OSError as error:
            name = f"Errno::{_errno_name(error)}"
            text = f"{self.title} failed with error {name} with message {error.strerror} - {path}"
            raise ScriptError("ScriptFailed", self.script.location, text) from error
        self._follow(process)

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        readers = [self._reader("stdout", process.stdout), self._reader("stderr", process.stderr)]
        location = self.script.location
        if not self._ended(process):
            _end(process)
            self._await(readers, time.monotonic() + 1.0)
            if self.stopped():
                raise ScriptError("ScriptFailed", location, f"{self.title} ended because the deployment was stopped")
            text = f"Script at specified location: {location} failed to complete in {self.script.timeout} seconds"
            raise ScriptError("ScriptTimedOut", location, text)
        for name, reader in zip(("STDOUT", "STDERR"), readers, strict=True):
            if not self._await([reader], self.deadline):
                self.left_open(process.pid)
                text = f"Script at specified location: {location} failed to close {name}"
                raise ScriptError("UnknownError", location, text)
        if process.returncode:
            code = "" if process.returncode < 0 else process.returncode  # Ruby's exitstatus of a killed one is nil
            raise ScriptError("ScriptFailed", location, f"{self.title} failed with exit code {code}".rstrip())

    def _ended(self, process: subprocess.Popen[bytes]) -> bool:
        while process.poll() is None:
            if self.stopped() or time.monotonic() > self.deadline:
                return False
            try:
                process.wait(GLANCE)
            except subprocess.TimeoutExpired:
                continue
        return True

    def _await(self, readers: list[threading.Thread], deadline: float) -> bool:
        for reader in readers:
            while reader.is_alive():
                if time.monotonic() > deadline or self.stopped():
                    return False
                reader.join(GLANCE)
        return True

    def _reader(self, name: str, stream: IO[bytes] | None) -> threading.Thread:
        def read() -> None:
            with stream or io.BytesIO() as lines:
                for line in lines:
                    self.log.add(f"[{name}]{line.decode(errors='replace')}")

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


class ScriptLog:
    """``logs/scripts.log``, and its last entries for the service: fewer than ``TAIL`` characters."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[str] = []
        self._file: IO[str] | None = None
        self._lock = threading.Lock()

    @property
    def tail(self) -> str:
        """The last entries, for the service."""
        with self._lock:
            return "".join(self._entries)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    def add(self, entry: str) -> None:
        """Write an entry; the file also has the time."""
        with self._lock:
            self._entries.append(entry)
            while self._entries and sum(map(len, self._entries)) >= TAIL:
                del self._entries[0]
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", buffering=1)
            if not self._file.closed:  # after a timeout a reader may still get output
                self._file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {entry}")


def make_executable(path: Path, location: str) -> None:
    """Make a script executable if needed, as the agent does. Raises ScriptError."""
    if os.access(path, os.X_OK):
        return
    try:
        path.chmod(path.stat().st_mode | 0o111)
    except OSError as error:
        text = f"Unable to set script at specified location: {location} as executable"
        raise ScriptError("ScriptNotExecutable", location, text) from error


def _start(script: Script, path: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    words = ["su", script.runas, "-c", str(path)] if script.runas else [str(path)]
    words = ["sudo", *words] if script.sudo else words
    try:
        process = _popen(words, environment)
    except OSError as error:
        if _errno_name(error) != "ENOEXEC":
            raise
        process = _popen(["/bin/sh", *words], environment)  # without a shebang: as a shell would
    if process.stdin:
        process.stdin.close()
    return process


def _popen(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words, cwd="/", env=dict(environment), process_group=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send TERM to the process group, and KILL if it has not ended after ``GRACE`` seconds."""
    send(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        send(process.pid, signal.SIGKILL)
        process.wait()


def send(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if it is still there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # the whole group has ended already


def _errno_name(error: OSError) -> str:
    """The symbol of a system error, such as ENOENT."""
    return errno.errorcode.get(error.errno or 0, "EIO")
