"""One deployment on a host: CodeDeploy's lifecycle events in their order.

The new container starts beside the live one and takes traffic only once it is healthy and answers its golden questions
as expected. A failure before that leaves the live one untouched; a failure after it turns the traffic back.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from console.local.engine import DeployJob, DeployResult, DeployStatus, LifecycleEvent
from console.local.process.container import Container
from console.local.process.health import Health
from console.local.process.host_release import HostRelease, StepError, release_in, sentence_of
from console.local.process.host_state import ROOT, HostState
from console.local.process.judging import judged, ready_seconds
from console.local.process.oci import ImageConfig
from console.local.process.upstream import AnswerCounts

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
# By this label an image says where in it its golden questions are.
GOLDEN_LABEL = "esteira.golden"

_T = TypeVar("_T")


class _StopError(Exception):
    """The deployment was told to stop."""


class HostDeployment:
    """One deployment's way through the lifecycle events. Each step notes what it did in ``_note``."""

    def __init__(self, host: HostState, job: DeployJob) -> None:
        self._host = host
        self._job = job
        self._events: list[LifecycleEvent] = []
        self._note = ""
        self._found = ""
        self._release: HostRelease | None = None
        self._directory: Path | None = None
        self._image: ImageConfig | None = None
        self._container: Container | None = None
        self._health: Health | None = None
        self._turned_from: int | None = None
        self._turned = False
        self._answered_before = AnswerCounts()
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
        self._job.begun(name)
        try:
            self._heed_stop()
            step()
        except _StopError:
            self._undo()
            self._record(name, "Failed", started, "stopped on request; the live release was left as it was")
            return "Stopped"
        except (StepError, OSError, ValueError) as error:
            tail = self._container.log_tail() if self._container else ""
            self._undo()
            self._record(name, "Failed", started, sentence_of(error), tail)
            return "Failed"
        except BaseException:
            self._undo()
            raise
        self._record(name, "Succeeded", started, self._note, self._found if name == "ApplicationStart" else "")
        return "Succeeded"

    def _application_stop(self) -> None:
        self._note = "nothing to stop yet: the live release serves until the new one does"

    def _download_bundle(self) -> None:
        named = {"deployment": self._job.deployment_id}
        self._release = release_in(self._job.bundle).model_copy(update=named)
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
        found = container.await_health(release.health_path, release.startup_seconds, self._is_stopped)
        self._heed_stop()
        if isinstance(found, str):
            raise StepError(found)
        self._health = found
        asked = self._ask_golden(container)
        self._turned_from, self._turned = front.target, True
        self._answered_before = front.tally(front.target)
        front.turn_to(container.port, release.limits)
        self._note = f"healthy on port {container.port}{asked}; requests go to it from now on"
        self._found = found_lines(release, container, self._health)

    def _ask_golden(self, container: Container) -> str:
        """Ask the questions that the image's label names. The answer is for the note; "" without a label."""
        label = _given(self._image).labels.get(GOLDEN_LABEL, "")
        if not label:
            return ""
        mend = "COPY the golden questions there, or mend the LABEL in the Dockerfile, and push again"
        if not label.startswith("/"):
            raise StepError(f"the image's label {GOLDEN_LABEL} is {label}, expected a path that begins with /: {mend}")
        # Normalised, so that no .. leads out of the image.
        file = _given(self._directory) / ROOT / posixpath.normpath(label).lstrip("/")
        if not file.is_file():
            raise StepError(f"the image's label {GOLDEN_LABEL} names {label}, expected a file there, got none: {mend}")
        asked = container.ask_golden(file, self._is_stopped)
        self._heed_stop()
        if not asked.right:
            raise StepError(asked.says)
        return f", {asked.says}"

    def _validate_service(self) -> None:
        """The health path through the public port, answered by the new container's own process; then real requests."""
        release, container = _given(self._release), _given(self._container)
        health = _given(self._health)
        asked = f"GET {health.path} through port {self._host.front.port}"
        try:
            answer = self._host.front.ask(health.path, VALIDATE_SECONDS)
        except OSError as error:
            raise StepError(f"{asked} was not answered: {error}") from error
        if answer.upstream != container.port or not container.running:
            raise StepError(f"{asked} was not answered by the new container, which {container.last_words()}")
        if answer.status != health.status:
            raise StepError(f"{asked} answered {answer.status}")
        self._judge(container, health, ready_seconds(release.min_ready_seconds))
        self._end_of_old = self._host.succeed(release, _given(self._directory), container, health)
        self._note = f"{asked} answered {health.status}"

    def _judge(self, container: Container, health: Health, seconds: float) -> None:
        """By what it answers, while the one before it still runs and finishes what was begun there."""
        front, old, running = self._host.front, self._turned_from, self._host.running
        drain = running.live.drain_seconds if running is not None else 0.0

        def is_over(passed: float) -> bool:
            drained = old is None or passed >= drain or not front.in_flight(old)
            return self._is_stopped() or (drained and passed >= seconds)

        why = judged(container, health, lambda: front.tally(container.port), self._answered_before, is_over)
        self._heed_stop()
        if why:
            raise StepError(why)

    def _is_stopped(self) -> bool:
        return self._host.is_stopped(self._job)

    def _heed_stop(self) -> None:
        if self._is_stopped():
            raise _StopError

    def _undo(self) -> None:
        """The candidate goes; whatever was live is as it was."""
        if self._container is not None:
            if self._turned:
                self._host.front.turn_to(self._turned_from, self._host.limits)
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


def _given(value: _T | None) -> _T:
    """A thing that an earlier lifecycle event made."""
    if value is None:
        raise RuntimeError("a lifecycle event ran before the one it builds on")
    return value


def found_lines(release: HostRelease, container: Container, health: Health) -> str:
    """What had to be found out, a line each, with the line of esteira.yaml that would say it. The controller reads them
    out of the lifecycle event's log, as it does from the hooks of the default bundle."""
    port, by = container.found_port, container.listens.said_by or "where the container listens"
    lines = [f"found: port {port}, {by}; in esteira.yaml: port: {port}"] if port and not release.port else []
    if not release.health_path:
        path = health.path
        lines.append(f"found: health path {path}, which answers {health.status}; in esteira.yaml: health: {path}")
    return "\n".join(lines)


def _skipped(name: str) -> LifecycleEvent:
    now = datetime.now(UTC)
    return LifecycleEvent(name, "Skipped", now, now)


def never_begun(status: DeployStatus, code: str, message: str) -> DeployResult:
    return DeployResult(status, tuple(_skipped(name) for name in EVENTS), code, message)


def _write_log(log: Path, event: LifecycleEvent) -> None:
    lines = [f"{event.ended:%Y-%m-%dT%H:%M:%SZ} {event.name} {event.status} {event.message}".rstrip()]
    lines += [f"    {line}" for line in event.log_tail.splitlines()]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write("\n".join(lines) + "\n")
