"""The commands about the record: receipt, replay-decision and backtest."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.call import TypedCommand, command, stage_of
from console.cli.options import label
from console.read.where import FAILED, REFUSED, TroubleError

if TYPE_CHECKING:
    from console.record.as_of import Rows

# A claim's lease is no part of a decision's reason; any will do.
LEASE = timedelta(seconds=120)


@click.command()
@click.argument("release", metavar="vN", type=label)
@click.option("--stage", default="", help="On which stage. Default: the last one.")
@click.option("--all", "whole", is_flag=True, help="Check every checkpoint of the stage, not the last 50.")
@command
def receipt(call: TypedCommand, release: str, stage: str, whole: bool) -> None:
    """What a release was made of, from the event to the hosts' answers: each link with its hash, checked.

    Exit status 1 where a row was altered or is missing, or AWS says something else.
    """
    from console.cli import render_record
    from console.record.receipt import receipt as made
    from esteira.aws import Aws

    service = call.service()
    on = stage_of(service, stage or None)
    aws = Aws(call.controller.client)
    told = made(_rows(call), service, int(release[1:]), on, whole=whole, aws=aws, now=call.now())
    call.tell({"holds": told.holds, **vars(told)}, lambda out: render_record.receipt(out, told))
    if not told.holds:
        raise SystemExit(FAILED)


@click.command("replay-decision")
@click.argument("release", metavar="vN", type=label)
@command
def replay_decision(call: TypedCommand, release: str) -> None:
    """Make every decision about a release again from what is on record, and show whether it is the same."""
    from console.cli import render_record
    from console.record.decisions import Gone, replay

    service = call.service()
    try:
        decisions = replay(_rows(call), service.name, int(release[1:]), LEASE)
    except Gone as gone:
        raise TroubleError(f"{gone}. Next: esteira receipt {release}") from None
    if not decisions:
        raise TroubleError(
            f"no decision about {release} is on record; they are kept for 400 days. Next: esteira releases", REFUSED
        )
    holds = all(d.holds for d in decisions)
    document = {"service": service.name, "release": release, "holds": holds, "decisions": decisions}
    call.tell(document, lambda out: render_record.decisions(out, service.name, release, decisions))
    if not holds:
        raise SystemExit(FAILED)


@click.command()
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many releases at most.")
@command
def backtest(call: TypedCommand, config: Path, limit: int) -> None:
    """Which past releases would have ended differently under another registration, and why.

    CONFIG is a JSON file: a whole registration, or the part of one that is laid over the present.
    """
    from console.cli import render_record
    from console.record import backtest as trying
    from console.record.registration_part import merged
    from policy.document import in_force

    service = call.service()
    service = in_force(service, call.store.policy(service.name))
    try:
        given = json.loads(config.read_text())
    except OSError as error:
        raise TroubleError(f"{config} cannot be read: {error.strerror}. Next: name a JSON file", REFUSED) from None
    except ValueError as error:
        raise TroubleError(f"{config} is not JSON: {error}. Next: correct it and try again", REFUSED) from None
    told = trying.backtest(_rows(call), service, merged(service, given), limit, LEASE)
    call.tell(told, lambda out: render_record.backtest(out, told))


def _rows(call: TypedCommand) -> Rows:
    """The table's rows, read with the operator's own credentials."""
    from console.record.as_of import Rows

    return Rows(call.controller.client("dynamodb"), call.controller.table)
