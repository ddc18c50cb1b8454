"""The whole story in one process and in no time: the controller on the local AWS, with the rules and resources of
template.yaml, a clock of its own, and builds and deployments that end as a script says.

The chaos run, the crash-point tests and the benchmark play on it; the demo and ``esteira local up`` do not.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from console.local.account import ACCOUNT, REGION
from console.local.aws.bus import Bus, Chaos
from console.local.aws.clock import Clock
from console.local.aws.faults import Faults, Hook
from console.local.aws.functions import Functions, LocalFunction, load
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.paths import FUNCTIONS, TEMPLATE, quiet_functions
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.stages import Rules, give_stages
from console.local.template import read
from esteira.aws import Aws
from esteira.claims import CLAIM_VARIABLE
from esteira.config import Service, Settings
from esteira.context import Context, Decision
from esteira.store import Store


def _made(service: str, *, once: bool = False) -> Any:
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(service, config=Config(retries={"total_max_attempts": 1}) if once else None)


# Made once: a test suite has hundreds of stages, and whichever is entered answers every client of the process.
_template = cache(lambda: read(TEMPLATE))
_client = cache(_made)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Rehearsal:
    """A stage to rehearse on: enter it, commit, deliver events, sweep, look at the result.

    ``hook`` stands between the functions and AWS (``aws.faults``); ``retries`` is how often the bus calls a function
    again that failed; ``elsewhere`` says which services are at an address; ``stages`` are the service's, each as its
    registration has it (``{"name": "staging"}`` will do), () those of template.yaml. Without ``bus.start()`` nothing
    moves by itself.
    """

    def __init__(
        self,
        folder: Path,
        engine: ScriptedEngine,
        *,
        chaos: Chaos | None = None,
        hook: Hook | None = None,
        retries: int = 2,
        tell: Callable[[Decision], None] = lambda _: None,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        stages: Sequence[Rules] = (),
    ) -> None:
        self.clock = Clock.stopped(START)
        self.engine = engine
        self._template = _template()
        self._tell = tell
        functions = [
            LocalFunction(spec.name, self._handler(spec.handler), spec.logical_id, spec.dead_letters, spec.destination)
            for spec in self._template.functions
        ]
        self.bus = Bus(
            self._template.rules,
            Functions(functions),
            self.clock,
            chaos=chaos,
            retry_delays=(0.0,) * retries,
            schedules=self._template.schedules,
            keep=False,
        )
        self.local_aws = LocalAws(folder, engine, self.bus, self.clock, keep=False)
        self.faults = Faults()
        self._hook = hook
        self._stages = stages
        self._numbers = itertools.count(1)
        self._invocations = itertools.count(1)
        self._inside = threading.local()
        self._elsewhere = bool(elsewhere)
        self._open = self.local_aws.in_process(self.faults, elsewhere)

    def __enter__(self) -> Self:
        quiet_functions()
        self.local_aws.__enter__()
        self._open.__enter__()
        make: Any = _made if self._elsewhere else _client
        create_resources(self._template, make)
        if self._stages:
            give_stages(make, self._settings.services_path, self._stages)
        self.faults.counts.clear()
        self.faults.hook = self._hook
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.hook = None
        self._open.__exit__(kind, error, trace)
        self.local_aws.__exit__(kind, error, trace)

    @cached_property
    def context(self) -> Context:
        """The context every function here works with; made once, as a warm function keeps its clients."""
        settings = self._settings
        client = cache(_made)
        return Context(Store(client("dynamodb"), settings.table), Aws(client), settings, self.clock.now, self._tell)

    @cached_property
    def _settings(self) -> Settings:
        environment = next(f.environment for f in self._template.functions if f.handler.startswith("intake."))
        return Settings(
            table=environment["ESTEIRA_TABLE"],
            services_path=environment["ESTEIRA_SERVICES_PATH"],
            account=ACCOUNT,
            region=REGION,
        )

    @property
    def in_function(self) -> str:
        """The handler of the function this thread runs, "" where it is who rehearses."""
        return str(getattr(self._inside, "handler", ""))

    @property
    def invocation(self) -> int:
        """Which call of a function this is that this thread runs, counted from 1 over all threads."""
        return int(getattr(self._inside, "number", 0))

    @property
    def store(self) -> Store:
        """The controller's table."""
        return self.context.store

    @cached_property
    def service(self) -> Service:
        """The one service of template.yaml."""
        services, _ = self.context.aws.services(self.context.settings.services_path)
        return services[0]

    def newest(self) -> int:
        """The number of the newest release, 0 before the first."""
        pushed = self.store.newest(self.service.name)
        return pushed.number if pushed else 0

    def commit(self, files: Mapping[str, bytes | None], message: str = "change") -> str:
        """Commit over the branch's tip, as a push does, and return the commit."""
        return self.local_aws.codecommit.commit(self.service.repository, self.service.branch, files, message)

    def force_push(self, commit: str) -> None:
        """Point the branch at a commit that is there already."""
        self.local_aws.codecommit.move(self.service.repository, f"refs/heads/{self.service.branch}", commit)

    def operate(self, action: str, **request: object) -> dict[str, Any]:
        """Say an operator's word and return what ``operate`` answered, or the error."""
        answer = self.bus.functions.call("OperateFunction", self._request(action, request))
        payload: dict[str, Any] = answer.payload
        return payload

    def operate_later(self, action: str, **request: object) -> None:
        """Say an operator's word through the bus, in its threads."""
        self.bus.invoke_later("OperateFunction", self._request(action, request))

    def ring(self, alarm: str, reason: str = "Threshold Crossed: 1 out of the last 1 datapoints was greater") -> None:
        """Let an alarm go off now, made where there is none; one that rings is quiet before."""
        cloudwatch = self.context.aws.client("cloudwatch")
        if not cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]:
            cloudwatch.put_metric_alarm(
                AlarmName=alarm,
                Namespace="AWS/ApplicationELB",
                MetricName="HTTPCode_Target_5XX_Count",
                Statistic="Sum",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1.0,
                ComparisonOperator="GreaterThanThreshold",
            )
        self.hush(alarm)
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason=reason)

    def hush(self, alarm: str) -> None:
        """Let an alarm be over."""
        self.context.aws.client("cloudwatch").set_alarm_state(
            AlarmName=alarm, StateValue="OK", StateReason="Threshold Crossed: no datapoint was greater"
        )

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
        return {**defaults, "service": self.service.name, "action": action, **request}

    def _handler(self, handler: str) -> Callable[[Any, Any], Any]:
        call = load(FUNCTIONS, handler, lambda: {"given": self.context})

        def function(event: Any, context: Any) -> Any:
            self._inside.handler, self._inside.number = handler, next(self._invocations)
            try:
                return call(event, context)
            finally:
                self._inside.handler = ""

        return function
