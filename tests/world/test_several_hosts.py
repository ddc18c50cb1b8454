"""What is live is live on every host of the group, whatever CodeDeploy calls a deployment that a host is without."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from console.local.aws.bus import Chaos
from console.local.aws.faults import Call, When
from console.local.rehearse.rehearsal_engine import DeployOutcome
from esteira.core.facts import DeploymentReported, Diagnosed, Rollout
from tests.world.story import Story, dying, refusing

SICK = DeployOutcome(False, "GET /ping answered 500", log_tail="Traceback\nMemoryError")
FIRST, LAST = "i-1", "i-2"


@pytest.fixture
def pair(begin: Callable[..., Story]) -> Story:
    """A story on two hosts that has not begun."""
    return begin(there=(FIRST, LAST))


def runs(story: Story) -> dict[str, str]:
    """The release that each host runs: the one of the last deployment that succeeded on it."""
    found: dict[str, str] = {}
    claims = story.deployment_claims()
    for claim, deployment in zip(claims, story.local_aws.codedeploy.deployments(), strict=True):
        asked = {"deploymentId": deployment["deploymentId"], "targetIds": [FIRST, LAST]}
        for target in story.local_aws.codedeploy.batch_get_deployment_targets(asked)["deploymentTargets"]:
            if target["instanceTarget"]["status"] == "Succeeded":
                found[target["instanceTarget"]["targetId"]] = claim.split("/")[1]
    return found


def kinds(story: Story) -> list[str]:
    """What each of the stage's rollouts was for, in order."""
    facts = story.store.facts(story.service.name, "stage/production", "rollout#")
    return [f.kind for f in facts if isinstance(f, Rollout)]


def test_a_release_is_live_when_every_host_has_it(pair: Story) -> None:
    """One after the other, and both in the end."""
    pair.live("one", "two")
    assert pair.phases == ["superseded", "live"]
    assert runs(pair) == {FIRST: "v2", LAST: "v2"}
    assert kinds(pair) == ["deploy", "deploy"]


def test_a_release_that_failed_on_the_last_host_only_has_failed_with_that_hosts_words(pair: Story) -> None:
    """CodeDeploy says Succeeded. The release before is put back on the host that took the new one."""
    first = pair.live("one")[0]
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.on = {LAST: SICK}
    pair.end_deployment()
    assert pair.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 InProgress"]
    assert pair.phases == ["deploying", "failed"]
    assert "did not reach every host: i-2: ValidateService: GET /ping answered 500" in pair.why(2)
    assert "esteira retry v2" in pair.why(2)
    assert pair.stands(2).detail == ("Traceback", "MemoryError")
    pair.on = {}
    pair.play()
    assert pair.phases == ["live", "failed"]
    assert runs(pair) == {FIRST: "v1", LAST: "v1"}
    assert kinds(pair) == ["deploy", "deploy", "restore"]
    assert (pair.stage_state.live, pair.stage_state.healthy) == (1, ())
    assert pair.digest("live-production") == pair.made(first)
    assert pair.digest("previous-production") == ""
    assert pair.open() == [1]


def test_it_is_never_told_as_live_on_the_way(pair: Story) -> None:
    """No event says that the release came to life, whatever came first."""
    told: list[tuple[str, str]] = []

    def hear(when: When, call: Call) -> None:
        if when == "after" and call.name == "events:PutEvents":
            details = [json.loads(entry["Detail"]) for entry in call.params["Entries"]]
            told.extend((detail["release"], detail["phase"]) for detail in details)

    pair.live("one")
    pair.on, pair.faults.hook = {LAST: SICK}, hear
    pair.push("two")
    pair.play()
    assert [phase for release, phase in told if release == "v2"] == [
        "pushed",
        "building",
        "built",
        "deploying",
        "failed",
    ]


def test_the_first_release_that_failed_on_the_last_host_leaves_nothing_live(pair: Story) -> None:
    """There is nothing to put back, and nothing to roll back to."""
    pair.on = {LAST: SICK}
    pair.push("one")
    pair.play()
    assert pair.phases == ["failed"]
    assert pair.deployed() == ["v1 Succeeded"]
    assert pair.stage_state.live == 0
    assert pair.digest("live-production") == ""
    pair.on = {}
    pair.push("two")
    pair.play()
    refused = pair.operate("rollback", to="v1")
    assert "v1 was never live on production" in str(refused)


