"""Telling people about a change of phase, each change once a channel."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from esteira.config import Service
from esteira.desk import Desk
from esteira.events import Refused, refusal
from esteira.facts import Announced
from esteira.phase import Phase

# The phases somebody waits for, or should hear of.
TOLD = {Phase.LIVE, Phase.FAILED, Phase.ABORTED, Phase.ROLLED_BACK, Phase.REJECTED}


class Change(BaseModel):
    """The detail of a ``Release Phase Changed`` event."""

    service: str
    stage: str
    release: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$")]
    number: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)] = 1
    turn: Annotated[int, Field(ge=0)] = 0
    phase: Phase
    why: str
    commit: str = ""


class _Event(BaseModel):
    detail: dict[str, Any]


def read(event: object) -> Change:
    """Return the change an event tells of. Raises Refused."""
    try:
        return Change.model_validate(_Event.model_validate(event).detail)
    except ValidationError as error:
        raise refusal(error, "Release Phase Changed event") from None


def announce(change: Change, service: Service, desk: Desk) -> tuple[str, ...]:
    """Tell the channels about ``change`` that were not told yet; return which ones those were."""
    if change.phase not in TOLD:
        return ()
    text = f"{service.name} {change.release} is {change.phase} on {change.stage}: {change.why}"
    told = []
    # Written down first: a message too few is better than one every time something fails half way.
    if change.commit and _first(change, service, desk, "commit"):
        token = f"{service.name}-{change.release}-{change.phase}-{change.attempt}-{change.turn}".replace(" ", "-")
        desk.cloud.comment(service, change.commit, text, token)
        told.append("commit")
    topic = desk.settings.topic_arn
    if topic and _first(change, service, desk, "topic"):
        desk.cloud.publish(topic, f"{service.name} {change.release}: {change.phase}", text)
        told.append("topic")
    return tuple(told)


def _first(change: Change, service: Service, desk: Desk, channel: str) -> bool:
    if desk.store.pushed(service.name, change.number) is None:
        raise Refused(f"the Release Phase Changed event is refused: {service.name} has no release {change.release}")
    announced = Announced(
        at=desk.clock(),
        release=change.number,
        phase=change.phase.value,
        number=change.attempt,
        turn=change.turn,
        channel=channel,
    )
    return desk.store.record(service.name, announced)
