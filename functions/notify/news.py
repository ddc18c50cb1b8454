"""What there is to tell about a change, and to whom: the commit's comments, the topic, the service's chat.

The commit hears of everything that happened to it; topic and chat only of what somebody waits for or must act on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from aws_events import NotOurs, foreign
from esteira.config import Service, Settings
from esteira.core.admission import Waits
from esteira.core.facts import Notified, about_release, about_stage
from esteira.core.status import Cause, Phase
from esteira.fact import stamp
from esteira.refusal import refusal
from esteira.visible import visible

Channel = Literal["commit", "topic", "webhook"]
EVERYWHERE: tuple[Channel, ...] = ("commit", "topic", "webhook")

# A release that came to one of these has ended, and people hear of it.
ENDED = {Phase.FAILED, Phase.ABORTED, Phase.ROLLED_BACK, Phase.REJECTED}


class PhaseChange(BaseModel):
    """The detail of a ``Release Phase Changed`` event. Anybody in the account may put one on the bus: what is told is
    the table's (``announce.recorded``)."""

    service: str
    stage: str
    release: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$")]
    number: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)] = 1
    rollout: Annotated[int, Field(ge=0)] = 0
    phase: Phase
    before: str = ""
    summary: str
    detail: tuple[str, ...] = ()
    next: str = ""
    cause: str = ""
    stages: dict[str, Phase] = {}
    commit: str = ""


class HoldEnds(BaseModel):
    """The detail of a ``Hold Ends Soon`` event."""

    service: str
    stage: str
    by: str
    reason: str
    since: AwareDatetime
    until: AwareDatetime


@dataclass(frozen=True)
class News:
    """One thing to tell on some channels. ``subject`` and ``topic`` name the row that says it was told (``Notified``).

    Without ``text`` it is only recorded: something later was told already, and this would be old news.
    """

    channels: tuple[Channel, ...]
    subject: str
    topic: str
    title: str
    text: str
    commit: str = ""
    token: str = ""

    def notified(self, channel: Channel, at: datetime) -> Notified:
        """The fact that it was told on a channel."""
        return Notified(at=at, subject=self.subject, topic=self.topic, channel=channel, told=bool(self.text))


class _Event(BaseModel):
    account: str = ""
    region: str = ""
    kind: Annotated[Literal["Release Phase Changed", "Hold Ends Soon"], Field(alias="detail-type")]
    detail: dict[str, Any]


def read(event: object, settings: Settings) -> PhaseChange | HoldEnds | NotOurs:
    """The change an event tells of, or the hold that is soon over, or why it is not ours. Raises Refused."""
    kind = "Release Phase Changed"
    try:
        envelope = _Event.model_validate(event)
        kind = envelope.kind
        if elsewhere := foreign(envelope.account, envelope.region, settings):
            return elsewhere
        return (HoldEnds if kind == "Hold Ends Soon" else PhaseChange).model_validate(envelope.detail)
    except ValidationError as error:
        raise refusal(error, f"{kind} event") from None


def news(said: PhaseChange | HoldEnds, service: Service) -> tuple[News, ...]:
    """Everything there is to tell about an event."""
    found = (_reminder(said, service),) if isinstance(said, HoldEnds) else tuple(_of_change(said, service))
    return tuple(replace(each, title=visible(each.title), text=visible(each.text)) for each in found)


def _reminder(hold: HoldEnds, service: Service) -> News:
    until = f"{hold.until:%Y-%m-%d %H:%M} UTC"
    return News(
        ("topic", "webhook"),
        about_stage(hold.stage),
        f"hold-ends-soon#{stamp(hold.since)}",
        f"{service.name}: the hold on {hold.stage} ends soon",
        f"{service.name}: {hold.stage} is held until {until}, then releases deploy again. {hold.by} said: {hold.reason}"
        f"\n\nNext: esteira hold --stage {hold.stage} --service {service.name} --reason … --for 4h "
        "to hold it longer, or esteira resume",
    )


def _of_change(c: PhaseChange, service: Service) -> Iterator[News]:
    own = _own(c, service)
    # An event may come late, or not at all: what a later one has told is not told as news any more.
    over = c.phase.ended or (c.phase is Phase.LIVE and c.stage == service.last.name)
    begun = "" if over or own else f"{service.name} {c.release} is on its way to {service.last.name}: {c.summary}"
    yield _news(c, ("commit",), begun, phase="started")
    for stage in service.stages[:-1]:
        if c.stages.get(stage.name) is Phase.LIVE:
            text = "" if over else f"{service.name} {c.release} is live on {stage.name}"
            yield _news(c, ("commit",), text, phase=Phase.LIVE.value, stage=stage.name)
    if own:
        yield own


def _own(c: PhaseChange, service: Service) -> News | None:
    """What people hear of the phase itself, None where they do not wait for it."""
    name, of = f"{service.name} {c.release}", f"{c.release} --service {service.name}"
    if c.phase is Phase.WAITING and c.cause == Waits.APPROVAL:
        text = f"{name} waits for approval to come to {c.stage}: {c.summary}"
        following = f"esteira approve {of} --stage {c.stage}, or esteira reject {of} --stage {c.stage} --reason '…'"
    elif c.phase is Phase.WAITING and c.cause == Waits.UNSCANNED:
        text, following = f"{name} waits for the scan of its image: {c.summary}", f"{c.next}; esteira why {of}"
    elif c.phase is Phase.LIVE and c.cause == Cause.ALARM:
        text = f"{name} is live on {c.stage}, is not well, and nothing could be done about it: {c.summary}"
        following = f"esteira why {of}, then push a release that fixes it"
    elif c.phase is Phase.LIVE and c.cause == Cause.SICK:
        text = f"{name} is sick on {c.stage}: {c.summary}"
        following = f"{c.next}; esteira why {of}"
    elif c.phase is Phase.LIVE and c.cause == Cause.LAUNCH_FAILED:
        text = f"a new host of {c.stage} cannot run {name}: {c.summary}"
        following = f"{c.next}; esteira why {of}"
    elif c.phase is Phase.LIVE and c.cause == Cause.DEVIATED:
        text = f"{name} is not what the hosts of {c.stage} run: {c.summary}"
        following = f"{c.next}; esteira why {of}"
    elif c.phase is Phase.LIVE and c.stage == service.last.name:
        text, following = "\n".join((f"{name} is live on {c.stage}: {c.summary}", *c.detail)), c.next
    elif c.phase in ENDED:
        where = f" on {c.stage}" if c.rollout else ""  # without a rollout it came to no stage
        text = f"{name} is {c.phase}{where}{f' ({c.cause})' if c.cause else ''}: {c.summary}"
        text = "\n".join((text, *c.detail))
        following = f"{c.next}; esteira why {of}" if c.next else f"esteira why {of}"
    else:
        return None
    text += f"\n\nNext: {following}" if following else ""
    return _news(c, EVERYWHERE, text, phase=c.phase.value, stage=c.stage, rollout=c.rollout, cause=c.cause)


def _news(
    c: PhaseChange,
    channels: tuple[Channel, ...],
    text: str,
    phase: str,
    stage: str = "",
    rollout: int = 0,
    cause: str = "",
) -> News:
    named = (phase, str(c.attempt), str(rollout), stage, cause)
    token = "-".join(filter(None, (c.service, c.release, *named))).replace(" ", "-")
    title = f"{c.service} {c.release}: {phase}"
    return News(channels, about_release(c.number), "#".join(named), title, text, c.commit, token)
