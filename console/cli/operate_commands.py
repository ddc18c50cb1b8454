"""The words of an operator. Each sends one request to ``operate``, which records it as a fact or refuses it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from console.cli import options
from console.cli.call import TypedCommand, command
from console.read.out import Out
from console.read.where import FAILED

if TYPE_CHECKING:
    from esteira.config import Service


@click.command()
@click.option(
    "--to",
    metavar="vN",
    type=options.label,
    help="Where to go back to. Default: the last release that was live and healthy.",
)
@options.stage
@options.reason
@options.by
@options.wait
@options.timeout
@command
def rollback(
    call: TypedCommand, to: str | None, stage: str | None, reason: str, by: str | None, wait: bool, timeout: timedelta
) -> None:
    """Go back to an earlier release without a build. The one that was live does not come back by itself."""
    service = call.service()
    request, answer = say(call, service.name, "rollback", by, reason, to=to, stage=stage)
    said = f"the rollback of {_place(service, stage)} is ordered; esteira status tells how it goes"
    _told_or_followed(call, service, stage, request, answer, said, timeout if wait else None)


@click.command()
@options.stage
@options.reason
@options.by
@options.wait
@options.timeout
@command
def redeploy(
    call: TypedCommand, stage: str | None, reason: str, by: str | None, wait: bool, timeout: timedelta
) -> None:
    """Deploy what is live once more: its container starts anew, with its secrets and parameters as they are now."""
    service = call.service()
    request, answer = say(call, service.name, "redeploy", by, reason, stage=stage)
    said = f"what is live on {_place(service, stage)} is deployed again; esteira status tells how it goes"
    _told_or_followed(call, service, stage, request, answer, said, timeout if wait else None)


@click.command()
@options.reason
@click.option(
    "--for",
    "length",
    type=options.duration,
    metavar="TIME",
    default="4h",
    show_default=True,
    help="How long: 90m, 2h, 1d.",
)
@options.stage
@options.by
@command
def hold(call: TypedCommand, reason: str, length: timedelta, stage: str | None, by: str | None) -> None:
    """Let no deployment begin for a while. What is live stays live."""
    service = call.service()
    _, answer = say(call, service.name, "hold", by, reason, minutes=_minutes(length), stage=stage)
    named = f" --stage {stage}" if stage else ""
    tell(call, f"{_place(service, stage)} is held; esteira resume{named} ends it", answer)


@click.command()
@options.stage
@options.why_not
@options.by
@command
def resume(call: TypedCommand, stage: str | None, reason: str, by: str | None) -> None:
    """End a hold."""
    service = call.service()
    _, answer = say(call, service.name, "resume", by, reason, stage=stage)
    tell(call, f"the hold of {_place(service, stage)} is over", answer)


@click.command()
@options.one
@options.next_stage
@options.why_not
@options.by
@command
def approve(call: TypedCommand, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Vote for a release to go to a stage that asks for approvals: this attempt and this image.

    What it would bring there, beside what is live, is printed first.
    """
    _show_difference(call, release, stage)
    _word(call, "approve", release, stage, by, reason, "is approved")


