"""Where a release stands: every rung of the ladder, and the same answer whatever the order the facts came in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esteira.core.facts import (
    Aborted,
    Accepted,
    BuildEnded,
    Claimed,
    Declined,
    DeploymentReported,
    DeploymentStarted,
    Diagnosed,
    GivenUp,
    ImageMissed,
    Notified,
    Quarantined,
    Replaced,
    Retried,
    Rollout,
    StopAsked,
    Superseded,
)
from esteira.core.state import Release, StageState
from esteira.core.status import Cause, Phase, Status
from esteira.fact import Fact
from esteira.trail import HostReported
from tests.unit.conftest import (
    LEASE,
    NOON,
    accepted,
    after,
    born,
    build_ended,
    build_started,
    deployed,
    deployment_ended,
    deployment_of,
    deployment_started,
    diagnosed,
    digest_of,
    finished,
    held,
    live_on,
    ordered,
    quiet,
    recorded,
    release,
    rollout_of,
    status_on,
)

QUIET = quiet()


def stands(status: Status, phase: Phase, *words: str) -> None:
    """Check a phase, that its sentence contains these words, and that a failure has a word to count it by."""
    assert status.phase is phase
    assert bool(status.cause) == (phase in (Phase.FAILED, Phase.REJECTED, Phase.WAITING)), status
    assert all(word in status.why for word in words), status.why


def claimed(action: Literal["build", "deploy", "finish"], take: int = 1, number: int = 1) -> Claimed:
    stage = "" if action == "build" else "production"
    return Claimed(at=NOON, release=1, action=action, attempt=number, take=take, lease=NOON + LEASE, stage=stage)


def declined(action: Literal["build", "deploy", "finish"], take: int = 1, number: int = 1) -> Declined:
    stage, error = "" if action == "build" else "production", "ThrottlingException: slow down"
    return Declined(at=NOON, release=1, action=action, attempt=number, take=take, error=error, stage=stage)


def aborted(attempt: int = 1) -> Aborted:
    return Aborted(at=NOON, release=1, attempt=attempt, by="ana", reason="pushed by mistake")


def retried(attempt: int = 2) -> Retried:
    return Retried(at=NOON, release=1, attempt=attempt, by="ana", reason="the registry was down")


def overdue(what: Literal["start", "build", "accept", "deadline"], number: int = 1) -> GivenUp:
    stage = "production" if what == "deadline" else ""
    return GivenUp(at=NOON, release=1, what=what, number=number, stage=stage, why=f"the {what} took too long")


def given_up(rollout: int = 1, attempt: int = 1) -> GivenUp:
    why = "AWS never made its deployment"
    return GivenUp(at=NOON, release=1, what="deployment", stage="production", number=rollout, attempt=attempt, why=why)


def replaced(rollout: int = 2) -> Replaced:
    return Replaced(at=NOON, release=1, stage="production", rollout=rollout, by=2)


def rolled_back(rollout: int = 2) -> Replaced:
    return replace(replaced(rollout), by=7, ordered_by="ana", reason="it answers 0.5")


MISSED = GivenUp(
    at=NOON, release=1, what="image", number=1, why="the build pushed no image", remedy="push it as $IMAGE_TAG"
)
SUPERSEDED = Superseded(at=NOON, release=1, by=2)
BUILT = (build_started(), build_ended(), accepted())


# What was said of a release, and the word that its failure or rejection is counted by.
CAUSES = [
    (Cause.BUILD_FAILED, [build_ended(status="FAILED", cause="BUILD: exit status 1")]),
    (Cause.BUILD_FAILED, [build_ended(status="CLIENT_ERROR")]),
    (Cause.BUILD_STOPPED, [build_ended(status="STOPPED")]),
    (Cause.BUILD_TIMED_OUT, [build_ended(status="TIMED_OUT")]),
    (Cause.BUILD_FAULT, [build_ended(status="FAULT")]),
    (Cause.BUILD_NOT_STARTED, [overdue("start")]),
    (Cause.BUILD_TIMED_OUT, [build_started(), overdue("build")]),
    (Cause.IMAGE_NOT_ACCEPTED, [build_ended(), overdue("accept")]),
    (Cause.IMAGE_MISSING, [build_ended(), MISSED]),
    (Cause.BUNDLE_REFUSED, [*BUILT, replace(given_up(), remedy="mend it and push")]),
    (Cause.SECRET_MISSING, [*BUILT, replace(given_up(), remedy="set it", cause=Cause.SECRET_MISSING)]),
    (Cause.SECRET_MISSING, [replace(overdue("start"), remedy="set it", cause=Cause.SECRET_MISSING)]),
    (Cause.DEPLOYMENT_NOT_STARTED, [*BUILT, given_up()]),
    (Cause.DEPLOYMENT_LOST, [*BUILT, deployment_started(), given_up()]),
    (
        Cause.DEPLOYMENT_TIMED_OUT,
        [*BUILT, deployment_started(), overdue("deadline"), deployment_ended(status="Stopped")],
    ),
    (Cause.DEPLOYMENT_STOPPED, [*BUILT, deployment_started(), deployment_ended(status="Stopped")]),
    (Cause.DEPLOYMENT_FAILED, [*BUILT, deployment_started(), deployment_ended(status="Failed"), diagnosed()]),
    (
        "application-start-failed",
        [
            *BUILT,
            deployment_started(),
            deployment_ended(status="Failed"),
            replace(diagnosed(), event="ApplicationStart"),
        ],
    ),
    ("validate-service-failed", [*deployed(), replace(diagnosed(), event="ValidateService")]),
]


@pytest.mark.parametrize(("cause", "facts"), CAUSES, ids=[f"{cause}-{n}" for n, (cause, _) in enumerate(CAUSES)])
def test_every_failure_has_the_word_that_its_facts_give_it(cause: str, facts: list[Fact]) -> None:
    """Failures are counted by a word that comes from the facts and not from the sentence, whose words may change."""
    found = status_on(release(1, *facts), QUIET, NOON)
    assert (found.phase, found.cause) == (Phase.FAILED, cause)
    other = [replace(f, why="in quite other words") if isinstance(f, GivenUp) else f for f in facts]
    other = [replace(f, cause="and these") if isinstance(f, Diagnosed | BuildEnded) else f for f in other]
    assert status_on(release(1, *other), QUIET, NOON).cause == cause


# Tested elsewhere: the rules in test_admission.py, the settings in tests/world, the others below, as of a live release.
ELSEWHERE = {
    Cause.GATE,
    Cause.SETTINGS,
    Cause.DISAPPROVED,
    Cause.APPROVAL_EXPIRED,
    Cause.SCAN_REFUSED,
    Cause.ALARM,
    Cause.LAUNCH_FAILED,
    Cause.IMAGE_GONE,
    Cause.DEVIATED,
    Cause.SICK,
}


def test_every_word_for_a_failure_is_used() -> None:
    """Every cause in the list is the cause of some release."""
    assert {cause for cause, _ in CAUSES} | {Cause.GUARD, Cause.QUARANTINED, *ELSEWHERE} >= set(Cause)


# --- ended at birth ------------------------------------------------------------------------------------------------


def test_a_push_with_a_secret_in_it_is_rejected() -> None:
    """With the sentence of the guard, whatever else is known."""
    rejected = Release(born(rejected="mlops.pem holds a private key"), frozenset(BUILT))
    stands(status_on(rejected, QUIET, NOON), Phase.REJECTED, "mlops.pem holds a private key")


def test_a_push_of_ignored_paths_is_skipped() -> None:
    """With the paths."""
    skipped = Release(born(skipped="only ignored paths changed: README.md"))
    stands(status_on(skipped, QUIET, NOON), Phase.SKIPPED, "README.md")


def test_an_image_pushed_before_the_newest_release_is_superseded_at_birth() -> None:
    """Its event came late."""
    late = Release(born(source="image", outdated="v1 was pushed before what is a release already"))
    stands(status_on(late, QUIET, NOON), Phase.SUPERSEDED, "v1 was pushed before")


# --- on the way to an image ----------------------------------------------------------------------------------------


def test_a_release_of_which_nothing_is_known_is_pushed() -> None:
    """The first rung."""
    stands(status_on(release(), QUIET, NOON), Phase.PUSHED, "about to start")


def test_a_claimed_build_is_building() -> None:
    """Somebody is about to start it."""
    stands(status_on(release(1, claimed("build")), QUIET, NOON), Phase.BUILDING, "being started")


def test_a_build_that_aws_refused_to_start_is_pushed_with_the_refusal() -> None:
    """Nothing runs, and the sentence says what AWS said."""
    refused = release(1, claimed("build"), declined("build"))
    stands(status_on(refused, QUIET, NOON), Phase.PUSHED, "could not start its build", "ThrottlingException")


def test_a_build_taken_over_after_a_refusal_is_building() -> None:
    """The latest claim counts."""
    again = release(1, claimed("build"), declined("build"), claimed("build", take=2))
    stands(status_on(again, QUIET, NOON), Phase.BUILDING, "being started")


def test_a_started_build_is_building() -> None:
    """With the build's id, to look it up."""
    stands(status_on(release(1, build_started()), QUIET, NOON), Phase.BUILDING, "heart-build:1-1 is in progress")


