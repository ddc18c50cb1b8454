"""What `esteira doctor` finds on this machine and in the account. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from console.doctor.finding import Finding, attend, many, ok, skip, unsaid
from console.doctor.observed import Here, Observed, Silence, StackStatus, Use

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


def check_machine(seen: Observed) -> Iterator[Finding]:
    yield _identity(seen)
    yield _region(seen.here)
    yield _clock(seen.skew)
    yield _pushing(seen)
    if isinstance(seen.here.sam, Silence):
        yield skip("SAM CLI", seen.here.sam.why)
    elif seen.here.sam:
        yield ok("SAM CLI", "there")
    else:
        yield attend(
            "SAM CLI", "not here; the stack is built and deployed with it. Next: make sam, in esteira's folder"
        )


def check_account(seen: Observed) -> Iterator[Finding]:
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
