"""What a build's log says of the command that failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

LINES = 20
CHARACTERS = 1_500
_OURS = "[Container] "  # how CodeBuild's own lines begin


def failed_command(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines of the command that failed first; of a log that names none, its last lines. CodeBuild runs
    POST_BUILD after a failed BUILD, so the failure is not at the end."""
    own = [n for n, line in enumerate(lines) if line.startswith(_OURS)]
    end = next((n for n in own if "State: FAILED" in lines[n] or "Command did not exit" in lines[n]), len(lines))
    begin = max((n for n in own if n < end and "Running command " in lines[n]), default=-1)
    said = [line.rstrip() for line in lines[begin + 1 : end] if line.strip() and not line.startswith(_OURS)]
    kept: list[str] = []
    for line in reversed(said[-LINES:]):
        if sum(map(len, kept)) + len(line) > CHARACTERS:
            break
        kept.append(line)
    return tuple(reversed(kept))
