"""What an account shows around the releases: rules, rights, logs, figures, alarms, the host as EC2 knows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from console.prove.item import ProofItem, ProofOutcome, proven, refuted
from console.prove.site import ProofSite
from esteira.errors import code_of

FUNCTIONS = ("intake", "sweep", "operate", "announce")


def resources(site: ProofSite, stack: str, type_: str) -> dict[str, str]:
    """The physical ids of a stack's resources of a type, by their logical ids."""
    pages = site.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    rows = [row for page in pages for row in page["StackResourceSummaries"] if row["ResourceType"] == type_]
    return {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}


def _rule(event: str) -> Callable[[ProofSite], ProofOutcome | None]:
    def look(site: ProofSite) -> ProofOutcome | None:
        rules = resources(site, site.stack, "AWS::Events::Rule")
        name = next(physical for logical, physical in rules.items() if logical.endswith(event))
        told = {metric: _sum(site, metric, name) for metric in ("Invocations", "FailedInvocations")}
        if told["FailedInvocations"]:
            return refuted(f"{name}: {told['FailedInvocations']:.0f} invocations failed")
        return proven(f"{name} matched: {told['Invocations']:.0f} invocations") if told["Invocations"] else None

    return look


def _sum(site: ProofSite, metric: str, rule: str) -> float:
    asked = {"Namespace": "AWS/Events", "MetricName": metric, "Dimensions": [{"Name": "RuleName", "Value": rule}]}
    span = {"StartTime": site.now() - timedelta(hours=3), "EndTime": site.now(), "Period": 10800}
    rows = site.client("cloudwatch").get_metric_statistics(**asked, **span, Statistics=["Sum"])["Datapoints"]
    return float(sum(row["Sum"] for row in rows))


