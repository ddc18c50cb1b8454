"""Each documented rule refuses a request on the local AWS, with AWS's own error; a request at the limit passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from console.local.aws.api import AwsError
from console.local.aws.strict import documented, model
from console.local.aws.strict.judge import judge
from tests.walk import walked
from tests.walk.stand import CLAIM, Stand, standing
from tests.wire.adapters import AT

pytestmark = pytest.mark.integration
KB = 1024
SHA = "a" * 40
REVISION = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}}
DEPLOY = {"applicationName": "heart", "deploymentGroupName": "production", "revision": REVISION}
COMMENT = {"repositoryName": "heart", "afterCommitId": SHA, "content": "x"}
EVENT = {"Source": "esteira", "DetailType": "d", "Detail": "{}"}
PARAMETER = {"Name": "/a", "Value": "v", "Type": "String"}
PUBLISH = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": "m"}
PUT_IMAGE = {"repositoryName": "heart", "imageManifest": '{"mediaType": "m"}', "imageTag": "v1"}
BUCKET = {"Bucket": "bundles", "Key": "k", "Body": b""}
CHANGES = {"StackName": "s", "ChangeSetName": "c"}
RANGE = {"start": AT, "end": AT - timedelta(1)}


def item(size: int, **keys: str) -> dict[str, Any]:
    """An item of so many bytes in all."""
    row = {"pk": {"S": "p"}, "sk": {"S": "s"}, **{name: {"S": value} for name, value in keys.items()}}
    used = sum(len(name) + len(value["S"]) for name, value in row.items()) + 1
    return row | {"v": {"S": "x" * (size - used)}}


def put(size: int, **keys: str) -> dict[str, Any]:
    return {"Put": {"TableName": "t", "Item": item(size, **keys)}}


def batch(tables: int, each: int) -> dict[str, Any]:
    return {f"tab{n}": [{"PutRequest": {"Item": item(50)}}] * each for n in range(tables)}


# By call and what is asked, the smallest request that AWS refuses for it.
REFUSED: dict[tuple[str, str], dict[str, Any]] = {
    ("ssm:PutParameter", "a Standard parameter has at most 4 KB"): PARAMETER | {"Value": "é" * 2049},
    ("ssm:PutParameter", "an Advanced parameter has at most 8 KB"):
        PARAMETER | {"Tier": "Advanced", "Value": "x" * 8193},
    ("ssm:PutParameter", "a name has at most 1,011 characters"): PARAMETER | {"Name": "x" * 1012},
    ("ssm:PutParameter", "a name has at most 15 levels"): PARAMETER | {"Name": "/a" * 16},
    ("ssm:PutParameter", "a name has letters, digits, and .-_/ only"): PARAMETER | {"Name": "/a b"},
    ("dynamodb:PutItem", "an item has at most 400 KB"): {"TableName": "t", "Item": item(400 * KB + 1)},
    ("dynamodb:BatchWriteItem", "an item has at most 400 KB"): {
        "RequestItems": {"tab": [{"PutRequest": {"Item": item(400 * KB + 1)}}]}
    },
    ("dynamodb:BatchWriteItem", "at most 25 writes in all"): {"RequestItems": batch(2, 13)},
    ("dynamodb:BatchGetItem", "at most 100 keys in all"): {
        "RequestItems": {f"tab{n}": {"Keys": [{"pk": {"S": "p"}}] * 51} for n in range(2)}
    },
    ("dynamodb:TransactWriteItems", "an item has at most 400 KB"): {"TransactItems": [put(400 * KB + 1)]},
    ("dynamodb:TransactWriteItems", "at most 4 MB in all"): {"TransactItems": [put(400 * KB)] * 11},
    ("dynamodb:PutItem", "a sort key has 1 to 1,024 bytes"): {"TableName": "t", "Item": item(3 * KB, sk="x" * 1025)},
    ("dynamodb:PutItem", "a partition key has 1 to 2,048 bytes"): {
        "TableName": "t", "Item": item(3 * KB, pk="x" * 2049)
    },
    ("dynamodb:TransactWriteItems", "a sort key has 1 to 1,024 bytes"): {
        "TransactItems": [put(3 * KB, sk="x" * 1025)]
    },
    ("dynamodb:PutItem", "an expression has at most 4 KB"): {
        "TableName": "t", "Item": item(50), "ConditionExpression": "x" * 4097
    },
    ("dynamodb:Query", "an expression has at most 4 KB"): {"TableName": "t", "KeyConditionExpression": "x" * 4097},
    ("codecommit:PostCommentForComparedCommit", "a comment has at most 10,240 characters"):
        COMMENT | {"content": "x" * 10_241},
    ("codecommit:PostCommentForComparedCommit", "a comment says something"): COMMENT | {"content": ""},
    ("codecommit:PostCommentForComparedCommit", "the commits differ"): COMMENT | {"beforeCommitId": SHA},
    ("codecommit:PostCommentForComparedCommit", "afterCommitId is a full commit id"):
        COMMENT | {"afterCommitId": "main"},
    ("codecommit:PostCommentForComparedCommit", "beforeCommitId is a full commit id"):
        COMMENT | {"beforeCommitId": "main"},
    ("codecommit:GetCommit", "commitId is a full commit id"): {"repositoryName": "heart", "commitId": SHA[1:]},
    ("codecommit:GetBlob", "blobId is a full SHA-1"): {"repositoryName": "heart", "blobId": "b"},
    ("codecommit:GetBranch", "repositoryName is there"): {"branchName": "main"},
    ("codecommit:GetBranch", "branchName is there"): {"repositoryName": "heart"},
    ("codecommit:CreateRepository", "a name does not end in .git"): {"repositoryName": "a.git"},
    ("codedeploy:CreateDeployment", "deploymentGroupName is there"):
        {"applicationName": "heart", "revision": REVISION},
    ("codedeploy:CreateDeployment", "revision is there, unless it is a RESTART"):
        {"applicationName": "heart", "deploymentGroupName": "production"},
    ("codedeploy:CreateDeployment", "an S3 revision names bucket, key and bundleType"):
        DEPLOY | {"revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}}},
    ("codedeploy:CreateDeployment", "a description has at most 256 characters"): DEPLOY | {"description": "x" * 257},
    ("codedeploy:BatchGetDeployments", "1 to 25 deployments"): {"deploymentIds": ["d-ABCDEFGHI"] * 26},
    ("codedeploy:BatchGetDeployments", "at least one deployment"): {"deploymentIds": []},
    ("codedeploy:BatchGetDeploymentTargets", "at most 25 targets"):
        {"deploymentId": "d-ABCDEFGHI", "targetIds": ["i"] * 26},
    ("codedeploy:BatchGetDeploymentTargets", "at least one target"): {"deploymentId": "d-ABCDEFGHI", "targetIds": []},
    ("codedeploy:GetDeployment", "deploymentId is one"): {"deploymentId": "1"},
    ("codedeploy:StopDeployment", "deploymentId is one"): {"deploymentId": "d-"},
    ("codedeploy:ListDeployments", "an application comes with its group"): {"applicationName": "heart"},
    ("codedeploy:ListDeployments", "a group comes with its application"): {"deploymentGroupName": "production"},
    ("codedeploy:ListDeployments", "a time range begins before it ends"): {"createTimeRange": RANGE},
    ("events:PutEvents", "an entry has at most 1 MB"): {"Entries": [EVENT | {"Detail": "x" * KB * KB}]},
    ("events:PutEvents", "a request has at most 1 MB"): {"Entries": [EVENT | {"Detail": "x" * 600 * KB}] * 2},
    ("sns:Publish", "a target is there"): {"Message": "m"},
    ("sns:Publish", "a message says something"): PUBLISH | {"Message": ""},
    ("sns:Publish", "a message has at most 256 KB"): PUBLISH | {"Message": "x" * (256 * KB + 1)},
    ("sns:Publish", "a subject has less than 100 characters"): PUBLISH | {"Subject": "x" * 100},
    ("sns:Publish", "a subject has no line breaks or control characters"): PUBLISH | {"Subject": "a\nb"},
    ("ecr:PutImage", "a media type is told, unless the manifest has it"): PUT_IMAGE | {"imageManifest": "{}"},
    ("ecr:PutImage", "a tag is one that Docker takes"): PUT_IMAGE | {"imageTag": "x" * 129},
    ("ecr:DescribeImages", "maxResults does not come with imageIds"):
        {"repositoryName": "heart", "imageIds": [{"imageTag": "v1"}], "maxResults": 2},
    ("ecr:DescribeImages", "nextToken does not come with imageIds"):
        {"repositoryName": "heart", "imageIds": [{"imageTag": "v1"}], "nextToken": "t"},
    ("codebuild:BatchGetBuilds", "an id is PROJECT:UUID or its ARN"): {"ids": ["heart"]},
    ("codebuild:StopBuild", "an id is PROJECT:UUID or its ARN"): {"id": "heart"},
    ("codebuild:StartBuild", "a variable's name is one that a shell takes"):
        {"projectName": "heart", "environmentVariablesOverride": [{"name": "A-B", "value": ""}]},
    ("s3:PutObject", "a key has at most 1,024 bytes"): BUCKET | {"Key": "é" * 513},
    ("s3:PutObject", "a bucket's name has 3 to 63 small letters, digits, dots and hyphens"): BUCKET | {"Bucket": "Ab"},
    ("cloudwatch:DescribeAlarms", "names or a prefix"): {"AlarmNames": ["a"], "AlarmNamePrefix": "a"},
    ("lambda:Invoke", "a payload has at most 6 MB"): {"FunctionName": "f", "Payload": b"x" * (6 * KB * KB + 1)},
    ("lambda:Invoke", "an asynchronous payload has at most 1 MB"):
        {"FunctionName": "f", "Payload": b"x" * (KB * KB + 1), "InvocationType": "Event"},
    ("cloudformation:CreateChangeSet", "a template in the request has at most 51,200 bytes"):
        CHANGES | {"TemplateBody": "x" * 51_201},
    ("cloudformation:CreateChangeSet", "a parameter's value has at most 4,096 bytes"):
        CHANGES | {"Parameters": [{"ParameterKey": "k", "ParameterValue": "x" * 4097}]},
}  # fmt: skip
RULES = [rule for rules in documented.RULES.values() for rule in rules]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One stand for all: a refused call changes nothing."""
    with standing(tmp_path_factory.mktemp("walk")) as stand:
        yield stand


