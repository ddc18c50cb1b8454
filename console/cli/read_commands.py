"""The commands that read: status, releases, show, why, tail and windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from console.cli import completion, options
from console.cli.call import POLL_SECONDS, TypedCommand, command
from console.read.where import FAILED, UNDER_WAY, TroubleError

if TYPE_CHECKING:
    from console.read.views import Account


@click.command()
@command
def status(call: TypedCommand) -> None:
    """What was pushed last and how it went, where the model answers, and what is live on each stage, why and since
    when."""
    from console.cli import render_status
    from console.read import stage_status

    now, found, where = call.now(), call.services(), call.controller.where
    stages = stage_status.status(call.store, found, now)
    services = stage_status.glance(call.store, found, stages, where.pages)
    told = {"services": services, "stages": stages}
    call.tell(told, lambda out: render_status.status(out, services, stages, where.remotes, now))


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@command
def releases(call: TypedCommand, limit: int) -> None:
    """The releases, newest first."""
    from console.cli import render_release
    from console.read import release_lines

    service = call.service()
    lines = release_lines.releases(call.store, service, limit, call.now())
    call.tell(
        {"service": service.name, "releases": lines}, lambda out: render_release.releases(out, lines, service.name)
    )


@click.command()
@options.which
@click.option("--all", "whole", is_flag=True, help="Every fact and every decision, in order of time.")
@command
def show(call: TypedCommand, release: str, whole: bool) -> None:
    """A release: where it stands, what it was made of, and what happened to it. --json has all of it."""
    from console.cli import render_release
    from console.read import account, difference, release_lines

    service = call.service()
    number = release_lines.number_of(call.store, service, release)
    ahead = difference.ahead(call.store, call.controller.client, service, number, call.now())
    told = replace(account.account(call.store, service, number, call.now()), ahead=ahead)
    call.tell(told, lambda out: render_release.account(out, told, call.now(), whole=whole))


@click.command()
@options.which
@command
def why(call: TypedCommand, release: str) -> None:
    """The status of a release, and why, in one sentence."""
    from console.cli import render_status
    from console.read import release_lines
    from console.read.failing import failing

    service = call.service()
    number = release_lines.number_of(call.store, service, release)
    line = release_lines.line(call.store, service, number, call.now())
    call.tell(line, lambda out: render_status.why(out, line, call.now(), failing(call.store, service)))


@click.command()
@click.argument("release", metavar="[vN|COMMIT]", required=False, shell_complete=completion.releases)
@click.option("--all", "whole", is_flag=True, help="Every step, and every decision of the controller.")
@options.timeout
@command
def tail(call: TypedCommand, release: str | None, whole: bool, timeout: timedelta) -> None:
    """Follow a release, the newest if none is named, until it is live on the last stage, or over.

    What happens to it and what its build writes is a line as it comes; --json has every step. Exit status 0: it is
    live; 1: it ended otherwise; 3: it was still under way at the --timeout.
    """
    from console.cli import render_release
    from console.cli.followed import Followed
    from console.read import account, progress, release_lines, running
    from console.read import tail as following

    service, end = call.service(), call.now() + timeout
    newest = release_lines.newest
    number = release_lines.number_of(call.store, service, release) if release else newest(call.store, service)
    seen: Account | None = None
    shown, usual = Followed(call), dict[str, float | None]()
    with call.progress() as show:
        while True:
            now = call.now()
            told = account.account(call.store, service, number, now)
            changes = following.changes(seen, told, now)
            shown.print(told, (one for one in changes if whole or call.json or not one.minor))
            seen, how = told, progress.gone(service, told.line)
            if how.over:
                break
            if call.out.is_terminal and not call.json:
                runs = running.running(call.store, call.controller.client, service, told.line, usual)
                show(render_release.passed(following.steps(told.line, service), told.line, now, runs))
            if now >= end:
                line = told.line
                raise TroubleError(
                    f"{line.release} is still {line.phase} after {timeout}. Next: esteira tail {line.release}",
                    UNDER_WAY,
                )
            call.shell.sleep(POLL_SECONDS)
    if not how.succeeded:
        raise SystemExit(FAILED)


@click.command()
@click.option("--days", type=click.IntRange(1, 60), default=7, show_default=True, help="How far ahead.")
@command
def windows(call: TypedCommand, days: int) -> None:
    """Whether a deployment to each stage may begin now, and what opens and closes it in the coming days."""
    from console.cli import render_status
    from console.read import openings

    now = call.now()
    stages = tuple(openings.coming(call.store, call.services(), now, days))
    call.tell({"stages": stages}, lambda out: render_status.windows(out, stages, days, now))
