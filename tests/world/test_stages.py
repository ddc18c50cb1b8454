"""The story on several stages: what lets a release onto the next one, what keeps it, and what takes it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from console.local.aws.bus import Chaos
from console.local.aws.faults import Call, When
from console.local.engine import DeployJob
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.advance import advance
from esteira.core.admission import Waits
from esteira.core.facts import Approved, Gated
from esteira.core.status import Cause, Phase
from esteira.operate import Request
from esteira.operate import operate as say
from esteira.refusal import Refused
from tests.world.story import Story

STAGING: dict[str, Any] = {"name": "staging"}
PRODUCTION: dict[str, Any] = {"name": "production"}
VOTED = PRODUCTION | {"approvals": {"votes": 1}}
WATCHED: dict[str, Any] = {"bake_minutes": 30, "alarms": ["errors"]}
Begin = Callable[..., Story]
PEOPLE = "arn:aws:iam::123456789012:user"


def vote(story: Story, action: str, release: str, *, by: str = "bea", **more: Any) -> None:
    """Say a word as somebody AWS knows, past the proof of who that is, and play what comes of it."""
    number = next(story._numbers)
    request = Request(
        action=action,
        service=story.service.name,
        request=f"word-{number:08d}",
        by=by,
        release=release,
        **{"reason": "looks good", "arn": f"{PEOPLE}/{by}", **more},
    )
    say(request, story.service, story.context)
    advance(story.service, story.context)
    story.play()


def deployments(story: Story) -> list[str]:
    """Every deployment CodeDeploy ever created, oldest first, as ``v1 staging Succeeded``."""
    rows = zip(story.deployment_claims(), story.local_aws.codedeploy.deployments(), strict=True)
    return [f"{claim.split('/')[1]} {claim.split('/')[2]} {row['status']}" for claim, row in rows]


def failing_on(story: Story, stage: str) -> None:
    """Let every deployment to a stage fail from now on ("": to none)."""

    def outcome(job: DeployJob) -> DeployOutcome:
        return DeployOutcome(not (stage and job.group.endswith(stage)), "GET /ping answered 500")

    story.engine._choose_deploy = outcome


def later(story: Story, minutes: float) -> None:
    """Let time pass, sweep, and play what comes of it."""
    story.wait(minutes)
    story.play()


def at(story: Story, hour: int, minute: int = 0, day: int = 1) -> None:
    """Let it be that time of January 2026, and sweep."""
    then = datetime(2026, 1, day, hour, minute, tzinfo=story.clock.now().tzinfo)
    later(story, (then - story.clock.now()).total_seconds() / 60)


# --- from stage to stage --------------------------------------------------------------------------------------------


def test_a_release_goes_through_its_stages_by_its_digest(on: Begin) -> None:
    """Built once, deployed to each stage in order, the same image each time."""
    story = on(STAGING, {"name": "canary"}, PRODUCTION)
    commit = story.push("1")
    story.play()
    assert story.phases == ["live"]
    assert story.stages_of(1) == {"staging": "live", "canary": "live", "production": "live"}
    assert story.built() == ["v1/build/1 SUCCEEDED"]
    assert deployments(story) == ["v1 staging Succeeded", "v1 canary Succeeded", "v1 production Succeeded"]
    documents = story.release_documents()
    assert [d["stage"] for d in documents] == ["staging", "canary", "production"]
    assert {d["digest"] for d in documents} == {story.made(commit)}
    assert story.tags(documents[0]["digest"]) >= {"live-staging", "live-canary", "live-production"}


def test_each_stage_has_turns_of_its_own(on: Begin) -> None:
    """While one release deploys to production, the next one deploys to staging; never two on one stage."""
    story = on(STAGING, PRODUCTION)
    story.push("1")
    story.deliver()
    story.end_build()
    story.end_deployment()
    assert story.stands(1).stage == "production"
    story.push("2")
    story.deliver()
    story.end_build()
    assert story.stands(2).phase is Phase.DEPLOYING
    assert deployments(story) == ["v1 staging Succeeded", "v1 production InProgress", "v2 staging InProgress"]
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.live_on("staging") == story.live_on("production") == 2


def test_a_release_that_fails_on_staging_never_comes_to_production(on: Begin) -> None:
    """What is live stays live on both stages."""
    story = on(STAGING, PRODUCTION)
    story.live("1")
    failing_on(story, "staging")
    story.live("2")
    assert story.phases == ["live", "failed"]
    assert (story.live_on("staging"), story.live_on("production")) == (1, 1)
    assert story.rollouts("production") == 2


def test_a_retry_after_production_failed_leaves_staging_as_it_is(on: Begin) -> None:
    """The image is the same and live on staging: nothing is built or deployed there again."""
    story = on(STAGING, PRODUCTION)
    failing_on(story, "production")
    story.live("1")
    assert story.phases == ["failed"]
    failing_on(story, "")
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    assert deployments(story) == ["v1 staging Succeeded", "v1 production Failed", "v1 production Succeeded"]
    assert story.built() == ["v1/build/1 SUCCEEDED"]


# --- bake -------------------------------------------------------------------------------------------------------------


def test_the_next_stage_waits_for_the_bake(on: Begin) -> None:
    """Ten minutes of health on staging come first, and a newer release on staging makes an older one old."""
    story = on(STAGING | {"bake_minutes": 10}, PRODUCTION)
    story.live("1")
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.BAKE)
    later(story, 9)
    assert story.live_on("production") == 0
    later(story, 1)
    assert story.phases == ["live"]
    story.live("2")
    later(story, 5)
    story.live("3")
    assert story.phases == ["live", "superseded", "waiting"]
    later(story, 6)  # v2 would have been watched long enough by now
    assert story.live_on("production") == 1
    later(story, 5)
    assert story.phases == ["superseded", "superseded", "live"]
    assert [d for d in deployments(story) if "production" in d] == [
        "v1 production Succeeded",
        "v3 production Succeeded",
    ]


# --- votes ------------------------------------------------------------------------------------------------------------


def test_votes_are_counted_by_person_and_expire(on: Begin) -> None:
    """Two people must say yes within an hour of each other; one of them twice is one."""
    story = on(STAGING, PRODUCTION | {"approvals": {"votes": 2, "valid_hours": 1}})
    story.live("1")
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.APPROVAL)
    assert "production needs 2 more approvals" in story.why(1)
    vote(story, "approve", "v1", by="bea")
    vote(story, "approve", "v1", by="bea")
    assert "production needs 1 more approval; approved by bea" in story.why(1)
    later(story, 61)
    vote(story, "approve", "v1", by="carl")
    assert "production needs 1 more approval; approved by carl" in story.why(1)
    vote(story, "approve", "v1", by="bea")
    assert story.phases == ["live"]


def test_a_vote_is_for_one_attempt_and_one_image(on: Begin) -> None:
    """After a retry the same people are asked again; what they said holds the digest they said it of."""
    story = on(STAGING, VOTED)
    failing_on(story, "production")
    story.live("1")
    vote(story, "approve", "v1")
    assert story.phases == ["failed"]
    (said,) = (f for f in story.facts(1) if isinstance(f, Approved))
    assert (said.attempt, said.digest) == (1, story.digest("esteira-v1"))
    failing_on(story, "")
    story.operate("retry", release="v1")
    story.play()
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.APPROVAL)
    vote(story, "approve", "v1")
    assert story.phases == ["live"]
    assert [d for d in deployments(story) if "staging" in d] == ["v1 staging Succeeded"]


@pytest.mark.parametrize("meanwhile", ["approved#", "rollout#"], ids=["an approval", "a rollout"])
def test_a_rejection_ends_it_there_whatever_is_being_recorded(on: Begin, meanwhile: str) -> None:
    """Somebody rejects while their own approval, or the rollout that it lets on, is on its way to the table."""
    story = on(STAGING, VOTED)
    story.live("1")

    def reject(when: When, call: Call) -> None:
        if (when, call.name) == ("before", "dynamodb:TransactWriteItems") and meanwhile in str(call.params):
            story.faults.hook = None
            vote(story, "reject", "v1", reason="its recall fell")

    story.faults.hook = reject
    vote(story, "approve", "v1")
    later(story, 60)
    assert story.faults.hook is None
    assert (story.phases, story.stands(1).cause) == (["rejected"], Cause.DISAPPROVED)
    assert deployments(story) == ["v1 staging Succeeded"]
    assert len(set(story.said_everywhere(1).values())) == 1


def test_a_bypass_lets_on_what_was_rejected(on: Begin) -> None:
    """A rejection is a rule of the stage as the others are."""
    story = on(STAGING, VOTED)
    story.live("1")
    vote(story, "reject", "v1")
    assert story.phases == ["rejected"]
    vote(story, "bypass", "v1", minutes=10)
    assert story.phases == ["live"]


def pushed_by(story: Story, who: str, text: str) -> str:
    """Push as somebody, and play what comes of it; the commit."""
    before = story.context.aws.tip(story.service) or "0" * 40
    commit = story.push(text)
    story.bus.forget()
    branch = f"refs/heads/{story.service.branch}"
    story.local_aws.codecommit.moved(story.service.repository, branch, before, commit, f"{PEOPLE}/{who}")
    story.play()
    return commit


def test_two_invented_names_are_no_votes(on: Begin) -> None:
    """The attack: who pushed says yes twice, under names of their own making. Neither counts, and nothing goes on."""
    story = on(STAGING, PRODUCTION | {"approvals": {"votes": 2}})
    story.live("1")
    for name in ("bea", "carl"):
        told = story.operate("approve", release="v1", by=name, proof=None)["refused"]
        assert "must come from somebody AWS knows, and this one proves nobody" in told
    vote(story, "approve", "v1", by="ana")
    vote(story, "approve", "v1", by="another name of anas", arn=f"{PEOPLE}/ana")
    assert "production needs 1 more approval; approved by another name of anas" in story.why(1)
    assert story.live_on("production") == 0
    vote(story, "approve", "v1", by="bea")
    assert story.phases == ["live"]


def test_a_name_that_its_user_chose_has_no_vote(on: Begin) -> None:
    """Who asks STS for a federated user's session names that user as they like."""
    story = on(STAGING, VOTED)
    story.live("1")
    with pytest.raises(Refused, match=r"federated-user/bea is a name that its user chose, and has no vote\. Next: "):
        vote(story, "approve", "v1", arn="arn:aws:sts::123456789012:federated-user/bea")


