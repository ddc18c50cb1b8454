"""Which path tells that a container is ready, where nobody said which: a short list is tried.

The first path that answers 200 is taken. One that answers 5xx is there and not ready, so it is waited for. Where none
of them is there, ``/`` is taken with the answer it gives, once it has given it for a while: a server answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

CANDIDATES = ("/ping", "/health", "/healthz", "/_stcore/health", "/")
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Health:
    """A path and the status that it answers when the container is ready."""

    path: str
    status: int = 200


@dataclass
class HealthSearch:
    """Asks until a path is found. ``ask`` gives a path's status, "" where no answer came; ``now`` is a clock."""

    path: str
    ask: Callable[[str], str]
    now: Callable[[], float]
    seen: str = ""  # the last answer, as "GET /ping answered 500"
    _since: float | None = field(default=None)

    def look(self) -> Health | None:
        """Ask once around. None: not ready, or not known yet."""
        for path in (self.path,) if self.path else CANDIDATES:
            answer = self.ask(path)
            if not answer:
                return None
            self.seen = f"GET {path} answered {answer}"
            if answer == "200":
                return Health(path)
            if answer[0] == "5":
                self._since = None
                return None
        if self.path:
            return None
        self._since = self.now() if self._since is None else self._since
        return Health(CANDIDATES[-1], int(answer)) if self.now() - self._since >= SETTLE_SECONDS else None
