"""`esteira add-service` and `remove-service`, on moto's CloudFormation.

It holds stacks, change sets, parameters and tags as AWS does. Of service.yaml's types it knows no CodeCommit, CodeBuild
and CodeDeploy, and no instance from a launch template; for these it is taught a name and attributes (taught.py), and
makes nothing. So what is asserted is what
CloudFormation was asked for. That the stack comes up on AWS is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.parsing import ResourceMap
from moto.ssm.models import Parameter

from console.cli.main import main
from console.cli.read_commands import status
from console.cli.service_commands import _parameter, add_service
from console.local.paths import SERVICE_TEMPLATE
from console.local.template import read
from console.read.remote import Controller
from console.read.session import Shell
from esteira.aws import Aws
from esteira.config import Service
from esteira.core.facts import PolicySet
from esteira.store import Store
from policy.document import in_force, seed, stored
from tests.integration import taught

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:Tried to parse")]  # what moto leaves out
MAKE: Any = boto3.client  # typed for literal names only
CLIENT = cache(MAKE)
CONTROLLER = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {"ServicesPath": {"Value": "/esteira/services/"}},
}


BUCKET = "esteira-bundles-lungs-123456789012"


class Account:
    """An account with a controller's stack in it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.client = CLIENT
        self.cloudformation = self.client("cloudformation")
        self.cloudformation.create_stack(StackName="esteira", TemplateBody=json.dumps(CONTROLLER))
        self.now = datetime.now(UTC)

    def run(self, *typed: str, shell: Shell | None = None, input_: str | None = None) -> Result:
        shell = shell or self.shell(self.client)
        where = () if "--state" in typed else ("--aws",)
        return CliRunner().invoke(main, [*typed, *where], obj=shell, input=input_)

    def shell(self, client: Callable[[str], Any]) -> Shell:
        return Shell(lambda where: Controller(where, client), lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def stack(self, name: str) -> Any:
        return self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]

    def stacks(self) -> list[str]:
        return sorted(row["StackName"] for row in self.cloudformation.describe_stacks()["Stacks"])

    def parameters(self, name: str) -> dict[str, str]:
        return {row["ParameterKey"]: row["ParameterValue"] for row in self.stack(name)["Parameters"]}


