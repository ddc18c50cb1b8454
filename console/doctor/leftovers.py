"""What deletion leaves: everything that holds data, each with its size and the command that removes it for good.

The templates keep these kinds of things when their stacks go (``DeletionPolicy``); all of them bear the tag
``esteira=<stack>``, by which they are found before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.read.remote import Controller
from console.read.trouble import explained
from esteira.errors import code_of


@dataclass(frozen=True)
class Kind:
    """A kind of thing that is kept: what it is called, what it holds, and how it is removed for good."""

    called: str
    holds: str
    remove: str


# By CloudFormation's type. tests/unit/test_remains.py holds it against the templates, and docs/aws.md against it.
KEPT = {
    "AWS::DynamoDB::Table": Kind(
        "table", "the history of every release", "aws dynamodb delete-table --table-name {name}"
    ),
    "AWS::CodeCommit::Repository": Kind(
        "CodeCommit repository", "the source", "aws codecommit delete-repository --repository-name {name}"
    ),
    "AWS::ECR::Repository": Kind(
        "ECR repository", "every image", "aws ecr delete-repository --repository-name {name} --force"
    ),
    "AWS::S3::Bucket": Kind(
        "bucket", "the bundles of every deployment; nothing of worth", "aws s3 rb s3://{name} --force"
    ),
}
_TYPES = {
    "dynamodb": "AWS::DynamoDB::Table",
    "codecommit": "AWS::CodeCommit::Repository",
    "ecr": "AWS::ECR::Repository",
    "s3": "AWS::S3::Bucket",
}


@dataclass(frozen=True)
class Kept:
    """One thing that outlives its stack. ``size`` is in words, "" where it is not known."""

    kind: str
    name: str
    holds: str
    size: str
    remove: str


def kept(controller: Controller, service: str | None = None) -> tuple[Kept, ...]:
    """Everything of the controller's that outlives its stacks, or only what is of one service."""
    asked = {"TagFilters": [{"Key": "esteira", "Values": [controller.where.stack]}]}
    pages = controller.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(**asked)
    arns = sorted(row["ResourceARN"] for page in pages for row in page["ResourceTagMappingList"])
    found = [_kept(controller, *known) for known in map(named, arns) if known is not None]
    return tuple(row for row in found if service is None or _is_of(row, controller.where.stack, service))


@dataclass(frozen=True)
class Taken:
    """A thing that bears a name which the stack of a service would give: in words, the parameter of service.yaml that
    says that it exists, and its ARN."""

    told: str
    parameter: str
    arn: str


def names_taken(controller: Controller, service: str) -> list[Taken]:
    """What bears the names that a stack of ``service`` would give, which CloudFormation would find halfway."""
    client = controller.client
    account = client("sts").get_caller_identity()["Account"]
    bucket = f"{controller.where.stack}-bundles-{service}-{account}"
    meta = client("sts").meta
    here = f"{meta.region_name}:{account}"
    asked: tuple[tuple[str, str, str, Callable[[], Any], str], ...] = (
        (
            f"a CodeCommit repository {service}",
            "RepositoryExists",
            f"codecommit:{here}:{service}",
            lambda: client("codecommit").get_repository(repositoryName=service),
            "RepositoryDoesNotExistException",
        ),
        (
            f"an ECR repository {service}",
            "ImagesExist",
            f"ecr:{here}:repository/{service}",
            lambda: client("ecr").describe_repositories(repositoryNames=[service]),
            "RepositoryNotFoundException",
        ),
        (
            f"a bucket {bucket}",
            "BundlesExist",
            f"s3:::{bucket}",
            lambda: client("s3").head_bucket(Bucket=bucket),
            "404",
        ),
    )
    return [
        Taken(told, is_, f"arn:{meta.partition}:{arn}") for told, is_, arn, ask, gone in asked if _is_there(ask, gone)
    ]


def untagged(controller: Controller, taken: Sequence[Taken]) -> list[Taken]:
    """Those that lack the tag ``esteira=<stack>``, by which the controller's roles reach what is theirs."""
    client = controller.client("resourcegroupstaggingapi")
    rows = client.get_resources(ResourceARNList=[one.arn for one in taken])["ResourceTagMappingList"] if taken else []
    ours = {"Key": "esteira", "Value": controller.where.stack}
    known = {row["ResourceARN"] for row in rows if ours in row["Tags"]}
    return [one for one in taken if one.arn not in known]


def _is_there(ask: Callable[[], Any], gone: str) -> bool:
    try:
        ask()
    except Exception as error:
        if code_of(error) != gone:
            raise
        return False
    return True


def named(arn: str) -> tuple[str, str] | None:
    """The type and the name of a thing that outlives its stack, from its ARN; None for any other thing."""
    _, _, service, _, _, rest = arn.split(":", 5)
    kind = _TYPES.get(service)
    if kind is None or (service == "dynamodb" and not rest.startswith("table/")):
        return None
    return kind, rest.removeprefix("table/").removeprefix("repository/")


def _is_of(row: Kept, stack: str, service: str) -> bool:
    return row.name == service or row.name.startswith(f"{stack}-bundles-{service}-")


def _kept(controller: Controller, type_: str, name: str) -> Kept:
    kind = KEPT[type_]
    try:
        size = _SIZES[type_](controller.client, name) if type_ in _SIZES else ""
    except Exception as error:
        if explained(error, controller.where) is None:
            raise
        size = ""
    return Kept(kind.called, name, kind.holds, size, kind.remove.format(name=name))


def _table(client: Callable[[str], Any], name: str) -> str:
    row = client("dynamodb").describe_table(TableName=name)["Table"]
    return f"{row['ItemCount']} items, {_bytes(row['TableSizeBytes'])} (as of some hours ago)"


def _images(client: Callable[[str], Any], name: str) -> str:
    pages = client("ecr").get_paginator("describe_images").paginate(repositoryName=name)
    sizes = [image.get("imageSizeInBytes", 0) for page in pages for image in page["imageDetails"]]
    return f"{len(sizes)} images, {_bytes(sum(sizes))}"


def _objects(client: Callable[[str], Any], name: str) -> str:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=name)
    sizes = [row["Size"] for page in pages for row in page.get("Contents", ())]
    return f"{len(sizes)} objects, {_bytes(sum(sizes))}"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


# CodeCommit tells no size.
_SIZES: Mapping[str, Callable[[Callable[[str], Any], str], str]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::ECR::Repository": _images,
    "AWS::S3::Bucket": _objects,
}
