"""CloudWatch's metric alarms: put, looked at, and set to a state by hand, which EventBridge then hears of.

Nothing is measured here, so an alarm changes only when somebody says so (``SetAlarmState``). moto's own describe_alarms
gives every alarm that was named, in whatever state; AWS gives those for which all that was asked holds.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from console.local.aws.api import AwsError, Operation, Params, page
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws_account import arn

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
CREATED = "Unchecked: Initial alarm creation"
# What of PutMetricAlarm's parameters DescribeAlarms tells again, as it was given.
TOLD = (
    "ActionsEnabled", "AlarmActions", "AlarmDescription", "ComparisonOperator", "DatapointsToAlarm", "Dimensions",
    "EvaluateLowSampleCountPercentile", "EvaluationPeriods", "ExtendedStatistic", "InsufficientDataActions",
    "MetricName", "Metrics", "Namespace", "OKActions", "Period", "Statistic", "Threshold", "ThresholdMetricId",
    "TreatMissingData", "Unit",
)  # fmt: skip


class CloudWatch:
    """The alarms, by name, each as ``DescribeAlarms`` gives it."""

    def __init__(self, bus: Bus, clock: Clock, lock: RLock) -> None:
        self._bus, self._clock, self._lock = bus, clock, lock
        self._alarms: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, Operation] = {
            "PutMetricAlarm": self.put_metric_alarm,
            "DescribeAlarms": self.describe_alarms,
            "SetAlarmState": self.set_alarm_state,
            "DeleteAlarms": self.delete_alarms,
        }

    def dump(self) -> dict[str, Any]:
        """Every alarm, to be kept."""
        return self._alarms

    def load(self, kept: Mapping[str, Any]) -> None:
        """Take up what ``dump`` gave."""
        self._alarms = {name: dict(alarm) for name, alarm in kept.items()}

    # AWS's operations

    def put_metric_alarm(self, params: Params) -> dict[str, Any]:
        """PutMetricAlarm: a new alarm has no data yet; one that is there keeps its state."""
        now, name = self._clock.now(), str(params["AlarmName"])
        with self._lock:
            before = self._alarms.get(name, _new(name, now))
            state = {key: value for key, value in before.items() if key not in TOLD}
            lists: dict[str, Any] = {"OKActions": [], "AlarmActions": [], "InsufficientDataActions": []}
            given = {key: params[key] for key in TOLD if key in params}
            state |= {"ActionsEnabled": True, **lists, **given, "AlarmConfigurationUpdatedTimestamp": now}
            self._alarms[name] = state
        return {}

    def describe_alarms(self, params: Params) -> dict[str, Any]:
        """DescribeAlarms: by names or their prefix, by state; composite alarms there are none."""
        if params.get("AlarmNames") and params.get("AlarmNamePrefix"):
            text = "AlarmNamePrefix and AlarmNames are mutually exclusive"
            raise AwsError("InvalidParameterCombination", text)
        names, prefix, state = (params.get(key) for key in ("AlarmNames", "AlarmNamePrefix", "StateValue"))
        with self._lock:
            found = [
                dict(alarm)
                for name, alarm in sorted(self._alarms.items())
                if (not names or name in names)
                and name.startswith(prefix or "")
                and alarm["StateValue"] == (state or alarm["StateValue"])
            ]
        if "MetricAlarm" not in (params.get("AlarmTypes") or ["MetricAlarm"]):
            found = []
        alarms, token = page(found, params.get("NextToken"), params.get("MaxRecords") or 50, code="InvalidNextToken")
        return {"MetricAlarms": alarms, "CompositeAlarms": []} | ({"NextToken": token} if token else {})

    def set_alarm_state(self, params: Params) -> dict[str, Any]:
        """SetAlarmState: EventBridge hears of it where the state is another one than before."""
        now, name, value = self._clock.now(), str(params["AlarmName"]), params["StateValue"]
        if value not in STATES:
            text = f"Value '{value}' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set"
            raise AwsError("ValidationError", f"1 validation error detected: {text}: [INSUFFICIENT_DATA, ALARM, OK]")
        try:
            json.loads(params.get("StateReasonData") or "{}")
        except ValueError:
            raise AwsError("InvalidFormat", "StateReasonData is not JSON") from None
        with self._lock:
            if name not in self._alarms:
                raise AwsError("ResourceNotFound", f"Alarm {name} does not exist")
            alarm = self._alarms[name]
            before = _state(alarm)
            moved = alarm["StateValue"] != value
            alarm |= {"StateValue": value, "StateReason": params["StateReason"]}
            alarm |= {"StateReasonData": params.get("StateReasonData") or "", "StateUpdatedTimestamp": now}
            if moved:
                alarm["StateTransitionedTimestamp"] = now
                detail = {
                    "alarmName": name,
                    "configuration": _configuration(alarm),
                    "previousState": before,
                    "state": _state(alarm),
                }
                self._bus.emit("aws.cloudwatch", "CloudWatch Alarm State Change", [alarm["AlarmArn"]], detail, now)
        return {}

    def delete_alarms(self, params: Params) -> dict[str, Any]:
        """DeleteAlarms: what is not there is no mistake."""
        with self._lock:
            for name in params["AlarmNames"]:
                self._alarms.pop(name, None)
        return {}


def _new(name: str, now: datetime) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "AlarmArn": arn("cloudwatch", f"alarm:{name}"),
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": CREATED,
        "StateUpdatedTimestamp": now,
        "StateTransitionedTimestamp": now,
    }


def _state(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """An alarm's state as its event tells it: milliseconds, and reasonData only where there is some."""
    at = alarm["StateTransitionedTimestamp"].astimezone(UTC)
    told = {"value": alarm["StateValue"], "reason": alarm["StateReason"]}
    told |= {"reasonData": alarm["StateReasonData"]} if alarm.get("StateReasonData") else {}
    return told | {"timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"}


def _configuration(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The alarm's metrics as its event tells them; a single metric gets an id of its own."""
    told: dict[str, Any] = {"description": alarm["AlarmDescription"]} if alarm.get("AlarmDescription") else {}
    if "MetricName" in alarm:
        stat = alarm.get("Statistic") or alarm.get("ExtendedStatistic", "")
        single = {"Metric": {key: alarm.get(key) for key in ("Namespace", "MetricName", "Dimensions")}, "Stat": stat}
        metrics = [
            {
                "Id": str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"])),
                "MetricStat": single | {"Period": alarm.get("Period")},
            }
        ]
    else:
        metrics = alarm.get("Metrics", [])
    return told | {"metrics": [_metric(metric) for metric in metrics]}


def _metric(row: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"id": row["Id"]}
    told |= {ours: row[theirs] for ours, theirs in (("expression", "Expression"), ("label", "Label")) if theirs in row}
    stat = row.get("MetricStat")
    if stat:
        metric = stat["Metric"]
        dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions") or ()}
        told["metricStat"] = {
            "metric": {"dimensions": dimensions, "name": metric["MetricName"], "namespace": metric.get("Namespace")},
            "period": stat.get("Period"),
            "stat": stat["Stat"],
        }
    return told | {"returnData": bool(row.get("ReturnData", True))}
