"""How long things took: when a release was live on a stage, and deadlines that would have ended differently."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from console.record.as_of import Rows
from console.record.backtest_values import Otherwise
from esteira.core.facts import (
    GivenUp,
    RollbackOrdered,
    Rollout,
    about_stage,
)
from esteira.core.state import Release, StageState
from esteira.fact import from_row

MINUTE = timedelta(minutes=1)


class _Life(NamedTuple):
    """A release live on a stage by its own rollout: since when, until when, and the alarm that ended it, "" if none."""

    since: datetime
    until: datetime | None
    by_alarm: str


def lives_on(rows: Rows, service: str, stage: str, release: Release) -> Iterator[_Life]:
    """Each time the release came to life on a stage by a deployment of its own."""
    for deployed in release.on(StageState(stage)).rollouts:
        rollout = stage_fact(rows, service, stage, f"rollout#{deployed.number:08d}")
        own = isinstance(rollout, Rollout) and rollout.kind == "deploy"
        since = deployed.live_since
        if not own or since is None:
            continue
        after = stage_fact(rows, service, stage, f"rollout#{deployed.number + 1:08d}")
        until = after.at if isinstance(after, Rollout) else None
        order = (
            stage_fact(rows, service, stage, after.served)
            if isinstance(after, Rollout) and after.kind == "rollback"
            else None
        )
        by = order.by if isinstance(order, RollbackOrdered) and order.away == release.number else ""
        yield _Life(since, until, by if by.startswith("alarm ") else "")


def stage_fact(rows: Rows, service: str, stage: str, key: str) -> object:
    row = rows.row(service, about_stage(stage), key)
    return from_row(row) if row is not None else None


def deadline_change(
    what: str, minutes: int, began: datetime, ended: datetime | None, overdue: GivenUp | None, stage: str = ""
) -> Iterator[Otherwise]:
    """That something would have run out of time, or would have had more of it."""
    limit = minutes * MINUTE
    if overdue is None and ended is not None and ended - began >= limit:
        why = f"its {what} took {length_in_words(ended - began)}: past the deadline of {minutes} minutes"
        yield Otherwise(f"{what}_minutes", why, began, stage)
    if overdue is not None and limit > overdue.at - began:
        took = length_in_words(overdue.at - began)
        why = f"its {what} would have had {minutes} minutes; it ran out of time after {took}"
        yield Otherwise(f"{what}_minutes", why, overdue.at, stage)


def length_in_words(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}" if minutes else "less than a minute"
