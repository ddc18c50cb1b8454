"""The options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

import getpass
import re
from datetime import timedelta

import click

from console.cli import completion
from console.read.where import REFUSED, TroubleError


def duration(text: str) -> timedelta:
    """A length of time as people type it: ``90m``, ``2h``, ``1d``, ``1h30m``. Raises BadParameter."""
    match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?", text)
    if not text or match is None:
        raise click.BadParameter(f"{text!r} is not a length of time. Next: type it like 90m, 2h, 1d or 1h30m")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    if not 1 <= days * 1440 + hours * 60 + minutes <= 43200:
        raise click.BadParameter(f"{text} is not between 1m and 30d. Next: a length in that range")
    return timedelta(days=days, hours=hours, minutes=minutes)


def label(text: str) -> str:
    """A release's label from ``v3``, or ``3`` for short. Raises BadParameter."""
    if not re.fullmatch(r"v?[1-9]\d{0,7}", text):
        raise click.BadParameter(f"{text!r} is not a release, which looks like v3. Next: esteira releases")
    return f"v{text.removeprefix('v')}"


reason = click.option("--reason", required=True, help="Why; everybody will read it.")


why_not = click.option("--reason", default="", help="Why; everybody will read it.")


by = click.option("--by", envvar="ESTEIRA_BY", help="Who acts. Default: $ESTEIRA_BY, or the user on this machine.")


stage = click.option(
    "--stage", metavar="NAME", shell_complete=completion.stages, help="Which stage. Default: the last one."
)


next_stage = click.option(
    "--stage",
    metavar="NAME",
    shell_complete=completion.stages,
    help="Which stage. Default: the next one the release has not come to.",
)


one = click.argument("release", metavar="vN", type=label, shell_complete=completion.releases)


which = click.argument("release", metavar="vN|COMMIT", shell_complete=completion.releases)


wait = click.option("--wait", is_flag=True, help="Stay until it is over.")


timeout = click.option(
    "--timeout", type=duration, metavar="TIME", default="30m", show_default=True, help="How long to wait at most."
)


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise TroubleError("this machine does not know your name. Next: add --by NAME", REFUSED) from None
