"""Telling people about a change, once on each channel.

A change is recorded as told before it is told, so that two events about it tell it once. Where telling fails, the
record is deleted again: the next try tells it, and a refusal that stays comes to the dead-letter queue. Two things
follow. A function that dies between recording and telling loses that message. A channel that took a message and did
not answer in time hears it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Notified
from esteira.fact import stamp
from esteira.refusal import Refused
from esteira.visible import visible
from notify import webhook
from notify.news import Channel, HoldEnds, News, PhaseChange, news
from settings.difference import difference


class UnwrittenError(Exception):
    """An event was quicker than the row that it is about; Lambda brings it again."""


class UntoldError(Exception):
    """Some channels could not be told; the others were."""


@dataclass(frozen=True)
class Recorded:
    """What the table says of what an event names, and what is known to be told of it."""

    said: PhaseChange | HoldEnds
    told: frozenset[Notified] = frozenset()


def recorded(said: PhaseChange | HoldEnds, service: Service, context: Context) -> Recorded | None:
    """What the table says of what an event names; None where it has no such thing. Raises UnwrittenError where it does
    not say so yet, Refused for a release that does not exist."""
    store = context.store
    if isinstance(said, HoldEnds):
        hold = next((s.hold for s in store.stages(service) if s.name == said.stage), None)
        if hold is None or hold.until is None or stamp(hold.at) != stamp(said.since):
            return None
        words = {"by": hold.by, "reason": hold.reason, "since": hold.at, "until": hold.until}
        return Recorded(said.model_copy(update=words))
    # In one call with the row: as a rule the table says what the event says, and the same is told of it.
    notices = [each.notified(channel, context.clock()) for each in news(said, service) for channel in each.channels]
    view, told = store.announced(service.name, said.number, notices)
    if view is None and store.pushed(service.name, said.number) is None:
        raise Refused(f"the Release Phase Changed event is refused: {service.name} has no release v{said.number}")
    is_news = view is None or (view.phase, view.cause, view.attempt) != (said.phase, said.cause, said.attempt)
    if view is None or (is_news and view.phase == said.before and view.attempt <= said.attempt):
        raise UnwrittenError(f"the table does not say yet that {service.name} v{said.number} is {said.phase}")
    row = {name: value for name, value in asdict(view).items() if name in PhaseChange.model_fields}
    stages = dict(each.split("=", 1) for each in view.stages)
    named = {"release": f"v{view.number}", "service": service.name, "stage": view.stage or service.stages[0].name}
    return Recorded(PhaseChange.model_validate({**row, **named, "stages": stages, "before": said.before}), told)


def announce(there: Recorded, service: Service, context: Context) -> tuple[Channel, ...]:
    """Tell the channels what they were not told yet; the channels that heard something.

    A channel that fails keeps no other from hearing. Raises UntoldError when all were tried.
    """
    said = there.said
    wanted = [(each, channel) for each in news(said, service) for channel in each.channels]
    notices = [each.notified(channel, context.clock()) for each, channel in wanted]
    told: dict[Channel, None] = {}
    faults: list[tuple[Channel, Exception]] = []
    for (each, channel), notice in zip(wanted, notices, strict=True):
        try:
            if notice not in there.told and _tell(each, channel, notice, said, service, context):
                told[channel] = None
        except Exception as error:  # noqa: BLE001 - raised below, after the others
            faults.append((channel, error))
    if faults:
        untold = "; ".join(f"the {channel}: {error}" for channel, error in faults)
        raise UntoldError(f"{service.name}: could not tell {untold}") from faults[0][1]
    return tuple(told)


def _tell(
    each: News, channel: Channel, notice: Notified, said: PhaseChange | HoldEnds, service: Service, context: Context
) -> bool:
    """Tell one channel, if there is one and it was not told; whether it heard something."""
    if channel == "commit":
        if not each.commit or not _first(each, notice, service, context):
            return False
        with _deleted_on_error(notice, service, context):
            text = "".join((each.text, _settings(each, said, service, context), _checkpoint(said, service, context)))
            context.aws.comment(service, each.commit, text, each.token)
    elif channel == "topic":
        if not context.settings.topic_arn or not _first(each, notice, service, context):
            return False
        with _deleted_on_error(notice, service, context):
            context.aws.publish(context.settings.topic_arn, each.title, each.text)
    else:
        if service.webhook is None:
            return False
        # Before it is recorded: a parameter that cannot be used leaves no record to delete.
        parameter = _own(service.webhook.parameter, service, context)
        address = webhook.address(parameter, context.aws.secret(parameter))
        if not _first(each, notice, service, context):
            return False
        content = webhook.content(service.webhook.format, each.title, each.text, said.model_dump(mode="json"))
        with _deleted_on_error(notice, service, context):
            webhook.say(address, content)
    return True


def _checkpoint(said: PhaseChange | HoldEnds, service: Service, context: Context) -> str:
    """The hash of the rollout's checkpoint, which the comment keeps for an auditor; "" where no rollout is over."""
    if isinstance(said, HoldEnds) or not said.rollout:
        return ""
    found = context.store.checkpoint(service.name, said.stage, said.rollout)
    return f"\n\ncheckpoint {found.rollout} on {found.stage}: {found.sha256}" if found else ""


def _settings(each: News, said: PhaseChange | HoldEnds, service: Service, context: Context) -> str:
    """How the settings of a release on its way differ from those of what is live; "" where they do not."""
    if isinstance(said, HoldEnds) or not each.topic.startswith("started#"):
        return ""
    store = context.store
    own, live = store.pushed(service.name, said.number), store.pushed(service.name, store.stages(service)[-1].live)
    lines = difference(live.settings, own.settings) if own and live else ()
    return f"\n\nsettings beside v{live.number}:\n{visible(chr(10).join(lines))}" if live and lines else ""


def _first(each: News, notice: Notified, service: Service, context: Context) -> bool:
    """Record that the channel is told; whether it is to be told now."""
    return context.store.record(service.name, notice) and bool(each.text)


@contextmanager
def _deleted_on_error(notice: Notified, service: Service, context: Context) -> Iterator[None]:
    """Delete the record that the channel was told, where telling it fails."""
    try:
        yield
    except Exception:
        context.store.forget(service.name, notice)
        raise


def _own(parameter: str, service: Service, context: Context) -> str:
    """The parameter, if it is one of the service's own.

    Raises WebhookError: a registration must not make announce read another service's secrets.
    """
    path = f"{context.settings.services_path.removesuffix('services/')}parameters/{service.name}/"
    if not parameter.startswith(path) or ".." in parameter:
        raise webhook.WebhookError(
            f"the parameter {parameter} is not one of {service.name}'s own. "
            f"Next: name one under {path} in the registration's webhook"
        )
    return parameter
