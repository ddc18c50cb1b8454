"""A container of the process engine: an unpacked image's command, run as a process of this machine.

It gets what Docker would give it where a process can have that: the image's command, directory and environment, a port,
a process group, a log, restarts. It does not get a root file system, a user or a network of its own. This module runs
and watches processes; which release runs, and what takes traffic, is ``host.py``'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from console.local.paths import FUNCTIONS
from console.local.ports import LOOPBACK, get_status
from console.local.process.health import Health, HealthSearch
from console.local.process.oci import ImageConfig
from console.local.process.port_of import ANYWHERE, ContainerPort, noted
from guard.mask import masked, secret_values

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
# Below every system's range for outgoing connections: one of those could take the port before the container does.
PORTS = range(20_000, 32_000)
POLL_SECONDS = 0.05
ONE_ANSWER_SECONDS = 5.0
TAIL_LINES = 50
TAIL_CHARACTERS = 2048  # what CodeDeploy's agent sends
ANY_PORT = ContainerPort(0)
# Docker's own figures for --restart unless-stopped.
FIRST_RESTART_SECONDS = 0.1
LONGEST_RESTART_SECONDS = 60.0
STEADY_SECONDS = 10.0

# The host's own hook, asked here as it is there.
_GOLDEN = FUNCTIONS / "host" / "hooks" / "golden.py"
_PYTHON = re.compile(r"python[0-9.]*")
_LIFELINE = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What a container runs, in this machine's terms."""

    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]


class GoldenResult(NamedTuple):
    """What the golden questions came to: whether all was as expected, and the one line that says so or why not."""

    right: bool
    says: str


def write_interpreter(bin_directory: Path, interpreter: Path) -> None:
    """Put a ``python`` and a ``python3`` into ``bin_directory`` that are ``interpreter``.

    They are scripts, since a link to a virtual environment's python loses the environment.
    """
    bin_directory.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        script = bin_directory / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(interpreter))} "$@"\n')
        script.chmod(0o755)


def program_of(
    image: ImageConfig, root: Path, path: str, environment: Mapping[str, str], packages: Sequence[Path] = ()
) -> Program:
    """The image's ENTRYPOINT and CMD as a process under ``root``, with ``environment`` laid over the image's ENV.

    ``path`` comes before the image's own PATH, ``packages`` after its PYTHONPATH. Nothing of the caller's environment
    is passed on. Absolute paths of the image, in its command and its ENV, become those under ``root``. HOST asks a
    server that heeds it to stay on this machine. Raises ValueError if the image names no command.
    """
    argv = (*image.entrypoint, *image.cmd)
    if not argv:
        raise ValueError("the image has neither ENTRYPOINT nor CMD: add a CMD to its Dockerfile and push again")
    own = {name: _under(root, value) for name, value in image.env.items()}
    own["PATH"] = ":".join(filter(None, (path, own.get("PATH"), SYSTEM_PATH)))
    modules = ":".join(filter(None, (own.get("PYTHONPATH"), *map(str, packages))))
    own |= {"PYTHONPATH": modules} if modules else {}
    base = {"HOME": str(root), "LANG": "C.UTF-8", "HOST": LOOPBACK}
    return Program(
        (_executable(root, argv[0]), *(_under(root, word) for word in argv[1:])),
        root / image.workdir.lstrip("/"),
        {**base, **own, **environment},
    )


def _executable(root: Path, word: str) -> str:
    """An absolute command which the image does not carry, like /usr/local/bin/python, is looked up by its name."""
    inside = _under(root, word)
    if not word.startswith("/") or inside != word:
        return inside
    name = Path(word).name
    return "python3" if _PYTHON.fullmatch(name) else name


def _under(root: Path, value: str) -> str:
    """``value`` with each absolute path in it (parted by ``:``) that the image carries moved under ``root``."""
    return ":".join(_moved(root, part) for part in value.split(":"))


def _moved(root: Path, part: str) -> str:
    inside = root / part.lstrip("/")
    return str(inside) if part.strip("/") and part.startswith("/") and inside.exists() else part


