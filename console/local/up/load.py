"""Constant requests to a model while releases come and go, and an honest count of those that failed.

Half of the clients keep their connection, as a browser or a pooled client does, half make a new one each time. A
request has failed if it was refused, cut, late (ten seconds) or answered with anything but 200.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

RECORD = json.dumps({"age": 54, "sex": 1, "cp": 4}).encode()


@dataclass
class Tally:
    """What became of the requests; ``versions`` counts the answers by ``x-model-version``."""

    sent: int = 0
    failed: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Load:
    """A context that sends requests to ``page`` all the while, from ``clients`` threads, each ``rate`` a second."""

    def __init__(self, page: str, clients: int = 4, rate: float = 10.0) -> None:
        self._address = urlsplit(page).netloc
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.tally = Tally()
        self._threads = [
            threading.Thread(target=self._run, args=(n % 2 == 0,), name=f"load-{n}", daemon=True)
            for n in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        n = 0
        while not self._stop.is_set():
            n += 1
            began = time.monotonic()
            version, error = self._ask(connection, n)
            with self._lock:
                self.tally.sent += 1
                self.tally.versions[version] = self.tally.versions.get(version, 0) + 1
                if error:
                    self.tally.failed += 1
                    self.tally.errors.append(error)
            if error or not keep:
                connection.close()
                connection = http.client.HTTPConnection(self._address, timeout=10)
            self._stop.wait(max(0.0, self._pause - (time.monotonic() - began)))
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, n: int) -> tuple[str, str]:
        """Send one request; return the version that answered, and what went wrong or ""."""
        what = ("GET", "/ping") if n % 2 else ("POST", "/invocations")
        try:
            if what[0] == "GET":
                connection.request("GET", "/ping")
            else:
                connection.request("POST", "/invocations", RECORD, {"content-type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return "", f"{' '.join(what)}: {type(error).__name__}: {error}"
        version = answer.headers.get("x-model-version", "")
        return version, "" if answer.status == 200 else f"{' '.join(what)}: {answer.status} {body[:200]!r}"