def test_every_rule_has_a_request_that_it_refuses_and_a_source() -> None:
    """A rule that is added is tried here, and a call that has rules is one that is made."""
    assert {(rule.call, rule.asks) for rule in RULES} == set(REFUSED)
    assert all(rule.source.startswith(("https://docs.aws.amazon.com/", "https://aws.amazon.com/")) for rule in RULES)
    made = walked.of_functions() | walked.of_console() | {"ssm:PutParameter", "codecommit:CreateRepository"}
    assert {rule.call for rule in RULES} <= made


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule.call} {rule.asks}" for rule in RULES])
def test_every_documented_rule_is_kept(rule: documented.Rule, stand: Stand) -> None:
    """The local AWS refuses the request before anything is done, with the error that AWS documents."""
    service, _, operation = rule.call.partition(":")
    with pytest.raises(ClientError) as refused:
        getattr(stand.client(service), xform_name(operation))(**REFUSED[rule.call, rule.asks])
    assert refused.value.response["Error"]["Code"] == rule.code


@pytest.mark.parametrize(
    ("call", "params"),
    [
        ("ssm:PutParameter", PARAMETER | {"Value": "x" * 4096}),
        ("dynamodb:PutItem", {"TableName": "tab", "Item": item(400 * KB)}),
        ("dynamodb:BatchWriteItem", {"RequestItems": batch(1, 25)}),
        ("codecommit:PostCommentForComparedCommit", COMMENT | {"content": "x" * 10_240}),
        ("codedeploy:CreateDeployment", DEPLOY | {"description": "x" * 256}),
        ("sns:Publish", PUBLISH | {"Subject": "x" * 99, "Message": "x" * 256 * KB}),
        ("lambda:Invoke", {"FunctionName": "f", "Payload": b"x" * KB * KB, "InvocationType": "Event"}),
        ("events:PutEvents", {"Entries": [EVENT] * 10}),
    ],
)
def test_what_is_just_allowed_passes(call: str, params: dict[str, Any]) -> None:
    """A limit is where AWS has it, and not below."""
    service, _, operation = call.partition(":")
    judge(service, operation, params)