def test_a_build_of_which_only_the_end_was_heard_is_over_too() -> None:
    """The event of its start was lost."""
    stands(
        status_on(release(1, build_ended(status="STOPPED")), QUIET, NOON), Phase.FAILED, "heart-build:1-1", "stopped"
    )


def test_a_failed_build_fails_the_release_with_its_cause() -> None:
    """The phase that failed and its message."""
    failed = release(1, build_started(), build_ended(status="FAILED", cause="BUILD: exit status 1"))
    stands(status_on(failed, QUIET, NOON), Phase.FAILED, "heart-build:1-1 failed", "exit status 1")


def test_a_build_that_ended_in_a_way_never_heard_of_fails_the_release() -> None:
    """What is not SUCCEEDED is no success."""
    stands(status_on(release(1, build_ended(status="CLIENT_ERROR")), QUIET, NOON), Phase.FAILED, "client error")


def test_a_build_that_succeeded_waits_for_its_image_to_be_found() -> None:
    """Still building: success says nothing about the image."""
    succeeded = release(1, build_started(), build_ended())
    stands(status_on(succeeded, QUIET, NOON), Phase.BUILDING, "looking up its image")


def test_a_build_that_pushed_no_image_fails_the_release() -> None:
    """The sentence says so, and the next step is what to change."""
    missed = status_on(release(1, build_started(), build_ended(), MISSED), QUIET, NOON)
    stands(missed, Phase.FAILED, "the build pushed no image")
    assert missed.next == "push it as $IMAGE_TAG"


