"""``make invoke EVENT=FILE``: an event through the rules of template.yaml to its function, in the function's container
by ``sam local invoke``, against the local stack that runs.

The local stack listens on 127.0.0.1 only, which a container does not reach. Where Docker runs in a machine of its own
(Docker Desktop) it lends its host's address; on Linux a small container takes the calls on a network of its own and
passes them on through a socket file, so that nothing listens on the machine itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from console.local import replay
from console.local.aws_account import credentials
from console.local.paths import FUNCTIONS, TEMPLATE
from console.local.sam.artifact import HERE, ReleaseError, interpreter, make, runtime
from console.local.sam.sam_cli import LOCAL, SamError, build, last_words, sam
from console.local.template import FunctionSpec, Stack, read
from console.read.out import Out
from console.read.remote import Invoked, answered
from console.read.target import Named, find
from console.read.where import TroubleError, Where

DOOR_PORT = 4566
START_SECONDS = 20.0
RELAY = """
import asyncio, sys
def split(where):
    kind, _, rest = where.partition("=")
    return (rest, None) if kind == "file" else rest.rsplit(":", 1)
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
async def main(listen, to):
    async def taken(reader, writer):
        host, port = split(to)
        opened = asyncio.open_connection(host, int(port)) if port else asyncio.open_unix_connection(host)
        try:
            there = await opened
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
    host, port = split(listen)
    made = asyncio.start_server(taken, host, int(port)) if port else asyncio.start_unix_server(taken, host)
    async with await made as server:
        print("ready", flush=True)
        await server.serve_forever()
asyncio.run(main(*sys.argv[1:]))
"""


class InvokeError(Exception):
    """A function cannot be invoked in its container; the sentence says why and what to do."""


@dataclass(frozen=True)
class Door:
    """How a container reaches the local stack: the address it calls, and what SAM must be told for it."""

    url: str
    arguments: tuple[str, ...]


class Containers:
    """The functions in their containers, as a context. ``endpoint`` and ``secret`` are the local stack's, ``stack``
    its template; ``built`` is the folder of a build for this machine."""

    def __init__(self, endpoint: str, secret: str, stack: Stack, built: Path = LOCAL) -> None:
        self._endpoint = endpoint
        self._secret = secret
        self._stack = stack
        self._built = built

    def __enter__(self) -> Self:
        with ExitStack() as made:
            self._folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="esteira-")))
            self._door = made.enter_context(door(self._endpoint, image(self._stack), self._folder))
            self._open = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def invoke(self, name: str, event: Any) -> Invoked:
        """What the function of that name answered to ``event``. Raises InvokeError where no answer came."""
        function = next(f for f in self._stack.functions if f.name == name)
        given, environment = self._folder / "event.json", self._folder / "environment.json"
        given.write_text(json.dumps(event))
        environment.write_text(json.dumps({function.logical_id: variables(function, self._door)}))
        arguments = ["local", "invoke", function.logical_id, "--template", str(self._built / "template.yaml")]
        arguments += ["--event", str(given), "--env-vars", str(environment), "--skip-pull-image"]
        arguments += ["--parameter-overrides", f"Architecture={HERE}", *self._door.arguments]
        # SAM asks for the account's id: the local stack knows one, and AWS would be asked in vain.
        came = sam(arguments, {**credentials(self._secret), "AWS_ENDPOINT_URL": self._endpoint})
        lines = came.stdout.strip().splitlines()
        if came.returncode or not lines:
            raise InvokeError(
                f"sam local invoke {function.logical_id} gave no answer. {last_words(came)} Next: docker ps"
            )
        return answered(lines[-1])


def variables(function: FunctionSpec, door: Door) -> Mapping[str, str]:
    """A function's declared variables, and where AWS is; SAM itself knows no resource's name."""
    return {**function.environment, "AWS_ENDPOINT_URL": door.url}


def image(stack: Stack) -> str:
    """The image that the functions' containers are made from."""
    return f"public.ecr.aws/lambda/python:{runtime(stack)}"


