"""What others deploy to a stage's hosts is told, and the live release is put back."""

from __future__ import annotations

from console.local.rehearse.rehearsal_engine import DeployOutcome
from console.read.stage_status import status
from esteira.core.facts import Rollout, about_stage
from esteira.core.status import Cause, Phase
from tests.world.story import PRODUCTION, Story


def rollouts(story: Story) -> list[tuple[int, str]]:
    """The release and the kind of each rollout."""
    facts = story.store.facts(story.service.name, about_stage(PRODUCTION), "rollout#")
    return [(fact.release, fact.kind) for fact in facts if isinstance(fact, Rollout)]


def by_hand(story: Story, of: str = "") -> str:
    """Somebody deploys to the live stage's hosts in CodeDeploy, and the sweep comes by; the deployment's id."""
    deployment = story.foreign_deployment(of)
    story.deliver()
    story.end_deployment()
    story.wait(1)
    return deployment


def test_a_deployment_by_others_is_told_in_every_sentence(story: Story) -> None:
    """A status never says that v1 is what the hosts run while AWS says that they run something else."""
    story.live("one")
    foreign = by_hand(story)
    stands = story.stands(1)
    assert (stands.phase, stands.cause) == (Phase.LIVE, Cause.DEVIATED)
    for _, why in story.said_everywhere(1).values():
        assert foreign in why
        assert "by-hand.zip" in why
    (stage,) = status(story.store, [story.service], story.clock.now())
    assert stage.live is not None
    assert foreign in stage.live.differs


def test_the_live_release_is_put_back_after_a_while(story: Story) -> None:
    """What others deployed stays for the stage's restore_minutes, then the live release is restored, once."""
    story.live("one")
    by_hand(story)
    story.wait(10)
    assert rollouts(story) == [(1, "deploy")]
    story.wait(6)
    story.play()
    story.wait(60)
    assert rollouts(story) == [(1, "deploy"), (1, "restore")]
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, "")


def test_what_others_deployed_stays_while_the_stage_is_held(story: Story) -> None:
    """A hold keeps the controller's hands off the hosts; when it is over the release is restored."""
    story.live("one")
    by_hand(story)
    story.operate("hold", stage=PRODUCTION, minutes=120, reason="looking into it")
    story.wait(60)
    assert rollouts(story) == [(1, "deploy")]
    story.wait(70)
    assert rollouts(story) == [(1, "deploy"), (1, "restore")]


def test_an_older_release_deployed_again_by_hand_is_told_and_put_right(story: Story) -> None:
    """CodeDeploy's "Retry" of v1 while v2 is live brings v1 back to the hosts: v2's status says so, and v2 returns."""
    story.live("one", "two")
    by_hand(story, "heart/v1/production-1.zip")
    assert story.stands(2).cause == Cause.DEVIATED
    assert "heart/v1/production-1.zip" in story.why(2)
    story.wait(16)
    story.play()
    assert rollouts(story)[-1] == (2, "restore")
    assert story.stands(2).cause == ""


def test_the_live_release_deployed_again_is_no_difference(story: Story) -> None:
    """A host that an Auto Scaling group launches gets the group's last revision: nothing to tell, nothing to do."""
    story.live("one")
    by_hand(story, "heart/v1/production-1.zip")
    story.wait(60)
    assert (story.stands(1).cause, rollouts(story)) == ("", [(1, "deploy")])


def test_a_person_may_put_it_right_in_codedeploy(story: Story) -> None:
    """The live release's own bundle, deployed after another's, ends the difference without a restore."""
    story.live("one")
    by_hand(story)
    by_hand(story, "heart/v1/production-1.zip")
    story.wait(60)
    assert (story.stands(1).cause, rollouts(story)) == ("", [(1, "deploy")])


def test_a_restore_that_fails_is_not_tried_for_ever(story: Story) -> None:
    """It is still told that the hosts run something else, and the next release puts it right."""
    story.live("one")
    by_hand(story)
    story.deploys = DeployOutcome(succeeds=False)
    story.wait(16)
    story.play()
    story.wait(60)
    story.play()
    assert rollouts(story) == [(1, "deploy"), (1, "restore")]
    story.deploys = DeployOutcome()
    story.live("two")
    assert (story.stands(2).phase, story.stands(2).cause) == (Phase.LIVE, "")


def test_a_difference_is_told_to_people(story: Story) -> None:
    """It is a notice, once, with the next thing to type."""
    [commit] = story.live("one")
    by_hand(story)
    messages = [c["comment"]["content"] for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit]
    (notice,) = [m for m in messages if "is not what the hosts of production run" in m]
    assert "esteira hold --stage production" in notice


# --- a deployment by others that failed -----------------------------------------------------------------------------


def test_a_deployment_by_others_that_failed_on_the_way_is_told_and_put_right(story: Story) -> None:
    """A9: it succeeded nowhere, so CodeDeploy names another as the last successful one; its files are on the hosts."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False)
    foreign = by_hand(story)
    assert story.stands(1).cause == Cause.DEVIATED
    for _, why in story.said_everywhere(1).values():
        assert f"some hosts of production may run {story.service.bundles}/by-hand.zip: deployment {foreign}" in why
        assert "not by esteira, failed at" in why
    story.deploys = DeployOutcome()
    story.wait(16)
    story.play()
    story.wait(30)
    assert rollouts(story) == [(1, "deploy"), (1, "restore")]
    assert story.stands(1).cause == ""


def test_a_deployment_by_others_that_changed_no_host_is_no_difference(story: Story) -> None:
    """It failed before its files came to any host."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False, hook="BeforeInstall")
    by_hand(story)
    story.wait(60)
    assert (story.stands(1).cause, rollouts(story)) == ("", [(1, "deploy")])


def test_a_failed_deployment_of_esteiras_own_is_nobody_elses(story: Story) -> None:
    """Also where the rollout after it came to no deployment, so it stays the last that was tried."""
    story.live("one")
    story.deploys = DeployOutcome(succeeds=False)
    story.live("two")
    story.change({"release.json": "{}"})
    story.play()
    story.wait(60)
    assert story.phases[:2] == ["live", "failed"]
    assert story.stands(1).cause == ""
