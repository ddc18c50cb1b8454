"""`esteira hosts`: what the group says of its hosts beside what they report of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esteira.core.facts import HostObserved
from tests.integration.operated import Operated, digest, operated, service

pytestmark = pytest.mark.integration

GROUP = {"autoScalingGroups": [{"name": "heart-hosts"}]}


class Groups:
    """One Auto Scaling group of three hosts."""

    def describe_auto_scaling_groups(self, **asked: Any) -> dict[str, Any]:
        """DescribeAutoScalingGroups."""
        assert asked == {"AutoScalingGroupNames": ["heart-hosts"]}
        states = {"i-1": "InService", "i-2": "InService", "i-3": "Pending:Wait"}
        hosts = [{"InstanceId": host, "LifecycleState": state} for host, state in states.items()]
        return {"AutoScalingGroups": [{"AutoScalingGroupName": "heart-hosts", "Instances": hosts}]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(tmp_path, monkeypatch, service()) as world:
        before = world.client
        deploy = SimpleNamespace(get_deployment_group=lambda **_: {"deploymentGroupInfo": GROUP})
        there: dict[str, Any] = {"codedeploy": deploy, "autoscaling": Groups()}
        world.client = lambda name: there.get(name) or before(name)
        yield world


def observe(world: Operated, host: str, sick: str = "", why: str = "") -> None:
    """A host reports, now."""
    now = world.now
    named: dict[str, Any] = {"stage": "production", "host": host, "release": 2, "digest": digest(2)}
    said = HostObserved(at=now, since=now, sick=sick, why=why, **named)
    world.store.record("heart", said)
    world.store.beat("heart", said, world.now)


def test_each_host_is_told_with_its_state_its_release_and_its_health(world: Operated) -> None:
    """One is well, one is sick, and one is still starting; of a host that has left the group nothing is said."""
    world.tell()
    for host in ("i-0", "i-1"):
        observe(world, host)
    observe(world, "i-2", "slow", "half of 30 requests took 900 ms or more")
    told = world.read("hosts")["hosts"]
    assert [(row["host"], row["state"], row["release"], row["health"]) for row in told] == [
        ("i-1", "InService", "v2", "well"),
        ("i-2", "InService", "v2", "half of 30 requests took 900 ms or more"),
        ("i-3", "Pending:Wait", "", "unknown"),
    ]
    world.now += timedelta(hours=1)
    assert world.read("hosts", "--stage", "production")["hosts"][0]["health"] == "silent"
    assert "i-3  Pending:Wait  nothing reported: unknown" in world.run("hosts").stdout


def test_a_stage_that_is_not_there_is_refused(world: Operated) -> None:
    """With those that are."""
    result = world.run("hosts", "--stage", "moon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "heart has no stage 'moon'. Next: --stage with one of: production" in result.stderr


def test_a_replacement_is_asked_for_in_words(world: Operated) -> None:
    """One host, or all; always with a reason."""
    world.run("hosts", "replace", "i-1", "--reason", "patches")
    assert world.run("hosts", "replace").exit_code == 2
    [(_, asked)] = world.asked
    assert (asked["action"], asked["host"], asked["reason"]) == ("replace", "i-1", "patches")
