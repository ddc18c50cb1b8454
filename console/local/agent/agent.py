"""The CodeDeploy agent of one host: it takes a bundle through the lifecycle events, as agent 1.8.1 does.

Each deployment is unpacked into ``<root>/<group id>/<deployment id>/deployment-archive/``. Its scripts run from there
with ``/`` as working directory, no standard input and their own process group; their output goes to
``logs/scripts.log``. The agent knows nothing about containers or proxies: the scripts of the bundle do.

One difference from the real agent: when a deployment is stopped, its script gets TERM, and KILL half a minute later.
The real agent waits until the script ends, which can take an hour.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import threading
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appspec.hooks import BALANCED
from appspec.problem import NAME as APPSPEC
from console.local.agent import appspec_reader
from console.local.agent.agent_script import ScriptError, ScriptLog, ScriptRun, make_executable, send
from console.local.agent.appspec_reader import Appspec, AppspecError, Script
from console.local.agent.installer import InstallError, install
from console.local.engine import DeployJob, DeployResult, DeployStatus, LifecycleEvent

# Without a load balancer the service sends no …Traffic event.
EVENTS = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
FROM_THE_LAST_INSTALL = ("ApplicationStop",)
KEPT = 5  # archives of a deployment group, including the one being unpacked
TOO_MANY = (
    "The overall deployment failed because too many individual instances failed deployment, too few healthy instances "
    "are available for deployment, or some instances in your deployment group are experiencing problems."
)


class Agent:
    """One host's agent. ``root`` is its folder, ``environment`` its own, which every script inherits."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root.absolute()
        self._environment = dict(environment)
        self._closing = threading.Event()
        self._left: list[int] = []  # process groups whose script left a child that holds its output

    def deploy(self, job: DeployJob) -> DeployResult:
        """Take the bundle through the events until one fails; blocks. A failure undoes nothing."""
        deployment = _Deployment(self, job)
        results: list[LifecycleEvent] = []
        status: DeployStatus = "Succeeded"
        for name in EVENTS:
            if self.is_stopped(job):
                status = "Stopped"
                break
            job.begun(name)
            event = deployment.perform(name)
            results.append(event)
            _write_log(job.log, job.host, event)
            ignored = name in FROM_THE_LAST_INSTALL and job.ignore_application_stop_failures
            if event.status == "Failed" and not ignored:
                status = "Stopped" if self.is_stopped(job) else "Failed"
                break
        now = datetime.now(UTC)
        skipped = (LifecycleEvent(name, "Skipped", now, now) for name in EVENTS[len(results) :])
        code, message = _told(status)
        return DeployResult(status, (*results, *skipped), code, message)

    def is_stopped(self, job: DeployJob) -> bool:
        """Whether the running script must end now."""
        return job.stop.is_set() or self._closing.is_set()

    def close(self) -> None:
        """End the running script, and the children that earlier scripts left behind."""
        self._closing.set()
        for group in self._left:
            send(group, signal.SIGKILL)

    def folder(self, job: DeployJob) -> Path:
        """The deployment's folder."""
        return self._root / (job.group_id or job.group) / job.deployment_id

    @property
    def instructions(self) -> Path:
        """The folder with the records of what was installed."""
        return self._root / "deployment-instructions"

    def last_install(self, job: DeployJob) -> Path | None:
        """The folder of the group's last deployment with a successful Install; None before the first."""
        noted = self._note(job)
        return Path(noted.read_text().strip()) if noted.exists() else None

    def note_install(self, job: DeployJob) -> None:
        """Record the deployment as the last install."""
        self._note(job).write_text(f"{self.folder(job)}\n")

    def environment(self, job: DeployJob, event: str) -> dict[str, str]:
        """The environment of a script."""
        told = {
            "LIFECYCLE_EVENT": event,
            "DEPLOYMENT_ID": job.deployment_id,
            "APPLICATION_NAME": job.application,
            "DEPLOYMENT_GROUP_NAME": job.group,
            "DEPLOYMENT_GROUP_ID": job.group_id,
        }
        names = {"bucket": "BUNDLE_BUCKET", "key": "BUNDLE_KEY", "version": "BUNDLE_VERSION", "eTag": "BUNDLE_ETAG"}
        bundle = {names[name]: value for name, value in job.revision.items() if name in names}
        return {**self._environment, **told, **bundle}

    def left_open(self, group: int) -> None:
        """Record a process group whose script ended but left a child that holds its output."""
        self._left.append(group)

    def prune(self, job: DeployJob) -> None:
        """Delete the oldest archives of the group, except the last install's."""
        last, group = self.last_install(job), self.folder(job).parent
        others = [path for path in group.iterdir() if path not in (last, self.folder(job))] if group.is_dir() else []
        others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        room = KEPT - 1 - (last is not None)
        for path in others[room:]:
            shutil.rmtree(path, ignore_errors=True)

    def _note(self, job: DeployJob) -> Path:
        return self.instructions / f"{job.group_id or job.group}_last_successful_install"


