"""The commands beside the releases: doctor, dora, ui, replay and completion."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli import completion, options
from console.cli.call import TypedCommand, command, stage_of
from console.read.where import FAILED, REFUSED, TroubleError


@click.command()
@click.option(
    "--ask-hosts",
    is_flag=True,
    help="Let Systems Manager ask each host whether its CodeDeploy agent lives; wants the right ssm:SendCommand.",
)
@command
def doctor(call: TypedCommand, ask_hosts: bool) -> None:
    """Look at this machine, the account and the stack: each thing is ok, or what to do about it.

    Before the stack is deployed and after. Exit status 0 only if there is nothing to attend to.
    """
    from console.cli import render_work
    from console.doctor.checks import judge
    from console.doctor.eyes import Eyes
    from console.doctor.look import examine

    eyes = Eyes(call.controller, call.now, sleep=call.shell.sleep, ask_hosts=ask_hosts, wanted=call.wanted)
    lines = judge(examine(eyes))
    todo = sum(line.verdict == "attend" for line in lines)
    call.tell({"attend": todo, "lines": lines}, lambda out: render_work.doctor(out, lines))
    if todo:
        raise SystemExit(FAILED)


@click.command()
@click.option("--days", type=click.IntRange(1, 730), default=90, show_default=True, help="Over how many days.")
@options.stage
@command
def dora(call: TypedCommand, days: int, stage: str | None) -> None:
    """Lead time, deployment frequency, change-failure rate, time to restore and rework rate of a stage."""
    from console.cli import render_work
    from console.read import dora as measuring

    service = call.service()
    keys = measuring.measure(call.store, service, stage_of(service, stage or None), days, call.now())
    call.tell(keys, lambda out: render_work.five_keys(out, keys))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The page's port. Default: a free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@options.by
@command
def ui(call: TypedCommand, port: int, browser: bool, by: str | None) -> None:
    """The page: what is live, under way and was, the five keys, and the words to change it; on this machine alone."""
    import asyncio
    from contextlib import suppress

    from console.ui.board import Links
    from console.ui.page_server import Page, serve

    where = call.controller.where
    region = "" if where.endpoint else str(call.controller.client("dynamodb").meta.region_name)
    call.services()  # what is not there is said here and not on an empty page
    page = Page(call, by or options.user(), Links(region))
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(
                serve(page, port, lambda url: call.tell({"url": url}, lambda out: out.print(url)), browser=browser)
            )
    except OSError as error:
        raise TroubleError(f"port {port} cannot be used: {error.strerror}. Next: leave --port out") from None


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@command
def replay(call: TypedCommand, files: tuple[Path, ...]) -> None:
    """Send event files through the rules of template.yaml to the functions, and print what each returned.

    An operator's request (events/operate_*.json) goes to operate, the clock's event to the sweep.
    """
    from console.local import replay as replaying

    events = [(path, replaying.load(path)) for path in files]
    targets = replaying.routes(call.stack)
    rows = []
    for path, event in events:
        for row in replaying.replay(path, event, targets(event), call.controller):
            rows.append(row)
            if not call.json:
                replaying.show(call.out, row)
    call.tell({"returned": rows}, lambda _: None)
    if any(row.error for row in rows):
        raise SystemExit(REFUSED if all(row.error.startswith("refused") for row in rows if row.error) else FAILED)


@click.command("completion")
@click.argument("shell", type=click.Choice(completion.SHELLS))
@click.pass_context
def completion_script(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete esteira's commands, releases, services and stages.

    \b
    bash  echo 'eval "$(esteira completion bash)"' >> ~/.bashrc
    zsh   echo 'eval "$(esteira completion zsh)"' >> ~/.zshrc
    fish  esteira completion fish > ~/.config/fish/completions/esteira.fish
    """
    click.echo(completion.script(context.find_root().command, "esteira", shell))