def test_who_pushed_may_not_approve(on: Begin) -> None:
    """CodeCommit's event says who pushed; their vote is refused, anybody else's counts, nobody's without a proof."""
    story = on(STAGING, PRODUCTION | {"approvals": {"not_by_pusher": True}})
    commit = story.push("1")
    story.play()
    (push,) = story.store.pushes(story.service.name, commit)
    with pytest.raises(Refused, match="who pushed may not approve"):
        vote(story, "approve", "v1", by=push.by.rpartition("/")[2])
    assert "proves nobody" in story.operate("approve", release="v1", proof=None)["refused"]
    assert story.stands(1).cause == Waits.APPROVAL
    vote(story, "approve", "v1", by="bea")
    assert story.phases == ["live"]


def test_nobody_approves_their_own_commit_under_the_push_of_another(on: Begin) -> None:
    """The attack: ana's v2 waits, bea pushes v3 over it, and ana approves v3, which brings v2 along. What is live bars
    nobody any more: it was approved when it came."""
    story = on(STAGING, PRODUCTION | {"approvals": {"not_by_pusher": True}})
    pushed_by(story, "ana", "1")
    vote(story, "approve", "v1", by="carl")
    assert story.live_on("production") == 1
    pushed_by(story, "ana", "2")
    pushed_by(story, "bea", "3")
    for who in ("ana", "bea"):
        with pytest.raises(Refused, match=f"user/{who} pushed v3, or what comes to production with it"):
            vote(story, "approve", "v3", by=who)
    assert story.live_on("production") == 1
    vote(story, "approve", "v3", by="carl")
    assert story.live_on("production") == 3
    pushed_by(story, "bea", "4")
    vote(story, "approve", "v4", by="ana")
    assert story.live_on("production") == 4


