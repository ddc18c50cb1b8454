"""The list of what is let through is true: each of these things is done here and passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.local.aws.aws_server import AwsServer
from console.local.aws.strict.leniencies import LENIENCIES
from tests.walk.stand import Stand, standing
from tests.walk.test_lists import over_http

pytestmark = pytest.mark.integration
DOCUMENT = Path(__file__).parents[2] / "docs" / "local-aws.md"
ROLE = "arn:aws:iam::123456789012:role/there-is-none"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One stand for all."""
    with standing(tmp_path_factory.mktemp("walk")) as stand:
        yield stand


def sources(s: Stand) -> bool:
    entry = {"Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": "{}"}
    return bool(s.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0)


def rights(s: Stand) -> bool:
    s.client("ssm").put_parameter(Name="/anybody", Value="x", Type="String")  # nobody was asked who
    return True


def roles(s: Stand) -> bool:
    s.client("codedeploy").create_deployment_group(
        applicationName=s.service.application, deploymentGroupName="roleless", serviceRoleArn=ROLE
    )
    return True


def throttles(s: Stand) -> bool:
    return all(s.aws.tip(s.service) for _ in range(200))


def consistency(s: Stand) -> bool:
    dynamodb, table = s.client("dynamodb"), s.client("dynamodb").list_tables()["TableNames"][0]
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    dynamodb.put_item(TableName=table, Item=key)
    return "Item" in dynamodb.get_item(TableName=table, Key=key)


def layers(s: Stand) -> bool:
    manifest = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [{"digest": "sha256:none"}]}
    s.client("ecr").put_image(repositoryName=s.service.images, imageManifest=json.dumps(manifest))
    return True


def lifecycle(s: Stand) -> bool:
    s.local_aws.clock.advance(400 * 86_400)
    return any(image.digest == s.digest for image in s.local_aws.ecr.images(s.service.images))


def keys(s: Stand) -> bool:
    s.client("ssm").put_parameter(Name="/sealed", Value="x", Type="SecureString", KeyId="there-is-none")
    return s.aws.secret("/sealed") == "x"


def lists(s: Stand) -> bool:
    for n in range(5):
        s.client("ssm").put_parameter(Name=f"/whole/{n}", Value="x", Type="String")
    with AwsServer(s.local_aws, signed=False) as server:
        _, page = over_http(server, "AmazonSSM.GetParametersByPath", {"Path": "/whole/"}, "ssm")
    return len(page["Parameters"]) == 5


def paths(s: Stand) -> bool:
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    with AwsServer(s.local_aws, signed=False) as server:
        connection = HTTPConnection(urlsplit(server.url).netloc)
        scope = "Credential=local/20260101/us-east-1/s3/aws4_request"
        sign = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=local"}
        connection.request("PUT", f"/{s.service.bundles}/{'k' * 1025}", b"x", sign)
        return connection.getresponse().status != 404


def quotas(s: Stand) -> bool:
    ecr, manifest = s.client("ecr"), json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json"})
    for n in range(1_001):
        ecr.put_image(repositoryName=s.service.images, imageManifest=manifest, imageTag=f"tag-{n}")
    return True


def topics(s: Stand) -> bool:
    made = s.client("sns").subscribe(TopicArn=s.topic, Protocol="email", Endpoint="a@example.com")
    return str(made["SubscriptionArn"]).startswith(s.topic)


PROOFS: dict[str, Callable[[Stand], bool]] = {
    proof.__name__: proof
    for proof in (
        sources, rights, roles, throttles, consistency, layers, lifecycle, keys, lists, paths, quotas, topics,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", LENIENCIES)
def test_what_is_said_to_pass_passes(name: str, stand: Stand) -> None:
    """When one of these begins to be refused, its line goes."""
    assert PROOFS[name](stand)


def test_every_leniency_is_tried_printed_and_documented() -> None:
    """The command and the document have every line."""
    assert set(PROOFS) == set(LENIENCIES)
    printed = " ".join(CliRunner().invoke(main, ["local", "leniencies"]).output.split())
    document = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    for one in LENIENCIES.values():
        assert one.here in printed
        assert one.aws in printed
        assert f"| {one.here} | {one.aws} |" in document
