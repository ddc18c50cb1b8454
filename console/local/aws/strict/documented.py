"""What AWS's documentation asks of a request and botocore's model does not: limits, and what is required unless.

Each rule is data: the call, what it asks, AWS's error, and where AWS says so. ``KEPT_BY`` are the rules that need to
know what is there already; the stand-in of the service keeps those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from console.local.aws.strict import measures

Params = Mapping[str, Any]
DOCS = "https://docs.aws.amazon.com/"
# The sentence of what is wrong with a request, "" for nothing.
Fault = Callable[[Params], str]


@dataclass(frozen=True)
class Rule:
    """One thing that AWS asks of a call's request: in words, AWS's error, where AWS says so, and how it is judged."""

    call: str
    asks: str
    code: str
    source: str
    fault: Fault


def at_most(path: str, most: int, unit: measures.Unit) -> Fault:
    """A limit on the size of what stands at a path, such as ``Item`` or ``TransactItems[].Put.Item``."""

    def fault(params: Params) -> str:
        for value in measures.found(params, path):
            if (size := unit.size(value)) > most:
                return f"{path} has {size:,} {unit.name}, and must have at most {most:,}"
        return ""

    return fault


def required(*names: str, unless: Callable[[Params], bool] = lambda _: False) -> Fault:
    """One of these members must be there, except where ``unless`` holds."""

    def fault(params: Params) -> str:
        if unless(params) or any(params.get(name) not in (None, "", [], {}) for name in names):
            return ""
        return f"{' or '.join(names)} is required"

    return fault


def apart(one: str, other: str) -> Fault:
    """Two members that exclude each other."""
    return lambda p: f"{one} and {other} are mutually exclusive" if p.get(one) and p.get(other) else ""


def together(one: str, other: str) -> Fault:
    """A member that must come with another."""
    return lambda p: f"{other} is required with {one}" if p.get(one) and not p.get(other) else ""


def fits(path: str, pattern: str) -> Fault:
    """A form that the value at a path must have."""
    return lambda p: next(
        (f"{path} is not valid: {value!r}" for value in measures.found(p, path) if not measures.fits(pattern, value)),
        "",
    )


C, BYTES, ENTRIES, ITEM = measures.CHARACTERS, measures.BYTES, measures.ENTRIES, measures.ITEM
SHA = r"[0-9a-f]{40}"
DEPLOYMENT = r"d-[A-Z0-9]{9,}"
_DYNAMO = "amazondynamodb/latest/developerguide/ServiceQuotas.html"
_WRITES = "amazondynamodb/latest/APIReference/API_BatchWriteItem.html"
_TRANSACT = "amazondynamodb/latest/APIReference/API_TransactWriteItems.html"
_COMMENT = "codecommit/latest/APIReference/API_PostCommentForComparedCommit.html"
_COMMIT = "codecommit/latest/userguide/limits.html"
_DEPLOY = "codedeploy/latest/APIReference/API_CreateDeployment.html"
_EVENT = "eventbridge/latest/userguide/eb-putevents.html"
_NEW_SIZE = (
    "https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb"
)
_PARAMETER = "systems-manager/latest/APIReference/API_PutParameter.html"
_PUBLISH = "sns/latest/api/API_Publish.html"
_LAMBDA = "lambda/latest/dg/gettingstarted-limits.html"
_KEYS = "AmazonS3/latest/userguide/object-keys.html"
_CFN = "AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
_LISTED = "codedeploy/latest/APIReference/API_ListDeployments.html"

# call, what it asks, AWS's error, where AWS says so, how it is judged
_ROWS: list[tuple[str, str, str, str, Fault]] = [
    ("ssm:PutParameter", "a Standard parameter has at most 4 KB", "ValidationException", _PARAMETER,
     lambda p: "" if p.get("Tier") in ("Advanced", "Intelligent-Tiering") else at_most("Value", 4096, BYTES)(p)),
    ("ssm:PutParameter", "an Advanced parameter has at most 8 KB", "ValidationException", _PARAMETER,
     at_most("Value", 8192, BYTES)),
    ("ssm:PutParameter", "a name has at most 1,011 characters", "ValidationException", _PARAMETER,
     at_most("Name", 1011, C)),
    ("ssm:PutParameter", "a name has at most 15 levels", "HierarchyLevelLimitExceededException", _PARAMETER,
     at_most("Name", 15, measures.LEVELS)),
    ("ssm:PutParameter", "a name has letters, digits, and .-_/ only", "ValidationException", _PARAMETER,
     fits("Name", r"[a-zA-Z0-9_.\-/]+")),
    ("dynamodb:PutItem", "an item has at most 400 KB", "ValidationException", _DYNAMO,
     at_most("Item", 400 * 1024, ITEM)),
    ("dynamodb:BatchWriteItem", "an item has at most 400 KB", "ValidationException", _DYNAMO,
     at_most("RequestItems{}[].PutRequest.Item", 400 * 1024, ITEM)),
    ("dynamodb:BatchWriteItem", "at most 25 writes in all", "ValidationException", _WRITES,
     at_most("RequestItems", 25, measures.INSIDE)),
    ("dynamodb:BatchGetItem", "at most 100 keys in all", "ValidationException",
     "amazondynamodb/latest/APIReference/API_BatchGetItem.html", at_most("RequestItems", 100, measures.KEYS)),
    ("dynamodb:TransactWriteItems", "an item has at most 400 KB", "ValidationException", _TRANSACT,
     at_most("TransactItems[].Put.Item", 400 * 1024, ITEM)),
    ("dynamodb:TransactWriteItems", "at most 4 MB in all", "ValidationException", _TRANSACT,
     at_most("TransactItems", 4 * 1024 * 1024, measures.ITEMS)),
    ("dynamodb:PutItem", "a sort key has 1 to 1,024 bytes", "ValidationException", _DYNAMO,
     at_most("Item.sk.S", 1024, BYTES)),
    ("dynamodb:PutItem", "a partition key has 1 to 2,048 bytes", "ValidationException", _DYNAMO,
     at_most("Item.pk.S", 2048, BYTES)),
    ("dynamodb:TransactWriteItems", "a sort key has 1 to 1,024 bytes", "ValidationException", _DYNAMO,
     at_most("TransactItems[].Put.Item.sk.S", 1024, BYTES)),
    ("dynamodb:PutItem", "an expression has at most 4 KB", "ValidationException", _DYNAMO,
     at_most("ConditionExpression", 4096, BYTES)),
    ("dynamodb:Query", "an expression has at most 4 KB", "ValidationException", _DYNAMO,
     at_most("KeyConditionExpression", 4096, BYTES)),
    ("codecommit:PostCommentForComparedCommit", "a comment has at most 10,240 characters",
     "CommentContentSizeLimitExceededException", _COMMIT, at_most("content", 10_240, C)),
    ("codecommit:PostCommentForComparedCommit", "a comment says something", "CommentContentRequiredException", _COMMENT,
     required("content")),
    ("codecommit:PostCommentForComparedCommit", "the commits differ", "BeforeCommitIdAndAfterCommitIdAreSameException",
     _COMMENT, lambda p: "the commits are the same" if p.get("beforeCommitId") == p.get("afterCommitId") else ""),
    ("codecommit:PostCommentForComparedCommit", "afterCommitId is a full commit id", "InvalidCommitIdException",
     _COMMENT, fits("afterCommitId", SHA)),
    ("codecommit:PostCommentForComparedCommit", "beforeCommitId is a full commit id", "InvalidCommitIdException",
     _COMMENT, fits("beforeCommitId", SHA)),
    ("codecommit:GetCommit", "commitId is a full commit id", "InvalidCommitIdException",
     "codecommit/latest/APIReference/API_GetCommit.html", fits("commitId", SHA)),
    ("codecommit:GetBlob", "blobId is a full SHA-1", "InvalidBlobIdException",
     "codecommit/latest/APIReference/API_GetBlob.html", fits("blobId", SHA)),
    ("codecommit:GetBranch", "repositoryName is there", "RepositoryNameRequiredException",
     "codecommit/latest/APIReference/API_GetBranch.html", required("repositoryName")),
    ("codecommit:GetBranch", "branchName is there", "BranchNameRequiredException",
     "codecommit/latest/APIReference/API_GetBranch.html", required("branchName")),
    ("codecommit:CreateRepository", "a name does not end in .git", "InvalidRepositoryNameException", _COMMIT,
     fits("repositoryName", r"(?!.*\.git$).*")),
    ("codedeploy:CreateDeployment", "deploymentGroupName is there", "DeploymentGroupNameRequiredException", _DEPLOY,
     required("deploymentGroupName")),
    ("codedeploy:CreateDeployment", "revision is there, unless it is a RESTART", "RevisionRequiredException", _DEPLOY,
     required("revision", unless=lambda p: p.get("deploymentMode") == "RESTART")),
    ("codedeploy:CreateDeployment", "an S3 revision names bucket, key and bundleType", "InvalidRevisionException",
     "codedeploy/latest/APIReference/API_S3Location.html", measures.s3_revision),
    ("codedeploy:CreateDeployment", "a description has at most 256 characters", "DescriptionTooLongException",
     "codedeploy/latest/userguide/limits.html", at_most("description", 256, C)),
    ("codedeploy:BatchGetDeployments", "1 to 25 deployments", "BatchLimitExceededException",
     "codedeploy/latest/APIReference/API_BatchGetDeployments.html", at_most("deploymentIds", 25, ENTRIES)),
    ("codedeploy:BatchGetDeployments", "at least one deployment", "DeploymentIdRequiredException",
     "codedeploy/latest/APIReference/API_BatchGetDeployments.html", required("deploymentIds")),
    ("codedeploy:BatchGetDeploymentTargets", "at most 25 targets", "DeploymentTargetListSizeExceededException",
     "codedeploy/latest/APIReference/API_BatchGetDeploymentTargets.html", at_most("targetIds", 25, ENTRIES)),
    ("codedeploy:BatchGetDeploymentTargets", "at least one target", "DeploymentTargetIdRequiredException",
     "codedeploy/latest/APIReference/API_BatchGetDeploymentTargets.html", required("targetIds")),
    ("codedeploy:GetDeployment", "deploymentId is one", "InvalidDeploymentIdException",
     "codedeploy/latest/APIReference/API_GetDeployment.html", fits("deploymentId", DEPLOYMENT)),
    ("codedeploy:StopDeployment", "deploymentId is one", "InvalidDeploymentIdException",
     "codedeploy/latest/APIReference/API_StopDeployment.html", fits("deploymentId", DEPLOYMENT)),
    ("codedeploy:ListDeployments", "an application comes with its group", "DeploymentGroupNameRequiredException",
     _LISTED, together("applicationName", "deploymentGroupName")),
    ("codedeploy:ListDeployments", "a group comes with its application", "ApplicationNameRequiredException", _LISTED,
     together("deploymentGroupName", "applicationName")),
    ("codedeploy:ListDeployments", "a time range begins before it ends", "InvalidTimeRangeException", _LISTED,
     measures.time_range),
    ("events:PutEvents", "an entry has at most 1 MB", "ValidationException", _NEW_SIZE,
     at_most("Entries[]", 1024 * 1024, measures.ENTRY)),
    ("events:PutEvents", "a request has at most 1 MB", "ValidationException", _EVENT,
     at_most("Entries", 1024 * 1024, measures.REQUEST)),
    ("sns:Publish", "a target is there", "InvalidParameter", _PUBLISH,
     required("TopicArn", "TargetArn", "PhoneNumber")),
    ("sns:Publish", "a message says something", "InvalidParameter", _PUBLISH, required("Message")),
    ("sns:Publish", "a message has at most 256 KB", "InvalidParameter", _PUBLISH, at_most("Message", 262_144, BYTES)),
    ("sns:Publish", "a subject has less than 100 characters", "InvalidParameter", _PUBLISH, at_most("Subject", 99, C)),
    ("sns:Publish", "a subject has no line breaks or control characters", "InvalidParameter", _PUBLISH,
     fits("Subject", r"[^\x00-\x1f\x7f-\x9f]+")),
    ("ecr:PutImage", "a media type is told, unless the manifest has it", "InvalidParameterException",
     "AmazonECR/latest/APIReference/API_PutImage.html",
     required("imageManifestMediaType", unless=measures.tells_media_type)),
    ("ecr:PutImage", "a tag is one that Docker takes", "InvalidParameterException",
     "AmazonECR/latest/userguide/image-push.html", fits("imageTag", r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")),
    ("ecr:DescribeImages", "maxResults does not come with imageIds", "InvalidParameterException",
     "AmazonECR/latest/APIReference/API_DescribeImages.html", apart("imageIds", "maxResults")),
    ("ecr:DescribeImages", "nextToken does not come with imageIds", "InvalidParameterException",
     "AmazonECR/latest/APIReference/API_DescribeImages.html", apart("imageIds", "nextToken")),
    ("codebuild:BatchGetBuilds", "an id is PROJECT:UUID or its ARN", "InvalidInputException",
     "codebuild/latest/APIReference/API_BatchGetBuilds.html", fits("ids[]", r".+:.+")),
    ("codebuild:StopBuild", "an id is PROJECT:UUID or its ARN", "InvalidInputException",
     "codebuild/latest/APIReference/API_StopBuild.html", fits("id", r".+:.+")),
    ("codebuild:StartBuild", "a variable's name is one that a shell takes", "InvalidInputException",
     "codebuild/latest/userguide/build-env-ref-env-vars.html",
     fits("environmentVariablesOverride[].name", r"[A-Za-z_][A-Za-z0-9_]*")),
    ("s3:PutObject", "a key has at most 1,024 bytes", "KeyTooLongError", _KEYS, at_most("Key", 1024, BYTES)),
    ("s3:PutObject", "a bucket's name has 3 to 63 small letters, digits, dots and hyphens", "InvalidBucketName",
     "AmazonS3/latest/userguide/bucketnamingrules.html", fits("Bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")),
    ("cloudwatch:DescribeAlarms", "names or a prefix", "InvalidParameterCombination",
     "AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html", apart("AlarmNames", "AlarmNamePrefix")),
    ("lambda:Invoke", "a payload has at most 6 MB", "RequestEntityTooLargeException", _LAMBDA,
     at_most("Payload", 6 * 1024 * 1024, BYTES)),
    ("lambda:Invoke", "an asynchronous payload has at most 1 MB", "RequestEntityTooLargeException", _NEW_SIZE,
     lambda p: at_most("Payload", 1024 * 1024, BYTES)(p) if p.get("InvocationType") == "Event" else ""),
    ("cloudformation:CreateChangeSet", "a template in the request has at most 51,200 bytes", "ValidationError", _CFN,
     at_most("TemplateBody", 51_200, BYTES)),
    ("cloudformation:CreateChangeSet", "a parameter's value has at most 4,096 bytes", "ValidationError", _CFN,
     at_most("Parameters[].ParameterValue", 4096, BYTES)),
]  # fmt: skip

# What the stand-in of a service keeps, because it depends on what is there: call, what it asks, AWS's error, source.
KEPT_BY = (
    ("codecommit:PostCommentForComparedCommit", "beforeCommitId is there, unless the commit is the first",
     "CommitIdRequiredException", _COMMENT),
    ("codecommit:PostCommentForComparedCommit", "a token is used for one comment",
     "IdempotencyParameterMismatchException", _COMMENT),
    ("codecommit:GetBlob", "a blob of more than 6 MB is not given", "FileTooLargeException", _COMMIT),
    ("codebuild:StartBuild", "a token is used for one build", "InvalidInputException",
     "codebuild/latest/APIReference/API_StartBuild.html"),
    ("codedeploy:CreateDeployment", "a group has one deployment at a time", "DeploymentLimitExceededException",
     "codedeploy/latest/userguide/limits.html"),
    ("codedeploy:ListDeploymentTargets", "the deployment has begun", "DeploymentNotStartedException",
     "codedeploy/latest/APIReference/API_ListDeploymentTargets.html"),
    ("codedeploy:BatchGetDeploymentTargets", "the deployment has begun", "DeploymentNotStartedException",
     "codedeploy/latest/APIReference/API_BatchGetDeploymentTargets.html"),
    ("codedeploy:StopDeployment", "the deployment has not ended", "DeploymentAlreadyCompletedException",
     "codedeploy/latest/APIReference/API_StopDeployment.html"),
    ("dynamodb:TransactWriteItems", "one operation on an item", "ValidationException", _TRANSACT),
    ("dynamodb:TransactWriteItems", "a token is used for one transaction", "IdempotentParameterMismatchException",
     _TRANSACT),
    ("dynamodb:BatchWriteItem", "one write to an item", "ValidationException", _WRITES),
    ("ecr:PutImage", "a frozen tag stays on its image", "ImageTagAlreadyExistsException",
     "AmazonECR/latest/userguide/image-tag-mutability.html"),
    ("ecr:PutImage", "a tag is put on an image once", "ImageAlreadyExistsException",
     "AmazonECR/latest/APIReference/API_PutImage.html"),
    ("events:PutEvents", "an entry has a source, a detail type and a detail that is an object", "InvalidArgument",
     _EVENT),
)  # fmt: skip

RULES: defaultdict[str, list[Rule]] = defaultdict(list)
for _call, _asks, _code, _source, _fault in _ROWS:
    RULES[_call].append(Rule(_call, _asks, _code, _source if _source.startswith("https") else DOCS + _source, _fault))
