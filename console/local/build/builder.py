"""The local CodeBuild's machine: a commit's own buildspec, run phase by phase in one shell on this machine.

May start processes, and write the job's log and a workspace of its own that is removed at the end. It keeps no books
and emits no event: how the build went is the answer. Nothing it starts outlives it: the shell leads a process group,
which is killed at the end, at a stop, at the timeout, and, by a guard that waits for a pipe to close, when this process
dies.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from console.local.build import buildspec
from console.local.build.buildspec import Buildspec, BuildspecError, PhaseCommands
from console.local.engine import BuildJob, BuildPhase, BuildResult, BuildStatus
from console.local.process.oci import Registry

IMAGE = "esteira/process:1"  # CODEBUILD_BUILD_IMAGE: no image, and its name says so
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What of this machine's environment a build needs to reach a package index; nothing else of it is the build's business.
_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TZ")
_PASSED_ON_BEGINNINGS = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_GLANCE = 0.05  # seconds between looks at the stop flag while a command runs

# Waits, in the build's own process group, for the end of a pipe that only the console holds. However the console ends,
# kill -9 included, the whole group goes with it. It is no child of the build's shell, so that no "wait" in a buildspec
# waits for it.
_GUARD = """
exec 7<&0 </dev/null
( read -r _ <&7; kill -9 0 ) >/dev/null 2>&1 &
exec 7<&-
"$@"
exit $?
"""

# One shell for all commands: it is told a file to source and answers with the exit status. What it exports and where it
# stands is written down after each and as it ends, so that a command that says "exit 1" ends itself and not the build.
_DRIVER = """
__esteira=$1
shift
__esteira_save() { export -p >|"$__esteira/exports"; pwd >|"$__esteira/directory"; }
trap __esteira_save EXIT
exec 8<"$__esteira/commands" 9>"$__esteira/statuses"
if [ -e "$__esteira/exports" ]; then
  . "$__esteira/exports"
  IFS= read -r __esteira_next <"$__esteira/directory"
  cd "$__esteira_next"
fi
while IFS= read -r __esteira_next <&8; do
  . "$__esteira_next" 8<&- 9>&-
  __esteira_status=$?
  __esteira_save
  echo $__esteira_status >&9
done
"""


# What a build meets beside python and pip: from its workspace, each program's name and the shell lines of it.
Programs = Callable[[Path], Mapping[str, str]]


def run_build(
    job: BuildJob,
    programs: Programs,
    interpreter: Path,
    *,
    number: int = 1,
    initiator: str = "esteira",
    source_url: str = "",
) -> BuildResult:
    """Build ``job`` to its end and say how it went; blocks. ``programs`` stand in front of the system's (``docker``),
    ``interpreter`` is what ``python`` and ``pip`` mean in it; ``number``, ``initiator`` and ``source_url`` become
    CodeBuild's variables. A build's own failure is an answer; OSError means that this machine could not run one."""
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
        build = _Build(job, _Workspace(Path(name)), log, time.monotonic() + job.timeout)
        return build.run(programs, interpreter, extra)


def small_docker(registry: Registry) -> Programs:
    """The ``docker`` of a build without a Docker engine, whose pushes end in ``registry``."""
    return lambda workspace: {"docker": _small_docker(workspace / "images", registry.directory)}


@dataclass(frozen=True)
class _Workspace:
    """The directories of one build."""

    root: Path

    @property
    def source(self) -> Path:
        return self.root / "src"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def control(self) -> Path:
        return self.root / "control"

    def prepare(self, programs: Programs, interpreter: Path) -> None:
        """Make the directories and the programs that stand in front of the system's."""
        for name in ("src", "bin", "site", "control", "home", "tmp"):
            (self.root / name).mkdir()
        python = shlex.quote(str(interpreter))
        for name in ("python", "python3"):
            _program(self.bin / name, f'exec {python} "$@"')
        for name in ("pip", "pip3"):
            _program(self.bin / name, f'exec {python} -m pip "$@"')
        for name, lines in programs(self.root).items():
            _program(self.bin / name, lines)


def _small_docker(images: Path, registry: Path) -> str:
    """The line that calls the small docker with the console's interpreter. ``-I`` shuts out the build's PYTHONPATH and
    directory, either of which may hold a module of the same name as ours."""
    here = Path(__file__).resolve().parents[3]
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r}); from pathlib import Path; "
        "from console.local.process.docker_cli import main; "
        f"sys.exit(main(images=Path({str(images)!r}), registry=Path({str(registry.resolve())!r})))"
    )
    return f'exec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"'


