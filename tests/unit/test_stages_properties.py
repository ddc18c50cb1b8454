"""What holds on any number of stages, whatever was said and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from esteira.config import Approvals, Stage, Window
from esteira.core.actions import AnswerAlarm, Project, Record, Remind, StartDeployment
from esteira.core.admission import waits
from esteira.core.facts import (
    Aborted,
    AlarmRang,
    Approved,
    Bypassed,
    DeploymentReported,
    DeploymentStarted,
    Gated,
    GivenUp,
    Held,
    Promoted,
    Quarantined,
    Rejected,
    Replaced,
    Retried,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    Superseded,
)
from esteira.core.state import Release, Snapshot, StageState
from esteira.core.status import Phase, assess
from esteira.fact import Fact
from tests.unit.conftest import HEART, NOON, accepted, after, born, digest_of, planned_from, recorded, rollout_of

NAMES = ("staging", "canary", "production")
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"bake_minutes": 10, "alarms": ("errors",)},
    {"approvals": Approvals(votes=1, valid_hours=1, wait_hours=2)},
    {"approvals": Approvals(votes=2, not_by_pusher=True), "bake_minutes": 30},
    {"windows": (Window(kind="allow", cron="0 9 * * 1-5", minutes=240),)},
)
TIMES = st.integers(min_value=0, max_value=200).map(after)


def deployment_of(stage: str, rollout: int) -> str:
    """the id of a rollout's deployment, of which no other stage has one."""
    return f"d-{stage[:3].upper()}{rollout:06d}"


