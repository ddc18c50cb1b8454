"""One function as Lambda runs it, without a container: the runtime interface emulator that ships inside the SAM CLI's
wheel, and Lambda's own runtime client, over HTTP on 127.0.0.1. ``make test`` installs those two alone, in a second: the
SAM CLI itself is not needed here, nor the hundred packages that it asks for.

It differs from Lambda in two things: the Python is this one, and the file system is this machine's. Linux only, for the
emulator is a Linux program.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from console.local.paths import FUNCTIONS, ROOT
from console.local.template import FunctionSpec

HOME = ROOT / ".emulator"
START_SECONDS = 20.0
PATH = "/2015-03-31/functions/function/invocations"
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# The runtime client's packages come last on the path: what the functions use themselves is found before.
CLIENT = "import sys; sys.path.append(sys.argv.pop(1)); from awslambdaric.__main__ import main; main(sys.argv)"


class EmulatorError(Exception):
    """The emulator is not here or does not start; the sentence says why and what to type."""


@dataclass(frozen=True)
class Parts:
    """The emulator's program, and the folder that ``awslambdaric`` is imported from."""

    program: Path
    packages: Path


def find(home: Path = HOME) -> Parts:
    """The emulator's parts in the folder ``home``. Raises EmulatorError where one is missing."""
    if sys.platform != "linux":
        raise EmulatorError(f"Lambda's emulator is a Linux program, and this is {sys.platform}. Next: make invoke")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    program = home / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{MACHINES.get(platform.machine(), 'unknown')}"
    client = next(home.glob(f"runtime_client.cpython-{version.replace('.', '')}-*"), home / "runtime_client")
    for part, name in ((program, "aws-sam-cli"), (client, f"awslambdaric for Python {version}")):
        if not part.exists():
            raise EmulatorError(f"{name} is not in {home.name}. Next: make emulator")
    return Parts(program, home)


class Emulator:
    """A running function, as a context. ``environment`` goes over what the template declares for the function; nothing
    else of this process's environment but PATH and HOME reaches it. What it logs goes to ``log``."""

    def __init__(
        self, function: FunctionSpec, environment: Mapping[str, str], log: Path, parts: Parts | None = None
    ) -> None:
        self._function = function
        self._environment = environment
        self._log = log
        self._parts = parts or find()
        self._process: subprocess.Popen[bytes] | None = None
        self._written: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.port, inner = _free_ports()
        self._written = self._log.open("wb")
        # A session of its own: the emulator starts the runtime, and both end together.
        self._process = subprocess.Popen(
            self._command(self.port, inner),
            env=self._variables(),
            cwd=FUNCTIONS,
            stdin=subprocess.DEVNULL,
            stdout=self._written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._await()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it keeps nothing, and is waited for
            self._process.wait()
        if self._written is not None:
            self._written.close()

    def invoke(self, event: Any) -> Any:
        """What the function answered to ``event``, or the error body that Lambda gives for it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._function.timeout + 10)
        try:
            connection.request("POST", PATH, json.dumps(event).encode())
            body = connection.getresponse().read()
        finally:
            connection.close()
        try:
            return json.loads(body)
        except ValueError:  # a timeout is told in plain words
            return {"errorType": "Runtime", "errorMessage": body.decode(errors="replace")}

    def _command(self, port: int, inner: int) -> list[str]:
        # Without both addresses it would listen on every interface.
        listen = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address"]
        client = [sys.executable, "-c", CLIENT, str(self._parts.packages), self._function.handler]
        return [str(self._parts.program), "--log-level", "error", *listen, f"127.0.0.1:{inner}", *client]

    def _variables(self) -> dict[str, str]:
        function = self._function
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(function.timeout)),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "PYTHONPATH": str(FUNCTIONS),
            **function.environment,
            **self._environment,
        }

    def _await(self) -> None:
        """Wait until the emulator listens. Raises EmulatorError where it has ended, or listens never."""
        assert self._process is not None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        said = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise EmulatorError(f"the emulator of {self._function.name} did not start: {said[0]}. Next: read {self._log}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