def test_an_image_pushed_from_elsewhere_is_built_before_it_is_accepted() -> None:
    """It never is pushed or building."""
    image = Release(born(source="image", tag="v1", digest="sha256:1"))
    stands(status_on(image, QUIET, NOON), Phase.BUILT, "being accepted")


def test_a_wait_that_took_too_long_fails_the_release_with_the_next_step() -> None:
    """The start, the build and the acceptance each have a deadline."""
    for what in ("start", "build", "accept"):
        late = release(1, build_started(), overdue(what))
        stands(status_on(late, QUIET, NOON), Phase.FAILED, f"the {what} took too long", "esteira retry v1")


# --- waiting for the stage -----------------------------------------------------------------------------------------


def test_an_accepted_image_is_built() -> None:
    """Nothing is in its way."""
    stands(status_on(release(1, *BUILT), QUIET, NOON), Phase.BUILT, "its image is accepted", "sha256:0000")


def test_an_image_that_was_there_already_is_built_without_a_build() -> None:
    """The sentence says that it was not built again."""
    stands(status_on(release(1, accepted(reused=True)), QUIET, NOON), Phase.BUILT, "existed already")


def test_a_release_that_is_ready_waits_for_a_hold_to_end() -> None:
    """With who holds, why, and until when; after that it waits no more."""
    on_hold = quiet(hold=held(after(60)))
    stands(status_on(release(1, *BUILT), on_hold, NOON), Phase.WAITING, "ana holds production", "13:00 UTC", "audit")
    stands(status_on(release(1, *BUILT), on_hold, after(60)), Phase.BUILT)


