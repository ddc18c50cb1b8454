"""The watcher of a local host: the file that a host on AWS runs, as a process of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from console.local.paths import FUNCTIONS

SECONDS = "1"  # between two looks; on AWS there are five


class HostWatchers:
    """The watchers of a host's services, each started once. ``environment`` is what the host's scripts have, ``log``
    where the watchers say what they could not do; ``host`` is the host's id, "" where nobody is to watch it."""

    def __init__(self, host: str, log: Path) -> None:
        self._host, self._log = host, log
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def watch(self, service: str, link: Path, requests: Path, environment: Mapping[str, str]) -> int | None:
        """Watch over a service from now on: what ``link`` points to, and ``requests``, nginx's log of them. The
        new process's number, None where it is watched already."""
        before = self._running.get(service)
        if not self._host or (before and before.poll() is None):
            return None
        with self._log.open("ab") as log:
            self._running[service] = subprocess.Popen(
                [sys.executable, "-B", "-m", "watcher", service, str(link), str(requests)],
                cwd=FUNCTIONS / "host",
                env={**environment, "ESTEIRA_HOST": self._host, "ESTEIRA_WATCH_SECONDS": SECONDS},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._running[service].pid

    def close(self) -> None:
        """End them."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
        self._running.clear()
