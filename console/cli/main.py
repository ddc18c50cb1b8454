"""``esteira``: the operator's command line.

Reading commands read the table; a command that changes something sends one request to the function ``operate``, which
records it as a fact or refuses it with a sentence. Nothing here decides anything.
"""

from __future__ import annotations

import getpass
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.cli.call import POLL_SECONDS, Call, command
from console.read.remote import FAILED, REFUSED, UNDER_WAY, TroubleError

if TYPE_CHECKING:
    from esteira.config import Service

HELP = """What is live, why, and since when; and the words to change it.

\b
Exit status:
  0  done; of --wait and tail: it is live on the last stage
  1  it failed: AWS or a function gave an error, or what was waited for or followed did not come to live; or doctor has
     found something
  2  refused, or not understood; nothing was changed
  3  --wait reached its --timeout, or tail did; it is still under way

\b
Every command but completion takes --json: one document on stdout, of tail one line for each change.
"""


def duration(text: str) -> timedelta:
    """Return a length of time from how people type it: ``90m``, ``2h``, ``1d``, ``1h30m``. Raises BadParameter."""
    match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?", text)
    if not text or match is None:
        raise click.BadParameter(f"{text!r} is no length of time; type it like 90m, 2h, 1d or 1h30m")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    if not 1 <= days * 1440 + hours * 60 + minutes <= 43200:
        raise click.BadParameter(f"{text} is not between 1m and 30d")
    return timedelta(days=days, hours=hours, minutes=minutes)


def label(text: str) -> str:
    """Return a release's label from ``v3``, or ``3`` for short. Raises BadParameter."""
    if not re.fullmatch(r"v?[1-9]\d{0,7}", text):
        raise click.BadParameter(f"{text!r} is no release; releases look like v3. Next: esteira releases")
    return f"v{text.removeprefix('v')}"


class Elsewhere(click.Command):
    """A group that is imported when it is used, so that the others start quickly."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Let the real group take over."""
        try:
            group: click.Group = getattr(import_module(self._module), self.name or "")
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"esteira {self.name} needs the package {error.name}, which is not installed. "
                f"Next: pip install 'esteira[console]'"
            ) from None
        return group.make_context(info_name, args, parent, **extra)


@click.group(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="esteira")
def main() -> None:
    """Run one command."""


main.add_command(Elsewhere("local", "console.local.up.up_commands", "The AWS on your laptop: no account, no Docker."))

_reason = click.option("--reason", required=True, help="Why; everybody will read it.")
_why_not = click.option("--reason", default="", help="Why; everybody will read it.")
_by = click.option("--by", envvar="ESTEIRA_BY", help="Who says so. Default: $ESTEIRA_BY, or the user on this machine.")
_stage = click.option(
    "--stage", metavar="NAME", shell_complete=completion.stages, help="Which stage. Default: the last one."
)
_next_stage = click.option(
    "--stage",
    metavar="NAME",
    shell_complete=completion.stages,
    help="Which stage. Default: the next one the release has not come to.",
)
_one = click.argument("release", metavar="vN", type=label, shell_complete=completion.releases)
_which = click.argument("release", metavar="vN|COMMIT", shell_complete=completion.releases)
_wait = click.option("--wait", is_flag=True, help="Stay until it is over.")
_timeout = click.option(
    "--timeout", type=duration, metavar="TIME", default="30m", show_default=True, help="How long to wait at most."
)


# --- reading --------------------------------------------------------------------------------------------------------


@main.command()
@command
def status(call: Call) -> None:
    """What is live on each stage, why and since when; what is under way; what holds it."""
    from console.cli import render
    from console.read import history

    now = call.now()
    stages = history.status(call.store, call.services(), now)
    remotes = dict(call.controller.where.remotes)
    call.tell({"stages": stages}, lambda out: render.status(out, stages, remotes, now))


@main.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@command
def releases(call: Call, limit: int) -> None:
    """The releases, newest first."""
    from console.cli import render
    from console.read import history

    service = call.service()
    lines = history.releases(call.store, service, limit, call.now())
    call.tell({"service": service.name, "releases": lines}, lambda out: render.releases(out, lines, service.name))


@main.command()
@_which
@command
def show(call: Call, release: str) -> None:
    """Everything about a release: how it was born, and each fact in order of time."""
    from console.cli import render
    from console.read import history

    service = call.service()
    number = history.number_of(call.store, service, release)
    told = history.account(call.store, service, number, call.now())
    call.tell(told, lambda out: render.account(out, told, call.now()))


