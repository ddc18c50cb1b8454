"""Auto Scaling over the hosts of the deployment groups: each group of CodeDeploy's has one of its name.

A replacement goes as on AWS under a maintenance policy of 100 to 200 percent: a new host is launched and held,
CodeDeploy deploys the last revision that succeeded, and only if that succeeds the old host goes. Smaller than AWS: one
that fails is not launched again, and hosts do not fail by themselves.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from threading import RLock
from typing import Any, Protocol, runtime_checkable

from moto.codedeploy.models import codedeploy_backends

from console.local.aws.api import AwsError, Operation, Params, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.codedeploy import CodeDeploy
from console.local.aws_account import ACCOUNT, REGION, arn
from console.local.engine import HOST

HOOK = "CodeDeploy-managed-automatic-launch-deployment-hook"
Detail = dict[str, Any]


@runtime_checkable
class Launching(Protocol):
    """An engine whose deployment groups can get hosts and lose them."""

    def launch(self, group: str) -> str:
        """Start a host that is not one of the group's yet; its id."""
        ...

    def join(self, group: str, host: str) -> None:
        """Make it one of the group's hosts, at which the group is reached from now on."""
        ...

    def leave(self, group: str, host: str) -> None:
        """End a host, one of the group's or one that was only launched."""
        ...


