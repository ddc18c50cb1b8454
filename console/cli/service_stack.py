"""`esteira add-service` and `esteira remove-service`: service.yaml as a stack of its own, for a controller that stands.

What may be given, and what it must look like, is read from service.yaml and never retyped. Everything that can be known
to be wrong is refused before CloudFormation hears of it; what CloudFormation then fails at is told with its own reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.doctor.leftovers import names_taken
from console.read.remote import REFUSED, UNDER_WAY, Controller, TroubleError
from console.read.trouble import code_of

if TYPE_CHECKING:
    from console.local.template import Stack

TEMPLATE = Path(__file__).resolve().parents[2] / "service.yaml"
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

    action: str  # Add, Modify, Remove, Import
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
    """How something is done: the controller, the clock (aware, UTC), a way to wait, where to tell how far it is, and
    how long to wait at most."""

    controller: Controller
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    timeout: timedelta

    @property
    def cloudformation(self) -> Any:
        """CloudFormation."""
        return self.controller.client("cloudformation")


def stack_of(controller: str, service: str) -> str:
    """Return the name of a service's stack."""
    return f"{controller}-{service}"


def add(
    work: StackWork, name: str, given: Mapping[str, str], *, dry_run: bool = False, adopt: bool = False
) -> StackOutcome:
    """Deploy service.yaml as the stack of the service ``name``, or change that stack; return what came of it.

    ``given`` are service.yaml's parameters by their names; what is left out keeps its default, and in a stack that
    stands its value. ``adopt`` takes over the repositories and the bucket that an earlier stack of the service left.
    Raises TroubleError where it is refused, fails, or lasts too long.
    """
    controller = work.controller.where.stack
    given = {"ServiceName": name, "ControllerStack": controller, **given}
    _check(given)
    _require_controller(work)
    stack = stack_of(controller, name)
    before = standing(work, stack)
    _check({**_given_before(before), **given})
    if before is None:
        if not adopt:
            _require_free(work, name)
    elif before["StackStatus"] not in CHANGEABLE:
        raise TroubleError(_unchangeable(stack, name, before["StackStatus"]), REFUSED)
    parameters = _parameters(given, before)
    return _change(work, stack, parameters, before is None, dry_run=dry_run, adopt=adopt)


def remove(work: StackWork, name: str) -> str:
    """Delete the stack of a service and return its name; what holds data stays.

    Raises TroubleError where it is refused, fails, or lasts too long.
    """
    stack = stack_of(work.controller.where.stack, name)
    before = standing(work, stack)
    if before is None:
        raise TroubleError(_no_stack(work, stack, name), REFUSED)
    if before.get("EnableTerminationProtection"):
        off = (
            f"aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name {stack}"
        )
        raise TroubleError(f"{stack} is protected from deletion. Next: {off}", REFUSED)
    since = work.now()
    work.cloudformation.delete_stack(StackName=before["StackId"])
    status = _follow(work, before["StackId"], since)
    if status != "DELETE_COMPLETE":
        raise TroubleError(
            f"{stack} was not deleted: {_failures(work, before['StackId'], since)}. Next: mend that, and again"
        )
    return stack