def _program(path: Path, lines: str) -> None:
    path.write_text(lines if lines.startswith("#!") else f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


class _Ended(Exception):
    """The build ends now, whatever it is at: stopped, or out of time."""

    def __init__(self, status: BuildStatus) -> None:
        self.status: BuildStatus = status
        super().__init__(status)


@dataclass
class _Build:
    """One build under way. ``phases`` grows as they end; ``failed`` is what CODEBUILD_BUILD_SUCCEEDING denies."""

    job: BuildJob
    workspace: _Workspace
    log: BinaryIO
    deadline: float  # on the monotonic clock
    phases: list[BuildPhase] = field(default_factory=list)
    failed: bool = False

    def run(self, programs: Programs, interpreter: Path, extra: Mapping[str, str]) -> BuildResult:
        """The whole build. What ran before a stop stays in the answer."""
        self.workspace.prepare(programs, interpreter)
        spec = self._download()
        if spec is None:
            return self._finish("FAILED", {})
        environment = _environment(self.job, self.workspace, spec, extra)
        shell = _Shell(self.workspace, spec.shell, environment, self.log)
        try:
            self._phases(spec, shell)
            exported = self._exported(spec, shell)
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
            _check_out(self.job, self.workspace)
            spec = buildspec.parse(_buildspec_text(self.job, self.workspace.source))
        except _SourceError as error:
            message = f"CLIENT_ERROR: {error}"
        except BuildspecError as error:
            message = f"YAML_FILE_ERROR: {error}"
        for note in spec.notes if spec else ():
            self._write(f"buildspec: {note}")
        self._end_phase("DOWNLOAD_SOURCE", "FAILED" if message else "SUCCEEDED", started, message)
        return spec

    def _phases(self, spec: Buildspec, shell: _Shell) -> None:
        """INSTALL to POST_BUILD by CodeBuild's rule: after a failure nothing more runs, but that POST_BUILD follows a
        failed BUILD; ``on-failure`` says otherwise."""
        for name in buildspec.PHASES:
            commands = spec.phases.get(name, PhaseCommands())
            succeeded = self._phase(name.upper(), commands, shell)
            goes_on = {"CONTINUE": True, "ABORT": False, "": name == "build"}[commands.on_failure]
            if not succeeded and not goes_on:
                return

    def _phase(self, name: str, phase: PhaseCommands, shell: _Shell) -> bool:
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

    def _commands(self, commands: Sequence[str], shell: _Shell, failure: str = "") -> str:
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

    def _exported(self, spec: Buildspec, shell: _Shell) -> dict[str, str]:
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


class _Shell:
    """The build's one shell. It is started anew where a command ended it, with what it exported and where it stood;
    only functions and variables that were not exported are then gone."""

    def __init__(self, workspace: _Workspace, name: str, environment: Mapping[str, str], log: BinaryIO) -> None:
        self._workspace, self._environment, self._log = workspace, dict(environment), log
        self._line = _shell_line(name)
        self._started: list[subprocess.Popen[bytes]] = []
        self._scripts = 0
        driver = workspace.control / "driver.sh"
        driver.write_text(_DRIVER)
        # opened for both directions: opening waits for nobody, and nothing is lost between two shells
        self._commands = _pipe(workspace.control / "commands")
        self._statuses = _pipe(workspace.control / "statuses")

    def do(self, command: str, glance: Callable[[], None]) -> int:
        """Run ``command`` in the shell; its exit status. ``glance`` is called now and then, and may raise to end it."""
        glance()
        self._scripts += 1
        script = self._workspace.control / f"script-{self._scripts}.sh"
        script.write_text(f"{command}\n")
        process = self._process()
        os.write(self._commands, f"{script}\n".encode())
        while not select.select([self._statuses], [], [], _GLANCE)[0]:
            if process.poll() is not None:
                _drain(self._commands)  # a shell that died may have left its command unread
                return int(_drain(self._statuses) or process.returncode)
            glance()
        return int(_drain(self._statuses))

    def kill(self) -> None:
        """End every process the commands started, and the shell."""
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # all of it has ended by itself
            finally:
                process.wait()
                if process.stdin:
                    process.stdin.close()
        os.close(self._commands)
        os.close(self._statuses)

    def _process(self) -> subprocess.Popen[bytes]:
        if not self._started or self._started[-1].poll() is not None:
            control = self._workspace.control
            self._started.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD, "guard", *self._line, str(control / "driver.sh"), str(control)],
                    cwd=self._workspace.source,
                    env=self._environment,
                    stdin=subprocess.PIPE,  # never written to: the guard watches it close
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        return self._started[-1]


