"""`esteira add-service` and `esteira remove-service`: service.yaml as a stack of its own, for a controller that stands.

What may be given, and what it must look like, is read from service.yaml and never retyped. Everything that can be known
to be wrong is refused before CloudFormation hears of it; what CloudFormation then fails at is told with its own reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from console.cli.change_set import (
    CHANGEABLE,
    StackOutcome,
    StackWork,
    change_stack,
    follow_stack,
    stack_failures,
    standing,
)
from console.cli.service_parameters import check_parameters, given_before, stack_parameters
from console.doctor.leftovers import Taken, names_taken, untagged
from console.read.where import REFUSED, TroubleError


def add(
    work: StackWork, name: str, given: Mapping[str, str], *, dry_run: bool = False, adopt: bool = False
) -> StackOutcome:
    """Deploy service.yaml as the stack of the service ``name``, or change that stack. The result is what came of it.

    ``given`` are service.yaml's parameters by their names; what is left out keeps its default, and in a stack that
    stands its value. With ``adopt`` the repositories and the bucket that an earlier stack of the service left serve
    again, with their data.
    Raises TroubleError where it is refused, fails, or lasts too long.
    """
    controller = work.controller.where.stack
    given = {"ServiceName": name, "ControllerStack": controller, **given}
    check_parameters(given)
    _require_controller(work)
    stack = stack_of(controller, name)
    before = standing(work, stack)
    check_parameters({**given_before(before), **given})
    if before is None:
        taken = _require_free(work, name, adopt)
        given = {**given, **{one.parameter: "yes" for one in taken}}
    elif before["StackStatus"] not in CHANGEABLE:
        raise TroubleError(_unchangeable(stack, name, before["StackStatus"]), REFUSED)
    parameters = stack_parameters(given, before)
    return change_stack(work, stack, parameters, before is None, dry_run=dry_run)


def target(work: StackWork, name: str) -> str:
    """The account, Region and stack in which the stack of a service is. Raises TroubleError where there is none."""
    stack = stack_of(work.controller.where.stack, name)
    before = standing(work, stack)
    if before is None:
        raise TroubleError(_no_stack(work, stack, name), REFUSED)
    return work.controller.target_of(before["StackId"])


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
    status = follow_stack(work, before["StackId"], since)
    if status != "DELETE_COMPLETE":
        raise TroubleError(
            f"{stack} was not deleted: {stack_failures(work, before['StackId'], since)}. Next: mend that, and again"
        )
    return stack


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
    work.name_target(work.controller.target_of(row["StackId"]))


def _require_free(work: StackWork, name: str, adopt: bool) -> list[Taken]:
    """What bears the service's names and is to be used. Refused where it is not, which CloudFormation would find out
    halfway, or where the controller could not reach it."""
    controller = work.controller.where.stack
    registered = [s.name for s in work.controller.services()[0]]
    if name in registered:
        raise TroubleError(
            f"{name} is a service of {controller} already, by another stack than {stack_of(controller, name)}. "
            f"Next: change it where it was deployed, or choose another name",
            REFUSED,
        )
    taken = names_taken(work.controller, name)
    if taken and not adopt:
        raise TroubleError(
            f"{name} cannot be made: there is {' and '.join(one.told for one in taken)} already. Next: esteira "
            f"add-service {name} --adopt uses what an earlier stack of this service left; or choose another name",
            REFUSED,
        )
    strange = untagged(work.controller, taken)
    if strange:
        arns = " ".join(one.arn for one in strange)
        raise TroubleError(
            f"{' and '.join(one.told for one in strange)} lacks the tag esteira={controller}, by which the "
            f"controller may use it. Next: if it is this service's, aws resourcegroupstaggingapi tag-resources "
            f"--tags esteira={controller} --resource-arn-list {arns}; then again",
            REFUSED,
        )
    return taken


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
            f"{name} was not deployed by esteira add-service: there is no stack {stack}. Next: delete the stack "
            f"that it was deployed by; what it consists of: aws ssm get-parameter --name /{controller}/services/{name}"
        )
    return f"there is no stack {stack}. Next: esteira status names the services there are"


def stack_of(controller: str, service: str) -> str:
    """The name of a service's stack."""
    return f"{controller}-{service}"
