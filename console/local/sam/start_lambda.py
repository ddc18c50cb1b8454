"""``make start-lambda``: the functions in their containers, kept warm, behind Lambda's own address on this machine, by
``sam local start-lambda``, against the local stack that runs.

``esteira hold --endpoint lambda=URL`` then speaks to ``operate`` as it does to Lambda, and to the local stack for the
rest: what SAM starts knows Invoke and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from console.local.aws_account import credentials
from console.local.paths import TEMPLATE
from console.local.ports import LOOPBACK, await_listener, is_open
from console.local.sam.artifact import HERE
from console.local.sam.invoke import InvokeError, door, fresh, image, running, variables
from console.local.sam.sam_cli import LOCAL, SamError, serving
from console.local.template import Stack, read
from console.read.where import TroubleError

PORT = 3001
STOP_SECONDS = 20.0


class Served:
    """The functions of ``stack`` behind ``url``, as a context: each gets a container at its first call, and keeps it.
    ``endpoint`` and ``secret`` are the local stack's, ``built`` a build for this machine; what SAM and the functions
    say goes to ``log``."""

    def __init__(self, endpoint: str, secret: str, stack: Stack, port: int, log: Path, built: Path = LOCAL) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._endpoint = endpoint
        self._secret = secret
        self._stack = stack
        self._port = port
        self._log = log
        self._built = built

    def __enter__(self) -> Self:
        if is_open(self._port):
            raise InvokeError(f"somebody listens on port {self._port} already. Next: make start-lambda PORT=3002")
        with ExitStack() as made:
            try:
                self._start(made)
            except OSError as error:
                raise InvokeError(f"{error}. Next: read that log; then try again") from None
            self._open = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self, made: ExitStack) -> None:
        folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="esteira-")))
        way = made.enter_context(door(self._endpoint, image(self._stack), folder))
        environment, parameters = folder / "environment.json", folder / "parameters.yaml"
        environment.write_text(json.dumps({f.logical_id: dict(variables(f, way)) for f in self._stack.functions}))
        # By this SAM knows the functions' names. Its command line takes no such key, a file does; JSON is YAML.
        parameters.write_text(json.dumps({"AWS::StackName": self._stack.name, "Architecture": HERE}))
        arguments = ["local", "start-lambda", "--template", str(self._built / "template.yaml"), "--skip-pull-image"]
        arguments += ["--host", LOOPBACK, "--port", str(self._port), "--warm-containers", "LAZY"]
        arguments += ["--env-vars", str(environment), "--parameter-overrides", parameters.as_uri(), *way.arguments]
        log = made.enter_context(self._log.open("wb"))
        process = serving(arguments, {**credentials(self._secret), "AWS_ENDPOINT_URL": self._endpoint}, log)
        made.callback(_end, process)
        await_listener(process, self._port, "sam local start-lambda", self._log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let SAM end in order, which takes its containers away; what it leaves goes with the door."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM, which leaves no container. Return the exit status."""
    parser = argparse.ArgumentParser(prog="make start-lambda", description="The functions in their containers.")
    parser.add_argument("--port", type=int, default=PORT, help="default: %(default)s")
    port = parser.parse_args(arguments).port
    if not 1 <= port <= 65535:
        parser.error(f"{port} is no port. Next: make start-lambda PORT={PORT}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    state = Path(os.environ.get("ESTEIRA_STATE", ".esteira"))
    try:
        where = running(state)
        stack = read(TEMPLATE, where.stack)
        assert where.endpoint
        with Served(where.endpoint, where.secret, stack, port, state / "start-lambda.log", fresh(stack)) as served:
            print(f"{len(stack.functions)} functions of {where.stack} are at {served.url}; Ctrl-C stops them")
            print(f"  say something   esteira hold --reason … --endpoint lambda={served.url}")
            print(f"  logs            {state / 'start-lambda.log'}", flush=True)
            while not stop.wait(0.5):  # a signal that reaches another thread wakes no wait without an end
                pass
    except (TroubleError, InvokeError, SamError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
