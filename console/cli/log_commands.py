"""`esteira logs`: what a build or a container wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from console.cli import options
from console.cli.call import POLL_SECONDS, TypedCommand, command, stage_of
from console.read.build_log import LogLine, without_secrets
from console.read.where import REFUSED, TroubleError

if TYPE_CHECKING:
    from pathlib import Path

    from esteira.config import Service

HOUR = timedelta(hours=1)


@click.command()
@click.argument("name", metavar="[SERVICE]", required=False)
@click.option("--build", is_flag=True, help="The log of a build, not of a container.")
@click.option(
    "--release", metavar="vN", type=options.label, help="Of which release. Default: the live one, or the newest build."
)
@click.option("-f", "--follow", is_flag=True, help="Stay, and print what comes.")
@click.option(
    "--since",
    type=options.duration,
    metavar="TIME",
    help="Only what was written in that time: 10m, 2h. On AWS the last hour is the default; a local container has all.",
)
@options.stage
@command
def logs(
    call: TypedCommand,
    name: str | None,
    build: bool,
    release: str | None,
    follow: bool,
    since: timedelta | None,
    stage: str | None,
) -> None:
    """What the live container of a stage wrote, or a build."""
    call = replace(call, wanted=name or call.wanted)
    service = call.service()
    begin = call.now() - since if since else None
    if build:
        lines = _build_lines(call, service, release, begin, follow=follow)
    else:
        on, state = stage_of(service, stage or None), call.controller.where.state
        if state is None:
            lines = _host_lines(call, service, on, release or "", begin or call.now() - HOUR, follow=follow)
        else:
            lines = _container_lines(call, state, service, on, release or "", follow=follow)
    for line in lines:
        call.tell(line, lambda out, line=line: out.print(line.says), None)  # type: ignore[misc]


def _build_lines(
    call: TypedCommand, service: Service, release: str | None, begin: datetime | None, *, follow: bool
) -> Iterator[LogLine]:
    """The lines of a release's last build; to follow it ends with the build."""
    from console.read import release_lines
    from console.read.account import account
    from console.read.build_log import read_log

    number = int(release[1:]) if release else release_lines.newest(call.store, service)
    token = ""
    while True:
        builds = account(call.store, service, number, call.now()).builds
        if not builds and not follow:
            raise TroubleError(f"v{number} of {service.name} has no build. Next: esteira why v{number}", REFUSED)
        page = read_log(call.controller.client, builds[-1].id, token, begin) if builds else None
        if page is not None:
            yield from page.lines
            token = page.token
        if not follow or (builds and builds[-1].status != "IN_PROGRESS" and not (page and page.lines)):
            return
        call.shell.sleep(POLL_SECONDS)


def _host_lines(
    call: TypedCommand, service: Service, stage: str, release: str, since: datetime, *, follow: bool
) -> Iterator[LogLine]:
    """The lines of a release's containers on all hosts of a stage, from CloudWatch."""
    from console.read.host_log import group_of, read_hosts

    live = call.store.stage(service.name, stage).live
    label = release or (f"v{live}" if live else "")
    if not label:
        raise TroubleError(f"nothing is live on {stage}. Next: --release vN for another release's log", REFUSED)
    group, seen = group_of(call.stack, service.name), frozenset[str]()
    while True:
        page = read_hosts(call.controller.client, group, f"{service.name}/{stage}/{label}", since, seen)
        if not page.lines and not follow:
            raise TroubleError(
                f"{label} wrote nothing on {stage} since {since:%Y-%m-%d %H:%M} UTC. Next: --since 24h", REFUSED
            )
        yield from page.lines
        if not follow:
            return
        since, seen = page.since, page.seen
        call.shell.sleep(POLL_SECONDS)


def _container_lines(
    call: TypedCommand, state: Path, service: Service, name: str, release: str, *, follow: bool
) -> Iterator[LogLine]:
    """The lines of the container on a stage's first host."""
    from console.local.up.container_log import container_lines

    group = service.stage(name).group
    seen: list[str] = []
    while True:
        lines = container_lines(state, group, release)
        if not lines and not follow:
            what, next_ = (f"container of {release}", f"why {release}") if release else ("container", "status")
            raise TroubleError(
                f"no {what} of {service.name} is on {name}, or it wrote nothing. Next: esteira {next_}", REFUSED
            )
        now = call.now()
        yield from without_secrets([LogLine(now, line) for line in _new(seen, lines)])
        if not follow:
            return
        seen = lines
        call.shell.sleep(POLL_SECONDS)


def _new(seen: list[str], lines: list[str]) -> list[str]:
    """What the log has besides what was seen of it. It may have been cut at its head, or be another container's."""
    if lines[: len(seen)] == seen:
        return lines[len(seen) :]
    for overlap in range(min(len(seen), len(lines)), 0, -1):
        if seen[-overlap:] == lines[:overlap]:
            return lines[overlap:]
    return lines
