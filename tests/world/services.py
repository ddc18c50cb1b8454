"""The small ones in memory: parameters, objects, alarms, events and topics, with what the controller uses of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws_account import arn
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from tests.world.deployments import CodeDeploy

Params = Mapping[str, Any]


class Ssm:
    """Parameters by name."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.values: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._versions: Counter[str] = Counter()

    def put_parameter(self, p: Params) -> dict[str, Any]:
        """PutParameter, always over what is there."""
        self.values[p["Name"]], self._kinds[p["Name"]] = p["Value"], p.get("Type", "String")
        self._versions[p["Name"]] += 1
        self._changed(p["Name"], "Update" if self._versions[p["Name"]] > 1 else "Create")
        return {"Version": self._versions[p["Name"]]}

    def delete_parameter(self, p: Params) -> dict[str, Any]:
        """DeleteParameter."""
        if p["Name"] not in self.values:
            raise AwsError("ParameterNotFound", "")
        del self.values[p["Name"]], self._versions[p["Name"]]
        self._changed(p["Name"], "Delete")
        return {}

    def get_parameter(self, p: Params) -> dict[str, Any]:
        """GetParameter."""
        if p["Name"] not in self.values:
            raise AwsError("ParameterNotFound", "")
        name = p["Name"]
        return {"Parameter": {"Name": name, "Value": self.values[name], "Type": self._kinds.get(name, "String")}}

    def get_parameters(self, p: Params) -> dict[str, Any]:
        """GetParameters, of ten at most; a name that is not there is no error."""
        assert len(p["Names"]) <= 10
        there = [name for name in p["Names"] if name in self.values]
        found = [self.get_parameter({"Name": name})["Parameter"] for name in there]
        return {"Parameters": found, "InvalidParameters": [name for name in p["Names"] if name not in there]}

    def describe_parameters(self, p: Params) -> dict[str, Any]:
        """DescribeParameters below a path, in one page; never a value."""
        [where] = p["ParameterFilters"]
        [path] = where["Values"]
        assert (where["Key"], where["Option"], path[-1:] == "/") == ("Path", "Recursive", False)
        found = [name for name in self.values if name.startswith(f"{path}/")]
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return {"Parameters": [{"Name": n, "Version": self._versions[n], "LastModifiedDate": at} for n in found]}

    def get_parameters_by_path(self, p: Params) -> dict[str, Any]:
        """GetParametersByPath, in pages of ten."""
        names = sorted(name for name in self.values if name.startswith(p["Path"]))
        start = int(p.get("NextToken", 0))
        found = [{"Name": name, "Value": self.values[name]} for name in names[start : start + 10]]
        return {"Parameters": found, **({"NextToken": str(start + 10)} if names[start + 10 :] else {})}

    def _changed(self, name: str, operation: str) -> None:
        detail = {"operation": operation, "name": name, "type": self._kinds.get(name, "String"), "description": ""}
        self._bus.emit("aws.ssm", "Parameter Store Change", [arn("ssm", f"parameter{name}")], detail)


class Lambda:
    """Functions that are called later."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def invoke(self, p: Params) -> dict[str, Any]:
        """Invoke, of the kind Event."""
        assert p["InvocationType"] == "Event"
        self._bus.invoke_later(p["FunctionName"], json.loads(p["Payload"]))
        return {"StatusCode": 202}


class AutoScaling:
    """The groups, each with the states of its hosts; a host that is replaced gets the last revision, and only if that
    succeeds the old one goes."""

    def __init__(self, engine: ScriptedEngine, codedeploy: CodeDeploy) -> None:
        self._engine, self._codedeploy = engine, codedeploy
        self._hosts: dict[str, dict[str, str]] = {}
        self._launches: dict[str, tuple[str, str, str]] = {}
        codedeploy.ended = self._ended

    def hosts_of(self, group: str) -> dict[str, str]:
        """By host, the state of its life in the group."""
        return self._hosts.setdefault(group, dict.fromkeys(self._engine.hosts(group), "InService"))

    def describe_auto_scaling_groups(self, p: Params) -> dict[str, Any]:
        """DescribeAutoScalingGroups."""
        told = {name: self.hosts_of(name).items() for name in p["AutoScalingGroupNames"]}
        rows = {
            n: [{"InstanceId": host, "LifecycleState": state} for host, state in there] for n, there in told.items()
        }
        return {"AutoScalingGroups": [{"AutoScalingGroupName": n, "Instances": hosts} for n, hosts in rows.items()]}

    def set_instance_health(self, p: Params) -> dict[str, Any]:
        """SetInstanceHealth, of a host that is not well."""
        assert p["HealthStatus"] == "Unhealthy"
        group = next(name for name, hosts in self._hosts.items() if p["InstanceId"] in hosts)
        self._replace(group, p["InstanceId"])
        return {}

    def start_instance_refresh(self, p: Params) -> dict[str, Any]:
        """StartInstanceRefresh, of a group of one host."""
        (host,) = self.hosts_of(p["AutoScalingGroupName"])
        self._replace(p["AutoScalingGroupName"], host)
        return {"InstanceRefreshId": "refresh"}

    def _replace(self, group: str, old: str) -> None:
        new = self._engine.launch(group)
        self.hosts_of(group)[new] = "Pending:Wait"
        self._launches[self._codedeploy.launch(new, group, "autoscaling")] = (group, new, old)

    def _ended(self, deployment: Mapping[str, Any]) -> None:
        if (launch := self._launches.pop(deployment["deploymentId"], None)) is None:
            return
        group, new, old = launch
        if deployment["status"] == "Succeeded":
            self._engine.join(group, new)
            self.hosts_of(group)[new] = "InService"
        goes = old if deployment["status"] == "Succeeded" else new
        self._engine.leave(group, goes)
        del self.hosts_of(group)[goes]


class S3:
    """Objects by bucket and key."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}

    def put_object(self, p: Params) -> dict[str, Any]:
        """PutObject; the body is a file or bytes."""
        body = p["Body"] if isinstance(p["Body"], bytes) else p["Body"].read()
        self.objects[p["Bucket"], p["Key"]] = body
        return {"ETag": f'"{md5(body, usedforsecurity=False).hexdigest()}"'}


