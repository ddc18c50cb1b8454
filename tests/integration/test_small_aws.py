"""The aws command of a machine without the AWS CLI, against the local AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from console.local.aws.aws_server import AwsServer
from console.local.aws.stack import LocalAws
from console.local.build.aws_cli import main
from console.local.rehearse.rehearsal_engine import ScriptedEngine


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    with LocalAws(tmp_path / "aws", ScriptedEngine(), keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def test_a_login_password_is_printed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """What is piped into docker login is one word."""
    assert main(["ecr", "get-login-password", "--region", "us-east-1"]) == 0
    assert len(capsys.readouterr().out.split()) == 1


def test_parameters_are_told_as_the_aws_cli_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Found and not found, with values and versions."""
    boto3.client("ssm").put_parameter(Name="/heart/key", Type="SecureString", Value="secret")
    asked = ["ssm", "get-parameters", "--with-decryption", "--output", "json", "--names", "/heart/key", "/heart/gone"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["Name"], row["Value"], row["Version"]) for row in told["Parameters"]] == [("/heart/key", "secret", 1)]
    assert told["InvalidParameters"] == ["/heart/gone"]


@pytest.mark.parametrize("words", [["s3", "ls"], ["ecr"], ["ecr", "get-login-password", "--no-such-option"]])
def test_anything_else_says_what_it_can_do(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and the next step."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert "Install the AWS CLI for the rest" in capsys.readouterr().err
