"""DORA's five keys of a stage, from its rollouts: lead time, deployment frequency, failure rate, time to restore, and
rework rate.

A *deployment* is a rollout by which a release came to life for itself. A rollback to it, or its being put back, is
none. The *lead time* is from its push (or the image's) to then. A deployment *failed* when the stage was rolled back
from it, by a person or an alarm. A rollout that ended without the release coming to life served nobody, so it is
counted apart, for this stage and for each stage before it. The *time to restore* is from when the bad release came to
life until the rollback from it had. A deployment is *rework* when it is the first one after such a rollback: the fix.
Pure, except for ``measure``, which reads a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from esteira.config import Service
from esteira.core.facts import Rollout, RolloutFinished, about_stage
from esteira.fact import Fact, unstamp
from esteira.store import Store

# So many rollouts, and as many releases, are read at most: two or three years of a busy team, one query's page each.
ROLLOUTS = 500


@dataclass(frozen=True)
class CountedDeployment:
    """One release coming to life: when, how long after its push (None: not known), and, if the stage was rolled back
    from it, how long after that and by whom."""

    release: int
    at: datetime
    lead_seconds: float | None
    restored_seconds: float | None = None
    rolled_back_by: str = ""
    rework: bool = False  # it is the first one after a rollback


@dataclass(frozen=True)
class Keys:
    """The five keys over ``days`` until ``until``, medians of seconds where they are times; None: nothing to measure.

    ``refused`` is how many rollouts ended without the release coming to life, by stage: those before this one and this
    one, in the order that a release takes them. ``since`` is so many days ago. Where the stage had more rollouts than
    are read, it is when the first of those began.
    """

    service: str
    stage: str
    days: int
    since: datetime
    until: datetime
    deployments: tuple[CountedDeployment, ...]
    refused: Mapping[str, int]
    lead_seconds: float | None
    per_week: float
    failure_rate: float | None
    restore_seconds: float | None
    rework_rate: float | None


def measure(store: Store, service: Service, stage: str, days: int, now: datetime) -> Keys:
    """The five keys of a service's stage over the last ``days``."""
    rows = store.newest_facts(service.name, about_stage(stage), "rollout#", 2 * ROLLOUTS)
    pushed = {v.number: unstamp(v.pushed_at) for v in store.views(service.name, ROLLOUTS)}
    orders = store.newest_facts(service.name, about_stage(stage), "rollback#", ROLLOUTS)
    ordered_by = {f.key: getattr(f, "by", "") for f in orders}
    names = [s.name for s in service.stages]
    earlier = {
        name: store.newest_facts(service.name, about_stage(name), "rollout#", 2 * ROLLOUTS)
        for name in names[: names.index(stage)]
    }
    return keys(service.name, stage, rows, pushed, ordered_by, days, now, earlier)


def keys(
    service: str,
    stage: str,
    rows: Iterable[Fact],
    pushed: Mapping[int, datetime],
    ordered_by: Mapping[str, str],
    days: int,
    now: datetime,
    earlier: Mapping[str, Iterable[Fact]],
) -> Keys:
    """The five keys. ``rows`` are the stage's rollouts and how they ended, in any order, and ``earlier`` those of the
    stages before it. ``pushed`` is when each release was; ``ordered_by`` says who ordered a rollback, by the order's
    key."""
    facts = tuple(rows)
    finished = {f.rollout: f for f in facts if isinstance(f, RolloutFinished)}
    rollouts = sorted((f for f in facts if isinstance(f, Rollout)), key=lambda f: f.number)
    since = now - timedelta(days=days)
    if len(rollouts) >= ROLLOUTS:
        since = max(since, rollouts[0].at)
    counted = tuple(d for d in _lives(rollouts, finished, pushed, ordered_by) if d.at >= since)
    failed = [d for d in counted if d.restored_seconds is not None]
    return Keys(
        service=service,
        stage=stage,
        days=days,
        since=since,
        until=now,
        deployments=counted,
        refused={name: _refused(there, since) for name, there in {**earlier, stage: facts}.items()},
        lead_seconds=_median([d.lead_seconds for d in counted if d.lead_seconds is not None]),
        per_week=len(counted) / max((now - since) / timedelta(days=7), 1 / 7),
        failure_rate=len(failed) / len(counted) if counted else None,
        restore_seconds=_median([d.restored_seconds for d in failed if d.restored_seconds is not None]),
        rework_rate=sum(d.rework for d in counted) / len(counted) if counted else None,
    )


def _lives(
    rollouts: Iterable[Rollout],
    finished: Mapping[int, RolloutFinished],
    pushed: Mapping[int, datetime],
    ordered_by: Mapping[str, str],
) -> list[CountedDeployment]:
    """Each time a release came to life by itself."""
    lives, rework = list[CountedDeployment](), False
    for rollout in rollouts:
        end = finished.get(rollout.number)
        if end is None or not end.succeeded:
            continue
        if rollout.kind == "deploy":
            lead = pushed.get(rollout.release)
            seconds = (end.at - lead).total_seconds() if lead else None
            lives.append(CountedDeployment(rollout.release, end.at, seconds, rework=rework))
            rework = False
        elif rollout.kind == "rollback":
            _fail(lives, rollout.live, end.at, ordered_by.get(rollout.served, ""))
            rework = True
    return lives


def _refused(facts: Iterable[Fact], since: datetime) -> int:
    """How many rollouts ended since then without bringing a release to life."""
    return sum(isinstance(f, RolloutFinished) and not f.succeeded and f.at >= since for f in facts)


def _fail(lives: list[CountedDeployment], away: int, at: datetime, by: str) -> None:
    """Write down that the stage was rolled back from ``away``: from the last time it came to life by itself."""
    for place in range(len(lives) - 1, -1, -1):
        if lives[place].release == away:
            was = lives[place]
            lives[place] = replace(was, restored_seconds=(at - was.at).total_seconds(), rolled_back_by=by)
            return


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
