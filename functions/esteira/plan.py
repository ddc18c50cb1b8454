"""What to do next, decided from the situation alone. Every decision carries its reason.

Pure: a situation and ``now`` in, frozen actions out; nothing is done here. Actions that another function may have
begun are only planned when its claim has run out, and ``advance`` looks in AWS before it acts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from esteira.facts import (
    DeployGivenUp,
    DeploymentEnded,
    DeployStarted,
    Diagnosed,
    Fact,
    ImageArrived,
    Overdue,
    Retried,
    RollbackOrdered,
    Superseded,
    Turn,
)
from esteira.phase import Phase, phase_of
from esteira.situation import Release, Situation, StageState


@dataclass(frozen=True)
class Action:
    """Base of all actions. ``release`` is the number of the release it is for, ``why`` the reason in a sentence."""

    release: int
    why: str


@dataclass(frozen=True)
class OpenCommit(Action):
    """Make a release of the branch's tip."""

    commit: str


@dataclass(frozen=True)
class OpenImage(Action):
    """Make a release of an image pushed from elsewhere."""

    image: ImageArrived


@dataclass(frozen=True)
class StartBuild(Action):
    """Get the release its image: take the one that exists, find the build a lost function started, or start one."""

    attempt: int
    take: int


@dataclass(frozen=True)
class StopBuild(Action):
    """Ask CodeBuild to stop a build nobody needs any more."""

    build: str


@dataclass(frozen=True)
class FindBuild(Action):
    """Find out whether a claimed build was ever started, for a release that no longer wants one."""

    attempt: int
    take: int


@dataclass(frozen=True)
class AcceptImage(Action):
    """Find the image the build pushed and put the controller's tag on it."""

    attempt: int


@dataclass(frozen=True)
class StartDeployment(Action):
    """Claim ``turn`` (take 1) or take it over (take > 1), and create its deployment unless it exists already."""

    turn: Turn
    take: int


@dataclass(frozen=True)
class FindDeployment(Action):
    """Find out whether a claimed deployment was ever created, for a turn that no longer wants one."""

    turn: Turn
    take: int


@dataclass(frozen=True)
class StopDeployment(Action):
    """Ask CodeDeploy to stop a deployment."""

    deployment: str


@dataclass(frozen=True)
class Diagnose(Action):
    """Read why a deployment failed."""

    deployment: str


@dataclass(frozen=True)
class Settle(Action):
    """End a turn: move the stage's tags (unless that was tried for too long), tell the neighbours, free the stage.

    One that succeeded is settled only if every host has it; else what is wrong is written down and nothing settled.
    ``cause`` is written down as why it failed, where that could not be done before: whoever settles it decides.
    """

    turn: Turn
    succeeded: bool
    take: int
    tags: bool
    mixed: bool = False
    cause: str = ""


@dataclass(frozen=True)
class Record(Action):
    """Write a fact the controller itself concluded."""

    fact: Fact


@dataclass(frozen=True)
class Project(Action):
    """Write the phase a release has now where listings find it, and tell the world when it is another than before.

    ``cause`` is the word for a failure (``Standing``); ``seconds_to_live`` how long it took from the push, or from the
    retry, where it goes live for the first time.
    """

    phase: Phase
    before: str
    cause: str = ""
    seconds_to_live: float | None = None


@dataclass(frozen=True)
class Close(Action):
    """The release is over and nothing of it runs: read it no more."""


def plan(s: Situation, now: datetime, lease: timedelta) -> tuple[Action, ...]:
    """Return the actions that ``s`` asks for at ``now``, in the order they are to be done; none when all is as it
    should be or must be waited for. ``lease`` is how long a claim made now protects its maker."""
    births = tuple(_births(s))
    if births:
        return births  # whatever else there is to do, the new release changes it
    actions = [a for r in s.releases for a in _superseded(s, r, now)]
    if actions:
        return tuple(actions)
    return (
        *(a for r in s.releases for a in _projection(s, r, now)),
        *(a for r in s.releases for a in _towards_image(s, r, now)),
        *_turn(s, now),
        *_next_turn(s, now, lease),
        *(a for r in s.releases for a in _endings(s, r, now)),
    )