@main.command()
@_which
@command
def why(call: Call, release: str) -> None:
    """Where a release stands and why, in one sentence."""
    from console.cli import render
    from console.read import history

    service = call.service()
    number = history.number_of(call.store, service, release)
    line = history.line(call.store, service, number, call.now())
    call.tell(line, lambda out: render.why(out, line, call.now()))


@main.command()
@click.argument("release", metavar="[vN|COMMIT]", required=False, shell_complete=completion.releases)
@_timeout
@command
def tail(call: Call, release: str | None, timeout: timedelta) -> None:
    """Follow a release, the newest if none is named, until it is live on the last stage, or over.

    Each fact, decision and change of phase is a line as it comes. Exit status 0: it is live; 1: it ended otherwise; 3:
    it was still under way at the --timeout.
    """
    from console.cli import render
    from console.read import history, tail

    service, end, seen = call.service(), call.now() + timeout, None
    number = history.number_of(call.store, service, release) if release else history.newest(call.store, service)
    with call.progress() as show:
        while True:
            now = call.now()
            account = history.account(call.store, service, number, now)
            for change in tail.changes(seen, account, now):
                call.tell_one(change, lambda out, change=change: render.change(out, change))  # type: ignore[misc]
            seen, how = account, history.gone(service, account.line)
            if how.over:
                break
            show(render.passed(tail.steps(account.line, service), account.line))
            if now >= end:
                line = account.line
                raise TroubleError(
                    f"{line.release} is still {line.phase} after {timeout}. Next: esteira tail {line.release}",
                    UNDER_WAY,
                )
            call.shell.sleep(POLL_SECONDS)
    if not how.succeeded:
        raise SystemExit(FAILED)


@main.command()
@click.option("--days", type=click.IntRange(1, 60), default=7, show_default=True, help="How far ahead.")
@command
def windows(call: Call, days: int) -> None:
    """Whether a deployment to each stage may begin now, and what opens and closes it in the coming days."""
    from console.cli import render
    from console.read import openings

    now = call.now()
    stages = tuple(openings.coming(call.store, call.services(), now, days))
    call.tell({"stages": stages}, lambda out: render.windows(out, stages, days, now))


@main.command("completion")
@click.argument("shell", type=click.Choice(completion.SHELLS))
def what_completes(shell: str) -> None:
    """Print what makes a shell complete esteira's commands, releases, services and stages.

    \b
    bash  echo 'eval "$(esteira completion bash)"' >> ~/.bashrc
    zsh   echo 'eval "$(esteira completion zsh)"' >> ~/.zshrc
    fish  esteira completion fish > ~/.config/fish/completions/esteira.fish
    """
    click.echo(completion.script(main, "esteira", shell))


@main.command()
@click.option(
    "--ask-hosts",
    is_flag=True,
    help="Let Systems Manager ask each host whether its CodeDeploy agent lives; wants the right ssm:SendCommand.",
)
@command
def doctor(call: Call, ask_hosts: bool) -> None:
    """Look at this machine, the account and the stack: each thing is ok, or what to do about it.

    Before the stack is deployed and after. Exit status 0 only if there is nothing to attend to.
    """
    from console.cli import render
    from console.doctor.checks import judge
    from console.doctor.look import Eyes, examine

    eyes = Eyes(call.controller, call.now, sleep=call.shell.sleep, ask_hosts=ask_hosts, wanted=call.wanted)
    lines = judge(examine(eyes))
    todo = sum(line.verdict == "attend" for line in lines)
    call.tell({"attend": todo, "lines": lines}, lambda out: render.doctor(out, lines))
    if todo:
        raise SystemExit(FAILED)


@main.command()
@click.option("--days", type=click.IntRange(1, 730), default=90, show_default=True, help="Over how many days.")
@_stage
@command
def dora(call: Call, days: int, stage: str | None) -> None:
    """Lead time, deployment frequency, change-failure rate and time to restore of a stage."""
    from console.cli import render
    from console.read import dora as measuring

    service = call.service()
    name = stage or service.last.name
    if name not in (s.name for s in service.stages):
        known = ", ".join(s.name for s in service.stages)
        raise TroubleError(f"{service.name} has no stage {name!r}. Next: --stage with one of: {known}", REFUSED)
    keys = measuring.measure(call.store, service, name, days, call.now())
    call.tell(keys, lambda out: render.four_keys(out, keys))


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The page's port. Default: a free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@_by
@command
def ui(call: Call, port: int, browser: bool, by: str | None) -> None:
    """The page: what is live, under way and was, the four keys, and the words to change it; on this machine alone."""
    import asyncio
    from contextlib import suppress

    from console.ui.board import Links
    from console.ui.server import Page, serve

    where = call.controller.where
    region = "" if where.endpoint else str(call.controller.client("dynamodb").meta.region_name)
    call.services()  # what is not there is said here and not on an empty page
    page = Page(call, by or _user(), Links(region))
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(
                serve(page, port, lambda url: call.tell({"url": url}, lambda out: out.print(url)), browser=browser)
            )
    except OSError as error:
        raise TroubleError(f"port {port} cannot be used: {error.strerror}. Next: leave --port out") from None


