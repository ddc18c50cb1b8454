"""A deployment over several hosts goes from host to host as CodeDeploy's configurations say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.local.aws.bus import Bus
from console.local.aws.stack import LocalAws
from console.local.engine import BuildJob, BuildResult, DeployJob, DeployResult, LifecycleEvent
from esteira.targets.ec2 import Ec2

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = ("i-1", "i-2", "i-3")


@dataclass
class Hosts:
    """An engine of several hosts, some of them broken; ``together`` is how many were at work at once at most."""

    broken: tuple[str, ...] = ()
    there: tuple[str, ...] = HOSTS
    tried: list[str] = field(default_factory=list)
    together: int = 0
    meet: threading.Barrier | None = None
    slow: bool = False
    name = "hosts"

    def __post_init__(self) -> None:
        self._lock, self._working = threading.Lock(), 0

    def hosts(self, group: str) -> tuple[str, ...]:
        """The group's hosts."""
        return self.there if group == "production" else ()

    def build(self, job: BuildJob) -> BuildResult:
        """Not asked for."""
        raise NotImplementedError(job)

    def deploy(self, job: DeployJob) -> DeployResult:
        """Wait for all who shall be at work together, or for a stop; fail on a broken host, succeed elsewhere."""
        with self._lock:
            self.tried.append(job.host)
            self._working += 1
            self.together = max(self.together, self._working)
        if self.meet is not None:
            self.meet.wait(20)
        if self.slow:
            job.begun("BeforeInstall")
            job.begun("AfterInstall")
            job.stop.wait(20)
        with self._lock:
            self._working -= 1
        if job.stop.is_set():
            return DeployResult("Stopped", (), "MANUAL_STOP", "stopped")
        if job.host in self.broken:
            event = LifecycleEvent("AfterInstall", "Failed", NOW, NOW, "ScriptFailed", "x.sh", "it broke", "tail")
            return DeployResult("Failed", (event,), "HEALTH_CONSTRAINTS", f"{job.host} is broken")
        return DeployResult("Succeeded", (LifecycleEvent("AfterInstall", "Succeeded", NOW, NOW),))

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class World:
    """A local AWS with one deployment group."""

    local_aws: LocalAws
    engine: Hosts

    def client(self, name: str) -> Any:
        """A boto3 client."""
        return boto3.client(name, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")  # type: ignore[call-overload]

    def start(self, config: str) -> str:
        """Create everything, and a deployment with this configuration; its id."""
        codedeploy, s3 = self.client("codedeploy"), self.client("s3")
        s3.create_bucket(Bucket="bundles")
        s3.put_object(Bucket="bundles", Key="v1.zip", Body=b"zip")
        codedeploy.create_application(applicationName="heart", computePlatform="Server")
        codedeploy.create_deployment_group(
            applicationName="heart", deploymentGroupName="production", serviceRoleArn="arn:aws:iam::123456789012:role/d"
        )
        codedeploy.update_deployment_group(
            applicationName="heart",
            currentDeploymentGroupName="production",
            deploymentConfigName=f"CodeDeployDefault.{config}",
        )
        started = codedeploy.create_deployment(
            applicationName="heart",
            deploymentGroupName="production",
            revision={"revisionType": "S3", "s3Location": {"bucket": "bundles", "key": "v1.zip", "bundleType": "zip"}},
        )
        return str(started["deploymentId"])

    def ended(self, config: str) -> dict[str, Any]:
        """Deploy with this configuration and return how it ended."""
        id_ = self.start(config)
        until = threading.Event()
        for _ in range(400):
            info: dict[str, Any] = self.client("codedeploy").get_deployment(deploymentId=id_)["deploymentInfo"]
            if info["status"] in ("Succeeded", "Failed", "Stopped"):
                return info
            until.wait(0.05)
        raise AssertionError(f"it never ended: {info}")

    def targets(self) -> dict[str, str]:
        """What became of each host."""
        codedeploy = self.client("codedeploy")
        id_ = self.local_aws.codedeploy.deployments()[0]["deploymentId"]
        pages = codedeploy.get_paginator("list_deployment_targets").paginate(deploymentId=id_)
        ids = [target for page in pages for target in page["targetIds"]]
        told = codedeploy.batch_get_deployment_targets(deploymentId=id_, targetIds=ids)["deploymentTargets"]
        return {one["instanceTarget"]["targetId"]: one["instanceTarget"]["status"] for one in told}

    def events(self) -> list[tuple[str, str]]:
        """Each event's host ("" for the deployment's own) and state, in order."""
        details = [event["detail"] for event in self.local_aws.bus.events if event["source"] == "aws.codedeploy"]
        return [(detail.get("instanceId", ""), detail["state"]) for detail in details]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = Hosts()
    with LocalAws(tmp_path / "state", engine, Bus(), keep=False) as local_aws, local_aws.in_process():
        yield World(local_aws, engine)


def counts(info: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in info["deploymentOverview"].items() if count}


def test_one_at_a_time_goes_from_host_to_host(world: World) -> None:
    """Each begins when the one before it has ended, each has its events, and the overview counts them."""
    info = world.ended("OneAtATime")
    assert (info["status"], counts(info)) == ("Succeeded", {"Succeeded": 3})
    assert (world.engine.tried, world.engine.together) == (list(HOSTS), 1)
    rounds = [(host, state) for host in HOSTS for state in ("START", "SUCCESS")]
    assert world.events() == [("", "START"), *rounds, ("", "SUCCESS")]


def test_one_at_a_time_stops_at_the_first_failure(world: World) -> None:
    """The hosts that come after it are never touched and are Skipped; the cause is the failed host's."""
    world.engine.broken = ("i-2",)
    info = world.ended("OneAtATime")
    assert (info["status"], counts(info)) == ("Failed", {"Succeeded": 1, "Failed": 1, "Skipped": 1})
    assert world.targets() == {"i-1": "Succeeded", "i-2": "Failed", "i-3": "Skipped"}
    assert world.engine.tried == ["i-1", "i-2"]
    assert info["errorInformation"]["message"] == "i-2 is broken"
    assert world.events()[-2:] == [("i-2", "FAILURE"), ("", "FAILURE")]


def test_a_failure_on_the_last_host_is_a_success_to_codedeploy(world: World) -> None:
    """One host may be without the release, so the whole deployment succeeded; the target tells the truth."""
    world.engine.broken = ("i-3",)
    info = world.ended("OneAtATime")
    assert (info["status"], counts(info)) == ("Succeeded", {"Succeeded": 2, "Failed": 1})
    assert world.targets()["i-3"] == "Failed"


def test_a_failure_on_the_only_host_is_a_failure(world: World) -> None:
    """The exception for the last host is for groups of several."""
    world.engine.there, world.engine.broken = ("i-1",), ("i-1",)
    assert world.ended("OneAtATime")["status"] == "Failed"


def test_all_at_once_fails_only_where_every_host_did(world: World) -> None:
    """All begin together."""
    world.engine.broken, world.engine.meet = ("i-1", "i-2"), threading.Barrier(3)
    info = world.ended("AllAtOnce")
    assert (info["status"], counts(info)) == ("Succeeded", {"Succeeded": 1, "Failed": 2})
    assert world.engine.together == 3
    assert world.events()[:4] == [("", "START"), *((host, "START") for host in HOSTS)]


def test_a_stop_leaves_the_hosts_that_had_not_begun_untouched(world: World) -> None:
    """The one at work is stopped, the others are Skipped."""
    world.engine.slow = True
    id_ = world.start("OneAtATime")
    world.client("codedeploy").stop_deployment(deploymentId=id_)
    world.local_aws.codedeploy._runner.close()
    assert world.local_aws.codedeploy.deployments()[0]["status"] == "Stopped"
    assert world.targets() == dict.fromkeys(HOSTS, "Skipped")
    assert len(world.engine.tried) == 1


def test_a_host_at_work_tells_the_lifecycle_event_that_it_is_in(world: World) -> None:
    """The one before has succeeded, and the next ones are not there yet."""
    world.engine.slow = True
    id_ = world.start("OneAtATime")
    told: list[tuple[str, str]] = []
    for _ in range(400):
        rows = next((host["lifecycleEvents"] for host in Ec2(world.client).targets(id_)), [])
        told = [(row["lifecycleEventName"], row["status"]) for row in rows]
        if len(told) > 1:
            break
        threading.Event().wait(0.05)
    assert told == [("BeforeInstall", "Succeeded"), ("AfterInstall", "InProgress")]
    world.client("codedeploy").stop_deployment(deploymentId=id_)
    world.local_aws.codedeploy._runner.close()