def _what_there_is(diff: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Moto's difference of two templates without the resources whose condition is false: moto would change what
    it never made, and fails on it."""

    def differing(stack: Any, *given: Any) -> dict[str, Any]:
        found = diff(stack, *given)
        made = [name for name in found["Modify"] if stack._parsed_resources.get(name) is not None]
        return {**found, "Modify": made}

    return differing


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "ESTEIRA_STATE", "ESTEIRA_STACK", "ESTEIRA_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ResourceMap, "build_resource_diff", _what_there_is(ResourceMap.build_resource_diff))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    taught.remember()
    made: Any = Parameter.create_from_cloudformation_json

    def untagged(resource_name: str, cloudformation_json: Any, *rest: Any, **more: Any) -> Any:
        """moto takes the tags of a parameter for a list; CloudFormation has a map there."""
        properties = {k: v for k, v in cloudformation_json["Properties"].items() if k != "Tags"}
        return made(resource_name, {**cloudformation_json, "Properties": properties}, *rest, **more)

    execute: Any = CloudFormationBackend.execute_change_set

    def with_outputs(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        """moto works out a stack's outputs when it is asked for, and not when its change set has been executed."""
        execute(self, change_set_name, stack_name)
        for stack in self.stacks.values():
            stack._parse_template()
            stack.output_map = stack._create_output_map()

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", with_outputs)
    monkeypatch.setattr(Parameter, "create_from_cloudformation_json", staticmethod(untagged))
    with mock_aws():
        yield Account(tmp_path)


def test_a_second_service_is_a_stack_of_its_own_for_the_same_controller(account: Account) -> None:
    """CloudFormation is given service.yaml, the name, the controller and what was typed; the rest is its default."""
    result = account.run(
        "add-service", "lungs", "--branch", "trunk", "--allowed-cidr", "203.0.113.0/24", "--port", "9000"
    )
    assert result.exit_code == 0, result.output
    assert account.stacks() == ["esteira", "esteira-lungs"]
    given = account.parameters("esteira-lungs")
    assert {k: given[k] for k in ("ServiceName", "ControllerStack", "Branch", "AllowedCidr", "Port")} == {
        "ServiceName": "lungs", "ControllerStack": "esteira", "Branch": "trunk", "AllowedCidr": "203.0.113.0/24",
        "Port": "9000",
    }  # fmt: skip
    assert given["InstanceType"] == ""
    assert account.stack("esteira-lungs")["Tags"] == [{"Key": "esteira", "Value": "esteira"}]
    registered = account.client("ssm").get_parameter(Name="/esteira/services/lungs")["Parameter"]["Value"]
    assert json.loads(registered)["port"] == 9000


def test_its_outputs_are_printed_as_the_next_things_to_type(account: Account) -> None:
    """After it stands, the command to clone, to push and to look are there to be copied."""
    result = account.run("add-service", "lungs")
    assert "esteira-lungs is CREATE_COMPLETE" in result.stdout
    assert "git push codecommit::us-east-1://" in result.stdout
    assert "esteira status --stack esteira --service lungs" in result.stdout
    told = json.loads(account.run("add-service", "lungs", "--port", "8081", "--json").stdout)
    assert (told["stack"], told["status"]) == ("esteira-lungs", "UPDATE_COMPLETE")
    assert told["outputs"]["StatusCommand"][0] == "esteira status --stack esteira --service lungs"


def test_a_change_keeps_what_was_not_typed_again(account: Account) -> None:
    """Typing one option changes that one: a branch given before is not set back to its default."""
    account.run("add-service", "lungs", "--branch", "trunk")
    result = account.run("add-service", "lungs", "--port", "9001")
    assert result.exit_code == 0, result.output
    given = account.parameters("esteira-lungs")
    assert (given["Branch"], given["Port"]) == ("trunk", "9001")


def table(client: Any) -> Store:
    """The controller's table."""
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    client.create_table(
        TableName="esteira",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return Store(client, "esteira")


def registered(account: Account) -> Service:
    """The registration that CloudFormation writes for the stack's parameters. Of a change moto writes none itself."""
    stack = read(SERVICE_TEMPLATE, "esteira-lungs", account.parameters("esteira-lungs"))
    [parameter] = stack.resources("AWS::SSM::Parameter")
    ssm = account.client("ssm")
    ssm.put_parameter(Name=parameter.name, Value=parameter.properties["Value"], Type="String", Overwrite=True)
    [service], _ = Aws(account.client).services("/esteira/services/")
    return service


@pytest.mark.slow
def test_a_change_of_the_stack_leaves_the_policy(account: Account) -> None:
    """add-service, and sam deploy with other parameters, write the registration anew: the votes of the policy stay."""
    account.run("add-service", "lungs", "--approval-votes", "2", "--bypass", "no", "--own-hooks", "no")
    before, store = registered(account), table(account.client("dynamodb"))
    document = stored(seed(before))
    said = PolicySet(at=account.now, request="r", by="ana", reason="the audit", version=1, document=document)
    assert store.say("lungs", "a-request", account.now, [said])
    account.run("add-service", "lungs", "--approval-votes", "0", "--bypass", "yes", "--own-hooks", "yes")
    account.cloudformation.update_stack(
        StackName="esteira-lungs",
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": name, "ParameterValue": "15" if name == "BakeMinutes" else value}
            for name, value in account.parameters("esteira-lungs").items()
        ],
    )
    after = registered(account)
    assert (after.last.approvals, after.last.bypass, after.last.bake_minutes, after.own_hooks) == (None, True, 15, True)
    rules = in_force(after, store.policy("lungs"))
    assert (rules.stages, rules.own_hooks) == (before.stages, False)


def test_a_dry_run_tells_the_changes_and_leaves_nothing(account: Account) -> None:
    """What would be made is listed, no stack stands, and the empty one CloudFormation keeps for it is gone too."""
    result = account.run("add-service", "lungs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "add     Repository          AWS::CodeCommit::Repository" in result.stdout
    assert "nothing was changed in esteira-lungs. Next: the same without --dry-run" in result.stdout
    assert account.stacks() == ["esteira"]


def test_where_nothing_changes_it_says_so_and_leaves_no_change_set(account: Account) -> None:
    """For an operator it is no failure to ask for what is there. moto refuses an empty change set at once; AWS makes
    one that has failed, which is given in its place the second time."""

    class Empty:
        """CloudFormation, but that every change set turns out empty."""

        def __init__(self, real: Any) -> None:
            self.real, self.deleted = real, list[str]()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def describe_change_set(self, **asked: Any) -> Any:
            why = (
                "The submitted information didn't contain changes. Submit different information to create a change set."
            )
            return {"Status": "FAILED", "StatusReason": why}

        def delete_change_set(self, **asked: Any) -> Any:
            self.deleted.append(asked["ChangeSetName"])
            return self.real.delete_change_set(**asked)

    account.run("add-service", "lungs")
    result = account.run("add-service", "lungs")
    assert (result.exit_code, result.stderr) == (0, "on AWS account 123456789012, us-east-1, stack esteira\n")
    assert "esteira-lungs is as it was asked for; nothing to change" in result.stdout
    empty = Empty(account.cloudformation)
    shell = account.shell(lambda name: empty if name == "cloudformation" else account.client(name))
    result = account.run("add-service", "lungs", "--port", "9000", shell=shell)
    assert result.exit_code == 0, result.output
    assert "esteira-lungs is as it was asked for; nothing to change" in result.stdout
    assert len(empty.deleted) == 1


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("Lungs",), "ServiceName cannot be 'Lungs': lower-case letters, digits and single hyphens"),
        (("a" * 25,), "at most 24"),
        (("lungs", "--allowed-cidr", "10.0.0.0/33"), "AllowedCidr cannot be '10.0.0.0/33': an IPv4 range"),
        (("lungs", "--port", "65536"), "Port cannot be '65536': a port, 1 to 65535, or 0"),
        (("lungs", "--port", "eighty"), "Port cannot be 'eighty'"),
        (("lungs", "--architecture", "mips"), "Architecture cannot be 'mips': arm64 or x86_64"),
        (("lungs", "--log-retention-days", "2"), "LogRetentionDays cannot be '2'"),
        (("lungs", "--vpc-id", "vpc-1"), "Give both VpcId and SubnetId, or neither for the default VPC."),
        (("lungs", "--stack", "a-name-that-is-too-long"), "ControllerStack cannot be 'a-name-that-is-too-long'"),
        (("lungs", "--stack", "nowhere"), "no stack nowhere is at AWS, so nothing would look after the service"),
    ],
)
def test_what_is_mistyped_is_refused_in_the_templates_words_and_nothing_is_asked_for(
    account: Account, typed: tuple[str, ...], sentence: str
) -> None:
    """Status 2, one sentence, and CloudFormation has no stack and no change set of it."""
    result = account.run("add-service", *typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert account.stacks() == ["esteira"]


def test_a_change_is_held_against_what_the_stack_has_already(account: Account) -> None:
    """A subnet for a service that was given its VPC before is whole; to take one of the two away is not."""
    vpc, subnet = "vpc-0a", "subnet-0b"
    account.run("add-service", "lungs", "--vpc-id", vpc, "--subnet-id", subnet, "--dry-run")
    account.cloudformation.create_stack(
        StackName="esteira-lungs",
        TemplateBody=SERVICE_TEMPLATE.read_text(),
        Parameters=[
            {"ParameterKey": k, "ParameterValue": v}
            for k, v in {"ServiceName": "lungs", "VpcId": vpc, "SubnetId": subnet}.items()
        ],
    )
    result = account.run("add-service", "lungs", "--vpc-id", "")
    assert result.exit_code == 2
    assert "Give both VpcId and SubnetId" in result.stderr


def test_a_stack_that_is_no_controller_gets_no_service(account: Account) -> None:
    """A name typed wrong that happens to be somebody's stack is refused."""
    other = {"Resources": CONTROLLER["Resources"]}
    account.cloudformation.create_stack(StackName="website", TemplateBody=json.dumps(other))
    result = account.run("add-service", "lungs", "--stack", "website")
    assert result.exit_code == 2
    assert "website is no controller of esteira" in result.stderr


def test_a_name_that_is_taken_is_refused_before_half_of_it_is_made(account: Account) -> None:
    """What bears the name already is named, with the way to use it."""
    account.client("codecommit").create_repository(repositoryName="lungs")
    account.client("ecr").create_repository(repositoryName="lungs")
    account.client("s3").create_bucket(Bucket="esteira-bundles-lungs-123456789012")
    result = account.run("add-service", "lungs")
    assert result.exit_code == 2
    for taken in ("a CodeCommit repository lungs", "an ECR repository lungs", "a bucket esteira-bundles-lungs-"):
        assert taken in result.stderr
    assert "esteira add-service lungs --adopt" in result.stderr
    assert account.stacks() == ["esteira"]


class Tagged:
    """AWS's list of tags, of which moto's knows no CodeCommit: all that is asked for bears the controller's."""

    def get_resources(self, ResourceARNList: list[str]) -> Any:  # noqa: N803 - boto3's word
        tags = [{"Key": "esteira", "Value": "esteira"}]
        return {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags} for arn in ResourceARNList]}


