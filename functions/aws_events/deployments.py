"""A deployment's state, and a host's in it: CodeDeploy's events and what its API answers about the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from aws_events.heard import Heard, NotOurs, name_in
from esteira.config import Service
from esteira.core.facts import DeploymentReported
from esteira.fact import Fact
from esteira.refusal import validated
from esteira.trail import HostReported

# The event's words for a deployment's and an instance's state, in the API's.
API_STATE = {"START": "InProgress", "READY": "Ready", "SUCCESS": "Succeeded", "FAILURE": "Failed", "STOP": "Stopped"}


class DeploymentChange(BaseModel, defer_build=True):
    """CodeDeploy Deployment State-change Notification: no revision, no error, no release."""

    deploymentId: Annotated[str, Field(pattern=r"^d-[A-Za-z0-9]{1,20}$")]  # noqa: N815
    state: Literal["START", "SUCCESS", "FAILURE", "STOP", "READY"]


class InstanceChange(DeploymentChange):
    """CodeDeploy Instance State-change Notification."""

    instanceId: Annotated[str, Field(min_length=1, max_length=200)]  # noqa: N815


def read_deployment(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What a deployment of one of our groups came to."""
    service = _service(detail, services)
    if isinstance(service, NotOurs):
        return service
    change = validated(DeploymentChange, detail, "CodeDeploy event")
    return Heard(service, observed_deployment(change.deploymentId, API_STATE[change.state], now))


def read_instance(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What a deployment came to on one of our hosts."""
    service = _service(detail, services)
    if isinstance(service, NotOurs):
        return service
    change = validated(InstanceChange, detail, "CodeDeploy event")
    return Heard(service, observed_instance(change.deploymentId, change.instanceId, API_STATE[change.state], now))


def _service(detail: Mapping[str, Any], services: Sequence[Service]) -> Service | NotOurs:
    application, group = name_in(detail, "application"), name_in(detail, "deploymentGroup")
    of_application = (s for s in services if s.application == application)
    found = next((s for s in of_application if group in (stage.group for stage in s.stages)), None)
    return found or NotOurs(f"no service has the deployment group {application}/{group}")


def observed_deployment(deployment: str, status: str, now: datetime) -> tuple[Fact, ...]:
    """The facts that a deployment's ``status``, in the API's words, tells."""
    begun = DeploymentReported(at=now, deployment=deployment, status="InProgress")
    if status in ("Succeeded", "Failed", "Stopped"):
        return (begun, replace(begun, status=status))  # type: ignore[arg-type]
    return (begun,) if status in ("InProgress", "Ready", "Baking") else ()


def observed_instance(deployment: str, instance: str, status: str, now: datetime) -> tuple[Fact, ...]:
    """The fact that one host's ``status`` in a deployment, in the API's words, tells."""
    # The event names the host by its ARN or its bare id; the API's target id is bare.
    return (HostReported(at=now, deployment=deployment, host=instance.rsplit("/", 1)[-1], status=status),)
