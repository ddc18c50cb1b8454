"""`esteira secret`: the values of the secrets that esteira.yaml names, in SSM as SecureStrings.

A value comes from standard input and goes to SSM: it is in no argument, no answer and no log.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.cli.call import TypedCommand, command, stage_of
from console.read.where import REFUSED, TroubleError
from esteira.errors import code_of

if TYPE_CHECKING:
    from console.read.out import Out
    from console.read.secrets import StoredSecret
    from esteira.config import Service

LARGEST = 4096  # bytes; more is another tier of SSM, which costs money

_name = click.argument("name", metavar="NAME")
_stage = click.option(
    "--stage", metavar="NAME", shell_complete=completion.stages, help="Only for this stage. Default: for all of them."
)
_build = click.option("--build", is_flag=True, help="For builds (build_secrets in esteira.yaml), not for containers.")


@click.group()
def secret() -> None:
    """Set, list and remove the secrets that esteira.yaml names. No value is ever shown."""


@secret.command("set")
@_name
@_stage
@_build
@command
def set_(call: TypedCommand, name: str, stage: str | None, build: bool) -> None:
    """Set a secret to what standard input holds: esteira secret set DB_PASSWORD < password.txt

    At a terminal it is asked for and not shown. A line end at its end is no part of it.
    """
    service, at = _place(call, name, stage, build=build)
    value = _typed_value(name)
    call.name_target(call.controller.target)
    ssm = call.controller.client("ssm")
    version = ssm.put_parameter(Name=at, Value=value, Type="SecureString", Overwrite=True)["Version"]
    following = "The next build reads it." if build else _how_it_arrives(call, service, name, stage or "")
    told = {**_named(service, name, stage, build=build), "version": version, "next": following}
    said = f"{name} of {service.name} is set for {_whose(stage, build=build)} (version {version})."
    call.tell(told, lambda out: out.print((said, "green"), f" {following}"))


@secret.command("list")
@command
def list_(call: TypedCommand) -> None:
    """The secrets that are set, with the version and the time of each."""
    from console.read.secrets import stored_secrets

    service = call.service()
    found = stored_secrets(call, service)
    call.tell({"service": service.name, "secrets": found}, lambda out: _listed(out, service, found))


@secret.command("rm")
@_name
@_stage
@_build
@command
def rm(call: TypedCommand, name: str, stage: str | None, build: bool) -> None:
    """Remove a secret. A container that runs keeps the value that it was started with."""
    service, at = _place(call, name, stage, build=build)
    call.name_target(call.controller.target)
    whose = _whose(stage, build=build)
    try:
        call.controller.client("ssm").delete_parameter(Name=at)
    except Exception as error:
        if code_of(error) != "ParameterNotFound":
            raise
        sentence = f"{name} of {service.name} is not set for {whose}. Next: esteira secret list"
        raise TroubleError(sentence, REFUSED) from None
    told = {**_named(service, name, stage, build=build), "removed": True}
    call.tell(told, lambda out: out.print((f"{name} of {service.name} is removed for {whose}", "green")))


def _place(call: TypedCommand, name: str, stage: str | None, *, build: bool) -> tuple[Service, str]:
    """The service that is meant, and the parameter of the secret. Raises TroubleError."""
    from console.read.secrets import place

    service = call.service()
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        text = f"{name!r} is no name of a variable, which has letters, digits and _. Next: type it like DB_PASSWORD"
        raise TroubleError(text, REFUSED)
    if build and stage:
        raise TroubleError("a build is of no stage. Next: leave --stage or --build out", REFUSED)
    stage_of(service, stage or None)
    return service, place(call, service, name, stage or "", build=build)


def _typed_value(name: str) -> str:
    """The value on standard input. Raises TroubleError where it cannot be one."""
    if sys.stdin.isatty():
        value = str(click.prompt(f"Value of {name}", hide_input=True, err=True))
    else:
        try:
            value = sys.stdin.buffer.read(2 * LARGEST).decode()
        except UnicodeDecodeError:
            text = "the value is no UTF-8 text. Next: encode it with base64, and decode it in your code"
            raise TroubleError(text, REFUSED) from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or "\0" in value or len(value.encode()) > LARGEST:
        text = f"a value is a text of 1 to {LARGEST} bytes, and this is none. Next: esteira secret set {name} < FILE"
        raise TroubleError(text, REFUSED)
    return value


def _how_it_arrives(call: TypedCommand, service: Service, name: str, stage: str) -> str:
    """How the value reaches a container, as a sentence with the next thing to type."""
    from console.read.secrets import live_with

    stages = live_with(call, service, name, stage)
    if not stages:
        return f"Next: name it in esteira.yaml (secrets: [{name}]) and push; the containers of that release have it."
    words = "; ".join(f"esteira redeploy --stage {at} --reason 'a new {name}'" for at in stages)
    return f"What is live has the value that it was started with. Next: {words}"


def _named(service: Service, name: str, stage: str | None, *, build: bool) -> dict[str, Any]:
    return {"service": service.name, "name": name, "stage": stage or "", "build": build}


def _whose(stage: str | None, *, build: bool) -> str:
    return "builds" if build else stage or "all stages"


def _listed(out: Out, service: Service, found: tuple[StoredSecret, ...]) -> None:
    if not found:
        out.print(f"no secret of {service.name} is set. Next: esteira secret set NAME")
        return
    cells = (
        (each.name, _whose(each.stage, build=each.build), str(each.version), f"{each.changed_at:%Y-%m-%d %H:%M}")
        for each in found
    )
    out.table(("secret", "for", "version", "set (UTC)"), [[[cell] for cell in row] for row in cells])
