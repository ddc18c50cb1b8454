"""A change set of a service's stack: made, described, executed and followed to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from console.local.paths import SERVICE_TEMPLATE
from console.read.remote import Controller
from console.read.where import UNDER_WAY, TroubleError
from esteira.errors import code_of

CAPABILITIES = ["CAPABILITY_IAM"]  # service.yaml makes roles, and gives none of them a name


POLL_SECONDS = 5.0


NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")


# After these CloudFormation lets a stack be changed; after others it must go first, or be waited for.
CHANGEABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)


@dataclass(frozen=True)
class ResourceChange:
    """One thing a change set would do."""

    action: str  # Add, Modify, Remove
    resource: str
    type: str
    replaces: str = ""  # True, Conditional or False, as CloudFormation says it


@dataclass(frozen=True)
class StackOutcome:
    """What came of it: the stack, what changed, and what it says to type next."""

    stack: str
    status: str
    changes: tuple[ResourceChange, ...] = ()
    outputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name → value, description


@dataclass(frozen=True)
class StackWork:
    """How something is done: the controller, the clock (aware, UTC), a way to wait, where to tell how far it is, how
    long to wait at most, what hears which account, Region and stack is about to be changed, and the template."""

    controller: Controller
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    timeout: timedelta
    name_target: Callable[[str], None]
    template: Path = SERVICE_TEMPLATE

    @property
    def cloudformation(self) -> Any:
        """CloudFormation."""
        return self.controller.client("cloudformation")


def sent(template: Path) -> str:
    """The template without the lines that are comments: CloudFormation takes 51,200 bytes in a call."""
    return re.sub(r"(?m)^ *#(?!!).*\n", "", template.read_text(encoding="utf-8"))


def standing(work: StackWork, stack: str) -> Any | None:
    """CloudFormation's row of a stack; None where there is none, or only a first change set of one."""
    try:
        row = work.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except Exception as error:
        if code_of(error) != "ValidationError":
            raise
        return None
    return None if row["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else row


def change_stack(
    work: StackWork, stack: str, parameters: list[dict[str, Any]], new: bool, *, dry_run: bool
) -> StackOutcome:
    since = work.now()
    asked = {
        "StackName": stack,
        "ChangeSetName": f"esteira-{since:%Y%m%d%H%M%S}",
        "ChangeSetType": "CREATE" if new else "UPDATE",
        "TemplateBody": sent(work.template),
        "Parameters": parameters,
        "Capabilities": CAPABILITIES,
        "Tags": [{"Key": "esteira", "Value": work.controller.where.stack}],
        "Description": "by esteira add-service",
    }
    try:
        made = work.cloudformation.create_change_set(**asked)
    except Exception as error:
        if not any(words in str(error) for words in NOTHING_TO_DO):
            raise
        return StackOutcome(stack, "unchanged", (), _outputs(work, stack))
    try:
        told = _described(work, made["Id"], stack)
    except TroubleError:
        _forget(work, made["Id"], stack, new)
        raise
    if told is None:
        _forget(work, made["Id"], stack, new)
        return StackOutcome(stack, "unchanged", (), _outputs(work, stack))
    changes = tuple(_changes(told))
    if dry_run:
        _forget(work, made["Id"], stack, new)
        return StackOutcome(stack, "not executed", changes)
    work.cloudformation.execute_change_set(ChangeSetName=made["Id"])
    status = follow_stack(work, made["StackId"], since)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise TroubleError(
            f"{stack} is {status}: {stack_failures(work, made['StackId'], since)}. Next: mend that, and again"
        )
    return StackOutcome(stack, status, changes, _outputs(work, stack))


def _described(work: StackWork, change_set: str, stack: str) -> Any | None:
    """The change set when it is worked out; None where it would change nothing."""
    end = work.now() + work.timeout
    while True:
        told = work.cloudformation.describe_change_set(ChangeSetName=change_set, StackName=stack)
        status, why = told["Status"], told.get("StatusReason", "")
        if status == "CREATE_COMPLETE":
            return told
        if status == "FAILED":
            if any(words in why for words in NOTHING_TO_DO):
                return None
            raise TroubleError(f"CloudFormation cannot change {stack}: {why}. Next: mend that, and again")
        if work.now() >= end:
            raise TroubleError(f"the changes to {stack} are still {status} after {work.timeout}", UNDER_WAY)
        work.sleep(POLL_SECONDS)


def _changes(told: Mapping[str, Any]) -> Iterable[ResourceChange]:
    for row in told.get("Changes", ()):
        change = row["ResourceChange"]
        yield ResourceChange(
            change["Action"], change["LogicalResourceId"], change["ResourceType"], change.get("Replacement", "")
        )


def _forget(work: StackWork, change_set: str, stack: str, new: bool) -> None:
    """Delete a change set; with the first one of a stack goes the empty stack that CloudFormation made for it."""
    if new:
        work.cloudformation.delete_stack(StackName=stack)
    else:
        work.cloudformation.delete_change_set(ChangeSetName=change_set, StackName=stack)


def follow_stack(work: StackWork, stack_id: str, since: datetime) -> str:
    """Wait until nothing happens in a stack any more, telling what does. The result is its status."""
    end, told = work.now() + work.timeout, set[str]()
    while True:
        for event in reversed(_events(work, stack_id, since)):
            if event["EventId"] not in told:
                told.add(event["EventId"])
                work.tell(f"{event['LogicalResourceId']} {event['ResourceStatus']}")
        row = work.cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        status = str(row["StackStatus"])
        if not status.endswith("_IN_PROGRESS"):
            return status
        if work.now() >= end:
            name = row["StackName"]
            look = f"aws cloudformation describe-stack-events --stack-name {name}"
            raise TroubleError(f"{name} is still {status} after {work.timeout}. Next: {look}", UNDER_WAY)
        work.sleep(POLL_SECONDS)


def _events(work: StackWork, stack_id: str, since: datetime) -> Sequence[Any]:
    """The events of a stack since a moment, newest first. The clocks may differ by a little."""
    events = work.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    return [event for event in events if event["Timestamp"] >= since - timedelta(seconds=30)]


def stack_failures(work: StackWork, stack_id: str, since: datetime) -> str:
    """What failed first and why, in CloudFormation's words; what it then cancelled is no cause."""
    failed = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(_events(work, stack_id, since))
        if event["ResourceStatus"].endswith("_FAILED")
        and "cancelled" not in event.get("ResourceStatusReason", "cancelled")
    ]
    return "; ".join(dict.fromkeys(failed[:3])) or "CloudFormation gives no reason"


def _outputs(work: StackWork, stack: str) -> Mapping[str, tuple[str, str]]:
    row = standing(work, stack) or {}
    return {o["OutputKey"]: (o["OutputValue"], o.get("Description", "")) for o in row.get("Outputs", ())}
