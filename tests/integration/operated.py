"""A controller's table with a history in it, and an operator who types: on moto's table, without functions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from console.cli.main import main
from console.read.remote import Controller, Invoked
from console.read.session import Shell
from esteira import operate
from esteira.aws import Aws
from esteira.aws_events import Refused
from esteira.config import Service, Settings
from esteira.context import Context
from esteira.core.facts import (
    Accepted,
    BuildEnded,
    BuildStarted,
    Claimed,
    DeploymentBegun,
    DeploymentEnded,
    DeploymentStarted,
    Diagnosed,
    ImageScanned,
    Pushed,
    Replaced,
    Rollout,
    RolloutFinished,
)
from esteira.core.status import status_of, statuses
from esteira.fact import Fact
from esteira.store import Store

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
CLIENT: Any = boto3.client  # typed for literal names only
CRASH = "ApplicationStart: the container ended with 1\nTraceback (most recent call last):\nValueError: no model [v3]"


def commit(number: int) -> str:
    return f"{number}abc" + "0" * 36


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def service(name: str = "heart", stages: Sequence[dict[str, Any]] = ()) -> Service:
    return Service(
        name=name, repository=name, images=name, image_uri=f"example/{name}", project=name, application=name,
        stages=stages or ({"name": "production", "group": name},), bundles=f"{name}-bundles",
    )  # fmt: skip


class World:
    """A controller's table with a history in it, an operator's function, and a clock that a story moves on."""

    def __init__(self, state: Path, heart: Service) -> None:
        self.state = state
        self.now = START
        self.asked: list[tuple[str, Any]] = []
        self.dynamodb, self.ssm = CLIENT("dynamodb"), CLIENT("ssm")
        self.dynamodb.create_table(
            TableName="esteira-Table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        self.store = Store(self.dynamodb, "esteira-Table")
        self.heart = heart
        self.register(self.heart)
        note = {
            "endpoint": "http://127.0.0.1:9",
            "stack": "esteira",
            "pid": os.getpid(),
            "remotes": {"heart": "REMOTE"},
        }
        (state / "local.json").write_text(json.dumps(note))

    def register(self, service: Service) -> None:
        self.ssm.put_parameter(
            Name=f"/esteira/services/{service.name}", Value=service.model_dump_json(), Type="String", Overwrite=True
        )

    def tick(self, **length: float) -> datetime:
        self.now += timedelta(**(length or {"seconds": 20}))
        return self.now

    def record(self, *said: Fact) -> None:
        for fact in said:
            assert self.store.record("heart", replace(fact, at=self.tick()))

    def push(self, number: int, **more: Any) -> None:
        pushed = Pushed(at=self.tick(minutes=5), number=number, source="commit", commit=commit(number), **more)
        assert self.store.birth("heart", pushed)

    def build(self, number: int) -> None:
        common: dict[str, Any] = {"at": START, "release": number, "attempt": 1}
        self.record(
            Claimed(**common, action="build", take=1, lease=START),
            BuildStarted(**common, build=f"heart:{number}"),
            BuildEnded(**common, build=f"heart:{number}", status="SUCCEEDED"),
            Accepted(**common, digest=digest(number), reused=False),
        )

    def deploy(
        self,
        number: int,
        live: int,
        succeeded: bool,
        rollout: int | None = None,
        kind: Any = "deploy",
        stage: str = "production",
    ) -> None:
        at = rollout or number
        self.rollout(number, at, live, kind, stage)
        name = f"d-{at}" if stage == "production" else f"d-{stage}-{at}"
        self.record(
            DeploymentStarted(
                at=START, release=number, stage=stage, rollout=at, attempt=1, deployment=name, digest=digest(number)
            ),
            DeploymentBegun(at=START, deployment=name),
            DeploymentEnded(at=START, deployment=name, status="Succeeded" if succeeded else "Failed"),
        )
        if not succeeded:
            self.record(Diagnosed(at=START, deployment=name, cause=CRASH))
        elif live and kind == "deploy":
            self.record(Replaced(at=START, release=live, stage=stage, rollout=at, by=number))
        self.record(RolloutFinished(at=START, stage=stage, rollout=at, release=number, succeeded=succeeded))

    def rollout(self, number: int, rollout: int, live: int, kind: Any, stage: str) -> None:
        order = self.store.stage("heart", stage).rollback
        assert self.store.claim_rollout(
            "heart",
            Rollout(
                at=self.tick(), stage=stage, number=rollout, release=number, attempt=1, digest=digest(number),
                kind=kind, live=live, healthy=(1,) if number > 1 else (), served=order.key if order else "",
                lease=self.now, deadline=self.now,
            ),
        )  # fmt: skip

    def project(self, *numbers: int) -> None:
        for number in numbers:
            release, stages = self.store.release("heart", number), tuple(self.store.stages(self.heart))
            assert release is not None
            status = status_of(release, stages, self.now)
            self.store.project("heart", release, status, statuses(release, stages, self.now), self.now)
            if status.phase.ended:
                self.store.close("heart", number, release.attempt)

    def tell(self) -> None:
        """v1 was live, v2 is, v3 crashed at its start, v4 had a key in it."""
        for number in (1, 2):
            self.push(number, classes=("model",), changed=("train.py",), changed_count=1)
            self.build(number)
            self.deploy(number, live=number - 1, succeeded=True)
        self.record(ImageScanned(at=START, digest=digest(2), findings="HIGH 3"))
        self.push(3)
        self.build(3)
        self.deploy(3, live=2, succeeded=False)
        self.push(4, rejected="key.pem holds a private key; remove and rotate it")
        self.project(1, 2, 3, 4)

    def operate(self, function: str, payload: Any) -> Invoked:
        """Stand in for Lambda: what functions/operate.py does, but for advancing."""
        self.asked.append((function, payload))
        settings = Settings(table="esteira-Table", services_path="/esteira/services/")
        context = Context(self.store, Aws(CLIENT), settings, lambda: self.now)
        try:
            request, found = operate.read(payload, (self.heart,))
            operate.operate(request, found, context)
        except Refused as refused:
            return Invoked({"refused": str(refused)})
        return Invoked({"service": "heart", "release": "v2", "phase": "live", "why": "it is so", "actions": []})

    def run(self, *typed: str, shell: Shell | None = None) -> Result:
        shell = shell or self.shell()
        return CliRunner().invoke(main, [*typed, "--state", str(self.state)], obj=shell)

    def shell(self, invoke: Any = None, sleep: Any = lambda seconds: None) -> Shell:
        return Shell(lambda where: Controller(where, CLIENT, invoke or self.operate), lambda: self.now, sleep)

    def read(self, *typed: str) -> Any:
        result = self.run(*typed, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@contextmanager
def operated(state: Path, monkeypatch: pytest.MonkeyPatch, heart: Service) -> Iterator[World]:
    """Give a world whose service is ``heart``, with nothing of this machine's in it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "ESTEIRA_STATE", "ESTEIRA_STACK", "ESTEIRA_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("ESTEIRA_BY", "ana")
    with mock_aws():
        yield World(state, heart)
