"""What an event tells: facts about a service, or why it is not ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError, WrapValidator

from esteira.config import Service
from esteira.fact import Fact

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# Before EventBridge there was no event; a year of three digits would not sort as text does.
Timestamp = Annotated[AwareDatetime, Field(ge=datetime(2016, 1, 1, tzinfo=UTC))]


def _or_none(value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


# What is nice to know and not needed: where it is malformed it counts as missing, and the event is heard all the same.
Nice = WrapValidator(_or_none)


@dataclass(frozen=True)
class Heard:
    """An event of ours: the service it is about and the facts it tells. No facts: it only says "look".

    ``others`` are further services that it tells the same: several may listen to one alarm, or stand in one repository.
    """

    service: Service
    facts: tuple[Fact, ...]
    others: tuple[Service, ...] = ()


@dataclass(frozen=True)
class NotOurs:
    """An event that is none of the controller's business, and why: no error."""

    why: str


def name_in(detail: Mapping[str, Any], field: str) -> str:
    """The text in a field of an event that may be anybody's; "" where it is none. It tells whose the event is."""
    value = detail.get(field)
    return value if isinstance(value, str) else ""


def service_with(services: Sequence[Service], attribute: str, value: str) -> Service | None:
    """The first of the services that has this value."""
    return next((s for s in services if getattr(s, attribute) == value), None)
