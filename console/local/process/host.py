"""The local host: what an EC2 instance with CodeDeploy's agent is on AWS, with processes for containers.

A deployment goes through the agent's lifecycle events in its order. The new container is started **beside** the live
one and takes traffic only once it is healthy and answers its golden questions as expected; what fails before that
leaves the live one untouched, and what fails after it turns the traffic back. The public socket is the front's, for as
long as the host lives. This module decides nothing about releases: it does what the bundle says, or says why not.
"""

from __future__ import annotations

import io
import logging
import posixpath
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from console.local.engine import DeployJob, DeployResult, DeployStatus, LifecycleEvent
from console.local.paths import FUNCTIONS
from console.local.process.container import Container, Lifeline, Supervisor, program_of, write_interpreter
from console.local.process.front import LOOPBACK, Front
from console.local.process.oci import ImageConfig, Registry

EVENTS = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
# A candidate that never served has nothing to finish.
CANDIDATE_STOP_SECONDS = 2.0
VALIDATE_SECONDS = 10.0
RELEASE_FILE_BYTES = 1024 * 1024
# By this label an image says where in it its golden questions are.
GOLDEN_LABEL = "esteira.golden"
_ROOT, _LOG, _RELEASE_FILE = "root", "container.log", "release.json"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class HostRelease(BaseModel):
    """``release.json`` at the root of a bundle: which image to run, and how to tell that it runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str = Field(min_length=1)
    release: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    number: int
    commit: str | None = None
    stage: str = Field(min_length=1)
    image: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    port: int = Field(default=8080, gt=0, lt=65536)  # a container's of its own; here PORT says which it is
    health_path: str = Field(default="/ping", pattern=r"^/[!-~]*$")
    startup_seconds: float = Field(default=30, gt=0)
    drain_seconds: float = Field(default=10, ge=0)
    environment: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if not self.image.endswith(f"@{self.digest}"):
            raise ValueError(f"image {self.image} is not the one with the digest {self.digest}")
        return self


class LiveRelease(HostRelease):
    """What is live, as ``live.json`` remembers it. ``directory`` is a name under ``releases/``."""

    directory: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    since: datetime


@dataclass(frozen=True)
class _LiveContainer:
    """The live release and what runs it."""

    live: LiveRelease
    container: Container
    supervisor: Supervisor


class ProcessHost:
    """One host: the public port, at most one live release behind it, one deployment at a time.

    Answers on 127.0.0.1:``port`` (0: a free one) from the moment it is made. Keeps everything under ``directory``.
    ``interpreter`` is what images find as ``python``. A deployment waits up to ``wait_seconds`` for the one before it;
    an old container has ``stop_seconds`` between SIGTERM and SIGKILL. Raises OSError if the port cannot be had.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        registry: Registry,
        interpreter: Path,
        *,
        wait_seconds: float = 900.0,
        stop_seconds: float = 10.0,
    ) -> None:
        # Containers get another working directory, so every path they are given must be absolute.
        self._directory = directory.absolute()
        self._registry = registry
        self._interpreter = interpreter.absolute()
        self._wait_seconds = wait_seconds
        self.stop_seconds = stop_seconds
        self._turn = threading.Lock()
        self._under_way = ""
        self._closing = threading.Event()
        self._running: _LiveContainer | None = None
        self.releases.mkdir(parents=True, exist_ok=True)
        write_interpreter(self._directory / "bin", self._interpreter)
        self.front = Front(LOOPBACK, port)
        self.front.start()
        self._lifeline = Lifeline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The public port."""
        return self.front.port

    @property
    def live(self) -> LiveRelease | None:
        """What is live, or None."""
        return None if self._running is None else self._running.live

    @property
    def live_pid(self) -> int | None:
        """The process of what is live, or None."""
        return None if self._running is None else self._running.container.pid

    @property
    def releases(self) -> Path:
        """Where releases are unpacked, each in a directory with its ``container.log``: the live one, the previous."""
        return self._directory / "releases"

    def deploy(self, job: DeployJob) -> DeployResult:
        """Swap the bundle's release in, or leave the live one untouched and say why. Blocks until it is done.

        Returns once the old release has drained and ended. Deploying a release twice is deploying it again.
        """
        refusal = self._wait_for_turn(job)
        if refusal is not None:
            return refusal
        try:
            self._under_way = job.deployment_id
            return _HostDeployment(self, job).run()
        finally:
            self._turn.release()

    def resume(self) -> str:
        """Start again what ``live.json`` says was live. "" if it is live, or nothing was; else the sentence why not."""
        with self._turn:
            if self._running is not None or not self._memory.exists():
                return ""
            try:
                live = LiveRelease.model_validate_json(self._memory.read_bytes())
                return self._resume(live)
            except (OSError, ValueError) as error:
                return f"what was live here cannot be started again: {_sentence(error)}. Deploy a release anew"

    def close(self) -> None:
        """End a deployment under way, every process and the front. ``live.json`` stays, for ``resume``."""
        self._closing.set()
        with self._turn:
            running, self._running = self._running, None
            if running is not None:
                running.supervisor.stop()
                running.container.end(self.stop_seconds)
            self.front.close()
            self._lifeline.close()

    # What a deployment and a resumption are made of.

    def is_stopped(self, job: DeployJob) -> bool:
        """Whether a deployment should end early."""
        return job.stop.is_set() or self._closing.is_set()

    def new_directory(self, release: HostRelease) -> Path:
        """An empty directory for this attempt alone: the same release may be live in another."""
        directory = Path(tempfile.mkdtemp(prefix=f"{release.release}-", dir=self.releases))
        (directory / _RELEASE_FILE).write_text(release.model_dump_json(indent=2))
        return directory

    def unpack(self, release: HostRelease, directory: Path) -> ImageConfig:
        """Lay the image's files out in the attempt's directory. Raises OSError or ValueError with a sentence."""
        return self._registry.unpack(release.digest, directory / _ROOT)

    def container(self, release: HostRelease, directory: Path, image: ImageConfig) -> Container:
        """The container of an unpacked image, not started. Raises ValueError if the image names no command."""
        path = f"{self._directory / 'bin'}:{self._interpreter.parent}"
        environment = {**release.environment, "ESTEIRA_RELEASE": release.release}
        program = program_of(image, directory / _ROOT, path, environment)
        return Container(program, directory / _LOG, self._lifeline)

    def succeed(self, release: HostRelease, directory: Path, container: Container) -> Callable[[], None]:
        """Remember the release as the live one and watch over it. Returns what ends the one before it."""
        live = LiveRelease.model_validate(
            release.model_dump() | {"directory": directory.name, "since": datetime.now(UTC)}
        )
        self._remember(live)
        before = self._running
        self._running = _LiveContainer(live, container, Supervisor(container, f"{live.service} {live.release}"))
        self._running.supervisor.start()
        return lambda: self._retire(before)

    def prune(self) -> None:
        """Keep the live release's directory and that of the one before it."""
        live = self._running.live.directory if self._running else ""
        others = [path for path in self.releases.iterdir() if path.name != live]
        others.sort(key=_made_at, reverse=True)
        for stale in others[1:]:
            shutil.rmtree(stale, ignore_errors=True)

    @property
    def _memory(self) -> Path:
        return self._directory / "live.json"

    def _remember(self, live: LiveRelease) -> None:
        """Written beside and moved, so that a crash leaves the old memory or the new one."""
        draft = self._memory.with_suffix(".draft")
        draft.write_text(live.model_dump_json(indent=2))
        draft.replace(self._memory)

    def _resume(self, live: LiveRelease) -> str:
        directory = self.new_directory(live)
        container = self.container(live, directory, self.unpack(live, directory))
        container.start()
        why = container.why_unhealthy(live.health_path, live.startup_seconds, self._closing.is_set)
        # Turned to even if it is not healthy: it was live, nothing else is, and its supervisor goes on trying.
        self.front.turn_to(container.port)
        self.succeed(live, directory, container)
        shutil.rmtree(self.releases / live.directory, ignore_errors=True)
        self.prune()
        return why and f"{live.service} {live.release} was live and is not well: {why}. It is started again on and on"

    def _retire(self, running: _LiveContainer | None) -> None:
        if running is None:
            return
        running.supervisor.stop()
        if not self.front.drained(running.container.port, running.live.drain_seconds):
            _log.info("%s is ended with requests in flight, at its drain deadline", running.live.release)
        running.container.end(self.stop_seconds)

    def _wait_for_turn(self, job: DeployJob) -> DeployResult | None:
        """None once it is this deployment's turn; the lock is held then. Otherwise how it ended without one."""
        deadline = time.monotonic() + self._wait_seconds
        while not self._turn.acquire(timeout=0.05):
            if self.is_stopped(job):
                return _never_begun("Stopped", "MANUAL_STOP", "stopped while it waited for its turn on the host")
            if time.monotonic() > deadline:
                why = f"deployment {self._under_way} has held the host for more than {self._wait_seconds:g} s"
                return _never_begun("Failed", "TIMEOUT", f"{why}: wait for its end or stop it, then retry")
        return None


