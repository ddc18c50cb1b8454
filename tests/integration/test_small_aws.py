"""The aws command of a machine without the AWS CLI, against the local AWS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from console.local.aws.aws_server import AwsServer
from console.local.aws.stack import LocalAws
from console.local.build.aws_cli import main, program
from console.local.rehearse.rehearsal_engine import ScriptedEngine


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    with LocalAws(tmp_path / "aws", ScriptedEngine(), keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # one that another test made signs with that test's key
        for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def test_a_login_password_is_printed_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is piped into docker login is one word."""
    assert main(["ecr", "get-login-password", "--region", "us-east-1"], tmp_path) == 0
    assert len(capsys.readouterr().out.split()) == 1


def test_parameters_are_told_as_the_aws_cli_tells_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found and not found, with values and versions."""
    boto3.client("ssm").put_parameter(Name="/heart/key", Type="SecureString", Value="secret")
    asked = ["ssm", "get-parameters", "--with-decryption", "--output", "json", "--names", "/heart/key", "/heart/gone"]
    assert main(asked, tmp_path) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["Name"], row["Value"], row["Version"]) for row in told["Parameters"]] == [("/heart/key", "secret", 1)]
    assert told["InvalidParameters"] == ["/heart/gone"]


@pytest.mark.slow
def test_anything_else_is_done_by_the_aws_cli_against_the_local_aws(tmp_path: Path) -> None:
    """It is installed when it is first needed: a bucket, a file in it, a parameter by version 2's words."""
    aws = tmp_path / "aws-program"
    aws.write_text(program(tmp_path / "packages"))
    (tmp_path / "model.txt").write_text("weights")

    def do(*words: str) -> str:
        done = subprocess.run(["sh", str(aws), *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    do("s3", "mb", "s3://models")
    do("s3", "cp", "model.txt", "s3://models/model.txt")
    assert do("s3", "ls", "s3://models").endswith("model.txt")
    do("ssm", "put-parameter", "--name", "/heart/key", "--type", "String", "--value", "v", "--no-cli-pager")
    asked = ("ssm", "get-parameter", "--name", "/heart/key", "--query", "Parameter.Value", "--output", "text")
    assert do(*asked) == "v"


def test_where_the_cli_cannot_be_had_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and the reason."""
    monkeypatch.setattr("console.local.build.aws_cli.CLI", "esteira-no-such-package==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert main(["s3", "ls"], tmp_path) == 1
    assert "the AWS CLI is not on this machine and cannot be installed: " in capsys.readouterr().err
