"""Telling people about a change, each change once a channel: the commit's comments, the topic, the service's chat.

The commit hears of everything that happened to it; topic and chat only of what somebody waits for or must act on. A
change is written down before it is told: a message too few is better than one every time something fails half way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from esteira.aws_events import Refused, refusal
from esteira.config import Service
from esteira.context import Context
from esteira.core.admission import Waits
from esteira.core.facts import Announced, Fact, HoldAnnounced
from esteira.core.status import ALARM, Phase
from esteira.notify import webhook

Channel = Literal["commit", "topic", "webhook"]
EVERYWHERE: tuple[Channel, ...] = ("commit", "topic", "webhook")

# A release that came to one of these has ended, and people hear of it.
ENDED = {Phase.FAILED, Phase.ABORTED, Phase.ROLLED_BACK, Phase.REJECTED}
# What the first news of a release is written down as: it is the first, whichever phase it tells of.
STARTED = "started"


class Change(BaseModel):
    """The detail of a ``Release Phase Changed`` event."""

    service: str
    stage: str
    release: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$")]
    number: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)] = 1
    rollout: Annotated[int, Field(ge=0)] = 0
    phase: Phase
    why: str
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
class Announcement:
    """One thing to tell, as what it is written down (``fact``, by channel), and on which channels. Without a text it is
    written down only: what came after it was told already, and it would be old news."""

    channels: tuple[Channel, ...]
    fact: dict[Channel, Fact]
    subject: str = ""
    text: str = ""
    commit: str = ""
    token: str = ""


class UntoldError(Exception):
    """Some channels could not be told; the others were."""


class _Event(BaseModel):
    kind: Annotated[Literal["Release Phase Changed", "Hold Ends Soon"], Field(alias="detail-type")]
    detail: dict[str, Any]


def read(event: object) -> Change | HoldEnds:
    """Return the change an event tells of, or the hold that is soon over. Raises Refused."""
    kind = "Release Phase Changed"
    try:
        envelope = _Event.model_validate(event)
        kind = envelope.kind
        if kind == "Hold Ends Soon":
            return HoldEnds.model_validate(envelope.detail)
        return Change.model_validate(envelope.detail)
    except ValidationError as error:
        raise refusal(error, f"{kind} event") from None


def announce(said: Change | HoldEnds, service: Service, context: Context) -> tuple[Channel, ...]:
    """Tell the channels what they were not told yet; return which ones heard something.

    One that fails keeps no other from hearing. Raises UntoldError when all were tried; told twice is nothing.
    """
    told: dict[Channel, None] = {}
    faults: list[tuple[Channel, Exception]] = []
    for each in _announcements(said, service, context):
        for channel in each.channels:
            try:
                if _tell(each, channel, said, service, context):
                    told[channel] = None
            except Exception as error:  # noqa: BLE001 - raised below, after the others
                faults.append((channel, error))
    if faults:
        untold = "; ".join(f"the {channel}: {error}" for channel, error in faults)
        raise UntoldError(f"{service.name}: not told were {untold}") from faults[0][1]
    return tuple(told)


# --- what there is to tell --------------------------------------------------------------------------------------------


def _announcements(said: Change | HoldEnds, service: Service, context: Context) -> list[Announcement]:
    if isinstance(said, HoldEnds):
        return [_reminder(said, service, context)]
    if context.store.pushed(service.name, said.number) is None:
        raise Refused(f"the Release Phase Changed event is refused: {service.name} has no release {said.release}")
    return list(_of_change(said, service, context))


def _reminder(hold: HoldEnds, service: Service, context: Context) -> Announcement:
    until = f"{hold.until:%Y-%m-%d %H:%M} UTC"
    return Announcement(
        ("topic", "webhook"),
        {
            channel: HoldAnnounced(at=context.clock(), stage=hold.stage, since=hold.since, channel=channel)
            for channel in EVERYWHERE
        },
        f"{service.name}: the hold on {hold.stage} ends soon",
        f"{service.name}: {hold.stage} is held until {until}, then releases deploy again. {hold.by} said: {hold.reason}"
        f"\n\nNext: esteira hold --stage {hold.stage} --service {service.name} to hold it longer, or esteira resume",
    )


def _of_change(c: Change, service: Service, context: Context) -> Iterator[Announcement]:
    own = _told(c, service, context)
    # An event may come late, or not at all: what is told by a later one is not told as news any more.
    over = c.phase.ended or (c.phase is Phase.LIVE and c.stage == service.last.name)
    begun = "" if over or own else f"{service.name} {c.release} is on its way to {service.last.name}: {c.why}"
    yield _announcement(c, context, ("commit",), begun, phase=STARTED, stage="", rollout=0)
    for stage in service.stages[:-1]:
        if c.stages.get(stage.name) is Phase.LIVE:
            text = "" if over else f"{service.name} {c.release} is live on {stage.name}"
            yield _announcement(c, context, ("commit",), text, phase=Phase.LIVE.value, stage=stage.name, rollout=0)
    if own:
        yield own


def _told(c: Change, service: Service, context: Context) -> Announcement | None:
    """Return what people hear of the phase itself, None where it is none they wait for."""
    name, of = f"{service.name} {c.release}", f"{c.release} --service {service.name}"
    if c.phase is Phase.WAITING and c.cause == Waits.APPROVAL:
        text = f"{name} waits for approval to come to {c.stage}: {c.why}"
        following = f"esteira approve {of} --stage {c.stage}, or esteira reject {of} --stage {c.stage} --reason '…'"
    elif c.phase is Phase.LIVE and c.cause == ALARM:
        text = f"{name} is live on {c.stage}, and an alarm went off in vain: {c.why}"
        following = f"esteira why {of}, then push a release that mends it"
    elif c.phase is Phase.LIVE and c.stage == service.last.name:
        text, following = f"{name} is live on {c.stage}: {c.why}", ""
    elif c.phase in ENDED:
        where = f" on {c.stage}" if c.rollout else ""  # without a rollout it came to no stage
        text = f"{name} is {c.phase}{where}{f' ({c.cause})' if c.cause else ''}: {c.why}"
        following = f"esteira why {of}"
    else:
        return None
    text += f"\n\nNext: {following}" if following else ""
    return _announcement(
        c, context, EVERYWHERE, text, phase=c.phase.value, stage=c.stage, rollout=c.rollout, cause=c.cause
    )


def _announcement(
    c: Change,
    context: Context,
    channels: tuple[Channel, ...],
    text: str,
    *,
    phase: str,
    stage: str,
    rollout: int,
    cause: str = "",
) -> Announcement:
    facts: dict[Channel, Fact] = {
        channel: Announced(
            at=context.clock(),
            release=c.number,
            phase=phase,
            number=c.attempt,
            rollout=rollout,
            stage=stage,
            cause=cause,
            channel=channel,
            told=bool(text),
        )
        for channel in channels
    }
    named = (c.service, c.release, phase, str(c.attempt), str(rollout), stage, cause)
    token = "-".join(filter(None, named)).replace(" ", "-")
    return Announcement(channels, facts, f"{c.service} {c.release}: {phase}", text, c.commit, token)


# --- the channels -----------------------------------------------------------------------------------------------------


def _tell(each: Announcement, channel: Channel, said: Change | HoldEnds, service: Service, context: Context) -> bool:
    """Tell one channel, if there is such a one and it was not told; return whether it heard something."""
    if channel == "commit":
        if not each.commit or not _first(each, channel, service, context):
            return False
        context.aws.comment(service, each.commit, each.text, each.token)
    elif channel == "topic":
        if not context.settings.topic_arn or not _first(each, channel, service, context):
            return False
        context.aws.publish(context.settings.topic_arn, each.subject, each.text)
    else:
        if service.webhook is None:
            return False
        # Before it is written down: who mends the parameter in time finds the message not lost but tried again.
        parameter = _own(service.webhook.parameter, service, context)
        address = webhook.address(parameter, context.aws.secret(parameter))
        if not _first(each, channel, service, context):
            return False
        detail = said.model_dump(mode="json")
        webhook.say(address, webhook.content(service.webhook.format, each.subject, each.text, detail))
    return True


def _first(each: Announcement, channel: Channel, service: Service, context: Context) -> bool:
    """Write down that the channel is told; return whether it is to be told now."""
    return context.store.record(service.name, each.fact[channel]) and bool(each.text)


def _own(parameter: str, service: Service, context: Context) -> str:
    """Return the parameter, if it is one of the service's own. Raises WebhookError: a registration must not make
    announce read another service's secrets."""
    path = f"{context.settings.services_path.removesuffix('services/')}parameters/{service.name}/"
    if not parameter.startswith(path) or ".." in parameter:
        raise webhook.WebhookError(
            f"the parameter {parameter} is not one of {service.name}'s own. "
            f"Next: name one under {path} in the registration's webhook"
        )
    return parameter
