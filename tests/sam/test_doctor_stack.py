"""`esteira doctor` on template.yaml as SAM translates it, in a CloudFormation: what it sees, and what it sees broken.

The CloudFormation is moto's inside the local AWS: it makes the functions, rules, queue, topics and table, and alarms
once it is taught them (taught.py); the host is launched here by hand. The service is the local AWS's own.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.local.paths import ROOT
from console.local.sam.sam_cli import TOOLS
from console.read.remote import Controller
from console.read.session import Shell
from tests.integration import taught
from tests.integration.conftest import Story

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Tried to parse"),
]  # what moto leaves out
MAKE: Any = boto3.client  # typed for literal names only
CLIENT = cache(MAKE)

TRANSLATE = """
import json, sys
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform
template = yaml_parse(open(sys.argv[1]).read())
template["Globals"]["Function"]["CodeUri"] = "s3://artifacts/code.zip"
loader = type("Loader", (), {"load": lambda self: {}})()
json.dump(transform(template, {}, loader), sys.stdout)
"""


@pytest.fixture(scope="module")
def plain(monkeypatch_module: pytest.MonkeyPatch) -> str:
    """template.yaml as CloudFormation gets it from SAM; skips where the SAM CLI is not there."""
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")
    monkeypatch_module.setenv("AWS_DEFAULT_REGION", "us-east-1")
    asked = [str(TOOLS / "bin" / "python"), "-c", TRANSLATE, str(ROOT / "template.yaml")]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


class Account:
    """An account with the stack deployed in it, and a service."""

    def __init__(self, story: Story, plain: str, state: Path) -> None:
        self.story, self.state = story, state
        CLIENT("s3").create_bucket(Bucket="artifacts")
        CLIENT("s3").put_object(Bucket="artifacts", Key="code.zip", Body=b"PK\x05\x06" + b"\0" * 18)
        sqs = CLIENT("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="esteira-dead-letters")["QueueUrl"])  # the stack's comes
        self.cloudformation = CLIENT("cloudformation")
        self.cloudformation.create_stack(StackName="esteira", TemplateBody=plain, Capabilities=["CAPABILITY_NAMED_IAM"])
        self.host = self.launch()

    def launch(self) -> str:
        tags = {"esteira": "esteira", "esteira-service": "heart", "esteira-stage": "production"}
        told = CLIENT("ec2").run_instances(
            ImageId="ami-12345678",
            InstanceType="t4g.small",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}],
        )
        return str(told["Instances"][0]["InstanceId"])

    def resources(self, kind: str) -> list[str]:
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName="esteira")
        rows = (row for page in pages for row in page["StackResourceSummaries"])
        return [row["PhysicalResourceId"] for row in rows if row["ResourceType"] == kind]

    def doctor(self, *typed: str, now: datetime | None = None) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        """The exit status, and what was said by verdict."""
        clock = {"now": lambda: now} if now else {}
        shell = Shell(lambda where: Controller(where, CLIENT), sleep=lambda seconds: None, **clock)
        result = CliRunner().invoke(main, ["doctor", "--json", "--aws", *typed], obj=shell)
        assert result.exit_code in (0, 1), result.output
        lines = json.loads(result.stdout)["lines"]
        said: dict[str, list[tuple[str, str]]] = {"ok": [], "attend": [], "skip": []}
        for line in lines:
            said[line["verdict"]].append((line["check"], line["says"]))
        return result.exit_code, said


@pytest.fixture
def account(tmp_path: Path, plain: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "ESTEIRA_STATE", "ESTEIRA_STACK", "ESTEIRA_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("console.doctor.look._pushes_by", lambda: "git-remote-codecommit")
    taught.remember()
    with Story(tmp_path / "aws") as story:
        yield Account(story, plain, tmp_path / "state")


def test_a_clock_that_is_off_is_told_by_the_date_of_an_answer(account: Account) -> None:
    """The local AWS answers with the day it is, and this command was told another."""
    shell = Shell(lambda where: Controller(where, CLIENT), account.story.clock.now)
    result = CliRunner().invoke(main, ["doctor", "--stack", "nowhere"], obj=shell)
    assert result.exit_code == 1
    assert "min behind AWS's; AWS refuses signatures that are 5 min off" in result.stdout


def about(check: str, said: list[tuple[str, str]]) -> list[str]:
    return [text for name, text in said if name == check]


def test_a_stack_as_it_was_deployed_is_seen_whole(account: Account) -> None:
    """Its functions, all rules with their targets, queue, table and service are found by the stack and are well; what
    moto does not play is skipped by name, and only that nobody hears the alarms is to be attended to."""
    status, said = account.doctor()
    assert about("stack", said["ok"]) == ["esteira is CREATE_COMPLETE"]
    [told] = about("functions", said["ok"])
    assert set(re.findall(r"esteira-[a-z]+", told)) == {
        f"esteira-{n}" for n in ("intake", "sweep", "operate", "announce")
    }
    assert told.endswith(" are active")
    rules = len(account.resources("AWS::Events::Rule"))
    assert about("rules", said["ok"]) == [f"{rules} are enabled and wake their functions, the sweep's clock among them"]
    assert about("dead letters", said["ok"]) == ["none"]
    assert about("alarms", said["ok"])[0].startswith(
        f"none of {len(account.resources('AWS::CloudWatch::Alarm'))} rings"
    )
    assert about("table", said["ok"]) == ["it is ACTIVE"]
    assert "its repository is empty" in about("heart", said["ok"])[0]
    assert "deployment group heart-production" in about("heart", said["ok"])[1]
    assert (status, [check for check, _ in said["attend"]]) == (1, ["who hears alarms"])
    assert "GetAccountSettings" in about("Lambda's concurrency", said["skip"])[0]
    assert any("never" not in text and account.host in text for text in about("heart", said["skip"]))


def test_nothing_is_to_be_done_once_somebody_hears_the_alarms(account: Account) -> None:
    """With a subscriber the exit status is 0."""
    [topic] = [arn for arn in account.resources("AWS::SNS::Topic") if arn.endswith("-alarms")]
    CLIENT("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ana@example.com")
    status, said = account.doctor()
    assert (status, said["attend"]) == (0, [])
    assert about("who hears alarms", said["ok"]) == ["1 subscriber"]


def test_what_somebody_broke_by_hand_is_found(account: Account) -> None:
    """A rule disabled, another without its target, a function and a repository deleted, a host stopped: each is a line
    that names it."""
    events = CLIENT("events")
    rules = {name.split("-")[1]: name for name in account.resources("AWS::Events::Rule")}
    events.disable_rule(Name=rules["SweepFunctionClock"])
    targets = events.list_targets_by_rule(Rule=rules["IntakeFunctionImageChanged"])["Targets"]
    events.remove_targets(Rule=rules["IntakeFunctionImageChanged"], Ids=[t["Id"] for t in targets])
    CLIENT("lambda").delete_function(FunctionName="esteira-announce")
    CLIENT("ecr").delete_repository(repositoryName="heart", force=True)
    CLIENT("ec2").stop_instances(InstanceIds=[account.host])
    status, said = account.doctor()
    assert status == 1
    told = "\n".join(f"{check}: {text}" for check, text in said["attend"])
    clock, image = rules["SweepFunctionClock"], rules["IntakeFunctionImageChanged"]
    assert f"sweep's clock: {clock} is disabled. Next: aws events enable-rule --name {clock}" in told
    assert f"rules: {image} wakes nothing" in told
    assert "functions: esteira-announce is gone" in told
    assert "heart: its image repository heart is gone" in told
    assert f"heart: host {account.host} is stopped" in told


def test_an_alarm_that_rings_is_told_in_its_own_words_and_so_is_one_that_is_gone(account: Account) -> None:
    """What an alarm's description says to do is what the operator reads; one deleted by hand is missed."""
    names = account.resources("AWS::CloudWatch::Alarm")
    rings = next(name for name in names if "DeadLettersAlarm" in name)
    gone = next(name for name in names if "SweepMissing" in name)
    CLIENT("cloudwatch").set_alarm_state(AlarmName=rings, StateValue="ALARM", StateReason="a test")
    CLIENT("cloudwatch").delete_alarms(AlarmNames=[gone])
    told = about("alarms", account.doctor()[1]["attend"])
    assert any(text.startswith(f"{rings} rings: Something could not be handled and lies in the queue") for text in told)
    assert any(text.startswith(f"{gone} is gone") for text in told)


