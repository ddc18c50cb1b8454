"""AWS's words turned into facts: an event of EventBridge, and what the API answers about the same thing.

Each file has both halves of one service side by side because they must agree: for every state, the fact from the event
equals the fact from the observation, though AWS spells the states differently (``SUCCESS``, ``Succeeded``,
``SUCCEEDED``). Only the fields used are validated, the rest is ignored. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from aws_events.alarms import AlarmChange, observed_alarm, read_alarm
from aws_events.builds import BuildChange, exported_by, exported_digest, observed_build, read_build
from aws_events.deployments import (
    DeploymentChange,
    InstanceChange,
    observed_deployment,
    observed_instance,
    read_deployment,
)
from aws_events.heard import Heard, NotOurs, Timestamp
from aws_events.images import ImageAction, ImageScan, InspectorScan, observed_image, read_image, read_scan
from aws_events.pushes import ReferenceChange, read_push
from esteira.config import Service, Settings
from esteira.core.facts import ImageArrived
from esteira.fact import Fact
from esteira.refusal import validated
from esteira.trail import ImageScanned

__all__ = [
    "Heard",
    "NotOurs",
    "exported_by",
    "exported_digest",
    "foreign",
    "observed_alarm",
    "observed_build",
    "observed_deployment",
    "observed_image",
    "observed_instance",
    "read",
]


class Envelope(BaseModel):
    """What every EventBridge event has; ``detail`` is read by the model of its kind."""

    source: str
    detail_type: Annotated[str, Field(alias="detail-type")]
    account: str = ""
    region: str = ""
    time: Timestamp | None = None
    detail: dict[str, Any]


def read(event: object, services: Sequence[Service], now: datetime, settings: Settings) -> Heard | NotOurs:
    """What ``event`` tells about one of ``services``, or why it is not ours.

    Raises Refused where it is of a kind that is ours and malformed.
    """
    envelope = validated(Envelope, event, "event")
    known = _READERS.get((envelope.source, envelope.detail_type))
    if known is None:
        return NotOurs(f"{envelope.source} / {envelope.detail_type} is not read here")
    if elsewhere := foreign(envelope.account, envelope.region, settings):
        return elsewhere
    model, what, reader = known
    heard = reader(validated(model, envelope.detail, f"{what} event"), services, now)
    if isinstance(heard, NotOurs) or envelope.time is None:
        return heard
    return replace(heard, facts=tuple(_dated(f, min(envelope.time, now)) for f in heard.facts))


def foreign(account: str, region: str, settings: Settings) -> NotOurs | None:
    """Why an event of that account and Region is not ours, None where it is.

    An account may forward its events to this one's default bus, and its resources may have the names of ours.
    """
    if (account, region) == (settings.account, settings.region):
        return None
    where = f"account {account or 'unknown'} in {region or 'no Region'}"
    return NotOurs(f"the event is from {where}, not from account {settings.account} in {settings.region}")


def _dated(fact: Fact, at: datetime) -> Fact:
    """An event may be a day late. Waits count from when it was heard; images and scans by when they happened."""
    if isinstance(fact, ImageArrived):
        return replace(fact, at=at)
    return replace(fact, scanned_at=at.replace(second=0, microsecond=0)) if isinstance(fact, ImageScanned) else fact


_Reader = Callable[[Any, Sequence[Service], datetime], Heard | NotOurs]
# By source and detail-type: what the detail is read as, what a refusal calls the event, and who reads it.
_READERS: dict[tuple[str, str], tuple[type[BaseModel], str, _Reader]] = {
    ("aws.codecommit", "CodeCommit Repository State Change"): (ReferenceChange, "CodeCommit", read_push),
    ("aws.codebuild", "CodeBuild Build State Change"): (BuildChange, "CodeBuild", read_build),
    ("aws.ecr", "ECR Image Action"): (ImageAction, "ECR", read_image),
    ("aws.ecr", "ECR Image Scan"): (ImageScan, "ECR scan", read_scan),
    ("aws.inspector2", "Inspector2 Scan"): (InspectorScan, "Inspector", read_scan),
    ("aws.codedeploy", "CodeDeploy Deployment State-change Notification"): (
        DeploymentChange,
        "CodeDeploy",
        read_deployment,
    ),
    ("aws.codedeploy", "CodeDeploy Instance State-change Notification"): (
        InstanceChange,
        "CodeDeploy",
        read_deployment,
    ),
    ("aws.cloudwatch", "CloudWatch Alarm State Change"): (AlarmChange, "CloudWatch", read_alarm),
}
