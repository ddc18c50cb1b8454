"""`esteira prove`, as it is typed."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from console.prove.notes import ProofNotes, fresh, kept_notes
from console.read.where import FAILED, REFUSED, TroubleError, Where

PAID = (
    "this makes a host, builds and alarms in account {account}, {region}, for about an hour and about half a dollar. "
    "Next: the same with --yes-i-pay; esteira prove --rehearse walks it on this machine for nothing"
)


@dataclass(frozen=True)
class ProofAsked:
    """What was typed."""

    account: str
    region: str
    profile: str
    architecture: str
    state: Path
    report: Path
    clean_up: bool


@click.command("prove")
@click.option("--account", metavar="ID", help="The account that is meant, twelve digits. Another one is refused.")
@click.option("--region", metavar="NAME", help="The Region that is meant.")
@click.option("--profile", metavar="NAME", default="", help="A profile of the AWS CLI.")
@click.option("--architecture", type=click.Choice(["arm64", "x86_64"]), default="arm64", show_default=True)
@click.option("--yes-i-pay", is_flag=True, help="What is made costs money until it is removed.")
@click.option("--rehearse", is_flag=True, help="Walk it on the local AWS, which proves nothing and costs nothing.")
@click.option("--clean-up", is_flag=True, help="Only remove what an earlier run made.")
@click.option("--state-file", type=click.Path(path_type=Path, dir_okay=False), default="prove.json", show_default=True)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), default="prove.md", show_default=True)
def prove(
    account: str | None,
    region: str | None,
    profile: str,
    architecture: str,
    yes_i_pay: bool,
    rehearse: bool,
    clean_up: bool,
    state_file: Path,
    report: Path,
) -> None:
    """Prove in a real account what only one can tell; write a report; remove everything that was made.

    Typed again after an interruption whose clean-up failed, --clean-up removes the rest.
    """
    asked = ProofAsked(account or "", region or "", profile, architecture, state_file, report, clean_up)
    try:
        if not rehearse:
            _require(asked, yes_i_pay)
        with _stoppable():
            left = _rehearsed(asked) if rehearse else _proven(asked)
    except TroubleError as trouble:
        click.echo(str(trouble), err=True)
        raise SystemExit(trouble.status) from None
    except KeyboardInterrupt:
        rest = "; what is left: the same with --clean-up" if state_file.exists() else "; everything is removed"
        click.echo(f"interrupted{rest}. Next: read {report}", err=True)
        raise SystemExit(128 + signal.SIGINT) from None
    click.echo(f"Next: read {report}" + (f"; {left} things are left: esteira prove --clean-up" if left else ""))
    raise SystemExit(FAILED if left else 0)


def _require(asked: ProofAsked, paid: bool) -> None:
    if not asked.account or not asked.region:
        raise TroubleError(
            "no account and Region are named, and none is guessed. "
            "Next: esteira prove --account 123456789012 --region eu-west-1 --yes-i-pay, or esteira prove --rehearse",
            REFUSED,
        )
    if not paid and not asked.clean_up:
        raise TroubleError(PAID.format(account=asked.account, region=asked.region), REFUSED)


def _proven(asked: ProofAsked) -> int:
    """The walk, or only the clean-up, in the account; how many things are left."""
    from console.prove.account import is_aws, require_account
    from console.prove.aws_site import AwsSite
    from console.prove.run import clean_up, prove
    from console.read.remote import Controller

    where = Where("prove", profile=asked.profile, region=asked.region)
    client = Controller(where).client
    who = require_account(client, asked.account, asked.region)
    if not is_aws(client("sts")):
        raise TroubleError("AWS_ENDPOINT_URL names a stand-in for AWS. Next: unset it, or --rehearse", REFUSED)
    notes = _notes(asked)
    _say(f"{who}, {asked.region}: stack {notes.stack}, service {notes.service}; notes in {notes.file}")
    site = AwsSite(where, notes, _say)
    return len((clean_up if asked.clean_up else prove)(site, notes, asked.report, _say))


def _notes(asked: ProofAsked) -> ProofNotes:
    """The notes of the run that is to go on, or new ones. Raises TroubleError where they are of another account."""
    known = kept_notes(asked.state)
    if known is None:
        if asked.clean_up:
            raise TroubleError(f"there is no {asked.state}, so nothing is left to remove. Next: --state-file", REFUSED)
        known = fresh(asked.state, asked.account, asked.region, asked.architecture, datetime.now(UTC))
        known.write()
    if (known.account, known.region) != (asked.account, asked.region):
        raise TroubleError(
            f"{asked.state} is of account {known.account}, {known.region}. "
            f"Next: --account {known.account} --region {known.region} --clean-up, or another --state-file",
            REFUSED,
        )
    if known.ended and not asked.clean_up:
        raise TroubleError(
            f"the clean-up of the proof in {asked.state} has begun and left something. Next: the same with --clean-up",
            REFUSED,
        )
    return known


def _rehearsed(asked: ProofAsked) -> int:
    from console.local.aws_account import ACCOUNT, REGION
    from console.local.rehearse.rehearsal import Rehearsal
    from console.local.rehearse.rehearsal_engine import ScriptedEngine
    from console.prove.rehearsed_site import RehearsedSite
    from console.prove.run import prove

    with tempfile.TemporaryDirectory(prefix="esteira-prove-") as folder:
        engine = ScriptedEngine(manual=True)
        with Rehearsal(Path(folder), engine) as rehearsal:
            site = RehearsedSite(rehearsal, {})
            began = site.now().isoformat()
            notes = ProofNotes(Path(folder) / "prove.json", ACCOUNT, REGION, site.stack, site.service, "arm64", began)
            notes.commits = site.commits
            return len(prove(site, notes, asked.report, _say))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT, also of a script that ignores them, end the walk so that the clean-up runs."""

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    click.echo(text, err=True)
