"""Looks at this machine, the account and the stack for `esteira doctor`. It only reads, but for ``ask_hosts``, which
lets Systems Manager run one command on each host.

Whatever AWS refuses or an emulator does not play becomes a ``Silence`` with a sentence; nothing here raises for it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from console.doctor.checks import QUOTAS
from console.doctor.dead_letters import unread
from console.doctor.leftovers import names_taken
from console.doctor.observed import (
    Alarm,
    Code,
    Hearers,
    Here,
    Identity,
    Instance,
    LastDeployment,
    Letters,
    Observed,
    Silence,
    StackFunction,
    StackRule,
    StackStatus,
    Tended,
    Use,
    WebPage,
)
from console.read.remote import REFUSED, Controller, TroubleError, Where
from console.read.trouble import code_of, explained
from esteira.aws import Aws
from esteira.config import Service

T = TypeVar("T")
TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
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
AGENT = "systemctl is-active codedeploy-agent"
PAGE_SECONDS = 5.0
ASK_SECONDS = 20
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized")
NOT_PLAYED = ("NotImplemented", "NotImplementedException", "InternalFailure", "UnknownOperationException", "501", "404")


def fetched(url: str) -> int:
    """Return the status a page answers with, 0 where it does not."""
    try:
        with urllib.request.urlopen(url, timeout=PAGE_SECONDS) as answer:  # noqa: S310 - http, to a host of the stack
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0


@dataclass(frozen=True)
class Eyes:
    """What an examination looks with: the controller, the clock (aware, UTC), and what asks for a page (its status, 0
    where it does not answer)."""

    controller: Controller
    now: Callable[[], datetime]
    fetch: Callable[[str], int] = fetched
    sleep: Callable[[float], None] = time.sleep
    ask_hosts: bool = False
    wanted: str | None = None  # the one service to look at; None: all

    def __call__(self, service: str, operation: str, **request: Any) -> Any:
        """Ask AWS; ``operation`` is boto3's name of it."""
        return getattr(self.controller.client(service), operation)(**request)

    def pages(self, service: str, operation: str, key: str, **request: Any) -> list[Any]:
        """Ask AWS for all pages of a list, and return what stands under ``key``."""
        found = self.controller.client(service).get_paginator(operation).paginate(**request)
        return [row for page in found for row in page.get(key, [])]

    def heard(self, look: Callable[[], T]) -> T | Silence:
        """Return what ``look`` saw, or why AWS did not say."""
        try:
            return look()
        except Exception as error:
            sentence = explained(error, self.controller.where)
            if sentence is None:
                raise
            return _silence(error, sentence, self.controller.where)

    def unless_gone(self, service: str, operation: str, **request: Any) -> Any | None:
        """Ask AWS for one thing; None where it says that there is none."""
        try:
            return self(service, operation, **request)
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None

    @cached_property
    def resources(self) -> Mapping[str, Sequence[str]] | Silence:
        """The physical ids in the controller's stack, by type."""
        stack = self.controller.where.stack
        rows = self.heard(
            lambda: self.pages("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack)
        )
        if isinstance(rows, Silence):
            return Silence("there is no stack to read it from") if rows.code == "ValidationError" else rows
        kinds = {row["ResourceType"] for row in rows}
        return {
            k: [
                r["PhysicalResourceId"]
                for r in rows
                if r["ResourceType"] == k and r.get("PhysicalResourceId", "").strip()
            ]
            for k in kinds
        }

    def each(self, kind: str, look: Callable[[str], T]) -> tuple[T, ...] | Silence:
        """Look at each resource of a type in the stack."""
        resources = self.resources
        if isinstance(resources, Silence):
            return resources
        return self.heard(lambda: tuple(look(id_) for id_ in resources.get(kind, ())))


def examine(eyes: Eyes) -> Observed:
    """Return all that can be seen. Without credentials that AWS knows, nothing more is asked of it."""
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
    return _stack(eyes, seen)


# --- this machine and the account -----------------------------------------------------------------------------------


def _here(eyes: Eyes) -> Here:
    region = eyes.heard(lambda: str(eyes.controller.client("codecommit").meta.region_name))
    lacking = () if isinstance(region, Silence) or eyes.controller.where.endpoint else _lacking(region)
    local = f"git alone, at {eyes.controller.where.named}" if eyes.controller.where.endpoint else ""
    return Here(region, lacking, local or _pushes_by(), SAM.exists() or shutil.which("sam") is not None)


def _lacking(region: str) -> tuple[str, ...]:
    import boto3

    session: Any = boto3.Session()
    partition = session.get_partition_for_region(region)
    return tuple(name for name in NEEDED if region not in session.get_available_regions(name, partition))


def _pushes_by() -> str:
    """Return what lets git push to CodeCommit with AWS's credentials, "" for nothing."""
    if shutil.which("git-remote-codecommit"):
        return "git-remote-codecommit"
    git = shutil.which("git")
    if git is None:
        return ""
    asked = [git, "config", "--get-regexp", r"^credential\..*helper$"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603 - git, by its path
    return "the credential helper of the AWS CLI" if "codecommit credential-helper" in told else ""


def _skew(answer: Any, now: datetime) -> timedelta | Silence:
    """Return how far this machine's clock is ahead of AWS's, by the date of an answer: also a refusal bears one."""
    date = answer.date if isinstance(answer, Silence) else _date(answer)
    return now - parsedate_to_datetime(date) if date else Silence("AWS told no time")


def _date(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))


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
    """Return whether an instance counts towards the quota of standard ones: A, C, D, H, I, M, R, T and Z."""
    family = re.match(r"[a-z]+", instance_type)
    return family is not None and family[0] in {"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}


def _quota(eyes: Eyes, name: str) -> float:
    """Return what the account may use, or, where nothing was ever raised for it, what AWS gives everybody."""
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
    """Return the first service that would be deployed, and what bears its name already."""
    from console.local.template import read

    name = eyes.wanted or str(read(TEMPLATE).document["Parameters"]["ServiceName"]["Default"])
    return name, tuple(names_taken(eyes.controller, name))


def _standing(eyes: Eyes) -> StackStatus | Silence | None:
    stack = eyes.controller.where.stack
    told = eyes.heard(lambda: eyes("cloudformation", "describe_stacks", StackName=stack)["Stacks"][0])
    if isinstance(told, Silence):
        return None if told.code == "ValidationError" else told
    return StackStatus(told["StackStatus"], told.get("StackStatusReason", ""))


# --- the stack ------------------------------------------------------------------------------------------------------


def _stack(eyes: Eyes, seen: Observed) -> Observed:
    told = eyes.heard(eyes.controller.services)
    services, faults = ((), ()) if isinstance(told, Silence) else told
    chosen = [s for s in services if eyes.wanted in (None, s.name)]
    if eyes.wanted and not chosen and not isinstance(told, Silence):
        known = ", ".join(s.name for s in services) or "there is none"
        raise TroubleError(f"no service is called {eyes.wanted!r}. Next: --service with one of: {known}", REFUSED)
    return replace(
        seen,
        functions=eyes.each("AWS::Lambda::Function", lambda name: _function(eyes, name)),
        rules=eyes.each("AWS::Events::Rule", lambda name: _rule(eyes, name)),
        letters=_letters(eyes),
        alarms=_alarms(eyes),
        hearers=_hearers(eyes),
        table=eyes.heard(lambda: _table(eyes)),
        services=told if isinstance(told, Silence) else [_tended(eyes, seen, service) for service in chosen],
        faults=faults,
    )


def _function(eyes: Eyes, name: str) -> StackFunction:
    told = eyes.unless_gone("lambda", "get_function_configuration", FunctionName=name)
    if told is None:
        return StackFunction(name, "gone", "somebody deleted it")
    if told.get("LastUpdateStatus") == "Failed":
        return StackFunction(name, "not updated", told.get("LastUpdateStatusReason", ""))
    return StackFunction(name, told.get("State", "Active"), told.get("StateReason", ""))


def _rule(eyes: Eyes, name: str) -> StackRule:
    told = eyes.unless_gone("events", "describe_rule", Name=name)
    if told is None:
        return StackRule(name, False, (), gone=True)
    targets = eyes.pages("events", "list_targets_by_rule", "Targets", StackRule=name)
    names = tuple(target["Arn"].rpartition(":")[2] for target in targets)
    return StackRule(name, told["State"] != "DISABLED", names, told.get("ScheduleExpression", ""))


def _letters(eyes: Eyes) -> Letters | Silence:
    if eyes.controller.where.letters is not None:
        return _local_letters(eyes.controller.where.letters)
    found = eyes.each("AWS::SQS::Queue", lambda url: _queue(eyes, url))
    if isinstance(found, Silence):
        return found
    return found[0] if found else Silence("the stack has no queue")


def _local_letters(path: Path) -> Letters:
    lines = path.read_text().splitlines() if path.exists() else []
    return Letters(len(lines), unread(json.loads(lines[0])) if lines else "", str(path))


def _queue(eyes: Eyes, url: str) -> Letters:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = eyes("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=names)["Attributes"]
    count = sum(int(told.get(name, 0)) for name in names)
    if not count:
        return Letters(0)
    asked = {"MaxNumberOfMessages": 1, "VisibilityTimeout": 0, "MessageAttributeNames": ["All"]}
    lying = eyes.heard(lambda: eyes("sqs", "receive_message", QueueUrl=url, **asked).get("Messages", []))
    if isinstance(lying, Silence):
        return Letters(count, lying.why, url)
    return Letters(count, unread(lying[0]) if lying else "", url)


def _alarms(eyes: Eyes) -> Sequence[Alarm] | Silence:
    resources = eyes.resources
    names = [] if isinstance(resources, Silence) else list(resources.get("AWS::CloudWatch::Alarm", ()))
    if isinstance(resources, Silence) or not names:
        return resources if isinstance(resources, Silence) else Silence("the stack has none")
    told = eyes.heard(lambda: eyes.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNames=names))
    if isinstance(told, Silence):
        return told
    found = [Alarm(a["AlarmName"], a["StateValue"], a.get("AlarmDescription", "")) for a in told]
    return [*found, *(Alarm(name, "gone") for name in names if name not in {alarm.name for alarm in found})]


def _hearers(eyes: Eyes) -> Hearers | Silence:
    resources = eyes.resources
    topics = () if isinstance(resources, Silence) else resources.get("AWS::SNS::Topic", ())
    topic = next((arn for arn in topics if arn.endswith("-alarms")), None)
    if topic is None:
        return resources if isinstance(resources, Silence) else Silence("the stack has no topic for them")
    rows = eyes.heard(lambda: eyes.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic))
    if isinstance(rows, Silence):
        return rows
    pending = sum(row["SubscriptionArn"] == "PendingConfirmation" for row in rows)
    return Hearers(len(rows) - pending, pending)


def _table(eyes: Eyes) -> str:
    resources = eyes.resources
    tables = () if isinstance(resources, Silence) else resources.get("AWS::DynamoDB::Table", ())
    name = tables[0] if tables else eyes.controller.table
    return str(eyes("dynamodb", "describe_table", TableName=name)["Table"]["TableStatus"])


# --- one service ----------------------------------------------------------------------------------------------------


def _tended(eyes: Eyes, seen: Observed, service: Service) -> Tended:
    where = eyes.controller.where
    parts = {
        f"image repository {service.images}": _there(
            eyes, "RepositoryNotFoundException", "ecr", "describe_repositories", repositoryNames=[service.images]
        ),
        f"build project {service.project}": eyes.heard(
            lambda: bool(eyes("codebuild", "batch_get_projects", names=[service.project])["projects"])
        ),
        **{
            f"deployment group {stage.group}": _there(
                eyes,
                ("DeploymentGroupDoesNotExistException", "ApplicationDoesNotExistException"),
                "codedeploy",
                "get_deployment_group",
                applicationName=service.application,
                deploymentGroupName=stage.group,
            )
            for stage in service.stages
        },
        f"bucket {service.bundles}": _there(eyes, ("404", "NoSuchBucket"), "s3", "head_bucket", Bucket=service.bundles),
    }
    instances = _instances(eyes, seen, service)
    hosts = instances if isinstance(instances, Silence) else tuple(_host(eyes, row) for row in instances)
    region = seen.here.region
    remote = where.remotes.get(service.name) or f"codecommit::{region}://{service.repository}"
    return Tended(
        service.name,
        service.branch,
        _code(eyes, service),
        parts,
        hosts,
        eyes.heard(lambda: _last(eyes, service)),
        eyes.heard(lambda: _live(eyes, service)),
        _pages(eyes, service, instances),
        remote,
    )


def _there(eyes: Eyes, gone: str | tuple[str, ...], service: str, operation: str, **request: Any) -> bool | Silence:
    """Return whether AWS has something: it says it is ``gone`` by one of these codes."""
    told = eyes.heard(lambda: eyes(service, operation, **request))
    if isinstance(told, Silence):
        return False if told.code in ((gone,) if isinstance(gone, str) else gone) else told
    return True


def _code(eyes: Eyes, service: Service) -> Code | Silence | None:
    found = _there(
        eyes, "RepositoryDoesNotExistException", "codecommit", "get_repository", repositoryName=service.repository
    )
    if found is not True:
        return found or None
    watched = eyes.heard(lambda: Aws(eyes.controller.client).tip(service) is not None)
    if watched is True or isinstance(watched, Silence):
        return watched if isinstance(watched, Silence) else Code(1, watched)
    asked = {"repositoryName": service.repository}
    branches = eyes.heard(lambda: len(eyes.pages("codecommit", "list_branches", "branches", **asked)))
    return branches if isinstance(branches, Silence) else Code(branches, False)


def _instances(eyes: Eyes, seen: Observed, service: Service) -> list[Mapping[str, Any]] | Silence:
    """Return the EC2 instances that bear a service's tags. Where no stack stands there are none to be expected."""
    stack = eyes.controller.where.stack
    if not isinstance(seen.stack_status, StackStatus):
        return Silence(f"they are not EC2's at {seen.named}")
    wanted = [
        {"Name": "tag:esteira", "Values": [stack]},
        {"Name": "tag:esteira-service", "Values": [service.name]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    reservations = eyes.heard(lambda: eyes.pages("ec2", "describe_instances", "Reservations", Filters=wanted))
    return reservations if isinstance(reservations, Silence) else [i for r in reservations for i in r["Instances"]]


def _host(eyes: Eyes, instance: Mapping[str, Any]) -> Instance:
    id_, state = str(instance["InstanceId"]), str(instance["State"]["Name"])
    asked = [{"Key": "InstanceIds", "Values": [id_]}]
    rows = eyes.heard(lambda: eyes("ssm", "describe_instance_information", Filters=asked)["InstanceInformationList"])
    ping = rows if isinstance(rows, Silence) else str(rows[0]["PingStatus"]) if rows else ""
    agent = eyes.heard(lambda: _agent(eyes, id_)) if eyes.ask_hosts and state == "running" else None
    return Instance(id_, state, ping, agent)


def _agent(eyes: Eyes, instance: str) -> str | Silence:
    """Return what systemd on the host says of the CodeDeploy agent, by Systems Manager. A host that does not answer
    says nothing of its agent: Run Command may be none of its role's rights."""
    asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": [AGENT]}, "TimeoutSeconds": 30}
    sent = eyes("ssm", "send_command", InstanceIds=[instance], Comment="esteira doctor", **asked)
    which = {"CommandId": sent["Command"]["CommandId"], "InstanceId": instance}
    for _ in range(ASK_SECONDS):
        eyes.sleep(1)  # it is heard of after a moment, and runs for less than one
        try:
            told = eyes("ssm", "get_command_invocation", **which)
        except Exception as error:
            if code_of(error) != "InvocationDoesNotExist":
                raise
            continue
        if told["Status"] not in ("Pending", "InProgress", "Delayed"):
            said = str(told.get("StandardOutputContent", "")).strip()
            return said or Silence(f"the host was asked, and the command is {told['Status']}")
    return Silence(f"the host was asked and did not answer in {ASK_SECONDS} s; its role may lack Run Command")


def _last(eyes: Eyes, service: Service) -> LastDeployment | None:
    asked = {"applicationName": service.application, "deploymentGroupName": service.last.group}
    ids = eyes("codedeploy", "list_deployments", **asked)["deployments"]
    if not ids:
        return None
    told = eyes("codedeploy", "batch_get_deployments", deploymentIds=ids[:100])["deploymentsInfo"]
    last = max(told, key=lambda row: row["createTime"])
    targets = Aws(eyes.controller.client).targets(last["deploymentId"])
    began = {
        str(target["targetId"]): any(
            e["status"] in ("Succeeded", "Failed", "InProgress") and "startTime" in e for e in events
        )
        for target in targets
        if target["status"] not in ("Skipped", "Pending")
        for events in [target.get("lifecycleEvents", [])]
    }
    return LastDeployment(last["deploymentId"], last["status"], began)


def _live(eyes: Eyes, service: Service) -> str:
    from console.read import stage_status

    stage = stage_status.status(eyes.controller.store, [service], eyes.now())[-1]
    return stage.live.release if stage.live is not None else ""


def _pages(eyes: Eyes, service: Service, instances: list[Mapping[str, Any]] | Silence) -> tuple[WebPage, ...] | Silence:
    where = eyes.controller.where
    if service.name in where.pages:
        url = where.pages[service.name].rstrip("/") + service.health_path
        return (WebPage(url, eyes.fetch(url)),)
    if isinstance(instances, Silence):
        return instances
    found: list[WebPage] = []
    for instance in instances:
        allowed = eyes.heard(lambda row=instance: _allowed(eyes, row))  # type: ignore[misc]
        if isinstance(allowed, Silence):
            return allowed
        name = instance.get("PublicDnsName")
        if allowed and name:
            url = f"http://{name}{service.health_path}"
            found.append(WebPage(url, eyes.fetch(url), allowed))
    if not found:
        return Silence("nobody is let in from outside, by AllowedCidr or for want of a public address")
    return tuple(found)


def _allowed(eyes: Eyes, instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ranges that an instance's security groups let in on port 80."""
    ids = [group["GroupId"] for group in instance.get("SecurityGroups", [])]
    groups = eyes("ec2", "describe_security_groups", GroupIds=ids)["SecurityGroups"] if ids else []
    rules: Iterable[Mapping[str, Any]] = (rule for group in groups for rule in group["IpPermissions"])
    open_ = [rule for rule in rules if rule.get("FromPort", 0) <= 80 <= rule.get("ToPort", 65535)]
    return tuple(row["CidrIp"] for rule in open_ for row in rule.get("IpRanges", []))


# --- what AWS did not say -------------------------------------------------------------------------------------------


def _silence(error: Exception, sentence: str, where: Where) -> Silence:
    """Return the words for what AWS did not say: a right that is wanted, an action an emulator lacks, or its own."""
    code, date = code_of(error), _date(getattr(error, "response", {}))
    operation = str(getattr(error, "operation_name", ""))
    text = str(getattr(error, "response", {}).get("Error", {}).get("Message", ""))
    if code in DENIED:
        right = re.search(r"perform:? ([\w-]+:\w+)", text)
        return Silence(f"you may not ask: that wants the right {right[1] if right else operation}", code, date)
    if where.endpoint and code in NOT_PLAYED and operation != "HeadBucket":
        return Silence(f"{where.named} does not play {operation}", code, date)
    return Silence(sentence, code, date)