def _shell_line(name: str) -> list[str]:
    """The command line of the buildspec's shell. CodeBuild's default ``sh`` is bash in POSIX mode on Amazon Linux,
    whose images it recommends; where this machine has no bash, its own sh has to do."""
    bash = shutil.which("bash", path=SYSTEM_PATH)
    if name == "bash" and bash:
        return [bash, "--noprofile", "--norc"]
    return [bash, "--noprofile", "--norc", "--posix"] if bash else ["/bin/sh"]


def _pipe(path: Path) -> int:
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


class _SourceError(Exception):
    """The commit's files are not to be had; one sentence."""


def _check_out(job: BuildJob, workspace: _Workspace) -> None:
    """Lay the commit's files out, without a .git: a COPY of everything must give the same image each time. An index of
    the build's own keeps the bare repository untouched, and leaves out nothing as ``git archive`` does."""
    if not re.fullmatch(r"[0-9a-f]{40}", job.commit):
        raise _SourceError(f"{job.commit!r} is not a commit; start the build with a commit's 40 hex digits.")
    environment = {
        "PATH": SYSTEM_PATH,
        "HOME": str(workspace.root / "home"),
        "GIT_INDEX_FILE": str(workspace.control / "index"),
    }
    git = ["git", f"--git-dir={job.repository.resolve()}", f"--work-tree={workspace.source}"]
    for command in (["read-tree", job.commit], ["checkout-index", "--all", "--force", "--quiet"]):
        done = subprocess.run(
            [*git, *command], cwd=workspace.source, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or ["git said nothing"]
            raise _SourceError(
                f"commit {job.commit} cannot be read from {job.repository}: {said[0]}. Push it again and retry."
            )


def _buildspec_text(job: BuildJob, source: Path) -> str:
    """The buildspec: StartBuild's text, or the file it names in the source, or buildspec.yml there."""
    if job.buildspec and "\n" in job.buildspec.strip():
        return job.buildspec
    name = job.buildspec or "buildspec.yml"
    path = (source / name).resolve()
    if not path.is_relative_to(source.resolve()):
        raise BuildspecError(f"{name} leads out of the source; name a file in the repository.")
    if path.is_file():
        return path.read_text(errors="replace")
    other = (source / name).with_suffix(".yaml")
    hint = f"rename {other.name}, which is not read" if other.is_file() else "commit one"
    raise BuildspecError(f"{name} does not exist in commit {job.commit[:12]}; {hint}.")


def _environment(job: BuildJob, workspace: _Workspace, spec: Buildspec, extra: Mapping[str, str]) -> dict[str, str]:
    """The shell's first variables: this machine's few, the buildspec's, the job's, and CodeBuild's own over all."""
    region = job.environment.get("AWS_REGION") or job.environment.get("AWS_DEFAULT_REGION") or _region(job.build_arn)
    uuid = job.build_id.rpartition(":")[2]
    return {
        **{name: value for name, value in os.environ.items() if _passed_on(name)},
        "PATH": f"{workspace.bin}:{workspace.site / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(workspace.root / "home"),
        "TMPDIR": str(workspace.root / "tmp"),
        "LANG": "C.UTF-8",
        # what a build installs stays in the build: the interpreter is also the console's
        "PIP_TARGET": str(workspace.site),
        "PYTHONPATH": str(workspace.site),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "AWS_EC2_METADATA_DISABLED": "true",  # no credentials given means none, at once
        **spec.variables,
        **job.environment,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **extra,
        "CODEBUILD_BUILD_ARN": job.build_arn,
        "CODEBUILD_BUILD_ID": job.build_id,
        "CODEBUILD_BUILD_IMAGE": IMAGE,
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_KMS_KEY_ID": f"arn:aws:kms:{region}:{_account(job.build_arn)}:alias/aws/s3",
        "CODEBUILD_LOG_PATH": uuid,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": job.commit,
        "CODEBUILD_SOURCE_VERSION": job.commit,
        "CODEBUILD_SRC_DIR": str(workspace.source),
        "CODEBUILD_START_TIME": str(time.time_ns() // 1_000_000),
    }


def _passed_on(name: str) -> bool:
    return name in _PASSED_ON or name.upper().startswith(_PASSED_ON_BEGINNINGS)


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _account(arn: str) -> str:
    return arn.split(":")[4]