class AutoScaling:
    """The groups by name, each with the states of its hosts. ``engine`` starts and ends hosts where it can."""

    def __init__(self, engine: object, codedeploy: CodeDeploy, bus: Bus, clock: Clock, lock: RLock) -> None:
        self._engine, self._codedeploy = engine, codedeploy
        self._bus, self._clock, self._lock = bus, clock, lock
        self._hosts: dict[str, dict[str, str]] = {}
        self._launches: dict[str, tuple[str, str, str]] = {}  # by deployment: group, the new host, the one that goes
        self._waiting: dict[str, list[str]] = {}  # by group, the hosts that go one after another
        self._new: set[str] = set()  # hosts that came since the last deployment of their group
        codedeploy.ended, codedeploy.from_groups = self._deployment_ended, isinstance(engine, Launching)
        self.operations: dict[str, Operation] = {
            "DescribeAutoScalingGroups": self.describe_auto_scaling_groups,
            "SetInstanceHealth": self.set_instance_health,
            "StartInstanceRefresh": self.start_instance_refresh,
        }

    def hosts_of(self, group: str) -> dict[str, str]:
        """By host, the state of its life in the group."""
        if group not in self._hosts:
            hosts: Callable[[str], Any] = getattr(self._engine, "hosts", lambda _: (HOST,))
            self._hosts[group] = dict.fromkeys(hosts(group), "InService")
        return self._hosts[group]

    # AWS's operations

    def describe_auto_scaling_groups(self, params: Params) -> dict[str, Any]:
        """DescribeAutoScalingGroups, of those that are named, or all, in one page."""
        known = [*_groups()]
        wanted = params.get("AutoScalingGroupNames") or known
        return {"AutoScalingGroups": [self._told(name) for name in wanted if name in known]}

    def set_instance_health(self, params: Params) -> dict[str, Any]:
        """SetInstanceHealth: a host that is Unhealthy is replaced."""
        host = str(required(params, "InstanceId", code="ValidationError"))
        there = [group for group in _groups() if host in self.hosts_of(group)]
        if not there:
            raise AwsError(
                "ValidationError", f"Instance Id not found - No managed instance found for instance ID {host}"
            )
        if len(there) > 1:
            text = f"{host} is a host of {', '.join(there)} here: replace all hosts of the one that is meant."
            raise AwsError("ValidationError", text)
        if required(params, "HealthStatus", code="ValidationError") == "Unhealthy":
            self._replace(there[0], [host])
        return {}

    def start_instance_refresh(self, params: Params) -> dict[str, Any]:
        """StartInstanceRefresh: every host of the group, one after another."""
        group = str(required(params, "AutoScalingGroupName", code="ValidationError"))
        if group not in _groups():
            raise AwsError("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup {group} not found")
        if any(group == launch[0] for launch in self._launches.values()):
            raise AwsError("InstanceRefreshInProgress", f"An Instance Refresh is already in progress for {group}")
        self._replace(group, [*self.hosts_of(group)])
        return {"InstanceRefreshId": str(uuid.uuid4())}

    # a replacement

    def _replace(self, group: str, hosts: list[str]) -> None:
        begun = {launch[2] for launch in self._launches.values()}
        waiting = self._waiting.setdefault(group, [])
        waiting += [host for host in hosts if host not in begun and host not in waiting]
        self._next(group)

    def _next(self, group: str) -> None:
        """Launch a host for the next one that goes, if nothing is launched in the group."""
        assert isinstance(self._engine, Launching)
        if not self._waiting.get(group) or any(group == launch[0] for launch in self._launches.values()):
            return
        old = self._waiting[group].pop(0)
        new = self._engine.launch(group)
        self.hosts_of(group)[new] = "Pending:Wait"
        self._emit(
            "EC2 Instance-launch Lifecycle Action", group, new, LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING"
        )
        deployment = self._codedeploy.launch(new, group, "autoscaling", lambda id_: self._note(id_, (group, new, old)))
        if not deployment:  # nothing was ever deployed
            self._joined(group, new, old)

    def _note(self, deployment: str, launch: tuple[str, str, str]) -> None:
        self._launches[deployment] = launch

    def _deployment_ended(self, deployment: Mapping[str, Any]) -> None:
        """Let a launched host in, or end it; and give a host that came during a deployment the newer revision."""
        launch = self._launches.pop(deployment["deploymentId"], None)
        if launch is not None and deployment["status"] == "Succeeded":
            self._joined(*launch)
        elif launch is not None:
            self._abandoned(launch[0], launch[1])
        group = str(deployment["deploymentGroupName"])
        if deployment["status"] == "Succeeded":
            serving = [host for host, state in self.hosts_of(group).items() if state == "InService"]
            outdated = self._codedeploy.outdated(group, serving)
            late = [host for host in outdated if host in self._new]
            if late:
                self._codedeploy.launch(late[0], group, "CodeDeployAutoUpdate")  # the next when this one has ended
            elif launch is None:
                self._new -= {*serving}

    def _joined(self, group: str, new: str, old: str) -> None:
        assert isinstance(self._engine, Launching)
        self._engine.join(group, new)
        with self._lock:
            self._new.add(new)
            self.hosts_of(group)[new] = "InService"
            self._emit("EC2 Instance Launch Successful", group, new, StatusCode="InProgress")
            self.hosts_of(group)[old] = "Terminating"
        self._engine.leave(group, old)
        with self._lock:
            del self.hosts_of(group)[old]
            self._emit("EC2 Instance Terminate Successful", group, old, StatusCode="InProgress")
            self._next(group)

    def _abandoned(self, group: str, new: str) -> None:
        assert isinstance(self._engine, Launching)
        self._engine.leave(group, new)
        with self._lock:
            del self.hosts_of(group)[new]
            self._waiting.pop(group, None)
            self._emit("EC2 Instance Launch Unsuccessful", group, new, StatusCode="Failed")
            self._emit("EC2 Instance Terminate Successful", group, new, StatusCode="InProgress")

    def _told(self, group: str) -> dict[str, Any]:
        hosts = self.hosts_of(group)
        serving = sum(state == "InService" for state in hosts.values())
        rows = [
            {
                "InstanceId": host,
                "AvailabilityZone": f"{REGION}a",
                "LifecycleState": state,
                "HealthStatus": "Healthy",
                "ProtectedFromScaleIn": False,
            }
            for host, state in hosts.items()
        ]
        return {
            "AutoScalingGroupName": group,
            "AutoScalingGroupARN": arn("autoscaling", f"autoScalingGroup:local:autoScalingGroupName/{group}"),
            "MinSize": serving,
            "MaxSize": 2 * serving,
            "DesiredCapacity": serving,
            "DefaultCooldown": 300,
            "AvailabilityZones": [f"{REGION}a"],
            "HealthCheckType": "EC2",
            "CreatedTime": datetime(2026, 1, 1, tzinfo=UTC),
            "Instances": rows,
        }

    def _emit(self, kind: str, group: str, host: str, **detail: str) -> None:
        named = {"AutoScalingGroupName": group, "EC2InstanceId": host, **detail}
        if "Lifecycle" in kind:
            named |= {"LifecycleHookName": f"{HOOK}-{group}", "LifecycleActionToken": str(uuid.uuid4())}
        resources = [
            arn("ec2", f"instance/{host}"),
            arn("autoscaling", f"autoScalingGroup:local:autoScalingGroupName/{group}"),
        ]
        self._bus.emit("aws.autoscaling", kind, resources, named)


def _groups() -> Iterator[str]:
    """The names of all deployment groups, which are those of the Auto Scaling groups."""
    for groups in codedeploy_backends[ACCOUNT][REGION].deployment_groups.values():
        yield from groups
