"""A release on several stages: rollouts are named by stage and number, and its sentence is true of every stage."""

from __future__ import annotations

from dataclasses import replace

from esteira.config import Approvals, Stage
from esteira.core.facts import (
    Aborted,
    Claimed,
    DeploymentReported,
    DeploymentStarted,
    GivenUp,
)
from esteira.core.lease import LeaseState
from esteira.core.state import Release, StageState
from esteira.core.status import Cause, Phase, assess
from esteira.fact import Fact
from tests.unit.conftest import (
    LEASE,
    NOON,
    accepted,
    after,
    build_ended,
    build_started,
    deployment_started,
    digest_of,
    finished,
    release,
    rollout_of,
    status_of,
)

BUILT = (build_started(), build_ended(), accepted())
STAGING_DEPLOYMENT = "d-staging"


def staging(number: int = 7, live: int = 1) -> StageState:
    """Staging, where that release went live in its rollout of this number."""
    rollout = replace(rollout_of(live, number), stage="staging")
    return StageState("staging", rollout, finished(rollout, succeeded=True))


def live_on_staging(*facts: Fact, number: int = 7) -> Release:
    """v1, live on staging since noon."""
    started = replace(deployment_started(rollout=number, stage="staging"), deployment=STAGING_DEPLOYMENT)
    ended = DeploymentReported(at=NOON, deployment=STAGING_DEPLOYMENT, status="Succeeded")
    return release(1, *BUILT, started, ended, *facts)


def given_up(number: int = 7) -> GivenUp:
    why = "AWS never made its deployment"
    return GivenUp(at=after(5), release=1, what="deployment", stage="production", number=number, attempt=1, why=why)


# --- rollouts are counted on each stage ------------------------------------------------------------------------------


def test_a_rollout_that_was_given_up_says_nothing_of_the_one_with_its_number_on_another_stage() -> None:
    """Live on staging by rollout 7, while production's rollout 7 was given up."""
    there, ahead = staging(), StageState("production", rollout_of(1, 7), before=staging())
    r = live_on_staging(given_up())
    assert (r.digest, r.on(there).served_digest) == (digest_of(1), digest_of(1))
    assert (r.on(there).lives, r.on(there).live_since) == (1, NOON)
    assert (r.on(ahead).lives, r.on(ahead).served_digest) == (0, "")
    assessed = assess(r, (there, ahead), after(6))
    assert assessed.on["staging"].phase is Phase.LIVE
    assert (assessed.on["production"].phase, assessed.on["production"].cause) == (
        Phase.FAILED,
        Cause.DEPLOYMENT_NOT_STARTED,
    )
    assert assessed.overall.summary == "live on staging; AWS never made its deployment"


def test_a_release_that_was_live_has_its_digest_also_after_a_retry() -> None:
    """The other stage's rollout of the same number takes nothing from it."""
    accepted_no_more = [f for f in live_on_staging(given_up()).facts if f != accepted()]
    assert release(1, *accepted_no_more).digest == digest_of(1)


def test_a_claim_on_one_stage_is_no_claim_on_another() -> None:
    """Two stages' rollouts of one number have a lease each."""
    claim = Claimed(at=NOON, release=1, action="finish", attempt=7, take=1, lease=NOON + LEASE, stage="production")
    r = live_on_staging(claim)
    assert r.lease("finish", 7, "production").state(NOON) is LeaseState.HELD
    assert r.lease("finish", 7, "staging").state(NOON) is LeaseState.FREE


def test_rollouts_are_listed_by_stage_and_number() -> None:
    """Production's third is not put before or after staging's twelfth by its number alone."""
    third = replace(deployment_started(rollout=3), deployment="d-production")
    r = live_on_staging(third, given_up(11), number=12)
    assert [(d.stage, d.number) for d in r.deployed] == [("production", 3), ("production", 11), ("staging", 12)]


def test_the_digest_is_that_of_the_deployment_that_came_last_on_any_stage() -> None:
    """Stages count apart, so the time decides and not the number."""
    later = DeploymentStarted(
        at=after(9), release=1, stage="production", rollout=2, attempt=1, deployment="d-late", digest="sha256:late"
    )
    ended = DeploymentReported(at=after(10), deployment="d-late", status="Succeeded")
    facts = [f for f in live_on_staging(later, ended).facts if f != accepted()]
    assert release(1, *facts).digest == "sha256:late"


# --- a sentence is true of all stages ---------------------------------------------------------------------------------


def aborted() -> Aborted:
    return Aborted(at=after(5), release=1, attempt=1, by="ana", reason="it drifts")


def test_an_abort_that_came_too_late_for_staging_says_that_it_is_live_there() -> None:
    """On production it ends; on staging it goes on serving, and the sentence says both."""
    rules = Stage(group="heart-production", approvals=Approvals(votes=2))
    stages = (staging(), StageState("production", rules=rules, before=staging()))
    assessed = assess(live_on_staging(aborted()), stages, after(6))
    assert assessed.overall.phase is Phase.ABORTED
    assert assessed.overall.summary == "live on staging; ana aborted it: it drifts"
    assert assessed.on["staging"].phase is Phase.LIVE
    assert {name: s.phase for name, s in assessed.shown(stages).items()} == {"staging": Phase.LIVE}


def test_an_aborted_release_that_is_live_nowhere_does_not_say_that_it_is() -> None:
    """Another release has taken its place on staging."""
    gone = staging(8, live=2)
    stages = (gone, StageState("production", before=gone))
    status = status_of(release(1, *BUILT, aborted()), stages, after(6))
    assert status.summary == "ana aborted it: it drifts"
