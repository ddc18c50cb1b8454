"""A buildspec's env.parameter-store and env.secrets-manager, fetched from the local AWS as CodeBuild fetches them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.local.aws.aws_server import AwsServer
from console.local.aws.stack import LocalAws
from console.local.build.builder import run_build
from console.local.engine import BuildJob, BuildResult
from console.local.rehearse.rehearsal_engine import ScriptedEngine

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "local"}  # the local AWS asks for its own key
SPEC = """
version: 0.2
env:
  parameter-store:
    TOKEN: /heart/token
  secrets-manager:
    PASSWORD: database:password
    WHOLE: database
  exported-variables: [TOKEN, PASSWORD, WHOLE, COMMITS]
phases:
  build:
    commands:
      - COMMITS=$(git log --oneline | wc -l) && export COMMITS
"""
Build = Callable[..., BuildResult]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with LocalAws(tmp_path / "aws", ScriptedEngine(), keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        yield server.url


@pytest.fixture
def build(tmp_path: Path, url: str) -> Build:
    """Build two commits' repository by SPEC; ``more`` are fields of the job."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "buildspec.yml").write_text(SPEC)
    subprocess.run([*GIT, "init", "-q"], cwd=work, check=True)
    for message in ("one", "two"):
        subprocess.run([*GIT, "add", "-A"], cwd=work, check=True)
        subprocess.run([*GIT, "commit", "-q", "--allow-empty", "-m", message], cwd=work, check=True)
    commit = subprocess.check_output([*GIT, "rev-parse", "HEAD"], cwd=work, text=True).strip()
    arn = f"arn:aws:codebuild:{REGION}:123456789012:build/heart:1"

    def run(environment: dict[str, str] | None = None, **more: Any) -> BuildResult:
        job = BuildJob(
            "heart:1", arn, "heart", work, commit, {**CREDENTIALS, "AWS_ENDPOINT_URL": url, **(environment or {})},
            None, tmp_path / "log", 60.0, threading.Event(), **more,
        )  # fmt: skip
        return run_build(job, lambda _: {}, Path(sys.executable))

    return run


def put(url: str, name: str, call: str, **words: str) -> None:
    """Make a parameter or a secret in the local AWS."""
    make: Any = boto3.client
    keys = {key.lower(): CREDENTIALS[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    getattr(make(name, region_name=REGION, endpoint_url=url, **keys), call)(**words)


def test_values_come_from_where_the_buildspec_says(build: Build, url: str) -> None:
    """A parameter, a secret, and one key of it; what the project gives goes before. The source has its history."""
    put(url, "ssm", "put_parameter", Name="/heart/token", Type="SecureString", Value="t0")
    put(url, "ssm", "put_parameter", Name="/heart/other", Type="String", Value="t1")
    put(url, "secretsmanager", "create_secret", Name="database", SecretString='{"password": "p"}')
    result = build()
    assert result.status == "SUCCEEDED", result
    assert result.exported == {"TOKEN": "t0", "PASSWORD": "p", "WHOLE": '{"password": "p"}', "COMMITS": "2"}
    assert build({"TOKEN": "mine"}).exported["TOKEN"] == "mine"
    assert build(remote={"TOKEN": ("PARAMETER_STORE", "/heart/other")}).exported["TOKEN"] == "t1"


def test_what_is_not_there_fails_the_build_in_codebuild_s_words(build: Build, url: str) -> None:
    """In DOWNLOAD_SOURCE, and no command runs."""
    failed = build()
    assert failed.status == "FAILED"
    assert [phase.name for phase in failed.phases] == ["DOWNLOAD_SOURCE", "FINALIZING"]
    assert "Decrypted Variables Error Message: parameter does not exist: /heart/token" in failed.phases[0].message
    put(url, "ssm", "put_parameter", Name="/heart/token", Type="SecureString", Value="t0")
    assert "Secrets Manager Error Message: database:password: " in build().phases[0].message
    put(url, "secretsmanager", "create_secret", Name="database", SecretString="{}")
    assert "the secret has no key password" in build().phases[0].message
