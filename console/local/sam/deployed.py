"""What a deployed stack really is: every resource it lists is asked for at its own service, and what the service
answers is compared with what the template declares. That a stack calls itself complete proves nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from console.local.template import Stack, TemplateError

Client = Callable[[str], Any]
UNREAD = {"AWS::Serverless::Function"}  # what a template declares of a function is read with its events
# Where a queue's address begins is the place's own: AWS's, or the emulator's.
_QUEUES = re.compile(r"https?://[^/\s]+(?=/\d{12}/)")
Declared = Mapping[str, Any]
LookUp = Callable[[Client, str, Declared], dict[str, Any]]


@dataclass(frozen=True)
class Found:
    """A resource that a stack lists, with what the template declares of it (nothing, for what SAM adds by itself)."""

    logical_id: str
    type: str
    physical_id: str
    declared: Declared

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type})"


@dataclass(frozen=True)
class Difference:
    """A property of a resource that is not as declared; "" where the resource itself is not there."""

    resource: Found
    property: str
    told: str

    def __str__(self) -> str:
        return f"{self.resource} {self.told}"


def found(stack: Stack, client: Client) -> Iterator[Found]:
    """The resources that the deployed ``stack`` lists."""
    declared = _declared(stack)
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack.name)
    for row in (row for page in pages for row in page["StackResourceSummaries"]):
        id_, physical = row["LogicalResourceId"], row.get("PhysicalResourceId", "")
        yield Found(id_, row["ResourceType"], physical, declared.get(id_, {}))


def absent(stack: Stack, there: list[Found]) -> list[str]:
    """The logical ids that the template declares and no stack lists."""
    listed = {one.logical_id for one in there}
    return sorted(id_ for id_ in _declared(stack) if id_ not in listed)


def differences(one: Found, client: Client) -> list[Difference]:
    """In what a resource is not as declared; of a type that is in ``LOOK_UPS``."""
    try:
        seen = LOOK_UPS[one.type](client, one.physical_id, one.declared)
    except (ClientError, LookupError) as error:
        return [Difference(one, "", f"is listed, and is not there: {error}")]
    return [
        Difference(one, key, f"has {key} {_plain(seen[key])}, declared is {_plain(one.declared[key])}")
        for key in seen.keys() & one.declared.keys()
        if _plain(seen[key]) != _plain(one.declared[key])
    ]


def is_there(one: Found, client: Client) -> bool:
    """Whether the service knows the resource."""
    try:
        LOOK_UPS[one.type](client, one.physical_id, one.declared)
    except (ClientError, LookupError):
        return False
    return True


def retained(stack: Stack) -> set[str]:
    """The logical ids of what outlives the stack by its DeletionPolicy."""
    rows = stack.document["Resources"].items()
    return {id_ for id_, row in rows if str(row.get("DeletionPolicy", "")).startswith("Retain")}


def _declared(stack: Stack) -> dict[str, Declared]:
    """What a template declares by logical id, and the rules that SAM makes of a function's events."""
    rows: dict[str, Declared] = {
        id_: _resolved(stack, id_, row)
        for id_, row in stack.document["Resources"].items()
        if row["Type"] not in UNREAD and stack.holds(row.get("Condition"))
    }
    names = {one.logical_id: one.name for one in stack.functions}
    runtime = stack.document.get("Globals", {}).get("Function", {}).get("Runtime")
    for function in stack.functions:
        rows[function.logical_id] = {
            "FunctionName": function.name,
            "Handler": function.handler,
            "Runtime": runtime,
            "Timeout": function.timeout,
            "MemorySize": function.memory,
        }
    for rule in stack.rules:
        targets = [names.get(target, target) for target in rule.targets]
        declared = {"EventPattern": rule.pattern, "State": "ENABLED", "Targets": targets}
        rows[rule.name.removeprefix(f"{stack.name}-")] = declared
    for schedule in stack.schedules:
        targets = [names.get(schedule.target, schedule.target)]
        declared = {"ScheduleExpression": schedule.expression, "State": "ENABLED", "Targets": targets}
        rows[schedule.name.removeprefix(f"{stack.name}-")] = declared
    return rows


def _resolved(stack: Stack, id_: str, row: Declared) -> Declared:
    """A resource's properties; none where they are in words only CloudFormation reads: then it is but there."""
    try:
        properties: Declared = stack.resolve(row.get("Properties", {}), f"Resources.{id_}")
    except TemplateError:
        return {}
    return properties