def test_a_push_under_it_that_no_event_told_of_takes_two(on: Begin) -> None:
    """Who pushed v2 is not known, so one of the voters for v3 may have."""
    story = on(STAGING, PRODUCTION | {"approvals": {"not_by_pusher": True}})
    pushed_by(story, "ana", "1")
    vote(story, "approve", "v1", by="carl")
    story.push("2")
    story.bus.forget()
    pushed_by(story, "bea", "3")
    assert "production needs 2 more approvals by somebody who did not push it" in story.why(2)
    vote(story, "approve", "v2", by="ana")
    assert story.live_on("production") == 1
    vote(story, "approve", "v2", by="carl")
    assert story.live_on("production") == 2


def test_a_stage_can_do_without_bypass(on: Begin) -> None:
    """Staging may be let past its rules, and production may not, whoever asks."""
    story = on(STAGING, VOTED | {"bypass": False})
    story.live("1")
    with pytest.raises(Refused, match=r"bypass is switched off on production\. Next: esteira why v1"):
        vote(story, "bypass", "v1")
    assert story.live_on("production") == 0


def test_where_nobody_knows_who_pushed_it_takes_two(on: Begin) -> None:
    """The push event was lost, so one voter may be the pusher."""
    story = on(STAGING, PRODUCTION | {"approvals": {"not_by_pusher": True}})
    story.lose_everything()
    story.push("1")
    for _ in range(6):
        later(story, 3)
    assert "production needs 2 more approvals by somebody who did not push it" in story.why(1)
    vote(story, "approve", "v1", by="bea")
    assert story.stands(1).cause == Waits.APPROVAL
    vote(story, "approve", "v1", by="carl")
    later(story, 3)
    later(story, 3)
    assert story.phases == ["live"]