@pytest.fixture
def adopt(account: Account) -> Callable[[], Any]:
    """`add-service lungs --adopt` where an earlier stack left its data; moto knows no RetainExceptOnCreate."""
    account.client("codecommit").create_repository(repositoryName="lungs")
    account.client("ecr").create_repository(repositoryName="lungs")
    account.client("s3").create_bucket(Bucket=BUCKET)
    shell = account.shell(lambda name: Tagged() if name == "resourcegroupstaggingapi" else account.client(name))
    return lambda: account.run("add-service", "lungs", "--adopt", shell=shell)


def test_a_service_that_was_removed_comes_back_with_its_data(account: Account, adopt: Callable[[], Any]) -> None:
    """CloudFormation imports nothing whose name is made of parameters, so the new stack is told what exists: it leaves
    that alone and makes the rest. A change of it later does not forget."""
    kept = account.client("codecommit").get_repository(repositoryName="lungs")["repositoryMetadata"]["repositoryId"]
    assert account.run("add-service", "lungs").exit_code == 2
    assert adopt().exit_code == 0
    assert account.run("add-service", "lungs", "--port", "9000").exit_code == 0
    again = account.client("codecommit").get_repository(repositoryName="lungs")["repositoryMetadata"]["repositoryId"]
    assert again == kept
    pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName="esteira-lungs")
    made = {row["LogicalResourceId"] for page in pages for row in page["StackResourceSummaries"]}
    assert made & {"Repository", "Images", "Bundles"} == set()
    assert {"Project", "HostGroup", "Registration", "BuildRole"} <= made


