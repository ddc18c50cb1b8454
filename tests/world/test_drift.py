"""What others deploy to a stage's hosts is told, and the live release is put back."""

from __future__ import annotations

from console.read.stage_status import status
from esteira.core.facts import Rollout, about_stage
from esteira.core.status import Cause, Phase
from tests.world.story import PRODUCTION, Story


def rollouts(story: Story) -> list[tuple[int, str]]:
    """The release and the kind of each rollout."""
    facts = story.store.facts(story.service.name, about_stage(PRODUCTION), "rollout#")
    return [(fact.release, fact.kind) for fact in facts if isinstance(fact, Rollout)]


def by_hand(story: Story) -> str:
    """Somebody deploys to the live stage's hosts in CodeDeploy, and the sweep comes by; the deployment's id."""
    deployment = story.foreign_deployment()
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