def test_a_rejected_release_ends_and_the_next_goes_on(on: Begin) -> None:
    """A no ends its way to production, staging keeps it; a retry asks again, a newer push makes it old."""
    story = on(STAGING, VOTED)
    story.live("1")
    vote(story, "reject", "v1", reason="the figures are odd")
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.REJECTED, Cause.DISAPPROVED)
    assert "bea rejected it for production: the figures are odd" in story.why(1)
    assert (story.live_on("staging"), story.live_on("production")) == (1, 0)
    story.operate("retry", release="v1")
    story.play()
    assert story.stands(1).cause == Waits.APPROVAL
    story.live("2")
    vote(story, "approve", "v2")
    assert story.phases == ["superseded", "live"]


def test_a_release_nobody_approves_is_rejected_in_time(on: Begin) -> None:
    """The wait has an end, which frees nothing but the release itself."""
    story = on(STAGING, PRODUCTION | {"approvals": {"wait_hours": 2}})
    story.live("1")
    later(story, 119)
    assert story.phases == ["waiting"]
    later(story, 1)
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.REJECTED, Cause.APPROVAL_EXPIRED)
    assert "refused" in story.operate("approve", release="v1")
    assert story.live_on("staging") == 1
    assert story.rollouts("production") == 0


def test_what_waits_for_approval_can_be_aborted(on: Begin) -> None:
    """It ends there; staging keeps what it has, and nothing is deployed any more."""
    story = on(STAGING, VOTED)
    story.live("1")
    story.operate("abort", release="v1", reason="not this one")
    story.play()
    assert story.phases == ["aborted"]
    assert "refused" in story.operate("approve", release="v1")
    later(story, 10)
    assert deployments(story) == ["v1 staging Succeeded"]
    story.live("2")
    vote(story, "approve", "v2")
    assert story.phases[1] == "live"


