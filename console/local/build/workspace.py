"""The folders of one build: its source, its programs, its home. They are removed when the build ends."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from console.local.build.buildspec import BuildspecError
from console.local.engine import BuildJob

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a build meets beside python and pip: from its workspace, each program's name and the shell lines of it.
Programs = Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True)
class Workspace:
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
    def home(self) -> Path:
        return self.root / "home"

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


def _program(path: Path, lines: str) -> None:
    path.write_text(lines if lines.startswith("#!") else f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


class SourceError(Exception):
    """The commit's files are not to be had; one sentence."""


def check_out(job: BuildJob, workspace: Workspace) -> None:
    """Clone the repository as CodeBuild does, with its ``.git``, and check the commit out. The clone borrows the bare
    repository's objects, which is quick and leaves that untouched; no branch has to lead to the commit any more."""
    if not re.fullmatch(r"[0-9a-f]{40}", job.commit):
        raise SourceError(f"{job.commit!r} is not a commit; start the build with a commit's 40 hex digits.")
    environment = {"PATH": SYSTEM_PATH, "HOME": str(workspace.home)}
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(job.repository.resolve()), "."]
    check = ["git", "checkout", "--quiet", "--detach", "--force", job.commit]
    for command in (clone, check):
        done = subprocess.run(
            command, cwd=workspace.source, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or ["git said nothing"]
            raise SourceError(
                f"commit {job.commit} cannot be read from {job.repository}: {said[0]}. Push it again and retry."
            )


def buildspec_text(job: BuildJob, source: Path) -> str:
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