# --- an operator's words --------------------------------------------------------------------------------------------


@main.command()
@click.option(
    "--to", metavar="vN", type=label, help="Where to go back to. Default: the last release that was live and healthy."
)
@_stage
@_reason
@_by
@_wait
@_timeout
@command
def rollback(
    call: Call, to: str | None, stage: str | None, reason: str, by: str | None, wait: bool, timeout: timedelta
) -> None:
    """Go back to an earlier release, without a build; what was rolled back stays out."""
    from console.read import history

    service = call.service()
    request, answer = _say(call, service.name, "rollback", by, reason, to=to, stage=stage)
    name = stage or service.last.name
    target = history.rollback_target(call.store, service, name, request)
    if not wait or target is None:
        said = f"the rollback of {_place(service, stage)} is ordered; esteira status tells how it goes"
        _tell(call, said, answer, f"v{target}")
        return
    _wait_for(call, lambda: history.rollback_progress(call.store, service, name, target, call.now()), timeout)


@main.command()
@_reason
@click.option(
    "--for", "length", type=duration, metavar="TIME", default="4h", show_default=True, help="How long: 90m, 2h, 1d."
)
@_stage
@_by
@command
def hold(call: Call, reason: str, length: timedelta, stage: str | None, by: str | None) -> None:
    """Let nothing begin to deploy for a while; what is live stays live."""
    service = call.service()
    _, answer = _say(call, service.name, "hold", by, reason, minutes=_minutes(length), stage=stage)
    named = f" --stage {stage}" if stage else ""
    _tell(call, f"{_place(service, stage)} is held; esteira resume{named} ends it", answer)


@main.command()
@_stage
@_why_not
@_by
@command
def resume(call: Call, stage: str | None, reason: str, by: str | None) -> None:
    """End a hold."""
    service = call.service()
    _, answer = _say(call, service.name, "resume", by, reason, stage=stage)
    _tell(call, f"the hold of {_place(service, stage)} is over", answer)