@click.command()
@options.one
@options.next_stage
@options.reason
@options.by
@command
def reject(call: TypedCommand, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Vote against a release going to a stage. It goes no further, and stays live where it is."""
    _word(call, "reject", release, stage, by, reason, "is rejected")


@click.command()
@options.one
@options.next_stage
@options.why_not
@options.by
@command
def promote(call: TypedCommand, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Send a release to the next stage although a newer one replaced it on the stage before.

    The rules of that stage still apply.
    """
    _word(call, "promote", release, stage, by, reason, "is promoted")


@click.command()
@options.one
@options.next_stage
@options.reason
@click.option("--for", "length", type=options.duration, metavar="TIME", required=True, help="How long: 30m, 2h.")
@options.by
@command
def bypass(call: TypedCommand, release: str, stage: str | None, reason: str, length: timedelta, by: str | None) -> None:
    """Let a release pass every rule of a stage for a while, in an emergency. Every answer says so."""
    said = f"passes every rule for {_typed(length)}"
    _word(call, "bypass", release, stage, by, reason, said, minutes=_minutes(length))


@click.command()
@options.one
@options.why_not
@options.by
@options.wait
@options.timeout
@command
def retry(call: TypedCommand, release: str, reason: str, by: str | None, wait: bool, timeout: timedelta) -> None:
    """Give a release that failed a fresh attempt; this also lifts its quarantine."""
    from console.read import progress

    service = call.service()
    _, answer = say(call, service.name, "retry", by, reason, release=release)
    if not wait:
        tell(call, f"{release} of {service.name} gets another attempt", answer, release)
        return
    number = int(release[1:])
    _wait_for(call, lambda: progress.way_progress(call.store, service, number, call.now()), timeout)


@click.command()
@options.one
@options.reason
@options.by
@command
def abort(call: TypedCommand, release: str, reason: str, by: str | None) -> None:
    """Stop a release, with its build or deployment."""
    service = call.service()
    _, answer = say(call, service.name, "abort", by, reason, release=release)
    tell(call, f"{release} of {service.name} is aborted", answer, release)


@click.command()
@options.one
@options.reason
@options.by
@command
def quarantine(call: TypedCommand, release: str, reason: str, by: str | None) -> None:
    """Keep a release's commit and image from deploying again by themselves; esteira retry lifts it."""
    service = call.service()
    _, answer = say(call, service.name, "quarantine", by, reason, release=release)
    tell(call, f"{release} of {service.name} is quarantined", answer, release)


def say(
    call: TypedCommand, service: str, action: str, by: str | None, reason: str, **more: str | int | None
) -> tuple[str, dict[str, Any]]:
    """Send one request to ``operate``: its id, and the answer. Raises TroubleError if it is refused."""
    request = str(uuid.uuid4())
    asked = {name: value for name, value in more.items() if value is not None}
    said = {"action": action, "service": service, "request": request, "by": by or options.user(), "reason": reason}
    call.name_target(call.controller.target)
    return request, call.controller.operate({**said, **asked})


def _show_difference(call: TypedCommand, release: str, stage: str | None) -> None:
    """Print what the vote is about, on stderr: stdout is for what came of it."""
    from console.cli import render_release
    from console.read import difference

    service, number = call.service(), int(release[1:])
    if call.store.pushed(service.name, number) is None:
        return  # the function says so
    ahead = difference.ahead(call.store, call.controller.client, service, number, call.now(), stage)
    if ahead:
        render_release.difference(Out(sys.stderr), release, ahead)


def _word(
    call: TypedCommand,
    action: str,
    release: str,
    stage: str | None,
    by: str | None,
    reason: str,
    said: str,
    minutes: int | None = None,
) -> None:
    """Say a word about a release's way onto a stage, and tell that it was heard."""
    service = call.service()
    _, answer = say(call, service.name, action, by, reason, release=release, stage=stage, minutes=minutes)
    tell(call, f"{release} of {service.name} {said}" + (f" on {stage}" if stage else ""), answer, release)


def _place(service: Service, stage: str | None) -> str:
    """What to call a stage of the service in a sentence: by the service's name alone where it has but one."""
    return service.name if len(service.stages) == 1 else f"{stage or service.last.name} of {service.name}"


def _minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


def _typed(length: timedelta) -> str:
    """A length of time as people type it; what ``duration`` reads."""
    hours, minutes = divmod(_minutes(length), 60)
    return f"{hours}h" * bool(hours) + f"{minutes}m" * bool(minutes)


def tell(call: TypedCommand, said: str, answer: dict[str, Any], about: str = "") -> None:
    """Tell what was done, and where the release ``about`` which it was done stands now."""
    from console.cli import render_work

    call.tell(answer, lambda out: render_work.answer(out, said, about, answer))


def _told_or_followed(
    call: TypedCommand,
    service: Service,
    stage: str | None,
    request: str,
    answer: dict[str, Any],
    said: str,
    timeout: timedelta | None,
) -> None:
    """Tell that a rollback or a redeployment was ordered, or follow it to its end where there is a ``timeout``."""
    from console.read import progress

    name = stage or service.last.name
    target = progress.rollback_target(call.store, service, name, request)
    if timeout is None or target is None:
        tell(call, said, answer, f"v{target}")
        return
    _wait_for(call, lambda: progress.rollback_progress(call.store, service, name, target, call.now()), timeout)


def _wait_for(call: TypedCommand, look: Callable[[], Any], timeout: timedelta) -> None:
    """Follow what was asked for until it is over; exit with 1 where it did not succeed."""
    from console.cli import render_status

    end = call.follow(look, timeout)
    call.tell({"succeeded": end.succeeded, **vars(end.line)}, lambda out: render_status.why(out, end.line, call.now()))
    if not end.succeeded:
        raise SystemExit(FAILED)
