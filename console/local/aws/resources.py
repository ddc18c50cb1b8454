"""What the templates declare, made in the local AWS by boto3, and nothing that they do not. What is there already stays
as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from console.local.template import Resource, Stack

THERE = (
    "ApplicationAlreadyExistsException",
    "BucketAlreadyOwnedByYou",
    "DeploymentGroupAlreadyExistsException",
    "ParameterAlreadyExists",
    "RepositoryAlreadyExistsException",
    "RepositoryNameExistsException",
    "ResourceAlreadyExistsException",
    "ResourceInUseException",
)
Client = Callable[[str], Any]


def create_resources(stack: Stack, client: Client) -> list[Resource]:
    """Create every resource of ``stack`` (and its services') that the local AWS has a place for, in an order that
    works; what was declared. ``client`` gives a boto3 client by its service's name.
    """
    declared: list[Resource] = []
    for kind, create in CREATORS.items():
        for resource in stack.resources(kind):
            declared.append(resource)
            try:
                create(resource, client)
            except ClientError as error:
                if error.response["Error"]["Code"] not in THERE:
                    raise
    return declared


def _table(resource: Resource, client: Client) -> None:
    row = resource.properties
    names = ("AttributeDefinitions", "KeySchema", "BillingMode", "GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    wanted = {name: row[name] for name in names if name in row}
    client("dynamodb").create_table(TableName=resource.name, **wanted)
    if "TimeToLiveSpecification" in row:
        ttl = row["TimeToLiveSpecification"]
        client("dynamodb").update_time_to_live(TableName=resource.name, TimeToLiveSpecification=ttl)


def _code(resource: Resource, client: Client) -> None:
    text = resource.properties.get("RepositoryDescription", "")
    client("codecommit").create_repository(repositoryName=resource.name, repositoryDescription=text)


def _images(resource: Resource, client: Client) -> None:
    row = resource.properties
    wanted: dict[str, Any] = {"repositoryName": resource.name}
    if "ImageTagMutability" in row:
        wanted["imageTagMutability"] = row["ImageTagMutability"]
    if filters := row.get("ImageTagMutabilityExclusionFilters"):
        wanted["imageTagMutabilityExclusionFilters"] = [
            {
                "filterType": one["ImageTagMutabilityExclusionFilterType"],
                "filter": one["ImageTagMutabilityExclusionFilterValue"],
            }
            for one in filters
        ]
    client("ecr").create_repository(**wanted)


def _project(resource: Resource, client: Client) -> None:
    row = resource.properties
    source = {"type": row["Source"]["Type"], "location": row["Source"].get("Location", "none")}
    if row["Source"].get("BuildSpec"):
        source["buildspec"] = row["Source"]["BuildSpec"]
    wanted: dict[str, Any] = {
        "name": resource.name,
        "source": source,
        "artifacts": {"type": row.get("Artifacts", {}).get("Type", "NO_ARTIFACTS")},
        "environment": _environment(row["Environment"]),
        "serviceRole": row["ServiceRole"],
    }
    optional = {
        "description": "Description",
        "sourceVersion": "SourceVersion",
        "timeoutInMinutes": "TimeoutInMinutes",
        "queuedTimeoutInMinutes": "QueuedTimeoutInMinutes",
    }
    wanted |= {ours: row[theirs] for ours, theirs in optional.items() if theirs in row}
    client("codebuild").create_project(**wanted)


def _environment(row: Mapping[str, Any]) -> dict[str, Any]:
    variables = [
        {"name": one["Name"], "value": str(one["Value"]), "type": one.get("Type", "PLAINTEXT")}
        for one in row.get("EnvironmentVariables", [])
    ]
    return {
        "type": row["Type"],
        "image": row["Image"],
        "computeType": row["ComputeType"],
        "privilegedMode": bool(row.get("PrivilegedMode")),
        "environmentVariables": variables,
    }


def _application(resource: Resource, client: Client) -> None:
    platform = resource.properties.get("ComputePlatform", "Server")
    client("codedeploy").create_application(applicationName=resource.name, computePlatform=platform)


def _group(resource: Resource, client: Client) -> None:
    row = resource.properties
    wanted: dict[str, Any] = {
        "applicationName": row["ApplicationName"],
        "deploymentGroupName": resource.name,
        "serviceRoleArn": row["ServiceRoleArn"],
    }
    if "DeploymentConfigName" in row:
        wanted["deploymentConfigName"] = row["DeploymentConfigName"]
    client("codedeploy").create_deployment_group(**wanted)


def _bucket(resource: Resource, client: Client) -> None:
    client("s3").create_bucket(Bucket=resource.name)


def _topic(resource: Resource, client: Client) -> None:
    client("sns").create_topic(Name=resource.name)


def _queue(resource: Resource, client: Client) -> None:
    client("sqs").create_queue(QueueName=resource.name)


def _parameter(resource: Resource, client: Client) -> None:
    """A registration that is there may have been changed since: by ``--stages``, or by hand."""
    row = resource.properties
    text = row.get("Description", "")
    client("ssm").put_parameter(Name=resource.name, Type=row["Type"], Value=row["Value"], Description=text)


# by type, in the order they can be made
CREATORS: dict[str, Callable[[Resource, Client], None]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::S3::Bucket": _bucket,
    "AWS::CodeCommit::Repository": _code,
    "AWS::ECR::Repository": _images,
    "AWS::CodeBuild::Project": _project,
    "AWS::CodeDeploy::Application": _application,
    "AWS::CodeDeploy::DeploymentGroup": _group,
    "AWS::SSM::Parameter": _parameter,
}