def test_a_release_that_is_ready_waits_for_the_rollout_before_it() -> None:
    """One at a time."""
    stands(
        status_on(release(2, accepted(2)), quiet(rollout=rollout_of(1)), NOON),
        Phase.WAITING,
        "v1 is being deployed to production",
    )


def test_a_release_that_is_ready_waits_for_a_rollback_that_was_ordered() -> None:
    """The rollback goes first."""
    stage = replace(live_on(2, 2), rollback=ordered(to=1))
    stands(status_on(release(3, accepted(3)), stage, NOON), Phase.WAITING, "to v1 goes first")


def test_a_release_before_a_newer_one_is_superseded() -> None:
    """Even if its image is accepted, or it failed meanwhile."""
    stands(status_on(release(1, *BUILT, SUPERSEDED), QUIET, NOON), Phase.SUPERSEDED, "v2 came before")
    stands(status_on(release(1, SUPERSEDED, overdue("build")), QUIET, NOON), Phase.SUPERSEDED)


def test_an_abort_says_who_ended_the_release_and_why() -> None:
    """By whom and why."""
    stands(status_on(release(1, build_started(), aborted()), QUIET, NOON), Phase.ABORTED, "ana aborted it", "mistake")


def test_a_quarantined_commit_is_rejected() -> None:
    """With who quarantined it and how to let it in again."""
    word = Quarantined(at=NOON, request="r", by="ana", reason="it answers 0.5", subject="0" * 40, release=1)
    again = release(3, *(accepted(3),), quarantine=word)
    stands(status_on(again, QUIET, NOON), Phase.REJECTED, "ana quarantined", "with v1", "0.5", "esteira retry v3")


# --- its rollout ------------------------------------------------------------------------------------------------------


def test_a_claimed_rollout_is_deploying() -> None:
    """Its deployment is being created."""
    rollout = rollout_of(1)
    stands(status_on(release(1, *BUILT), quiet(rollout=rollout), NOON), Phase.DEPLOYING, "being created")


def test_a_deployment_that_aws_refused_to_start_is_deploying_with_the_refusal() -> None:
    """The rollout stays its own; the sentence says what AWS said."""
    rollout = rollout_of(1)
    for facts in ((declined("deploy"),), (claimed("deploy", 2), declined("deploy", 2))):
        status = status_on(release(1, *BUILT, *facts), quiet(rollout=rollout), NOON)
        stands(status, Phase.DEPLOYING, "could not start the deployment on production", "ThrottlingException")


def test_a_started_deployment_is_deploying() -> None:
    """With the deployment's id; also where the rollout itself is not in the picture."""
    status = status_on(release(1, *BUILT, deployment_started()), QUIET, NOON)
    stands(status, Phase.DEPLOYING, f"deployment {deployment_of(1)} is in progress on production")


def test_a_deployment_past_its_deadline_is_being_stopped() -> None:
    """Until CodeDeploy says that it ended."""
    late = release(1, *BUILT, deployment_started(), overdue("deadline"))
    stands(
        status_on(late, QUIET, NOON),
        Phase.DEPLOYING,
        "the deadline took too long",
        f"stopping deployment {deployment_of(1)}",
    )


def test_a_deployment_that_was_aborted_is_being_stopped() -> None:
    """Until CodeDeploy says that it ended."""
    called_off = release(1, *BUILT, deployment_started(), aborted())
    stands(
        status_on(called_off, QUIET, NOON), Phase.DEPLOYING, "ana aborted it", f"stopping deployment {deployment_of(1)}"
    )


def test_a_deployment_that_succeeded_makes_its_release_live() -> None:
    """Also if it was late, or aborted too late."""
    for facts in ((), (overdue("deadline"),), (aborted(),)):
        stands(
            status_on(release(1, *deployed(), *facts), live_on(1), NOON),
            Phase.LIVE,
            f"{deployment_of(1)} succeeded on production",
        )


def test_a_live_release_whose_alarm_cannot_be_answered_says_so_and_stays_live() -> None:
    """There is no earlier release to roll back to: people have to act."""
    alarm = replace(given_up(), what="alarm", why="alarm heart-errors rang; there is nothing to roll back to")
    found = status_on(release(1, *deployed(), alarm), live_on(1))
    assert (found.phase, found.cause) == (Phase.LIVE, Cause.ALARM)
    assert found.summary.endswith(alarm.why)


