"""Every server of the local stack answers its owner's programs and nobody else: one table of attacks for all of them.

The model's own address is public on purpose: it is what users of the model call.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from console.local.aws import signature
from console.local.aws.api import AwsError
from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.functions import Functions, LocalFunction
from console.local.aws.stack import LocalAws
from console.local.docker.registry_server import RegistryServer
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from tests.integration.attacks import ATTACKS, Target, host_of
from tests.integration.page import call_of, cookie_of, served, story_of_two_stages

COMMIT = "8f3b6c1de2a94705b1c6d3e8f7a0925b4c1d7e60"
BUILD = {"projectName": "heart-build", "buildspecOverride": "version: 0.2\nphases: {build: {commands: [id]}}"}


@dataclass(frozen=True)
class Door:
    """A server with a request that would change something, and how one sees whether it did."""

    target: Target
    changed: Callable[[], Any]
    took: int  # the status of the owner's request


@dataclass(frozen=True)
class Local:
    """A local AWS over HTTP, with a project, a function and what it heard."""

    aws: LocalAws
    server: AwsServer
    heard: list[Any]

    def client(self, service: str, secret: str = "") -> Any:
        """A client with the run's keys, or with another secret key."""
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": secret or self.server.secret}
        make: Any = boto3.client
        return make(service, endpoint_url=self.server.url, region_name="us-east-1", **keys)

    def signed(self, service: str, headers: dict[str, str]) -> Callable[[str, str, bytes], dict[str, str]]:
        """What signs a request to a service as botocore does."""

        def sign(method: str, path: str, body: bytes) -> dict[str, str]:
            request = AWSRequest(method, f"{self.server.url}{path}", dict(headers), body)
            key: Any = Credentials("local", self.server.secret)
            SigV4Auth(key, service, "us-east-1").add_auth(request)
            return dict(request.headers.items())

        return sign


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    heard: list[Any] = []
    bus = Bus(functions=Functions([LocalFunction("esteira-operate", lambda event, _: heard.append(event))]))
    with LocalAws(tmp_path / "aws", ScriptedEngine(manual=True), bus, keep=False) as aws, AwsServer(aws) as server:
        here = Local(aws, server, heard)
        git = here.client("codecommit").create_repository(repositoryName="heart")["repositoryMetadata"]["cloneUrlHttp"]
        aws.codecommit.commit("heart", "main", {"a.py": b"1"}, "one")
        here.client("codebuild").create_project(
            name="heart-build",
            source={"type": "CODECOMMIT", "location": git},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
            serviceRole="arn:aws:iam::123456789012:role/local",
        )
        here.client("ssm").put_parameter(Name="/heart/key", Value="secret", Type="SecureString")
        bus.forget()
        yield here


def _json_door(local: Local, service: str, target: str, document: Any, changed: Callable[[], Any]) -> Door:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    body = json.dumps(document).encode()
    return Door(
        Target(host_of(local.server.url), "POST", "/", body, headers, local.signed(service, headers)), changed, 200
    )


def codebuild(local: Local) -> Door:
    """A build by somebody else's commands."""
    builds = local.aws.codebuild.builds
    return _json_door(local, "codebuild", "CodeBuild_20161006.StartBuild", BUILD, lambda: len(builds()))


def parameters(local: Local) -> Door:
    """A parameter, overwritten."""
    asked = {"Name": "/heart/key", "Value": "theirs", "Type": "String", "Overwrite": True}

    def value() -> Any:
        return local.client("ssm").get_parameter(Name="/heart/key")["Parameter"]["Version"]

    return _json_door(local, "ssm", "AmazonSSM.PutParameter", asked, value)


def operate(local: Local) -> Door:
    """An operator's word, through Lambda."""
    path, body = "/2015-03-31/functions/esteira-operate/invocations", b'{"action": "hold"}'
    target = Target(host_of(local.server.url), "POST", path, body, {}, local.signed("lambda", {}))
    return Door(target, lambda: len(local.heard), 200)


