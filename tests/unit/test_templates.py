"""The promises of template.yaml and service.yaml that a linter cannot know: what there is, and who watches whom."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint import api  # type: ignore[import-untyped] # cfn-lint ships no types

from console.local.template import read
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
    assert "Tracing" not in shared, "the functions send their own traces (esteira.aws.tracing)"
    assert set(shared["Environment"]["Variables"]) == {
        "ESTEIRA_TABLE",
        "ESTEIRA_SERVICES_PATH",
        "ESTEIRA_ACCOUNT",
        "POWERTOOLS_SERVICE_NAME",
        "POWERTOOLS_METRICS_NAMESPACE",
        "LOG_LEVEL",
        "ESTEIRA_TRACE_SHARE",
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
    assert len(rules) == 10
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
    always = {name: a for name, a in alarms.items() if "Condition" not in _read("template.yaml")["Resources"][name]}
    watched = {(a["MetricName"], next(iter(a["Dimensions"][0]["Value"].values()))) for a in always.values()}
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
    """A host too few in the group, and no figure at all, reach the controller's alarm topic, found by its name."""
    [alarm] = _resources("service.yaml", "AWS::CloudWatch::Alarm").values()
    assert (alarm["MetricName"], alarm["Dimensions"]) == (
        "GroupInServiceInstances",
        [{"Name": "AutoScalingGroupName", "Value": {"Ref": "HostGroup"}}],
    )
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", {"Ref": "Hosts"})
    assert alarm["TreatMissingData"] == "breaching"
    [action] = alarm["AlarmActions"]
    topic = _resources("template.yaml", "AWS::SNS::Topic")["Alarms"]["TopicName"]["Fn::Sub"]
    assert action["Fn::Sub"].rpartition(":")[2] == topic.replace("AWS::StackName", "ControllerStack")


