"""The SAM CLI of this project: where it is, what it needs in its environment, and how it is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from console.local.aws_account import REGION
from console.local.paths import ROOT

TOOLS = ROOT / ".venv-sam"
# Builds for the deployment, and for a container on this machine. SAM keeps its cache beside them.
RELEASE = ROOT / ".aws-sam" / "build"
LOCAL = ROOT / ".aws-sam" / "local"


class SamError(Exception):
    """The SAM CLI is not here or failed; the sentence says what to type."""


def sam(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, tools: Path = TOOLS
) -> subprocess.CompletedProcess[str]:
    """Run ``sam`` with ``arguments`` in the project's folder and return its result; stdout and stderr are kept.

    ``environment`` goes over this process's. Raises SamError where the SAM CLI is not installed.
    """
    words, variables = _command(arguments, environment, tools)
    return subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def serving(arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start ``sam`` to stay, and return its process; what it says goes to ``log``. Raises SamError as ``sam`` does.

    A session of its own: a Ctrl-C reaches the program that started it, and that program ends it in order.
    """
    words, variables = _command(arguments, environment, TOOLS)
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _command(
    arguments: Sequence[str], environment: Mapping[str, str] | None, tools: Path
) -> tuple[list[str], dict[str, str]]:
    program = tools / "bin" / "sam"
    if not program.exists():
        raise SamError(f"the SAM CLI is not in {tools.name}. Next: make sam")
    return [str(program), *arguments], {
        "AWS_DEFAULT_REGION": REGION,
        **os.environ,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", "")]),  # uv is there
        **(environment or {}),
    }


def build(folder: Path, architecture: str) -> Path:
    """Run ``sam build`` for ``architecture`` (arm64, x86_64) into ``folder``; return the one artifact of all functions.

    Raises SamError where it fails, or where the functions do not share one.
    """
    came = sam(["build", "--build-dir", str(folder), "--parameter-overrides", f"Architecture={architecture}"])
    if came.returncode:
        raise SamError(f"sam build failed. {last_words(came)} Next: correct that, then make build")
    return artifact_of(folder)


def artifact_of(folder: Path) -> Path:
    """The one artifact in the folder of a build. Raises SamError where there is none, or several."""
    found = sorted(path.parent for path in folder.glob("*/intake.py"))
    if len(found) != 1:
        several = ", ".join(path.name for path in found) or "none"
        raise SamError(
            f"the functions of {folder.name}/ must share one artifact, and there is {several}. "
            f"Next: give them all the CodeUri, the Runtime and the Metadata of template.yaml, then make build"
        )
    return found[0]


def last_words(came: subprocess.CompletedProcess[str]) -> str:
    """The last lines that a command said on stderr, in one."""
    lines = [line.strip() for line in came.stderr.splitlines() if line.strip()]
    return " ".join(lines[-3:]) or f"It said nothing and ended with {came.returncode}."
