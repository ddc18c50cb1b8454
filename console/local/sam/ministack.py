"""ministack, a second emulator of AWS, as a process of its own: on 127.0.0.1, at a free port, with all it writes in one
folder. It has what moto has not: CloudFormation with SAM's transform, functions in processes, DynamoDB's transactions,
and policies that are enforced. It runs functions with its own Python.

It keeps nothing: ended, it is gone with its folder. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from console.local.aws_account import ACCOUNT, REGION
from console.local.paths import ROOT
from console.local.ports import LOOPBACK, await_listener, free_port

TOOLS = ROOT / ".venv-ministack"
# An account's id as the access key: ministack takes it for that account's root, and no other emulator minds.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}
# Its standard input is a pipe of the process that started it. When that is gone, all of its session goes.
GUARDED = """
import os, signal, sys, threading
def guard():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=guard, daemon=True).start()
from ministack.app import main
sys.argv = ["ministack"]
main()
"""


class MinistackError(Exception):
    """ministack is not here or does not start; the sentence says why and what to type."""


def find(tools: Path = TOOLS) -> Path:
    """Ministack's Python. Raises MinistackError where it is not installed."""
    if sys.platform == "win32":
        raise MinistackError("ministack ends with its session, which Windows has not. Next: use Linux, macOS or WSL")
    if not (tools / ".installed").exists():
        raise MinistackError(f"ministack is not in {tools.name}. Next: make ministack")
    return tools / "bin" / "python"


class Ministack:
    """A running ministack, as a context. ``folder`` gets all it writes; ``enforced``: who may not, cannot. Raises
    MinistackError where it does not start."""

    def __init__(self, folder: Path, *, enforced: bool = False, tools: Path = TOOLS) -> None:
        self._folder = folder
        self._enforced = enforced
        self._python = find(tools)
        self.log = folder / "ministack.log"
        self.port = free_port()

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        for name in ("home", "tmp", "state", "s3"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            # A session of its own: what it starts ends with it, and Ctrl-C is for who uses it.
            self._process = subprocess.Popen(
                [str(self._python), "-c", GUARDED],
                env=self._variables(),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            await_listener(self._process, self.port, "ministack", self.log)
        except OSError as error:
            self.__exit__(None, None, None)
            raise MinistackError(f"{error}. Next: make ministack anew: rm -r {TOOLS.name} && make ministack") from None
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin
        self._process.stdin.close()

    def client(self, service: str) -> Any:
        """A boto3 client of it, as root of its account."""
        import boto3

        make: Any = boto3.client
        client = make(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        # As from a proxy that ends TLS: a queue that refuses who comes without it refuses its owner too.
        client.meta.events.register("before-sign", _by_tls)
        return client

    def _variables(self) -> Mapping[str, str]:
        """Its environment, which every function gets too: nothing of this process's but PATH and LANG."""
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "STATE_DIR": str(self._folder / "state"),
            "S3_DATA_DIR": str(self._folder / "s3"),
            "BIND_HOST": LOOPBACK,  # else it listens on every interface
            "IOT_MTLS_ENABLED": "0",
            "GATEWAY_PORT": str(self.port),
            "AUTH": str(self._enforced).lower(),
            "LOG_LEVEL": "WARNING",
            "MINISTACK_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _by_tls(request: Any, **_: object) -> None:
    request.headers["X-Forwarded-Proto"] = "https"
