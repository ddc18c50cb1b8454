"""What a rehearsed story is told in, whatever stands in for AWS: pushes, operators' words, time that passes, and what
AWS has seen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws_account import ACCOUNT, REGION
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.template import Stack
from esteira import identity
from esteira.claims import CLAIM_VARIABLE
from esteira.config import Service, Settings
from esteira.context import Context
from esteira.identity import Proof
from esteira.store import Store
from service_index.lookup import listed
from service_index.upkeep import compare

SIGNED_BY = "rehearsed-by"  # no header of a real proof


def settings_of(template: Stack) -> Settings:
    """The functions' settings as the template gives them to intake, in the local account."""
    environment = next(f.environment for f in template.functions if f.handler.startswith("intake."))
    return Settings(
        table=environment["ESTEIRA_TABLE"],
        services_path=environment["ESTEIRA_SERVICES_PATH"],
        account=ACCOUNT,
        region=REGION,
    )


class Scenario:
    """The controller with one service. Who inherits sets ``bus``, ``clock``, ``engine`` and ``local_aws``, and gives
    the ``context`` the functions work with."""

    bus: Bus
    clock: Clock
    engine: ScriptedEngine
    local_aws: Any

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    @property
    def context(self) -> Context:
        """The context every function here works with."""
        raise NotImplementedError

    @property
    def store(self) -> Store:
        """The controller's table."""
        return self.context.store

    @cached_property
    def service(self) -> Service:
        """The one service of template.yaml."""
        services, _ = self.context.aws.services(self.context.settings.services_path)
        return services[0]

    def index_registrations(self) -> None:
        """Let the index have the registrations, as Parameter Store's events of their making did."""
        self.bus.forget()
        compare(listed(self.context), self.context)

    def newest(self) -> int:
        """The number of the newest release, 0 before the first."""
        pushed = self.store.newest(self.service.name)
        return pushed.number if pushed else 0

    # what people and time do

    def commit(self, files: Mapping[str, bytes | None], message: str = "change") -> str:
        """Commit over the branch's tip, as a push does; the commit."""
        made: str = self.local_aws.codecommit.commit(self.service.repository, self.service.branch, files, message)
        return made

    def force_push(self, commit: str) -> None:
        """Point the branch at a commit that is there already."""
        self.local_aws.codecommit.move(self.service.repository, f"refs/heads/{self.service.branch}", commit)

    def operate(self, action: str, **request: object) -> dict[str, Any]:
        """Say an operator's word; what ``operate`` answered, or the error."""
        payload: dict[str, Any] = self.bus.functions.call("OperateFunction", self._request(action, request)).payload
        return payload

    def operate_later(self, action: str, **request: object) -> None:
        """Say an operator's word through the bus, in its threads."""
        self.bus.invoke_later("OperateFunction", self._request(action, request))

    def sweep(self) -> None:
        """Queue one sweep, as the schedule does."""
        self.bus.tick()

    def play(self) -> None:
        """Deliver every event, end every build and deployment, in this thread, until nothing moves (manual engine)."""
        self.bus.deliver_all()
        while self.engine.finish_next():
            self.bus.deliver_all()

    def pass_time(self, seconds: float, sweeps: int = 1) -> None:
        """Let time pass, sweep, and play what comes of it (manual engine)."""
        self.clock.advance(seconds)
        for _ in range(sweeps):
            self.sweep()
            self.play()

    # what AWS itself has seen

    def build_claims(self) -> list[str]:
        """The claim of every build CodeBuild ever started."""
        variables = (b["environment"]["environmentVariables"] for b in self.local_aws.codebuild.builds())
        return [v["value"] for row in variables for v in row if v["name"] == CLAIM_VARIABLE]

    def deployment_claims(self) -> list[str]:
        """The claim of every deployment CodeDeploy ever created."""
        return [d.get("description", "").split(" ", 1)[0] for d in self.local_aws.codedeploy.deployments()]

    def succeeded_deployments(self) -> list[str]:
        """The descriptions of the deployments that succeeded, oldest first."""
        return [d.get("description", "") for d in self.local_aws.codedeploy.deployments() if d["status"] == "Succeeded"]

    def _request(self, action: str, request: Mapping[str, object]) -> dict[str, object]:
        defaults = {"by": "ana", "reason": "a test", "request": f"request-{next(self._numbers):08d}"}
        said = {**defaults, "service": self.service.name, "action": action, **request}
        proof = {"headers": {SIGNED_BY: said["by"]}}
        return {"proof": proof, **said} if action == "approve" else said


def rehearsed_caller(proof: Proof, request: Mapping[str, Any]) -> str:
    """Who signed: a person of the rehearsal by their name, anybody else as STS says it."""
    name = proof.headers.get(SIGNED_BY)
    return f"arn:aws:iam::{ACCOUNT}:user/{name}" if name else identity.caller(proof, request)