class _StepError(Exception):
    """A lifecycle event cannot be done; the sentence why."""


class _StopError(Exception):
    """The deployment was told to stop."""


class _HostDeployment:
    """One deployment's way through the lifecycle events. Each step notes what it did in ``_note``."""

    def __init__(self, host: ProcessHost, job: DeployJob) -> None:
        self._host = host
        self._job = job
        self._events: list[LifecycleEvent] = []
        self._note = ""
        self._release: HostRelease | None = None
        self._directory: Path | None = None
        self._image: ImageConfig | None = None
        self._container: Container | None = None
        self._turned_from: int | None = None
        self._turned = False
        self._end_of_old: Callable[[], None] = lambda: None

    def run(self) -> DeployResult:
        """Every event in order; the first that fails undoes the attempt and ends it."""
        steps = (
            self._application_stop,
            self._download_bundle,
            self._before_install,
            self._install,
            self._after_install,
            self._application_start,
            self._validate_service,
        )
        for name, step in zip(EVENTS, steps, strict=True):
            ended_as = self._perform(name, step)
            if ended_as != "Succeeded":
                return self._ended(ended_as)
        self._end_of_old()
        self._host.prune()
        return DeployResult("Succeeded", tuple(self._events))

    def _perform(self, name: str, step: Callable[[], None]) -> DeployStatus:
        started, self._note = datetime.now(UTC), ""
        try:
            self._heed_stop()
            step()
        except _StopError:
            self._undo()
            self._record(name, "Failed", started, "stopped on request; the live release was left as it was")
            return "Stopped"
        except (_StepError, OSError, ValueError) as error:
            tail = self._container.log_tail() if self._container else ""
            self._undo()
            self._record(name, "Failed", started, _sentence(error), tail)
            return "Failed"
        except BaseException:
            self._undo()
            raise
        self._record(name, "Succeeded", started, self._note)
        return "Succeeded"

    def _application_stop(self) -> None:
        self._note = "nothing to stop yet: the live release serves until the new one does"

    def _download_bundle(self) -> None:
        self._release = _release_in(self._job.bundle)
        self._note = f"{self._release.service} {self._release.release}, {self._release.image}"

    def _before_install(self) -> None:
        self._directory = self._host.new_directory(_given(self._release))
        self._note = f"releases/{self._directory.name}"

    def _install(self) -> None:
        self._image = self._host.unpack(_given(self._release), _given(self._directory))

    def _after_install(self) -> None:
        image = _given(self._image)
        self._container = self._host.container(_given(self._release), _given(self._directory), image)
        if image.user:
            self._note = f"USER {image.user} is noted, not changed to: the process engine runs everything as you"

    def _application_start(self) -> None:
        """Start beside the live release, wait for health, ask its golden questions, and only then turn the front."""
        release, container, front = _given(self._release), _given(self._container), self._host.front
        container.start()
        why = container.why_unhealthy(release.health_path, release.startup_seconds, self._is_stopped)
        self._heed_stop()
        if why:
            raise _StepError(why)
        asked = self._ask_golden(container)
        self._turned_from, self._turned = front.target, True
        front.turn_to(container.port)
        self._note = f"healthy on port {container.port}{asked}; requests go to it from now on"

    def _ask_golden(self, container: Container) -> str:
        """Ask what the image's label names; what came of it, to be added to the note: "" where it has no such label."""
        label = _given(self._image).labels.get(GOLDEN_LABEL, "")
        if not label:
            return ""
        mend = "COPY the golden questions there, or mend the LABEL in the Dockerfile, and push again"
        if not label.startswith("/"):
            raise _StepError(f"the image's label {GOLDEN_LABEL} is {label}, expected a path that begins with /: {mend}")
        # Normalised, so that no .. leads out of the image.
        file = _given(self._directory) / _ROOT / posixpath.normpath(label).lstrip("/")
        if not file.is_file():
            raise _StepError(f"the image's label {GOLDEN_LABEL} names {label}, expected a file there, got none: {mend}")
        asked = container.ask_golden(file, self._is_stopped)
        self._heed_stop()
        if not asked.right:
            raise _StepError(asked.says)
        return f", {asked.says}"

    def _validate_service(self) -> None:
        """The health path through the public port, answered by the new container's own process."""
        release, container = _given(self._release), _given(self._container)
        asked = f"GET {release.health_path} through port {self._host.port}"
        try:
            answer = self._host.front.ask(release.health_path, VALIDATE_SECONDS)
        except OSError as error:
            raise _StepError(f"{asked} was not answered: {error}") from error
        if answer.upstream != container.port or not container.running:
            raise _StepError(f"{asked} was not answered by the new container, which {container.last_words()}")
        if answer.status != 200:
            raise _StepError(f"{asked} answered {answer.status}")
        self._end_of_old = self._host.succeed(release, _given(self._directory), container)
        self._note = f"{asked} answered 200"

    def _is_stopped(self) -> bool:
        return self._host.is_stopped(self._job)

    def _heed_stop(self) -> None:
        if self._is_stopped():
            raise _StopError

    def _undo(self) -> None:
        """The candidate goes; whatever was live is as it was."""
        if self._container is not None:
            if self._turned:
                self._host.front.turn_to(self._turned_from)
                self._host.front.drained(self._container.port, _given(self._release).drain_seconds)
            self._container.end(self._host.stop_seconds if self._turned else CANDIDATE_STOP_SECONDS)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _record(
        self, name: str, status: Literal["Succeeded", "Failed"], started: datetime, message: str, log_tail: str = ""
    ) -> None:
        code = "Success" if status == "Succeeded" else "ScriptFailed"
        event = LifecycleEvent(name, status, started, datetime.now(UTC), code, "", message, log_tail)
        self._events.append(event)
        _write_log(self._job.log, event)

    def _ended(self, status: DeployStatus) -> DeployResult:
        last = self._events[-1]
        skipped = tuple(_skipped(name) for name in EVENTS[len(self._events) :])
        code = "MANUAL_STOP" if status == "Stopped" else "HEALTH_CONSTRAINTS"
        return DeployResult(status, (*self._events, *skipped), code, f"{last.name}: {last.message}")