def test_a_failure_on_the_first_host_touches_no_other_and_puts_nothing_back(pair: Story) -> None:
    """Both run what they ran."""
    pair.live("one")
    pair.on = {FIRST: SICK}
    pair.push("two")
    pair.play()
    assert pair.phases == ["live", "failed"]
    assert pair.deployed() == ["v1 Succeeded", "v2 Failed"]
    assert runs(pair) == {FIRST: "v1", LAST: "v1"}


def test_a_deployment_stopped_between_two_hosts_is_taken_back_from_the_first(pair: Story) -> None:
    """An abort, half way: the host that has it already gets the live one again."""
    pair.live("one")
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.on = {LAST: SICK}
    stop = pair.local_aws.codedeploy.stop_deployment
    chosen = pair.engine._choose_deploy

    def between(job: object) -> DeployOutcome:
        """The first host succeeds, and then somebody stops the deployment."""
        if job.host == FIRST:  # type: ignore[attr-defined]
            stop({"deploymentId": job.deployment_id})  # type: ignore[attr-defined]
        return chosen(job)  # type: ignore[arg-type]

    pair.engine._choose_deploy = between
    pair.end_deployment()
    pair.engine._choose_deploy, pair.on = chosen, {}
    pair.play()
    assert pair.deployed() == ["v1 Succeeded", "v2 Stopped", "v1 Succeeded"]
    assert pair.phases == ["live", "failed"]
    assert runs(pair) == {FIRST: "v1", LAST: "v1"}


def test_what_cannot_be_put_back_is_tried_once_and_said(pair: Story) -> None:
    """A host that is broken for good: the live release says so with its words, and a push is not kept waiting."""
    pair.live("one")
    pair.on = {LAST: SICK}
    pair.push("two")
    pair.play()
    assert pair.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
    assert pair.phases == ["failed", "failed"]
    assert "did not reach every host: i-2: " in pair.why(1)
    assert pair.stage_state.live == 1
    pair.on = {}
    pair.push("three")
    pair.play()
    assert pair.phases == ["superseded", "failed", "live"]
    assert runs(pair) == {FIRST: "v3", LAST: "v3"}


def test_the_live_one_is_put_back_before_the_next_release_and_although_the_stage_is_held(pair: Story) -> None:
    """A hold keeps new releases away; what is live is to be so everywhere all the same."""
    pair.live("one")
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.operate("hold")
    pair.on = {LAST: SICK}
    pair.push("three")
    pair.deliver()
    pair.end_build()
    pair.end_deployment()
    pair.on = {}
    pair.play()
    assert pair.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
    assert pair.phases == ["live", "failed", "waiting"]
    pair.operate("resume")
    pair.play()
    assert pair.phases == ["superseded", "failed", "live"]


def test_a_rollback_that_did_not_reach_every_host_is_left_to_the_operator(pair: Story) -> None:
    """Who rolled back wanted to leave what is live; it does not come back by itself."""
    pair.live("one", "two")
    pair.on = {LAST: SICK}
    pair.operate("rollback")
    pair.play()
    assert pair.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
    assert pair.phases == ["failed", "live"]
    assert pair.stage_state.live == 2


@pytest.mark.parametrize("chaos", [Chaos(lose=1.0), Chaos(duplicate=1.0), Chaos(shuffle=True)])
def test_lost_doubled_and_reordered_events_come_to_the_same_end(pair: Story, chaos: Chaos) -> None:
    """The hosts are asked, not believed from events."""
    pair.live("one")
    pair.on = {LAST: SICK}
    pair.bus.chaos = chaos
    pair.push("two")
    for _ in range(3):
        pair.pass_time(150, sweeps=2)
    pair.on = {}
    assert pair.deployed()[:2] == ["v1 Succeeded", "v2 Succeeded"]
    assert pair.phases[1] == "failed"


