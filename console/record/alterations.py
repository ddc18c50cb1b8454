"""What is wrong with a record: a break in a stage's checkpoints, a row that is not the one that was checkpointed.

The hashes are the controller's own (``esteira.audit``). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from esteira.audit import checkpoint_hash, row_hash
from esteira.fact import Fact, from_row
from esteira.trail import Checkpoint


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
    if stands != (about, key):
        named = [f.name for f in fields(fact) if any(_names_of(o) != stands for o in _with_another(fact, f.name))]
        return f"its fields make {' '.join(stands)} of it: of {', '.join(named)}, one is not what it was"
    if hashed != wanted:
        free = fields_beside_the_key(fact)
        return f"of {', '.join(free)}, one is not what it was" if free else "its kind is not what it was"
    return ""


def fields_beside_the_key(fact: Fact) -> tuple[str, ...]:
    """The names of a fact's fields that may be another without another partition or key."""
    same = _names_of(fact)
    return tuple(f.name for f in fields(fact) if any(_names_of(o) == same for o in _with_another(fact, f.name)))


def _names_of(fact: Fact) -> tuple[str, str]:
    return fact.about, fact.key


@cache
def _declared(kind: type[Fact]) -> dict[str, Any]:
    """The types of a kind's fields: a receipt compares many rows of few kinds."""
    return get_type_hints(kind)


def _with_another(fact: Fact, name: str) -> Iterator[Fact]:
    """The fact with another value in one field: with each other one where they are few."""
    declared, value = _declared(type(fact))[name], getattr(fact, name)  # type: ignore[arg-type]
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
