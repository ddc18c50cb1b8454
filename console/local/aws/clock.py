"""The one clock the local AWS reads: real, and movable by a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def real_now() -> datetime:
    """Now, aware, UTC."""
    return datetime.now(UTC)


class Clock:
    """``now()`` is ``read()`` plus whatever ``advance`` added so far.

    ``Clock()`` runs with the world; ``Clock.stopped(at)`` moves only when it is told to.
    """

    def __init__(self, read: Callable[[], datetime] = real_now) -> None:
        self._read = read
        self._ahead = timedelta()
        self._lock = threading.Lock()

    @classmethod
    def stopped(cls, at: datetime) -> Clock:
        """A clock that stands at ``at`` (aware) until it is advanced."""
        if at.tzinfo is None:
            raise ValueError("A stopped clock needs an aware time: add tzinfo=UTC.")
        return cls(lambda: at)

    def now(self) -> datetime:
        """The local AWS's time: aware, UTC."""
        with self._lock:
            return self._read() + self._ahead

    def advance(self, seconds: float) -> datetime:
        """Move ``seconds`` ahead (never back) and return the new now."""
        if seconds < 0:
            raise ValueError(f"The clock cannot go back {-seconds} seconds: make a new one instead.")
        with self._lock:
            self._ahead += timedelta(seconds=seconds)
        return self.now()
