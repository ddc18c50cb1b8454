"""CloudWatch's alarms as the local AWS has them: by boto3, over HTTP, and what EventBridge hears of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.stack import LocalAws
from console.local.rehearse.rehearsal import START
from console.local.rehearse.rehearsal_engine import ScriptedEngine

ALARM: dict[str, Any] = {
    "AlarmName": "errors",
    "AlarmDescription": "the model answers with errors",
    "Namespace": "AWS/ApplicationELB",
    "MetricName": "HTTPCode_Target_5XX_Count",
    "Dimensions": [{"Name": "LoadBalancer", "Value": "app/heart/1"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def cloudwatch(**more: Any) -> Any:
    """A client of the local CloudWatch."""
    make: Any = boto3.client
    return make("cloudwatch", region_name="us-east-1", **more)


def test_an_alarm_that_goes_off_is_told_in_aws_s_words(tmp_path: Path) -> None:
    """The event has AWS's shape; what stays in its state tells nobody; the time it went off does not move on."""
    clock = Clock.stopped(START)
    bus = Bus(clock=clock)
    with LocalAws(tmp_path, ScriptedEngine(), bus, clock, keep=False) as local_aws, local_aws.in_process():
        client = cloudwatch()
        client.put_metric_alarm(**ALARM)
        clock.advance(61.5)
        client.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="3 > 1", StateReasonData='{"x": 1}')
        clock.advance(60)
        client.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="4 > 1")
        client.put_metric_alarm(**ALARM | {"Threshold": 2.0})
        (alarm,) = client.describe_alarms(AlarmNames=["errors"], StateValue="ALARM")["MetricAlarms"]
        assert client.describe_alarms(AlarmNames=["errors"], StateValue="OK")["MetricAlarms"] == []
        assert client.describe_alarms(AlarmTypes=["CompositeAlarm"])["MetricAlarms"] == []
    assert alarm["StateUpdatedTimestamp"] > alarm["StateTransitionedTimestamp"]
    assert (alarm["Threshold"], alarm["StateReason"]) == (2.0, "4 > 1")
    (event,) = bus.events
    metric = event["detail"]["configuration"]["metrics"][0]
    metric_id = metric.pop("id")
    assert len(metric_id) == 36
    assert {key: event[key] for key in ("source", "detail-type", "time", "resources", "detail")} == {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "time": "2026-01-01T00:01:01Z",
        "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"],
        "detail": {
            "alarmName": "errors",
            "configuration": {
                "description": "the model answers with errors",
                "metrics": [
                    {
                        "metricStat": {
                            "metric": {
                                "dimensions": {"LoadBalancer": "app/heart/1"},
                                "name": "HTTPCode_Target_5XX_Count",
                                "namespace": "AWS/ApplicationELB",
                            },
                            "period": 60,
                            "stat": "Sum",
                        },
                        "returnData": True,
                    }
                ],
            },
            "previousState": {
                "value": "INSUFFICIENT_DATA",
                "reason": "Unchecked: Initial alarm creation",
                "timestamp": "2026-01-01T00:00:00.000+0000",
            },
            "state": {
                "value": "ALARM",
                "reason": "3 > 1",
                "reasonData": '{"x": 1}',
                "timestamp": "2026-01-01T00:01:01.500+0000",
            },
        },
    }


def test_alarms_answer_over_http_and_outlive_a_stop(tmp_path: Path) -> None:
    """The command line's way: over a socket, with AWS's error for an alarm that is not there; kept over a restart."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    with LocalAws(tmp_path, ScriptedEngine()) as local_aws:
        server = AwsServer(local_aws, "local")
        server.start()
        try:
            client = cloudwatch(endpoint_url=server.url, **keys)
            client.put_metric_alarm(**ALARM)
            client.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="3 > 1")
            (told,) = client.describe_alarms(StateValue="ALARM")["MetricAlarms"]
            with pytest.raises(client.exceptions.ResourceNotFound, match="Alarm another does not exist"):
                client.set_alarm_state(AlarmName="another", StateValue="OK", StateReason="none")
        finally:
            server.stop()
    with LocalAws(tmp_path, ScriptedEngine()) as local_aws, local_aws.in_process():
        (kept,) = cloudwatch().describe_alarms(AlarmNamePrefix="err")["MetricAlarms"]
        cloudwatch().delete_alarms(AlarmNames=["errors", "another"])
        assert cloudwatch().describe_alarms()["MetricAlarms"] == []
    assert (kept["AlarmName"], kept["StateValue"]) == ("errors", "ALARM")
    assert abs((kept["StateTransitionedTimestamp"] - told["StateTransitionedTimestamp"]).total_seconds()) < 1
