"""Whether a release still makes progress: its row changes, or a log of its build or deployment grows.

Only standstill ends a wait. A machine that is busy with other work makes everything slow, and nothing late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

STANDSTILL = 240.0  # seconds without any sign of work


class Standstill:
    """The time since something last changed."""

    def __init__(self, seconds: float = STANDSTILL, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: object = None
        self._since = clock()

    def reached(self, seen: object) -> bool:
        """Whether ``seen`` has been the same for too long."""
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        return self._clock() - self._since > self._seconds


class Logs:
    """The logs in a folder from now on: how large they are, and the lines added to those of builds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = self.sizes()

    def sizes(self) -> dict[Path, int]:
        """The size of every log."""
        return {path: path.stat().st_size for path in sorted(self._folder.rglob("*.log"))}

    def build_lines(self) -> list[str]:
        """The whole lines that builds have written since the last call."""
        lines: list[str] = []
        for path in self.sizes():
            if path.parent.name == "builds":
                lines += self._lines(path)
        return lines

    def _lines(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines() if newline else []
