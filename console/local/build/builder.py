"""The local CodeBuild's machine: a commit's own buildspec, run phase by phase in one shell on this machine.

May start processes, and write the job's log and a workspace of its own that is removed at the end. It keeps no books
and emits no event: how the build went is the answer. Nothing it starts outlives it: the shell leads a process group,
which is killed at the end, at a stop, at the timeout, and, by a guard that waits for a pipe to close, when this process
dies.
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from console.local.build import buildspec, cache
from console.local.build.buildspec import Buildspec, BuildspecError, PhaseCommands
from console.local.build.environment import environment_of
from console.local.build.remote_variables import RemoteVariableError, fetched
from console.local.build.shell import BuildShell
from console.local.build.workspace import Programs, SourceError, Workspace, buildspec_text, check_out
from console.local.engine import BuildJob, BuildPhase, BuildResult, BuildStatus


def run_build(
    job: BuildJob,
    programs: Programs,
    interpreter: Path,
    *,
    number: int = 1,
    initiator: str = "esteira",
    source_url: str = "",
    kept: Path | None = None,
) -> BuildResult:
    """Build ``job`` to its end and say how it went; blocks. ``programs`` stand in front of the system's (``docker``),
    ``interpreter`` is what ``python`` and ``pip`` mean in it; ``number``, ``initiator`` and ``source_url`` become
    CodeBuild's variables; ``kept`` is the folder of the project's cache. A build's own failure is an answer; OSError
    means that this machine could not run one."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    extra = {
        "CODEBUILD_BUILD_NUMBER": str(number),
        "CODEBUILD_INITIATOR": initiator,
        "CODEBUILD_SOURCE_REPO_URL": source_url or str(job.repository),
    }
    with (
        tempfile.TemporaryDirectory(prefix="esteira-build-", ignore_cleanup_errors=True) as name,
        job.log.open("ab", buffering=0) as log,
    ):
        build = _Build(job, Workspace(Path(name)), log, time.monotonic() + job.timeout, kept)
        return build.run(programs, interpreter, extra)


class _Ended(Exception):
    """The build ends now, whatever it is at: stopped, or out of time."""

    def __init__(self, status: BuildStatus) -> None:
        self.status: BuildStatus = status
        super().__init__(status)


