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

from console.local.aws.bus import Bus, Chaos
from console.local.aws.clock import Clock
from console.local.aws.faults import Faults, Hook
from console.local.aws.functions import Functions, LocalFunction, load
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.paths import FUNCTIONS, TEMPLATE, quiet_functions
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.rehearse.scenario import Scenario, rehearsed_caller, settings_of
from console.local.stages import Rules, give_stages
from console.local.template import read, with_service
from esteira.aws import Aws
from esteira.context import Context, Decision
from esteira.store import Store


def _made(service: str, *, once: bool = False) -> Any:
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(service, config=Config(retries={"total_max_attempts": 1}) if once else None)


# Made once: a test suite has hundreds of stages, and whichever is entered answers every client of the process.
_template = cache(lambda: with_service(read(TEMPLATE)))
_client = cache(_made)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Rehearsal(Scenario):
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
        super().__init__()
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
            give_stages(make, self.context.settings.services_path, self._stages)
        self.index_registrations()
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
        settings = settings_of(self._template)
        client = cache(_made)
        store = Store(client("dynamodb"), settings.table)
        aws, pause = Aws(client), lambda _: None
        return Context(store, aws, settings, self.clock.now, self._tell, caller=rehearsed_caller, pause=pause)

    @property
    def in_function(self) -> str:
        """The handler of the function this thread runs, "" where it is who rehearses."""
        return str(getattr(self._inside, "handler", ""))

    @property
    def invocation(self) -> int:
        """Which call of a function this is that this thread runs, counted from 1 over all threads."""
        return int(getattr(self._inside, "number", 0))

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

    def _handler(self, handler: str) -> Callable[[Any, Any], Any]:
        call = load(FUNCTIONS, handler, lambda: {"given": self.context})

        def function(event: Any, context: Any) -> Any:
            self._inside.handler, self._inside.number = handler, next(self._invocations)
            try:
                return call(event, context)
            finally:
                self._inside.handler = ""

        return function
