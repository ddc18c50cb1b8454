"""Hashes that make the record hold: of a row, of a turn's rows chained to the turn before, of a decision's grounds.

All are SHA-256 of JSON in one form: keys sorted, no spaces. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from datetime import datetime
from typing import Any

from esteira.config import Service
from esteira.facts import Configured, Fact, Sealed, Turn, to_row
from esteira.situation import Situation


def hash_of(value: Any) -> str:
    """Return the hash of a JSON value, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def row_hash(fact: Fact) -> str:
    """Return the hash of a fact's row, with everything in it, also when it was heard."""
    return hash_of({"about": fact.about, "key": fact.key, **to_row(fact)})


def seal(turn: Turn, facts: Iterable[Fact], before: str, at: datetime) -> Sealed:
    """Return the seal of a turn: of what was said about its release until then, and of the seal ``before``."""
    rows = tuple(sorted(f"{f.about} {f.key} {row_hash(f)}" for f in {*facts, turn}))
    return Sealed(
        at=at,
        stage=turn.stage,
        turn=turn.number,
        release=turn.release,
        rows=rows,
        before=before,
        seal=seal_of(turn.stage, turn.number, rows, before),
    )


def seal_of(stage: str, turn: int, rows: tuple[str, ...], before: str) -> str:
    """Return the hash that seals a turn."""
    return hash_of([stage, turn, list(rows), before])


def configuration_of(service: Service, at: datetime) -> Configured:
    """Return a service's registration under its hash."""
    document = service.model_dump_json()
    return Configured(at=at, sha256=hashlib.sha256(document.encode()).hexdigest()[:16], document=document)


def seen(s: Situation) -> str:
    """Return the hash of everything a plan is made from, but the time and the registration: 16 hexadecimal digits."""
    return hash_of([sorted(_names(s)), s.tip, {str(n): list(astuple(w)) for n, w in s.written.items()}])[:16]


def _names(s: Situation) -> Iterator[str]:
    for fact in _facts(s):
        yield f"{fact.about} {fact.key}"


def _facts(s: Situation) -> Iterator[Fact]:
    for stage in s.stages:
        words = (stage.turn, stage.settled, stage.hold, stage.rollback, stage.reminded, *stage.alarms)
        yield from (word for word in words if word is not None)
    if s.newest:
        yield s.newest
    yield from s.arrived
    for release in s.releases:
        yield release.pushed
        yield from release.facts
        if release.quarantine:
            yield release.quarantine