def _plain(value: Any) -> str:
    """A value in the one spelling that CloudFormation's strings and an answer's numbers share; a document that
    is given as text is compared as a document."""
    return json.dumps(_text(value), sort_keys=True)


def _text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _text(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_text(inner) for inner in value]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return _text(json.loads(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _QUEUES.sub("QUEUES", str(value))


# --- how each type is asked for: what its service answers, under CloudFormation's names


def _alarm(client: Client, name: str, _: Declared) -> dict[str, Any]:
    (alarm,) = _one(client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"], name)
    keys = ("Namespace", "MetricName", "Statistic", "Period", "EvaluationPeriods", "Threshold", "ComparisonOperator")
    return {key: alarm.get(key) for key in (*keys, "TreatMissingData", "AlarmActions", "AlarmDescription")}


def _dashboard(client: Client, name: str, _: Declared) -> dict[str, Any]:
    return {"DashboardName": client("cloudwatch").get_dashboard(DashboardName=name)["DashboardName"]}


def _build_project(client: Client, name: str, _: Declared) -> dict[str, Any]:
    (project,) = _one(client("codebuild").batch_get_projects(names=[name])["projects"], name)
    return {"Name": project["name"], "SourceVersion": project.get("sourceVersion")}


def _table(client: Client, name: str, _: Declared) -> dict[str, Any]:
    dynamodb = client("dynamodb")
    table = dynamodb.describe_table(TableName=name)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    return {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode"),
        "AttributeDefinitions": table["AttributeDefinitions"],
        "KeySchema": table["KeySchema"],
        "TimeToLiveSpecification": {
            "AttributeName": ttl.get("AttributeName"),
            "Enabled": ttl["TimeToLiveStatus"] == "ENABLED",
        },
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": recovery == "ENABLED"},
    }


def _security_group(client: Client, id_: str, _: Declared) -> dict[str, Any]:
    (group,) = _one(client("ec2").describe_security_groups(GroupIds=[id_])["SecurityGroups"], id_)
    return {"GroupDescription": group["Description"]}


def _launch_template(client: Client, id_: str, _: Declared) -> dict[str, Any]:
    answer = client("ec2").describe_launch_template_versions(LaunchTemplateId=id_, Versions=["$Latest"])
    (version,) = _one(answer["LaunchTemplateVersions"], id_)
    return {"LaunchTemplateData.InstanceType": version["LaunchTemplateData"].get("InstanceType")}


def _hosts(client: Client, name: str, _: Declared) -> dict[str, Any]:
    groups = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    (group,) = _one(groups, name)
    return {key: group[key] for key in ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType")}


def _images(client: Client, name: str, _: Declared) -> dict[str, Any]:
    ecr = client("ecr")
    (repository,) = _one(ecr.describe_repositories(repositoryNames=[name])["repositories"], name)
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
    return {
        "RepositoryName": repository["repositoryName"],
        "ImageTagMutability": repository["imageTagMutability"],
        "LifecyclePolicy": {"LifecyclePolicyText": policy},
    }


def _rule(client: Client, name: str, _: Declared) -> dict[str, Any]:
    events = client("events")
    rule = events.describe_rule(Name=name)
    targets = [row["Arn"].rpartition(":function:")[2] for row in events.list_targets_by_rule(Rule=name)["Targets"]]
    return {
        "EventPattern": json.loads(rule["EventPattern"]) if rule.get("EventPattern") else None,
        "ScheduleExpression": rule.get("ScheduleExpression"),
        "State": rule["State"],
        "Targets": targets,
    }


def _profile(client: Client, name: str, _: Declared) -> dict[str, Any]:
    profile = client("iam").get_instance_profile(InstanceProfileName=name.rpartition("/")[2])["InstanceProfile"]
    return {"InstanceProfileName": profile["InstanceProfileName"]}


def _managed_policy(client: Client, arn: str, _: Declared) -> dict[str, Any]:
    return {"ManagedPolicyName": client("iam").get_policy(PolicyArn=arn)["Policy"]["PolicyName"]}


def _role(client: Client, name: str, declared: Declared) -> dict[str, Any]:
    iam = client("iam")
    role = iam.get_role(RoleName=name)["Role"]
    documents = [
        {"PolicyName": row["PolicyName"], "Sids": _sids(iam.get_role_policy(RoleName=name, **row)["PolicyDocument"])}
        for row in ({"PolicyName": one} for one in iam.list_role_policies(RoleName=name)["PolicyNames"])
    ]
    wanted = [
        {"PolicyName": row["PolicyName"], "Sids": _sids(row["PolicyDocument"])} for row in declared.get("Policies", [])
    ]
    if _plain(documents) != _plain(wanted):
        raise LookupError(f"its policies are {_plain(documents)} and not {_plain(wanted)}")
    return {"AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"]}


def _sids(document: Declared) -> list[str]:
    return [str(row.get("Sid")) for row in document["Statement"]]


def _function(client: Client, name: str, _: Declared) -> dict[str, Any]:
    row = client("lambda").get_function_configuration(FunctionName=name)
    return {key: row.get(key) for key in ("FunctionName", "Handler", "Runtime", "Timeout", "MemorySize")}


def _failures(client: Client, id_: str, _: Declared) -> dict[str, Any]:
    function, _colon, qualifier = id_.partition(":")
    found = client("lambda").get_function_event_invoke_config(FunctionName=function, Qualifier=qualifier or "$LATEST")
    return {"MaximumRetryAttempts": found["MaximumRetryAttempts"]}


def _permission(client: Client, sid: str, _: Declared) -> dict[str, Any]:
    local_aws = client("lambda")
    for row in local_aws.list_functions()["Functions"]:
        try:
            policy = json.loads(local_aws.get_policy(FunctionName=row["FunctionName"])["Policy"])
        except local_aws.exceptions.ResourceNotFoundException:
            continue
        if sid in _sids(policy):
            return {"FunctionName": row["FunctionName"]}
    raise LookupError(f"no function's policy has the statement {sid}")


def _log_group(client: Client, name: str, _: Declared) -> dict[str, Any]:
    rows = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    (group,) = _one([row for row in rows if row["logGroupName"] == name], name)
    return {"LogGroupName": name, "RetentionInDays": group.get("retentionInDays")}


def _bucket(client: Client, name: str, _: Declared) -> dict[str, Any]:
    client("s3").head_bucket(Bucket=name)
    return {"BucketName": name}


def _bucket_policy(client: Client, _: str, declared: Declared) -> dict[str, Any]:
    policy = json.loads(client("s3").get_bucket_policy(Bucket=declared["Bucket"])["Policy"])
    return {"PolicyDocument": policy}


def _queue(client: Client, url: str, _: Declared) -> dict[str, Any]:
    row = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {
        "QueueName": url.rpartition("/")[2],
        "MessageRetentionPeriod": row["MessageRetentionPeriod"],
        "SqsManagedSseEnabled": row.get("SqsManagedSseEnabled"),
    }


def _queue_policy(client: Client, _: str, declared: Declared) -> dict[str, Any]:
    sqs = client("sqs")
    for url in declared["Queues"]:
        there = sqs.get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"]
        policy = json.loads(sqs.get_queue_attributes(QueueUrl=there, AttributeNames=["Policy"])["Attributes"]["Policy"])
    return {"PolicyDocument": policy}


def _topic(client: Client, arn: str, _: Declared) -> dict[str, Any]:
    row = client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    return {"TopicName": arn.rpartition(":")[2], "KmsMasterKeyId": row.get("KmsMasterKeyId")}


def _parameter(client: Client, name: str, _: Declared) -> dict[str, Any]:
    row = client("ssm").get_parameter(Name=name)["Parameter"]
    return {"Name": row["Name"], "Type": row["Type"], "Value": row["Value"]}


def _stack(client: Client, name: str, _: Declared) -> dict[str, Any]:
    (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    if not stack["StackStatus"].endswith("_COMPLETE") or stack["StackStatus"] == "DELETE_COMPLETE":
        raise LookupError(f"it is {stack['StackStatus']}")
    return {"StackName": stack["StackName"]}


def _one(rows: list[Any], name: str) -> list[Any]:
    if len(rows) != 1:
        raise LookupError(f"there are {len(rows)} of {name}")
    return rows


LOOK_UPS: dict[str, LookUp] = {
    "AWS::AutoScaling::AutoScalingGroup": _hosts,
    "AWS::CloudFormation::Stack": _stack,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::CodeBuild::Project": _build_project,
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::LaunchTemplate": _launch_template,
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::ECR::Repository": _images,
    "AWS::Events::Rule": _rule,
    "AWS::IAM::InstanceProfile": _profile,
    "AWS::IAM::ManagedPolicy": _managed_policy,
    "AWS::IAM::Role": _role,
    "AWS::Lambda::EventInvokeConfig": _failures,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SSM::Parameter": _parameter,
}
