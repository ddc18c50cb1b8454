"""Reading without boto3's clients: the same rows, the same errors, the same addresses as by them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from console.local.aws.aws_server import AwsServer
from console.local.aws.stack import LocalAws
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.read import wire
from console.read.remote import Controller
from console.read.table import DynamoReads
from console.read.where import Where
from console.read.wire import Key, Wire
from esteira.store import Store
from tests.integration.operated import Operated, service

pytestmark = pytest.mark.integration
KEY = Key("local", "local")
CLIENT: Any = boto3.client  # typed for literal names only


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The local AWS over HTTP, with a history in its table."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # one that another test made signs with that test's key
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with LocalAws(tmp_path / "aws", ScriptedEngine(), keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        CLIENT("dynamodb").create_table(
            TableName="esteira-Table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        Operated(tmp_path, service(), CLIENT).tell()
        yield server.url


def test_rows_are_the_same_by_the_wire_and_by_boto3(url: str) -> None:
    """Every kind of value, newest first and up to a bound, and a row that is not there."""
    reads: Any = DynamoReads(Wire(url, key=KEY, region="us-east-1"))
    table, store = Store(reads, "esteira-Table"), Store(CLIENT("dynamodb"), "esteira-Table")
    for number in (1, 2, 3, 4):
        assert table.release("heart", number) == store.release("heart", number)
    assert table.release("heart", 4) is not None
    assert table.release("heart", 9) is None
    assert table.views("heart", 2, 4) == store.views("heart", 2, 4)
    assert [view.number for view in table.views("heart", 2, 4)] == [3, 2]
    assert list(table.stages(service())) == list(store.stages(service()))
    assert table.open("heart") == store.open("heart")
    assert table.snapshot_rows(service(), (1, 3)) == store.snapshot_rows(service(), (1, 3))


def test_a_long_partition_comes_page_by_page(url: str) -> None:
    """DynamoDB answers one megabyte at a time, SSM ten registrations."""
    for n in range(5):
        item = {"pk": {"S": "heart#long"}, "sk": {"S": f"row#{n}"}, "text": {"S": "x" * 300_000}}
        CLIENT("dynamodb").put_item(TableName="esteira-Table", Item=item)
    for n in range(12):
        document = service(f"heart-{n}").model_dump_json()
        CLIENT("ssm").put_parameter(Name=f"/esteira/services/heart-{n}", Value=document, Type="String")
    asked: list[str] = []
    ask = Wire(url, key=KEY, region="us-east-1")

    def counted(service: str, operation: str, **request: Any) -> dict[str, Any]:
        asked.append(operation)
        return ask(service, operation, **request)

    reads: Any = DynamoReads(counted)
    rows = Store(reads, "esteira-Table")._query("heart", "long", "row#")
    assert [row["sk"] for row in rows] == [f"row#{n}" for n in range(5)]
    assert len(asked) > 1
    services, faults = Controller(Where("esteira", url)).services()
    assert (len(services), faults) == (13, ())


def test_a_registration_that_is_refused_is_told(url: str) -> None:
    """The others are still there, and the sentence names the field."""
    CLIENT("ssm").put_parameter(Name="/esteira/services/lungs", Value='{"name": "lungs"}', Type="String")
    services, faults = Controller(Where("esteira", url)).services()
    assert [s.name for s in services] == ["heart"]
    assert "the registration /esteira/services/lungs is refused: repository" in faults[0]


def test_an_error_is_botocores_with_its_code_and_words(url: str) -> None:
    """Whatever puts errors into words knows these already."""
    request = {"TableName": "nowhere", "Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}
    with pytest.raises(ClientError) as by_wire:
        Wire(url, key=KEY, region="us-east-1")("dynamodb", "GetItem", **request)
    with pytest.raises(ClientError) as by_client:
        CLIENT("dynamodb").get_item(**request)
    assert by_wire.value.response["Error"] == by_client.value.response["Error"]
    assert by_wire.value.operation_name == by_client.value.operation_name


def test_where_nobody_listens_no_key_is_or_no_region_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As botocore's clients say it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(wire.time, "sleep", lambda _: None)
    with pytest.raises(EndpointConnectionError):
        Wire("http://127.0.0.1:9", key=KEY, region="us-east-1")("dynamodb", "ListTables")
    with pytest.raises(NoCredentialsError):
        Wire("http://127.0.0.1:9", region="us-east-1")("dynamodb", "ListTables")
    with pytest.raises(NoRegionError):
        Wire("http://127.0.0.1:9", key=KEY)("dynamodb", "ListTables")


@pytest.mark.parametrize(
    ("answers", "asked", "code"),
    [
        ([(500, "InternalServerError"), (400, "ThrottlingException"), (200, "")], 3, ""),
        ([(500, "InternalServerError")] * 3, 3, "InternalServerError"),
        ([(400, "AccessDeniedException")], 1, "AccessDeniedException"),
    ],
)
def test_what_may_heal_is_asked_again_and_a_refusal_is_not(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, str]], asked: int, code: str
) -> None:
    """Everything sent over the wire only reads."""
    monkeypatch.setattr(wire.time, "sleep", lambda _: None)
    left, heard = list(answers), []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.headers["X-Amz-Target"])
            status, error = left.pop(0)
            body = json.dumps({"__type": f"com.amazonaws#{error}", "message": "no"} if error else {"TableNames": ["t"]})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask = Wire(f"http://127.0.0.1:{server.server_port}", key=KEY, region="us-east-1")
        if code:
            with pytest.raises(ClientError) as refused:
                ask("dynamodb", "ListTables")
            assert refused.value.response["Error"]["Code"] == code
        else:
            assert ask("dynamodb", "ListTables") == {"TableNames": ["t"]}
        server.shutdown()
    assert heard == ["DynamoDB_20120810.ListTables"] * asked


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_DEFAULT_REGION": "us-east-1"},
        {"AWS_DEFAULT_REGION": "cn-north-1"},
        {"AWS_DEFAULT_REGION": "us-gov-west-1"},
        {"AWS_DEFAULT_REGION": "us-west-2", "AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000"},
    ],
)
def test_aws_is_at_the_address_where_botocore_finds_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """In every partition, and where a configuration says otherwise."""
    for unset in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(unset, raising=False)
    for variable, value in {**environment, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(variable, value)
    client: Any = boto3.Session().client
    for name in ("dynamodb", "ssm", "lambda"):
        assert Wire()._url(name) == client(name).meta.endpoint_url