class Lifeline:
    """A small process that outlives this one by a moment, only to end the containers this one can no longer end.

    It reads a pipe that the kernel closes when this process ends, however it ends, kill -9 included.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LIFELINE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
            text=True,
        )

    def hold(self, group: int) -> None:
        """End this process group when this process ends."""
        self._tell(f"+{group}\n")

    def release(self, group: int) -> None:
        """This group has ended; its number may be another's from now on."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the lifeline; what it still holds ends with it."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        with self._lock, contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.write(line)
                pipe.flush()


class Container:
    """One release's process on a loopback port of its own, which it keeps over restarts."""

    def __init__(self, program: Program, log: Path, lifeline: Lifeline, listens: ContainerPort = ANY_PORT) -> None:
        self.port = free_port()
        self.log = log
        self.listens = listens
        self._notes = log.with_name("listening")
        self._program = program
        self._lifeline = lifeline
        self._process: subprocess.Popen[bytes] | None = None
        self.ends: list[int] = []  # the status of each time it ended by itself

    @property
    def pid(self) -> int | None:
        """The process's number, None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there at this moment."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int:
        """The status it ended with, as Docker tells it: 128 and the signal's number for one; 0 before its end."""
        status = (self._process.poll() if self._process else None) or 0
        return 128 - status if status < 0 else status

    def start(self) -> None:
        """Start the process, its output appended to the log. Raises OSError with a sentence if it cannot be run."""
        program = self._program
        self._notes.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    self.listens.command(program.argv, self.port),
                    cwd=program.directory,
                    env=self.listens.environment(program.environment, self.port, self._notes),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise OSError(error.errno, _cannot_run(program, error)) from error
        self._lifeline.hold(self._process.pid)

    def end(self, seconds: float) -> None:
        """SIGTERM to the process; after ``seconds``, SIGKILL to what is left of its group. Twice is once."""
        process = self._process
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        # As when a container's first process ends: what it started ends with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._lifeline.release(process.pid)
        self._process = None

    def await_health(self, path: str, seconds: float, stopped: Callable[[], bool]) -> Health | str:
        """Wait until GET ``path`` answers 200, or a path of the short list where none is given. Otherwise the sentence
        why not, at once if the process ends.

        Gives up after ``seconds``, or when ``stopped()`` is true.
        """
        deadline = time.monotonic() + seconds
        asked = f"GET {path}" if path else "a request"
        search = HealthSearch(path, lambda at: self.one_answer(at, deadline - time.monotonic()), time.monotonic)
        while True:
            if not self.running:
                return f"the container {self.last_words()} before it answered {asked}"
            if not (why := self._unreachable()) and (found := search.look()):
                return found
            if stopped():
                return f"stopped before the container answered {asked}"
            if time.monotonic() > deadline:
                return why or self._never_healthy(asked, seconds, search.seen)
            time.sleep(POLL_SECONDS)

    def ask_golden(self, questions: Path, stopped: Callable[[], bool]) -> GoldenResult:
        """Ask the golden questions of a file, one after another, until one is answered otherwise than expected.

        Gives up when ``stopped()`` is true.
        """
        command = [sys.executable, "-I", str(_GOLDEN), f"http://{LOOPBACK}:{self.port}", str(questions)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as asking:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = asking.communicate(timeout=POLL_SECONDS)
                    break
                if stopped():
                    asking.kill()
        lines = output.strip().splitlines() or [f"golden.py ended without a word, with status {asking.returncode}"]
        return GoldenResult(asking.returncode == 0, masked(lines[-1], self._secrets()))

    def last_words(self) -> str:
        """How the process ended, as a predicate: ``exited with status 3``, ``was ended by SIGKILL``."""
        status = None if self._process is None else self._process.poll()
        if status is None:
            return "is still running" if self._process else "was ended"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"

    def log_tail(self) -> str:
        """The last 50 lines of the log without secrets, the last 2,048 characters of those."""
        return log_tail(self.log, self._secrets())

    def _secrets(self) -> list[str]:
        return secret_values(f"{name}={value}" for name, value in self._program.environment.items())

    @property
    def found_port(self) -> int:
        """The port that the container's server meant to listen on, 0 where that is not known."""
        there = [port for _, port in noted(self._notes)]
        return self.listens.number or next((port for port in there if port != self.port), 0)

    def _unreachable(self) -> str:
        """Why nobody outside a real container would reach this one's server; "" where somebody would."""
        bound = noted(self._notes)
        port = self.found_port
        here = [host for host, asked in bound if asked == port]
        if here and not any(host in ANYWHERE for host in here) and port != self.port:
            return (
                f"expected the container to listen on 0.0.0.0:{port}, got {here[0]}:{port}: in a container nobody "
                f"outside reaches that; let it listen on 0.0.0.0 and push again"
            )
        elsewhere = [asked for _, asked in bound if asked not in (port, self.port)]
        if elsewhere and not here and not any(asked == self.port for _, asked in bound):
            return (
                f"expected the container to listen on port {port}, {self.listens.said_by or 'as it was told'}, got "
                f"{elsewhere[0]}: write port: {elsewhere[0]} into esteira.yaml, or let it listen on {port}"
            )
        return ""

    def one_answer(self, path: str, seconds: float = ONE_ANSWER_SECONDS) -> str:
        """The status of GET ``path``, "" where no answer came."""
        try:
            return str(get_status(self.port, path, min(max(seconds, POLL_SECONDS), ONE_ANSWER_SECONDS)))
        except OSError:
            return ""

    def _never_healthy(self, asked: str, seconds: float, seen: str) -> str:
        if seen:
            return f"{seen} for {seconds:g} s"
        return (
            f"{asked} was not answered on port {self.port} for {seconds:g} s: "
            "the container must listen on the port its environment names, PORT"
        )


class Supervisor:
    """Starts a container again when it ends by itself, after a short and growing delay, until told to stop. ``ended``
    hears of each end."""

    def __init__(self, container: Container, name: str, ended: Callable[[], None] = lambda: None) -> None:
        self._container = container
        self._name = name
        self._ended = ended
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor-{name}", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Start it no more; the process itself is left as it is."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        delay, started = FIRST_RESTART_SECONDS, time.monotonic()
        while not self._end.wait(POLL_SECONDS):
            if self._container.running:
                continue
            self._container.ends.append(self._container.status)
            self._ended()
            delay = FIRST_RESTART_SECONDS if time.monotonic() - started > STEADY_SECONDS else delay
            self._say(f"{self._name}: the container {self._container.last_words()}; started again in {delay:g} s")
            if self._end.wait(delay):
                return
            delay, started = min(delay * 2, LONGEST_RESTART_SECONDS), time.monotonic()
            self._start_again()

    def _start_again(self) -> None:
        self._container.end(0)  # what its group may have left behind
        try:
            self._container.start()
        except OSError as error:
            self._say(f"{self._name}: {error.strerror}")

    def _say(self, sentence: str) -> None:
        _log.warning(sentence)
        with self._container.log.open("a") as log:
            log.write(f"[esteira] {sentence}\n")


def free_port() -> int:
    """A port on 127.0.0.1 nobody listens on. Raises OSError if a hundred tries find none."""
    for candidate in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, candidate))
            return candidate
    raise OSError(f"no free port between {PORTS.start} and {PORTS.stop} on {LOOPBACK}: end what listens there")


def log_tail(log: Path, values: Iterable[str] = ()) -> str:
    """The last 50 lines of a file without secrets, ``values`` among them, and the last 2,048 characters of those; "" if
    there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8 * TAIL_CHARACTERS))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(masked(text, values).splitlines()[-TAIL_LINES:])[
        -TAIL_CHARACTERS:
    ]  # cut first, half a secret stays


def _cannot_run(program: Program, error: OSError) -> str:
    if not program.directory.is_dir():
        return f"the image's WORKDIR is not in it: create {program.directory.name} there with COPY, and push again"
    return (
        f"the image's command {program.argv[0]!r} cannot be run on this machine ({error.strerror}): "
        "install it here, or use the Docker engine"
    )
