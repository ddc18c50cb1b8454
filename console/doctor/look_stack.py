"""Looks at the controller's stack: its functions, rules, queue, alarms and table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from console.doctor.dead_letters import unread
from console.doctor.eyes import Eyes
from console.doctor.look_service import look_at_service
from console.doctor.observed import Alarm, Hearers, Letters, Observed, Silence, StackFunction, StackRule
from console.read.where import REFUSED, TroubleError


def look_at_stack(eyes: Eyes, seen: Observed) -> Observed:
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
        services=told if isinstance(told, Silence) else [look_at_service(eyes, seen, service) for service in chosen],
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
    targets = eyes.pages("events", "list_targets_by_rule", "Targets", Rule=name)
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
    found = [_alarm(a, eyes.now()) for a in told]
    return [*found, *(Alarm(name, "gone") for name in names if name not in {alarm.name for alarm in found})]


def _alarm(told: Mapping[str, Any], now: datetime) -> Alarm:
    """An alarm's state; one that rings for want of figures before it can have had any has none yet."""
    state, made = told["StateValue"], told.get("AlarmConfigurationUpdatedTimestamp")
    asked = timedelta(seconds=told.get("Period", 0) * told.get("EvaluationPeriods", 0))
    if state == "ALARM" and told.get("TreatMissingData") == "breaching" and made is not None and now - made < asked:
        state = "INSUFFICIENT_DATA"
    return Alarm(told["AlarmName"], state, told.get("AlarmDescription", ""))


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