@pytest.mark.parametrize(
    ("how", "remedy"), [("deleted", "push a new commit or image"), ("archived", "restore it in ECR")]
)
def test_a_live_release_whose_image_is_gone_says_so_until_it_is_back(
    how: Literal["deleted", "archived"], remedy: str
) -> None:
    """The latest look counts; a look for another image says nothing about this one."""
    missed = ImageMissed(at=NOON, release=1, digest=digest_of(1), how=how)
    found = status_on(release(1, *deployed(), missed), live_on(1))
    assert (found.phase, found.cause, found.next) == (Phase.LIVE, Cause.IMAGE_GONE, remedy)
    assert f"is {how}, so no other host can pull it" in found.summary
    for other in (
        replace(missed, at=NOON + timedelta(minutes=5), how=""),
        replace(missed, at=NOON - timedelta(1), digest="x"),
    ):
        said = [missed, other] if other.how == "" else [other]
        assert status_on(release(1, *deployed(), *said), live_on(1)).cause == ""


def test_a_deployment_that_succeeded_is_deploying_until_its_hosts_were_looked_at() -> None:
    """Who claims to finish its rollout has looked; a refusal to tell is in the sentence."""
    stage = quiet(rollout=rollout_of(1))
    stands(status_on(release(1, *deployed()), stage, NOON), Phase.DEPLOYING, "succeeded; checking its hosts")
    unsaid = Declined(
        at=NOON, release=1, action="finish", attempt=1, take=0, stage="production", error="ThrottlingException"
    )
    stands(
        status_on(release(1, *deployed(), unsaid), stage, NOON),
        Phase.DEPLOYING,
        "checking its hosts: ThrottlingException",
    )
    looked = Claimed(at=NOON, release=1, action="finish", attempt=1, take=1, stage="production", lease=after(2))
    stands(status_on(release(1, *deployed(), unsaid, looked), stage, NOON), Phase.LIVE, "succeeded on production")


def test_a_deployment_that_a_host_is_without_fails_its_release_whatever_codedeploy_calls_it() -> None:
    """With the host's words, and what to type next."""
    without = release(1, *deployed(), diagnosed(cause="i-2: ValidateService: no\nlast words", reached=True))
    for stage in (QUIET, quiet(rollout=rollout_of(1))):
        status = status_on(without, stage, NOON)
        stands(status, Phase.FAILED, "did not reach every host: i-2: ValidateService: no; next: ", "retry v1")
        assert status.detail == ("last words",)
        assert without.on(stage).lives == 0


def test_a_failed_deployment_is_deploying_until_its_cause_is_known() -> None:
    """A failure without a cause helps nobody."""
    failed = (*BUILT, deployment_started(), deployment_ended(status="Failed"))
    stands(status_on(release(1, *failed), QUIET, NOON), Phase.DEPLOYING, "reading the cause")
    stands(status_on(release(1, *failed, diagnosed()), QUIET, NOON), Phase.FAILED, "failed: ValidateService", "500")


def test_a_deployment_stopped_for_its_deadline_fails_the_release() -> None:
    """With the deadline, not with the stop, as the reason."""
    late = release(1, *BUILT, deployment_started(), overdue("deadline"), deployment_ended(status="Stopped"))
    stands(status_on(late, QUIET, NOON), Phase.FAILED, "the deadline took too long", "was stopped", "esteira retry v1")


def test_a_deployment_stopped_for_an_abort_is_aborted() -> None:
    """By whom and why."""
    off = release(1, *BUILT, deployment_started(), aborted(), deployment_ended(status="Stopped"))
    stands(status_on(off, QUIET, NOON), Phase.ABORTED, "while it was being deployed", "pushed by mistake")


def test_a_deployment_that_somebody_else_stopped_fails_the_release() -> None:
    """The sentence says that it was not esteira."""
    stopped = release(1, *BUILT, deployment_started(), deployment_ended(status="Stopped"))
    stands(status_on(stopped, QUIET, NOON), Phase.FAILED, "not by esteira", "esteira retry v1")


