"""``esteira local add``, ``down`` and ``clean``: a local stack from beside it, whether it runs or not."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from console.local.up.banner import service_lines
from console.local.up.memory import fault, remember, remembered, service_name
from console.read.state_folder import NAME, NOTE, found_above, is_stack

WAIT_SECONDS = 60.0
STATE = click.option(
    "--state",
    envvar="ESTEIRA_STATE",
    type=click.Path(path_type=Path, file_okay=False),
    help="Its folder. Default: $ESTEIRA_STATE, or .esteira in this folder or above.",
)


def _fitting(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if why := fault(value, "Folder"):
        raise click.BadParameter(f"{value!r} cannot be: {why}. Next: name it from the repository's root")
    return value


FOLDER = click.option(
    "--folder", "folder_in_repository", default="", callback=_fitting, help="Where in the repository the model stands."
)


def state_of(given: Path | None) -> Path:
    """The state folder that is meant: the one that was given, the nearest one, or a new one here."""
    return (given or found_above(Path.cwd()) or Path.cwd() / NAME).absolute()


@click.command()
@click.argument("name", required=False)
@STATE
@FOLDER
def add(name: str | None, state: Path | None, folder_in_repository: str) -> None:
    """Add a model to the local stack, running or not. Without a name it is called after this folder.

    With --folder it stands in that folder of the first model's repository: a push that changes nothing there starts no
    release of it.
    """
    folder, here = _existing(state), Path.cwd()
    name = name or service_name(here)
    if why := fault(name):
        raise click.ClickException(f"a service cannot be called {name!r}: {why}. Next: esteira local add NAME")
    asked = remembered(folder)
    if name in asked.services:
        raise click.ClickException(f"{name} is a service of {folder} already. Next: esteira status --service {name}")
    remember(folder, asked.with_service(name, folder_in_repository))
    if not is_running(folder):
        click.echo(f"{name} is added to the local stack at {folder}. Next: {_command('up', state)} starts it")
        return
    note = _await_service(folder, name)
    model = here if name == service_name(here) else None
    for line in service_lines(name, note["remotes"][name], note["stages"][name], model):
        click.echo(line)


@click.command()
@STATE
def down(state: Path | None) -> None:
    """Stop the local stack. What it keeps stays: esteira local up starts it again as it was."""
    folder = _existing(state)
    if not is_running(folder):
        click.echo(f"the local stack at {folder} is not running")
        return
    os.kill(int(_note(folder)["pid"]), signal.SIGTERM)
    end = time.monotonic() + WAIT_SECONDS
    while is_running(folder):
        if time.monotonic() > end:
            raise click.ClickException(f"the local stack at {folder} still runs after {WAIT_SECONDS:.0f} s")
        time.sleep(0.1)
    click.echo(f"the local stack at {folder} is stopped. Next: {_command('up', state)} starts it again")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@STATE
def clean(yes: bool, state: Path | None) -> None:
    """Delete what the local stack keeps: its repositories, images, releases and history."""
    folder = _existing(state)
    if is_running(folder):
        raise click.ClickException(f"the local stack at {folder} is running. Next: {_command('down', state)}")
    if not yes and not click.confirm(f"Delete {folder}, with every release of {_services(folder)}?", err=True):
        raise click.ClickException("nothing was deleted. Next: the same with yes, or with --yes")
    shutil.rmtree(folder)
    click.echo(f"{folder} is deleted")


def is_running(state: Path) -> bool:
    """Whether a stack runs on this folder: it holds the folder's lock as long as it lives."""
    try:
        with (state / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _existing(given: Path | None) -> Path:
    folder = state_of(given)
    if not is_stack(folder):
        raise click.ClickException(f"there is no local stack at {folder}. Next: {_command('up', given)}")
    return folder


def _await_service(state: Path, name: str) -> Mapping[str, Any]:
    """The stack's note when it knows the service."""
    end = time.monotonic() + WAIT_SECONDS
    while name not in (note := _note(state)).get("remotes", {}):
        if time.monotonic() > end or not is_running(state):
            raise click.ClickException(
                f"the local stack at {state} has not started {name}. Next: read what esteira local up printed"
            )
        time.sleep(0.1)
    return note


def _note(state: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((state / NOTE).read_text())
    except FileNotFoundError:  # it starts, or stops
        return {}
    return told


def _services(state: Path) -> str:
    return ", ".join(remembered(state).services) or "its services"


def _command(verb: str, given: Path | None) -> str:
    return f"esteira local {verb}" + (f" --state {given}" if given else "")
