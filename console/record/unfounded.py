"""Rows that follow from others, held against them: a request to stop, what took a release's place, an image that is
taken. Whoever inserts one need not wait for a decision that sees it: the row that it follows from is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from console.record.as_of import Rows
from console.record.checkpoint_chain import read_fact
from console.record.receipt_values import Fault
from esteira.core.actions import StopBuild, StopDeployment
from esteira.core.facts import (
    RELEASES,
    BuildStarted,
    DeploymentStarted,
    ImageTaken,
    Pushed,
    Replaced,
    Rollout,
    RolloutFinished,
    StopAsked,
    about_stage,
)
from esteira.fact import Fact
from esteira.trail import Decided, Round, Seen

# By how much a row may be older than what was read before it was written: no function lives as long.
LATE = timedelta(minutes=15)
INSERTED = "it was inserted or altered"


def unfounded(
    facts: Iterable[Fact], decided: Iterable[Decided], rows: Rows, service: str, now: datetime
) -> Iterator[Fault]:
    """The rows about one release that nothing can have led to."""
    facts, decided = list(facts), list(decided)
    for fact in facts:
        says = ""
        if isinstance(fact, StopAsked) and not forgotten(Decided.kept_days, fact.at, now):
            says = _not_asked(fact, facts, decided)
        elif isinstance(fact, Replaced):
            says = _not_replaced(fact, rows, service)
        if says:
            yield Fault(f"{fact.about} {fact.key}", f"{says}: {INSERTED}")


def _not_asked(fact: StopAsked, facts: Iterable[Fact], decided: Iterable[Decided]) -> str:
    things = {f.build: StopBuild.__name__ for f in facts if isinstance(f, BuildStarted)}
    things |= {f.deployment: StopDeployment.__name__ for f in facts if isinstance(f, DeploymentStarted)}
    action = things.get(fact.thing, "")
    asked = any(d.action == action and d.at <= fact.at <= d.at + LATE for d in decided)
    return "" if asked else "no decision asked to stop it then"


def _not_replaced(fact: Replaced, rows: Rows, service: str) -> str:
    about, key = about_stage(fact.stage), f"rollout#{fact.rollout:08d}"
    rollout = read_fact(rows.row(service, about, key), Rollout)
    finished = read_fact(rows.row(service, about, f"{key}#finished"), RolloutFinished)
    if rollout is None or (rollout.release, rollout.live) != (fact.by, fact.release):
        return f"rollout {fact.rollout} on {fact.stage} put no v{fact.by} in its place"
    return f"rollout {fact.rollout} on {fact.stage} failed" if finished and not finished.succeeded else ""


def images_taken(rows: Rows, service: str, now: datetime) -> Iterator[Fault]:
    """The rows that keep an image from becoming a release, and neither are a release's nor were decided."""
    for key, row in rows.partition(service, RELEASES, "image#").items():
        taken = read_fact(row, ImageTaken)
        if taken is None or taken.key != key:
            yield Fault(f"{RELEASES} {key}", "it is no row of that image any more")
        elif taken.release:
            birth = read_fact(rows.row(service, RELEASES, f"release#{taken.release:08d}"), Pushed)
            same = birth and (birth.at, birth.tag, birth.digest) == (taken.at, taken.tag, taken.digest)
            if not same:
                yield Fault(f"{RELEASES} {key}", f"v{taken.release} was not born of that image then: {INSERTED}")
        elif not forgotten(Seen.kept_days, taken.at, now) and not _arrived(taken, rows, service):
            yield Fault(f"{RELEASES} {key}", f"no decision saw that image arrive: {INSERTED}")


def _arrived(taken: ImageTaken, rows: Rows, service: str) -> bool:
    """Whether a decision that can have led to the row saw the image."""
    line = f"{RELEASES}\topen#image#{taken.tag}#{taken.digest}\t"
    for row in rows.between(service, "rounds", "round#", taken.at - LATE, taken.at).values():
        sealed = read_fact(row, Round)
        seen = read_fact(rows.row(service, "seen", f"seen#{sealed.seen}"), Seen) if sealed else None
        if seen and any(one.startswith(line) for one in seen.rows):
            return True
    return False


def forgotten(kept_days: int | None, at: datetime, now: datetime) -> bool:
    """Whether the table has forgotten such a row of then."""
    return kept_days is not None and at + timedelta(days=kept_days) < now