def _births(s: Situation) -> Iterator[Action]:
    number = s.newest.number + 1 if s.newest else 1
    if s.tip and s.tip != (s.newest.tip if s.newest else ""):
        yield OpenCommit(number, f"{s.service.branch} is at {s.tip[:8]}", s.tip)
    elif s.arrived:
        image = min(s.arrived, key=lambda a: (a.at, a.key))
        yield OpenImage(number, f"image {image.tag} was pushed", image)


def _projection(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    phase, why, cause = phase_of(r, s.stage, now)
    before = s.written.get(r.number)
    # One that is over and not open is read only because a rollback may go to it; its projection was written before.
    if before != (phase.value, why) and not (before is None and phase.ended):
        was = before[0] if before else ""
        first = phase is Phase.LIVE and was != phase.value and r.lives == 1
        yield Project(r.number, why, phase, was, cause, (now - _began(r)).total_seconds() if first else None)


def _superseded(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    """A newer release supersedes what has not begun to deploy."""
    if r.number < s.newest_effective and not phase_of(r, s.stage, now).phase.begun:
        by = s.newest_effective
        yield Record(r.number, f"v{by} is newer", Superseded(at=now, release=r.number, by=by))


def _towards_image(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    phase = phase_of(r, s.stage, now).phase
    attempt = r.attempt
    for build in r.running_builds:
        if build.attempt < attempt and not phase.ended and not r.stop_asked(build.build):
            yield StopBuild(r.number, f"attempt {attempt} takes its place", build.build)
    if phase.ended or phase in (Phase.LIVE, Phase.DEPLOYING) or r.accepted:
        return
    if r.pushed.source == "image":
        yield from _accept(s, r, f"image {r.pushed.tag} was pushed", _began(r), now)
    elif r.build_ended is not None:
        yield from _accept(s, r, f"build {r.build_ended.build} succeeded", r.build_ended.at, now)
    elif r.build is not None:
        limit = r.build.at + s.service.minutes("build")
        if now >= limit:
            why = f"build {r.build.build} did not end within {s.service.deadlines.build_minutes} minutes"
            yield _overdue(r, "build", attempt, why, now)
    else:
        yield from _start_build(s, r, now)


def _start_build(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    attempt = r.attempt
    claim = r.claim("build", attempt)
    declined = r.declined("build", attempt, claim.take) if claim else None
    late = now >= _began(r) + s.service.minutes("start")
    if late and claim is not None and declined is None and now >= claim.lease:
        yield FindBuild(r.number, "its build was claimed and may have started", attempt, claim.take)
    elif late and declined is not None:
        why = f"its build could not start within {s.service.deadlines.start_minutes} minutes: {declined.error}"
        yield _overdue(r, "start", attempt, why, now)
    elif claim is None:
        yield StartBuild(r.number, f"{r.label} has no image yet", attempt, 1)
    elif declined is not None and now >= declined.at + back_off(claim.take):
        yield StartBuild(r.number, f"AWS refused before: {declined.error}", attempt, claim.take + 1)
    elif declined is None and now >= claim.lease:
        yield StartBuild(r.number, "who claimed its build never said what came of it", attempt, claim.take + 1)


def _overdue(
    r: Release, what: Literal["start", "build", "accept", "deploy"], number: int, why: str, now: datetime
) -> Record:
    return Record(r.number, why, Overdue(at=now, release=r.number, what=what, number=number, why=why))


def _accept(s: Situation, r: Release, why: str, since: datetime, now: datetime) -> Iterator[Action]:
    if now >= since + s.service.minutes("accept"):
        declined = r.declined("accept", r.attempt, 1)
        cause = f": {declined.error}" if declined else ""
        late = f"its image could not be accepted within {s.service.deadlines.accept_minutes} minutes{cause}"
        yield _overdue(r, "accept", r.attempt, late, now)
    else:
        yield AcceptImage(r.number, why, r.attempt)


def _turn(s: Situation, now: datetime) -> Iterator[Action]:
    """Bring the turn that has begun on the stage to its end."""
    turn = s.stage.turn
    r = s.release(turn.release) if turn else None
    if turn is None or not s.stage.busy or r is None:
        return
    started, given_up = r.deployment(turn.number), r.given_up(turn.number)
    ended = r.ended(started.deployment) if started else None
    if given_up:
        yield from _settle(s, r, turn, given_up.at, False, now)
    elif started and ended:
        yield from _after_deployment(s, r, turn, ended, now)
    elif started:
        yield from _watch(s, r, turn, started, now)
    else:
        yield from _resume_claim(r, turn, now)


def _after_deployment(s: Situation, r: Release, turn: Turn, ended: DeploymentEnded, now: datetime) -> Iterator[Action]:
    """A deployment has ended: what became of each host is read once, then the turn is settled."""
    late = now >= ended.at + s.service.minutes("stop")
    unsaid = f"CodeDeploy did not say {{}} within {s.service.deadlines.stop_minutes} minutes"
    diagnosed = r.diagnosed(ended.deployment)
    if diagnosed:
        yield from _settle(s, r, turn, ended.at, False, now, mixed=diagnosed.reached)
    elif ended.status != "Succeeded" and not late:
        how = "failed" if ended.status == "Failed" else "was stopped"
        yield Diagnose(r.number, f"{ended.deployment} {how}", ended.deployment)
    elif ended.status != "Succeeded":
        cause = unsaid.format("why")
        yield Record(r.number, cause, Diagnosed(at=now, deployment=ended.deployment, cause=cause))
    elif late and r.declined("settle", turn.number, 0) and r.claim("settle", turn.number) is None:
        cause = unsaid.format("what became of each host")
        yield Settle(r.number, cause, turn, succeeded=False, take=1, tags=False, mixed=True, cause=cause)
    else:
        yield from _settle(s, r, turn, ended.at, True, now)


def _settle(
    s: Situation, r: Release, turn: Turn, since: datetime, succeeded: bool, now: datetime, *, mixed: bool = False
) -> Iterator[Action]:
    claim = r.claim("settle", turn.number)
    declined = r.declined("settle", turn.number, claim.take) if claim else None
    free = claim is None or now >= claim.lease or (declined is not None and now >= declined.at + back_off(claim.take))
    if free:
        tags = now < since + s.service.minutes("accept")
        why = f"turn {turn.number} {'succeeded' if succeeded else 'failed'}" + ("" if tags else "; its tags stay")
        yield Settle(r.number, why, turn, succeeded, claim.take + 1 if claim else 1, tags, mixed)


def _watch(s: Situation, r: Release, turn: Turn, started: DeployStarted, now: datetime) -> Iterator[Action]:
    """A deployment is under way: hold it to its deadline, and to an abort."""
    overdue, stop = r.overdue("deploy", turn.number), r.stop_asked(started.deployment)
    if stop and now >= stop.at + s.service.minutes("stop"):
        why = f"deployment {started.deployment} was asked to stop and never said that it ended"
        yield _give_up(turn, why, now)
    elif overdue is None and now >= turn.deadline:
        why = f"deployment {started.deployment} did not end within {s.service.deadlines.deploy_minutes} minutes"
        yield _overdue(r, "deploy", turn.number, why, now)
    if (overdue or _called_off(r, turn)) and not stop:
        yield StopDeployment(r.number, overdue.why if overdue else "it was aborted", started.deployment)


def _resume_claim(r: Release, turn: Turn, now: datetime) -> Iterator[Action]:
    """A turn was claimed and no deployment is known: take it over when its claim has run out or was declined."""
    claim = r.claim("deploy", turn.number)
    take = claim.take if claim else 1
    lease = claim.lease if claim else turn.lease
    declined = r.declined("deploy", turn.number, take)
    unwanted = now >= turn.deadline or _called_off(r, turn)
    if declined and unwanted:
        why = "it was aborted" if _called_off(r, turn) else f"its deployment could not start: {declined.error}"
        yield _give_up(turn, why, now)
    elif declined and now >= declined.at + back_off(take):
        yield StartDeployment(r.number, f"AWS refused before: {declined.error}", turn, take + 1)
    elif not declined and now >= lease and unwanted:
        yield FindDeployment(r.number, "its deployment was claimed and may have been created", turn, take)
    elif not declined and now >= lease:
        yield StartDeployment(r.number, "who claimed its deployment never said what came of it", turn, take + 1)


def _give_up(turn: Turn, why: str, now: datetime) -> Record:
    given_up = DeployGivenUp(
        at=now, release=turn.release, stage=turn.stage, turn=turn.number, attempt=turn.attempt, why=why
    )
    return Record(turn.release, why, given_up)


def _called_off(r: Release, turn: Turn) -> bool:
    # A live release may have been aborted in vain before it came to life; that does not call its restoring off.
    counts = r.aborted is not None and (turn.kind != "restore" or r.aborted.at >= turn.at)
    return counts and turn.attempt == r.attempt


def _next_turn(s: Situation, now: datetime, lease: timedelta) -> Iterator[Action]:
    """Give the stage its next turn: the live release's, where the latest turn left hosts without it; else a rollback
    that was ordered, or else the newest release that is ready."""
    if s.stage.busy:
        return
    restored = _restored(s)
    if restored is not None and s.stage.turn is not None:
        why = f"v{s.stage.turn.release} failed and some hosts may run it; {restored.label} is put back on every host"
        yield StartDeployment(restored.number, why, _restoring(s, restored, now, lease), 1)
        return
    order = s.stage.ordered
    if order is not None:
        target = s.release(order.to)
        if target is not None and target.served_digest:
            why = f"{order.by} ordered a rollback from v{order.away}: {order.reason}"
            yield StartDeployment(target.number, why, next_turn(s, target, order, now, lease), 1)
        return
    ready = [r for r in s.releases if phase_of(r, s.stage, now).phase is Phase.BUILT and r.accepted]
    if ready:
        newest = max(ready, key=lambda r: r.number)
        yield StartDeployment(newest.number, f"{newest.label} is ready", next_turn(s, newest, None, now, lease), 1)


def _restored(s: Situation) -> Release | None:
    """Return the live release, where hosts may run something else that failed."""
    live = s.release(s.stage.live) if s.stage.mixed else None
    other = live and s.stage.turn and live.served_digest not in ("", s.stage.turn.digest)
    return live if other else None


def _restoring(s: Situation, live: Release, now: datetime, lease: timedelta) -> Turn:
    """Return the turn that puts the live release back: no attempt of its own, and it serves no order that waits."""
    turn = next_turn(s, live, None, now, lease)
    served = s.stage.turn.served if s.stage.turn else ""
    return replace(
        turn, kind="restore", digest=live.served_digest, attempt=live.turn_attempt or live.attempt, served=served
    )


def next_turn(s: Situation, r: Release, order: RollbackOrdered | None, now: datetime, lease: timedelta) -> Turn:
    """Return the stage's next turn, given to release ``r`` (by a rollback ``order``, where there is one)."""
    stage: StageState = s.stage
    return Turn(
        at=now,
        stage=stage.name,
        number=stage.turn.number + 1 if stage.turn else 1,
        release=r.number,
        attempt=r.attempt,
        digest=r.served_digest if order else r.digest,
        kind="rollback" if order else "deploy",
        live=stage.live,
        healthy=stage.healthy,
        served=stage.rollback.key if stage.rollback else "",
        lease=now + lease,
        deadline=now + s.service.minutes("deploy"),
    )


def _endings(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    """Stop what a release that is over still runs; close it when nothing of it does."""
    phase, why, _ = phase_of(r, s.stage, now)
    if not phase.ended:
        return
    projected = s.written.get(r.number) == (phase.value, why)
    claim = r.unanswered_build
    if claim is not None and now >= claim.lease:
        yield FindBuild(r.number, "its build was claimed and may have started", claim.attempt, claim.take)
    for build in r.running_builds:
        if not r.stop_asked(build.build):
            yield StopBuild(r.number, f"{r.label} is {phase}: {why}", build.build)
    lost = all(now >= b.at + s.service.minutes("build") + s.service.minutes("stop") for b in r.running_builds)
    has_turn = s.stage.busy and s.stage.turn is not None and s.stage.turn.release == r.number
    ordered = s.stage.ordered is not None and s.stage.ordered.to == r.number
    live = r.number == s.stage.live  # it could not be put back on every host; something may take its place yet
    if projected and claim is None and lost and not (has_turn or ordered or live):
        yield Close(r.number, f"{r.label} is {phase}: {why}")


def _began(r: Release) -> datetime:
    """Return when the current attempt began."""
    return max([r.pushed.at, *(f.at for f in r.all(Retried))])


def back_off(take: int) -> timedelta:
    """Return how long to wait after the ``take``-th refusal: 15 s, doubled each time, at most five minutes."""
    return timedelta(seconds=min(15 * 2 ** min(take - 1, 10), 300))
