"""What lets a release onto a stage: where it comes from, its bake, votes, holds, windows, and what goes past them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from esteira.config import Approvals, Stage, Window
from esteira.core.admission import Waits, approval_expires, waits
from esteira.core.facts import (
    Approved,
    Bypassed,
    CommitPushed,
    Gated,
    GivenUp,
    Promoted,
    Rejected,
    ReleaseWord,
    Replaced,
    Retried,
    RolloutFinished,
)
from esteira.core.state import Release, StageState
from esteira.core.status import Cause, Phase, assess
from esteira.fact import Fact
from tests.unit.conftest import (
    NOON,
    accepted,
    after,
    born,
    build_ended,
    build_started,
    deployment_ended,
    deployment_started,
    digest_of,
    held,
    release,
    rollout_of,
    status_of,
    status_on,
)

STAGING = Stage(name="staging", group="heart-staging", bake_minutes=30)
PRODUCTION = Stage(group="heart-production", approvals=Approvals(votes=2))
BUILT = (build_started(), build_ended(), accepted())
ANA, RUI = "arn:aws:iam::1:user/ana", "arn:aws:iam::1:user/rui"


def on_staging(number: int = 1, rules: Stage = STAGING) -> StageState:
    """Staging with that release live on it."""
    rollout = replace(rollout_of(number), stage="staging")
    done = RolloutFinished(at=NOON, stage="staging", rollout=1, release=number, succeeded=True)
    return StageState("staging", rollout, done, rules=rules)


def ahead(rules: Stage = PRODUCTION, before: StageState | None = None, **said: Any) -> StageState:
    """Production, to which nothing came yet."""
    return StageState("production", rules=rules, before=before or on_staging(), **said)


def live_on_staging(*facts: Fact) -> Release:
    """Release v1, live on staging since noon."""
    return release(1, *BUILT, replace(deployment_started(), stage="staging"), deployment_ended(), *facts)


def word(kind: type[ReleaseWord], by: str = "ana", minutes: float = 0, **said: Any) -> Any:
    values: dict[str, Any] = {
        "at": after(minutes),
        "release": 1,
        "request": f"request-{by}-{minutes}",
        "by": by,
        "reason": "looks good",
        "stage": "production",
        "attempt": 1,
        "digest": digest_of(1),
    }
    if kind in (Approved, Bypassed):
        values["until"] = after(72 * 60)
    return kind(**values | said)


def vote(by: str = "ana", minutes: float = 0, **said: Any) -> Approved:
    """A vote for the release."""
    approved: Approved = word(Approved, by, minutes, **{"arn": f"arn:aws:iam::1:user/{by}", **said})
    return approved


def rejection(reason: str = "", **said: Any) -> Rejected:
    """What rui says against the release after a minute."""
    rejected: Rejected = word(Rejected, "rui", 1, reason=reason, **said)
    return rejected


def retried() -> Retried:
    return Retried(at=NOON, release=1, attempt=2, by="ana", reason="")


def waited_for(r: Release, stage: StageState, minutes: float) -> list[Waits]:
    return [w.what for w in waits(r.on(stage), after(minutes))]


# --- where it comes from --------------------------------------------------------------------------------------------


def test_a_release_that_is_not_live_on_the_stage_before_waits_for_that_alone() -> None:
    assert waited_for(release(1, *BUILT), ahead(before=on_staging(2)), 0) == [Waits.STAGE_BEFORE]


def test_what_is_live_there_with_another_image_is_not_promoted() -> None:
    """By digest: what was watched on staging is what goes on, bit by bit."""
    again = live_on_staging(retried(), replace(accepted(1, 2), digest="sha256:other"))
    assert waited_for(again, ahead(), 60) == [Waits.STAGE_BEFORE]


def test_it_is_watched_on_the_stage_before_until_its_bake_is_over() -> None:
    rules = replace_rules(PRODUCTION, approvals=None)
    assert waited_for(live_on_staging(), ahead(rules), 29) == [Waits.BAKE]
    assert waited_for(live_on_staging(), ahead(rules), 30) == []
    assert status_on(live_on_staging(), ahead(rules), after(30)).phase is Phase.BUILT


def replace_rules(stage: Stage, **said: Any) -> Stage:
    return stage.model_copy(update=said)


# --- votes ----------------------------------------------------------------------------------------------------------


def test_it_waits_for_as_many_votes_as_are_asked_for() -> None:
    one = live_on_staging(vote())
    assert waited_for(one, ahead(), 60) == [Waits.APPROVAL]
    assert "1 more approval; approved by ana" in waits(one.on(ahead()), after(60))[0].why
    assert waited_for(live_on_staging(vote(), vote("rui")), ahead(), 60) == []


@pytest.mark.parametrize(
    "second",
    [
        vote("ana", 1),  # nobody has two votes
        vote("rui", digest="sha256:other"),
        vote("rui", attempt=2),
        vote("rui", stage="staging"),
        vote("rui", until=after(59)),
    ],
    ids=["the same person", "another image", "another attempt", "another stage", "expired"],
)
def test_a_vote_counts_once_for_this_image_and_attempt_on_this_stage_until_it_expires(second: Approved) -> None:
    assert waited_for(live_on_staging(vote(), second), ahead(), 60) == [Waits.APPROVAL]


def test_a_vote_against_ends_it_there_whatever_is_recorded_later() -> None:
    no = live_on_staging(vote(), rejection("its recall fell"))
    status = status_of(no, (on_staging(), ahead()), after(60))
    assert (status.phase, status.cause, status.stage) == (Phase.REJECTED, Cause.DISAPPROVED, "production")
    assert "rui rejected it for production: its recall fell" in status.why
    raced = live_on_staging(vote(), rejection(), vote("rui", 2), vote("eva", 3))
    assert status_on(raced, ahead(), after(60)).phase is Phase.REJECTED


def test_a_vote_against_does_not_count_for_another_attempt_or_image() -> None:
    others = (rejection(attempt=2), rejection(digest=digest_of(2)), rejection(stage="staging"))
    assert status_on(live_on_staging(vote(), vote("rui"), *others), ahead(), after(60)).phase is Phase.BUILT


SESSION = "arn:aws:sts::1:assumed-role"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        (ANA, ANA),
        (f"{SESSION}/deploy/ana", f"{SESSION}/deploy/rui"),
        (f"{SESSION}/AWSReservedSSO_Admin_1a/ana", f"{SESSION}/AWSReservedSSO_Dev_2b/ana"),
        (ANA, "arn:aws:sts::1:federated-user/rui"),
    ],
    ids=["nothing proven", "one user", "a role's sessions", "a user's two permission sets", "a name of one's choice"],
)
def test_two_names_of_one_identity_are_one_vote_and_an_unproven_one_is_none(first: str, second: str) -> None:
    """A name that is typed, or that a session was given by who began it, makes nobody a second person."""
    votes = live_on_staging(vote("ana", arn=first), vote("rui", 1, arn=second))
    assert waited_for(votes, ahead(), 60) == [Waits.APPROVAL]


@pytest.mark.parametrize("roles", [{}, {"named_sessions": ("release-*",)}], ids=["Identity Center", "an own role"])
def test_sessions_that_are_named_after_their_users_are_people(roles: dict[str, Any]) -> None:
    """Identity Center names them so, and a role whose trust policy says so can be named in the registration."""
    role = "release-managers" if roles else "AWSReservedSSO_Admin_1a"
    stage = ahead(replace_rules(PRODUCTION, approvals=Approvals(votes=2, **roles)))
    votes = (vote("ana", arn=f"{SESSION}/{role}/ana"), vote("rui", 1, arn=f"{SESSION}/{role}/rui"))
    assert waited_for(live_on_staging(*votes), stage, 60) == []


def pushes(*by: str, until: str = "live") -> tuple[CommitPushed, ...]:
    """The pushes that led from ``until`` to v1's commit, newest first; "" is one that no event told of."""
    tips = [born(1).commit, *(f"commit-{n}" for n in range(1, len(by))), until]
    told = zip(by, tips, tips[1:], strict=False)
    return tuple(CommitPushed(at=NOON, commit=tip, by=who, before=before) for who, tip, before in told if who)


