"""The adapters on a local AWS of this process, with one of each thing there: whatever they call can be refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.faults import Call, Faults, When
from console.local.aws.functions import Functions, LocalFunction
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.engine import HOST
from console.local.paths import TEMPLATE
from console.local.rehearse.rehearsal_engine import MEDIA_TYPE, ScriptedEngine, manifest_for
from console.local.template import read, with_service
from esteira.aws import Aws, tracing
from esteira.bundle import default
from esteira.claims import BuildClaim, RolloutClaim
from esteira.config import Service
from esteira.core.facts import Claimed, Held, about_release
from esteira.store import Store
from esteira.trail import Decided
from tests.wire.adapters import AT

CLAIM = RolloutClaim("heart", 1, "production", 1)
BLOB = hashlib.sha1(b"blob 3\0two").hexdigest()


@dataclass
class Stand:
    """The adapters, and the ids of what is there: a commit with a parent, an image, a build, a deployment."""

    aws: Aws
    store: Store
    service: Service
    local_aws: LocalAws
    faults: Faults
    first: str
    commit: str
    digest: str
    topic: str
    pauses: list[float] = field(default_factory=list)
    build: str = ""
    deployment: str = ""
    etag: str = ""

    def client(self, name: str) -> Any:
        """A boto3 client of the local AWS."""
        return self.aws.client(name)

    @contextmanager
    def refusing(self, call: str, error: str, times: int = 1_000, **fields: Any) -> Iterator[None]:
        """While inside, AWS refuses a call with an error, so often."""
        left = [times]

        def hook(moment: When, asked: Call) -> None:
            if moment == "before" and asked.name == call and left[0]:
                left[0] -= 1
                raise AwsError(error, "on purpose", **fields)

        self.faults.hook = hook
        try:
            yield
        finally:
            self.faults.hook = None


@contextmanager
def standing(folder: Path) -> Iterator[Stand]:
    """A stand with everything made, where the build and the deployment have ended."""
    template = with_service(read(TEMPLATE))
    settings = next(f.environment for f in template.functions if f.handler.startswith("intake."))
    engine = ScriptedEngine(manual=True)
    functions = Functions([LocalFunction("esteira-sweep", lambda event, _: event)])
    local_aws = LocalAws(folder, engine, Bus(functions=functions, clock=Clock.stopped(AT)), keep=False)
    with local_aws, local_aws.in_process() as faults:
        make: Any = cache(lambda name: boto3.client(name))
        create_resources(template, make)
        pauses: list[float] = []
        aws = Aws(lambda name, *, once=False: make(name), pauses.append)
        [service], _ = aws.services(settings["ESTEIRA_SERVICES_PATH"])
        one = local_aws.codecommit.commit(service.repository, service.branch, {"app.py": b"one"}, "one")
        two = local_aws.codecommit.commit(service.repository, service.branch, {"app.py": b"two"}, "two")
        digest = local_aws.ecr.push(service.images, manifest_for("git-one"), "git-one", MEDIA_TYPE)
        store = Store(make("dynamodb"), settings["ESTEIRA_TABLE"], pauses.append)
        topic = make("sns").list_topics()["Topics"][0]["TopicArn"]
        stand = Stand(aws, store, service, local_aws, faults, one, two, digest, topic, pauses)
        stand.build = aws.start_build(service, BuildClaim("heart", 1, 1), two, "git-two", "token-1", {})
        _, stand.etag = aws.put_bundle(service, "one.zip", default(), {"number": 1})
        stand.deployment = aws.create_deployment(service, CLAIM, "a test", "one.zip", stand.etag)
        engine.finish_all()
        make("ssm").put_parameter(Name="/secret", Value="s", Type="SecureString")
        yield stand


DECIDED = Decided(at=AT, release=1, action="Wait", why="a test", round=0, place=0, seen="s", configuration="c")
HELD = Held(at=AT, request="one", by="ana", reason="a test", stage="production", until=AT)
CLAIMED = Claimed(at=AT, release=1, action="build", attempt=1, take=1, lease=AT)

SEGMENT = {"trace_id": f"1-6b0d35dd-{1:024x}", "id": f"{1:016x}", "name": "a", "start_time": 1.0, "end_time": 2.0}

# How an adapter comes to make each of its calls.
MAKES: dict[str, Callable[[Stand], object]] = {
    "cloudwatch:DescribeAlarms": lambda s: s.aws.alarms(["errors"]),
    "codebuild:BatchGetBuilds": lambda s: s.aws.builds([s.build]),
    "codebuild:ListBuildsForProject": lambda s: s.aws.find_build(s.service, BuildClaim("heart", 1, 1)),
    "codebuild:StartBuild": lambda s: s.aws.start_build(
        s.service, BuildClaim("heart", 2, 1), s.commit, "git-two", "token-2", {}
    ),
    "codebuild:StopBuild": lambda s: s.aws.stop_build(s.build),
    "autoscaling:DescribeAutoScalingGroups": lambda s: s.aws.group_hosts("heart-production"),
    "autoscaling:SetInstanceHealth": lambda s: s.aws.replace_hosts("heart-production", HOST),
    "autoscaling:StartInstanceRefresh": lambda s: s.aws.replace_hosts("heart-production", ""),
    "codedeploy:GetDeploymentGroup": lambda s: s.aws.last_deployments(s.service, "production"),
    "codecommit:GetBlob": lambda s: s.aws.blob(s.service, BLOB),
    "codecommit:GetBranch": lambda s: s.aws.tip(s.service),
    "codecommit:GetCommit": lambda s: s.aws.comment(s.service, s.commit, "live", "token-3"),
    "codecommit:GetDifferences": lambda s: s.aws.changes(s.service, s.first, s.commit),
    "codecommit:GetFolder": lambda s: s.aws.folder(s.service, s.commit, ""),
    "codecommit:PostCommentForComparedCommit": lambda s: s.aws.comment(s.service, s.commit, "live", "token-4"),
    "codedeploy:BatchGetDeploymentTargets": lambda s: s.aws.targets(s.deployment),
    "codedeploy:BatchGetDeployments": lambda s: s.aws.find_deployment(s.service, CLAIM, AT),
    "codedeploy:CreateDeployment": lambda s: s.aws.create_deployment(s.service, CLAIM, "a test", "one.zip", s.etag),
    "codedeploy:GetDeployment": lambda s: s.aws.deployment_status(s.deployment),
    "codedeploy:ListDeploymentTargets": lambda s: s.aws.targets(s.deployment),
    "codedeploy:ListDeployments": lambda s: s.aws.find_deployment(s.service, CLAIM, AT),
    "codedeploy:StopDeployment": lambda s: s.aws.stop_deployment(s.deployment),
    "dynamodb:BatchGetItem": lambda s: s.store.announced("heart", 1, []),
    "dynamodb:BatchWriteItem": lambda s: s.store.write_decisions("heart", [DECIDED]),
    "dynamodb:DeleteItem": lambda s: s.store.close("heart", 1, 1),
    "dynamodb:GetItem": lambda s: s.store.pushed("heart", 1),
    "dynamodb:PutItem": lambda s: s.store.record("heart", CLAIMED),
    "dynamodb:Query": lambda s: s.store.facts("heart", about_release(1)),
    "dynamodb:TransactWriteItems": lambda s: s.store.record("heart", HELD),
    "ecr:BatchGetImage": lambda s: s.aws.tag_image(s.service, s.digest, "live-production"),
    "ecr:DescribeImages": lambda s: s.aws.image(s.service, digest=s.digest),
    "ecr:DescribeImageScanFindings": lambda s: s.aws.scan_findings(s.service, s.digest),
    "ecr:PutImage": lambda s: s.aws.tag_image(s.service, s.digest, "live-production"),
    "events:PutEvents": lambda s: s.aws.emit({"service": "heart"}),
    "lambda:Invoke": lambda s: s.aws.invoke_later("esteira-sweep", {"service": "heart"}),
    "logs:GetLogEvents": lambda s: s.aws.build_log(s.build),
    "s3:PutObject": lambda s: s.aws.put_bundle(s.service, "two.zip", default(), {"number": 2}),
    "sns:Publish": lambda s: s.aws.publish(s.topic, "a subject", "a text"),
    "ssm:DescribeParameters": lambda s: s.aws.parameter_names("/esteira/secrets/heart/"),
    "ssm:GetParameter": lambda s: s.aws.secret("/secret"),
    "ssm:GetParameters": lambda s: s.aws.registered(["/esteira/services/heart"]),
    "ssm:GetParametersByPath": lambda s: s.aws.services("/esteira/services/"),
    "xray:PutTraceSegments": lambda s: tracing._send(dict(SEGMENT)),
}