class Logs:
    """What every build wrote: ``said``, None for no stream at all."""

    def __init__(self) -> None:
        self.said: list[str] | None = None

    def get_log_events(self, p: Params) -> dict[str, Any]:
        """GetLogEvents: all of it, and nothing more from the token on."""
        if self.said is None:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        said = [] if "nextToken" in p else self.said
        return {"events": [{"timestamp": 0, "message": f"{line}\n"} for line in said], "nextForwardToken": "f/end"}


class CloudWatch:
    """Alarms by name."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._alarms: dict[str, dict[str, Any]] = {}

    def put_metric_alarm(self, p: Params) -> dict[str, Any]:
        """PutMetricAlarm: a new alarm has no data yet."""
        at, name = self._bus.clock.now(), p["AlarmName"]
        state = {"StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation"}
        state |= {"StateUpdatedTimestamp": at, "StateTransitionedTimestamp": at}
        self._alarms.setdefault(name, {"AlarmName": name, "AlarmArn": arn("cloudwatch", f"alarm:{name}"), **state})
        return {}

    def describe_alarms(self, p: Params) -> dict[str, Any]:
        """DescribeAlarms by names and state."""
        names, state = p.get("AlarmNames"), p.get("StateValue")
        found = [dict(a) for n, a in self._alarms.items() if not names or n in names]
        return {"MetricAlarms": [a for a in found if state in (None, a["StateValue"])], "CompositeAlarms": []}

    def set_alarm_state(self, p: Params) -> dict[str, Any]:
        """SetAlarmState: EventBridge hears of it where the state is another one than before."""
        alarm, at = self._alarms[p["AlarmName"]], self._bus.clock.now()
        before = _state(alarm)
        alarm |= {"StateReason": p["StateReason"], "StateUpdatedTimestamp": at}
        if alarm["StateValue"] != p["StateValue"]:
            alarm |= {"StateValue": p["StateValue"], "StateTransitionedTimestamp": at}
            detail = {
                "alarmName": p["AlarmName"],
                "configuration": {"metrics": []},
                "previousState": before,
                "state": _state(alarm),
            }
            self._bus.emit("aws.cloudwatch", "CloudWatch Alarm State Change", [alarm["AlarmArn"]], detail, at)
        return {}


def _state(alarm: Mapping[str, Any]) -> dict[str, str]:
    at = alarm["StateTransitionedTimestamp"].astimezone(UTC)
    timestamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"
    return {"value": alarm["StateValue"], "reason": alarm["StateReason"], "timestamp": timestamp}


class Events:
    """The default bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def put_events(self, p: Params) -> dict[str, Any]:
        """PutEvents, of ten at most."""
        assert 0 < len(p["Entries"]) <= 10
        for entry in p["Entries"]:
            self._bus.emit(entry["Source"], entry["DetailType"], [], json.loads(entry["Detail"]))
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "0"} for _ in p["Entries"]]}


class Sns:
    """Topics, and what was published to them."""

    def __init__(self, topics: tuple[str, ...]) -> None:
        self._topics = topics
        self.published: list[Params] = []

    def list_topics(self, _: Params) -> dict[str, Any]:
        """ListTopics."""
        return {"Topics": [{"TopicArn": arn("sns", name)} for name in self._topics]}

    def publish(self, p: Params) -> dict[str, Any]:
        """Publish."""
        assert len(p["Subject"]) <= 100
        self.published.append(p)
        return {"MessageId": "0"}
