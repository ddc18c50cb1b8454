"""When deployments may begin, told for people: each stage open or closed now, why, and its windows of the coming days.

Pure but for the holds, which stand in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import windows
from console.read.views import Hold
from esteira.config import Service, Stage
from esteira.store import Store


@dataclass(frozen=True)
class Opening:
    """One window that opens in the coming days, or is open. ``kind`` is allow or deny."""

    kind: str
    begins: datetime
    ends: datetime
    reason: str
    cron: str
    timezone: str


@dataclass(frozen=True)
class StageWindows:
    """One stage: whether a deployment may begin now, until when that stays so (None: not known, or nothing ends it in
    the days that were asked for), and why not."""

    service: str
    stage: str
    open: bool
    until: datetime | None
    why: str
    hold: Hold | None
    openings: tuple[Opening, ...]


def coming(store: Store, services: Iterable[Service], now: datetime, days: int) -> Iterator[StageWindows]:
    """Each stage of ``services`` with what opens and closes it in the coming ``days``."""
    for service in services:
        for stage in store.stages(service):
            rules = stage.rules or service.stage(stage.name)
            held = stage.held(now)
            hold = Hold(held.by, held.reason, held.until) if held and held.until else None
            closed = windows.closed_at(rules.windows, now)
            reasons = [f"{hold.by} holds it: {hold.reason}"] if hold else []
            reasons += [closed.why] if closed else []
            found = windows.openings(rules.windows, now, days)
            yield StageWindows(
                service=service.name,
                stage=rules.name,
                open=not reasons,
                until=_opens(rules, hold, now) if reasons else _closes(rules, found),
                why="; ".join(reasons),
                hold=hold,
                openings=tuple(
                    Opening(window.kind, begins, ends, window.reason, window.cron, window.timezone)
                    for begins, ends, window in found
                ),
            )


def _opens(rules: Stage, hold: Hold | None, now: datetime) -> datetime | None:
    """When the first deployment may begin: when the hold is over and the windows let it."""
    free = hold.until if hold else now
    closed = windows.closed_at(rules.windows, free)
    return closed.until if closed else free


def _closes(rules: Stage, found: Iterable[tuple[datetime, datetime, windows.Window]]) -> datetime | None:
    """When a stage that is open closes: as a window that allows ends, or as one that denies begins."""
    edges = sorted(ends if window.kind == "allow" else begins for begins, ends, window in found)
    return next((edge for edge in edges if windows.closed_at(rules.windows, edge)), None)
