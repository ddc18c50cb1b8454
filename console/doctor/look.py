"""Looks at this machine, the account and the stack for `esteira doctor`.

It only reads, but for ``ask_hosts``, which lets Systems Manager run one command on each host.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from console.doctor.account_checks import QUOTAS
from console.doctor.eyes import Eyes, answer_date
from console.doctor.leftovers import names_taken
from console.doctor.look_stack import look_at_stack
from console.doctor.observed import Here, Identity, Observed, Silence, StackStatus, Use
from console.local.paths import TEMPLATE
from esteira.errors import code_of

SAM = TEMPLATE.parent / ".venv-sam" / "bin" / "sam"


# What template.yaml and service.yaml are made of, by boto3's names.
NEEDED = (
    "codebuild",
    "codecommit",
    "codedeploy",
    "dynamodb",
    "ec2",
    "ecr",
    "events",
    "lambda",
    "s3",
    "sns",
    "sqs",
    "ssm",
)


def examine(eyes: Eyes) -> Observed:
    """All that can be seen. Without credentials that AWS knows, nothing more is asked of it."""
    where = eyes.controller.where
    here = _here(eyes)
    answer = eyes.heard(lambda: eyes("sts", "get_caller_identity"))
    skew = _skew(answer, eyes.now())
    if isinstance(answer, Silence):
        return Observed(where.named, where.stack, here, answer, skew)
    seen = Observed(where.named, where.stack, here, Identity(answer["Account"], answer["Arn"]), skew)
    seen = replace(
        seen,
        repositories=eyes.heard(lambda: len(eyes.pages("codecommit", "list_repositories", "repositories"))),
        concurrency=eyes.heard(lambda: _concurrency(eyes)),
        vcpus=eyes.heard(lambda: _vcpus(eyes)),
        builds=eyes.heard(lambda: {name: _quota(eyes, name) for name in ("arm64", "x86_64")}),
        default_vpc=eyes.heard(lambda: _default_vpc(eyes)),
        stack_status=_standing(eyes),
    )
    if seen.stack_status is None and not where.endpoint:
        taken = eyes.heard(lambda: _taken(eyes))
        return replace(seen, taken=taken, services=Silence(f"there is no stack {where.stack} yet"))
    return look_at_stack(eyes, seen)


def _here(eyes: Eyes) -> Here:
    region = eyes.heard(lambda: str(eyes.controller.client("codecommit").meta.region_name))
    lacking = () if isinstance(region, Silence) or eyes.controller.where.endpoint else _lacking(region)
    pushes_by = f"git alone, at {eyes.controller.where.named}" if eyes.controller.where.endpoint else _pushes_by()
    if eyes.controller.where.local:
        return Here(region, lacking, pushes_by, Silence("the local stack needs none"))
    return Here(region, lacking, pushes_by, SAM.exists() or shutil.which("sam") is not None)


def _lacking(region: str) -> tuple[str, ...]:
    import boto3

    session: Any = boto3.Session()
    partition = session.get_partition_for_region(region)
    return tuple(name for name in NEEDED if region not in session.get_available_regions(name, partition))


def _pushes_by() -> str:
    """What lets git push to CodeCommit with AWS's credentials, "" for nothing."""
    if shutil.which("git-remote-codecommit"):
        return "git-remote-codecommit"
    git = shutil.which("git")
    if git is None:
        return ""
    asked = [git, "config", "--get-regexp", r"^credential\..*helper$"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603 - git, by its path
    return "the credential helper of the AWS CLI" if "codecommit credential-helper" in told else ""


def _skew(answer: Any, now: datetime) -> timedelta | Silence:
    """How far this machine's clock is ahead of AWS's, by the date of an answer: also a refusal bears one."""
    date = answer.date if isinstance(answer, Silence) else answer_date(answer)
    return now - parsedate_to_datetime(date) if date else Silence("AWS told no time")


def _concurrency(eyes: Eyes) -> Use:
    limit = eyes("lambda", "get_account_settings")["AccountLimit"]
    return Use(float(limit["UnreservedConcurrentExecutions"]))


def _vcpus(eyes: Eyes) -> Use:
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    reservations = eyes.pages("ec2", "describe_instances", "Reservations", Filters=running)
    counted = (i for r in reservations for i in r["Instances"] if is_standard(i["InstanceType"]))
    used = sum(i["CpuOptions"]["CoreCount"] * i["CpuOptions"]["ThreadsPerCore"] for i in counted if "CpuOptions" in i)
    return Use(_quota(eyes, "vcpus"), used)


def is_standard(instance_type: str) -> bool:
    """Whether an instance counts towards the quota of standard ones: A, C, D, H, I, M, R, T and Z."""
    family = re.match(r"[a-z]+", instance_type)
    return family is not None and family[0] in {"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}


def _quota(eyes: Eyes, name: str) -> float:
    """What the account may use, or, where nothing was ever raised for it, what AWS gives everybody."""
    service, code = QUOTAS[name]
    asked = {"ServiceCode": service, "QuotaCode": code}
    try:
        told = eyes("service-quotas", "get_service_quota", **asked)
    except Exception as error:
        if code_of(error) != "NoSuchResourceException":
            raise
        told = eyes("service-quotas", "get_aws_default_service_quota", **asked)
    return float(told["Quota"]["Value"])


def _default_vpc(eyes: Eyes) -> bool:
    asked = [{"Name": "is-default", "Values": ["true"]}]
    return bool(eyes("ec2", "describe_vpcs", Filters=asked)["Vpcs"])


def _taken(eyes: Eyes) -> tuple[str, tuple[str, ...]]:
    """The first service that would be deployed, and what bears its name already."""
    from console.local.template import SERVICE

    name = eyes.wanted or SERVICE
    return name, tuple(taken.told for taken in names_taken(eyes.controller, name))


def _standing(eyes: Eyes) -> StackStatus | Silence | None:
    stack = eyes.controller.where.stack
    told = eyes.heard(lambda: eyes("cloudformation", "describe_stacks", StackName=stack)["Stacks"][0])
    if isinstance(told, Silence):
        return None if told.code == "ValidationError" else told
    return StackStatus(told["StackStatus"], told.get("StackStatusReason", ""))
