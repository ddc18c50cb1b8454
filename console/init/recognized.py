"""What ``esteira init`` finds in a repository: its kind, and how a container of it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from console.local.process.health import CANDIDATES

STREAMLIT_HEALTH = "/_stcore/health"


# Of the paths that a host tries, those that an app has for its health alone.
HEALTH_PATHS = tuple(path for path in CANDIDATES if path not in ("/", STREAMLIT_HEALTH))


class UnknownKindError(Exception):
    """The repository is of no kind that init knows, or lacks something; the message says what to do."""


@dataclass(frozen=True)
class Recognized:
    """A repository's kind, with what shows it, and how its container is built and started.

    ``port`` is where it will listen; ``health`` is the path that answers 200, "" where none was seen. ``dockerfile`` is
    a Dockerfile for it, "" where the repository has its own.
    """

    kind: str
    seen: str
    port: int
    health: str
    dockerfile: str


def text_of(path: Path) -> str:
    """A file's text. Bytes that are not UTF-8 are replaced: it is only searched."""
    return path.read_text(encoding="utf-8", errors="replace")