@dataclass
class _Build:
    """One build under way. ``phases`` grows as they end; ``failed`` is what CODEBUILD_BUILD_SUCCEEDING denies."""

    job: BuildJob
    workspace: Workspace
    log: BinaryIO
    deadline: float  # on the monotonic clock
    kept: Path | None  # the project's cache
    phases: list[BuildPhase] = field(default_factory=list)
    failed: bool = False
    values: Mapping[str, str] = field(default_factory=dict)  # of variables that lie elsewhere

    def run(self, programs: Programs, interpreter: Path, extra: Mapping[str, str]) -> BuildResult:
        """The whole build. What ran before a stop stays in the answer."""
        self.workspace.prepare(programs, interpreter)
        spec = self._download()
        if spec is None:
            return self._finish("FAILED", {})
        environment = environment_of(self.job, self.workspace, spec, {**self.values, **extra})
        shell = BuildShell(self.workspace, spec.shell, environment, self.log)
        try:
            self._phases(spec, shell)
            exported = self._exported(spec, shell)
            if self.kept and spec.cached:
                cache.keep(spec.cached, self.workspace, self.kept)
            return self._finish("FAILED" if self.failed else "SUCCEEDED", exported)
        except _Ended as ended:
            self._write(f"Build ended: {ended.status}")
            return self._finish(ended.status, {})
        finally:
            shell.kill()

    def _download(self) -> Buildspec | None:
        """DOWNLOAD_SOURCE: the commit's files and its buildspec; None where either is not to be had."""
        started, message, spec = datetime.now(UTC), "", None
        self._write("Entering phase DOWNLOAD_SOURCE")
        try:
            check_out(self.job, self.workspace)
            spec = buildspec.parse(buildspec_text(self.job, self.workspace.source))
            if self.kept and spec.cached:
                cache.restore(self.kept, self.workspace)
            self.values = fetched(self.job, spec)
        except SourceError as error:
            message = f"CLIENT_ERROR: {error}"
        except RemoteVariableError as error:
            message = str(error)
        except BuildspecError as error:
            message = f"YAML_FILE_ERROR: {error}"
        for note in spec.notes if spec else ():
            self._write(f"buildspec: {note}")
        self._end_phase("DOWNLOAD_SOURCE", "FAILED" if message else "SUCCEEDED", started, message)
        return None if message else spec

    def _phases(self, spec: Buildspec, shell: BuildShell) -> None:
        """INSTALL to POST_BUILD by CodeBuild's rule: after a failure nothing more runs, but that POST_BUILD follows a
        failed BUILD; ``on-failure`` says otherwise."""
        for name in buildspec.PHASES:
            commands = spec.phases.get(name, PhaseCommands())
            succeeded = self._phase(name.upper(), commands, shell)
            goes_on = {"CONTINUE": True, "ABORT": False, "": name == "build"}[commands.on_failure]
            if not succeeded and not goes_on:
                return

    def _phase(self, name: str, phase: PhaseCommands, shell: BuildShell) -> bool:
        started = datetime.now(UTC)
        self._write(f"Entering phase {name}")
        try:
            failure = self._commands(phase.commands, shell)
            message = self._commands(phase.finally_, shell, failure)
        except _Ended as ended:
            cause = "BUILD_TIMED_OUT: Build has timed out." if ended.status == "TIMED_OUT" else ""
            self._end_phase(name, ended.status, started, cause)
            raise
        self._end_phase(
            name, "FAILED" if message else "SUCCEEDED", started, message, aborts=phase.on_failure == "ABORT"
        )
        return not message

    def _commands(self, commands: Sequence[str], shell: BuildShell, failure: str = "") -> str:
        """Run them until one fails. The message of ``failure``, what failed before them, else of theirs, else ""."""
        shell.do(f"export CODEBUILD_BUILD_SUCCEEDING={int(not self.failed)}", self._glance)
        for command in map(str.rstrip, commands):
            self._write(f"Running command {command}")
            status = shell.do(command, self._glance)
            if status:
                self.failed = True
                cause = f"Error while executing command: {command}. Reason: exit status {status}"
                return failure or f"COMMAND_EXECUTION_ERROR: {cause}"
        return failure

    def _exported(self, spec: Buildspec, shell: BuildShell) -> dict[str, str]:
        """What the exported variables hold in the shell at the end; one that was never set is left out."""
        target = self.workspace.control / "exported"
        for name in spec.exported:
            line = f'[ -z "${{{name}+set}}" ] || printf \'%s=%s\\0\' {name} "${name}" >>{shlex.quote(str(target))}'
            shell.do(line, self._glance)
        read = target.read_text(errors="replace") if target.exists() else ""
        return dict(pair.split("=", 1) for pair in read.split("\0") if pair)

    def _glance(self) -> None:
        """Raise where the build has to end now."""
        if self.job.stop.is_set():
            raise _Ended("STOPPED")
        if time.monotonic() > self.deadline:
            raise _Ended("TIMED_OUT")

    def _finish(self, status: BuildStatus, exported: Mapping[str, str]) -> BuildResult:
        """The phases that CodeBuild adds: UPLOAD_ARTIFACTS wherever BUILD was reached and not broken off, FINALIZING
        always, both SUCCEEDED whatever became of the build."""
        reached = {phase.name for phase in self.phases if phase.status in ("SUCCEEDED", "FAILED")}
        for name in ("UPLOAD_ARTIFACTS", "FINALIZING"):
            if name == "FINALIZING" or ("BUILD" in reached and status in ("SUCCEEDED", "FAILED")):
                self._end_phase(name, "SUCCEEDED", datetime.now(UTC), "")
        return BuildResult(status, tuple(self.phases), dict(exported))

    def _end_phase(
        self, name: str, status: BuildStatus, started: datetime, message: str, *, aborts: bool = False
    ) -> None:
        self.phases.append(BuildPhase(name, status, started, datetime.now(UTC), message))
        state = "FAILED_WITH_ABORT" if status == "FAILED" and aborts else status
        code, _, text = message.partition(": ")
        self._write(f"Phase complete: {name} State: {state}")
        self._write(f"Phase context status code: {code} Message: {text}")

    def _write(self, line: str) -> None:
        self.log.write(f"[Container] {datetime.now(UTC):%Y/%m/%d %H:%M:%S} {line}\n".encode())
