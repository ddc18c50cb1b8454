"""What a deployed stack is held against: what the templates declare, by what each service answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from console.local.paths import TEMPLATE
from console.local.sam.deployed import LOOK_UPS, Found, absent, differences, found, is_there, retained
from console.local.template import Stack, read

RULE = {"EventPattern": {"source": ["esteira"]}, "State": "ENABLED", "Targets": ["esteira-announce"]}


class Events:
    """EventBridge with one rule, called ``there``."""

    def __init__(self, pattern: str = '{"source": ["esteira"]}', function: str = "esteira-announce") -> None:
        self._rule = {"EventPattern": pattern, "State": "ENABLED"}
        self._target = {"Arn": f"arn:aws:lambda:us-east-1:123456789012:function:{function}"}

    def describe_rule(self, Name: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's word
        if Name != "there":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "DescribeRule")
        return self._rule

    def list_targets_by_rule(self, Rule: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's word
        return {"Targets": [self._target]}


def rule(physical: str = "there") -> Found:
    return Found("Changed", "AWS::Events::Rule", physical, RULE)


def stack(tmp_path: Path, text: str) -> Stack:
    (tmp_path / "template.yaml").write_text(text)
    return read(tmp_path / "template.yaml", "esteira", {"Days": 7})


def test_a_resource_as_declared_differs_in_nothing() -> None:
    """A pattern that is answered as text is compared as what it says."""
    assert differences(rule(), lambda _: Events()) == []


@pytest.mark.parametrize(
    ("events", "property_"),
    [(Events(pattern='{"source": ["other"]}'), "EventPattern"), (Events(function="esteira-sweep"), "Targets")],
)
def test_a_property_that_is_not_as_declared_is_named(events: Events, property_: str) -> None:
    """A rule with another target would be a green stack that does the wrong thing."""
    (difference,) = differences(rule(), lambda _: events)
    assert difference.property == property_
    assert "declared is" in str(difference)


@pytest.mark.parametrize(("queue", "same"), [("dead-letters", True), ("other", False)])
def test_a_queue_is_known_by_its_name_wherever_its_address_is(queue: str, same: bool) -> None:
    """An emulator's queues are at its own address; a text that names another queue is another text."""
    declared = {"AlarmDescription": "Next: read https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"}
    row = {"AlarmDescription": f"Next: read http://localhost:4566/123456789012/{queue}"}
    cloudwatch = SimpleNamespace(describe_alarms=lambda AlarmNames: {"MetricAlarms": [row]})  # noqa: N803 - boto3's
    assert (
        differences(Found("Alarm", "AWS::CloudWatch::Alarm", "there", declared), lambda _: cloudwatch) == []
    ) == same


def test_a_resource_that_is_listed_and_not_there_is_found_out() -> None:
    """That a stack says CREATE_COMPLETE creates nothing."""
    (difference,) = differences(rule("gone"), lambda _: Events())
    assert str(difference).startswith("Changed (AWS::Events::Rule) is listed, and is not there: ")
    assert not is_there(rule("gone"), lambda _: Events())
    assert is_there(rule(), lambda _: Events())


def test_what_a_stack_lists_comes_with_what_the_template_declares(tmp_path: Path) -> None:
    """Parameters are resolved as they were given, and a number is what its text says."""
    template = stack(
        tmp_path,
        "Parameters: { Days: { Type: Number, Default: 30 } }\n"
        "Resources: { Log: { Type: AWS::Logs::LogGroup, Properties: { RetentionInDays: !Ref Days } } }",
    )
    rows = [{"LogicalResourceId": "Log", "ResourceType": "AWS::Logs::LogGroup", "PhysicalResourceId": "/log"}]
    pages = SimpleNamespace(paginate=lambda StackName: [{"StackResourceSummaries": rows}])  # noqa: N803 - boto3's word
    (log,) = found(template, lambda _: SimpleNamespace(get_paginator=lambda _: pages))
    assert log == Found("Log", "AWS::Logs::LogGroup", "/log", {"RetentionInDays": 7})
    groups = [{"logGroupName": "/log", "retentionInDays": 7}]
    logs = SimpleNamespace(describe_log_groups=lambda **_: {"logGroups": groups})
    assert differences(log, lambda _: logs) == []
    groups[0]["retentionInDays"] = 30
    assert [difference.property for difference in differences(log, lambda _: logs)] == ["RetentionInDays"]


def test_what_only_cloudformation_reads_must_be_there_all_the_same(tmp_path: Path) -> None:
    """A dashboard's body may use whatever CloudFormation offers."""
    body = '{ "Fn::ToJsonString": { widgets: [] } }'
    board = f"{{ Type: AWS::CloudWatch::Dashboard, Properties: {{ DashboardBody: {body} }} }}"
    assert absent(stack(tmp_path, f"Resources: {{ Board: {board} }}"), []) == ["Board"]


def test_what_is_declared_and_not_listed_is_told() -> None:
    """All of the template is expected, with the rules that SAM makes of a function's events."""
    missing = absent(read(TEMPLATE), [])
    assert {"Table", "IntakeFunction", "IntakeFunctionImageChanged", "SweepFunctionClock"} <= {*missing}


def test_what_outlives_the_stack_is_what_holds_data() -> None:
    """The table, the source, the images and the bundles, as docs/aws.md says; nothing else."""
    assert retained(read(TEMPLATE)) == {"Table"}
    assert retained(read(TEMPLATE.with_name("service.yaml"))) == {"Repository", "Images", "Bundles"}


def test_every_type_that_can_be_left_running_is_looked_up() -> None:
    """What costs or acts is not taken at its word."""
    assert {"AWS::Lambda::Function", "AWS::Events::Rule", "AWS::DynamoDB::Table", "AWS::IAM::Role"} <= LOOK_UPS.keys()
