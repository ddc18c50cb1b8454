"""The one shell of a build: it reads a command at a time and answers with its exit status.

The shell leads a process group, which is killed at the end. A guard kills it too when this process dies.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from console.local.build.workspace import SYSTEM_PATH, Workspace

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


class BuildShell:
    """The build's one shell. It is started anew where a command ended it, with what it exported and where it stood;
    only functions and variables that were not exported are then gone."""

    def __init__(self, workspace: Workspace, name: str, environment: Mapping[str, str], log: BinaryIO) -> None:
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
