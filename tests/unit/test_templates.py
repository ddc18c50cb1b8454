"""The promises of template.yaml and service.yaml that a linter cannot know: what there is, and who watches whom."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint import api  # type: ignore[import-untyped] # cfn-lint ships no types

from esteira.config import Approvals, Service, Stage

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TEMPLATES = ("template.yaml", "service.yaml")
FUNCTIONS = ("IntakeFunction", "SweepFunction", "OperateFunction", "AnnounceFunction")
QUEUE = {"Fn::GetAtt": "DeadLetters.Arn"}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags as the functions they stand for."""


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load((ROOT / name).read_text(encoding="utf-8"), _Loader)
    return document


def _resources(name: str, kind: str) -> dict[str, dict[str, Any]]:
    return {k: r["Properties"] for k, r in _read(name)["Resources"].items() if r["Type"] == kind}


def _function(name: str) -> dict[str, Any]:
    return _resources("template.yaml", "AWS::Serverless::Function")[name]


def _rules() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every rule as its function, its name and its properties."""
    for function in FUNCTIONS:
        for name, event in _function(function).get("Events", {}).items():
            yield function, name, event["Properties"]


def _statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a role's or a managed policy's own documents."""
    documents = [p["PolicyDocument"] for p in resource.get("Policies", [])]
    documents += [resource["PolicyDocument"]] if "PolicyDocument" in resource else []
    return [statement for document in documents for statement in document["Statement"]]


