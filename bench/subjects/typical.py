"""What light_start compares with, (b): a handler as Powertools' own examples write it, with a logger, metrics, a boto3
client, models of three events and the parser's EventBridge envelope. No tracer, which would make it heavier still."""

from typing import Literal

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.parser import envelopes, event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

logger = Logger(service="typical")
metrics = Metrics(namespace="typical", service="typical")
client = boto3.client("dynamodb")


class PushDetail(BaseModel):
    """A CodeCommit event's detail."""

    repository: str = Field(alias="repositoryName", min_length=1)
    branch: str = Field(alias="referenceName")
    commit: str = Field(alias="commitId", pattern=r"^[0-9a-f]{40}$")


class BuildDetail(BaseModel):
    """A CodeBuild event's detail."""

    project: str = Field(alias="project-name")
    build: str = Field(alias="build-id")
    status: Literal["IN_PROGRESS", "SUCCEEDED", "FAILED", "STOPPED"] = Field(alias="build-status")


class ImageDetail(BaseModel):
    """An ECR event's detail."""

    repository: str = Field(alias="repository-name")
    digest: str = Field(alias="image-digest")
    tag: str | None = Field(default=None, alias="image-tag")


@logger.inject_lambda_context
@metrics.log_metrics
@event_parser(model=PushDetail, envelope=envelopes.EventBridgeEnvelope)
def handler(event: PushDetail, _context: LambdaContext) -> dict[str, str]:
    """Answer."""
    return {"commit": event.commit}