def queries(local: Local) -> Door:
    """A topic, by the protocol that is a form: what a page can send without a preflight."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = b"Action=CreateTopic&Name=theirs&Version=2010-03-31"
    target = Target(host_of(local.server.url), "POST", "/", body, headers, local.signed("sns", headers))
    return Door(target, lambda: len(local.client("sns").list_topics()["Topics"]), 200)


def objects(local: Local) -> Door:
    """A bucket, by a path and a method alone."""

    def sign(method: str, path: str, body: bytes) -> dict[str, str]:
        digest = {signature.CONTENT: hashlib.sha256(body).hexdigest()}
        return local.signed("s3", digest)(method, path, body)

    target = Target(host_of(local.server.url), "PUT", "/theirs", b"", {}, sign)
    return Door(target, lambda: len(local.client("s3").list_buckets()["Buckets"]), 200)


def hooks(local: Local) -> Door:
    """A push that nobody made, as the repositories' hooks tell of theirs."""
    body = f"{'0' * 40} {COMMIT} refs/heads/main\n".encode()
    sign = lambda *_: {"Authorization": f"Bearer {local.server.secret}"}  # noqa: E731
    target = Target(host_of(local.server.url), "POST", "/_esteira/post-receive/heart", body, {}, sign)
    return Door(target, lambda: len(local.aws.bus.events), 200)


def moto(local: Local) -> Door:
    """moto's own door, which forgets everything."""
    target = Target(host_of(local.server.url), "POST", "/moto-api/reset", b"", {}, local.signed("moto", {}))
    return Door(target, lambda: len(local.client("ssm").describe_parameters()["Parameters"]), 200)


AWS_DOORS = (codebuild, parameters, operate, queries, objects, hooks, moto)


def withstands(door: Door, attack: str) -> None:
    """The attack is refused, changes nothing, and no page may read the answer; the owner's own request is taken."""
    before = door.changed()
    answer = ATTACKS[attack](door.target)
    assert 400 <= answer.status < 500, answer
    assert not answer.readable
    assert door.changed() == before
    assert door.target.send(door.target.owned()).status == door.took
    assert door.changed() != before


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("door", AWS_DOORS)
def test_the_local_aws_answers_its_owner_alone(door: Callable[[Local], Door], attack: str, local: Local) -> None:
    """Each service by its own protocol, Lambda, the hooks' path and moto's own."""
    withstands(door(local), attack)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_registry_answers_who_logged_in(
    attack: str, local: Local, registry: RegistryServer, tmp_path: Path
) -> None:
    """An upload is begun by who has ECR's password."""
    user = local.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    sign = lambda *_: {"Authorization": f"Basic {user}"}  # noqa: E731
    target = Target(registry.address, "POST", "/v2/heart/blobs/uploads/", b"", {}, sign)
    withstands(Door(target, lambda: len(list(tmp_path.glob("registry/data/**/_uploads/*"))), 202), attack)


@pytest.fixture
def registry(local: Local, tmp_path: Path) -> Iterator[RegistryServer]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    local.client("ecr").create_repository(repositoryName="heart")
    server = RegistryServer(tmp_path / "registry", local.aws.ecr)
    yield server
    server.close()


def test_the_registry_behind_its_door_is_a_file_of_its_owner(registry: RegistryServer) -> None:
    """It has no port that could be asked past the door; the password lies in a file of mode 0600."""
    assert stat.S_ISSOCK(registry._store.stat().st_mode)
    assert stat.S_IMODE(registry._store.parent.stat().st_mode) == 0o700
    file = Path(registry.login.partition(" < ")[2])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() not in registry.login


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_page_answers_its_operator_alone(attack: str) -> None:
    """A word is said by who has the cookie, from the page itself."""
    with story_of_two_stages() as story, served(call_of(story)) as (address, page):
        body = json.dumps({"action": "hold", "service": "heart", "reason": "theirs", "minutes": 60}).encode()
        headers = {"Content-Type": "application/json", "X-Esteira": "word"}
        sign = lambda *_: {"Cookie": cookie_of(address, page)}  # noqa: E731
        target = Target(host_of(address), "POST", "/api/say", body, headers, sign)
        withstands(Door(target, lambda: story.stage_state.hold is not None, 200), attack)