def _host(site: ProofSite) -> Any:
    filters = [
        {"Name": "tag:aws:cloudformation:stack-name", "Values": [f"{site.stack}-{site.service}"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    return site.client("ec2").describe_instances(Filters=filters)["Reservations"][0]["Instances"][0]


def _host_declared(site: ProofSite) -> ProofOutcome:
    host = _host(site)
    disk = host["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    sealed = site.client("ec2").describe_volumes(VolumeIds=[disk])["Volumes"][0]["Encrypted"]
    tokens = host["MetadataOptions"]["HttpTokens"]
    told = f"{host['InstanceId']} ({host['Architecture']}): IMDSv2 {tokens}, root volume encrypted: {sealed}"
    return proven(told) if sealed and tokens == "required" else refuted(told)


def _session(site: ProofSite) -> ProofOutcome | None:
    host = _host(site)["InstanceId"]
    status = site.client("ssm").get_connection_status(Target=host)["Status"]
    return proven(f"Session Manager is {status} to {host}") if status == "connected" else None


def _logs(site: ProofSite) -> ProofOutcome | None:
    logs = site.client("logs")
    names = [f"/aws/lambda/{site.stack}-{name}" for name in FUNCTIONS if name != "operate"]
    silent = [name for name in names if not logs.filter_log_events(logGroupName=name, limit=1)["events"]]
    rows = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{site.stack}-")["logGroups"]
    endless = [row["logGroupName"] for row in rows if "retentionInDays" not in row]
    if endless or len(rows) != len(FUNCTIONS):
        return refuted(f"{len(rows)} log groups; without an end: {', '.join(endless) or 'no group'}")
    return None if silent else proven(f"{len(rows)} groups with an end, and lines in {', '.join(names)}")


def _queries(site: ProofSite) -> ProofOutcome | None:
    logs = site.client("logs")
    prefix = {"queryDefinitionNamePrefix": f"{site.stack}/"}
    rows = logs.describe_query_definitions(**prefix)["queryDefinitions"]
    refused = [told for row in rows if (told := _refused(site, row))]
    if refused:
        return refuted("; ".join(refused))
    return proven(f"CloudWatch runs {len(rows)} saved queries") if rows else None


def _refused(site: ProofSite, row: Any) -> str:
    """What CloudWatch says against a saved query, "" for nothing."""
    end = int(site.now().timestamp())
    asked = {"logGroupNames": row["logGroupNames"], "queryString": row["queryString"]}
    try:
        site.client("logs").start_query(**asked, startTime=end - 7200, endTime=end)
    except ClientError as error:
        if code_of(error) != "MalformedQueryException":
            raise
        return f"{row['name']}: {error}"
    return ""


def _figure(site: ProofSite) -> ProofOutcome | None:
    asked = {"Namespace": "esteira", "MetricName": "FoundBySweep"}
    dimension = [{"Name": "service", "Value": site.stack}]
    rows = site.client("cloudwatch").list_metrics(**asked, Dimensions=dimension)["Metrics"]
    return proven("CloudWatch took FoundBySweep out of the sweep's log line") if rows else None


def _traced(site: ProofSite) -> ProofOutcome | None:
    end = site.now()
    asked = {"StartTime": end - timedelta(hours=3), "EndTime": end}
    told = site.client("xray").get_trace_summaries(**asked, FilterExpression=f'annotation.service = "{site.service}"')[
        "TraceSummaries"
    ]
    return proven(f"X-Ray finds {len(told)} traces by annotation.service") if told else None


def _alarms(site: ProofSite) -> ProofOutcome | None:
    rows = site.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{site.stack}-")["MetricAlarms"]
    ringing = [f"{row['AlarmName']}: {row['StateReason']}" for row in rows if row["StateValue"] == "ALARM"]
    if ringing:
        return refuted("; ".join(ringing))
    judged = [row["AlarmName"] for row in rows if row["StateValue"] == "OK"]
    return proven(f"{len(judged)} of {len(rows)} alarms are OK, no alarm rings") if judged else None


def _undelivered(site: ProofSite) -> ProofOutcome:
    queue = resources(site, site.stack, "AWS::SQS::Queue")["DeadLetters"]
    told = site.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
    letters = int(told["Attributes"]["ApproximateNumberOfMessages"])
    if letters:
        first = site.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=1).get("Messages", [{}])[0]
        return refuted(f"{letters} dead letters; the first: {json.dumps(first)[:500]}")
    return proven("no dead letter: every event was delivered and every right the functions used was granted")


def _rules() -> Iterator[ProofItem]:
    for event, of in (
        ("RepositoryChanged", "CodeCommit's"),
        ("BuildChanged", "CodeBuild's"),
        ("ImageChanged", "ECR's"),
        ("ImageInspected", "ECR's scan"),
        ("DeploymentChanged", "CodeDeploy's"),
        ("HostReported", "a host's own"),
        ("RegistrationChanged", "Parameter Store's"),
    ):
        claim = f"{of} events have the fields that the rule's pattern asks for"
        yield ProofItem(f"rule-{event}", claim, "the pushes before", 10, _rule(event))


def _ring(site: ProofSite) -> None:
    """CloudWatch puts the alarm back by itself at its next look."""
    cloudwatch = site.client("cloudwatch")
    alarm = cloudwatch.describe_alarms(AlarmNamePrefix=f"{site.stack}-")["MetricAlarms"][0]["AlarmName"]
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="esteira prove")


AROUND = (
    *_rules(),
    ProofItem("host", "the host asks for IMDSv2 and its disk is encrypted", "nothing; EC2 is asked", 1, _host_declared),
    ProofItem("session", "five rights are enough for Session Manager", "nothing; SSM is asked", 5, _session),
    ProofItem("logs", "each function writes into the log group the template gives it", "the pushes before", 10, _logs),
    ProofItem("queries", "CloudWatch takes the saved queries", "each is started once", 2, _queries),
    ProofItem("figure", "CloudWatch takes a metric out of a log line", "the lost event before", 10, _figure),
    ProofItem("traces", "X-Ray takes the functions' segments", "TraceShare=1", 10, _traced),
    ProofItem("alarms", "no alarm rings while all is well, and some have figures", "nothing", 10, _alarms),
    ProofItem("dead-letters", "every event is delivered and handled", "all before", 1, _undelivered),
    ProofItem("rule-AlarmRang", "an alarm's event matches its rule", "SetAlarmState", 10, _rule("AlarmRang"), _ring),
)
