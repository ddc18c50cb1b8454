"""What is done next, and why: each snapshot's plan, and what no plan ever does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aws_events import Heard, read
from esteira.core.actions import (
    AcceptImage,
    Action,
    Close,
    Diagnose,
    FindBuild,
    FindDeployment,
    Finish,
    OpenCommit,
    OpenImage,
    Project,
    Record,
    StartBuild,
    StartDeployment,
    StopBuild,
    StopDeployment,
)
from esteira.core.facts import (
    Aborted,
    Claimed,
    Declined,
    Diagnosed,
    GivenUp,
    ImageArrived,
    Retried,
    StopAsked,
    Superseded,
)
from esteira.core.lease import back_off
from esteira.core.state import Listed, Release, Snapshot, StageState
from esteira.core.status import Phase, assess
from esteira.fact import Fact
from tests.unit.conftest import (
    COMMIT,
    DIGEST,
    HEART,
    LEASE,
    NOON,
    SETTINGS,
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
    planned_from,
    quiet,
    recorded,
    release,
    rollout_of,
    status_on,
)

EVENTS = Path(__file__).parents[2] / "events"

A = TypeVar("A", bound=Action)
What = Literal["build", "deploy", "finish"]
Refusable = Literal["build", "accept", "deploy", "finish"]
Kind = Literal["deploy", "rollback", "restore"]


def snapshot(*releases: Release, stage: StageState | None = None, now: datetime = NOON, **said: Any) -> Snapshot:
    """A snapshot with every status listed already, so that a plan holds only what is left to do."""
    stage = stage or quiet()
    values: dict[str, Any] = {
        "service": HEART,
        "stages": (stage,),
        "newest": max((r.pushed for r in releases), key=lambda p: p.number, default=None),
        "releases": tuple(sorted(releases, key=lambda r: r.number)),
        "written": {r.number: assess(r, (stage,), now).overall.listed for r in releases},
    }
    return Snapshot(**values | said)


def planned(*releases: Release, now: datetime = NOON, **said: Any) -> tuple[Action, ...]:
    """What is planned for releases whose phases are written down already."""
    return planned_from(snapshot(*releases, now=now, **said), now)


def only(actions: Sequence[Action], kind: type[A]) -> A:
    """The one action there is, which is of that kind and says why."""
    assert [type(a) for a in actions] == [kind], actions
    (action,) = actions
    assert isinstance(action, kind)
    assert action.why.strip()
    return action


def claimed(action: What, number: int = 1, take: int = 1, release: int = 1, at: datetime = NOON) -> Claimed:
    stage = "" if action == "build" else "production"
    return Claimed(at=at, release=release, action=action, attempt=number, take=take, lease=at + LEASE, stage=stage)


def declined(action: Refusable, number: int = 1, take: int = 1, release: int = 1, at: datetime = NOON) -> Declined:
    stage, error = "" if action in ("build", "accept") else "production", "LimitExceededException"
    return Declined(at=at, release=release, action=action, attempt=number, take=take, error=error, stage=stage)


def aborted(number: int = 1) -> Aborted:
    return Aborted(at=NOON, release=number, attempt=1, by="ana", reason="a mistake")


def deploying(*facts: Fact, **said: Any) -> tuple[Release, StageState]:
    """Release 1 that has rollout 1, with more facts, and the stage."""
    rollout = rollout_of(1, 1, **said)
    return release(1, build_started(), build_ended(), accepted(), *facts), quiet(rollout=rollout)


def overdue(actions: Sequence[Action], what: str, *, others: int = 0) -> GivenUp:
    """The missed deadline that is to be recorded."""
    (record,) = [a for a in actions if isinstance(a, Record)]
    assert len(actions) == 1 + others
    assert isinstance(record.fact, GivenUp)
    assert (record.fact.what, record.fact.why) == (what, record.why)
    return record.fact


# --- births --------------------------------------------------------------------------------------------------------


def test_nothing_known_and_nothing_pushed_plans_nothing() -> None:
    """A service just registered."""
    assert planned() == ()


def test_a_new_tip_becomes_the_next_release_before_anything_else() -> None:
    """Whatever else there is to do, the new release changes it."""
    image = ImageArrived(at=NOON, tag="v1", digest=DIGEST)
    action = only(planned(release(1), release(2, accepted(2)), tip=COMMIT, arrived=(image,)), OpenCommit)
    assert (action.release, action.commit) == (3, COMMIT)


def test_the_first_tip_becomes_the_first_release() -> None:
    """Numbers begin at one."""
    assert only(planned(tip=COMMIT), OpenCommit).release == 1


def test_a_tip_that_is_a_release_already_is_not_opened_again() -> None:
    """A doubled push event; also after an image release, which carries the tip on."""
    pushed = born(1)
    image = born(2, source="image", tag="v1", digest=DIGEST, commit="", tip=pushed.tip)
    for newest in (pushed, image):
        actions = planned(newest=newest, tip=pushed.commit)
        assert actions == ()


def test_a_branch_that_is_gone_or_was_not_asked_opens_nothing() -> None:
    """A deleted branch has no tip; what is live stays."""
    live = release(1, *deployed())
    assert planned(live, stage=live_on(1), tip=None) == ()


def test_of_the_images_that_arrived_the_first_becomes_a_release() -> None:
    """One after the other, in the order they came, before anything else is done."""
    late, early = (ImageArrived(at=after(m), tag=f"v{m}", digest=DIGEST) for m in (2, 1))
    action = only(planned(release(1), arrived=(late, early)), OpenImage)
    assert (action.release, action.image) == (2, early)


# --- superseding ---------------------------------------------------------------------------------------------------


def test_a_newer_release_supersedes_what_has_not_begun_before_anything_else() -> None:
    """All of them at once, by the newest."""
    actions = planned(release(1, build_started()), release(2, accepted(2)), release(3))
    assert [a.fact for a in actions if isinstance(a, Record)] == [
        Superseded(at=NOON, release=1, by=3),
        Superseded(at=NOON, release=2, by=3),
    ]
    assert len(actions) == 2


def test_what_is_deploying_live_or_over_is_not_superseded() -> None:
    """It has begun, so it goes on; the newer one takes its rollout after it."""
    rollout = rollout_of(2, 2, live=1)
    live, deploys = release(1, *deployed()), release(2, accepted(2))
    over = release(3, build_started(3), build_ended(3, status="FAILED"))
    actions = planned(live, deploys, over, release(4, build_started(4)), stage=quiet(rollout=rollout))
    assert not any(isinstance(a, Record) for a in actions)


@pytest.mark.parametrize("ended", [{"rejected": "a secret"}, {"skipped": "docs"}, {"outdated": "late"}])
def test_a_release_that_ended_at_birth_supersedes_nothing(ended: dict[str, str]) -> None:
    """A push of documentation stops no build."""
    newer = Release(born(2, **ended))
    assert [type(a) for a in planned(release(1, build_started()), newer)] == [Close]


# --- towards an image ----------------------------------------------------------------------------------------------


def test_a_pushed_release_gets_a_build() -> None:
    """The first take of the first attempt; after a retry, of the second."""
    first = only(planned(release(1)), StartBuild)
    assert (first.release, first.attempt, first.take) == (1, 1, 1)
    again = Retried(at=NOON, release=1, attempt=2, by="ana", reason="")
    failed = (build_started(), build_ended(status="FAILED"))
    second = only(planned(release(1, *failed, again)), StartBuild)
    assert (second.attempt, second.take) == (2, 1)


def test_a_retry_stops_the_build_of_the_attempt_before() -> None:
    """It may run still, past its deadline; two builds of one release are never waited for."""
    late = GivenUp(at=NOON, release=1, what="build", number=1, why="too long")
    again = Retried(at=NOON, release=1, attempt=2, by="ana", reason="")
    stop, start = planned(release(1, build_started(), late, again))
    assert isinstance(stop, StopBuild)
    assert stop.build == build_started().build
    assert isinstance(start, StartBuild)
    asked = StopAsked(at=NOON, release=1, thing=build_started().build)
    assert only(planned(release(1, build_started(), late, again, asked)), StartBuild).attempt == 2


def test_a_claimed_build_is_not_planned_again_before_its_lease_and_taken_over_after_it() -> None:
    """Whoever claimed it may be alive until then; after it, the next take looks first."""
    building = release(1, claimed("build"))
    assert planned(building, now=NOON + LEASE - timedelta(seconds=1)) == ()
    assert only(planned(building, now=NOON + LEASE), StartBuild).take == 2
    taken_over = release(1, claimed("build"), claimed("build", take=2, at=NOON + LEASE))
    assert planned(taken_over, now=NOON + LEASE) == ()
    assert only(planned(taken_over, now=NOON + 2 * LEASE), StartBuild).take == 3


def test_a_declined_build_is_tried_again_after_a_pause_that_grows() -> None:
    """Its lease does not matter any more: AWS said that nothing exists."""
    once = release(1, claimed("build"), declined("build"))
    assert planned(once, now=after(seconds=14)) == ()
    assert only(planned(once, now=after(seconds=15)), StartBuild).take == 2
    twice = release(1, claimed("build"), declined("build"), claimed("build", take=2), declined("build", take=2))
    assert planned(twice, now=after(seconds=29)) == ()
    assert only(planned(twice, now=after(seconds=30)), StartBuild).take == 3


def test_the_pause_after_a_refusal_doubles_up_to_five_minutes() -> None:
    """And stays there, however often AWS refuses."""
    assert [back_off(take).total_seconds() for take in (1, 2, 3, 4, 5, 6, 99)] == [15, 30, 60, 120, 240, 300, 300]


def test_a_build_that_could_not_start_in_time_is_overdue() -> None:
    """With AWS's last refusal."""
    refused = release(1, claimed("build"), declined("build"))
    fact = overdue(planned(refused, now=after(30)), "start")
    assert "within 30 minutes: LimitExceededException" in fact.why


