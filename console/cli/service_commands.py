"""The commands about services and their stacks: add-service, remove-service and remains."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import click

from console.cli import options
from console.cli.call import TypedCommand, command
from console.read.where import REFUSED, TroubleError


@click.command("add-service")
@click.argument("name")
@click.option("--source-repository", help="Another service's repository, where several models stand in one.")
@click.option("--folder", help="Where in the repository the model stands, such as models/heart.")
@click.option("--branch", help="The branch whose tip is released.")
@click.option("--hosts", help="How many hosts each stage keeps: 1 or 2.")
@click.option("--architecture", help="Processor of the host and the builds: arm64 or x86_64.")
@click.option("--instance-type", help="Type of the host, such as t4g.small.")
@click.option("--volume-gib", help="Size of the host's disk.")
@click.option("--allowed-cidr", help="Who may reach the model over HTTP, such as 203.0.113.0/24; '' lets nobody in.")
@click.option("--vpc-id", help="VPC of the host, with --subnet-id. Default: the default VPC.")
@click.option("--subnet-id", help="Subnet of that VPC, with a way to the internet.")
@click.option("--port", help="The port the container listens on.")
@click.option("--health-path", help="Answers 200 when the container is ready, such as /ping.")
@click.option("--build-minutes", help="How long a build may run.")
@click.option("--build-cache", type=click.Choice(["none", "local", "s3"]), help="Where builds keep their cache.")
@click.option("--staging", type=click.Choice(["no", "yes"]), help="Whether a release runs on a host of staging first.")
@click.option("--bake-minutes", help="How long a release is watched; production waits for staging's.")
@click.option("--approval-votes", help="How many must approve before production; 0: nobody is asked.")
@click.option("--github-repository", help="OWNER/NAME on GitHub, whose workflows may push the branch and images.")
@click.option("--bypass", type=click.Choice(["no", "yes"]), help="Whether esteira bypass may be said at all.")
@click.option("--own-hooks", type=click.Choice(["no", "yes"]), help="Whether the repository may bring an appspec.yml.")
@click.option("--log-retention-days", help="Days a build's log is kept.")
@click.option("--adopt", is_flag=True, help="Use the repositories and the bucket that an earlier stack left.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@options.timeout
@command
def add_service(
    call: TypedCommand, name: str, adopt: bool, dry_run: bool, timeout: timedelta, **given: str | None
) -> None:
    """Deploy service.yaml for another model with the same controller; again to change it.

    What is left out keeps its default in service.yaml or, where the service stands, its value.
    """
    from console.cli import render_work, service_stack
    from console.cli.change_set import StackWork

    _refuse_local(call, "add-service")
    wanted = {_parameter(option): value for option, value in given.items() if value is not None}
    with call.spinner() as say:
        work = StackWork(call.controller, call.now, call.shell.sleep, say, timeout, call.name_target)
        outcome = service_stack.add(work, name, wanted, dry_run=dry_run, adopt=adopt)
    call.tell(outcome, lambda out: render_work.outcome(out, outcome))


@click.command("remove-service")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.timeout
@command
def remove_service(call: TypedCommand, name: str, yes: bool, timeout: timedelta) -> None:
    """Delete the stack of a service: its host, project, group and registration. What holds data stays, and is named."""
    from console.cli import render_work, service_stack
    from console.cli.change_set import StackWork
    from console.doctor import leftovers

    _refuse_local(call, "remove-service")
    left = leftovers.kept(call.controller, name)  # before, so that whoever may not ask has not deleted anything either
    with call.spinner() as say:
        work = StackWork(call.controller, call.now, call.shell.sleep, say, timeout, call.name_target)
        call.name_target(service_stack.target(work, name))
    if not yes and not click.confirm(f"Delete the host of {name} and all that is not data?", err=True):
        raise TroubleError("nothing was deleted. Next: the same with yes, or with --yes", REFUSED)
    with call.spinner() as say:
        stack = service_stack.remove(replace(work, tell=say), name)
    call.tell({"deleted": stack, "kept": left}, lambda out: render_work.kept(out, f"{stack} is deleted", left))


@click.command("remains")
@command
def what_remains(call: TypedCommand) -> None:
    """What deleting the stacks leaves behind, before or after: all that holds data, and how to remove it for good."""
    from console.cli import render_work
    from console.doctor import leftovers

    _refuse_local(call, "remains")
    left = leftovers.kept(call.controller, call.wanted)
    call.tell({"kept": left}, lambda out: render_work.kept(out, f"deleting {call.stack} and its services", left))


def _refuse_local(call: TypedCommand, typed: str) -> None:
    """Refuse what is CloudFormation's on the local stack, which has none."""
    where = call.controller.where
    if where.local:
        local = {"add-service": "; esteira local add NAME adds a model here"}.get(typed, "")
        raise TroubleError(
            f"esteira {typed} works by CloudFormation, which the local stack has not. Next: add --aws{local}", REFUSED
        )


def _parameter(option: str) -> str:
    """The parameter of service.yaml that an option is called after: ``allowed_cidr`` is AllowedCidr."""
    return {"volume_gib": "VolumeGiB", "github_repository": "GitHubRepository"}.get(
        option, option.title().replace("_", "")
    )
