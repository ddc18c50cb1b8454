"""The adapters with their own clients, over HTTP, on a local AWS that loses answers when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.paths import TEMPLATE
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.template import read, with_service
from esteira.aws import Aws, client
from esteira.store import Store
from tests.wire.adapters import AT, Wire
from tests.wire.lossy import LossyAws


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The resources of the template, one commit, and the adapters exactly as a function makes them."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # one that another test made signs with that test's key
    for name, value in (("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    template = with_service(read(TEMPLATE))
    settings = next(f.environment for f in template.functions if f.handler.startswith("intake."))
    bus = Bus(clock=Clock.stopped(AT))
    with (
        LocalAws(tmp_path / "state", ScriptedEngine(manual=True), bus, keep=False) as local_aws,
        AwsServer(local_aws, "local") as server,
        LossyAws(server.url) as lossy,
    ):
        make: Any = boto3.client
        create_resources(template, lambda name: make(name, endpoint_url=server.url))
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy.url)
        client.cache_clear()
        pauses: list[float] = []
        aws = Aws(sleep=pauses.append)
        [service], _ = aws.services(settings["ESTEIRA_SERVICES_PATH"])
        commit = local_aws.codecommit.commit(service.repository, service.branch, {"app.py": b"one"}, "one")
        store = Store(client("dynamodb"), settings["ESTEIRA_TABLE"], pauses.append)
        yield Wire(lossy, local_aws, aws, store, service, commit, pauses)
        client.cache_clear()