@st.composite
def words(draw: st.DrawFn, number: int, stage: str) -> Fact:
    """One thing that somebody, or the controller, said of a release and a stage."""
    at, minutes = draw(TIMES), draw(st.integers(1, 120))
    about: dict[str, Any] = {
        "at": at,
        "release": number,
        "request": f"request-{draw(st.integers(0, 9))}",
        "by": draw(st.sampled_from(("ana", "bea"))),
        "reason": "so",
        "stage": stage,
        "attempt": draw(st.sampled_from((1, 1, 1, 2))),
        "digest": draw(st.sampled_from((digest_of(number), digest_of(number), digest_of(9)))),
        "arn": draw(st.sampled_from(("", "arn:aws:iam::123456789012:user/bea"))),
    }
    until = at + timedelta(minutes=minutes)
    return draw(
        st.sampled_from(
            (
                Approved(until=until, **about),
                Approved(until=until, **about),
                Rejected(**about),
                Promoted(**about),
                Bypassed(until=until, **about),
                Retried(at=at, release=number, attempt=2, by="ana", reason=""),
                Aborted(at=at, release=number, attempt=1, by="ana", reason="so"),
                Superseded(at=at, release=number, by=number + 1),
                Gated(at=at, release=number, attempt=1, against=0, refused=draw(st.sampled_from(((), ("low",))))),
                GivenUp(at=at, release=number, what="approval", number=1, why="nobody approved it", stage=stage),
                Replaced(at=at, release=number, stage=stage, rollout=draw(st.integers(1, 4)), by=number + 1),
                Replaced(at=at, release=number, stage=stage, rollout=draw(st.integers(1, 4)), by=1, ordered_by="ana"),
            )
        )
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A service on one to three stages: on each, rollouts that were given, by one release or another, and what came of
    them; and words about releases and stages. Not each can come about: what holds of all of them holds of those."""
    names = NAMES[-draw(st.integers(1, 3)) :]
    rules = [Stage(name=name, group=f"heart-{name}", **draw(st.sampled_from(RULES))) for name in names]
    service = HEART.model_copy(update={"stages": tuple(rules)})
    numbers = range(1, draw(st.integers(1, 3)) + 1)
    facts: dict[int, list[Fact]] = {n: [accepted(n)] if draw(st.integers(0, 5)) else [] for n in numbers}
    stages: list[StageState] = []
    for rule in rules:
        stage = draw(_stage(rule, facts, stages[-1] if stages else None))
        stages.append(stage)
    for number in numbers:
        for _ in range(draw(st.integers(0, 4))):
            facts[number].append(draw(words(number, draw(st.sampled_from(names)))))
    releases = tuple(
        Release(born(n), frozenset(recorded(said).values()), quarantine=draw(_quarantine(n)))
        for n, said in facts.items()
    )
    newest = releases[-1].pushed
    return Snapshot(service, tuple(stages), newest=newest, releases=releases, tip=newest.tip)


@st.composite
def _quarantine(draw: st.DrawFn, number: int) -> Quarantined | None:
    if draw(st.integers(0, 9)):
        return None
    said = {"request": "request-q", "by": "ana", "reason": "so", "subject": digest_of(number), "release": number}
    return Quarantined(at=NOON, **said)  # type: ignore[arg-type]


@st.composite
def _stage(draw: st.DrawFn, rules: Stage, facts: dict[int, list[Fact]], before: StageState | None) -> StageState:
    rollout: Rollout | None = None
    finished: RolloutFinished | None = None
    name, live = rules.name, 0
    healthy: tuple[int, ...] = ()
    for number in range(1, draw(st.integers(0, 3)) + 1):
        release = draw(st.sampled_from(sorted(facts)))
        rollout = rollout_of(release, number, stage=name, live=live, healthy=healthy)
        deployment, at = deployment_of(name, number), after(number * 10)
        started = DeploymentStarted(
            at=at, release=release, stage=name, rollout=number, attempt=1, deployment=deployment, digest=rollout.digest
        )
        status = draw(st.sampled_from(("Succeeded", "Succeeded", "Failed")))
        facts[release] += [started, DeploymentReported(at=at, deployment=deployment, status=status)]  # type: ignore[arg-type]
        finished = RolloutFinished(at=at, stage=name, rollout=number, release=release, succeeded=status == "Succeeded")
        state = StageState(name, rollout, finished)
        live, healthy = state.live, state.healthy
    if rollout is not None and draw(st.integers(0, 3)) == 0:
        finished = None  # its rollout is under way
    return StageState(
        name,
        rollout,
        finished,
        hold=draw(st.none() | TIMES.map(lambda until: _held(name, until))),
        rollback=draw(st.none() | st.sampled_from(sorted(facts)).map(lambda to: _ordered(name, to))),
        alarms=draw(st.sampled_from(((), (AlarmRang(at=NOON, alarm="errors", since=after(15)),)))),
        rules=rules,
        before=before,
    )


def _held(stage: str, until: datetime) -> Held:
    return Held(at=NOON, request="request-1", by="ana", reason="audit", stage=stage, until=until)


def _ordered(stage: str, to: int) -> RollbackOrdered:
    return RollbackOrdered(at=NOON, request="request-2", by="ana", reason="so", stage=stage, away=9, to=to)


def projected(s: Snapshot, now: datetime) -> Snapshot:
    """the snapshot with every projection as it should be."""
    return replace(s, written={r.number: assess(r, s.stages, now).overall.listed for r in s.releases})


def _is_of(fact: Fact, release: Release) -> bool:
    """whether a fact is about the release, or about a deployment of it."""
    deployments = {f.deployment for f in release.all(DeploymentStarted)}
    return getattr(fact, "release", 0) == release.number or getattr(fact, "deployment", "") in deployments


@given(snapshots(), TIMES, st.data())
def test_where_a_release_stands_does_not_depend_on_the_order_of_its_facts(
    s: Snapshot, now: datetime, data: st.DataObject
) -> None:
    """In all and on each stage; a fact twice is a fact once."""
    for r in s.releases:
        again = data.draw(st.permutations([*r.facts, *list(r.facts)[:2]]))
        other = replace(r, facts=frozenset(recorded(again).values()))
        assert assess(other, s.stages, now).overall == assess(r, s.stages, now).overall
        assert assess(other, s.stages, now).on == assess(r, s.stages, now).on


@given(snapshots(), TIMES)
def test_every_status_has_a_reason_and_a_stage_of_the_service(s: Snapshot, now: datetime) -> None:
    """One sentence, never empty; what waits says for what."""
    names = {"", *(stage.name for stage in s.stages)}
    for r in s.releases:
        assessed = assess(r, s.stages, now)
        status = assessed.overall
        assert status.summary.strip()
        assert status.stage in names
        assert status.phase is not Phase.WAITING or (status.cause and status.stage)
        assert set(assessed.shown(s.stages)) <= names


@settings(max_examples=60)
@given(snapshots(), TIMES)
def test_no_rollout_begins_while_anything_is_in_the_way(s: Snapshot, now: datetime) -> None:
    """A deployment that nobody ordered begins only where the release waits for nothing, one a stage, never an older
    release over a newer one that came another way, and never one that is quarantined or over."""
    given_to: list[str] = []
    for action in planned_from(s, now):
        if not isinstance(action, StartDeployment) or action.take > 1:
            continue
        rollout = action.rollout
        stage, r = s.stage(rollout.stage), s.release(rollout.release)
        assert r is not None
        assert not stage.busy
        given_to.append(rollout.stage)
        if rollout.kind != "deploy":
            continue
        assert waits(r.on(stage), now) == ()
        assert assess(r, s.stages, now).on[stage.name].phase is Phase.BUILT
        assert r.quarantine is None
        assert rollout.digest == r.digest
        assert stage.before is None or stage.live < r.number
    assert len(given_to) == len(set(given_to))


@settings(max_examples=60)
@given(snapshots(), TIMES)
def test_a_plan_is_the_same_however_often_it_is_made(s: Snapshot, now: datetime) -> None:
    """It depends on the snapshot and the time alone: releases in any order, made twice, give the same actions."""
    once = planned_from(s, now)
    assert planned_from(s, now) == once
    turned = replace(s, releases=tuple(reversed(s.releases)))
    assert sorted(map(repr, planned_from(turned, now))) == sorted(map(repr, once))


@settings(max_examples=60)
@given(snapshots(), TIMES)
def test_what_was_written_down_is_not_planned_again(s: Snapshot, now: datetime) -> None:
    """A fact that a plan recorded and a projection that it wrote are in the next snapshot: it plans neither again."""
    s = projected(s, now)
    first = planned_from(s, now)
    assert not [a for a in first if isinstance(a, Project)]
    facts = [a.fact for a in first if isinstance(a, Record)]
    releases = tuple(replace(r, facts=r.facts | {f for f in facts if _is_of(f, r)}) for r in s.releases)
    second = planned_from(projected(replace(s, releases=releases), now), now)
    keys = {(f.about, f.key) for f in facts}
    assert not [a for a in second if isinstance(a, Record) and (a.fact.about, a.fact.key) in keys]


@settings(max_examples=60)
@given(snapshots(), TIMES)
def test_an_alarm_and_a_hold_are_answered_once_a_stage(s: Snapshot, now: datetime) -> None:
    """At most one answer and one reminder a stage, an answer only for what is live and watched there."""
    actions = planned_from(s, now)
    for stage in s.stages:
        answers = [a for a in actions if isinstance(a, AnswerAlarm) and a.stage == stage.name]
        assert len(answers) <= 1
        assert len([a for a in actions if isinstance(a, Remind) and a.hold.stage == stage.name]) <= 1
        for answer in answers:
            assert answer.release == stage.live
            assert stage.ordered is None
            assert not stage.busy
