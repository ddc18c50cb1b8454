"""Hashes that make the record hold: of a row, of a rollout's rows chained to the rollout before, of a decision's
grounds.

All are SHA-256 of JSON in one form: keys sorted, no spaces. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args, get_origin, get_type_hints

from esteira.config import Service
from esteira.core.facts import CommitPushed, Rollout
from esteira.core.state import Snapshot
from esteira.fact import Fact, from_row, to_row
from esteira.trail import Checkpoint, Configured, Seen


def hash_of(value: Any) -> str:
    """The hash of a JSON value, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def row_hash(fact: Fact) -> str:
    """The hash of a fact's row, with everything in it, also when it was heard."""
    return hash_of({"about": fact.about, "key": fact.key, **to_row(fact)})


def checkpoint_of(rollout: Rollout, facts: Iterable[Fact], before: str, at: datetime) -> Checkpoint:
    """The checkpoint of a rollout: everything said about its release until then, and the checkpoint ``before``.

    What the table forgets one day is not in it: that it is gone would look as if somebody had taken it.
    """
    rows = tuple(sorted(f"{f.about} {f.key} {row_hash(f)}" for f in {*facts, rollout} if f.kept_days is None))
    checkpoint = Checkpoint(
        at=at, stage=rollout.stage, rollout=rollout.number, release=rollout.release, rows=rows, before=before, sha256=""
    )
    return replace(checkpoint, sha256=checkpoint_hash(checkpoint))


def checkpoint_hash(checkpoint: Checkpoint) -> str:
    """The hash that checkpoints a rollout: of everything the row says but itself."""
    return row_hash(replace(checkpoint, sha256=""))


def broken(checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    """One sentence for each break in a stage's checkpoints, which are in order of their rollouts: a checkpoint that
    is not the hash of its row, one that is missing, one that does not follow from the one before it."""
    for earlier, checkpoint in zip([None, *checkpoints], checkpoints, strict=False):
        if checkpoint_hash(checkpoint) != checkpoint.sha256:
            yield f"the checkpoint of rollout {checkpoint.rollout} is not the hash of its row: the row was altered"
        if earlier is None:
            if checkpoint.rollout == 1 and checkpoint.before:
                yield "the checkpoint of rollout 1 follows from another, and there is none before it"
        elif earlier.rollout + 1 != checkpoint.rollout:
            missing = range(earlier.rollout + 1, checkpoint.rollout)
            rollouts = f"rollout {missing[0]}" if len(missing) == 1 else f"rollouts {missing[0]} to {missing[-1]}"
            yield f"the checkpoint of {rollouts} is missing: rollouts have no gap"
        elif checkpoint.before != earlier.sha256:
            yield (
                f"the checkpoint of rollout {checkpoint.rollout} does not follow from the one of {earlier.rollout}: "
                f"it says {checkpoint.before[:12] or 'none'}, that is {earlier.sha256[:12]}"
            )


def altered(row: Mapping[str, Any], about: str, key: str, wanted: str) -> str:
    """What is wrong with the row that stands under ``about`` and ``key`` and was checkpointed with the hash
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
        named = [f.name for f in fields(fact) if any(_names_of(o) != stands for o in _with_another(fact, f.name))]
        return f"its fields make {' '.join(stands)} of it: of {', '.join(named)}, one is not what it was"
    if hashed != wanted:
        return f"of {', '.join(free)}, one is not what it was" if free else "its kind is not what it was"
    return ""


def fields_beside_the_key(fact: Fact) -> tuple[str, ...]:
    """The names of a fact's fields that may be another without another partition or key."""
    same = _names_of(fact)
    return tuple(f.name for f in fields(fact) if any(_names_of(o) == same for o in _with_another(fact, f.name)))


def _names_of(fact: Fact) -> tuple[str, str]:
    return fact.about, fact.key


def _with_another(fact: Fact, name: str) -> Iterator[Fact]:
    """The fact with another value in one field: with each other one where they are few."""
    declared, value = get_type_hints(type(fact))[name], getattr(fact, name)
    if get_origin(declared) is Literal:
        yield from (replace(fact, **{name: word}) for word in get_args(declared) if word != value)
        return
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
    yield replace(fact, **{name: other})


def configuration_of(service: Service, at: datetime) -> Configured:
    """A service's registration under its hash."""
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
        rows=tuple(sorted({f"{fact.about}\t{fact.key}" for fact in _facts(s)})),
        newest=s.newest.number if s.newest else 0,
        tip=s.tip or "",
        written=tuple(json.dumps([n, *astuple(w)], ensure_ascii=False) for n, w in sorted(s.written.items())),
    )
    return replace(seen, sha256=seen_hash(seen))


def seen_hash(seen: Seen) -> str:
    """The hash of what a plan is made from: 16 hexadecimal digits."""
    return hash_of([list(seen.rows), seen.newest, seen.tip, list(seen.written)])[:16]


def _facts(s: Snapshot) -> Iterator[Fact]:
    for stage in s.stages:
        words = (stage.rollout, stage.finished, stage.hold, stage.rollback, stage.reminded, *stage.alarms)
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