def test_a_rollout_that_was_given_up_fails_the_release() -> None:
    """Whatever its deployment says afterwards."""
    for facts in ((), (deployment_started(),), (deployment_started(), deployment_ended())):
        stands(status_on(release(1, *BUILT, given_up(), *facts), QUIET, NOON), Phase.FAILED, "never made", "retry v1")


def test_a_rollout_that_was_given_up_for_an_abort_is_aborted() -> None:
    """It was aborted before its deployment existed."""
    stands(status_on(release(1, *BUILT, given_up(), aborted()), QUIET, NOON), Phase.ABORTED, "before it was deployed")


def test_a_live_release_that_another_followed_is_superseded() -> None:
    """It did its work; nothing is wrong with it."""
    stands(
        status_on(release(1, *deployed(), replaced()), live_on(2, 2), NOON),
        Phase.SUPERSEDED,
        "v2 replaced it on production",
    )


def test_a_release_that_was_rolled_back_from_is_rolled_back() -> None:
    """By whom, to which, and why."""
    back = release(1, *deployed(), rolled_back())
    stands(
        status_on(back, live_on(7, 2), NOON), Phase.ROLLED_BACK, "ana rolled production back to v7", "it answers 0.5"
    )


def test_a_release_that_a_rollback_returns_to_is_deploying_and_live_again() -> None:
    """What took its place before its latest rollout is past."""
    rollout = rollout_of(1, 3, kind="rollback", live=2)
    facts = (*deployed(), replaced(rollout=2))
    stands(status_on(release(1, *facts), quiet(rollout=rollout), NOON), Phase.DEPLOYING)
    again = (*facts, deployment_started(1, 3), deployment_ended(3))
    stage = quiet(rollout=rollout, finished=finished(rollout, succeeded=True))
    stands(status_on(release(1, *again), stage, NOON), Phase.LIVE, deployment_of(3))


# --- retried -------------------------------------------------------------------------------------------------------


def test_a_retry_begins_anew_whatever_ended_the_attempt_before() -> None:
    """Its build, its abort, its deadline and its rollout belong to the attempt before."""
    ends: list[tuple[Fact, ...]] = [
        (build_started(), build_ended(status="FAILED")),
        (aborted(),),
        (overdue("build"),),
        (*BUILT, deployment_started(), deployment_ended(status="Failed"), diagnosed()),
        (*BUILT, given_up()),
        (*deployed(), rolled_back()),
    ]
    for facts in ends:
        assert status_on(release(1, *facts), QUIET, NOON).phase.ended
        stands(status_on(release(1, *facts, retried()), QUIET, NOON), Phase.PUSHED, "about to start")


def test_a_retry_goes_its_own_way_to_live() -> None:
    """With the image of the attempt before, and a rollout of its own."""
    first = (*BUILT, deployment_started(), deployment_ended(status="Failed"), diagnosed())
    ready = (*first, retried(), accepted(attempt=2, reused=True))
    stands(status_on(release(1, *ready), QUIET, NOON), Phase.BUILT, "existed already")
    done = (*ready, deployment_started(rollout=2, attempt=2), deployment_ended(2))
    stands(status_on(release(1, *done), QUIET, NOON), Phase.LIVE, deployment_of(2))


def test_the_latest_retry_is_the_attempt_that_counts() -> None:
    """In whatever order they came."""
    thrice = release(1, *(build_ended(attempt=n, status="FAILED") for n in (1, 2)), retried(3), retried(2))
    assert thrice.attempt == 3
    stands(status_on(thrice, QUIET, NOON), Phase.PUSHED, "about to start")


# --- sentences -----------------------------------------------------------------------------------------------------


def test_every_failure_says_what_to_type_next() -> None:
    """A person who reads it knows what to do: push the correction, or esteira retry."""
    failures = [
        release(1, build_started(), build_ended(status="FAILED", cause="BUILD: exit status 1")),
        release(1, *BUILT, deployment_started(), deployment_ended(status="Failed"), diagnosed()),
    ]
    for failed in failures:
        stands(status_on(failed, QUIET, NOON), Phase.FAILED, "next: push a fix, or esteira retry v1")