def two_people(live: str = "live") -> StageState:
    """Production under the two-person rule, one vote wanted, with that commit live on it."""
    return ahead(replace_rules(PRODUCTION, approvals=Approvals(not_by_pusher=True)), live_commit=live)


@pytest.mark.parametrize(
    ("by", "voter", "counts"),
    [
        ((ANA,), ANA, False),
        ((ANA,), RUI, True),
        ((ANA, RUI), RUI, False),
        ((ANA, "arn:aws:iam::1:user/eva", RUI), RUI, False),
        ((f"{SESSION}/deploy/x",), f"{SESSION}/deploy/y", False),
        ((ANA, ""), RUI, False),
        ((ANA,), "", False),
    ],
    ids=["the pusher", "another", "of what is under it", "at the bottom", "another session", "a lost push", "nobody"],
)
def test_who_pushed_anything_since_what_is_live_has_no_vote(by: tuple[str, ...], voter: str, counts: bool) -> None:
    """The tip's pusher brings along what others pushed before, and none of them approves it."""
    release = replace(live_on_staging(vote("x", arn=voter)), pushes=pushes(*by))
    assert waited_for(release, two_people(), 60) == ([] if counts else [Waits.APPROVAL])


def test_what_was_pushed_before_the_live_commit_bars_nobody() -> None:
    """It was approved with what is live; on another stage, where an older commit is live, it is not over."""
    release = replace(live_on_staging(vote("rui", arn=RUI)), pushes=pushes(ANA, RUI))
    assert waited_for(release, two_people("commit-1"), 60) == []
    assert waited_for(release, two_people("live"), 60) == [Waits.APPROVAL]


