"""``esteira local …``: the AWS on your laptop."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console.local.aws_account import REGION
from console.local.up.banner import service_lines
from console.local.up.memory import service_name
from console.local.up.stack_commands import FOLDER, STATE, add, clean, down, state_of
from console.local.up.standstill import Logs
from console.read.log_text import telling, without_colours
from console.read.state_folder import found_above
from esteira.visible import visible

if TYPE_CHECKING:
    from console.local.up.laptop import Laptop, Whereabouts


@click.group()
def local() -> None:
    """The AWS on your laptop: no account, and Docker only if it is there."""


for _command in (add, down, clean):
    local.add_command(_command)


@local.command()
@STATE
@click.option("--sweep", type=click.FloatRange(1, 3600), default=15, show_default=True, help="Seconds between sweeps.")
@click.option("--page-port", type=click.IntRange(0, 65535), default=0, help="Where the model answers; 0: a free port.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    help="What builds and runs. auto: Docker where an engine answers and nginx and docker-registry are there.",
)
@click.option("--hosts", type=click.IntRange(1, 9), help="Hosts in a deployment group. Default: as before, or 1.")
@click.option(
    "--stages",
    default="",
    metavar="NAME,…",
    help="The stages of every service, in order, as staging,production; each has hosts of its own. Default: as before, "
    "or production.",
)
@FOLDER
def up(
    state: Path | None,
    sweep: float,
    page_port: int,
    engine: Literal["auto", "docker", "process"],
    hosts: int | None,
    stages: str,
    folder_in_repository: str,
) -> None:
    """Start everything on 127.0.0.1 and stay until Ctrl-C, which leaves nothing running.

    The stack is that of .esteira in this folder or above; where there is none, a new one with a service that is called
    after this folder. With --folder that service's model stands in a folder of the repository.
    """
    from console.local.up.laptop import Laptop, LaptopError, choose_engine

    console, folder = Console(), state_of(state)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    names = [name.strip() for name in stages.split(",") if name.strip()]
    try:
        console.print("starting …", style="dim")
        chosen, why = choose_engine(engine, folder)
        with Laptop(
            folder,
            sweep_every=sweep,
            page_port=page_port,
            watch=_teller(console),
            engine=chosen,
            hosts=hosts,
            stages=names,
            service=service_name(folder.parent),
            folder=folder_in_repository,
        ) as laptop:
            _stay(console, laptop, stop, folder, why)
    except (LaptopError, OSError) as error:
        raise click.ClickException(visible(str(error))) from error


def _stay(console: Console, laptop: Laptop, stop: threading.Event, folder: Path, why: str) -> None:
    """Print where everything is, and then what happens, until it is to stop."""
    about = f"with the {laptop.whereabouts.engine} engine ({escape(why)})"
    console.print(f"[bold]esteira[/] is up, {about}; Ctrl-C stops it", highlight=False, soft_wrap=True)
    _show(console, laptop.whereabouts, tuple(laptop.whereabouts.remotes), folder)
    building = Logs(Path(laptop.whereabouts.logs))
    while not stop.wait(0.5):  # a signal that reaches another thread wakes no wait without an end
        for line in telling(building.build_lines()):
            said = escape(visible(without_colours(line)))
            console.print(f"[dim]build   [/] {said}", style="dim", soft_wrap=True, highlight=False)
        new = laptop.grow()
        _show(console, laptop.whereabouts, new, folder)
    console.print("stopping …")


def _show(console: Console, where: Whereabouts, services: Sequence[str], state: Path) -> None:
    """Print how these services are pushed to and where they answer, and where everything else is."""
    if not services:
        return
    for service in services:
        model = state.parent if service == service_name(state.parent) else None
        for line in service_lines(service, where.remotes[service], where.stages[service], model):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    named_keys = f"AWS_SHARED_CREDENTIALS_FILE={shlex.quote(where.credentials)} AWS_DEFAULT_REGION={REGION}"
    console.print(f"  AWS           export AWS_ENDPOINT_URL={where.endpoint} {named_keys}", soft_wrap=True)
    if where.login:
        console.print(f"  images        {where.login}", soft_wrap=True)
    console.print(f"  logs          {where.logs}", soft_wrap=True)
    named = "" if found_above(Path.cwd()) == state else f" --state {state}"
    console.print(f"  ask           esteira status{named}", soft_wrap=True)


def _teller(console: Console) -> Any:
    """What prints each answer of a function that says something new."""
    lock, last = threading.Lock(), [""]

    def tell(delivered: Any) -> None:
        payload = delivered.answer.payload
        if delivered.answer.error:
            text = f"[red]{escape(visible(f'{delivered.function}: {delivered.answer.said}'))}[/]"
        else:
            rows = payload if isinstance(payload, list) else [payload]
            said = [f"{r['release']} {r['phase']}: {r['why'].splitlines()[0]}" for r in rows if r.get("release")]
            text = escape(visible("; ".join(said)))
        with lock:
            if text and text != last[0] and not delivered.function.endswith("announce"):
                last[0] = text
                console.print(
                    f"[dim]{delivered.function.rsplit('-', 1)[-1]:8}[/] {text}", soft_wrap=True, highlight=False
                )

    return tell


@local.command()
@click.option("--releases", type=click.IntRange(1, 5000), default=300, show_default=True)
@click.option(
    "--lose", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Probability that an event is lost."
)
@click.option(
    "--duplicate", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="… that it comes twice."
)
@click.option("--shuffle/--in-order", default=True, show_default=True, help="Whether events come in any order.")
@click.option(
    "--crash",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Deaths of functions per ten AWS calls.",
)
@click.option(
    "--throttle", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Throttled calls per ten AWS calls."
)
@click.option(
    "--lose-answers",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Probability that the answer to an AWS call is lost.",
)
@click.option("--stages", type=click.IntRange(1, 4), default=2, show_default=True, help="Stages of the service.")
@click.option("--seed", type=int, default=1, show_default=True, help="The dice.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the outcome here, as JSON.")
def chaos(
    releases: int,
    lose: float,
    duplicate: float,
    shuffle: bool,
    crash: float,
    throttle: float,
    lose_answers: float,
    stages: int,
    seed: int,
    report: Path | None,
) -> None:
    """Bring releases to their ends on a lossy, doubling, crashing, throttling AWS; exit 1 if a promise broke."""
    from console.local.rehearse.chaos import Trouble, run

    bar = (TextColumn("releases"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bar, transient=True) as progress:
        task = progress.add_task("", total=releases)
        trouble = Trouble(lose, duplicate, shuffle, crash, throttle, lose_answers)
        came = run(releases, trouble, seed, progress=lambda n: progress.update(task, completed=n), stages=stages)
    document = asdict(came)
    if report is not None:
        report.write_text(json.dumps(document, indent=1) + "\n")
    click.echo(json.dumps(document))
    if not came.good:
        raise click.ClickException(
            f"a promise broke; the same dice again: esteira local chaos --releases {releases} --stages {stages} "
            f"--seed {seed}"
        )


@local.command()
def leniencies() -> None:
    """What the local AWS lets through and AWS would not: what only an account can tell."""
    from console.local.aws.strict.leniencies import LENIENCIES

    for one in LENIENCIES.values():
        click.echo(f"{one.here}\n  AWS: {one.aws}")