def standing(work: StackWork, stack: str) -> Any | None:
    """Return CloudFormation's row of a stack; None where there is none, or only a first change set of one."""
    try:
        row = work.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except Exception as error:
        if code_of(error) != "ValidationError":
            raise
        return None
    return None if row["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else row


# --- what is refused before CloudFormation hears of it --------------------------------------------------------------


def _check(given: Mapping[str, str]) -> None:
    """Hold what is given against service.yaml's own parameters and rules. Raises TroubleError with its words."""
    described = _described_service(given)
    for name, value in given.items():
        fault = fault_of(described.document["Parameters"][name], value)
        if fault:
            raise TroubleError(f"{name} cannot be {value!r}: {fault}. Next: correct it; nothing was changed", REFUSED)
    for rule in described.document["Rules"].values():
        for assertion in rule["Assertions"]:
            if not described.resolve(assertion["Assert"]):
                raise TroubleError(f"{assertion['AssertDescription']} Nothing was changed", REFUSED)


def fault_of(row: Mapping[str, Any], value: str) -> str:
    """Return why a parameter that is declared by ``row`` does not take ``value``, "" if it does."""
    words = str(row.get("ConstraintDescription", f"it must be a {row['Type']}"))
    if "AllowedValues" in row and value not in [str(allowed) for allowed in row["AllowedValues"]]:
        return words
    if "AllowedPattern" in row and not re.fullmatch(row["AllowedPattern"], value):
        return words
    if not int(row.get("MinLength", 0)) <= len(value) <= int(row.get("MaxLength", 4096)):
        return words
    if row["Type"] == "Number":
        if not re.fullmatch(r"\d+", value):
            return words
        if not int(row.get("MinValue", 0)) <= int(value) <= int(row.get("MaxValue", 2**31)):
            return words
    return ""


def _described_service(given: Mapping[str, str] | None = None) -> Stack:
    """Return service.yaml, with its parameters as ``given``. Raises TroubleError where it cannot be read."""
    return replace(_template(), parameters=dict(given or {}))


@cache
def _template() -> Stack:
    from console.local.template import TemplateError, read

    try:
        return read(TEMPLATE)
    except TemplateError as error:
        raise TroubleError(str(error)) from error


def _require_controller(work: StackWork) -> None:
    stack, named = work.controller.where.stack, work.controller.where.named
    row = standing(work, stack)
    if row is None:
        raise TroubleError(
            f"no stack {stack} is at {named}, so nothing would look after the service. "
            f"Next: sam deploy, or name another controller: --stack NAME",
            REFUSED,
        )
    if not any(output["OutputKey"] == "ServicesPath" for output in row.get("Outputs", ())):
        raise TroubleError(
            f"{stack} is no controller of esteira: it has no output ServicesPath. Next: --stack NAME", REFUSED
        )


def _require_free(work: StackWork, name: str) -> None:
    """Refuse a name that something else in the account bears, which CloudFormation would find out halfway."""
    controller = work.controller.where.stack
    registered = [s.name for s in work.controller.services()[0]]
    if name in registered:
        raise TroubleError(
            f"{name} is a service of {controller} already, by another stack than {stack_of(controller, name)}. "
            f"Next: change it where it was deployed, or choose another name",
            REFUSED,
        )
    taken = names_taken(work.controller, name)
    if taken:
        raise TroubleError(
            f"{name} cannot be made: there is {' and '.join(taken)} already. Next: esteira add-service {name} --adopt "
            f"takes over what an earlier stack of this service left; or choose another name",
            REFUSED,
        )


def _unchangeable(stack: str, name: str, status: str) -> str:
    if status.endswith("_IN_PROGRESS"):
        return f"{stack} is {status}: somebody changes it now. Next: again when that is over"
    return (
        f"{stack} is {status}, so CloudFormation changes nothing in it. Next: esteira remove-service {name}, then again"
    )


def _no_stack(work: StackWork, stack: str, name: str) -> str:
    if name in [service.name for service in work.controller.services()[0]]:
        controller = work.controller.where.stack
        return (
            f"{name} was not deployed by esteira add-service: there is no stack {stack}. Next: if it is the first one "
            f"of {controller}, sam deploy --parameter-overrides ServiceName= leaves it out; else delete its own stack"
        )
    return f"there is no stack {stack}. Next: esteira status names the services there are"


# --- the change set -------------------------------------------------------------------------------------------------


def _given_before(before: Any | None) -> dict[str, str]:
    """Return what a stack that stands was given, as far as service.yaml still knows it."""
    declared = _described_service().document["Parameters"]
    rows = () if before is None else before.get("Parameters", ())
    return {row["ParameterKey"]: row["ParameterValue"] for row in rows if row["ParameterKey"] in declared}


def _parameters(given: Mapping[str, str], before: Any | None) -> list[dict[str, Any]]:
    """Return the parameters as CloudFormation wants them: those that were given, and of a stack that stands the rest as
    it is."""
    rows: list[dict[str, Any]] = [{"ParameterKey": k, "ParameterValue": v} for k, v in sorted(given.items())]
    kept = sorted(_given_before(before).keys() - given.keys())
    return rows + [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]


def _change(
    work: StackWork, stack: str, parameters: list[dict[str, Any]], new: bool, *, dry_run: bool, adopt: bool
) -> StackOutcome:
    since = work.now()
    asked = {
        "StackName": stack,
        "ChangeSetName": f"esteira-{since:%Y%m%d%H%M%S}",
        "ChangeSetType": "CREATE" if new else "UPDATE",
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": parameters,
        "Capabilities": CAPABILITIES,
        "Tags": [{"Key": "esteira", "Value": work.controller.where.stack}],
        "Description": "by esteira add-service",
        **({"ImportExistingResources": True} if adopt else {}),
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
    status = _follow(work, made["StackId"], since)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
        raise TroubleError(
            f"{stack} is {status}: {_failures(work, made['StackId'], since)}. Next: mend that, and again"
        )
    return StackOutcome(stack, status, changes, _outputs(work, stack))


def _described(work: StackWork, change_set: str, stack: str) -> Any | None:
    """Return the change set when it is worked out; None where it would change nothing."""
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


def _follow(work: StackWork, stack_id: str, since: datetime) -> str:
    """Wait until nothing happens in a stack any more, telling what does; return its status."""
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
    """Return the events of a stack since a moment, newest first. The clocks may differ by a little."""
    events = work.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    return [event for event in events if event["Timestamp"] >= since - timedelta(seconds=30)]


def _failures(work: StackWork, stack_id: str, since: datetime) -> str:
    """Return what failed first and why, in CloudFormation's words; what it then cancelled is no cause."""
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