def test_the_live_commit_again_bars_who_pushed_it() -> None:
    """A rebuild brings no commit along."""
    pushed = pushes(ANA)
    again = two_people(born(1).commit)
    assert waited_for(replace(live_on_staging(vote("rui", arn=RUI)), pushes=pushed), again, 60) == []
    assert waited_for(replace(live_on_staging(vote("ana", arn=ANA)), pushes=pushed), again, 60) == [Waits.APPROVAL]


def test_where_nobody_knows_who_pushed_it_takes_two() -> None:
    """One of two is another one than the pusher, whoever that is."""
    two = two_people("")
    assert waited_for(live_on_staging(vote(arn=ANA)), two, 60) == [Waits.APPROVAL]
    both = live_on_staging(vote(arn=ANA), vote("rui", arn=RUI))
    assert waited_for(both, two, 60) == []


def test_a_wait_for_approval_ends() -> None:
    """It counts from when its bake was over."""
    assert approval_expires(live_on_staging().on(ahead())) == after(30) + timedelta(hours=168)
    late = GivenUp(at=NOON, release=1, what="approval", number=1, stage="production", why="nobody approved it")
    status = status_of(live_on_staging(late), (on_staging(), ahead()), after(60))
    assert (status.phase, status.cause) == (Phase.REJECTED, Cause.APPROVAL_EXPIRED)


# --- holds, windows, a bypass -----------------------------------------------------------------------------------------


