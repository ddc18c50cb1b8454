"""What a fact is: an immutable row with a natural key, and how it is written to a table and read back.

A fact is written once, by a conditional put under ``(about, key)``; the same fact twice is one row. The class line of
each kind declares its partition and its key. ``at`` is when the fact was first heard; it takes no part in equality, so
a fact from an event equals the fact from an observation. Pure: no I/O, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
@dataclass(frozen=True, kw_only=True)
class Fact:
    """Base of all facts; a subclass is a frozen dataclass with keyword arguments.

    ``about`` and ``key`` in the class line are format strings over the fields; a time is written by ``stamp``.
    ``kept_days`` is how long the table keeps such a row (its TTL); None means for ever.
    """

    at: datetime = field(compare=False)
    name: ClassVar[str]
    kept_days: ClassVar[int | None] = None
    _about: ClassVar[str] = ""
    _key: ClassVar[str] = ""

    def __init_subclass__(cls, about: str = "", key: str = "", kept_days: int | None = None) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        cls._about, cls._key = about or cls._about, key or cls._key
        cls.kept_days = kept_days if kept_days is not None else cls.kept_days
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        if cls._key:
            _KINDS[cls.name] = cls

    @cached_property
    def about(self) -> str:
        """The partition of the row."""
        return self._about.format_map(_Fields(self))

    @cached_property
    def key(self) -> str:
        """The natural key of the row within its partition."""
        return self._key.format_map(_Fields(self))


_KINDS: dict[str, type[Fact]] = {}


class _Fields(dict[str, Any]):
    """A fact's fields as a key shows them."""

    def __init__(self, fact: Fact) -> None:
        self.fact = fact

    def __missing__(self, name: str) -> object:
        value = getattr(self.fact, name)
        return stamp(value) if isinstance(value, datetime) else value


class Unknown(Fact):
    """A row of a kind that this version does not know, kept whole as JSON. Newer versions write such rows."""

    partition: str
    sort_key: str
    document: str

    @cached_property
    def about(self) -> str:
        """The partition the row was read from."""
        return self.partition

    @cached_property
    def key(self) -> str:
        """The key the row was read under."""
        return self.sort_key


def stamp(at: datetime) -> str:
    """``at`` (aware) as a UTC text of fixed width, which sorts as time does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unstamp(text: str) -> datetime:
    """The aware UTC time that ``stamp`` wrote."""
    return datetime.fromisoformat(text)


def to_row(fact: Fact) -> dict[str, Any]:
    """The fact as plain values (str, int, bool, None, list) with its kind under ``fact``, for a table."""
    if isinstance(fact, Unknown):
        document: dict[str, Any] = json.loads(fact.document)
        return document
    row: dict[str, Any] = {"fact": fact.name}
    for f in fields(fact):
        value = getattr(fact, f.name)
        if isinstance(value, datetime):
            value = stamp(value)
        elif isinstance(value, tuple):
            value = list(value)
        row[f.name] = value
    return row


def from_row(row: Mapping[str, Any]) -> Fact:
    """The fact that ``to_row`` wrote. Unknown attributes are ignored, and a row of an unknown kind is kept whole."""
    kind = _KINDS.get(row["fact"])
    if kind is None:
        return _unknown(row)
    values: dict[str, Any] = {}
    for f in fields(kind):
        if f.name in row:
            values[f.name] = _value(str(f.type), row[f.name])
    return kind(**values)


def _value(declared: str, value: Any) -> Any:
    if value is None:
        return None
    if "datetime" in declared:
        return unstamp(value)
    if declared == "int":
        return int(value)
    if declared == "tuple[int, ...]":
        return tuple(int(v) for v in value)
    return tuple(value) if isinstance(value, list) else value


def _unknown(row: Mapping[str, Any]) -> Unknown:
    partition, key = str(row.get("pk", "")).partition("#")[2], str(row.get("sk", ""))
    kept = {name: value for name, value in row.items() if name not in ("pk", "sk", "expires", "token")}
    try:
        at = unstamp(str(row.get("at", "")))
    except ValueError:
        at = datetime.fromtimestamp(0, UTC)
    return Unknown(at=at, partition=partition, sort_key=key, document=json.dumps(kept, sort_keys=True, default=_plain))


def _plain(value: Any) -> Any:
    """A table's number as the integer that was written; anything else that JSON does not know as text."""
    return int(value) if isinstance(value, Decimal) and value == int(value) else str(value)