def test_an_alarm_for_want_of_figures_is_no_alarm_before_it_can_have_had_any(account: Account) -> None:
    """SweepMissingAlarm rings from its creation to the first sweep, and is passed over; later it is not."""
    rings = next(name for name in account.resources("AWS::CloudWatch::Alarm") if "SweepMissing" in name)
    CLIENT("cloudwatch").set_alarm_state(AlarmName=rings, StateValue="ALARM", StateReason="no datapoints")
    [told] = CLIENT("cloudwatch").describe_alarms(AlarmNames=[rings])["MetricAlarms"]
    made = told["AlarmConfigurationUpdatedTimestamp"]
    said = account.doctor(now=made + timedelta(minutes=1))[1]
    assert about("alarms", said["attend"]) == []
    assert "with no data yet" in about("alarms", said["ok"])[0]
    later = about("alarms", account.doctor(now=made + timedelta(minutes=31))[1]["attend"])
    assert [text.partition(" ")[0] for text in later] == [rings]


def test_a_dead_letter_is_told_with_its_cause_and_stays_where_it_is(account: Account) -> None:
    """Looking at the queue takes nothing out of it: the next who looks sees the same."""
    [url] = account.resources("AWS::SQS::Queue")
    body = {
        "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:1:function:esteira-intake:$LATEST"},
        "responsePayload": {"errorType": "Refused", "errorMessage": "detail.state is missing"},
    }
    CLIENT("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(body))
    for _ in range(2):
        [told] = about("dead letters", account.doctor()[1]["attend"])
        assert "1 message could not be handled; of the first: esteira-intake failed: Refused: detail.state" in told
        assert url in told


def test_a_live_service_is_told_with_its_last_deployment(account: Account) -> None:
    """After a release went live its branch is there, and what its host did in the deployment stands for the agent."""
    account.story.live("one")
    _, said = account.doctor()
    assert "its repository has the branch main" in about("heart", said["ok"])
    assert about("heart", said["attend"]) == []


def test_a_registration_that_is_malformed_and_a_service_that_is_not_there_are_told(account: Account) -> None:
    """The malformed one is a line of its own; the name of nobody is refused with the names there are."""
    CLIENT("ssm").put_parameter(Name="/esteira/services/lungs", Value="{}", Type="String")
    status, said = account.doctor()
    assert status == 1
    assert "the registration /esteira/services/lungs is refused" in about("registration", said["attend"])[0]
    shell = Shell(lambda where: Controller(where, CLIENT))
    result = CliRunner().invoke(main, ["doctor", "--service", "liver", "--aws"], obj=shell)
    assert (result.exit_code, result.stderr) == (
        2,
        "no service is called 'liver'. Next: --service with one of: heart\n",
    )


def test_before_the_stack_is_there_only_the_account_is_judged(account: Account) -> None:
    """Another name has no stack: that is no fault, and the line says how to deploy it. A repository that its first
    service would meet is one."""
    status, said = account.doctor("--stack", "nowhere", "--service", "liver")
    assert (status, said["attend"]) == (0, [])
    assert about("names", said["ok"]) == ["nothing is called liver yet"]
    status, said = account.doctor("--stack", "nowhere")
    assert (status, [check for check, _ in said["attend"]]) == (1, ["names"])
    assert about("stack", said["skip"]) == [
        "no stack nowhere yet. Next: make build, then .venv-sam/bin/sam deploy --guided"
    ]
