"""Every wait has a deadline, which the sweep enforces; a missed one ends in a phase with its reason."""

from __future__ import annotations

import pytest

from console.local.rehearse.rehearsal_engine import DeployOutcome, manifest_for
from tests.world.story import Story, refusing


def deploying(story: Story) -> None:
    """Bring v1 to where it deploys."""
    story.push("one")
    story.deliver()
    story.end_build()
    assert story.phases == ["deploying"]


# --- builds


def test_a_build_that_never_ends_is_stopped_and_failed(story: Story) -> None:
    """After the service's build deadline, not before; the sentence says so and what to type."""
    story.push("one")
    story.deliver()
    build = story.engine.in_flight()[0]
    story.wait(29)
    assert story.phases == ["building"]
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.why(1) == f"build {build} did not end within 30 minutes; next: esteira retry v1"
    story.end_build()
    assert story.built() == ["v1/build/1 STOPPED"]
    assert story.phases == ["failed"]
    assert story.open() == []


def test_a_build_that_heeds_no_stop_is_given_up(story: Story) -> None:
    """It is looked after no more once the stop had its time, and a late success changes nothing."""
    story.push("one")
    story.deliver()
    story.wait(30)
    assert story.open() == [1]
    story.wait(16)
    assert story.phases == ["failed"]
    assert story.open() == []
    story.play()
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.deployed() == []


def test_the_registration_says_how_long_a_build_may_take(story: Story) -> None:
    """Deadlines are the service's."""
    story.register(deadlines={"build_minutes": 5})
    story.push("one")
    story.deliver()
    story.wait(5)
    assert story.phases == ["failed"]
    assert "did not end within 5 minutes" in story.why(1)


def test_a_retry_after_an_overdue_build_goes_live(story: Story) -> None:
    """The command that the sentence ends in does what it says, with a deadline of its own."""
    story.push("one")
    story.deliver()
    story.wait(30)
    story.operate("retry", release="v1")
    story.wait(29)
    assert story.phases == ["building"]
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 STOPPED", "v1/build/2 SUCCEEDED"]


def test_a_build_that_aws_refuses_to_start_is_tried_until_its_deadline(story: Story) -> None:
    """Meanwhile the release says what AWS said; then it is failed with that reason."""
    story.faults.hook = refusing("codebuild:StartBuild", "AccountLimitExceededException", "too many builds")
    story.push("one")
    story.deliver()
    for _ in range(29):
        story.wait(1)
        assert story.phases == ["pushed"]
        assert story.why(1) == "could not start its build: AccountLimitExceededException: too many builds (retrying)"
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.why(1).startswith("its build could not start within 30 minutes: AccountLimitExceededException")
    assert story.why(1).endswith("; next: esteira retry v1")
    assert story.built() == []
    assert story.open() == []


def test_a_build_that_aws_refuses_at_first_starts_when_it_may(story: Story) -> None:
    """One build, once AWS lets it."""
    story.faults.hook = refusing("codebuild:StartBuild", "AccountLimitExceededException", "too many builds")
    story.push("one")
    story.deliver()
    story.wait(5)
    story.faults.hook = None
    story.wait(5)
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 SUCCEEDED"]


# --- the image


def test_an_image_that_cannot_be_accepted_ends_the_release(story: Story) -> None:
    """ECR refuses to give it at each try, and the deadline ends it."""
    story.faults.hook = refusing("ecr:BatchGetImage")
    story.push("one")
    story.deliver()
    story.end_build()
    story.wait(14)
    assert story.phases == ["building"]
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.why(1).startswith("its image could not be accepted within 15 minutes: ")
    assert "AccessDeniedException" in story.why(1)
    assert story.why(1).endswith("; next: esteira retry v1")
    assert story.deployed() == []
    assert not story.bus.letters


def test_an_image_used_again_that_cannot_be_looked_up_ends_the_release(story: Story) -> None:
    """A force-push back while ECR refuses to answer does not wait in silence."""
    first, _ = story.live("one", "two")
    story.faults.hook = refusing("ecr:DescribeImages")
    story.force_push(first)
    story.play()
    for _ in range(12):
        story.wait(60)
    assert story.phases == ["superseded", "live", "failed"]


# --- deployments


def test_a_deployment_that_never_ends_is_stopped_and_failed(story: Story) -> None:
    """After the deploy deadline; what was live stays so."""
    deploying(story)
    (deployment,) = story.engine.in_flight()
    story.wait(59)
    assert story.phases == ["deploying"]
    story.wait(1)
    assert story.why(1) == f"deployment {deployment} did not end within 60 minutes; stopping deployment {deployment}"
    story.end_deployment()
    assert story.phases == ["failed"]
    assert story.why(1) == (
        f"deployment {deployment} did not end within 60 minutes; deployment {deployment} was stopped; "
        "next: esteira retry v1"
    )
    assert story.deployed() == ["v1 Stopped"]
    assert story.stage_state.live == 0
    assert not story.stage_state.busy