def test_a_superseded_release_can_be_promoted(on: Begin) -> None:
    """Staging has moved on to the next release, and the one before is wanted on production all the same."""
    story = on(STAGING, VOTED)
    story.live("1", "2")
    assert story.phases == ["superseded", "waiting"]
    assert "refused" in story.operate("approve", release="v1")
    story.operate("promote", release="v1", reason="v2 is not ready")
    story.play()
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.APPROVAL)
    vote(story, "approve", "v1")
    assert (story.live_on("staging"), story.live_on("production")) == (2, 1)
    vote(story, "approve", "v2")
    assert story.phases == ["superseded", "live"]
    assert "refused" in story.operate("promote", release="v1")


# --- windows, holds, bypass -------------------------------------------------------------------------------------------


def test_nothing_begins_outside_the_windows(on: Begin) -> None:
    """Weekdays from nine to five, but not from ten to eleven: what denies wins. Staging has none and does not wait."""
    allow = {"kind": "allow", "cron": "0 9 * * 1-5", "minutes": 480, "reason": "office hours"}
    deny = {"kind": "deny", "cron": "0 10 * * *", "minutes": 60, "reason": "the daily close"}
    story = on(STAGING, PRODUCTION | {"windows": [allow, deny]})
    story.live("1")  # at midnight, on a Thursday
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.WINDOW)
    assert "until 2026-01-01 09:00 UTC" in story.why(1)
    assert story.live_on("staging") == 1
    at(story, 8, 59)
    assert story.live_on("production") == 0
    at(story, 9)
    assert story.phases == ["live"]
    at(story, 10, 30)
    story.live("2")
    assert "a window denies it (the daily close" in story.why(2)
    at(story, 11)
    assert story.live_on("production") == 2
    at(story, 12, day=3)  # a Saturday
    story.live("3")
    assert "until 2026-01-05 09:00 UTC" in story.why(3)
    assert story.live_on("production") == 2


def test_a_hold_stops_its_own_stage_alone(on: Begin) -> None:
    """Held on production, a release waits on staging; held on staging, the one before goes on to production."""
    story = on(STAGING | {"bake_minutes": 5}, PRODUCTION)
    story.operate("hold", stage="production", reason="an audit", minutes=60)
    story.live("1")
    later(story, 6)
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.HOLD)
    assert story.live_on("staging") == 1
    story.operate("resume", stage="production")
    story.operate("hold", stage="staging", reason="a demonstration", minutes=60)
    story.live("2")
    assert (story.live_on("staging"), story.live_on("production")) == (1, 1)
    assert story.stands(2).stage == "staging"
    assert "ana holds staging until 2026-01-01 01:06 UTC: a demonstration" in story.why(2)
    later(story, 60)
    later(story, 6)
    assert (story.live_on("staging"), story.live_on("production")) == (2, 2)


def test_people_are_reminded_once_of_a_hold_that_ends_soon(on: Begin) -> None:
    """When a tenth of it is left, however often the sweep comes by; a further hold is another reminder."""
    story = on(STAGING, PRODUCTION)
    story.bus.keep = True
    story.operate("hold", stage="production", reason="an audit", minutes=100)
    for _ in range(3):
        later(story, 29)
    assert _reminders(story) == []
    for _ in range(3):
        later(story, 4)
    assert _reminders(story) == [("production", "ana", "an audit", "2026-01-01T01:40:00.000000Z")]
    story.operate("hold", stage="production", reason="a further one", minutes=10)
    later(story, 9.5)
    later(story, 0.1)
    assert [reason for _, _, reason, _ in _reminders(story)] == ["an audit", "a further one"]


def _reminders(story: Story) -> list[tuple[str, ...]]:
    told = [e["detail"] for e in story.bus.events if e["detail-type"] == "Hold Ends Soon"]
    return [(d["stage"], d["by"], d["reason"], d["until"]) for d in told]


