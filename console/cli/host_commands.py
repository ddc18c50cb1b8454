"""`esteira hosts`: the hosts of each stage, and their replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from console.cli import options
from console.cli.call import TypedCommand, command, stage_of
from console.cli.operate_commands import say, tell
from console.read.out import Out

if TYPE_CHECKING:
    from console.read.group_hosts import StageHost


class _Listing(click.Group):
    """A group that lists where no other command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What was typed, with the command that is meant."""
        if not {"--help", "-h", *self.commands} & {*args[:1]}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Listing)
def hosts() -> None:
    """The hosts of each stage: what runs on them, since when, and how they are."""


@hosts.command("list")
@click.option("--stage", metavar="NAME", help="Which stage. Default: all.")
@command
def listed(call: TypedCommand, stage: str | None) -> None:
    """The hosts of each stage, or of one."""
    from console.read import group_hosts

    service = call.service()
    stage_of(service, stage)
    found = group_hosts.hosts(call.store, call.controller.client, service, stage, call.now())
    call.tell({"service": service.name, "hosts": found}, lambda out: _lines(out, found))


@hosts.command("replace")
@click.argument("host", metavar="[ID]", default="")
@options.stage
@options.reason
@options.by
@command
def replace(call: TypedCommand, host: str, stage: str | None, reason: str, by: str | None) -> None:
    """Have a host replaced, or all of the stage: a new one serves the live release before the old one goes."""
    service = call.service()
    _, answer = say(call, service.name, "replace", by, reason, host=host, stage=stage)
    name = stage or service.last.name
    what = f"host {host}" if host else "every host"
    tell(call, f"{what} of {name} is being replaced; esteira hosts --stage {name} tells how it goes", answer)


def _lines(out: Out, found: Sequence[StageHost]) -> None:
    for one in found:
        since = f" since {one.since:%Y-%m-%d %H:%M} UTC" if one.since else ""
        heard = f", heard {one.heard:%H:%M:%S} UTC" if one.heard else ""
        state = f"  {one.state}" if one.state else ""
        runs = f"{one.release or 'nothing reported'}: {one.health}{since}{heard}"
        out.print((f"{one.stage}  ", "dim"), (one.host, "bold"), (f"{state}  ", "dim"), runs, hang=4)
    if not found:
        out.print(("no host is known. Next: esteira doctor", "dim"))
