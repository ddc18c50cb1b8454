"""Looks at one registered service: its code, its parts, its hosts, its last deployment and its pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from console.doctor.eyes import Eyes
from console.doctor.observed import (
    Code,
    Instance,
    LastDeployment,
    Observed,
    PolicyState,
    Silence,
    StackStatus,
    Tended,
    WebPage,
)
from esteira.aws import Aws
from esteira.config import Service
from esteira.errors import code_of
from esteira.targets.ec2 import batches

AGENT = "systemctl is-active codedeploy-agent"


ASK_SECONDS = 20


def look_at_service(eyes: Eyes, seen: Observed, service: Service) -> Tended:
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
        eyes.heard(lambda: _policy(eyes, service)),
        eyes.heard(lambda: _warnings(eyes, service)),
    )


def _there(eyes: Eyes, gone: str | tuple[str, ...], service: str, operation: str, **request: Any) -> bool | Silence:
    """Whether AWS has something: it says it is ``gone`` by one of these codes."""
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
    """The EC2 instances that bear a service's tags. Where no stack stands there are none to be expected."""
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
    """What systemd on the host says of the CodeDeploy agent, by Systems Manager. A host that does not answer
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
    ids = eyes.pages("codedeploy", "list_deployments", "deployments", **asked)  # in no order
    if not ids:
        return None
    told: list[Mapping[str, Any]] = []
    for some in batches(ids):
        told += eyes("codedeploy", "batch_get_deployments", deploymentIds=some)["deploymentsInfo"]
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


def _policy(eyes: Eyes, service: Service) -> PolicyState:
    from console.read.policies import differences, present
    from policy.document import seed

    said, rules = present(eyes.controller.store, service)
    if said is None:
        return PolicyState(0)
    differs = tuple(change.rule for change in differences(seed(service), rules))
    return PolicyState(said.version, differs, tuple(s.name for s in service.stages if s.name not in rules.stages))


def _warnings(eyes: Eyes, service: Service) -> tuple[str, ...]:
    from console.read import failing, stage_status

    store = eyes.controller.store
    stages = stage_status.status(store, [service], eyes.now())
    live = [stage.live for stage in stages if stage.live]
    told = (sentence for each in live for sentence in (each.differs, each.sick, *each.silent) if sentence)
    return (*failing.failing(store, service), *told)


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
    """The ranges that an instance's security groups let in on port 80."""
    ids = [group["GroupId"] for group in instance.get("SecurityGroups", [])]
    groups = eyes("ec2", "describe_security_groups", GroupIds=ids)["SecurityGroups"] if ids else []
    rules: Iterable[Mapping[str, Any]] = (rule for group in groups for rule in group["IpPermissions"])
    open_ = [rule for rule in rules if rule.get("FromPort", 0) <= 80 <= rule.get("ToPort", 65535)]
    return tuple(row["CidrIp"] for rule in open_ for row in rule.get("IpRanges", []))