@pytest.mark.parametrize(
    ("call", "params", "what"),
    [
        ("events:PutEvents", {"Entries": [EVENT] * 11}, "Entries has length 11"),
        ("codecommit:GetBlob", {"repositoryName": "a b", "blobId": SHA}, "must satisfy the pattern"),
        ("ecr:BatchGetImage", {"repositoryName": "heart", "imageIds": [{"imageTag": "v"}] * 101}, "length 101"),
        ("codebuild:BatchGetBuilds", {"ids": ["a:b"] * 101}, "length 101"),
        ("dynamodb:TransactWriteItems", {"TransactItems": [put(50)] * 101}, "length 101"),
        ("codedeploy:CreateDeployment", DEPLOY | {"fileExistsBehavior": "KEEP"}, "must be one of"),
        ("codedeploy:CreateDeployment", {}, "applicationName is required"),
        ("ssm:GetParametersByPath", {"Path": "/a", "MaxResults": 11}, "must be from 1 to 10"),
        ("cloudwatch:DescribeAlarms", {"AlarmNames": ["a"] * 101}, "length 101"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(call: str, params: dict[str, Any], what: str) -> None:
    """Lengths, patterns, enums, bounds and required members are botocore's model's, of every shape of a request."""
    service, _, operation = call.partition(":")
    with pytest.raises(AwsError, match=what):
        judge(service, operation, params)


def test_python_reads_every_pattern_of_the_calls_that_are_made() -> None:
    """A pattern that only Java reads judges nothing. There are some, of targets and tags, which nobody sends."""
    calls = (call.split(":") for call in sorted(walked.of_functions() | walked.of_console()))
    unread = [row for service, operation in calls for row in model.unreadable(service, operation)]
    assert unread == [f"{member}: pattern unreadable" for member in ("Tags[].Key", "Tags[].Value", "Targets[].Key")]


def test_a_second_deployment_of_a_group_is_refused_while_the_first_runs(stand: Stand) -> None:
    """One of the rules that depend on what is there; the others have their tests with their services."""
    stand.aws.create_deployment(stand.service, CLAIM, "a test", "one.zip", stand.etag)
    with pytest.raises(ClientError, match="DeploymentLimitExceeded"):
        stand.client("codedeploy").create_deployment(
            applicationName=stand.service.application,
            deploymentGroupName=stand.service.last.group,
            revision={
                "revisionType": "S3",
                "s3Location": {"bucket": stand.service.bundles, "key": "one.zip", "bundleType": "zip"},
            },
        )
    stand.local_aws.engine.finish_all()  # type: ignore[attr-defined]