def test_the_facts_are_encrypted_restorable_and_outlive_the_stack() -> None:
    """The table is paid per request, has point-in-time recovery and expiry, and is kept when the stack goes; a creation
    that failed leaves none behind."""
    table = _read("template.yaml")["Resources"]["Table"]
    properties = table["Properties"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert [key["AttributeName"] for key in properties["KeySchema"]] == ["pk", "sk"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "SSESpecification" not in properties, (
        "SSEEnabled is a KMS key, paid for by request; without it DynamoDB's own"
    )
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


def _registration(**given: str) -> dict[str, Any]:
    """The document that service.yaml writes with these parameters."""
    stack = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart", **given})
    [parameter] = stack.resources("AWS::SSM::Parameter")
    assert parameter.name == "/esteira/services/heart"
    document: dict[str, Any] = json.loads(parameter.properties["Value"])
    return document


def test_a_model_in_anothers_repository_makes_none_and_may_read_that_one() -> None:
    """Its builds, its registration and what is told to type name the repository of the other service."""
    given = {"ServiceName": "lungs", "SourceRepository": "models", "Folder": "models/lungs"}
    stack = read(ROOT / "service.yaml", "esteira-lungs", given)
    [parameter] = stack.resources("AWS::SSM::Parameter")
    document = json.loads(parameter.properties["Value"])
    assert (document["repository"], document["folder"], document["images"]) == ("models", "models/lungs", "lungs")
    assert list(stack.resources("AWS::CodeCommit::Repository")) == []
    [project] = stack.resources("AWS::CodeBuild::Project")
    assert project.properties["Source"]["Location"].endswith("/repos/models")
    [role] = [r for r in stack.resources("AWS::IAM::Role") if r.logical_id == "BuildRole"]
    statements = [s for policy in role.properties["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    assert [s["Resource"] for s in statements if s["Action"] == "codecommit:GitPull"] == [
        "arn:aws:codecommit:us-east-1:123456789012:models"
    ]


def test_the_registration_is_a_document_the_controller_accepts() -> None:
    """With its variables filled in, the SSM parameter holds JSON with the agreed keys that validates as a Service."""
    document = _registration(BuildMinutes="45")
    assert set(document) == {
        "name",
        "repository",
        "branch",
        "images",
        "image_uri",
        "folder",
        "project",
        "application",
        "stages",
        "bundles",
        "architecture",
        "url",
        "port",
        "health_path",
        "deadlines",
    }
    service = Service.model_validate(document)
    assert (service.project, service.last.group, service.port) == ("heart-build", "heart-production", 0)
    assert service.deadlines.build_minutes == 45
    assert service.url == ""  # nobody is let in
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


def test_the_longest_registration_fits_its_parameter() -> None:
    """A16: whatever service.yaml takes, SSM takes: a Standard parameter ends at 4,096 bytes."""
    declared = _read("service.yaml")["Parameters"]
    longest = {name: "x" * int(row["MaxLength"]) for name, row in declared.items() if "MaxLength" in row}
    longest |= dict.fromkeys(("SourceRepository", "Branch"), "x" * 100)  # their patterns say so
    longest |= {"Bypass": "no", "OwnHooks": "no", "Staging": "yes", "ApprovalVotes": "5", "AllowedCidr": "10.0.0.0/8"}
    stack = read(ROOT / "service.yaml", "esteira-heart", longest)
    [parameter] = stack.resources("AWS::SSM::Parameter")
    written = parameter.properties["Value"]
    endless = {n for n, row in declared.items() if row["Type"] == "String" and "AllowedValues" not in row}
    assert endless - longest.keys() == {"InstanceType", "SubnetId", "VpcId"}, "a parameter has no end"
    assert len(written.encode()) <= 4_096


def test_bypass_and_a_repository_s_own_hooks_can_be_switched_off() -> None:
    """Both are on by default, as before; off, the registration says so in the controller's words."""
    default = Service.model_validate(_registration())
    assert (default.words, default.own_hooks) == ({}, True)
    strict = Service.model_validate(_registration(Bypass="no", OwnHooks="no"))
    assert (strict.words, strict.own_hooks) == ({"bypass": ()}, False)


def test_the_host_of_staging_is_as_production_s() -> None:
    """A group, a launch template and a deployment group like production's; test_user_data.py compares the scripts."""
    there = copy.deepcopy(_read("service.yaml")["Resources"])
    for template in ("HostTemplate", "StagingHostTemplate"):
        del there[template]["Properties"]["LaunchTemplateData"]["UserData"]
    pairs = {f"Staging{name}": name for name in ("HostGroup", "HostTemplate", "HostStarted", "HostStartReason")}
    pairs["StagingGroup"] = "ProductionGroup"
    for staging, production in pairs.items():
        assert there[staging].pop("Condition") == "HasStaging"
        as_production = json.dumps(there[staging]).replace("StagingHost", "Host").replace("staging", "production")
        assert json.loads(as_production) == there[production]
    assert {name for name, row in there.items() if row.get("Condition") == "HasStaging"} == set()


def test_a_host_is_replaced_without_a_gap() -> None:
    """Whatever replaces it, a new one serves before it goes; and the group has room for both."""
    both = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    for name in ("HostGroup", "StagingHostGroup"):
        group = _read("service.yaml")["Resources"][name]
        assert group["UpdatePolicy"]["AutoScalingInstanceRefresh"] == {"Strategy": "Rolling", "Preferences": both}
        assert group["Properties"]["InstanceMaintenancePolicy"] == both
    for hosts in ("1", "2"):
        stack = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart", "Hosts": hosts})
        (group,) = stack.resources("AWS::AutoScaling::AutoScalingGroup")
        sizes = [int(group.properties[name]) for name in ("MinSize", "DesiredCapacity", "MaxSize")]
        assert sizes == [int(hosts), int(hosts), 2 * int(hosts)]


def test_a_group_is_made_before_codedeploy_hears_of_it() -> None:
    """Its first host would otherwise wait for a release that is nowhere yet; and the stack would wait for the host."""
    for kind, hosts in (("ProductionGroup", "HostGroup"), ("StagingGroup", "StagingHostGroup")):
        group = _read("service.yaml")["Resources"][kind]["Properties"]
        assert group["AutoScalingGroups"] == [{"Ref": hosts}]
        assert "Ec2TagSet" not in group
        assert kind not in json.dumps(_read("service.yaml")["Resources"][hosts])


def test_the_page_is_at_an_address_that_outlives_its_host() -> None:
    """The registration's url and the output are the Elastic IP's, which a host takes for itself when it answers."""
    reachable = {"ServiceName": "heart", "AllowedCidr": "203.0.113.0/24"}
    assert _registration(**reachable)["url"] == "http://esteira-heart-Address-PublicIp/"
    assert [*read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart"}).resources("AWS::EC2::EIP")] == []


DATA = {"RepositoryExists": "Repository", "ImagesExist": "Images", "BundlesExist": "Bundles"}


@pytest.mark.parametrize("parameter", DATA)
def test_what_an_earlier_stack_left_is_used_by_its_name_and_not_made_again(parameter: str) -> None:
    """What exists is not in the stack, and all else names it as before: host, build and registration are the same."""
    made = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart"})
    used = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart", parameter: "yes"})
    kinds = {row["Type"] for row in made.document["Resources"].values()}
    before, after = ({r.logical_id: r for r in stack.resources(*kinds)} for stack in (made, used))
    assert before.keys() - after.keys() == {DATA[parameter]}
    assert {name: row for name, row in before.items() if name in after} == after
    assert made.outputs == used.outputs


@pytest.mark.parametrize(("cache", "kind"), [("none", "NO_CACHE"), ("local", "LOCAL"), ("s3", "S3")])
def test_a_build_has_the_cache_that_was_asked_for(cache: str, kind: str) -> None:
    """A buildspec's cache paths do nothing in a project without one; only the one in S3 needs rights."""
    stack = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart", "BuildCache": cache})
    [project] = stack.resources("AWS::CodeBuild::Project")
    assert project.properties["Cache"]["Type"] == kind
    policies = list(stack.resources("AWS::IAM::ManagedPolicy"))
    assert len(policies) == (kind == "S3")
    if policies:
        [statement] = policies[0].properties["PolicyDocument"]["Statement"]
        assert statement["Resource"] == f"arn:aws:s3:::{project.properties['Cache']['Location']}/*"


def test_a_failed_start_can_say_why() -> None:
    """A signal for a CreationPolicy carries no reason in AWS's own model, so every host has a wait condition beside it,
    which it may tell the reason, and which waits longer than the script that tells it."""
    from botocore.session import Session

    call = Session().get_service_model("cloudformation").operation_model("SignalResource")
    assert set(call.input_shape.members) == {"StackName", "LogicalResourceId", "UniqueId", "Status"}
    conditions = _resources("service.yaml", "AWS::CloudFormation::WaitCondition")
    groups = set(_resources("service.yaml", "AWS::AutoScaling::AutoScalingGroup"))
    reasons = {f"{group.removesuffix('Group')}StartReason" for group in groups}
    assert {c["Handle"]["Ref"] for c in conditions.values()} == reasons
    assert {int(c["Timeout"]) for c in conditions.values()} == {1200}
    for group in groups:
        assert _read("service.yaml")["Resources"][group]["CreationPolicy"]["ResourceSignal"]["Timeout"] == "PT15M"


def test_the_host_cannot_be_entered_from_outside_and_keeps_its_credentials_from_containers() -> None:
    """No SSH key and no port but 80; IMDSv2 with one hop; an encrypted disk."""
    template = _resources("service.yaml", "AWS::EC2::LaunchTemplate")["HostTemplate"]
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


def test_no_service_can_take_the_controller_down() -> None:
    """The controller's stack has no stack within it: one that fails would roll all of it back."""
    kinds = {row["Type"] for row in _read("template.yaml")["Resources"].values()}
    assert kinds & {"AWS::Serverless::Application", "AWS::CloudFormation::Stack"} == set()


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
