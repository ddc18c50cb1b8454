"""Hashes that make the record hold: of a row, of a turn's rows chained to the turn before, of a decision's grounds.

All are SHA-256 of JSON in one form: keys sorted, no spaces. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from datetime import datetime, timedelta
from typing import Any

from esteira.config import Service
from esteira.facts import CommitPushed, Configured, Fact, Sealed, Seen, Turn, from_row, to_row
from esteira.situation import Situation


def hash_of(value: Any) -> str:
    """Return the hash of a JSON value, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def row_hash(fact: Fact) -> str:
    """Return the hash of a fact's row, with everything in it, also when it was heard."""
    return hash_of({"about": fact.about, "key": fact.key, **to_row(fact)})


def seal(turn: Turn, facts: Iterable[Fact], before: str, at: datetime) -> Sealed:
    """Return the seal of a turn: of what was said about its release until then, and of the seal ``before``.

    What the table forgets one day is not in it: that it is gone would look as if somebody had taken it.
    """
    rows = tuple(sorted(f"{f.about} {f.key} {row_hash(f)}" for f in {*facts, turn} if f.kept_days is None))
    sealed = Sealed(at=at, stage=turn.stage, turn=turn.number, release=turn.release, rows=rows, before=before, seal="")
    return replace(sealed, seal=seal_of(sealed))


def seal_of(sealed: Sealed) -> str:
    """Return the hash that seals a turn: of everything the row says but itself."""
    return row_hash(replace(sealed, seal=""))


def broken(seals: Sequence[Sealed]) -> Iterator[str]:
    """Yield a sentence for each place where a stage's seals, in order of their turns, do not hold together: a seal that
    is not the hash of its row, one that is missing, one that does not follow from the one before it."""
    for earlier, sealed in zip([None, *seals], seals, strict=False):
        if seal_of(sealed) != sealed.seal:
            yield f"the seal of turn {sealed.turn} is not the hash of its row: the row was altered"
        if earlier is None:
            if sealed.turn == 1 and sealed.before:
                yield "the seal of turn 1 follows from another, and there is none before it"
        elif earlier.turn + 1 != sealed.turn:
            missing = range(earlier.turn + 1, sealed.turn)
            turns = f"turn {missing[0]}" if len(missing) == 1 else f"turns {missing[0]} to {missing[-1]}"
            yield f"the seal of {turns} is missing: turns have no gap"
        elif sealed.before != earlier.seal:
            yield (
                f"the seal of turn {sealed.turn} does not follow from that of turn {earlier.turn}: "
                f"it says {sealed.before[:12] or 'none'}, that is {earlier.seal[:12]}"
            )


def altered(row: Mapping[str, Any], about: str, key: str, wanted: str) -> str:
    """Return what is wrong with the row that stands under ``about`` and ``key`` and was sealed with the hash
    ``wanted``: which of its fields say something else, as far as that can be told. "" where nothing is.

    A hash tells that a row was altered and not where. The fields that its key is made of contradict it; of the others,
    each may be the one.
    """
    try:
        fact = from_row(row)
        stands, hashed = (fact.about, fact.key), row_hash(fact)
    except (KeyError, TypeError, ValueError, AttributeError):
        return "it is no fact any more: a field is missing, or is of another kind"
    free = fields_beside_the_key(fact)
    if stands != (about, key):
        named = [f.name for f in fields(fact) if f.name not in free]
        return f"its fields make {' '.join(stands)} of it: of {', '.join(named)}, one is not what it was"
    if hashed != wanted:
        return f"of {', '.join(free)}, one is not what it was" if free else "its kind is not what it was"
    return ""


def fields_beside_the_key(fact: Fact) -> tuple[str, ...]:
    """Return the names of a fact's fields that neither its partition nor its key tells."""
    return tuple(f.name for f in fields(fact) if _names_of(_with_another(fact, f.name)) == _names_of(fact))


def _names_of(fact: Fact) -> tuple[str, str]:
    return fact.about, fact.key


def _with_another(fact: Fact, name: str) -> Fact:
    """Return the fact with another value in one field."""
    value = getattr(fact, name)
    other: Any
    match value:
        case bool():
            other = not value
        case int():
            other = value + 1
        case datetime():
            other = value + timedelta(seconds=1)
        case tuple():
            other = (*value, "")
        case _:
            other = f"{value}x"
    return replace(fact, **{name: other})


def configuration_of(service: Service, at: datetime) -> Configured:
    """Return a service's registration under its hash."""
    document = service.model_dump_json()
    return Configured(at=at, sha256=configuration_hash(document), document=document)


def configuration_hash(document: str) -> str:
    """Return the hash of a registration: 16 hexadecimal digits."""
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def seen(s: Situation, at: datetime) -> Seen:
    """Return everything a plan is made from, but the time and the registration, under its hash."""
    seen = Seen(
        at=at,
        sha256="",
        rows=tuple(sorted({f"{fact.about}\t{fact.key}" for fact in _facts(s)})),
        newest=s.newest.number if s.newest else 0,
        tip=s.tip or "",
        written=tuple(json.dumps([n, *astuple(w)], ensure_ascii=False) for n, w in sorted(s.written.items())),
    )
    return replace(seen, sha256=seen_hash(seen))


def seen_hash(seen: Seen) -> str:
    """Return the hash of what a plan is made from: 16 hexadecimal digits."""
    return hash_of([list(seen.rows), seen.newest, seen.tip, list(seen.written)])[:16]


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
        for pusher in release.pushers:
            yield CommitPushed(at=release.pushed.at, commit=release.pushed.commit, by=pusher)
