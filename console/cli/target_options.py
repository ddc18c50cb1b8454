"""The options by which a command names the controller and the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from console.cli import completion


def _urls(context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The endpoint of everything, and the endpoint of the functions. Raises BadParameter."""
    told: dict[bool, str] = {}
    for word in words:
        url = word.removeprefix("lambda=")
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter(f"{word!r} is neither URL nor lambda=URL", context, option)
        told[url != word] = url
    return told.get(False), told.get(True)


AWS = (
    click.option("--profile", metavar="NAME", help="Speak to AWS with this profile of the AWS CLI."),
    click.option("--region", metavar="NAME", help="Speak to AWS in this Region. Default: as the AWS CLI finds it."),
    click.option("--stack", help="Speak to AWS, to the controller of this stack. Default: $ESTEIRA_STACK, or esteira."),
)
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the local stack. Default: $ESTEIRA_STATE, or .esteira in this folder or above.",
)
_SERVICE = click.option(
    "--service",
    envvar="ESTEIRA_SERVICE",
    shell_complete=completion.services,
    help="Which service. Default: the only one there is.",
)
_ENDPOINT = click.option(
    "--endpoint",
    "endpoints",
    metavar="[lambda=]URL",
    multiple=True,
    callback=_urls,
    help="What to speak to in place of AWS; lambda=URL: what runs the functions, if that is another (sam local "
    "start-lambda). Default: $AWS_ENDPOINT_URL, $AWS_ENDPOINT_URL_LAMBDA.",
)
_AWS = click.option("--aws", is_flag=True, help="Speak to AWS, although there is a local stack.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else.")
ALL = (_SERVICE, STATE, _AWS, *AWS, _ENDPOINT, _JSON)


def with_options(typed: Callable[..., None]) -> Callable[..., None]:
    """The command with the options common to all."""
    for option in reversed(ALL):
        typed = option(typed)
    return typed