# --- the signature --------------------------------------------------------------------------------------------------

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def test_what_was_signed_is_what_is_taken(local: Local) -> None:
    """Another body, path, query or header under a good signature is refused; so is what nobody signed."""
    door = codebuild(local).target
    owned = door.owned()
    assert door.send(owned, body=door.body.replace(b"[id]", b"[ls]")).status == 403
    assert door.send(owned, path="/another").status == 403
    assert door.send(owned, path="/?Action=another").status == 403
    assert door.send(owned, method="PUT").status == 403
    assert door.send({**owned, "X-Amz-Target": "CodeBuild_20161006.DeleteProject"}).status == 403
    assert door.send({**owned, "Authorization": owned["Authorization"].replace("host;", "")}).status == 403
    digest = {signature.CONTENT: "UNSIGNED-PAYLOAD"}
    assert door.send({**door.headers, **local.signed("codebuild", digest)("POST", "/", door.body)}).status == 403
    assert local.aws.codebuild.builds() == []


@pytest.mark.parametrize("age", [-16, 16, 60 * 24])
def test_a_signature_is_of_its_hour(local: Local, age: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was overheard is of no use later."""
    headers = {"host": "127.0.0.1", "x-amz-date": "20261201T120000Z"}
    request = AWSRequest("POST", "http://127.0.0.1/", dict(headers), b"")
    request.context["timestamp"] = headers["x-amz-date"]
    key: Any = Credentials("local", "secret")
    auth = SigV4Auth(key, "ssm", "us-east-1")
    right = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    scope = "local/20261201/us-east-1/ssm/aws4_request"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={right}"
    signature.check("secret", "POST", "/", headers, b"", NOW)
    with pytest.raises(AwsError, match="15 minutes"):
        signature.check("secret", "POST", "/", headers, b"", NOW + timedelta(minutes=age))


def test_a_wrong_key_is_told_what_to_do(local: Local) -> None:
    """By every protocol, with AWS's code, and without a hint of the right key."""
    asks: dict[str, Callable[[Any], Any]] = {
        "ssm": lambda client: client.describe_parameters(),
        "sns": lambda client: client.list_topics(),
        "s3": lambda client: client.list_buckets(),
        "lambda": lambda client: client.invoke(FunctionName="esteira-operate"),
    }
    for service, ask in asks.items():
        with pytest.raises(ClientError, match="AWS_SHARED_CREDENTIALS_FILE") as refused:
            ask(local.client(service, "another"))
        assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
        assert local.server.secret not in str(refused.value)


def test_the_name_of_who_signs_is_free(local: Local) -> None:
    """So several people can be played: the secret key proves that it is one of this machine's."""
    keys = {"aws_access_key_id": "ana", "aws_secret_access_key": local.server.secret, "region_name": "us-east-1"}
    make: Any = boto3.client
    assert make("sts", endpoint_url=local.server.url, **keys).get_caller_identity()["Arn"].endswith(":user/ana")


def test_the_hooks_key_is_in_a_file_of_its_owner(local: Local) -> None:
    """The hook of a push reads it; nobody else can."""
    file = local.aws.endpoint_file
    assert file.read_text().split() == [local.server.url, local.server.secret]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    hook = (Path(local.aws.codecommit.path("heart")) / "hooks" / "post-receive").read_text()
    assert local.server.secret not in hook


def test_two_runs_have_two_keys(tmp_path: Path) -> None:
    """A key that was seen once is of no use in the next run."""
    aws = LocalAws(tmp_path, ScriptedEngine(), keep=False)
    found = {AwsServer(aws).secret for _ in range(3)}
    assert len(found) == 3
    assert all(re.fullmatch(r"[0-9a-f]{40}", secret) for secret in found)
