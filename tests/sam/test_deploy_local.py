"""The second emulator as a process, and what it knows of the templates. The whole is ``make deploy-local``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import boto3
import pytest
from botocore.exceptions import ClientError

from console.local.paths import ROOT, TEMPLATE
from console.local.ports import is_open
from console.local.sam.deploy_build import fit, unknown_types
from console.local.sam.deploy_rehearsal import NEEDED, DeployError
from console.local.sam.deploy_template import types
from console.local.sam.ministack import Ministack, MinistackError, find
from console.local.template import read

pytestmark = pytest.mark.e2e
PATIENCE = 20.0
HOLDER = """
import pathlib, sys, time
from console.local.sam.ministack import Ministack
with Ministack(pathlib.Path(sys.argv[1])) as emulator:
    print(emulator.port, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def installed() -> None:
    """Skips, with what to type, where ministack is not installed."""
    try:
        find()
    except MinistackError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def emulator(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """A running emulator that enforces policies."""
    with Ministack(tmp_path_factory.mktemp("emulator"), enforced=True) as running:
        yield running


class Refusing:
    """A CloudFormation that answers every template with one error."""

    def __init__(self, said: str) -> None:
        self._said = said

    def client(self, _: str) -> Self:
        return self

    def validate_template(self, TemplateBody: str) -> None:  # noqa: N803 - boto3's word
        raise ClientError({"Error": {"Code": "ValidationError", "Message": self._said}}, "ValidateTemplate")


def closes(port: int) -> bool:
    """Whether nobody listens there any more, after some patience."""
    end = time.monotonic() + PATIENCE
    while is_open(port) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_open(port)


@pytest.mark.parametrize("template", ["template.yaml", "service.yaml"])
def test_what_the_emulator_does_not_know_is_said_in_docs_aws_md(template: str, emulator: Ministack) -> None:
    """Whoever adds a type to a template learns here that no rehearsal has it."""
    told = unknown_types(emulator.client("cloudformation"), types(read(TEMPLATE.with_name(template)).document))
    section = (ROOT / "docs" / "aws.md").read_text().partition("## Rehearsed on this machine")[2].partition("\n## ")[0]
    assert sorted(told - {*re.findall(r"`(AWS::\w+::\w+)`", section)}) == []
    assert ("AWS::CodeDeploy::DeploymentGroup" in told) == (template == "service.yaml")


def test_a_type_that_was_never_seen_is_asked_about_and_the_others_are_kept(emulator: Ministack) -> None:
    """The list comes from the emulator and not from us."""
    kinds = ("AWS::DynamoDB::Table", "AWS::Made::Up", "AWS::Made::UpToo")
    assert unknown_types(emulator.client("cloudformation"), kinds) == {"AWS::Made::Up", "AWS::Made::UpToo"}
    assert unknown_types(emulator.client("cloudformation"), tuple(sorted(NEEDED))) == frozenset()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Unrecognized resource types: [AWS::DynamoDB::Table]",
            r"refuses AWS::DynamoDB::Table, without which .* Next: ",
        ),
        ("too tired", r"refuses the types AWS::DynamoDB::Table, AWS::Made::Up in words not known: .*too tired"),
    ],
)
def test_an_emulator_that_refuses_what_is_needed_is_an_error(said: str, told: str, tmp_path: Path) -> None:
    """A rehearsal of nothing would be green."""
    rows = {"Table": {"Type": "AWS::DynamoDB::Table"}, "Made": {"Type": "AWS::Made::Up"}}
    (tmp_path / "template.yaml").write_text(json.dumps({"Resources": rows}))
    emulator: Any = Refusing(said)
    with pytest.raises(DeployError, match=told):
        fit(tmp_path, emulator, {}, lambda *_: None)


def test_who_may_not_cannot(emulator: Ministack) -> None:
    """That policies are enforced is what makes the rehearsal of the roles one."""
    iam = emulator.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    make: Any = boto3.client
    nobody = make(
        "dynamodb",
        endpoint_url=emulator.url,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        nobody.list_tables()
    assert emulator.client("dynamodb").list_tables()["TableNames"] == []


def test_two_at_once_share_nothing(emulator: Ministack, tmp_path: Path) -> None:
    """Each has a port and a folder of its own."""
    with Ministack(tmp_path) as other:
        other.client("sqs").create_queue(QueueName="here")
        assert not emulator.client("sqs").list_queues().get("QueueUrls")
        assert len(other.client("sqs").list_queues()["QueueUrls"]) == 1
    assert closes(other.port)


@pytest.mark.usefixtures("installed")
def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    """A killed rehearsal leaves no server behind."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    ) as holder:
        assert holder.stdout
        port = int(holder.stdout.readline())
        assert is_open(port)
        holder.send_signal(signal.SIGKILL)
    assert closes(port)


def test_it_writes_into_its_folder_only(emulator: Ministack) -> None:
    """Its process file, which it would put into /tmp, is there too."""
    files = {path.name for path in emulator.log.parent.rglob("*")}
    assert {f"ministack-{emulator.port}.pid", "ministack.log"} <= files


def test_a_missing_ministack_is_said_with_what_to_type(tmp_path: Path) -> None:
    """Who has not installed it reads how to."""
    with pytest.raises(MinistackError, match=r"ministack is not in .* Next: make ministack"):
        Ministack(tmp_path, tools=tmp_path)
