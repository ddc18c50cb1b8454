"""The account's side of `esteira prove`, as far as moto's CloudFormation, EventBridge and STS play it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from console.cli.main import main
from console.local.paths import TEMPLATE
from console.local.template import read
from console.prove.aws_site import PUSHES, AwsSite
from console.prove.items import ITEMS
from console.prove.notes import ProofNotes
from console.prove.walk import walk
from console.read.where import Where

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:Tried to parse")]
ACCOUNT, REGION = "123456789012", "us-east-1"
MAKE: Any = boto3.client
RULE = {
    "Type": "AWS::Events::Rule",
    "Properties": {"EventPattern": {"source": ["aws.codecommit"]}, "State": "ENABLED", "Name": "pushes"},
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsSite]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.chdir(tmp_path)
    notes = ProofNotes(
        tmp_path / "prove.json", ACCOUNT, REGION, "prove-1", "proof-1", "arm64", "2026-12-01T00:00:00+00:00"
    )
    with mock_aws():
        client = MAKE("cloudformation", region_name=REGION)
        for stack in ("prove-1", "prove-1-proof-1"):
            body = {"Resources": {PUSHES: RULE | {"Properties": RULE["Properties"] | {"Name": stack}}}}  # type: ignore[operator]
            client.create_stack(StackName=stack, TemplateBody=json.dumps(body))
        yield AwsSite(Where("prove", region=REGION), notes, lambda _: None)


def test_the_rule_for_pushes_is_switched_and_is_the_templates(site: AwsSite) -> None:
    """By its logical id, as SAM gives it: the function and its event."""
    site.hear_pushes(False)
    events = site.client("events")
    assert events.describe_rule(Name="prove-1")["State"] == "DISABLED"
    site.hear_pushes(True)
    assert events.describe_rule(Name="prove-1")["State"] == "ENABLED"
    resources = read(TEMPLATE).document["Resources"]
    assert PUSHES in {
        f"{name}{event}" for name, row in resources.items() for event in row["Properties"].get("Events", ())
    }


def test_every_rule_that_is_asked_after_is_the_templates() -> None:
    """An item for each rule of the function that hears AWS."""
    events = read(TEMPLATE).document["Resources"]["IntakeFunction"]["Properties"]["Events"]
    assert {item.name.removeprefix("rule-") for item in ITEMS if item.name.startswith("rule-")} == set(events)


def test_a_stack_is_told_by_cloudformation_and_deleted(site: AwsSite) -> None:
    """What stands is told by its status; removed, it does not stand, and a second removal is no failure."""
    assert "CREATE_COMPLETE" in site.stands("service")
    site.remove_service()
    site.remove_service()
    assert site.stands("service") == ""


def test_nothing_is_proven_where_the_account_answers_with_nothing(site: AwsSite) -> None:
    """The items that only look, on a stack that did nothing: no empty answer is taken for evidence."""
    looking = [item for item in ITEMS if item.name in ("rule-RepositoryChanged", "host", "session", "figure", "alarms")]
    notes = ProofNotes(Path("n.json"), ACCOUNT, REGION, "prove-1", "proof-1", "arm64", "")
    site.pause = lambda _: None  # type: ignore[method-assign]
    walk([type(item)(**{**vars(item), "minutes": 0}) for item in looking], site, notes, lambda _: None)
    assert {name: told.verdict for name, told in notes.outcomes.items()} == {item.name: "not seen" for item in looking}


def test_what_is_being_cleaned_up_is_not_walked_again(site: AwsSite) -> None:
    """Its stacks may be gone; the next thing to type is --clean-up."""
    ended = ProofNotes(Path("prove.json"), ACCOUNT, REGION, "prove-1", "proof-1", "arm64", "", ended="2026-12-01")
    ended.write()
    came = CliRunner().invoke(main, ["prove", "--account", ACCOUNT, "--region", REGION, "--yes-i-pay"])
    assert (came.exit_code, "--clean-up" in came.stderr) == (2, True)


def test_the_command_refuses_another_account(site: AwsSite) -> None:
    """Before it makes anything, also its own state file."""
    typed = ["prove", "--account", "210987654321", "--region", REGION, "--yes-i-pay"]
    came = CliRunner().invoke(main, typed)
    assert (came.exit_code, "nothing was made" in came.stderr) == (2, True)
    assert not Path("prove.json").exists()
