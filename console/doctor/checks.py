"""What `esteira doctor` makes of what was seen: each thing is ok, is to be attended to, or could not be asked. Pure.

``examination.py`` looks, this file judges. What nobody could see is neither praised nor blamed: its line says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from console.doctor.finding import Finding, attend, many, ok, skip, unsaid
from console.doctor.observed import Alarm, Hearers, Here, Letters, Observed, Silence, StackFunction, StackStatus, Use
from console.doctor.service_checks import judge_service

# AWS refuses a signature that is older or newer than this; a warning comes while there is time to act on it.
SIGNATURE_GOOD = timedelta(minutes=5)
SKEW_NOTICED = timedelta(minutes=1)
# Four functions, and one more event while all of them run.
CONCURRENCY_NEEDED = 5
HOST_VCPUS = 2  # t4g.small and t3.small
# Codes of Service Quotas, as its own lists name them.
QUOTAS = {
    "concurrency": ("lambda", "L-B99A9384"),  # Concurrent executions
    "vcpus": ("ec2", "L-1216C47A"),  # Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPU
    "arm64": ("codebuild", "L-5ED1D25B"),  # Concurrently running builds for ARM/Small environment
    "x86_64": ("codebuild", "L-9D07B6EF"),  # Concurrently running builds for Linux/Small environment
}


def judge(seen: Observed) -> tuple[Finding, ...]:
    """Return a line for each thing that was looked at: first the account and this machine, then the stack in it."""
    if isinstance(seen.identity, Silence):
        return (*_here(seen), skip("account and stack", "not asked, since AWS does not know who asks"))
    return (*_here(seen), *_account(seen), *_stack(seen))


# --- the account and this machine -----------------------------------------------------------------------------------


def _here(seen: Observed) -> Iterator[Finding]:
    yield _identity(seen)
    yield _region(seen.here)
    yield _clock(seen.skew)
    yield _pushing(seen)
    if seen.here.sam:
        yield ok("SAM CLI", "there")
    else:
        yield attend("SAM CLI", "not here; the stack is built and deployed with it. Next: make sam")


def _account(seen: Observed) -> Iterator[Finding]:
    yield _codecommit(seen.repositories)
    yield _concurrency(seen.concurrency)
    yield _vcpus(seen)
    yield _builds(seen.builds)
    yield _network(seen)


def _identity(seen: Observed) -> Finding:
    who = seen.identity
    if isinstance(who, Silence):
        return attend("credentials", who.why)
    return ok("credentials", f"{who.arn} in account {who.account}, at {seen.named}")


def _region(here: Here) -> Finding:
    if isinstance(here.region, Silence):
        return attend("Region", here.region.why)
    if here.lacking:
        return attend(
            "Region",
            f"boto3 knows of no {' and no '.join(here.lacking)} in {here.region}. Next: choose another Region "
            f"(AWS_REGION), or update boto3 if this one is newer than it",
        )
    return ok("Region", here.region)


def _clock(skew: timedelta | Silence) -> Finding:
    if isinstance(skew, Silence):
        return skip("clock", skew.why)
    if abs(skew) < SKEW_NOTICED:
        return ok("clock", "within a minute of AWS's")
    which = "ahead of" if skew > timedelta() else "behind"
    off = f"this machine's clock is {abs(skew).total_seconds() / 60:.0f} min {which} AWS's"
    limit = f"AWS refuses signatures that are {SIGNATURE_GOOD.total_seconds() / 60:.0f} min off"
    return attend("clock", f"{off}; {limit}. Next: set the clock, by timedatectl set-ntp true for instance")


def _pushing(seen: Observed) -> Finding:
    if seen.here.pushes_by:
        return ok("git push", f"by {seen.here.pushes_by}")
    return attend(
        "git push",
        "git knows no way to CodeCommit with AWS's credentials. Next: pip install git-remote-codecommit, "
        "then git clone codecommit::REGION://NAME",
    )


def _codecommit(repositories: int | Silence) -> Finding:
    match repositories:
        case Silence(code="OperationNotAllowedException"):
            return attend(
                "CodeCommit",
                f"this account may not use it: {repositories.why}. Next: ask AWS Support to open CodeCommit to you; "
                f"images may still be pushed to ECR from elsewhere",
            )
        case Silence():
            return unsaid("CodeCommit", repositories)
        case 0:
            return ok(
                "CodeCommit",
                "answers, and has no repository yet. An account of an organization that never had one was refused its "
                "first (OperationNotAllowedException) until November 2025; the stack would tell",
            )
        case count:
            return ok("CodeCommit", f"answers; it has {many(count, 'repository', 'repositories')}, so it may have more")


def _concurrency(use: Use | Silence) -> Finding:
    if isinstance(use, Silence):
        return unsaid("Lambda's concurrency", use)
    says = f"{use.allowed:.0f} at once that no function has reserved for itself"
    if use.allowed < CONCURRENCY_NEEDED:
        return attend(
            "Lambda's concurrency",
            f"{says}; the four functions want {CONCURRENCY_NEEDED}. {_raise('concurrency', 100)}",
        )
    return ok("Lambda's concurrency", says)


def _vcpus(seen: Observed) -> Finding:
    use = seen.vcpus
    if isinstance(use, Silence):
        return unsaid("EC2's vCPUs", use)
    left = use.allowed - use.used
    says = f"{left:.0f} of {use.allowed:.0f} left for standard instances"
    if left >= HOST_VCPUS:
        return ok("EC2's vCPUs", says)
    if isinstance(seen.stack_status, StackStatus):
        return skip(
            "EC2's vCPUs",
            f"{says}: not enough for another host, and none is asked for now. {_raise('vcpus', use.allowed + 8)}",
        )
    return attend("EC2's vCPUs", f"{says}; a host wants {HOST_VCPUS}. {_raise('vcpus', use.allowed + 8)}")


def _builds(builds: Mapping[str, float] | Silence) -> Finding:
    if isinstance(builds, Silence):
        return unsaid("CodeBuild's builds", builds)
    says = ", ".join(f"{count:.0f} at once on {processor}" for processor, count in builds.items())
    if builds.get("arm64", 0) >= 1:
        return ok("CodeBuild's builds", says)
    other = " Or deploy with ServiceArchitecture=x86_64" if builds.get("x86_64", 0) >= 1 else ""
    return attend(
        "CodeBuild's builds",
        f"{says}: a build for arm64, the default, would never start. {_raise('arm64', 2)}.{other}".rstrip("."),
    )


def _network(seen: Observed) -> Finding:
    match seen.default_vpc:
        case Silence() as silence:
            return unsaid("default VPC", silence)
        case True:
            return ok("default VPC", "there")
        case _ if isinstance(seen.stack_status, StackStatus):
            return skip("default VPC", "there is none; a further service needs --vpc-id and --subnet-id")
        case _:
            return attend(
                "default VPC",
                "there is none. Next: deploy with VpcId and SubnetId, or aws ec2 create-default-vpc",
            )


def _raise(quota: str, to: float) -> str:
    service, code = QUOTAS[quota]
    return (
        f"Next: aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} "
        f"--desired-value {to:.0f}"
    )


# --- the stack ------------------------------------------------------------------------------------------------------


def _stack(seen: Observed) -> Iterator[Finding]:
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
            look = f"aws cloudformation describe-stack-events --stack-name {seen.stack}"
            return attend(
                "stack",
                f"{seen.stack} is {status}{why}. Next: {look} tells the first failure; mend it, sam deploy again",
            )


def _names(taken: tuple[str, Sequence[str]] | Silence) -> Finding:
    if isinstance(taken, Silence):
        return unsaid("names", taken)
    service, there = taken
    if not there:
        return ok("names", f"nothing is called {service} yet")
    return attend(
        "names",
        f"there is {' and '.join(there)} already, at which a stack with the service {service} would stop. Next: "
        f"deploy the controller alone (ServiceName=), then esteira add-service {service} --adopt; or remove them",
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
