"""Hashes that make the record hold: of a row, of a rollout's rows chained to the rollout before, of a decision's
grounds, of a round of decisions, of an operator's words chained to the words before.

All are SHA-256 of JSON in one form: keys sorted, no spaces. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from typing import Any

from esteira.config import Service
from esteira.core.facts import ImageArrived, Rollout
from esteira.core.state import Snapshot
from esteira.fact import Fact, to_row
from esteira.trail import Checkpoint, Configured, Decided, Requested, Round, Seen


def hash_of(value: Any) -> str:
    """The hash of a JSON value, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def row_hash(fact: Fact) -> str:
    """The hash of a fact's row, with everything in it, also when it was heard."""
    return hash_of({"about": fact.about, "key": fact.key, **to_row(fact)})


def listed(fact: Fact) -> str:
    """A fact as a seal lists it: ``ABOUT KEY SHA256``."""
    return f"{fact.about} {fact.key} {row_hash(fact)}"


def names_of(rows: Iterable[str]) -> set[str]:
    """The rows that a seal lists, each as ``ABOUT KEY``."""
    return {line.rpartition(" ")[0] for line in rows}


def seen_line(fact: Fact) -> str:
    """A fact as ``Seen`` lists it.

    Of an image that arrived, the key alone is hashed: it is known by its release when it is one.
    """
    sha256 = hash_of(fact.key) if isinstance(fact, ImageArrived) else row_hash(fact)
    return f"{fact.about}\t{fact.key}\t{sha256[:32]}"


def round_of(at: datetime, number: int, seen: Seen, decided: Iterable[Decided]) -> Round:
    """The row over the decisions of one round."""
    return Round(at=at, round=number, seen=seen.sha256, rows=tuple(map(listed, decided)))


def requested_of(at: datetime, request: str, words: Sequence[Fact], before: Requested | None) -> Requested:
    """The row over an operator's words, chained to the request ``before``."""
    number, sha256 = (before.number + 1, row_hash(before)) if before else (1, "")
    return Requested(at=at, number=number, request=request, rows=tuple(map(listed, words)), before=sha256)


def checkpoint_of(rollout: Rollout, facts: Iterable[Fact], before: str, at: datetime) -> Checkpoint:
    """The checkpoint of a rollout: everything said about its release until then, and the checkpoint ``before``.

    What the table forgets one day is not in it: that it is gone would look as if somebody had taken it.
    """
    rows = tuple(sorted(listed(f) for f in {*facts, rollout} if f.kept_days is None))
    checkpoint = Checkpoint(
        at=at, stage=rollout.stage, rollout=rollout.number, release=rollout.release, rows=rows, before=before, sha256=""
    )
    return replace(checkpoint, sha256=checkpoint_hash(checkpoint))


def checkpoint_hash(checkpoint: Checkpoint) -> str:
    """The hash that checkpoints a rollout: of everything the row says but itself."""
    return row_hash(replace(checkpoint, sha256=""))


def configuration_of(service: Service, at: datetime) -> Configured:
    """A service's registration, with the rules of its policy, under its hash."""
    document = service.model_dump_json()
    return Configured(at=at, sha256=configuration_hash(document), document=document)


def configuration_hash(document: str) -> str:
    """The hash of a registration: 16 hexadecimal digits."""
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def seen(s: Snapshot, at: datetime) -> Seen:
    """Everything a plan is made from, but the time and the registration, under its hash."""
    seen = Seen(
        at=at,
        sha256="",
        rows=tuple(sorted({seen_line(fact) for fact in _facts(s)})),
        newest=s.newest.number if s.newest else 0,
        tip=s.tip or "",
        written=tuple(json.dumps([n, *astuple(w)], ensure_ascii=False) for n, w in sorted(s.written.items())),
    )
    return replace(seen, sha256=seen_hash(seen))


def seen_hash(seen: Seen) -> str:
    """The hash of what a plan is made from: 32 hexadecimal digits."""
    return hash_of([list(seen.rows), seen.newest, seen.tip, list(seen.written)])[:32]


def _facts(s: Snapshot) -> Iterator[Fact]:
    for stage in s.stages:
        words = (
            stage.rollout,
            stage.finished,
            stage.hold,
            stage.rollback,
            stage.reminded,
            stage.deviated,
            stage.launch,
            *stage.alarms,
            *stage.hosts,
        )
        yield from (word for word in words if word is not None)
    yield from filter(None, (s.newest, s.policy))
    yield from s.arrived
    for release in s.releases:
        yield release.pushed
        yield from release.facts
        if release.quarantine:
            yield release.quarantine
        yield from release.pushes
