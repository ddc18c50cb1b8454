"""The table's rows: how a fact becomes one, and which row repeats the latest fact of a series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from esteira.core.facts import POLICY, RELEASES, Held, Notified
from esteira.fact import Fact, from_row, stamp, to_row

T = TypeVar("T")
Row = dict[str, Any]

# Everything a snapshot starts from stands under this prefix of the service's ``releases`` partition: one query.
OPEN = "open#"
LATEST = f"{OPEN}latest#"
FAILING = f"{OPEN}failing#"
# The series of a stage that have a row for their latest fact.
_STAGE_SERIES = re.compile(r"(rollout|hold|rollback|deviated|launch)#")
# A host's reports of itself have one for each host.
_HOST_SERIES = re.compile(r"(host#[^#]+)#")
# When a host's watcher was last heard; no fact.
BEAT = f"{OPEN}beat#"
# A stage's reminders that its hold is soon over.
REMINDERS = "notified#hold-ends-soon#"
# The latest word on a commit or image, and the last ring of an alarm, stand in the subject's own partition.
_OWN_LATEST = ("quarantine/", "alarm/")
OWN_LATEST = "latest"


def pk_of(service: str, about: str) -> str:
    """The partition key of what is ``about`` something of a service."""
    return f"{service}#{about}"


def row_of(service: str, fact: Fact) -> Row:
    """The fact's row, with the time at which the table forgets it if it is not kept for ever."""
    row = {"pk": pk_of(service, fact.about), "sk": fact.key, **to_row(fact)}
    if fact.kept_days is not None:
        row["expires"] = int((fact.at + timedelta(days=fact.kept_days)).timestamp())
    return row


def open_row(service: str, number: int, attempt: int) -> Row:
    """The row that makes a snapshot read a release."""
    return {"pk": pk_of(service, RELEASES), "sk": open_key(number), "number": number, "attempt": attempt}


def open_key(number: int) -> str:
    """The key of a release's open row."""
    return f"{OPEN}release#{number:08d}"


def latest_place(about: str, key: str) -> tuple[str, str] | None:
    """Where the latest fact of this fact's series is repeated, as partition and key; None if its series has none."""
    if about == RELEASES and key.startswith("release#"):
        return RELEASES, f"{LATEST}release"
    if about == POLICY and not key.startswith(LATEST):
        return RELEASES, f"{LATEST}{POLICY}"
    if about.startswith("stage/") and key.startswith(REMINDERS):
        return RELEASES, f"{LATEST}{about}#reminded"
    if about.startswith("stage/") and (series := _STAGE_SERIES.match(key)):
        name = "finished" if key.endswith("#finished") else series[1]
        return RELEASES, f"{LATEST}{about}#{name}"
    if about.startswith("stage/") and (series := _HOST_SERIES.match(key)):
        return RELEASES, f"{LATEST}{about}#{series[1]}"
    return (about, OWN_LATEST) if about.startswith(_OWN_LATEST) and key != OWN_LATEST else None


def latest_rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows that repeat those facts as the latest of their series: one for each series, made from its last fact.

    ``fact_key`` is the fact's own key. A write only replaces a row whose ``fact_key`` is smaller.
    """
    found: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda r: str(r["sk"])):
        service, _, about = str(row["pk"]).partition("#")
        if "fact" in row and (place := latest_place(about, row["sk"])) is not None:
            found[place] = {**row, "pk": pk_of(service, place[0]), "sk": place[1], "fact_key": row["sk"]}
    return list(found.values())


def facts_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Fact, ...]:
    """The facts among rows."""
    return tuple(from_row(row) for row in rows if "fact" in row)


def first_of(rows: Iterable[Mapping[str, Any] | None], kind: type[T]) -> T | None:
    """The first row's fact if it is of that kind, else None."""
    row = next(iter(rows), None)
    fact = next(iter(facts_of([row] if row else [])), None)
    return fact if isinstance(fact, kind) else None


def reminder_of(hold: Held | None, newest: Notified | None) -> Notified | None:
    """The reminder of this hold, if the newest reminder on its stage is of it."""
    mine = hold is not None and newest is not None and newest.topic.endswith(stamp(hold.at))
    return newest if mine else None


def packed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in DynamoDB's own notation: each value a map from its type to the value.

    boto3 has a serializer for every type there is; importing it costs a command line more than the command.
    """
    return {name: _typed(value) for name, value in row.items()}


def unpacked(item: Mapping[str, Any]) -> Row:
    """The row that ``packed`` wrote."""
    return {name: _plain(value) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list() | tuple():
            return {"L": [_typed(member) for member in value]}
    raise TypeError(f"{type(value).__name__} has no place in a row")


def _plain(typed: Mapping[str, Any]) -> Any:
    ((kind, value),) = typed.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(value) if value.lstrip("-").isdecimal() else float(value)
        case "L":
            return [_plain(member) for member in value]
        case "M":
            return unpacked(value)
    return value
