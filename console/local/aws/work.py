"""Where builds and deployments run: in a thread each, or held until a single-threaded test says that they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class EngineWork:
    """One build or deployment: ``begin`` says that it began, ``end`` does it and says how it went, ``stop`` asks it to
    end.
    """

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    stop: threading.Event


class Runner(Protocol):
    """Who runs work."""

    def start(self, work: EngineWork) -> None:
        """Begin the work; must not block."""
        ...

    def close(self) -> None:
        """Ask all work to stop, and wait for it."""
        ...


class Threads:
    """A thread for each work."""

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience  # seconds close() waits for each
        self._running: dict[threading.Thread, EngineWork] = {}

    def start(self, work: EngineWork) -> None:
        """Run the work in a thread of its own."""

        def run() -> None:
            work.begin()
            work.end()

        thread = threading.Thread(target=run, name=work.name, daemon=True)
        self._running = {t: w for t, w in self._running.items() if t.is_alive()} | {thread: work}
        thread.start()

    def close(self) -> None:
        """Stop everything, and wait ``patience`` seconds for each."""
        for work in self._running.values():
            work.stop.set()
        for thread in self._running:
            thread.join(self._patience)


class HeldWork:
    """No threads: work begins at once and ends when ``finish_next`` or ``finish_all`` is called."""

    def __init__(self) -> None:
        self.in_flight: list[EngineWork] = []

    def start(self, work: EngineWork) -> None:
        """Begin the work and hold it."""
        work.begin()
        self.in_flight.append(work)

    def finish_next(self, index: int = 0) -> bool:
        """End the work at ``index`` (0: the oldest); False when nothing is in flight."""
        if not self.in_flight:
            return False
        self.in_flight.pop(index).end()
        return True

    def finish_all(self) -> int:
        """End all that is in flight now, oldest first; how many there were."""
        works, self.in_flight = self.in_flight, []
        for work in works:
            work.end()
        return len(works)

    def close(self) -> None:
        """Forget what is in flight: its caller died with it."""
        self.in_flight.clear()