def test_a_deployment_that_never_says_that_it_ended_is_given_up(story: Story) -> None:
    """After the stop deadline the release fails, and the next waits for AWS, not for the lost one."""
    deploying(story)
    (deployment,) = story.engine.in_flight()
    story.wait(60)
    story.push("two")
    story.deliver()
    story.end_build()
    story.wait(14)
    assert story.phases == ["deploying", "waiting"]
    story.wait(1)
    assert story.phases == ["failed", "deploying"]
    assert story.why(1).startswith(f"deployment {deployment} was asked to stop and did not say that it ended")
    assert "DeploymentLimitExceededException" in story.why(2)
    story.end_deployment()
    story.pass_time(600)
    assert story.phases == ["failed", "live"]
    assert story.deployed() == ["v1 Stopped", "v2 Succeeded"]


def test_a_deployment_given_up_that_succeeds_late_is_not_called_live(story: Story) -> None:
    """Its turn is over: the next release takes its place anyhow."""
    deploying(story)
    story.wait(60)
    story.wait(15)
    assert story.phases == ["failed"]
    story.end_deployment()
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.stage_state.live == 0


def test_a_release_waits_while_a_foreign_deployment_is_on_the_group(story: Story) -> None:
    """It says what AWS said, and goes when the group is free."""
    foreign = story.foreign_deployment()
    story.push("one")
    story.deliver()
    story.end_build()
    story.wait(5)
    assert story.phases == ["deploying"]
    assert story.why(1).startswith("could not start the deployment on production: DeploymentLimitExceeded")
    assert foreign in story.why(1)
    story.end_deployment()
    story.pass_time(600)
    assert story.phases == ["live"]
    assert story.deployed() == ["by Succeeded", "v1 Succeeded"]


def test_a_foreign_deployment_that_never_ends_fails_the_release_at_its_deadline(story: Story) -> None:
    """The sentence carries AWS's reason; the foreign deployment is left alone."""
    story.foreign_deployment()
    story.push("one")
    story.deliver()
    story.end_build()
    story.wait(59)
    assert story.phases == ["deploying"]
    story.wait(1)
    assert story.phases == ["failed"]
    assert story.why(1).startswith("its deployment could not start: DeploymentLimitExceededException")
    assert story.why(1).endswith("; next: esteira retry v1")
    assert story.deployed() == ["by InProgress"]
    assert not story.stage_state.busy


def test_an_abort_ends_the_wait_for_a_foreign_deployment(story: Story) -> None:
    """Nothing has to be stopped, since nothing was made."""
    story.foreign_deployment()
    story.push("one")
    story.deliver()
    story.end_build()
    story.operate("abort", release="v1", reason="not now")
    story.play()
    assert story.phases == ["aborted"]
    assert story.why(1) == "ana aborted it before it was deployed: not now"
    assert story.deployed() == ["by Succeeded"]


def test_a_deployment_that_somebody_stopped_by_hand_is_failed(story: Story) -> None:
    """The sentence says that it was not esteira."""
    deploying(story)
    (deployment,) = story.engine.in_flight()
    story.aws_client("codedeploy").stop_deployment(deploymentId=deployment)
    story.play()
    assert story.phases == ["failed"]
    assert story.why(1) == f"deployment {deployment} was stopped, not by esteira; next: esteira retry v1"


@pytest.mark.parametrize("refused", ["codedeploy:GetDeployment", "ecr:DescribeImages"])
def test_a_deadline_holds_though_aws_answers_no_question(story: Story, refused: str) -> None:
    """A wait ends even when the sweep cannot look."""
    deploying(story)
    story.faults.hook = refusing(refused)
    for _ in range(4):
        story.wait(60)
    assert story.phases == ["failed"]


def test_a_failed_deployment_whose_cause_cannot_be_read_ends_all_the_same(story: Story) -> None:
    """Without its cause, after a while, rather than never."""
    deploying(story)
    story.deploys = DeployOutcome(False, "GET /ping answered 500")
    story.faults.hook = refusing("codedeploy:GetDeployment")
    story.end_deployment()
    for _ in range(12):
        story.wait(60)
    assert story.phases == ["failed"]


def test_a_turn_whose_tags_cannot_be_moved_does_not_hold_the_stage_for_ever(story: Story) -> None:
    """The deployment succeeded; that a tag is refused is told, and the next release goes its way."""
    deploying(story)
    story.faults.hook = refusing("ecr:PutImage")
    story.end_deployment()
    for _ in range(12):
        story.wait(60)
    assert not story.stage_state.busy


def test_the_sweep_looks_after_no_more_than_what_is_open(story: Story) -> None:
    """What has ended costs nothing: a sweep after ten releases makes the calls of a sweep after two."""
    story.local_aws.lists.most = None  # pages as long as AWS's
    story.live("one", "two")
    counts = []
    for _ in range(2):
        story.faults.counts.clear()
        story.wait(5)
        counts.append(sum(story.faults.counts.values()))
        story.live(*(f"{n}" for n in range(8)))
    assert counts[0] == counts[1]


def test_a_frozen_tag_of_another_image_leaves_other_releases_alone(story: Story) -> None:
    """The next push goes live while the one before cannot be accepted."""
    story.local_aws.ecr.push("heart", manifest_for("by hand"), "esteira-v1")
    story.push("one")
    story.deliver()
    story.end_build()
    story.push("two")
    story.play()
    assert story.phases == ["superseded", "live"]
