"""Every decision about a release made again, from what it was made from, and held against what is on record.

What it shows: the code that is installed here, given the rows that the controller says it saw, decides the same, with
the same words. What was seen is checked by its hash, which the decision carries; the rows' own content is what the
receipt checks. A decision that was taken out of the table is not missed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from console.record.as_of import UNREADABLE, AsOf, Rows, as_of
from esteira.audit import configuration_hash, seen, seen_hash
from esteira.config import Service
from esteira.core.actions import Action
from esteira.core.plan import moment, plan
from esteira.fact import from_row
from esteira.trail import (
    Configured,
    Decided,
    Seen,
    about_decisions,
)

Verdict = Literal["same", "partly", "differs", "unknown"]


@dataclass(frozen=True)
class Replayed:
    """One decision made again. ``partly``: it is the same, though not everything it saw is on record any more;
    ``unknown``: what it takes to make it again is not there, or was altered. ``missing`` names what is not there."""

    at: datetime
    place: int
    action: str
    why: str
    verdict: Verdict
    says: str
    missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the decision came out the same."""
        return self.verdict in ("same", "partly")


class Gone(Exception):  # noqa: N818 - no error: something is not on record
    """What it takes to make a decision again is not on record as it was; in a sentence."""


def replay(rows: Rows, service: str, number: int, lease: timedelta) -> tuple[Replayed, ...]:
    """Every decision about release ``number`` made again, in order of time."""
    made: dict[tuple[str, str, datetime], tuple[AsOf, tuple[Action, ...]]] = {}
    replayed = []
    for decided in decisions(rows, service, number):
        round_ = (decided.seen, decided.configuration, decided.at)
        try:
            if round_ not in made:
                known = _known(rows, service, decided)
                made[round_] = known, plan(moment(known.snapshot, decided.at, lease))
            replayed.append(_compared(decided, *made[round_]))
        except Gone as gone:
            replayed.append(_told(decided, "unknown", str(gone)))
    return tuple(replayed)


def decisions(rows: Rows, service: str, number: int) -> Iterator[Decided]:
    """What was decided about a release, in order of time. Raises Gone."""
    found = []
    for key, row in rows.partition(service, about_decisions(number), "decided#").items():
        try:
            fact = from_row(row)
        except UNREADABLE:
            fact = None
        if not isinstance(fact, Decided):
            # It says no more what was decided; its key still says when.
            raise Gone(f"the row {about_decisions(number)} {key} is no decision any more")
        found.append(fact)
    yield from sorted(found, key=lambda d: (d.at, d.round, d.place))


def _known(rows: Rows, service: str, decided: Decided) -> AsOf:
    """What was known when something was decided. Raises Gone."""
    return as_of(rows, configured(rows, service, decided.configuration), grounds(rows, service, decided), decided.at)


def configured(rows: Rows, service: str, sha256: str) -> Service:
    """The registration of that hash. Raises Gone."""
    try:
        row = rows.row(service, "configurations", f"configuration#{sha256}")
        fact = from_row(row) if row else None
        if not isinstance(fact, Configured):
            raise Gone(f"the registration of then, {sha256}, is not on record")
        if configuration_hash(fact.document) != sha256:
            raise Gone(f"the registration of then, {sha256}, was altered in the table")
        return Service.model_validate_json(fact.document)
    except ValidationError as error:
        raise Gone(
            f"this esteira does not read the registration of then, {sha256}: {error.errors()[0]['msg']}"
        ) from None
    except UNREADABLE:
        raise Gone(f"the registration of then, {sha256}, cannot be read") from None


def grounds(rows: Rows, service: str, decided: Decided) -> Seen:
    """What a decision was made from. Raises Gone."""
    try:
        row = rows.row(service, "seen", f"seen#{decided.seen}")
        fact = from_row(row) if row else None
    except UNREADABLE:
        raise Gone(f"what it was made from, {decided.seen}, cannot be read") from None
    if not isinstance(fact, Seen):
        raise Gone(f"what it was made from, {decided.seen}, is not on record")
    if seen_hash(fact) != decided.seen:
        raise Gone(f"what it was made from, {decided.seen}, was altered in the table")
    return fact


def _compared(decided: Decided, known: AsOf, actions: tuple[Action, ...]) -> Replayed:
    found = [(type(a).__name__, a.release, a.why[:500]) for a in actions]
    wanted = (decided.action, decided.release, decided.why)
    if decided.place < len(found) and found[decided.place] == wanted:
        if seen(known.snapshot, decided.at).sha256 == decided.seen:
            return _told(decided, "same", "same decision")
        lost = "not everything it saw is on record" if known.missing else "what it saw changed while it was read"
        says = f"same decision; {lost}"
        return _told(decided, "partly", says, known.missing)
    if wanted in found:
        says = f"the same, and at place {found.index(wanted)} of the plan instead of {decided.place}"
    elif decided.place < len(found):
        action, number, why = found[decided.place]
        says = f"made again, it is {action} of v{number}: {why}"
    else:
        says = "made again, it is not decided at all"
    return _told(decided, "differs", says, known.missing)


def _told(decided: Decided, verdict: Verdict, says: str, missing: tuple[str, ...] = ()) -> Replayed:
    return Replayed(decided.at, decided.place, decided.action, decided.why, verdict, says, missing)