class _Deployment:
    """One deployment on its way through the events."""

    def __init__(self, agent: Agent, job: DeployJob) -> None:
        self._agent, self._job = agent, job
        self._folder = agent.folder(job)

    @property
    def _archive(self) -> Path:
        return self._folder / "deployment-archive"

    def perform(self, name: str) -> LifecycleEvent:
        """Run one event, and report its result."""
        started, log = datetime.now(UTC), ScriptLog(self._folder / "logs" / "scripts.log")
        try:
            if name == "DownloadBundle":
                self._download()
            elif name == "Install":
                self._install()
            else:
                self._run_scripts(name, log)
        except ScriptError as error:
            return _failed(name, started, error.code, error.script, str(error), log.tail)
        except (AppspecError, InstallError, OSError, zipfile.BadZipFile, ValueError) as error:
            return _failed(name, started, "UnknownError", "", _sentence(error), log.tail)
        finally:
            log.close()
        return LifecycleEvent(name, "Succeeded", started, datetime.now(UTC), log_tail=log.tail)

    def _download(self) -> None:
        self._agent.prune(self._job)
        shutil.rmtree(self._archive, ignore_errors=True)
        unpack(self._job.bundle, self._archive)
        self._agent.instructions.mkdir(parents=True, exist_ok=True)

    def _install(self) -> None:
        path = self._archive / APPSPEC
        spec = appspec_reader.parse((path if path.exists() else path.with_suffix(".yaml")).read_bytes())
        unknown = [event for event in spec.hooks if event not in (*EVENTS, *BALANCED)]
        if unknown:
            listed = ", ".join(f'"{event}"' for event in unknown)
            raise InstallError(f"{APPSPEC} file contains unknown lifecycle events: [{listed}]")
        cleanup = self._agent.instructions / f"{self._job.group_id or self._job.group}-cleanup"
        install(spec, self._archive, cleanup, self._job.file_exists_behavior)
        self._agent.note_install(self._job)

    def _run_scripts(self, event: str, log: ScriptLog) -> None:
        folder = self._folder
        if event in FROM_THE_LAST_INSTALL and not self._archive.exists():
            last = self._agent.last_install(self._job)
            if last is None:
                return
            folder = last
        scripts = _read(folder / "deployment-archive").hooks.get(event, ())
        if scripts:
            log.add(f"LifecycleEvent - {event}\n")
        for script in scripts:
            self._run(script, folder / "deployment-archive", event, log)

    def _run(self, script: Script, archive: Path, event: str, log: ScriptLog) -> None:
        # The whole location is a path: it takes no arguments, and ../ is allowed.
        path = Path(f"{archive}/{script.location}")
        if not path.exists():
            where = os.path.normpath(path)
            raise ScriptError("ScriptMissing", script.location, f"Script does not exist at specified location: {where}")
        make_executable(path, script.location)
        log.add(f"Script - {script.location}\n")
        run = ScriptRun(script, log, lambda: self._agent.is_stopped(self._job), self._agent.left_open)
        run.to_end(path, self._agent.environment(self._job, event))


def unpack(bundle: bytes, archive: Path) -> None:
    """Unpack a zip with its modes and links; a single top folder with an appspec is stripped.

    Raises OSError, BadZipFile.
    """
    archive.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(bundle)) as zipped:
        for entry in zipped.infolist():
            mode = entry.external_attr >> 16
            path = Path(zipped.extract(entry, archive))
            if stat.S_ISLNK(mode):
                path.unlink()
                path.symlink_to(zipped.read(entry).decode())
            elif stat.S_IMODE(mode) and not entry.is_dir():
                path.chmod(stat.S_IMODE(mode))
    (top, *others) = [*archive.iterdir(), None]
    if top is not None and others == [None] and top.is_dir() and any(top.glob("appspec.y*ml")):
        aside = archive.with_name("deployment-archive-temp")
        archive.rename(aside)
        (aside / top.name).rename(archive)
        aside.rmdir()


def _read(archive: Path) -> Appspec:
    path = archive / APPSPEC
    if not path.exists():
        raise AppspecError(
            "The CodeDeploy agent did not find an AppSpec file within the unpacked revision directory at "
            f'revision-relative path "{APPSPEC}". The revision was unpacked to directory "{archive}", and the AppSpec '
            f'file was expected but not found at path "{path}".'
        )
    return appspec_reader.parse(path.read_bytes())


def _failed(name: str, started: datetime, code: str, script: str, message: str, tail: str) -> LifecycleEvent:
    return LifecycleEvent(name, "Failed", started, datetime.now(UTC), code, script, message, tail)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} - {error.filename}" if error.filename else error.strerror
    return str(error)


def _told(status: DeployStatus) -> tuple[Literal["", "MANUAL_STOP", "HEALTH_CONSTRAINTS"], str]:
    """The deployment's errorInformation."""
    if status == "Stopped":
        return "MANUAL_STOP", "The deployment was stopped on request."
    return ("HEALTH_CONSTRAINTS", TOO_MANY) if status == "Failed" else ("", "")


def _write_log(log: Path, host: str, event: LifecycleEvent) -> None:
    lines = [f"{event.ended:%Y-%m-%dT%H:%M:%SZ} {host} {event.name} {event.status} {event.message}".rstrip()]
    lines += [f"    {line}" for line in event.log_tail.splitlines()]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write("\n".join(lines) + "\n")
