"""What the doctor makes of AWS's words that no emulator says: refusals, a host that is asked, a quota never raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoRegionError

from console.doctor.checks import judge
from console.doctor.eyes import Eyes
from console.doctor.look import examine, is_standard
from console.doctor.observed import Identity, Silence, Use
from console.read.remote import Controller
from console.read.where import Where

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
NOT_THERE = "NoSuchResourceException"


def refusal(operation: str, code: str, text: str = "", date: str = "") -> ClientError:
    metadata = {"HTTPHeaders": {"date": date}}
    return ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": metadata}, operation)  # type: ignore[typeddict-item]


class Service:
    """A service of AWS that answers as it is told: by operation, a value or an error, or one after the other."""

    class meta:  # noqa: N801 - boto3's name for it
        region_name = "us-east-1"

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)

    def get_paginator(self, operation: str) -> Any:
        service = self

        class Pages:
            def paginate(self, **asked: Any) -> list[Any]:
                return [getattr(service, operation)(**asked)]

        return Pages()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**asked: Any) -> Any:
            told = self.answers.get(operation, refusal(operation, "AccessDeniedException"))
            if isinstance(told, list):
                told = told.pop(0) if len(told) > 1 else told[0]
            if isinstance(told, Exception):
                raise told
            return told

        return call


def eyes(services: Mapping[str, Mapping[str, Any]], *, ask_hosts: bool = False) -> Eyes:
    made = {name: Service(answers) for name, answers in services.items()}
    controller = Controller(Where("esteira"), lambda name: made.setdefault(name, Service({})))
    return Eyes(controller, lambda: NOW, lambda url: 0, lambda seconds: None, ask_hosts)


KNOWN = {"get_caller_identity": {"Account": "1", "Arn": "arn:aws:iam::1:user/ana"}}


def test_a_refusal_for_a_wrong_clock_tells_the_clock() -> None:
    """AWS refuses a signature from the wrong time without saying by how much; the date of its refusal says it."""
    answer = refusal("GetCallerIdentity", "SignatureDoesNotMatch", "Signature expired", "Wed, 25 Nov 2026 09:51:00 GMT")
    seen = examine(eyes({"sts": {"get_caller_identity": answer}}))
    assert isinstance(seen.identity, Silence)
    assert seen.skew == timedelta(minutes=9)
    assert "9 min ahead of AWS's" in next(line.says for line in judge(seen) if line.check == "clock")


def test_a_right_that_is_missing_is_named_and_everything_else_goes_on() -> None:
    """Whoever may do next to nothing gets a line for each thing, each with the right it wants, and no traceback."""
    text = "User: arn:aws:iam::1:user/ana is not authorized to perform: codecommit:ListRepositories because no policy"
    denied = refusal("ListRepositories", "AccessDeniedException", text)
    seen = examine(eyes({"sts": KNOWN, "codecommit": {"list_repositories": denied}}))
    assert seen.identity == Identity("1", "arn:aws:iam::1:user/ana")
    lines = {line.check: line for line in judge(seen)}
    assert lines["CodeCommit"].verdict == "skip"
    assert lines["CodeCommit"].says == "you may not ask: that wants the right codecommit:ListRepositories"
    asked = ("Lambda's concurrency", "EC2's vCPUs", "CodeBuild's builds", "default VPC", "stack", "services")
    assert {lines[check].verdict for check in asked} == {"skip"}


def test_an_account_that_may_not_use_codecommit_is_told_so() -> None:
    """The answer that new customers got is no missing right: it is one thing to attend to."""
    text = "ListRepositories request is not allowed because there is no existing repository in this AWS account"
    closed = refusal("ListRepositories", "OperationNotAllowedException", text)
    seen = examine(eyes({"sts": KNOWN, "codecommit": {"list_repositories": closed}}))
    [line] = [line for line in judge(seen) if line.check == "CodeCommit"]
    assert line.verdict == "attend"
    assert text in line.says


def test_without_a_region_there_is_one_sentence_and_nothing_is_asked() -> None:
    """boto3 makes no client without a Region; who has none is told how to choose one."""

    def nowhere(name: str) -> Any:
        raise NoRegionError

    seen = examine(Eyes(Controller(Where("esteira"), nowhere), lambda: NOW))
    assert [line.check for line in judge(seen) if line.verdict == "attend"][:2] == ["credentials", "Region"]


def test_a_quota_that_was_never_raised_is_what_aws_gives_everybody() -> None:
    """Service Quotas knows a value of the account only once it was changed; what runs is counted by its kind."""
    running = [
        {"InstanceType": "t4g.small", "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1}},
        {"InstanceType": "m5.large", "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 2}},
        {"InstanceType": "p4d.24xlarge", "CpuOptions": {"CoreCount": 48, "ThreadsPerCore": 2}},
    ]
    quotas = {
        "get_service_quota": refusal("GetServiceQuota", NOT_THERE),
        "get_aws_default_service_quota": {"Quota": {"Value": 5.0}},
    }
    ec2 = {"describe_instances": {"Reservations": [{"Instances": running}]}}
    seen = examine(eyes({"sts": KNOWN, "service-quotas": quotas, "ec2": ec2}))
    assert seen.vcpus == Use(5.0, 4)
    assert seen.builds == {"arm64": 5.0, "x86_64": 5.0}


@pytest.mark.parametrize(
    ("kind", "counts"), [("t3.small", True), ("im4gn.large", True), ("inf1.xlarge", False), ("g5.xlarge", False)]
)
def test_which_instances_count_as_standard(kind: str, counts: bool) -> None:
    """Accelerated kinds have quotas of their own."""
    assert is_standard(kind) is counts


STANDING = {
    "cloudformation": {
        "describe_stacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]},
        "list_stack_resources": {
            "StackResourceSummaries": [
                {"ResourceType": "AWS::DynamoDB::Table", "PhysicalResourceId": "esteira-Table-X"},
            ]
        },
    },
}
REGISTRATION = (
    '{"name": "heart", "repository": "heart", "images": "heart", "image_uri": "x/heart", "project": "heart-build", '
    '"application": "heart", "stages": [{"name": "production", "group": "heart-production"}], "bundles": "bundles"}'
)
HOST = {"InstanceId": "i-1", "State": {"Name": "running"}, "InstanceType": "t4g.small"}


@pytest.mark.parametrize(
    ("answers", "verdict", "told"),
    [
        (
            [refusal("GetCommandInvocation", "InvocationDoesNotExist"), {"Status": "InProgress"}],
            "skip",
            "did not answer",
        ),
        ([{"Status": "Success", "StandardOutputContent": "active\n"}], "ok", "is active"),
        (
            [{"Status": "Failed", "StandardOutputContent": "inactive\n"}],
            "attend",
            "is inactive. Next: aws ssm start-session",
        ),
        ([refusal("GetCommandInvocation", "AccessDeniedException")], "skip", "wants the right GetCommandInvocation"),
    ],
)
def test_a_host_that_is_asked_says_whether_its_agent_lives(answers: list[Any], verdict: str, told: str) -> None:
    """--ask-hosts has systemd's own word: what is not there yet is asked again, a while and no longer."""
    ssm = {
        "get_parameters_by_path": {"Parameters": [{"Name": "/esteira/services/heart", "Value": REGISTRATION}]},
        "describe_instance_information": {"InstanceInformationList": [{"PingStatus": "Online"}]},
        "send_command": {"Command": {"CommandId": "c-1"}},
        "get_command_invocation": answers,
    }
    ec2 = {"describe_instances": {"Reservations": [{"Instances": [HOST]}]}}
    seen = examine(eyes({"sts": KNOWN, **STANDING, "ssm": ssm, "ec2": ec2}, ask_hosts=True))
    [line] = [line for line in judge(seen) if "CodeDeploy agent" in line.says]
    assert (line.verdict, told in line.says) == (verdict, True), line