def test_the_log_of_a_failure_stands_under_its_sentence() -> None:
    """The first line is whole, with the next step in it; the container's last lines follow."""
    log = "Traceback\nKeyError: 'age'"
    failed = (
        *BUILT,
        deployment_started(),
        deployment_ended(status="Failed"),
        diagnosed(cause=f"it never answered\n{log}"),
    )
    found = status_on(release(1, *failed), QUIET, NOON)
    assert found.summary.endswith("failed: it never answered")
    assert found.detail == tuple(log.split("\n"))


def test_an_abort_whose_stop_was_never_answered_does_not_claim_that_nothing_deployed() -> None:
    """The deployment had begun and may be running still: the sentence must not say the contrary."""
    silent = release(1, *BUILT, deployment_started(), aborted(), overdue("deadline"), given_up())
    status = status_on(silent, QUIET, NOON)
    stands(status, Phase.ABORTED, "ana aborted it while it was being deployed")
    assert "before it was deployed" not in status.why


def test_a_phase_is_an_end_or_under_way() -> None:
    """What has begun to deploy, or is over, is superseded by nothing."""
    under_way = {Phase.PUSHED, Phase.BUILDING, Phase.BUILT, Phase.WAITING, Phase.DEPLOYING, Phase.LIVE}
    assert {p for p in Phase if not p.ended} == under_way
    assert {p for p in under_way if p.begun} == {Phase.DEPLOYING, Phase.LIVE}
    assert all(p.begun for p in Phase if p.ended)


# --- any order, any repetition -------------------------------------------------------------------------------------

# One of each group: what AWS can say about a build, an image and a deployment, without contradicting itself.
IMAGE: list[tuple[Fact, ...]] = [
    (),
    (build_started(),),
    (build_started(), build_ended(status="FAILED")),
    (build_started(), build_ended(status="STOPPED")),
    (build_started(), build_ended(), MISSED),
    BUILT,
    (accepted(reused=True),),
]
DEPLOYED: list[tuple[Fact, ...]] = [
    (),
    (deployment_started(),),
    (deployment_started(), deployment_ended()),
    (deployment_started(), deployment_ended(status="Failed"), diagnosed()),
    (deployment_started(), deployment_ended(status="Stopped")),
    (deployment_started(), deployment_ended(), diagnosed(reached=True)),
    (given_up(),),
]
LATER: list[tuple[Fact, ...]] = [
    (),
    (replaced(),),
    (rolled_back(),),
    (replaced(), deployment_started(rollout=3), deployment_ended(3)),
    (retried(),),
    (retried(), accepted(attempt=2, reused=True), deployment_started(rollout=4, attempt=2)),
]
ANY: list[Fact] = [
    claimed("build"),
    declined("build"),
    claimed("build", 2),
    claimed("deploy", 2),
    declined("deploy"),
    overdue("start"),
    overdue("build"),
    overdue("accept"),
    overdue("deadline"),
    SUPERSEDED,
    aborted(),
    StopAsked(at=NOON, release=1, thing=build_started().build),
    Notified(at=NOON, subject="release/00000001", topic="live#1#1##", channel="topic"),
    DeploymentReported(at=NOON, deployment=deployment_of(1), status="InProgress"),
    HostReported(at=NOON, deployment=deployment_of(1), host="i-1", status="Succeeded"),
]
ROLLOUT = rollout_of(1)
STAGES: list[StageState] = [
    QUIET,
    quiet(rollout=ROLLOUT),
    quiet(rollout=rollout_of(2, 2, live=1)),
    live_on(1),
    live_on(2, 2),
    quiet(hold=held(after(60))),
    replace(live_on(2, 2), rollback=ordered(to=1)),
]
HISTORIES = st.builds(
    lambda *groups: [fact for group in groups for fact in group],
    st.sampled_from(IMAGE),
    st.sampled_from(DEPLOYED),
    st.sampled_from(LATER),
    st.lists(st.sampled_from(ANY), unique=True, max_size=6),
)


def status(facts: list[Fact], stage: StageState) -> Status:
    """Where release 1 stands after its facts were put into a table one by one."""
    return status_on(Release(born(), frozenset(recorded(facts).values())), stage, NOON)