@main.command()
@_one
@_next_stage
@_why_not
@_by
@command
def approve(call: Call, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Say yes to a release's way onto a stage that asks for approvals: to this attempt and this image."""
    _word(call, "approve", release, stage, by, reason, "is approved")


@main.command()
@_one
@_next_stage
@_reason
@_by
@command
def reject(call: Call, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Say no to a release's way onto a stage: it ends there, and stays where it is live."""
    _word(call, "reject", release, stage, by, reason, "is rejected")


@main.command()
@_one
@_next_stage
@_why_not
@_by
@command
def promote(call: Call, release: str, stage: str | None, reason: str, by: str | None) -> None:
    """Send a release on to the next stage although a newer one took its place on the one before.

    The rules of that stage stay in its way.
    """
    _word(call, "promote", release, stage, by, reason, "is promoted")


@main.command()
@_one
@_next_stage
@_reason
@click.option("--for", "length", type=duration, metavar="TIME", required=True, help="How long: 30m, 2h.")
@_by
@command
def bypass(call: Call, release: str, stage: str | None, reason: str, length: timedelta, by: str | None) -> None:
    """Break the glass: let no rule of a stage stand in a release's way for a while. Every place says so."""
    said = f"passes every rule for {_typed(length)}"
    _word(call, "bypass", release, stage, by, reason, said, minutes=_minutes(length))


@main.command()
@_one
@_why_not
@_by
@_wait
@_timeout
@command
def retry(call: Call, release: str, reason: str, by: str | None, wait: bool, timeout: timedelta) -> None:
    """Give a release that failed a fresh attempt; this also lifts its quarantine."""
    from console.read import history

    service = call.service()
    _, answer = _say(call, service.name, "retry", by, reason, release=release)
    if not wait:
        _tell(call, f"{release} of {service.name} gets another attempt", answer, release)
        return
    number = int(release[1:])
    _wait_for(call, lambda: history.way_progress(call.store, service, number, call.now()), timeout)


@main.command()
@_one
@_reason
@_by
@command
def abort(call: Call, release: str, reason: str, by: str | None) -> None:
    """Call a release off; its build or deployment is stopped."""
    service = call.service()
    _, answer = _say(call, service.name, "abort", by, reason, release=release)
    _tell(call, f"{release} of {service.name} is called off", answer, release)


@main.command()
@_one
@_reason
@_by
@command
def quarantine(call: Call, release: str, reason: str, by: str | None) -> None:
    """Keep a release's commit and image from deploying again by themselves; esteira retry lifts it."""
    service = call.service()
    _, answer = _say(call, service.name, "quarantine", by, reason, release=release)
    _tell(call, f"{release} of {service.name} is quarantined", answer, release)


@main.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@command
def replay(call: Call, files: tuple[Path, ...]) -> None:
    """Send event files through the rules of template.yaml to the functions, and print what each returned.

    An operator's request (events/operate_*.json) goes to operate, the clock's event to the sweep.
    """
    from console.cli import render
    from console.cli import replay as replaying

    events = [(path, replaying.load(path)) for path in files]
    targets = replaying.routes(call.stack)
    rows = []
    for path, event in events:
        for row in replaying.replay(path, event, targets(event), call.controller):
            rows.append(row)
            if not call.json:
                render.returned(call.out, row)
    call.tell({"returned": rows}, lambda _: None)
    if any(row.error for row in rows):
        raise SystemExit(REFUSED if all(row.error.startswith("refused") for row in rows if row.error) else FAILED)


# --- services -------------------------------------------------------------------------------------------------------


@main.command("add-service")
@click.argument("name")
@click.option("--branch", help="The branch whose tip is released.")
@click.option("--architecture", help="Processor of the host and the builds: arm64 or x86_64.")
@click.option("--instance-type", help="Type of the host, such as t4g.small.")
@click.option("--volume-gib", help="Size of the host's disk.")
@click.option("--allowed-cidr", help="Who may reach the model over HTTP, such as 203.0.113.0/24; '' lets nobody in.")
@click.option("--vpc-id", help="VPC of the host, with --subnet-id. Default: the default VPC.")
@click.option("--subnet-id", help="Subnet of that VPC, with a way to the internet.")
@click.option("--port", help="The port the container listens on.")
@click.option("--health-path", help="Answers 200 when the container is ready, such as /ping.")
@click.option("--build-minutes", help="How long a build may run.")
@click.option("--staging", type=click.Choice(["no", "yes"]), help="Whether a release runs on a host of staging first.")
@click.option("--bake-minutes", help="How long a release is watched; production waits for staging's.")
@click.option("--approval-votes", help="How many must approve before production; 0: nobody is asked.")
@click.option("--log-retention-days", help="Days a build's log is kept.")
@click.option("--adopt", is_flag=True, help="Take over the repositories and the bucket an earlier stack of it left.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@_timeout
@command
def add_service(call: Call, name: str, adopt: bool, dry_run: bool, timeout: timedelta, **given: str | None) -> None:
    """Deploy service.yaml for another model with the same controller; again to change it.

    What is left out keeps its default in service.yaml or, where the service stands, its value.
    """
    from console.cli import render, services

    _refuse_local(call, "add-service")
    wanted = {_parameter(option): value for option, value in given.items() if value is not None}
    with call.spinner() as say:
        work = services.Work(call.controller, call.now, call.shell.sleep, say, timeout)
        outcome = services.add(work, name, wanted, dry_run=dry_run, adopt=adopt)
    call.tell(outcome, lambda out: render.outcome(out, outcome))


@main.command("remove-service")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_timeout
@command
def remove_service(call: Call, name: str, yes: bool, timeout: timedelta) -> None:
    """Delete the stack of a service: its host, project, group and registration. What holds data stays, and is named."""
    from console.cli import render, services
    from console.doctor import leftovers

    _refuse_local(call, "remove-service")
    left = leftovers.kept(call.controller, name)  # before, so that whoever may not ask has not deleted anything either
    if not yes and not click.confirm(f"Delete the host of {name} and all that is not data?", err=True):
        raise TroubleError("nothing was deleted", REFUSED)
    with call.spinner() as say:
        stack = services.remove(services.Work(call.controller, call.now, call.shell.sleep, say, timeout), name)
    call.tell({"deleted": stack, "kept": left}, lambda out: render.kept(out, f"{stack} is deleted", left))


@main.command("remains")
@command
def what_remains(call: Call) -> None:
    """What deleting the stacks leaves behind, before or after: all that holds data, and how to remove it for good."""
    from console.cli import render
    from console.doctor import leftovers

    _refuse_local(call, "remains")
    left = leftovers.kept(call.controller, call.wanted)
    call.tell({"kept": left}, lambda out: render.kept(out, f"deleting {call.stack} and its services", left))


# --- the record -----------------------------------------------------------------------------------------------------


@main.command()
@click.argument("release", metavar="vN", type=label)
@click.option("--stage", default="", help="On which stage. Default: the last one.")
@click.option("--all", "whole", is_flag=True, help="Check the whole chain of the stage's seals, not the last 50.")
@command
def receipt(call: Call, release: str, stage: str, whole: bool) -> None:
    """What a release was made of, from the event to the hosts' answers: each link with its hash, checked.

    Exit status 1 where a row was altered or is missing, or AWS says something else.
    """
    from console.record import commands

    commands.receipt(call, release, stage, whole=whole)


@main.command("replay-decision")
@click.argument("release", metavar="vN", type=label)
@command
def replay_decision(call: Call, release: str) -> None:
    """Make every decision about a release again from what is on record, and show whether it is the same."""
    from console.record import commands

    commands.replay(call, release)


@main.command()
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many releases at most.")
@command
def backtest(call: Call, config: Path, limit: int) -> None:
    """Which past releases would have gone otherwise under another registration, and why.

    CONFIG is a JSON file: a whole registration, or the part of one that is laid over the present.
    """
    from console.record import commands

    commands.backtest(call, config, limit)


# --- parts ----------------------------------------------------------------------------------------------------------


def _say(
    call: Call, service: str, action: str, by: str | None, reason: str, **more: str | int | None
) -> tuple[str, dict[str, Any]]:
    """Send one request to ``operate``; return its id and what was answered. Raises TroubleError if it is refused."""
    request = str(uuid.uuid4())
    asked = {name: value for name, value in more.items() if value is not None}
    said = {"action": action, "service": service, "request": request, "by": by or _user(), "reason": reason}
    return request, call.controller.operate({**said, **asked})


def _word(
    call: Call,
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
    _, answer = _say(call, service.name, action, by, reason, release=release, stage=stage, minutes=minutes)
    _tell(call, f"{release} of {service.name} {said}" + (f" on {stage}" if stage else ""), answer, release)


def _place(service: Service, stage: str | None) -> str:
    """Return what to call a stage of the service in a sentence: by the service's name alone where it has but one."""
    return service.name if len(service.stages) == 1 else f"{stage or service.last.name} of {service.name}"


def _minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


def _typed(length: timedelta) -> str:
    """Return a length of time as people type it; what ``duration`` reads."""
    hours, minutes = divmod(_minutes(length), 60)
    return f"{hours}h" * bool(hours) + f"{minutes}m" * bool(minutes)


def _refuse_local(call: Call, typed: str) -> None:
    """Refuse what is CloudFormation's on the local stack, which has none."""
    where = call.controller.where
    if where.local:
        raise TroubleError(
            f"esteira {typed} works by CloudFormation, which the local stack has not: it plays the one service of "
            f"template.yaml, and all of it lies in its state folder. Next: for AWS, add --state with another folder",
            REFUSED,
        )


def _parameter(option: str) -> str:
    """Return the parameter of service.yaml that an option is called after: ``allowed_cidr`` is AllowedCidr."""
    return {"volume_gib": "VolumeGiB"}.get(option, option.title().replace("_", ""))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise TroubleError("this machine does not know your name. Next: add --by NAME", REFUSED) from None


def _tell(call: Call, said: str, answer: dict[str, Any], about: str = "") -> None:
    """Tell what was done, and where the release ``about`` which it was done stands now."""
    from console.cli import render

    call.tell(answer, lambda out: render.answer(out, said, about, answer))


def _wait_for(call: Call, look: Callable[[], Any], timeout: timedelta) -> None:
    """Follow what was asked for until it is over; exit with 1 where it did not succeed."""
    from console.cli import render

    end = call.follow(look, timeout)
    call.tell({"succeeded": end.succeeded, **vars(end.line)}, lambda out: render.why(out, end.line, call.now()))
    if not end.succeeded:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
