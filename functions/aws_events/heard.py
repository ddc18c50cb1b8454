"""What an event tells: facts about a service, or why it is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from esteira.config import Service
from esteira.fact import Fact

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# Before EventBridge there was no event; a year of three digits would not sort as text does.
Timestamp = Annotated[AwareDatetime, Field(ge=datetime(2016, 1, 1, tzinfo=UTC))]


@dataclass(frozen=True)
class Heard:
    """An event of ours: the service it is about and the facts it tells. No facts: it only says "look".

    ``others`` are further services that it tells the same: several may listen to one alarm.
    """

    service: Service
    facts: tuple[Fact, ...]
    others: tuple[Service, ...] = ()


@dataclass(frozen=True)
class NotOurs:
    """An event that is none of the controller's business, and why: no error."""

    why: str


def service_with(services: Sequence[Service], attribute: str, value: str) -> Service | None:
    """The first of the services that has this value."""
    return next((s for s in services if getattr(s, attribute) == value), None)