def test_the_deployment_group_of_each_stage_is_looked_for() -> None:
    """A stage whose group is missing would stop every release before it; both are named."""
    stages = '{"name": "staging", "group": "heart-staging"}, {"name": "production", "group": "heart-production"}'
    registration = REGISTRATION.replace('{"name": "production", "group": "heart-production"}', stages)
    ssm = {"get_parameters_by_path": {"Parameters": [{"Name": "/esteira/services/heart", "Value": registration}]}}
    missing = refusal("GetDeploymentGroup", "DeploymentGroupDoesNotExistException")
    seen = examine(eyes({"sts": KNOWN, **STANDING, "ssm": ssm, "codedeploy": {"get_deployment_group": missing}}))
    assert not isinstance(seen.services, Silence)
    parts = seen.services[0].parts
    assert [parts[f"deployment group {name}"] for name in ("heart-staging", "heart-production")] == [False, False]


def test_a_page_is_asked_for_only_where_somebody_is_let_in() -> None:
    """Without a rule for port 80 there is no page to be reached; with one it is asked for by the host's public name."""
    asked: list[str] = []
    groups = {"SecurityGroups": [{"IpPermissions": []}]}
    host = {**HOST, "PublicDnsName": "ec2-1.example", "SecurityGroups": [{"GroupId": "sg-1"}]}
    ssm = {"get_parameters_by_path": {"Parameters": [{"Name": "/esteira/services/heart", "Value": REGISTRATION}]}}
    ec2 = {"describe_instances": {"Reservations": [{"Instances": [host]}]}, "describe_security_groups": groups}
    look = eyes({"sts": KNOWN, **STANDING, "ssm": ssm, "ec2": ec2})

    def fetch(url: str) -> int:
        asked.append(url)
        return 200

    look = Eyes(look.controller, look.now, fetch, look.sleep)
    examine(look)
    assert asked == []
    rule = {"FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
    groups["SecurityGroups"][0]["IpPermissions"].append(rule)
    seen = examine(look)
    assert asked == ["http://ec2-1.example"]
    assert not isinstance(seen.services, Silence)
    assert seen.services[0].pages[0].allowed == ("203.0.113.0/24",)  # type: ignore[index]
