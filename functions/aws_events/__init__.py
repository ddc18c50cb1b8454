"""AWS's words turned into facts: an event of EventBridge, and what the API answers about the same thing.

Each file has both halves of one service side by side because they must agree: for every state, the fact from the event
equals the fact from the observation, though AWS spells the states differently (``SUCCESS``, ``Succeeded``,
``SUCCEEDED``). Only the fields used are validated, the rest is ignored. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from aws_events.alarms import observed_alarm, read_alarm
from aws_events.build_log import failed_command
from aws_events.builds import exported_by, exported_digest, observed_build, read_build
from aws_events.deployments import observed_deployment, observed_instance, read_deployment, read_instance
from aws_events.heard import Heard, Nice, NotOurs, Timestamp
from aws_events.hosts import read_report
from aws_events.images import observed_image, observed_scan, read_image, read_inspection, read_scan
from aws_events.pushes import read_push
from esteira.config import Service, Settings
from esteira.core.facts import ImageArrived
from esteira.fact import Fact
from esteira.refusal import Refused, validated
from esteira.trail import ImageScanned

__all__ = [
    "Heard",
    "NotOurs",
    "exported_by",
    "exported_digest",
    "failed_command",
    "foreign",
    "observed_alarm",
    "observed_build",
    "observed_deployment",
    "observed_image",
    "observed_instance",
    "observed_scan",
    "read",
]


class Envelope(BaseModel):
    """What every EventBridge event has. Anybody's event passes; the reader of its kind judges ``detail``."""

    source: Annotated[str | None, Nice] = None
    detail_type: Annotated[str | None, Nice, Field(alias="detail-type")] = None
    account: Annotated[str | None, Nice] = None
    region: Annotated[str | None, Nice] = None
    time: Annotated[Timestamp | None, Nice] = None
    detail: Any = None


def read(event: object, services: Sequence[Service], now: datetime, settings: Settings) -> Heard | NotOurs:
    """What ``event`` tells about one of ``services``, or why it is not ours.

    First whose it is, then what is needed, then what is nice. Raises Refused where something is missing or malformed
    that is needed of an event of ours.
    """
    envelope = validated(Envelope, event, "event")
    reader = _READERS.get((envelope.source or "", envelope.detail_type or ""))
    if reader is None:
        return NotOurs(f"{envelope.source} / {envelope.detail_type} is not read here")
    if elsewhere := foreign(envelope.account or "", envelope.region or "", settings):
        return elsewhere
    if not isinstance(envelope.detail, Mapping):
        raise Refused(f"the {envelope.detail_type} event is refused: detail: it is no object")
    heard = reader(envelope.detail, services, now)
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


_Reader = Callable[[Mapping[str, Any], Sequence[Service], datetime], Heard | NotOurs]
# By source and detail-type: who reads it.
_READERS: dict[tuple[str, str], _Reader] = {
    ("aws.codecommit", "CodeCommit Repository State Change"): read_push,
    ("aws.codebuild", "CodeBuild Build State Change"): read_build,
    ("aws.ecr", "ECR Image Action"): read_image,
    ("aws.ecr", "ECR Image Scan"): read_scan,
    ("aws.inspector2", "Inspector2 Scan"): read_inspection,
    ("aws.codedeploy", "CodeDeploy Deployment State-change Notification"): read_deployment,
    ("aws.codedeploy", "CodeDeploy Instance State-change Notification"): read_instance,
    ("aws.cloudwatch", "CloudWatch Alarm State Change"): read_alarm,
    ("esteira.host", "Host Report"): read_report,
}
