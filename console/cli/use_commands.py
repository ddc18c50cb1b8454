"""`esteira use`: which controller the commands typed in a folder go to."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli.target_options import AWS
from console.read import state_folder
from console.read.printable import document
from console.read.target import Named, find
from console.read.where import TroubleError


@click.command()
@AWS[0]
@AWS[1]
@AWS[2]
@click.argument("place", type=click.Choice(["aws", "local"]), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else.")
def use(place: str | None, as_json: bool, profile: str | None, region: str | None, stack: str | None) -> None:
    """Say where commands typed in this folder go, or choose it.

    `esteira use aws --profile work --region eu-west-1 --stack esteira` is remembered in .esteira here or above, until
    `esteira use local`.
    """
    named = {"profile": profile, "region": region, "stack": stack}
    if place != "aws" and any(named.values()):
        raise click.UsageError("--profile, --region and --stack belong to: esteira use aws")
    here = Path.cwd()
    state = state_folder.found_above(here) or here / state_folder.NAME
    try:
        if place is not None:
            chosen = {name: value or "" for name, value in named.items()} if place == "aws" else None
            state_folder.remember(state, chosen)
        said = _said(place, here)
    except TroubleError as trouble:
        click.echo(str(trouble), err=True)
        raise SystemExit(trouble.status) from None
    click.echo(document({"target": said}, None) if as_json else said)


def _said(place: str | None, here: Path) -> str:
    """Where commands typed in the folder go, as a sentence."""
    if place == "local":  # chosen, whether it runs or not
        state = state_folder.found_above(here)
        return f"commands go to the local stack at {state}" if state else "commands go to no AWS account any more"
    where = find(Named(), here)
    if where.endpoint:
        return f"commands go to {where.named}"
    parts = (("profile", where.profile), ("Region", where.region))
    more = "".join(f", {name} {value}" for name, value in parts if value)
    return f"commands go to AWS, stack {where.stack}{more}"
