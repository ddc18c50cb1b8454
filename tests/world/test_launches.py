"""A host that comes new to a stage's Auto Scaling group gets the live release from CodeDeploy, by a deployment that
esteira did not make: it is no difference, it is told where it fails, and who is no host any more is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from console.local.engine import HOST
from console.local.rehearse.rehearsal_engine import DeployOutcome
from console.read.stage_status import status
from esteira.core.facts import HostLaunched, HostsReplaced, about_stage
from esteira.core.status import Cause, Phase
from tests.world.story import PRODUCTION, Story
from tests.world.test_drift import rollouts
from tests.world.test_hosts import LOOP, observed, report

NEW = "i-0fedcba9876543210"


def launch(story: Story, creator: str = "autoscaling") -> str:
    """A host joins the group and gets the last bundle that succeeded; the deployment's id, which has ended."""
    made = story.local_aws.codedeploy.launch(NEW, story.service.last.group, creator)
    story.deliver()
    story.end_deployment()
    story.wait(1)
    return str(made)


def hosts(story: Story) -> dict[str, str]:
    """By host, the state of its life in the group."""
    there: dict[str, str] = story.local_aws.autoscaling.hosts_of(story.service.last.group)
    return there


def launched(story: Story) -> list[HostLaunched]:
    """The hosts that came new, as is on record."""
    facts = story.store.facts(story.service.name, about_stage(PRODUCTION), "launch#")
    return [fact for fact in facts if isinstance(fact, HostLaunched)]


def test_a_new_host_with_the_live_release_is_no_difference(story: Story) -> None:
    """It is on record, and nothing is put right."""
    story.live("one")
    made = launch(story)
    story.wait(60)
    assert [(f.deployment, f.host, f.why) for f in launched(story)] == [(made, NEW, "")]
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, "")
    assert rollouts(story) == [(1, "deploy")]


def test_a_new_host_that_cannot_run_it_is_told_with_its_cause(story: Story) -> None:
    """The group ends that host, so no host runs anything else: the live release stays live and is not put back."""
    [commit] = story.live("one")
    story.deploys = DeployOutcome(succeeds=False, message="the disk is full")
    made = launch(story)
    story.wait(60)
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, Cause.LAUNCH_FAILED)
    for _, why in story.said_everywhere(1).values():
        assert (
            f"{NEW}, new on production, could not run it: deployment {made}: ValidateService: the disk is full" in why
        )
    assert rollouts(story) == [(1, "deploy")]
    told = [c["comment"]["content"] for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit]
    assert len([text for text in told if "a new host of production cannot run heart v1" in text]) == 1


def test_a_failed_launch_is_over_when_another_host_comes_to_run_it(story: Story) -> None:
    """The group tries again by itself."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False)
    launch(story)
    story.deploys = DeployOutcome()
    launch(story)
    assert [bool(fact.why) for fact in launched(story)] == [True, False]
    assert story.stands(1).cause == ""


def test_a_failed_launch_is_over_when_the_next_release_comes_to_all_hosts(story: Story) -> None:
    """What could not run was the release before."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False)
    launch(story)
    story.deploys = DeployOutcome()
    story.live("two")
    assert (story.stands(2).phase, story.stands(2).cause) == (Phase.LIVE, "")


def test_a_host_that_came_during_a_rollout_ends_with_the_newer_release(story: Story) -> None:
    """It is given the older one first, as that succeeded last; CodeDeploy's own update follows."""
    story.live("one")
    story.push("two")
    story.deliver()
    story.end_build()
    story.local_aws.codedeploy.launch(NEW, story.service.last.group, "autoscaling")
    story.play()
    story.wait(1)
    launch(story, "CodeDeployAutoUpdate")
    story.wait(60)
    assert rollouts(story) == [(1, "deploy"), (2, "deploy")]
    assert (story.live_on(PRODUCTION), story.stands(2).cause) == (2, "")


def test_a_host_that_came_new_is_believed_by_its_own_deployment(story: Story) -> None:
    """No deployment of ours names it; its report names the one that CodeDeploy made for it."""
    story.live("one")
    made = launch(story)
    report(story, 1, host=NEW, **LOOP)
    assert observed(story) == []
    report(story, 1, host=NEW, deployment=made, **LOOP)
    assert [said.host for said in observed(story)] == [NEW]


def test_a_host_that_is_gone_is_not_waited_for_nor_sick(story: Story) -> None:
    """Nobody is told for ever that a host which the group replaced is sick, or silent."""
    story.live("one")
    story.wait(20)
    report(story, 1, sick="slow", requests=30, milliseconds=900, before=80)
    assert story.stands(1).cause == Cause.SICK
    del hosts(story)[HOST]
    hosts(story)[NEW] = "InService"
    story.wait(20)
    assert story.stands(1).cause == ""
    (stage,) = status(story.store, [story.service], story.clock.now())
    assert stage.live is not None
    assert stage.live.silent == ()


def replace(story: Story, **said: Any) -> Any:
    """Somebody has hosts replaced; the answer."""
    return story.operate("replace", **{"stage": PRODUCTION, "reason": "a new system image", **said})


@pytest.mark.parametrize("host", [HOST, ""])
def test_one_host_or_all_are_replaced_by_a_word_with_a_reason(story: Story, host: str) -> None:
    """The new one gets the live release, and only then the old one goes; who said it and why is on record."""
    story.live("one")
    replace(story, host=host)
    assert HOST in hosts(story)
    story.play()
    story.wait(1)
    [new] = hosts(story)
    assert (new != HOST, hosts(story)[new]) == (True, "InService")
    assert [(f.host, f.why) for f in launched(story)] == [(new, "")]
    (word,) = story.store.facts(story.service.name, about_stage(PRODUCTION), "replace#")
    assert isinstance(word, HostsReplaced)
    assert (word.host, word.reason) == (host, "a new system image")
    story.live("two")
    assert story.live_on(PRODUCTION) == 2


def test_a_host_stays_where_the_new_one_cannot_run_the_release(story: Story) -> None:
    """The new one is ended; the old one serves on."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False, message="the disk is full")
    replace(story, host=HOST)
    story.play()
    story.wait(1)
    assert hosts(story) == {HOST: "InService"}
    assert story.stands(1).cause == Cause.LAUNCH_FAILED


def test_a_replacement_is_refused_in_words(story: Story) -> None:
    """Of a host that is not there, without a reason, and while a release is on its way."""
    story.live("one")
    assert "production has no host i-0. Next: esteira hosts --stage production" in str(replace(story, host="i-0"))
    assert "replace needs a reason" in str(replace(story, reason=""))
    story.push("two")
    story.deliver()
    story.end_build()
    assert "v2 is being deployed to production" in str(replace(story))
    assert [*hosts(story)] == [HOST]
