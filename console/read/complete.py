"""The one place where the console reads complete releases, and the one where a status becomes lines of text."""

from __future__ import annotations

from datetime import datetime

from console.read.log_text import without_colours
from console.read.where import REFUSED, TroubleError
from esteira.config import Service
from esteira.core.state import Release, Snapshot
from esteira.core.status import Status
from esteira.snapshot import snapshot
from esteira.store import Store


def complete(store: Store, service: Service, number: int, now: datetime) -> tuple[Release, Snapshot]:
    """A complete release and the snapshot it is from. Raises TroubleError if there is none."""
    s = snapshot(store, service, now, also=(number,))
    release = s.release(number)
    if release is None:
        raise TroubleError(f"{service.name} has no release v{number}. Next: esteira releases", REFUSED)
    return release, s


def lines_of(status: Status) -> tuple[str, tuple[str, ...]]:
    """A status as the sentence that explains it, with the next step, and the log lines that belong to it."""
    return status.why, status.detail


def split_log(text: str) -> tuple[str, tuple[str, ...]]:
    """A fact's text as its first line, which is a sentence, and the log lines below it."""
    first, *log = without_colours(text).strip().splitlines() or [""]
    return first, tuple(log)