@given(HISTORIES, st.sampled_from(STAGES), st.data())
@settings(max_examples=40)
def test_the_phase_is_the_same_in_any_order_and_repetition(
    facts: list[Fact], stage: StageState, data: st.DataObject
) -> None:
    """Facts doubled, shuffled, and heard at other times: the same phase, and the same sentence."""
    again = data.draw(st.lists(st.sampled_from(facts), max_size=5)) if facts else []
    late = [replace(fact, at=fact.at + timedelta(minutes=9)) for fact in again]
    shuffled = data.draw(st.permutations(facts + late))
    assert status(shuffled, stage) == status(facts, stage)


@given(HISTORIES, st.sampled_from(STAGES), st.data())
@settings(max_examples=40)
def test_a_prefix_and_then_the_rest_is_the_whole(facts: list[Fact], stage: StageState, data: st.DataObject) -> None:
    """It does not matter what was heard before a function died: the phase is derived, not carried along."""
    cut = data.draw(st.integers(0, len(facts)))
    prefix, rest = facts[:cut], facts[cut:]
    assert status([*prefix, *rest, *prefix], stage) == status([*rest, *prefix], stage) == status(facts, stage)


@given(HISTORIES, st.sampled_from(STAGES), st.data())
@settings(max_examples=60)
def test_what_ended_stays_ended_but_for_a_retry_or_a_later_rollout(
    facts: list[Fact], stage: StageState, data: st.DataObject
) -> None:
    """Whatever fact comes late, and in whatever order: an ended release is not brought back by it."""
    told = data.draw(st.permutations(facts))
    for count in range(len(told)):
        new = told[count]
        if not isinstance(new, Retried | DeploymentStarted) and status(told[:count], stage).phase.ended:
            assert status(told[: count + 1], stage).phase.ended, f"{new} brought it back"


@given(HISTORIES, st.sampled_from(STAGES))
@settings(max_examples=40)
def test_a_later_rollout_brings_a_release_back_and_nothing_older_does(facts: list[Fact], stage: StageState) -> None:
    """A rollback to it gives it a later rollout, in which it deploys again."""
    attempt = max([f.attempt for f in facts if isinstance(f, Retried)], default=1)
    rollout: Rollout = rollout_of(1, 9, kind="rollback", attempt=attempt)
    again = Release(born(), frozenset(recorded(facts).values()))
    assert status_on(again, replace(stage, rollout=rollout, finished=None), NOON).phase is Phase.DEPLOYING


@given(HISTORIES, st.sampled_from(STAGES))
@settings(max_examples=40)
def test_every_phase_explains_itself(facts: list[Fact], stage: StageState) -> None:
    """There is always a sentence; and a word where, and only where, something failed, was rejected, or waits."""
    found = status(facts, stage)
    assert found.why.strip()
    assert bool(found.cause) == (found.phase in (Phase.FAILED, Phase.REJECTED, Phase.WAITING))


def test_an_accepted_image_without_any_build_is_the_releases_own() -> None:
    """The digest that deploys is the accepted one; before that, an image release's own."""
    image = Release(born(source="image", tag="v1", digest="sha256:1"))
    assert image.digest == "sha256:1"
    assert release().digest == ""
    again = Accepted(at=NOON, release=1, attempt=2, digest="sha256:2", reused=True)
    assert release(1, *BUILT, retried(), again).digest == "sha256:2"


def test_a_release_remembers_the_image_it_was_last_live_with() -> None:
    """Also after a retry whose build failed; one that was never live has none, whatever was accepted for it."""
    assert release(1, *BUILT, deployment_started(), deployment_ended(status="Failed")).on(QUIET).served_digest == ""
    assert release(1, *deployed(), given_up()).on(QUIET).served_digest == ""
    in_vain = release(1, *deployed(), retried(), build_ended(attempt=2, status="FAILED"))
    assert (in_vain.on(QUIET).served_digest, in_vain.digest) == (digest_of(1), digest_of(1))
    second = replace(deployment_started(rollout=2, attempt=2), digest="sha256:2")
    again = release(1, *deployed(), retried(), second, deployment_ended(2))
    assert again.on(QUIET).served_digest == "sha256:2"