def test_a_bypass_goes_past_every_rule_and_shows(on: Begin) -> None:
    """Bake, votes, a hold and a window are in the way; the reason stands in the deployment and in the decision."""
    never = {"kind": "allow", "cron": "0 3 1 7 *", "minutes": 60}
    rules = {"approvals": {"votes": 2}, "windows": [never]}
    story = on(STAGING | {"bake_minutes": 60}, PRODUCTION | rules)
    story.operate("hold", stage="production", reason="an audit")
    story.live("1")
    assert story.phases == ["waiting"]
    assert "refused" in story.operate("bypass", release="v1", reason=" ")
    story.operate("bypass", release="v1", reason="the old model is wrong", minutes=30)
    story.play()
    assert story.phases == ["live"]
    description = story.local_aws.codedeploy.deployments()[-1]["description"]
    assert "ana bypassed the rules of production: the old model is wrong" in description


def test_a_bypass_expires(on: Begin) -> None:
    """Given for five minutes and used after six, it is as if it had never been."""
    story = on(STAGING, VOTED)
    story.push("1")
    story.deliver()
    story.end_build()  # it deploys to staging now
    story.operate("bypass", release="v1", stage="production", reason="in a hurry", minutes=5)
    story.wait(6)
    story.play()
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.APPROVAL)
    assert story.rollouts("production") == 0


# --- going back -------------------------------------------------------------------------------------------------------


def test_a_stage_is_rolled_back_by_itself(on: Begin) -> None:
    """Production goes back and staging stays; then staging goes back, and what it goes back to is not promoted."""
    story = on(STAGING, PRODUCTION)
    story.live("1", "2")
    story.operate("rollback", stage="production")
    story.play()
    assert (story.live_on("staging"), story.live_on("production")) == (2, 1)
    assert story.stages_of(2) == {"staging": "live", "production": "rolled back"}
    assert story.phases == ["live", "rolled back"]
    later(story, 10)
    assert (story.live_on("staging"), story.live_on("production")) == (2, 1)
    story.operate("rollback", stage="staging")
    story.play()
    assert (story.live_on("staging"), story.live_on("production")) == (1, 1)
    story.live("3")
    assert story.phases == ["superseded", "rolled back", "live"]
    assert [d for d in deployments(story) if d.startswith("v1 production")] == ["v1 production Succeeded"] * 2


@pytest.mark.parametrize("heard", ["the event", "the sweep"])
def test_an_alarm_takes_a_release_back_and_it_stays_away(on: Begin, heard: str) -> None:
    """Told by the event or, that being lost, found by the sweep: the same facts, the same rollback, once."""
    story = on(STAGING, PRODUCTION | WATCHED)
    story.live("1")
    bad = story.push("2")
    story.play()
    assert story.live_on("production") == 2
    story.clock.advance(5 * 60)
    if heard == "the sweep":
        story.bus.chaos = Chaos(lose=1.0)
    story.ring("errors", "too many errors")
    story.play()
    assert story.live_on("production") == (1 if heard == "the event" else 2)
    story.bus.chaos = Chaos()
    later(story, 1)
    later(story, 1)
    assert (story.live_on("staging"), story.live_on("production")) == (2, 1)
    assert story.phases == ["live", "rolled back"]
    assert "alarm errors rolled production back to v1" in story.why(2)
    assert "5 minutes after v2 went live on production: too many errors" in story.why(2)
    assert len({f.since for f in story.store.facts(story.service.name, "alarm/errors")}) == 1
    story.commit({"app.py": b"3"})
    story.play()
    story.force_push(bad)
    story.play()
    assert story.phases[2:] == ["live", "rejected"]
    assert story.stands(4).cause == Cause.QUARANTINED
    assert [d for d in deployments(story) if d.startswith("v2 production")] == ["v2 production Succeeded"]