def _granted(name: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every (resource, statement, action) that a role or managed policy of the template grants."""
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        for owner, properties in _resources(name, kind).items():
            for statement in _statements(properties):
                for action in _listed(statement["Action"]):
                    yield owner, statement, action


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _role_of(function: str) -> str:
    return str(_function(function)["Role"]["Fn::GetAtt"]).removesuffix(".Arn")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_linter_has_nothing_to_say(name: str) -> None:
    """cfn-lint finds neither an error nor a warning."""
    assert [str(match) for match in api.lint_file(ROOT / name)] == []


def test_the_four_functions_are_declared_as_the_rest_of_the_house_expects_them() -> None:
    """Handler, name, time limit and the shared environment are what the code and the local mode rely on."""
    functions = _resources("template.yaml", "AWS::Serverless::Function")
    shared = _read("template.yaml")["Globals"]["Function"]
    assert sorted(functions) == sorted(FUNCTIONS)
    for name, properties in functions.items():
        word = name.removesuffix("Function").lower()
        assert properties["Handler"] == f"{word}.handler"
        assert properties["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{word}"}
    assert shared["CodeUri"] == "functions/"
    assert shared["Timeout"] <= 60
    assert shared["Tracing"] == {"Ref": "Tracing"}
    assert set(shared["Environment"]["Variables"]) == {
        "ESTEIRA_TABLE",
        "ESTEIRA_SERVICES_PATH",
        "ESTEIRA_ACCOUNT",
        "POWERTOOLS_SERVICE_NAME",
        "POWERTOOLS_METRICS_NAMESPACE",
        "LOG_LEVEL",
        "AWS_ENDPOINT_URL",
    }
    assert shared["Environment"]["Variables"]["AWS_ENDPOINT_URL"] == ""
    assert list(_function("AnnounceFunction")["Environment"]["Variables"]) == ["ESTEIRA_TOPIC_ARN"]


def test_each_function_writes_to_its_own_log_which_ends_with_the_stack() -> None:
    """Every log group has a retention, goes with the stack, and only its function's role may write there."""
    groups = _resources("template.yaml", "AWS::Logs::LogGroup")
    for function in FUNCTIONS:
        group = _function(function)["LoggingConfig"]["LogGroup"]["Ref"]
        assert "RetentionInDays" in groups[group]
        assert _read("template.yaml")["Resources"][group]["DeletionPolicy"] == "Delete"
        writers = {o for o, s, a in _granted("template.yaml") if s["Resource"] == {"Fn::GetAtt": f"{group}.Arn"}}
        assert writers == {_role_of(function)}


def test_every_rule_keeps_what_it_could_not_deliver() -> None:
    """Each rule and the schedule have a retry policy and the dead-letter queue, which EventBridge may write to."""
    rules = list(_rules())
    assert len(rules) == 8
    for _, _, rule in rules:
        assert rule["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 3600
        assert rule["DeadLetterConfig"] == {"Arn": QUEUE}
    [policy] = _resources("template.yaml", "AWS::SQS::QueuePolicy").values()
    allowed = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert [(s["Principal"], s["Action"]) for s in allowed] == [
        ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    ]


def test_every_function_leaves_its_failures_in_the_queue_and_may() -> None:
    """The failure destination is the dead-letter queue, and the function's role may send to it."""
    senders = {o for o, s, a in _granted("template.yaml") if a == "sqs:SendMessage" and s["Resource"] == QUEUE}
    for function in FUNCTIONS:
        destination = _function(function)["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
        assert destination == {"Type": "SQS", "Destination": QUEUE}
        assert _role_of(function) in senders


def test_every_function_and_the_queue_are_watched() -> None:
    """Errors and throttles of each function, the queue's depth and age, a missing sweep, events that are lost and
    registrations that are refused reach the alarm topic."""
    alarms = _resources("template.yaml", "AWS::CloudWatch::Alarm")
    watched = {(a["MetricName"], next(iter(a["Dimensions"][0]["Value"].values()))) for a in alarms.values()}
    expected = {(metric, function) for metric in ("Errors", "Throttles") for function in FUNCTIONS}
    queue = "DeadLetters.QueueName"
    assert watched == expected | {
        ("Invocations", "SweepFunction"),
        ("ApproximateNumberOfMessagesVisible", queue),
        ("ApproximateAgeOfOldestMessage", queue),
        ("FoundBySweep", "AWS::StackName"),
        ("RegistrationsRefused", "AWS::StackName"),
    }
    assert all(a["AlarmActions"] == [{"Ref": "Alarms"}] for a in alarms.values())
    [missing] = [a for a in alarms.values() if a["MetricName"] == "Invocations"]
    assert missing["TreatMissingData"] == "breaching"


def test_the_service_is_written_without_yaml_s_aliases() -> None:
    """CloudFormation takes none, and `esteira add-service` sends the file as it is; SAM writes template.yaml anew."""
    tokens = yaml.scan((ROOT / "service.yaml").read_text(encoding="utf-8"), _Loader)
    assert [token.start_mark.line + 1 for token in tokens if isinstance(token, yaml.AliasToken)] == []


def test_a_service_s_host_is_watched_and_rings_where_the_controller_does() -> None:
    """Failing status checks, and no figure at all, reach the controller's alarm topic, which is found by its name."""
    [alarm] = _resources("service.yaml", "AWS::CloudWatch::Alarm").values()
    assert (alarm["MetricName"], alarm["Dimensions"]) == (
        "StatusCheckFailed",
        [{"Name": "InstanceId", "Value": {"Ref": "Host"}}],
    )
    assert alarm["TreatMissingData"] == "breaching"
    [action] = alarm["AlarmActions"]
    topic = _resources("template.yaml", "AWS::SNS::Topic")["Alarms"]["TopicName"]["Fn::Sub"]
    assert action["Fn::Sub"].rpartition(":")[2] == topic.replace("AWS::StackName", "ControllerStack")


def test_the_facts_are_encrypted_restorable_and_outlive_the_stack() -> None:
    """The table is paid per request, has point-in-time recovery and expiry, and is kept when the stack goes."""
    table = _read("template.yaml")["Resources"]["Table"]
    properties = table["Properties"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert [key["AttributeName"] for key in properties["KeySchema"]] == ["pk", "sk"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


VALUES = {
    "ServiceName": "heart",
    "Repository.Name": "heart",
    "Branch": "main",
    "Images": "heart",
    "Images.RepositoryUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/heart",
    "Project": "heart-build",
    "Application": "heart",
    "ProductionGroup": "heart-production",
    "StagingGroup": "heart-staging",
    "Bundles": "esteira-bundles-heart-123456789012",
    "BuildMinutes": "45",
}


def _registration(**given: str) -> dict[str, Any]:
    """The document that service.yaml writes with these parameters, its variables filled in."""
    [parameter] = _resources("service.yaml", "AWS::SSM::Parameter").values()
    assert parameter["Name"] == {"Fn::Sub": "/${ControllerStack}/services/${ServiceName}"}
    defaults = {name: str(p["Default"]) for name, p in _read("service.yaml")["Parameters"].items() if "Default" in p}
    values = defaults | VALUES | given
    there = {"HasStaging": values["Staging"] == "yes", "AsksForVotes": values["ApprovalVotes"] != "0"}

    def resolved(value: Any) -> str:
        match value:
            case {"Fn::If": [condition, yes, no]}:
                return resolved(yes if there[condition] else no)
            case {"Fn::Sub": [text, more]}:
                return _filled(text, values | {name: resolved(each) for name, each in more.items()})
            case {"Fn::Sub": text}:
                return _filled(text, values)
        return str(value)

    document: dict[str, Any] = json.loads(resolved(parameter["Value"]))
    return document


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{([A-Za-z.]+)\}", lambda match: values[match[1]], text)


def test_the_registration_is_a_document_the_controller_accepts() -> None:
    """With its variables filled in, the SSM parameter holds JSON with the agreed keys that validates as a Service."""
    document = _registration()
    assert set(document) == {
        "name",
        "repository",
        "branch",
        "images",
        "image_uri",
        "project",
        "application",
        "stages",
        "bundles",
        "port",
        "health_path",
        "deadlines",
    }
    service = Service.model_validate(document)
    assert (service.project, service.last.group, service.port) == ("heart-build", "heart-production", 8080)
    assert service.deadlines.build_minutes == 45
    assert service.stages == (Stage(name="production", group="heart-production"),)


@pytest.mark.parametrize(("staging", "bake", "votes"), [("yes", "30", "2"), ("yes", "0", "0"), ("no", "15", "1")])
def test_a_stage_before_production_and_what_production_asks_for_are_parameters(
    staging: str, bake: str, votes: str
) -> None:
    """Staging comes first, is watched as long, and asks nobody."""
    service = Service.model_validate(_registration(Staging=staging, BakeMinutes=bake, ApprovalVotes=votes))
    asked = Approvals(votes=int(votes)) if votes != "0" else None
    first = (Stage(name="staging", group="heart-staging", bake_minutes=int(bake)),) if staging == "yes" else ()
    last = Stage(name="production", group="heart-production", bake_minutes=int(bake), approvals=asked)
    assert service.stages == (*first, last)


def test_the_host_of_staging_is_as_production_s() -> None:
    """Made of the same template by the same script, which signals for another resource; found by another tag."""
    hosts = copy.deepcopy(_resources("service.yaml", "AWS::EC2::Instance"))
    [template] = _resources("service.yaml", "AWS::EC2::LaunchTemplate").values()
    script = template["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    told = [line for line in script.splitlines() if not line.startswith("# ")]
    staging = hosts["StagingHost"].pop("UserData")["Fn::Base64"]["Fn::Sub"]
    assert staging.replace("--resource StagingHost ", "--resource Host ").splitlines() == told
    as_production = json.loads(json.dumps(hosts["StagingHost"]).replace("staging", "production"))
    assert as_production == hosts["Host"]
    groups = _resources("service.yaml", "AWS::CodeDeploy::DeploymentGroup")
    assert json.loads(json.dumps(groups["StagingGroup"]).replace("staging", "production")) == groups["ProductionGroup"]
    there = _read("service.yaml")["Resources"]
    assert [name for name, r in there.items() if r.get("Condition") == "HasStaging"] == ["StagingGroup", "StagingHost"]


def test_the_host_cannot_be_entered_from_outside_and_keeps_its_credentials_from_containers() -> None:
    """No SSH key and no port but 80; IMDSv2 with one hop; an encrypted disk."""
    [template] = _resources("service.yaml", "AWS::EC2::LaunchTemplate").values()
    data = template["LaunchTemplateData"]
    assert "KeyName" not in data
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert all(mapping["Ebs"]["Encrypted"] for mapping in data["BlockDeviceMappings"])
    [firewall] = _resources("service.yaml", "AWS::EC2::SecurityGroup").values()
    condition, ingress, otherwise = firewall["SecurityGroupIngress"]["Fn::If"]
    assert (condition, otherwise) == ("IsReachable", {"Ref": "AWS::NoValue"})
    assert [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in ingress] == [
        (80, 80, {"Ref": "AllowedCidr"})
    ]


def test_codedeploy_never_rolls_back_by_itself() -> None:
    """A rollback is esteira's own deployment, so the group makes none."""
    for group in _resources("service.yaml", "AWS::CodeDeploy::DeploymentGroup").values():
        assert group["AutoRollbackConfiguration"] == {"Enabled": False}
        assert group["DeploymentConfigName"] == "CodeDeployDefault.OneAtATime"


def test_only_the_tags_that_must_move_can_move() -> None:
    """esteira-v17 and release tags are frozen; and no lifecycle rule can take what is live or was live before."""
    [images] = _resources("service.yaml", "AWS::ECR::Repository").values()
    assert images["ImageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    filters = images["ImageTagMutabilityExclusionFilters"]
    assert [f["ImageTagMutabilityExclusionFilterValue"] for f in filters] == ["live-*", "previous-*", "git-*"]
    rules = json.loads(images["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    first = [r["selection"] for r in sorted(rules, key=lambda rule: rule["rulePriority"])][:2]
    assert [s["tagPatternList"] for s in first] == [["live-*"], ["previous-*"]]
    assert all(s["countNumber"] >= 1000 for s in first)


def test_what_the_controller_reaches_by_tag_bears_the_tag() -> None:
    """Repositories, project and application carry esteira=<controller>, and the bucket the prefix it may write to."""
    for kind in ("CodeCommit::Repository", "ECR::Repository", "CodeBuild::Project", "CodeDeploy::Application"):
        [properties] = _resources("service.yaml", f"AWS::{kind}").values()
        assert {"Key": "esteira", "Value": {"Ref": "ControllerStack"}} in properties["Tags"]
    [bucket] = _resources("service.yaml", "AWS::S3::Bucket").values()
    assert bucket["BucketName"]["Fn::Sub"].startswith("${ControllerStack}-bundles-")
    [writing] = [s for _, s, a in _granted("template.yaml") if a == "s3:PutObject"]
    assert writing["Resource"]["Fn::Sub"].endswith(":s3:::${AWS::StackName}-bundles-*/*")


def test_the_nested_service_is_given_only_parameters_it_has() -> None:
    """Every parameter of the nested stack exists in service.yaml, and none without a default is missing."""
    [nested] = _resources("template.yaml", "AWS::Serverless::Application").values()
    parameters = _read(nested["Location"])["Parameters"]
    assert set(nested["Parameters"]) <= set(parameters)
    assert {name for name, parameter in parameters.items() if "Default" not in parameter} <= set(nested["Parameters"])


UNHEARD = {"codebuild_phase_change"}


@pytest.mark.parametrize("path", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_every_event_file_reaches_exactly_one_function_and_is_explained(path: Path) -> None:
    """A real payload matches one rule of template.yaml (an operator's request and a phase of a build none), and
    events/README.md has a row for it."""
    event = json.loads(path.read_text(encoding="utf-8"))
    assert f"`{path.name}`" in (ROOT / "events" / "README.md").read_text(encoding="utf-8")
    if path.stem.startswith("operate_"):
        assert {"action", "service", "by", "reason"} <= set(event)
        return
    if path.stem == "schedule":
        assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
        return
    hearing = [
        function
        for function, _, rule in _rules()
        if event["source"] in rule.get("Pattern", {}).get("source", ())
        and event["detail-type"] in rule["Pattern"]["detail-type"]
    ]
    announced = event["source"] == "esteira"
    assert hearing == ([] if path.stem in UNHEARD else ["AnnounceFunction" if announced else "IntakeFunction"])
