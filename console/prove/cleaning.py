"""The removal of everything that a proof made. Each removal may be tried again; what is gone already is no failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from console.prove import items_secrets, tag_probe
from console.prove.site import ProofSite
from console.read.where import TroubleError
from esteira.errors import code_of

GONE = {
    "NoSuchBucket",
    "NoSuchEntity",
    "RepositoryDoesNotExistException",
    "RepositoryNotFoundException",
    "ResourceNotFoundException",
    "404",
}


@dataclass(frozen=True)
class Removal:
    """One thing to be removed for good: how here, and what a person would type."""

    what: str
    do: Callable[[], None]
    typed: str


@dataclass(frozen=True)
class Leaving:
    """What could not be removed, why, and what removes it."""

    what: str
    why: str
    remove: str


def clean(site: ProofSite, account: str, say: Callable[[str], None]) -> list[Leaving]:
    """Remove all that bears the names of this proof, as far as it goes; what could not be removed."""
    left: list[Leaving] = []
    for removal in removals(site, account):
        try:
            removal.do()
        except TroubleError as trouble:
            left.append(Leaving(removal.what, str(trouble), removal.typed))
        except Exception as error:
            if not code_of(error):
                raise
            if code_of(error) not in GONE:
                left.append(Leaving(removal.what, str(error), removal.typed))
                continue
        say(f"removed: {removal.what}")
    return left


def removals(site: ProofSite, account: str) -> Iterator[Removal]:
    """Everything in its order: stacks first, since they hold what they keep."""
    delete = "aws cloudformation delete-stack --stack-name"
    stack, service = site.stack, site.service
    bucket = f"{stack}-bundles-{service}-{account}"
    yield Removal(f"stack {stack}-{service}", site.remove_service, f"{delete} {stack}-{service}")
    yield Removal(f"stack {stack}", site.remove_controller, f"{delete} {stack}")
    role = tag_probe.role_of(site)
    yield Removal(f"role {role}", lambda: tag_probe.remove(site), f"aws iam delete-role --role-name {role}")
    secrets = items_secrets.names(site)
    yield Removal(
        f"secrets {', '.join(secrets)}",
        lambda: items_secrets.remove(site),
        f"aws ssm delete-parameters --names {' '.join(secrets)}",
    )
    yield Removal(
        f"CodeCommit repository {service}",
        lambda: site.client("codecommit").delete_repository(repositoryName=service),
        f"aws codecommit delete-repository --repository-name {service}",
    )
    yield Removal(
        f"ECR repository {service} with its images",
        lambda: site.client("ecr").delete_repository(repositoryName=service, force=True),
        f"aws ecr delete-repository --repository-name {service} --force",
    )
    yield Removal(
        f"bucket {bucket} with every version",
        lambda: _empty(site.client("s3"), bucket),
        f"aws s3 rb s3://{bucket} --force",
    )
    yield Removal(f"tables {stack}-*", lambda: _tables(site), f"aws dynamodb list-tables # then delete {stack}-*")
    for prefix in (f"/aws/lambda/{stack}-", f"/aws/codebuild/{service}-"):
        yield Removal(
            f"log groups {prefix}*",
            partial(_log_groups, site.client("logs"), prefix),
            f"aws logs describe-log-groups --log-group-name-prefix {prefix} # then delete-log-group",
        )


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        keys = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    s3.delete_bucket(Bucket=bucket)


def _tables(site: ProofSite) -> None:
    dynamodb = site.client("dynamodb")
    for page in dynamodb.get_paginator("list_tables").paginate():
        for name in page["TableNames"]:
            if name.startswith(f"{site.stack}-"):
                dynamodb.delete_table(TableName=name)


def _log_groups(logs: Any, prefix: str) -> None:
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for row in page["logGroups"]:
            logs.delete_log_group(logGroupName=row["logGroupName"])
