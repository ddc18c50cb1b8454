"""The World: everything the controller works with, in memory and in one thread, for tests of what it decides.

What is real in it: the functions' handlers, the store, ``esteira.aws``, the rules, names and registration of
template.yaml, the bus and the clock. What is not: AWS. The stand-ins take the place of boto3's *clients*, which is the
lowest place that is cheap, so the code of both adapters runs in every test and only HTTP is left out.

It plays the same scenarios as ``console.local.rehearse.rehearsal.Rehearsal``, which has moto and git under them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.faults import Faults
from console.local.aws.functions import Functions, LocalFunction, load
from console.local.aws.strict.lists import Lists
from console.local.paths import FUNCTIONS, TEMPLATE, quiet_functions
from console.local.rehearse.rehearsal import START
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.rehearse.scenario import Scenario, rehearsed_caller, settings_of
from console.local.stages import Rules, stages_of
from console.local.template import Stack, read, with_service
from esteira.aws import Aws
from esteira.config import Service
from esteira.context import Context
from esteira.store import Store
from tests.world.builds import CodeBuild
from tests.world.code import CodeCommit
from tests.world.deployments import CodeDeploy
from tests.world.door import Client
from tests.world.registry import Ecr
from tests.world.services import S3, AutoScaling, CloudWatch, Events, Lambda, Logs, Sns, Ssm
from tests.world.table import Table

_template = cache(lambda: with_service(read(TEMPLATE)))


class World(Scenario):
    """A service that has not begun: push, deliver events, sweep, look at what came of it. ``stages`` are the service's,
    () the template's; ``retries`` is how often the bus calls a function again that failed."""

    def __init__(self, engine: ScriptedEngine, *, stages: Sequence[Rules] = (), retries: int = 2) -> None:
        super().__init__()
        template = _template()
        self.clock, self.engine, self.faults = Clock.stopped(START), engine, Faults()
        functions = Functions(
            LocalFunction(f.name, self._handler(f.handler), f.logical_id, f.dead_letters, f.destination, f.timeout)
            for f in template.functions
        )
        self.bus = Bus(
            template.rules,
            functions,
            self.clock,
            retry_delays=(0.0,) * retries,
            schedules=template.schedules,
            keep=False,
        )
        self.in_function, self.invocation = "", 0
        self._invocations = itertools.count(1)
        self.local_aws = self._in_memory(template)
        self._register(template, stages)
        self._clients: dict[str, Client] = {}
        engine.attach(self.local_aws)
        self.index_registrations()
        self.faults.counts.clear()

    def _in_memory(self, template: Stack) -> Any:
        (project,) = template.resources("AWS::CodeBuild::Project")
        (images,) = template.resources("AWS::ECR::Repository")
        rows = project.properties["Environment"]["EnvironmentVariables"]
        filters = images.properties["ImageTagMutabilityExclusionFilters"]
        moving = tuple(row["ImageTagMutabilityExclusionFilterValue"] for row in filters)
        topics = tuple(topic.name for topic in template.resources("AWS::SNS::Topic"))
        s3, runner = S3(), self.engine.runner
        assert runner is not None, "the World is single-threaded: make its engine with manual=True"
        codedeploy = CodeDeploy(self.engine, runner, self.bus, s3.objects)
        return SimpleNamespace(
            clock=self.clock,
            lists=Lists(),
            dynamodb=Table(),
            codecommit=CodeCommit(self.bus),
            ecr=Ecr(self.bus, moving),
            codebuild=CodeBuild(self.engine, runner, self.bus, {row["Name"]: row["Value"] for row in rows}),
            codedeploy=codedeploy,
            autoscaling=AutoScaling(self.engine, codedeploy),
            cloudwatch=CloudWatch(self.bus),
            logs=Logs(),
            ssm=Ssm(self.bus),
            s3=s3,
            events=Events(self.bus),
            sns=Sns(topics),
            **{"lambda": Lambda(self.bus)},
        )

    def _register(self, template: Stack, stages: Sequence[Rules]) -> None:
        for parameter in template.resources("AWS::SSM::Parameter"):
            service = json.loads(parameter.properties["Value"])
            if stages:
                service |= {"stages": stages_of(service, stages)}
            Service.model_validate(service)
            self.local_aws.ssm.put_parameter({"Name": parameter.name, "Value": json.dumps(service)})

    def __enter__(self) -> Self:
        quiet_functions()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.hook = None

    def client(self, name: str, *, once: bool = False) -> Any:
        """The client of a service, as boto3 would give it: each sends a call once."""
        if name not in self._clients:
            self._clients[name] = Client(name, getattr(self.local_aws, name), self.faults, self.local_aws.lists)
        return self._clients[name]

    aws_client = client

    @cached_property
    def context(self) -> Context:
        """What every function here works with."""
        settings = settings_of(_template())
        store = Store(self.client("dynamodb"), settings.table)
        aws, pause = Aws(self.client), lambda _: None
        return Context(store, aws, settings, self.clock.now, caller=rehearsed_caller, pause=pause)

    def ring(self, alarm: str, reason: str = "Threshold Crossed: 1 out of the last 1 datapoints was greater") -> None:
        """Let an alarm go off now, made where there is none; one that rings is quiet before."""
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(AlarmName=alarm)
        self.hush(alarm)
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason=reason)

    def hush(self, alarm: str) -> None:
        """Let an alarm be over."""
        said = {"AlarmName": alarm, "StateValue": "OK", "StateReason": "no datapoint was greater"}
        self.client("cloudwatch").set_alarm_state(**said)

    def _handler(self, handler: str) -> Callable[[Any, Any], Any]:
        call = load(FUNCTIONS, handler, lambda: {"given": self.context})

        def function(event: Any, context: Any) -> Any:
            outer = self.in_function
            self.in_function, self.invocation = handler, next(self._invocations)
            try:
                return call(event, context)
            finally:
                self.in_function = outer

        return function
