"""The one place where the console completes a release, and the one where a status becomes lines of text."""

from __future__ import annotations

from dataclasses import replace

from console.read.where import REFUSED, TroubleError
from esteira.config import Service
from esteira.core.state import Release
from esteira.core.status import Status
from esteira.store import Store


def complete(store: Store, service: Service, number: int) -> Release:
    """A complete release. Raises TroubleError if there is none."""
    release = existing(store, service, number)
    if release is None:
        raise TroubleError(f"{service.name} has no release v{number}. Next: esteira releases", REFUSED)
    return release


def existing(store: Store, service: Service, number: int) -> Release | None:
    """A release with its quarantine, and with who pushed it where that counts; None if there is none."""
    release = store.release(service.name, number)
    if release is None:
        return None
    commit = release.pushed.commit
    asked = commit and any(stage.approvals and stage.approvals.not_by_pusher for stage in service.stages)
    return replace(
        release,
        quarantine=store.quarantine(service.name, (commit, release.digest)),
        pushers=store.pushers(service.name, commit) if asked else (),
    )


def lines_of(status: Status) -> tuple[str, tuple[str, ...]]:
    """A status as the sentence that explains it and the log lines that belong to it."""
    return split_log(status.why)


def split_log(text: str) -> tuple[str, tuple[str, ...]]:
    """A text as its first line, which is a sentence, and the log lines below it."""
    first, *log = text.strip().splitlines() or [""]
    return first, tuple(log)