def test_an_alarm_on_staging_keeps_a_release_from_production(on: Begin) -> None:
    """It is taken back while it bakes, and the bake's end does not bring it on."""
    story = on(STAGING | WATCHED, PRODUCTION)
    story.live("1")
    later(story, 31)
    story.live("2")
    later(story, 5)
    story.ring("errors")
    story.play()
    assert (story.live_on("staging"), story.live_on("production")) == (1, 1)
    assert story.stands(2).phase is Phase.ROLLED_BACK
    later(story, 40)
    assert [d for d in deployments(story) if "v2" in d] == ["v2 staging Succeeded"]


def test_an_alarm_that_does_not_concern_the_release_takes_nothing_back(on: Begin) -> None:
    """It rang before, and rings on with other words; it rings after the bake; it is another alarm."""
    story = on(STAGING, PRODUCTION | WATCHED)
    story.live("1")
    story.clock.advance(60 * 60)
    story.ring("errors")
    story.clock.advance(60)
    story.live("2")
    story.clock.advance(5 * 60)
    cloudwatch = story.aws_client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="it rings on")
    story.ring("another")
    later(story, 1)
    assert story.live_on("production") == 2
    later(story, 30)
    story.ring("errors")
    story.play()
    later(story, 1)
    assert story.phases == ["superseded", "live"]
    assert story.stands(2).cause == ""


def test_an_alarm_with_nothing_to_go_back_to_is_said_and_nothing_more(on: Begin) -> None:
    """The first release stays, its standing says why, and the sweep finds nothing further to do."""
    story = on(STAGING, PRODUCTION | WATCHED)
    story.live("1")
    story.clock.advance(60)
    story.ring("errors")
    story.play()
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, Cause.ALARM)
    assert "no earlier release was live and healthy on production" in story.why(1)
    rows = story.rows()
    later(story, 1)
    assert story.rows() == rows
    assert story.phases == ["live"]


def test_a_rollback_that_an_alarm_ordered_is_ordered_once(on: Begin) -> None:
    """Where going back fails, people are needed, and not the same order again with every sweep."""
    story = on(STAGING, PRODUCTION | WATCHED)
    story.live("1", "2")
    failing_on(story, "production")
    story.clock.advance(60)
    story.ring("errors")
    story.play()
    for _ in range(3):
        later(story, 1)
    assert [d for d in deployments(story) if d.startswith("v1 production")] == [
        "v1 production Succeeded",
        "v1 production Failed",
    ]
    assert story.live_on("production") == 2


# --- the model's figures ----------------------------------------------------------------------------------------------

GATES = {"roc_auc": {"min": 0.85, "max_drop": 0.01}}


def _built_with(story: Story, figure: str, text: str) -> None:
    story.builds = BuildOutcome(exported={"ROC_AUC": figure} if figure else {})
    story.live(text)


def test_gates_keep_a_worse_model_from_every_stage(on: Begin) -> None:
    """Against the floor and against what is live on production; a bypass goes past them, once and knowingly."""
    story = on(STAGING, PRODUCTION)
    story.register(gates=GATES)
    for number, figure in enumerate(("0.90", "0.80", "0.885", "", "0.895"), 1):
        _built_with(story, figure, str(number))
    assert story.phases == ["superseded", "rejected", "rejected", "rejected", "live"]
    assert {story.stands(n).cause for n in (2, 3, 4)} == {Cause.GATE}
    assert {d.split()[0] for d in deployments(story)} == {"v1", "v5"}
    _built_with(story, "0.70", "6")
    story.operate("bypass", release="v6", stage="staging", reason="the data was wrong before")
    story.play()
    assert story.phases[-2:] == ["superseded", "live"]


def test_gates_in_a_dry_run_write_down_what_they_would_have_refused(on: Begin) -> None:
    """Nothing is refused; the facts say what would have been."""
    story = on(STAGING, PRODUCTION)
    story.register(gates=GATES, gates_dry_run=True)
    _built_with(story, "0.80", "1")
    assert story.phases == ["live"]
    (gated,) = (f for f in story.facts(1) if isinstance(f, Gated))
    assert gated.dry_run
    assert len(gated.refused) == 1
    assert "0.85" in gated.refused[0]
