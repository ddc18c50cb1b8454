"""`esteira policy`: the rules that guard a service's releases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli import options
from console.cli.call import TypedCommand, command
from console.cli.operate_commands import say, tell
from console.read.out import Out

if TYPE_CHECKING:
    from console.read.policies import ChangedRule, PolicyVersion

_NONE = "no policy is set: an update of the stack writes these rules anew"
_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.group()
def policy() -> None:
    """The rules that guard a service's releases: votes, windows, alarms, gates, who may say what.

    No push and no update of a stack changes them once a policy is set.
    """


@policy.command("show")
@command
def show(call: TypedCommand) -> None:
    """The rules that are in force, as a file that apply takes."""
    from console.read import policies

    service = call.service()
    said, rules = policies.present(call.store, service)
    told = {"service": service.name, "set": said, "policy": rules.model_dump(mode="json", exclude_unset=True)}
    of = policies.in_a_line(said) or f"{_NONE}. Next: esteira policy seed > policy.yaml"
    call.tell(told, lambda _: click.echo(f"# {service.name}: {of}\n{policies.as_yaml(rules)}", nl=False))


@policy.command("seed")
@command
def seed(call: TypedCommand) -> None:
    """The rules of the registration, as a first policy: esteira policy seed > policy.yaml, then apply it."""
    from console.read import policies
    from policy.document import seed as registered

    service = call.service()
    rules = registered(service)
    told = {"service": service.name, "policy": rules.model_dump(mode="json", exclude_unset=True)}
    head = f"# The rules of {service.name}'s registration.\n# Next: esteira policy apply FILE --reason '…'\n"
    call.tell(told, lambda _: click.echo(f"{head}{policies.as_yaml(rules)}", nl=False))


@policy.command("diff")
@_file
@command
def diff(call: TypedCommand, file: Path) -> None:
    """What a policy in FILE would change."""
    from console.read import policies

    service = call.service()
    said, rules = policies.present(call.store, service)
    changed = policies.differences(rules, policies.from_file(file, service))
    told = {"service": service.name, "version": said.version if said else 0, "changed": changed}
    call.tell(told, lambda out: _changes(out, changed))


@policy.command("apply")
@_file
@options.reason
@options.by
@command
def apply(call: TypedCommand, file: Path, reason: str, by: str | None) -> None:
    """Set the policy in FILE. What it changes is printed first."""
    from console.read import policies

    service = call.service()
    _, rules = policies.present(call.store, service)
    _changes(Out(sys.stderr), policies.differences(rules, policies.from_file(file, service)))
    document = file.read_text(encoding="utf-8-sig")
    _, answer = say(call, service.name, "policy", by, reason, document=document)
    said = call.store.policy(service.name)
    tell(call, f"policy version {said.version if said else 1} of {service.name} is in force", answer)


@policy.command("log")
@command
def log(call: TypedCommand) -> None:
    """Every version: when, who, why, and what it changed."""
    from console.read import policies

    service = call.service()
    versions = policies.history(call.store, service)
    call.tell({"service": service.name, "versions": versions}, lambda out: _history(out, versions))


def _changes(out: Out, changed: Sequence[ChangedRule]) -> None:
    for one in changed:
        out.print(f"  {one.rule}: ", (one.before or "none", "dim"), " → ", (one.after or "none", "bold"), hang=4)
    if not changed:
        out.print(("no rule differs", "dim"))


def _history(out: Out, versions: Sequence[PolicyVersion]) -> None:
    for one in versions:
        who = f"{one.by} ({one.arn})" if one.arn else one.by
        out.print(
            (f"{one.at:%Y-%m-%d %H:%M:%S}  ", "dim"), (f"version {one.version}", "bold"), f" by {who}: {one.reason}"
        )
        _changes(out, one.changed)
    if not versions:
        out.print(f"{_NONE}. Next: esteira policy seed > policy.yaml")