def test_a_build_under_way_is_waited_for_until_its_deadline() -> None:
    """Then it is overdue, which fails the release."""
    building = release(1, claimed("build"), build_started())
    assert planned(building, now=after(29)) == ()
    late = overdue(planned(building, now=after(30)), "build")
    assert status_on(release(1, build_started(), late), quiet(), after(30)).phase is Phase.FAILED


def test_a_build_that_succeeded_has_its_image_accepted() -> None:
    """The controller looks for it, until the deadline for that."""
    built = release(1, build_started(), build_ended())
    assert only(planned(built, now=after(14)), AcceptImage).attempt == 1
    overdue(planned(built, now=after(15)), "accept")


def test_an_image_that_the_registry_would_not_have_tagged_is_overdue_with_its_refusal() -> None:
    """Whoever reads it knows what AWS said."""
    refused = release(1, build_started(), build_ended(), declined("accept"))
    assert only(planned(refused, now=after(14)), AcceptImage).attempt == 1
    assert "within 15 minutes: LimitExceededException" in overdue(planned(refused, now=after(15)), "accept").why


def test_an_image_from_elsewhere_is_accepted_without_a_build() -> None:
    """Within the same deadline, counted from its birth."""
    image = Release(born(1, source="image", tag="v1", digest=DIGEST))
    assert only(planned(image), AcceptImage).release == 1
    overdue(planned(image, now=after(15)), "accept")