def test_only_what_was_left_is_adopted_and_the_rest_is_made(account: Account, adopt: Callable[[], Any]) -> None:
    """Whoever emptied and deleted the bucket meanwhile gets a new one."""
    account.client("s3").delete_bucket(Bucket=BUCKET)
    assert adopt().exit_code == 0
    account.client("s3").head_bucket(Bucket=BUCKET)


def test_what_the_controller_could_not_reach_is_not_adopted(account: Account) -> None:
    """Its rights go by the tag: a repository without it would be a service that fails at its first push."""
    account.client("ecr").create_repository(repositoryName="lungs")
    result = account.run("add-service", "lungs", "--adopt")
    assert result.exit_code == 2
    assert "an ECR repository lungs lacks the tag esteira=esteira" in result.stderr
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/lungs"
    assert f"tag-resources --tags esteira=esteira --resource-arn-list {arn}" in result.stderr
    assert account.stacks() == ["esteira"]


def test_a_service_deployed_otherwise_is_not_made_a_second_time(account: Account) -> None:
    """One deployed by hand is registered: its name is refused."""
    registration = {
        "name": "heart", "repository": "heart", "images": "heart", "image_uri": "x/heart", "project": "heart-build",
        "application": "heart", "stages": [{"name": "production", "group": "heart-production"}], "bundles": "b-heart",
    }  # fmt: skip
    account.client("ssm").put_parameter(Name="/esteira/services/heart", Value=json.dumps(registration), Type="String")
    result = account.run("add-service", "heart")
    assert result.exit_code == 2
    assert "heart is a service of esteira already, by another stack than esteira-heart" in result.stderr
    result = account.run("remove-service", "heart", "--yes")
    assert result.exit_code == 2
    assert "heart was not deployed by esteira add-service" in result.stderr


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            "ROLLBACK_COMPLETE",
            "so CloudFormation changes nothing in it. Next: esteira remove-service lungs, then again",
        ),
        ("UPDATE_IN_PROGRESS", "somebody changes it now. Next: again when that is over"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_refused_with_the_way_on(
    account: Account, status: str, sentence: str
) -> None:
    """What a creation that failed left must go first; what is under way is waited for."""
    from moto.cloudformation import cloudformation_backends

    account.run("add-service", "lungs")
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("esteira-lungs").status = status
    result = account.run("add-service", "lungs", "--port", "9000")
    assert result.exit_code == 2
    assert f"esteira-lungs is {status}" in result.stderr
    assert sentence in result.stderr


class Story:
    """CloudFormation as AWS tells a creation that goes wrong: events and statuses, one step a look."""

    def __init__(self, real: Any, at: datetime, statuses: list[str], events: list[tuple[str, str, str]]) -> None:
        self.real, self.statuses = real, statuses
        self.rows = [
            {
                "EventId": str(n),
                "LogicalResourceId": what,
                "ResourceStatus": how,
                "ResourceStatusReason": why,
                "Timestamp": at,
            }
            for n, (what, how, why) in enumerate(events)
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def describe_stacks(self, **asked: Any) -> Any:
        told = self.real.describe_stacks(**asked)
        if str(asked.get("StackName", "")).startswith("arn:"):
            told["Stacks"][0]["StackStatus"] = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return told

    def describe_stack_events(self, **asked: Any) -> Any:
        return {"StackEvents": list(reversed(self.rows))}


def test_a_creation_that_fails_is_told_with_its_first_cause(account: Account) -> None:
    """CloudFormation's own reason for the first thing that failed is told; what it cancelled for that is not."""
    events = [
        ("Repository", "CREATE_FAILED", "CreateRepository request is not allowed (OperationNotAllowedException)"),
        ("Images", "CREATE_FAILED", "Resource creation cancelled"),
        ("esteira-lungs", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Repository]."),
    ]
    story = Story(account.cloudformation, account.now, ["CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE"], events)
    shell = account.shell(lambda name: story if name == "cloudformation" else account.client(name))
    result = account.run("add-service", "lungs", shell=shell)
    assert result.exit_code == 1
    assert "esteira-lungs is ROLLBACK_COMPLETE: Repository: CreateRepository request is not allowed" in result.stderr
    assert "Images:" not in result.stderr
    assert "Images CREATE_FAILED" in result.stderr  # how far it was, as it went


def test_waiting_for_a_stack_is_bounded(account: Account) -> None:
    """A stack that is not done at --timeout goes on by itself; status 3 says so."""
    story = Story(account.cloudformation, account.now, ["CREATE_IN_PROGRESS"], [])
    shell = account.shell(lambda name: story if name == "cloudformation" else account.client(name))
    result = account.run("add-service", "lungs", "--timeout", "10m", shell=shell)
    assert result.exit_code == 3
    assert "esteira-lungs is still CREATE_IN_PROGRESS after 0:10:00" in result.stderr


def test_what_cloudformation_cannot_work_out_leaves_nothing(account: Account) -> None:
    """A change set that fails is told with its reason, and the empty stack that it made goes with it."""

    class Unable:
        """CloudFormation, but that every change set fails."""

        def __getattr__(self, name: str) -> Any:
            return getattr(account.cloudformation, name)

        def describe_change_set(self, **asked: Any) -> Any:
            return {"Status": "FAILED", "StatusReason": "Parameter validation failed"}

    shell = account.shell(lambda name: Unable() if name == "cloudformation" else account.client(name))
    result = account.run("add-service", "lungs", shell=shell)
    assert result.exit_code == 1
    assert "CloudFormation cannot change esteira-lungs: Parameter validation failed" in result.stderr
    assert account.stacks() == ["esteira"]


def test_a_right_that_is_wanted_is_told(account: Account) -> None:
    """AWS's refusal is a sentence with its reason, and no traceback."""

    def denied(name: str) -> Any:
        if name == "cloudformation":
            text = "User: arn:aws:iam::1:user/ana is not authorized to perform: cloudformation:DescribeStacks"
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "DescribeStacks")
        return account.client(name)

    result = account.run("add-service", "lungs", shell=account.shell(denied))
    assert result.exit_code == 1
    assert "AWS does not let you: User: arn:aws:iam::1:user/ana is not authorized to perform" in result.stderr


# --- taking one away ------------------------------------------------------------------------------------------------


def test_removing_a_service_leaves_what_holds_data_and_names_it(account: Account) -> None:
    """The stack and the registration go; bucket and image repository stay, with the commands that remove them."""
    account.run("add-service", "lungs")
    bucket = "esteira-bundles-lungs-123456789012"
    account.client("s3").put_object(Bucket=bucket, Key="v1.zip", Body=b"x" * 1500)
    result = account.run("remove-service", "lungs", "--yes")
    assert result.exit_code == 0, result.output
    assert account.stacks() == ["esteira"]
    assert f"aws s3 rb s3://{bucket} --force" in result.stdout
    assert "1 objects, 2 kB" in result.stdout
    assert account.client("ssm").get_parameters_by_path(Path="/esteira/services/")["Parameters"] == []


def test_nobody_removes_a_service_by_a_slip(account: Account) -> None:
    """Without --yes it asks, and anything but yes deletes nothing; a name that is not there is refused."""
    account.run("add-service", "lungs")
    result = account.run("remove-service", "lungs", input_="\n")
    assert result.exit_code == 2
    assert account.stacks() == ["esteira", "esteira-lungs"]
    result = account.run("remove-service", "liver", "--yes")
    assert result.exit_code == 2
    assert "there is no stack esteira-liver. Next: esteira status" in result.stderr


def test_what_remains_is_told_before_anything_is_deleted(account: Account) -> None:
    """All of the controller's that outlives its stacks, found by its tag; --service narrows it to one."""
    tags = [{"Key": "esteira", "Value": "esteira"}]
    account.client("dynamodb").create_table(
        TableName="esteira-Table-X",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        Tags=tags,
    )
    account.run("add-service", "lungs")
    told = json.loads(account.run("remains", "--json").stdout)["kept"]
    assert {(row["kind"], row["name"]) for row in told} >= {
        ("table", "esteira-Table-X"),
        ("bucket", "esteira-bundles-lungs-123456789012"),
    }
    one = json.loads(account.run("remains", "--service", "lungs", "--json").stdout)["kept"]
    assert ("table", "esteira-Table-X") not in {(row["kind"], row["name"]) for row in one}
    assert "deleting other and its services leaves nothing" in account.run("remains", "--stack", "other").stdout


def test_who_may_not_ask_what_stays_deletes_nothing(account: Account) -> None:
    """What would be kept is asked before anything is deleted: a right that is missing stops it there."""
    account.run("add-service", "lungs")

    def denied(name: str) -> Any:
        if name == "resourcegroupstaggingapi":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetResources")
        return account.client(name)

    result = account.run("remove-service", "lungs", "--yes", shell=account.shell(denied))
    assert result.exit_code == 1
    assert "ask for the right GetResources" in result.stderr
    assert account.stacks() == ["esteira", "esteira-lungs"]


# --- what the commands and the template share -----------------------------------------------------------------------


def test_every_parameter_of_the_template_is_an_option() -> None:
    """service.yaml's parameters and the command's options are the same, but for the name and the controller."""
    declared = set(read(SERVICE_TEMPLATE, parameters={"ServiceName": "lungs"}).document["Parameters"])
    not_parameters = {"name", "adopt", "dry_run", "timeout", *(p.name for p in status.params)}
    options = {_parameter(str(p.name)) for p in add_service.params if p.name not in not_parameters}
    found = {"RepositoryExists", "ImagesExist", "BundlesExist"}  # by --adopt, from what there is
    assert options == declared - {"ServiceName", "ControllerStack"} - found


def test_the_template_is_short_enough_to_be_sent_as_it_is() -> None:
    """CloudFormation takes a template of 51,200 bytes in a call; a longer one would want a bucket."""
    assert len(SERVICE_TEMPLATE.read_bytes()) < 51_200


def test_the_local_stack_says_that_it_has_no_cloudformation(account: Account) -> None:
    """On the laptop there is one service, template.yaml's; the sentence says so and nothing is asked for."""
    import os

    keys = account.state / "credentials"
    keys.write_text("[default]\naws_secret_access_key = local\n")
    note = {"endpoint": "http://127.0.0.1:9", "stack": "esteira", "pid": os.getpid(), "credentials": str(keys)}
    (account.state / "local.json").write_text(json.dumps(note))
    for typed in (("add-service", "lungs"), ("remove-service", "heart", "--yes"), ("remains",)):
        result = account.run(*typed, "--state", str(account.state))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "which the local stack has not" in result.stderr
