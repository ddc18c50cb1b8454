"""What the watcher looks at: the container that requests go to, its health path, nginx's log, the disk."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from .verdict import REQUESTS, LoggedRequest, Look

WATCHES_DISK = "ESTEIRA_LOCK" not in os.environ  # a host whose lock lies elsewhere shares its machine
EVENTS_SECONDS = 30.0
KEPT = 5_000  # requests
TAIL = 1_000_000  # bytes of the log that are read at the start

_LINE = re.compile(r"(\d+\.\d+) (\S+) (\d{3}) (\d+\.\d+)\b")


class WatchedContainer:
    """The container that requests go to: what does not change of it, and looks at what does."""

    def __init__(self, name: str, accepted: str) -> None:
        """``accepted`` is the health path and what it answered when the hooks took the container, "/ping 200"."""
        self.name = name
        told = inspected(name)
        labels = told["Config"]["Labels"]
        self.stage, self.release, self.port = labels["esteira.stage"], labels["esteira.release"], labels["esteira.port"]
        self.deployment = labels.get("esteira.deployment", "")
        self.image: str = told["Config"]["Image"]
        self.digest = running_digest(told["Image"], self.image)
        kept = accepted.split()
        self.path, self.right = kept if len(kept) == 2 else ("/", "")
        self._ends, self._killed, self._status = 0, 0, 0
        self._restarts, self._asked = int(told["RestartCount"]), time.time()

    def look(self, now: float) -> Look:
        """One look at it. Where Docker does not answer, its health path still may."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._count(now)
        disk = shutil.disk_usage("/")
        percent = disk.free * 100 // disk.total if WATCHES_DISK else 100
        answer = answer_of(int(self.port), self.path)
        # Nobody wrote down what is right: any answer.
        right = self.right or answer or "an answer"
        return Look(now, self._ends, self._killed, self._status, answer, right, percent)

    def _count(self, now: float) -> None:
        """Take in how often it ended. Raises OSError."""
        restarts = int(inspected(self.name)["RestartCount"])
        # A worker that was ended for lack of memory ends no container, so the events are asked without an end, too.
        if restarts > self._restarts or now - self._asked > EVENTS_SECONDS:
            self._ends += max(restarts - self._restarts, 0)
            self._restarts = restarts
            self._read_events(now)

    def _read_events(self, now: float) -> None:
        """Take in what Docker remembers since it was asked last: lack of memory, and the status of each end."""
        words = ("events", "--since", f"{self._asked:.6f}", "--until", f"{now:.6f}", "--format", "{{json .}}")
        said = docker(*words, "--filter", f"container={self.name}", "--filter", "event=oom", "--filter", "event=die")
        self._asked = now
        for event in map(json.loads, said.splitlines()):
            if event.get("Action") == "oom":
                self._killed += 1
            else:
                self._status = int(event["Actor"]["Attributes"].get("exitCode", "0"))


class AccessLog:
    """The requests in nginx's log of the service, as they come; the file may be turned over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._at, self._rest = 0, 0, b""
        self._requests: deque[LoggedRequest] = deque(maxlen=KEPT)

    def read(self) -> None:
        """Take in what was written since."""
        try:
            with self._path.open("rb") as file:
                there = os.fstat(file.fileno())
                if there.st_ino != self._inode or there.st_size < self._at:
                    first = not self._inode
                    self._inode, self._at, self._rest = there.st_ino, 0, b""
                    self._at = max(0, there.st_size - TAIL) if first else 0
                file.seek(self._at)
                text = self._rest + file.read()
                self._at = file.tell()
        except OSError:
            return
        *lines, self._rest = text.split(b"\n")
        self._requests.extend(_requests(lines))

    def of(self, container: str) -> list[LoggedRequest]:
        """The latest requests that the container answered."""
        return [request for request in self._requests if request.container == container]

    def median_before(self, container: str) -> float | None:
        """How long half of the requests took that other containers answered before, None where there are few."""
        others = [r.seconds for r in self._requests if r.container != container and r.status < 500]
        return median(others) if len(others) >= REQUESTS else None


def _requests(lines: list[bytes]) -> Iterator[LoggedRequest]:
    for line in lines:
        found = _LINE.match(line.decode("utf-8", "replace"))
        if found and found[3] != "101":  # a WebSocket lasts as long as somebody looks
            yield LoggedRequest(float(found[1]), found[2], int(found[3]), float(found[4]))


def live(link: Path) -> tuple[str, str]:
    """The container that requests go to, by the link that nginx follows, and the text of the file that it points to;
    two "" where there is none."""
    try:
        file = link.parent / os.readlink(link)  # noqa: PTH115 - Python 3.9's Path has it, and not as a text
        return re.split("[/=]", str(file))[-1], file.read_text(encoding="utf-8")
    except OSError:
        return "", ""


def answer_of(port: int, path: str) -> str:
    """The status that GET ``path`` is answered with, "" where no answer comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def running_digest(image_id: str, image: str) -> str:
    """The digest of the image that the container really runs, as the registry knows it: the one it was started by,
    where that is still the same image."""
    wanted = image.rpartition("@")[2]
    known = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", image_id) or "[]") or []
    digests = [each.rpartition("@")[2] for each in known]
    return wanted if wanted in digests or not digests else str(digests[0])


def inspected(container: str) -> dict[str, Any]:
    """What Docker knows of a container. Raises OSError."""
    told: list[dict[str, Any]] = json.loads(docker("inspect", "--type", "container", container))
    return told[0]


def docker(*words: str) -> str:
    """What a docker command prints. Raises OSError with its last words."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603, S607
    if done.returncode:
        raise OSError(f"docker {words[0]}: {done.stderr.strip()}")
    return done.stdout
