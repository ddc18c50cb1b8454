"""``esteira local …``: the AWS on your laptop."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console.local.aws_account import REGION
from esteira.visible import visible


@click.group()
def local() -> None:
    """The AWS on your laptop: no account, and Docker only if it is there."""


@local.command()
@click.option(
    "--state", type=click.Path(path_type=Path), default=Path(".esteira"), show_default=True, help="What it keeps."
)
@click.option("--sweep", type=click.FloatRange(1, 3600), default=15, show_default=True, help="Seconds between sweeps.")
@click.option("--page-port", type=click.IntRange(0, 65535), default=0, help="Where the model answers; 0: a free port.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    help="What builds and runs. auto: Docker where an engine answers and nginx and docker-registry are there.",
)
@click.option("--hosts", type=click.IntRange(1, 9), default=1, show_default=True, help="Hosts in a deployment group.")
@click.option(
    "--stages",
    default="",
    metavar="NAME,…",
    help="The stages of every service, in order, as staging,production; each has hosts of its own. Else: production.",
)
def up(
    state: Path, sweep: float, page_port: int, engine: Literal["auto", "docker", "process"], hosts: int, stages: str
) -> None:
    """Start everything on 127.0.0.1 and stay until Ctrl-C, which leaves nothing running."""
    from console.local.up.laptop import Laptop, LaptopError, choose_engine

    console = Console()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        chosen, why = choose_engine(engine, state)
        tell = _teller(console)
        names = [name.strip() for name in stages.split(",") if name.strip()]
        with Laptop(
            state, sweep_every=sweep, page_port=page_port, watch=tell, engine=chosen, hosts=hosts, stages=names
        ) as laptop:
            where = laptop.whereabouts
            about = f"with the {where.engine} engine ({escape(why)})"
            console.print(f"[bold]esteira[/] is up, {about}; Ctrl-C stops it", highlight=False, soft_wrap=True)
            for service, remote in where.remotes.items():
                console.print(f"  git push      git push {remote} main   [dim]({service})[/]", soft_wrap=True)
                several = len(where.stages[service]) > 1
                for stage, addresses in where.stages[service].items():
                    console.print(f"  the model     {addresses[0]}{f'   {stage}' if several else ''}", soft_wrap=True)
                    for which, address in enumerate(addresses[1:], 2):
                        console.print(f"  … on host {which}   {address}", soft_wrap=True)
            named = f"AWS_SHARED_CREDENTIALS_FILE={shlex.quote(where.credentials)} AWS_DEFAULT_REGION={REGION}"
            console.print(f"  AWS           export AWS_ENDPOINT_URL={where.endpoint} {named}", soft_wrap=True)
            if where.login:
                console.print(f"  images        {where.login}", soft_wrap=True)
            console.print(f"  logs          {where.logs}", soft_wrap=True)
            console.print("  ask           esteira status · releases · why v1 · rollback", soft_wrap=True)
            while not stop.wait(0.5):  # a signal that reaches another thread wakes no wait without an end
                pass
            console.print("stopping …")
    except (LaptopError, OSError) as error:
        raise click.ClickException(visible(str(error))) from error


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