def test_an_end_that_was_heard_late_leaves_time_to_act_on_it() -> None:
    """The event of a build's success was two hours on its way: its image is there, and nobody has looked yet."""
    event = json.loads((EVENTS / "codebuild_succeeded.json").read_text(encoding="utf-8"))
    heard = read(event, [HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert only(planned(release(1, *heard.facts)), AcceptImage).attempt == 1


def test_a_build_that_failed_or_missed_its_image_is_not_followed_by_another() -> None:
    """One build per attempt; the release is closed."""
    missed = GivenUp(at=NOON, release=1, what="image", number=1, why="the build pushed no image")
    for facts in ((build_ended(status="FAILED"),), (build_ended(), missed)):
        assert [type(a) for a in planned(release(1, build_started(), *facts), now=after(120))] == [Close]


# --- the next rollout -------------------------------------------------------------------------------------------------


def test_a_release_that_is_ready_gets_the_stages_first_rollout() -> None:
    """With everything a rollout carries: what stood before, and how long it may last."""
    action = only(planned(release(1, accepted(1))), StartDeployment)
    assert action.take == 1
    assert action.rollout == rollout_of(1, 1)
    assert (action.rollout.lease, action.rollout.deadline) == (NOON + LEASE, after(60))


def test_the_next_rollout_carries_what_is_live_and_what_was_healthy() -> None:
    """So that the latest rollout is all a rollback needs to know."""
    stage = live_on(2, 2, live=1, healthy=())
    action = only(planned(release(2, *deployed(2, 2)), release(3, accepted(3)), stage=stage), StartDeployment)
    assert action.rollout == rollout_of(3, 3, live=2, healthy=(1,))


@pytest.mark.parametrize("succeeded", [True, False])
def test_after_a_rollout_only_what_succeeded_is_live(succeeded: bool) -> None:
    """A failed deployment leaves the live one live, and is nothing to go back to."""
    rollout = rollout_of(3, 3, live=2, healthy=(1,))
    stage = quiet(rollout=rollout, finished=finished(rollout, succeeded=succeeded))
    assert (stage.live, stage.healthy) == ((3, (1, 2)) if succeeded else (2, (1,)))


def test_after_a_rollback_the_one_rolled_back_from_is_not_healthy() -> None:
    """A second rollback goes further back, not forth again, and not to what the first one jumped over."""
    stage = live_on(2, 5, kind="rollback", live=4, healthy=(1, 2, 3))
    assert (stage.live, stage.healthy) == (2, (1,))
    assert live_on(7, 5, kind="rollback", live=4, healthy=(1, 2, 3)).healthy == ()


def test_one_rollout_at_a_time() -> None:
    """A release that is ready waits for the rollout to be finished."""
    deploys, stage = deploying(deployment_started())
    assert planned(deploys, release(2, accepted(2)), stage=stage) == ()


def test_a_hold_blocks_deployments_until_it_ends() -> None:
    """Then the one that waited goes."""
    stage = quiet(hold=held(after(60)))
    assert planned(release(1, accepted(1)), stage=stage) == ()
    assert only(planned(release(1, accepted(1)), stage=stage, now=after(60)), StartDeployment).release == 1


def test_a_hold_does_not_block_a_rollback() -> None:
    """What is held is the next change, not the way back."""
    stage = replace(live_on(2, 2, live=1), hold=held(after(60)), rollback=ordered(to=1))
    actions = planned(release(1, *deployed()), release(2, *deployed(2, 2)), stage=stage)
    assert only(actions, StartDeployment).rollout == rollout_of(
        1, 3, kind="rollback", live=2, healthy=(1,), served=ordered(to=1).key
    )


def test_a_rollback_goes_before_a_release_that_is_ready() -> None:
    """The operator's word first; the new release has its rollout after it."""
    stage = replace(live_on(2, 2, live=1), rollback=ordered(to=1))
    was, live, ready = release(1, *deployed()), release(2, *deployed(2, 2)), release(3, accepted(3))
    first = only(planned(was, live, ready, stage=stage), StartDeployment)
    assert (first.release, first.rollout.kind) == (1, "rollback")
    done = replace(stage, rollout=first.rollout, finished=finished(first.rollout, succeeded=True))
    second = only(planned(release(1, *deployed(), *deployed(1, 3)), ready, stage=done), StartDeployment)
    assert (second.release, second.rollout.kind, second.rollout.number) == (3, "deploy", 4)


def test_a_rollback_order_is_served_once() -> None:
    """Also where its deployment failed: it is the operator who says it again."""
    order = ordered(to=1)
    for succeeded in (True, False):
        rollout = rollout_of(1, 3, kind="rollback", live=2, served=order.key)
        stage = quiet(rollout=rollout, finished=finished(rollout, succeeded=succeeded), rollback=order)
        assert stage.ordered is None


def test_a_rollback_to_a_release_that_was_retried_in_vain_blocks_nothing_in_silence() -> None:
    """v1 was live, was rolled back and retried, and its new build failed. Going back to v1 must deploy the image it was
    live with; else the order is never served, and every release after it waits for ever."""
    again = Retried(at=NOON, release=1, attempt=2, by="ana", reason="")
    was = release(1, *deployed(), again, build_started(1, 2), build_ended(1, 2, status="FAILED"))
    stage = replace(live_on(2, 2), rollback=ordered(to=1))
    actions = planned(was, release(2, *deployed(2, 2)), release(3, accepted(3)), stage=stage, now=after(600))
    assert [a.rollout.digest for a in actions if isinstance(a, StartDeployment)] == [digest_of(1)]


# --- a rollout --------------------------------------------------------------------------------------------------------


def test_a_claimed_rollout_is_taken_over_when_its_lease_is_over_and_not_before() -> None:
    """The same rollout under the next take, never a new one."""
    deploys, stage = deploying()
    assert planned(deploys, stage=stage, now=NOON + LEASE - timedelta(seconds=1)) == ()
    action = only(planned(deploys, stage=stage, now=NOON + LEASE), StartDeployment)
    assert (action.rollout, action.take) == (stage.rollout, 2)
    deploys, stage = deploying(claimed("deploy", take=2, at=NOON + LEASE))
    assert planned(deploys, stage=stage, now=NOON + LEASE) == ()
    assert only(planned(deploys, stage=stage, now=NOON + 2 * LEASE), StartDeployment).take == 3


def test_a_declined_deployment_is_tried_again_after_a_pause_and_given_up_at_its_deadline() -> None:
    """CodeDeploy takes one deployment at a time; somebody else's may be under way."""
    deploys, stage = deploying(declined("deploy"))
    assert planned(deploys, stage=stage, now=after(seconds=14)) == ()
    assert only(planned(deploys, stage=stage, now=after(seconds=15)), StartDeployment).take == 2
    given_up = only(planned(deploys, stage=stage, now=after(60)), Record).fact
    assert isinstance(given_up, GivenUp)
    assert given_up.what == "deployment"
    assert "LimitExceededException" in given_up.why


def test_a_declined_deployment_that_was_aborted_is_given_up_at_once() -> None:
    """Nothing exists, so nothing is to be stopped."""
    deploys, stage = deploying(declined("deploy"), aborted())
    given_up = only(planned(deploys, stage=stage), Record).fact
    assert isinstance(given_up, GivenUp)
    assert given_up.what == "deployment"


def test_a_claimed_deployment_that_was_aborted_is_not_created() -> None:
    """Its maker died between the claim and the call, then it was aborted: whoever takes over may look for the
    deployment, to stop it, but must not make it."""
    deploys, stage = deploying(aborted())
    assert planned(deploys, stage=stage, now=NOON + LEASE - timedelta(seconds=1)) == ()
    found = only(planned(deploys, stage=stage, now=NOON + LEASE), FindDeployment)
    assert (found.rollout, found.take) == (stage.rollout, 1)
    deploys, stage = deploying(aborted(), deployment_started())
    assert only(planned(deploys, stage=stage, now=NOON + LEASE), StopDeployment).deployment == deployment_of(1)


def test_a_deployment_under_way_is_waited_for_until_its_deadline() -> None:
    """Then it is overdue, and stopped, once."""
    deploys, stage = deploying(deployment_started())
    assert planned(deploys, stage=stage, now=after(59)) == ()
    late = overdue(planned(deploys, stage=stage, now=after(60)), "deadline")
    deploys, stage = deploying(deployment_started(), late)
    assert only(planned(deploys, stage=stage, now=after(60)), StopDeployment).deployment == deployment_of(1)
    asked = StopAsked(at=after(60), release=1, thing=deployment_of(1))
    deploys, stage = deploying(deployment_started(), late, asked)
    assert planned(deploys, stage=stage, now=after(74)) == ()


def test_a_stopped_deployment_that_never_says_that_it_ended_is_given_up() -> None:
    """The stage must not wait for ever."""
    late = GivenUp(at=after(60), release=1, what="deadline", stage="production", number=1, why="too long")
    asked = StopAsked(at=after(60), release=1, thing=deployment_of(1))
    deploys, stage = deploying(deployment_started(), late, asked)
    given_up = only(planned(deploys, stage=stage, now=after(75)), Record).fact
    assert isinstance(given_up, GivenUp)
    assert given_up.what == "deployment"
    deploys, stage = deploying(deployment_started(), late, asked, given_up)
    assert only(planned(deploys, stage=stage, now=after(75)), Finish).succeeded is False


def test_a_deployment_that_was_aborted_is_stopped_once() -> None:
    """An abort while it deploys."""
    deploys, stage = deploying(deployment_started(), aborted())
    assert only(planned(deploys, stage=stage), StopDeployment).deployment == deployment_of(1)
    asked = StopAsked(at=NOON, release=1, thing=deployment_of(1))
    deploys, stage = deploying(deployment_started(), aborted(), asked)
    assert planned(deploys, stage=stage) == ()


def test_a_failed_deployment_is_diagnosed_then_finished() -> None:
    """The cause first: it is what people will read."""
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Failed"))
    assert only(planned(deploys, stage=stage, now=after(14)), Diagnose).deployment == deployment_of(1)
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Failed"), diagnosed())
    assert only(planned(deploys, stage=stage), Finish).succeeded is False


def test_a_stopped_deployment_is_diagnosed_too() -> None:
    """Some host may have it already."""
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Stopped"))
    assert only(planned(deploys, stage=stage, now=after(14)), Diagnose).deployment == deployment_of(1)
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Stopped"), diagnosed(reached=True))
    action = only(planned(deploys, stage=stage), Finish)
    assert (action.succeeded, action.mixed) == (False, True)


def test_a_deployment_that_succeeded_without_a_host_is_finished_as_a_failure() -> None:
    """A cause that was written down counts more than CodeDeploy's word."""
    deploys, stage = deploying(deployment_started(), deployment_ended(), diagnosed(reached=True))
    action = only(planned(deploys, stage=stage), Finish)
    assert (action.succeeded, action.mixed, action.take) == (False, True, 1)
    assert status_on(deploys, stage, NOON).phase is Phase.FAILED
    assert deploys.on(stage).lives == 0


def test_hosts_that_could_not_be_asked_in_time_are_not_believed() -> None:
    """Tried until the deadline; where nobody tried yet, it is tried first."""
    deploys, stage = deploying(deployment_started(), deployment_ended())
    assert only(planned(deploys, stage=stage, now=after(24 * 60)), Finish).succeeded is True
    refused = declined("finish", take=0)
    deploys, stage = deploying(deployment_started(), deployment_ended(), refused)
    assert only(planned(deploys, stage=stage, now=after(14)), Finish).succeeded is True
    action = only(planned(deploys, stage=stage, now=after(15)), Finish)
    assert (action.succeeded, action.mixed) == (False, True)
    assert "what became of each host within 15 minutes" in action.cause
    deploys, stage = deploying(deployment_started(), deployment_ended(), refused, claimed("finish"))
    assert planned(deploys, stage=stage, now=after(1)) == ()


def failed_over(live: int, *, kind: Kind = "deploy", mixed: bool = True, **said: Any) -> StageState:
    """A stage on which release 2 failed in rollout 2 and left hosts that run it; ``live`` was live before."""
    rollout = rollout_of(2, 2, live=live, kind=kind, **said)
    return quiet(rollout=rollout, finished=finished(rollout, succeeded=False, mixed=mixed))


def test_what_is_live_is_put_back_where_a_failure_left_hosts_without_it() -> None:
    """Before anything else, also where the stage is held, and once; it serves no order that waits."""
    before = release(1, *deployed(1, 1))
    newer = release(3, accepted(3))
    order = ordered(to=7, away=1)
    stage = replace(failed_over(1), hold=held(after(60)), rollback=order)
    rollout = only(planned(before, newer, stage=stage), StartDeployment).rollout
    assert (rollout.number, rollout.release, rollout.kind, rollout.digest) == (3, 1, "restore", digest_of(1))
    assert (rollout.live, rollout.attempt, rollout.served) == (1, 1, "")
    over = quiet(rollout=rollout, finished=finished(rollout, succeeded=True))
    assert (over.live, over.healthy, over.mixed) == (1, (), False)
    again = quiet(rollout=rollout, finished=finished(rollout, succeeded=False, mixed=True))
    assert (again.live, again.mixed) == (1, False)


@pytest.mark.parametrize(
    "stage",
    [
        failed_over(0),
        failed_over(1, mixed=False),
        failed_over(1, kind="rollback"),
        failed_over(1, kind="restore"),
        failed_over(1, digest=digest_of(1)),
    ],
)
def test_nothing_is_put_back_where_nothing_is_to_be(stage: StageState) -> None:
    """Nothing was live, no host was left without it, an operator wanted to leave it, it was tried, it is the same."""
    assert planned(release(1, *deployed(1, 1)), stage=stage) == ()


def test_putting_back_leaves_a_retry_of_the_live_one_its_own_attempt() -> None:
    """The attempt the retry waits for is not the one that is put back."""
    again = Retried(at=NOON, release=1, attempt=2, by="ana", reason="")
    back = release(1, *deployed(1, 1), again, accepted(1, 2, reused=True))
    rollout = only(planned(back, stage=failed_over(1)), StartDeployment).rollout
    assert (rollout.kind, rollout.attempt) == ("restore", 1)


def test_an_abort_from_before_it_was_live_does_not_call_off_its_being_put_back() -> None:
    """One that is said while it is put back does."""
    rollout = rollout_of(1, 3, kind="restore", live=1, at=after(5))
    stage, started = quiet(rollout=rollout), deployment_started(1, 3)
    early = Aborted(at=NOON, release=1, attempt=1, by="ana", reason="a mistake")
    back = release(1, *deployed(1, 1), started, early)
    assert not any(isinstance(a, StopDeployment) for a in planned(back, stage=stage, now=after(6)))
    back = release(1, *deployed(1, 1), started, replace(early, at=after(6)))
    assert any(isinstance(a, StopDeployment) for a in planned(back, stage=stage, now=after(6)))


def test_a_live_release_that_could_not_be_put_back_stays_open() -> None:
    """It has failed, and something may take its place yet."""
    rollout = rollout_of(1, 3, kind="restore", live=1)
    facts = (*deployed(1, 1), deployment_started(1, 3), deployment_ended(3), diagnosed(3, reached=True))
    back = release(1, *facts)
    stage = quiet(rollout=rollout, finished=finished(rollout, succeeded=False, mixed=True))
    assert status_on(back, stage, NOON).phase is Phase.FAILED
    assert back.on(stage).served_digest == digest_of(1)
    assert planned(back, stage=stage) == ()


def test_a_deployment_that_succeeded_is_finished_by_one() -> None:
    """Claimed like everything that may be done only once, and taken over likewise."""
    deploys, stage = deploying(deployment_started(), deployment_ended())
    action = only(planned(deploys, stage=stage), Finish)
    assert (action.succeeded, action.take) == (True, 1)
    deploys, stage = deploying(deployment_started(), deployment_ended(), claimed("finish"))
    assert planned(deploys, stage=stage, now=after(1)) == ()
    assert only(planned(deploys, stage=stage, now=NOON + LEASE), Finish).take == 2
    deploys, stage = deploying(deployment_started(), deployment_ended(), claimed("finish"), declined("finish"))
    assert planned(deploys, stage=stage, now=after(seconds=14)) == ()
    assert only(planned(deploys, stage=stage, now=after(seconds=15)), Finish).take == 2


def test_tags_that_will_not_move_do_not_keep_the_stage() -> None:
    """A registry that refuses for a quarter of an hour: the rollout is finished without them, and the sentence says
    so."""
    deploys, stage = deploying(deployment_started(), deployment_ended(), claimed("finish", at=after(12)))
    assert only(planned(deploys, stage=stage, now=after(14)), Finish).tags is True
    without = only(planned(deploys, stage=stage, now=after(15)), Finish)
    assert (without.succeeded, without.tags) == (True, False)
    assert "its tags stay" in without.why


# --- projections and endings ---------------------------------------------------------------------------------------


def test_a_phase_that_is_not_written_down_is_projected() -> None:
    """With the phase before, so that the change can be told; a new sentence alone is written, too."""
    building = release(1, build_started())
    action = only(planned(building, written={1: Listed("pushed", "its build is about to start")}), Project)
    assert (action.phase, action.before) == (Phase.BUILDING, "pushed")
    action = only(planned(building, written={1: Listed("building", "its build is being started")}), Project)
    assert (action.phase, action.before) == (Phase.BUILDING, "building")
    assert planned(building) == ()


def test_a_release_that_comes_to_life_says_how_long_that_took_from_its_push_or_retry() -> None:
    """Once: a rollback to it, or putting it back, is no push; nor is a sentence that changes while it is live."""

    def took(r: Release, stage: StageState, before: str = "deploying") -> float | None:
        action = only(planned(r, stage=stage, now=after(30), written={1: Listed(before, "")}), Project)
        assert action.phase is Phase.LIVE
        return action.seconds_to_live

    assert took(release(1, *deployed()), live_on(1)) == 30 * 60
    assert took(release(1, *deployed()), live_on(1), before="live") is None
    assert took(release(1, *deployed(), deployment_started(rollout=2), deployment_ended(2)), live_on(1, 2)) is None
    retried = Retried(at=after(20), release=1, attempt=2, by="ana", reason="the registry was down")
    late = release(1, retried, accepted(1, 2), deployment_started(attempt=2), deployment_ended())
    assert took(late, live_on(1, attempt=2)) == 10 * 60


def test_a_release_that_is_over_is_closed_when_its_end_is_written_down() -> None:
    """Not before: nobody would read it again."""
    over = release(1, build_started(), build_ended(status="FAILED"))
    assert only(planned(over, written={1: Listed("building", "its build is under way")}), Project).phase is Phase.FAILED
    assert only(planned(over), Close).release == 1


def test_a_release_that_was_closed_before_is_not_told_again() -> None:
    """It is read only because something else needs it, as the one a rollback may go back to."""
    over = release(1, build_started(), build_ended(status="FAILED"))
    assert planned(over, written={}) == ()
    assert only(planned(release(1, build_started()), written={}), Project).before == ""


def test_a_build_that_nobody_needs_is_stopped_and_waited_for() -> None:
    """A superseded release is closed when its build has ended, or is lost."""
    over = Superseded(at=NOON, release=1, by=2)
    asked = StopAsked(at=NOON, release=1, thing=build_started().build)
    newer = release(2, build_started(2))
    assert only(planned(release(1, build_started(), over), newer), StopBuild).build == build_started().build
    assert planned(release(1, build_started(), over, asked), newer) == ()
    ended = release(1, build_started(), over, asked, build_ended(status="STOPPED"))
    assert only(planned(ended, newer), Close).release == 1
    newer = release(2, build_started(2, at=after(40)))
    assert planned(release(1, build_started(), over, asked), newer, now=after(44)) == ()
    assert only(planned(release(1, build_started(), over, asked), newer, now=after(45)), Close).release == 1


def test_a_claimed_build_of_a_release_that_is_over_is_looked_for_before_it_is_closed() -> None:
    """It may have started all the same, and would run for nothing."""
    over = release(1, claimed("build"), aborted())
    assert planned(over) == ()
    action = only(planned(over, now=NOON + LEASE), FindBuild)
    assert (action.attempt, action.take) == (1, 1)
    never = release(1, claimed("build"), aborted(), declined("build"))
    assert only(planned(never, now=NOON + LEASE), Close).release == 1


def test_a_release_is_not_closed_while_the_stage_or_an_order_needs_it() -> None:
    """Its rollout is to be finished, or it is to be gone back to."""
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Failed"), diagnosed(), claimed("finish"))
    assert status_on(deploys, stage, NOON).phase is Phase.FAILED
    assert planned(deploys, stage=stage) == ()
    stage = replace(live_on(2, 2), rollback=ordered(to=1))
    rejected = Release(born(1, rejected="a secret"))
    assert planned(rejected, release(2, *deployed(2, 2)), stage=stage) == ()


def test_what_is_live_stays_open() -> None:
    """Something may take its place."""
    assert planned(release(1, *deployed()), stage=live_on(1), now=after(10_000)) == ()


def test_a_build_nobody_got_to_is_tried_before_it_is_called_late() -> None:
    """The controller was down for a day: that is no reason to fail a push without having asked AWS once."""
    assert only(planned(release(1), now=after(24 * 60)), StartBuild).take == 1


def test_a_build_that_was_claimed_in_vain_is_looked_for_before_it_is_overdue() -> None:
    """It may have started, unheard; once the claim has run out it is looked for, and if it is nowhere, it is late."""
    in_vain = (claimed("build", at=after(29)),)
    assert planned(release(1, *in_vain), now=after(30)) == ()
    found = only(planned(release(1, *in_vain), now=after(31)), FindBuild)
    assert (found.attempt, found.take) == (1, 1)
    overdue(planned(release(1, *in_vain, declined("build", at=after(31))), now=after(31)), "start")
    assert planned(release(1, *in_vain, build_started(at=after(31))), now=after(31)) == ()


def test_a_deployment_that_never_started_for_whatever_reason_is_not_taken_over_for_ever() -> None:
    """The rollout's deadline was a day ago; creating its deployment now would surprise everybody, so it is only looked
    for, and given up if it is nowhere."""
    late = after(24 * 60)
    deploys, stage = deploying(claimed("deploy", take=2))
    assert only(planned(deploys, stage=stage, now=late), FindDeployment).take == 2
    deploys, stage = deploying(claimed("deploy", take=2), declined("deploy", take=2, at=late))
    given_up = only(planned(deploys, stage=stage, now=late), Record).fact
    assert isinstance(given_up, GivenUp)
    assert given_up.what == "deployment"
    deploys, stage = deploying(claimed("deploy", take=2), given_up)
    assert only(planned(deploys, stage=stage, now=late), Finish).succeeded is False


def test_a_failure_whose_cause_cannot_be_read_ends_all_the_same() -> None:
    """CodeDeploy answers nothing but errors about it: the release has failed, and the stage must not wait for ever."""
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Failed"))
    cause = only(planned(deploys, stage=stage, now=after(15)), Record).fact
    assert isinstance(cause, Diagnosed)
    assert "did not say why within 15 minutes" in cause.cause
    deploys, stage = deploying(deployment_started(), deployment_ended(status="Failed"), cause)
    assert only(planned(deploys, stage=stage, now=after(15)), Finish).succeeded is False
    assert status_on(deploys, stage, after(15)).phase is Phase.FAILED


# --- what no plan ever does ----------------------------------------------------------------------------------------

NUMBERS = (1, 2, 3, 4)


@cache
def histories(number: int) -> st.SearchStrategy[Release]:
    """A strategy for a release that came some way, with things said about it in any combination that can be."""
    again = Retried(at=NOON, release=number, attempt=2, by="ana", reason="")
    ways: list[tuple[Fact, ...]] = [
        (),
        (claimed("build", release=number),),
        (claimed("build", release=number), declined("build", release=number)),
        (build_started(number),),
        (build_started(number), build_ended(number)),
        (build_started(number), build_ended(number, status="FAILED")),
        (build_started(number), build_ended(number), accepted(number)),
        (accepted(number, reused=True),),
        deployed(number, number),
        (*deployed(number, number), again, accepted(number, 2, reused=True)),
        (*deployed(number, number)[:-1], deployment_ended(number, "Failed"), diagnosed(number)),
        (*deployed(number, number)[:-1], deployment_ended(number, "Stopped")),
        (*deployed(number, number), diagnosed(number, reached=True)),
        (*deployed(number, number), declined("finish", number, 0, release=number)),
        (accepted(number), again, accepted(number, 2, reused=True)),
        (build_started(number), build_ended(number, status="FAILED"), again),
    ]
    said: list[Fact] = [
        Superseded(at=NOON, release=number, by=number + 1),
        Aborted(at=NOON, release=number, attempt=1, by="ana", reason="a mistake"),
        GivenUp(at=NOON, release=number, what="build", number=1, why="too long"),
        claimed("deploy", number, 2, release=number),
        declined("deploy", number, release=number),
    ]
    births = st.sampled_from([{}, {}, {}, {"rejected": "a secret"}, {"source": "image", "digest": digest_of(number)}])
    return st.builds(
        lambda birth, way, more: Release(born(number, **birth), frozenset(recorded([*way, *more]).values())),
        births,
        st.sampled_from(ways),
        st.lists(st.sampled_from(said), max_size=2),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, datetime]:
    """Make a snapshot as ``snapshot`` would: the live release and the one that has its rollout are always in it."""
    numbers = draw(st.lists(st.sampled_from(NUMBERS), unique=True, min_size=1))
    releases = {n: draw(histories(n)) for n in numbers}
    stage = quiet()
    able = [n for n in numbers if releases[n].pushed.effective]  # what is rejected never gets a rollout
    if able and draw(st.sampled_from([True, False])):
        of, live = draw(st.sampled_from(able)), draw(st.sampled_from([0, *able]))
        rollout = rollout_of(of, draw(st.integers(1, 9)), live=live, attempt=releases[of].attempt)
        ended = draw(st.sampled_from([None, True, False]))
        mixed = ended is False and draw(st.booleans())
        stage = quiet(
            rollout=rollout, finished=None if ended is None else finished(rollout, succeeded=ended, mixed=mixed)
        )
    hold = draw(st.sampled_from([None, None, held(after(30))]))
    order = draw(st.sampled_from([None, None, ordered(to=numbers[0])]))
    stage = replace(stage, hold=hold, rollback=order)
    now = after(draw(st.sampled_from([0, 1, 3, 20, 45, 120])))
    written = draw(st.booleans())
    made = snapshot(*releases.values(), stage=stage, now=now)
    return (made if written else replace(made, written={})), now


@given(snapshots())
@settings(max_examples=40)
def test_no_plan_begins_a_rollout_while_one_is_not_finished(made: tuple[Snapshot, datetime]) -> None:
    """One deployment at a time; what is under way may only be taken over, as the same rollout. The next has the next
    number, so two functions that plan it at once claim the same row."""
    s, now = made
    starts = [a for a in planned_from(s, now) if isinstance(a, StartDeployment)]
    assert len(starts) <= 1
    for start in starts:
        if s.first.busy:
            assert start.rollout == s.first.rollout
            assert start.take > 1
        else:
            assert start.rollout.number == (s.first.rollout.number + 1 if s.first.rollout else 1)
            assert start.take == 1


@given(snapshots())
@settings(max_examples=40)
def test_no_plan_goes_backward_unless_an_operator_ordered_it(made: tuple[Snapshot, datetime]) -> None:
    """A deployment is of the live release or a newer one; of an older one only as the rollback that was ordered."""
    s, now = made
    for start in (a for a in planned_from(s, now) if isinstance(a, StartDeployment) and a.take == 1):
        ordered_so = s.first.ordered is not None and s.first.ordered.to == start.release
        if start.rollout.kind == "restore":
            assert s.first.mixed
            assert start.release == s.first.live
        else:
            again = ordered_so and s.first.ordered is not None and s.first.ordered.away == s.first.ordered.to
            assert start.rollout.kind == ("redeploy" if again else "rollback" if ordered_so else "deploy")
            assert start.rollout.kind == "rollback" or start.release >= s.first.live


@given(snapshots())
@settings(max_examples=40)
def test_no_plan_begins_what_is_over_held_or_without_an_image(made: tuple[Snapshot, datetime]) -> None:
    """A rollout is given only to a release that is ready for it, by its digest."""
    s, now = made
    assume(not s.first.busy)
    for start in (a for a in planned_from(s, now) if isinstance(a, StartDeployment)):
        target = s.release(start.release)
        assert target is not None
        back = start.rollout.kind != "deploy"  # to the very image it was live with, whatever came of a retry since
        assert start.rollout.digest == (target.on(s.first).served_digest if back else target.digest) != ""
        if not back:
            assert s.first.held(now) is None
            assert status_on(target, s.first, now).phase is Phase.BUILT


@given(snapshots())
@settings(max_examples=40)
def test_no_plan_closes_what_is_not_over_or_still_runs(made: tuple[Snapshot, datetime]) -> None:
    """A closed release is read no more, so nothing of it may be left."""
    s, now = made
    for close in (a for a in planned_from(s, now) if isinstance(a, Close)):
        over = s.release(close.release)
        assert over is not None
        assert status_on(over, s.first, now).phase.ended
        assert close.release in s.written
        assert over.unanswered_build is None
        assert not (s.first.busy and s.first.rollout is not None and s.first.rollout.release == close.release)


@given(snapshots())
@settings(max_examples=20)
def test_a_plan_is_the_same_for_the_same_snapshot_and_every_action_says_why(made: tuple[Snapshot, datetime]) -> None:
    """Pure, in the order of releases, each decision with its sentence."""
    s, now = made
    actions = planned_from(s, now)
    assert actions == planned_from(s, now)
    assert all(action.why.strip() and action.release > 0 for action in actions)
    assert len({(type(a), a.release) for a in actions if isinstance(a, StartBuild | Finish | Close | Project)}) == len(
        [a for a in actions if isinstance(a, StartBuild | Finish | Close | Project)]
    )
