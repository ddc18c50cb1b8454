"""A controller's table with a history in it, and an operator who types: in memory, without functions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.cli.main import main
from console.local.aws.bus import Bus
from console.local.aws.faults import Faults
from console.local.aws.strict.lists import Lists
from console.read.remote import Controller, Invoked
from console.read.session import Shell
from esteira import operate
from esteira.aws import Aws
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import (
    Accepted,
    BuildEnded,
    BuildStarted,
    Claimed,
    DeploymentReported,
    DeploymentStarted,
    Diagnosed,
    Pushed,
    Replaced,
    Rollout,
    RolloutFinished,
)
from esteira.core.status import assess
from esteira.fact import Fact
from esteira.refusal import Refused
from esteira.snapshot import snapshot
from esteira.store import Store
from esteira.trail import ImageScanned
from tests.unit.conftest import SETTINGS
from tests.world.door import Client
from tests.world.services import Ssm
from tests.world.table import Table

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
CRASH = "ApplicationStart: the container ended with 1\nTraceback (most recent call last):\nValueError: no model [v3]"


PEOPLE = "arn:aws:iam::123456789012:user"


def commit(number: int) -> str:
    return f"{number}abc" + "0" * 36


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def service(name: str = "heart", stages: Sequence[dict[str, Any]] = ()) -> Service:
    return Service(
        name=name, repository=name, images=name, image_uri=f"example/{name}", project=name, application=name,
        stages=stages or ({"name": "production", "group": name},), bundles=f"{name}-bundles",
    )  # fmt: skip


class ListedTable(Table):
    """The one table of the account."""

    def list_tables(self, _: Any) -> dict[str, Any]:
        """ListTables."""
        return {"TableNames": ["esteira-Table"]}


def in_memory() -> Callable[[str], Any]:
    """Clients of an account in memory: a table, parameters, and a Lambda that only has a Region."""
    faults, places = Faults(), {"dynamodb": ListedTable(), "ssm": Ssm(Bus())}
    made = {name: Client(name, there, faults, Lists()) for name, there in places.items()}
    region = SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1"))
    return lambda name: made.get(name, region)


class Operated:
    """A controller's table with a history in it, an operator's function, and a clock that a story moves on."""

    def __init__(self, state: Path, heart: Service, client: Callable[[str], Any]) -> None:
        self.state = state
        self.now = START
        self.asked: list[tuple[str, Any]] = []
        self.client, self.ssm = client, client("ssm")
        self.store = Store(client("dynamodb"), "esteira-Table")
        self.heart = heart
        self.register(self.heart)
        self.note(pages={"heart": "http://127.0.0.1:8"})

    def note(self, pages: dict[str, str]) -> None:
        """Write down where the local stack is, as it does itself."""
        told = {
            "endpoint": "http://127.0.0.1:9",
            "stack": "esteira",
            "pid": os.getpid(),
            "remotes": {"heart": "REMOTE"},
        }
        (self.state / "local.json").write_text(json.dumps({**told, "pages": pages}))

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
        order = self.store.stage("heart", stage).rollback if kind == "rollback" else None
        self.rollout(number, at, live, kind, stage)
        name = f"d-{at}" if stage == "production" else f"d-{stage}-{at}"
        self.record(
            DeploymentStarted(
                at=START, release=number, stage=stage, rollout=at, attempt=1, deployment=name, digest=digest(number)
            ),
            DeploymentReported(at=START, deployment=name, status="InProgress"),
            DeploymentReported(at=START, deployment=name, status="Succeeded" if succeeded else "Failed"),
            Diagnosed(
                at=START,
                deployment=name,
                failed=not succeeded,
                cause="" if succeeded else CRASH,
                event="" if succeeded else "ApplicationStart",
                answers=(f"i-1: {'Succeeded' if succeeded else 'Failed'}",),
            ),
        )
        if succeeded and live:
            said = {"ordered_by": order.by, "reason": order.reason} if order else {}
            self.record(Replaced(at=START, release=live, stage=stage, rollout=at, by=number, **said))
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
        s = snapshot(self.store, self.heart, self.now, numbers)
        for number in numbers:
            release = s.release(number)
            assert release is not None
            assessed = assess(release, s.stages, self.now)
            self.store.project("heart", release, assessed.overall, assessed.shown(s.stages), self.now)
            if assessed.overall.phase.ended:
                self.store.close("heart", number, release.attempt)

    def tell(self) -> None:
        """v1 was live, v2 is, v3 crashed at its start, v4 had a key in it."""
        for number in (1, 2):
            self.push(number, classes=("model",), changed=("train.py",), changed_count=1)
            self.build(number)
            self.deploy(number, live=number - 1, succeeded=True)
        self.record(ImageScanned(at=START, digest=digest(2), scanned_at=START, findings="HIGH 3"))
        self.push(3)
        self.build(3)
        self.deploy(3, live=2, succeeded=False)
        self.push(4, rejected="key.pem holds a private key; remove and rotate it")
        self.project(1, 2, 3, 4)

    def operate(self, function: str, payload: Any) -> Invoked:
        """Stand in for Lambda: what functions/operate.py does, but for advancing and for STS, which knows everybody who
        proves something by the name they go by."""
        self.asked.append((function, payload))
        settings = SETTINGS.model_copy(update={"table": "esteira-Table"})
        context = Context(self.store, Aws(self.client), settings, lambda: self.now)
        try:
            request, found = operate.read(payload, (self.heart,))
            if request.proof is not None:
                request = request.model_copy(update={"arn": f"{PEOPLE}/{request.by}"})
            operate.operate(request, found, context)
        except Refused as refused:
            return Invoked({"refused": str(refused)})
        return Invoked({"service": "heart", "release": "v2", "phase": "live", "why": "it is so", "actions": []})

    def run(self, *typed: str, shell: Shell | None = None, given: str | bytes | None = None) -> Result:
        shell = shell or self.shell()
        return CliRunner().invoke(main, [*typed, "--state", str(self.state)], input=given, obj=shell)

    def shell(self, invoke: Any = None, sleep: Any = lambda seconds: None) -> Shell:
        return Shell(lambda where: Controller(where, self.client, invoke or self.operate), lambda: self.now, sleep)

    def read(self, *typed: str) -> Any:
        result = self.run(*typed, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@contextmanager
def operated(state: Path, monkeypatch: pytest.MonkeyPatch, heart: Service) -> Iterator[Operated]:
    """A controller whose service is ``heart``, with nothing of this machine in it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "ESTEIRA_STATE", "ESTEIRA_STACK", "ESTEIRA_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("ESTEIRA_BY", "ana")
    yield Operated(state, heart, in_memory())
