"""The record: receipts that hold and name what was altered, decisions made again, other rules on what was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.call import Shell
from console.cli import main
from console.local.aws.rehearsal import BuildOutcome, DeployOutcome
from console.record.as_of import Rows
from console.record.replay import Replayed, replay
from console.remote import Controller, Where
from esteira.facts import about_decisions
from tests.integration.conftest import ACCESS_KEY_ID, Story, told

pytestmark = pytest.mark.integration

SICK = DeployOutcome(False, "GET /ping answered 500", log_tail="Traceback\nValueError: no model")
FAILED_BUILD = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1")
APPROVALS = {"votes": 1, "valid_hours": 24, "wait_hours": 48}


@pytest.fixture
def two_stages(tmp_path: Path) -> Iterator[Story]:
    """A story whose service has a stage before production, and approvals and a bake between them."""
    with Story(tmp_path) as story:
        stage_it(story)
        yield from told(story)


def stage_it(story: Story, **production: Any) -> None:
    """Give the service a staging before its production, and register both."""
    service = story.service
    codedeploy = story.aws_client("codedeploy")
    group = codedeploy.get_deployment_group(
        applicationName=service.application, deploymentGroupName=service.last.group
    )["deploymentGroupInfo"]
    codedeploy.create_deployment_group(
        applicationName=service.application,
        deploymentGroupName="heart-staging",
        serviceRoleArn=group["serviceRoleArn"],
        ec2TagSet=group.get("ec2TagSet", {}),
    )
    story.register(
        stages=[
            {"name": "staging", "group": "heart-staging", "bake_minutes": 10},
            {"name": "production", "group": service.last.group, "approvals": APPROVALS, **production},
        ]
    )


def rows_of(story: Story) -> Rows:
    return Rows(story.aws_client("dynamodb"), story.desk.settings.table)


def replayed(story: Story) -> dict[int, tuple[Replayed, ...]]:
    """Return every decision of every release, made again."""
    rows, name = rows_of(story), story.service.name
    numbers = range(1, story.newest() + 2)
    told = {n: replay(rows, name, n, story.desk.settings.lease) for n in numbers}
    assert all(len(told[n]) == len(story.store.facts(name, about_decisions(n))) for n in numbers)
    return told


def unlike(story: Story) -> list[str]:
    """Return what did not come out the same, seen hash and all."""
    return [
        f"v{n} {r.action} ({r.why}): {r.verdict}: {r.says}; {r.missing}"
        for n, row in replayed(story).items()
        for r in row
        if r.verdict != "same"
    ]


def the_whole_story(story: Story) -> None:
    """Pushes, a failed build, a sick release, a rejected push, a rollback, a hold, a retry, an image, an abort."""
    story.live("one", "two")
    story.push(leak=ACCESS_KEY_ID)
    story.play()
    story.change({"leak": None, "docs/a.md": "read me"})
    story.play()
    story.builds = FAILED_BUILD
    story.push("three")
    story.play()
    story.builds = BuildOutcome()
    story.deploys = SICK
    story.push("four")
    story.play()
    story.deploys = DeployOutcome()
    story.operate("retry", release=f"v{story.newest()}")
    story.play()
    story.operate("rollback", reason="it answers nonsense")
    story.play()
    story.operate("hold", reason="an exam", minutes=60)
    story.push("five")
    story.play()
    story.pass_time(3400, sweeps=1)
    story.operate("resume")
    story.play()
    story.push_image("from elsewhere", "v9.1")
    story.play()
    story.push("six")
    story.deliver()
    story.push("seven")
    story.deliver()
    story.operate("abort", release=f"v{story.newest()}")
    story.play()
    story.pass_time(7200, sweeps=2)


def test_every_decision_of_a_whole_story_is_made_again_the_same(story: Story) -> None:
    """Whatever happened: the same action, for the same reason, at the same place, from the same grounds."""
    the_whole_story(story)
    assert len(set(story.phases)) >= 6
    assert unlike(story) == []


def test_every_decision_on_two_stages_is_made_again_the_same(two_stages: Story) -> None:
    """Bake, votes, a bypass, a promotion: all that decided is on record."""
    story = two_stages
    story.push("one")
    story.play()
    story.pass_time(601)
    story.operate("approve", release="v1")
    story.play()
    story.push("two")
    story.play()
    story.operate("reject", release="v2", reason="its figures are strange")
    story.play()
    story.push("three")
    story.play()
    story.operate("bypass", release="v3", reason="the house burns")
    story.play()
    story.push("four")
    story.play()
    story.pass_time(49 * 3600)
    assert unlike(story) == []
    views = {v.number: v.phase for v in story.store.views(story.service.name, 10)}
    assert views[2] in ("rejected", "superseded")


# --- receipts -------------------------------------------------------------------------------------------------------


def typed(story: Story, *words: str) -> Result:
    """Type a command at the story's controller."""
    there = "http://127.0.0.1:9"  # the clients of the story are spoken to; nobody listens there
    shell = Shell(lambda _: Controller(Where("esteira", there), story.aws_client), story.clock.now)
    return CliRunner().invoke(main, [*words, "--endpoint", there], obj=shell)


def receipt_of(story: Story, *words: str) -> dict[str, Any]:
    result = typed(story, "receipt", *words, "--json")
    assert result.exit_code in (0, 1), result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["holds"] == (result.exit_code == 0)
    return told


def table(story: Story) -> Any:
    return story.aws_client("dynamodb")


def key_of(story: Story, about: str, key: str) -> dict[str, Any]:
    return {"pk": {"S": f"{story.service.name}#{about}"}, "sk": {"S": key}}


def test_a_receipt_tells_the_whole_chain_and_holds(story: Story) -> None:
    """Event, build, image, turn, bundle, deployment, hosts, seal; and AWS says the same of each."""
    story.live("one", "two")
    told = receipt_of(story, "v2")
    assert told["faults"] == []
    assert [link["what"] for link in told["links"]] == [
        "event", "build", "build", "image", "turn", "bundle", "deployment", "deployment", "hosts",
    ]  # fmt: skip
    assert {a["what"]: a["verdict"] for a in told["aws"]} == dict.fromkeys(
        ("commit", "build", "image", "bundle", "deployment", "hosts"), "ok"
    )
    result = typed(story, "receipt", "v2")
    assert result.exit_code == 0, result.output
    assert told["seal"] in result.output