@contextmanager
def door(endpoint: str, image: str, folder: Path) -> Iterator[Door]:
    """Open a way for containers to ``endpoint`` and yield it; ``image`` has a Python, ``folder`` is for the socket.

    Raises InvokeError where Docker does not do its part.
    """
    port = urlsplit(endpoint).port
    system = _docker("info", "--format", "{{.OperatingSystem}}")
    if sys.platform != "linux" or "Docker Desktop" in system:
        address = "host.docker.internal"
        yield Door(f"http://{address}:{port}", ("--add-host", f"{address}:host-gateway"))
        return
    name = f"esteira-door-{uuid.uuid4().hex[:8]}"
    socket_file = folder / "socket"
    with ExitStack() as made:
        made.enter_context(_passing_on(socket_file, f"tcp=127.0.0.1:{port}"))
        _docker("network", "create", name)
        made.callback(_docker, "network", "rm", name)
        made.callback(_clear, name)
        relay = ["--entrypoint", "python3", image, "-u", "-c", RELAY, f"tcp=0.0.0.0:{DOOR_PORT}", "file=/door/socket"]
        _docker("run", "--detach", "--name", name, "--network", name, "--volume", f"{folder}:/door", *relay)
        made.callback(_docker, "rm", "--force", "--volumes", name)
        _await(lambda: "ready" in _docker("logs", name), name)
        where = _docker("inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{name}").IPAddress}}}}', name)
        # By number: of a name, boto3 would make one more for each bucket.
        yield Door(f"http://{where.strip()}:{DOOR_PORT}", ("--docker-network", name))


def fresh(stack: Stack) -> Path:
    """Build for this machine where the code is newer than what was built; return the folder. One does so at a time.

    It is built as a release is, where a Python of the runtime's version is at hand, and plainly where none is. Raises
    SamError.
    """
    LOCAL.parent.mkdir(exist_ok=True)
    with (LOCAL.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fresh(stack)


def _fresh(stack: Stack) -> Path:
    made = LOCAL / "template.yaml"
    sources = [TEMPLATE, TEMPLATE.with_name("service.yaml"), *(p for p in FUNCTIONS.rglob("*") if p.suffix != ".pyc")]
    newest = max(path.stat().st_mtime for path in sources if path.is_file())
    if made.exists() and made.stat().st_mtime > newest:
        return LOCAL
    try:
        make(LOCAL, HERE, interpreter(runtime(stack)))
    except ReleaseError:
        build(LOCAL, HERE)
    return LOCAL


def _clear(network: str) -> None:
    """Remove the containers on a network: SAM leaves those behind that it was starting when it was told to end."""
    left = _docker("ps", "--all", "--quiet", "--filter", f"network={network}").split()
    if left:
        _docker("rm", "--force", "--volumes", *left)


@contextmanager
def _passing_on(socket_file: Path, to: str) -> Iterator[None]:
    """Pass on what comes through a socket file, in a process of its own."""
    command = [sys.executable, "-u", "-c", RELAY, f"file={socket_file}", to]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            _await(socket_file.exists, "the relay")
            yield
        finally:
            process.kill()


def _await(ready: Any, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise InvokeError(f"{what} did not start in {START_SECONDS:.0f} s. Next: docker ps; then try again")
        time.sleep(0.05)


def _docker(*arguments: str) -> str:
    """What a docker command printed. Raises InvokeError where it failed."""
    try:
        came = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InvokeError("docker is not here. Next: install a Docker engine, or esteira replay FILE") from None
    if came.returncode:
        raise InvokeError(
            f"docker {' '.join(arguments[:2])} failed. {last_words(came)} Next: docker info; without Docker: "
            f"esteira replay FILE"
        )
    return came.stdout


def running(state: Path) -> Where:
    """The local stack of ``state``. Raises TroubleError where none runs: a container must not reach AWS."""
    where = find(Named(state=state))
    host = urlsplit(where.endpoint or "").hostname
    if host not in ("127.0.0.1", "localhost"):
        raise TroubleError(f"no local stack of {state} is running. Next: esteira local up, in another terminal")
    return where


class _Controller:
    """What ``replay`` sends an event to."""

    def __init__(self, containers: Containers) -> None:
        self.invoke = containers.invoke


def main(arguments: list[str] | None = None) -> int:
    """Invoke the functions of the files on the command line; print what each answered. Return the exit status."""
    files = [Path(name) for name in (sys.argv[1:] if arguments is None else arguments)]
    if not files:
        print("no event is named. Next: make invoke EVENT=events/codecommit_created.json", file=sys.stderr)
        return 2
    try:
        return _invoke(files)
    except (TroubleError, InvokeError, SamError) as error:
        print(error, file=sys.stderr)
        return 1


def _invoke(files: list[Path]) -> int:
    where = running(Path(os.environ.get("ESTEIRA_STATE", ".esteira")))
    stack = read(TEMPLATE, where.stack)
    events = [(path, replay.load(path)) for path in files]
    targets = replay.routes(where.stack)
    out, failed = Out(sys.stdout), False
    assert where.endpoint
    with Containers(where.endpoint, where.secret, stack, fresh(stack)) as containers:
        controller: Any = _Controller(containers)
        for path, event in events:
            for row in replay.replay(path, event, targets(event), controller):
                replay.show(out, row)
                failed = failed or bool(row.error)
    return int(failed)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
