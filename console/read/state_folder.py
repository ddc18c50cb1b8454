"""The state folder of a local stack, ``.esteira``: found from below, and whether its stack runs.

``local.json`` in it says where a running stack is; ``last.json`` is what a stopped one left; ``use.json`` is the
remembered choice of ``esteira use``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

from console.read.where import TroubleError, Where

NAME = ".esteira"
NOTE, LAST, CHOICE = "local.json", "last.json", "use.json"
# What the stack itself leaves in its folder. A folder with none of them was never a local stack.
MARKS = (NOTE, LAST, "lock")


def found_above(here: Path) -> Path | None:
    """The nearest state folder of ``here`` or of a folder above it."""
    for folder in (here, *here.parents):
        state = folder / NAME
        if any((state / name).exists() for name in (*MARKS, CHOICE)):
            return state
    return None


def is_stack(state: Path) -> bool:
    """Whether a local stack was ever started on this folder."""
    return any((state / name).exists() for name in MARKS)


def running(state: Path, stack: str | None, functions: str | None, start: str) -> Where:
    """The local stack of ``state``; ``start`` is the command that starts it.

    Raises TroubleError where it does not run: what was meant for the local stack must not reach AWS.
    """
    note = state / NOTE
    if not note.exists():
        said = "is not running" if is_stack(state) else "was never started"
        raise TroubleError(f"the local stack at {state} {said}. Next: {start}; for AWS instead: --aws")
    told = _read(note, start)
    if not _runs(int(told["pid"])):
        raise TroubleError(f"the local stack at {state} is not running. Next: {start}; for AWS instead: --aws")
    secret = _secret(told, note, start)
    return Where(
        stack or str(told.get("stack", "esteira")),
        str(told["endpoint"]),
        True,
        told.get("remotes", {}),
        functions,
        told.get("pages", {}),
        state,
        secret,
    )


def choice(state: Path) -> Mapping[str, str] | None:
    """The AWS that ``esteira use aws`` remembered in this folder: its profile, region and stack; None for none."""
    file = state / CHOICE
    if not file.exists():
        return None
    try:
        told = json.loads(file.read_text())
        return {name: str(told.get(name, "")) for name in ("profile", "region", "stack")}
    except (OSError, ValueError, AttributeError):
        raise TroubleError(f"{file} cannot be read. Next: esteira use aws, or esteira use local") from None


def remember(state: Path, chosen: Mapping[str, str] | None) -> None:
    """Remember an AWS in this folder; None forgets the one that was remembered."""
    file = state / CHOICE
    if chosen is None:
        file.unlink(missing_ok=True)
        return
    prepare(state)
    file.write_text(json.dumps(dict(chosen), indent=1) + "\n")


def prepare(state: Path) -> None:
    """Make the folder, which git leaves alone: it may lie in a model's repository."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignored = state / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")


def _read(note: Path, start: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(note.read_text())
        int(told["pid"]), str(told["endpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        raise TroubleError(f"{note} is not a local stack's note. Next: {start} writes it anew") from None
    return told


def _secret(told: Mapping[str, Any], note: Path, start: str) -> str:
    """The secret key of this run, which its credentials file has; "" where the note names none."""
    if "credentials" not in told:
        return ""
    parser = RawConfigParser()
    try:
        parser.read_string(Path(told["credentials"]).read_text())
        return parser["default"]["aws_secret_access_key"]
    except (OSError, KeyError, ConfigParserError):
        raise TroubleError(f"{note} names no keys of a local stack. Next: {start} writes it anew") from None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