def _release_in(bundle: bytes) -> HostRelease:
    """The bundle's ``release.json``. Raises _StepError with a sentence naming what is wrong in it, or why it cannot
    be run here.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive, archive.open(_RELEASE_FILE) as file:
            if _is_foreign(set(archive.namelist()) - {_RELEASE_FILE}):
                raise _StepError(
                    "the repository brings its own appspec.yml, whose hooks the process engine cannot run; next: "
                    "esteira local up --engine docker, or take appspec.yml away for the default bundle"
                )
            return HostRelease.model_validate_json(file.read(RELEASE_FILE_BYTES))
    except zipfile.BadZipFile as error:
        raise _StepError(f"the bundle is not a whole zip file ({error}): upload it again") from error
    except KeyError as error:
        raise _StepError(f"the bundle has no {_RELEASE_FILE} at its root: put it there and upload it again") from error
    except ValidationError as error:
        raise _StepError(f"{_RELEASE_FILE} of the bundle is not valid: {_sentence(error)}") from error


def _is_foreign(names: set[str]) -> bool:
    """Whether a bundle of these files brings hooks of its own. This host does itself what the default one's do."""
    default = FUNCTIONS / "host"
    ours = {p.relative_to(default).as_posix() for p in default.rglob("*") if p.is_file()}
    return "appspec.yml" in names and not names <= ours


def _given(value: _T | None) -> _T:
    """A thing that an earlier lifecycle event made."""
    if value is None:
        raise RuntimeError("a lifecycle event ran before the one it builds on")
    return value


def _sentence(error: Exception) -> str:
    """The one sentence of an error: pydantic's first field, a system error's text, or what it says."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _skipped(name: str) -> LifecycleEvent:
    now = datetime.now(UTC)
    return LifecycleEvent(name, "Skipped", now, now)


def _never_begun(status: DeployStatus, code: str, message: str) -> DeployResult:
    return DeployResult(status, tuple(_skipped(name) for name in EVENTS), code, message)


def _write_log(log: Path, event: LifecycleEvent) -> None:
    lines = [f"{event.ended:%Y-%m-%dT%H:%M:%SZ} {event.name} {event.status} {event.message}".rstrip()]
    lines += [f"    {line}" for line in event.log_tail.splitlines()]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write("\n".join(lines) + "\n")


def _made_at(directory: Path) -> int:
    try:
        return (directory / _RELEASE_FILE).stat().st_mtime_ns
    except OSError:
        return 0