def test_all_that_is_in_the_way_is_said() -> None:
    closed = Window(kind="deny", cron="0 0 * * *", minutes=14 * 60, reason="the audit")
    stage = ahead(replace_rules(PRODUCTION, windows=(closed,)), hold=held(after(120)))
    assert waited_for(live_on_staging(), stage, 0) == [Waits.BAKE, Waits.APPROVAL, Waits.HOLD, Waits.WINDOW]
    status = status_of(live_on_staging(), (on_staging(), stage), NOON)
    assert status.cause == Waits.BAKE
    assert status.why.startswith("live on staging; watched on staging until")
    assert all(said in status.why for said in ("2 more approvals", "holds production", "the audit"))


def test_a_bypass_goes_past_every_rule_until_it_expires() -> None:
    stage = ahead(hold=held(after(120)))
    bypassed = live_on_staging(word(Bypassed, until=after(20)))
    assert waited_for(bypassed, stage, 19) == []
    assert Waits.APPROVAL in waited_for(bypassed, stage, 20)
    other = live_on_staging(word(Bypassed, digest="sha256:other"))
    assert Waits.APPROVAL in waited_for(other, stage, 19)


def test_figures_refused_by_a_gate_keep_it_from_the_first_stage_but_not_in_a_dry_run_or_by_a_bypass() -> None:
    gated = Gated(at=NOON, release=1, attempt=1, against=0, refused=("roc_auc is 0.7, below 0.85",))
    first = StageState("staging", rules=STAGING)
    refused = status_on(release(1, *BUILT, gated), first, NOON)
    assert (refused.phase, refused.cause) == (Phase.REJECTED, Cause.GATE)
    assert "roc_auc is 0.7" in refused.why
    assert status_on(release(1, *BUILT, replace(gated, dry_run=True)), first, NOON).phase is Phase.BUILT
    assert status_on(release(1, *BUILT, gated, word(Bypassed, stage="staging")), first, NOON).phase is Phase.BUILT


# --- promoted, superseded, in all -----------------------------------------------------------------------------------


def test_what_lost_its_place_on_staging_is_superseded_until_somebody_promotes_it() -> None:
    gone = Replaced(at=NOON, release=1, stage="staging", rollout=2, by=2)
    stages = (on_staging(2), ahead(replace_rules(PRODUCTION, approvals=None), on_staging(2)))
    assert status_of(live_on_staging(gone), stages, after(60)).phase is Phase.SUPERSEDED
    promoted = live_on_staging(gone, word(Promoted))
    assert status_of(promoted, stages, after(60)).phase is Phase.BUILT
    overtaken = (
        stages[0],
        replace(
            stages[1],
            rollout=rollout_of(2),
            finished=RolloutFinished(at=NOON, stage="production", rollout=1, release=2, succeeded=True),
        ),
    )
    assert status_of(promoted, overtaken, after(60)).phase is Phase.SUPERSEDED


def test_a_release_stands_in_all_where_it_came_to_last() -> None:
    stages = (on_staging(), ahead(replace_rules(PRODUCTION, approvals=None)))
    assert status_of(live_on_staging(), stages, NOON).phase is Phase.WAITING
    there = live_on_staging(
        replace(deployment_started(), deployment="d-2"), replace(deployment_ended(), deployment="d-2", status="Failed")
    )
    assert status_of(there, stages, after(60)).phase is Phase.DEPLOYING  # its cause is being read
    assert {name: s.phase for name, s in assess(there, stages, after(60)).on.items()} == {
        "staging": Phase.LIVE,
        "production": Phase.DEPLOYING,
    }


def test_a_retry_finds_it_live_on_staging_with_its_image_and_goes_on_from_there() -> None:
    stages = (on_staging(), ahead(replace_rules(PRODUCTION, approvals=None)))
    failed = (
        replace(deployment_started(), deployment="d-2"),
        replace(deployment_ended(), deployment="d-2", status="Failed"),
    )
    again = live_on_staging(*failed, retried(), replace(accepted(1, 2), reused=True))
    assert status_on(again, stages[0], after(60)).phase is Phase.LIVE
    assert status_of(again, stages, after(60)).phase is Phase.BUILT