@pytest.mark.parametrize(
    ("when", "operation", "row"),
    [
        ("after", "codedeploy:BatchGetDeploymentTargets", ""),
        ("before", "dynamodb:PutItem", "diagnosed"),
        ("after", "dynamodb:PutItem", "diagnosed"),
        ("after", "dynamodb:PutItem", "claimed#settle#0002"),
        ("after", "dynamodb:TransactWriteItems", "rollout#00000002#finished"),
        ("before", "dynamodb:TransactWriteItems", "rollout#00000003"),
        ("after", "dynamodb:TransactWriteItems", "rollout#00000003"),
        ("before", "codedeploy:CreateDeployment", ""),
        ("after", "codedeploy:CreateDeployment", ""),
    ],
)
def test_a_death_on_the_way_changes_nothing(pair: Story, when: When, operation: str, row: str) -> None:
    """At each call from the look at the hosts to the deployment that puts the live one back."""
    pair.live("one")
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.on = {LAST: SICK}
    pair.faults.hook = dying(when, operation, row)
    pair.engine.finish_next()
    pair.on = {}
    for _ in range(4):
        pair.pass_time(150, sweeps=2)
    assert pair.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
    assert pair.phases == ["live", "failed"]


def test_hosts_that_cannot_be_asked_are_asked_again_and_then_not_believed(pair: Story) -> None:
    """Refused for a moment nothing is lost; refused for long, nobody knows what runs, and the live one is put back."""
    pair.live("one")
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.faults.hook = refusing("codedeploy:ListDeploymentTargets")
    pair.end_deployment()
    assert pair.phases == ["live", "deploying"]
    assert "; checking its hosts: " in pair.why(2)
    pair.faults.hook = None
    pair.wait(minutes=1)
    assert pair.phases == ["superseded", "live"]
    pair.push("three")
    pair.deliver()
    pair.end_build()
    pair.faults.hook = refusing("codedeploy:ListDeploymentTargets")
    pair.end_deployment()
    pair.wait(minutes=16)
    pair.faults.hook = None
    pair.play()
    assert "did not say what became of each host within 15 minutes" in pair.why(3)
    assert pair.phases == ["superseded", "live", "failed"]
    assert runs(pair) == {FIRST: "v2", LAST: "v2"}


def test_a_host_that_has_not_come_to_its_end_is_waited_for(pair: Story) -> None:
    """The deployment's word may come before a host's; nothing is concluded from half an answer."""
    pair.live("one")
    pair.push("two")
    pair.deliver()
    pair.end_build()
    pair.engine.finish_next()
    id_ = pair.local_aws.codedeploy.deployments()[-1]["deploymentId"]
    target = pair.local_aws.codedeploy._targets[id_][1]
    target["status"] = "InProgress"
    pair.deliver()
    assert pair.phases == ["live", "deploying"]
    assert "host i-2 that it is InProgress" in pair.why(2)
    target["status"] = "Succeeded"
    pair.wait(minutes=1)
    assert pair.phases == ["superseded", "live"]


def test_the_hosts_of_a_release_are_asked_once(story: Story) -> None:
    """One look for each deployment that is accepted, however often the events repeat."""
    asked: list[str] = []

    def count(when: When, call: Call) -> None:
        if when == "before" and story.in_function:
            asked.append(call.name)

    story.live("one")
    story.faults.hook = count
    story.bus.chaos = Chaos(duplicate=1.0)
    story.live("two")
    assert asked.count("codedeploy:BatchGetDeploymentTargets") == 1
    assert asked.count("codedeploy:ListDeploymentTargets") == 1
    assert story.phases == ["superseded", "live"]


def test_what_it_came_from_is_in_the_facts(pair: Story) -> None:
    """CodeDeploy's word and the host's stand side by side."""
    pair.live("one")
    pair.on = {LAST: SICK}
    pair.push("two")
    pair.play()
    release = pair.store.release(pair.service.name, 2)
    assert release is not None
    assert [f.status for f in release.all(DeploymentReported) if f.milestone == "ended"] == ["Succeeded"]
    assert [f.reached for f in release.all(Diagnosed)] == [True]
    assert not release.on(pair.stage_state).lives
