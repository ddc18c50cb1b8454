"""What `esteira doctor` finds in the controller's stack. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from console.doctor.finding import Finding, attend, many, ok, skip, unsaid
from console.doctor.observed import Alarm, Hearers, Letters, Observed, Silence, StackFunction, StackStatus
from console.doctor.service_checks import judge_service


def check_stack(seen: Observed) -> Iterator[Finding]:
    yield _standing(seen)
    if seen.taken is not None:
        yield _names(seen.taken)
    if seen.stack_status is None and isinstance(seen.services, Silence):
        return  # nothing is deployed: there is nothing more to look at
    yield from _functions(seen.functions)
    yield from _rules(seen)
    yield _letters(seen.letters)
    yield from _alarms(seen.alarms)
    yield _hearers(seen)
    yield _table(seen.table)
    for fault in seen.faults:
        yield attend("registration", f"{fault}. Next: correct the parameter, or deploy its stack again")
    if isinstance(seen.services, Silence):
        yield unsaid("services", seen.services)
        return
    if not seen.services and not seen.faults:
        yield attend("services", f"none is registered. Next: esteira add-service NAME --stack {seen.stack}")
    for service in seen.services:
        yield from judge_service(service, seen.stack)


def _standing(seen: Observed) -> Finding:
    match seen.stack_status:
        case None if isinstance(seen.services, Silence):
            return skip("stack", f"no stack {seen.stack} yet. Next: make build, then .venv-sam/bin/sam deploy --guided")
        case None:
            return skip(
                "stack",
                f"{seen.named} has no CloudFormation stack {seen.stack}; what stands without one follows",
            )
        case Silence() as silence:
            return unsaid("stack", silence)
        case StackStatus(status=status, reason=reason):
            if (
                status.endswith("_COMPLETE")
                and not status.startswith(("ROLLBACK", "DELETE"))
                and "UPDATE_ROLLBACK" not in status
            ):
                return ok("stack", f"{seen.stack} is {status}")
            if status.endswith("_IN_PROGRESS"):
                return attend("stack", f"{seen.stack} is {status}. Next: ask again when it is over")
            why = f": {reason}" if reason else ""
            if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
                return attend("stack", _never_made(seen.stack, status + why))
            look = f"aws cloudformation describe-stack-events --stack-name {seen.stack}"
            return attend(
                "stack",
                f"{seen.stack} is {status}{why}. Next: {look} tells the first failure; mend it, sam deploy again",
            )


def _never_made(stack: str, told: str) -> str:
    """A stack whose creation failed: CloudFormation updates none of these, though `sam deploy` tries to."""
    return (
        f"{stack} is {told}: its creation failed, nothing of it works, and no deployment can change it. Next: "
        f"aws cloudformation delete-stack --stack-name {stack}, and when that is over: sam deploy --stack-name {stack}"
    )


def _names(taken: tuple[str, Sequence[str]] | Silence) -> Finding:
    if isinstance(taken, Silence):
        return unsaid("names", taken)
    service, there = taken
    if not there:
        return ok("names", f"nothing is called {service} yet")
    return attend(
        "names",
        f"there is {' and '.join(there)} already, at which a service {service} would stop. Next: deploy the "
        f"controller, then esteira add-service {service} --adopt; or remove them, or name the service otherwise",
    )


def _functions(functions: Sequence[StackFunction] | Silence) -> Iterator[Finding]:
    if isinstance(functions, Silence):
        yield unsaid("functions", functions)
        return
    if not functions:
        yield attend("functions", "the stack has none. Next: sam deploy")
        return
    bad = [f for f in functions if f.state != "Active"]
    for function in bad:
        why = f": {function.reason}" if function.reason else ""
        yield attend("functions", f"{function.name} is {function.state}{why}. Next: sam deploy")
    if not bad:
        yield ok("functions", f"{', '.join(f.name for f in functions)} are active")


def _rules(seen: Observed) -> Iterator[Finding]:
    if isinstance(seen.rules, Silence):
        yield unsaid("rules", seen.rules)
        return
    known = {f.name for f in seen.functions} if not isinstance(seen.functions, Silence) else set()
    bad = 0
    for rule in seen.rules:
        what = "sweep's clock" if rule.schedule else "rules"
        strangers = [target for target in rule.targets if known and target not in known]
        if rule.gone:
            bad += 1
            yield attend(what, f"{rule.name} is gone. Next: delete the stack and deploy it anew; the table stays")
        elif not rule.enabled:
            bad += 1
            yield attend(what, f"{rule.name} is disabled. Next: aws events enable-rule --name {rule.name}")
        elif not rule.targets or strangers:
            bad += 1
            whom = f"wakes {strangers[0]}, which is no function of the stack" if strangers else "wakes nothing"
            yield attend(what, f"{rule.name} {whom}. Next: sam deploy --force-upload puts its target back")
    if not any(rule.schedule for rule in seen.rules):
        yield attend("sweep's clock", "no rule of the stack has a schedule, so nothing lost is found. Next: sam deploy")
    elif not bad:
        yield ok("rules", f"{len(seen.rules)} are enabled and wake their functions, the sweep's clock among them")


def _letters(letters: Letters | Silence) -> Finding:
    if isinstance(letters, Silence):
        return unsaid("dead letters", letters)
    if not letters.count:
        return ok("dead letters", "none")
    first = f"; of the first: {letters.first}" if letters.first else ""
    return attend(
        "dead letters",
        f"{many(letters.count, 'message', 'messages')} could not be handled{first}. Next: read it in {letters.where}; "
        f"the sweep has found by itself what it told, so then it may go",
    )


def _alarms(alarms: Sequence[Alarm] | Silence) -> Iterator[Finding]:
    if isinstance(alarms, Silence):
        yield unsaid("alarms", alarms)
        return
    rings = [alarm for alarm in alarms if alarm.state == "ALARM"]
    gone = [alarm for alarm in alarms if alarm.state == "gone"]
    for alarm in rings:
        yield attend("alarms", f"{alarm.name} rings: {alarm.says or 'it says not why'}")
    for alarm in gone:
        yield attend("alarms", f"{alarm.name} is gone. Next: put it back as it is in template.yaml, or deploy anew")
    if not rings and not gone:
        mute = sum(alarm.state == "INSUFFICIENT_DATA" for alarm in alarms)
        more = f", {mute} with no data yet" if mute else ""
        yield ok("alarms", f"none of {len(alarms)} rings{more}")


def _hearers(seen: Observed) -> Finding:
    match seen.hearers:
        case Silence() as silence:
            return unsaid("who hears alarms", silence)
        case Hearers(confirmed=0, pending=0):
            return attend(
                "who hears alarms",
                "nobody. Next: sam deploy --parameter-overrides AlarmEmail=YOU@EXAMPLE.COM",
            )
        case Hearers(confirmed=0, pending=pending):
            return attend(
                "who hears alarms",
                f"nobody yet: {pending} did not confirm. Next: follow the link in AWS's mail",
            )
        case Hearers(confirmed=confirmed):
            return ok("who hears alarms", many(confirmed, "subscriber", "subscribers"))


def _table(table: str | Silence) -> Finding:
    if isinstance(table, Silence):
        if table.code == "ResourceNotFoundException":
            return attend(
                "table",
                "the facts' table is gone. Next: restore its backup under the same name, or sam deploy anew",
            )
        return unsaid("table", table)
    if table != "ACTIVE":
        return attend("table", f"it is {table}. Next: ask again in a minute")
    return ok("table", "it is ACTIVE")
