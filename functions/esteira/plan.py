"""What to do next, decided from the situation alone. Every decision carries its reason.

Pure: a situation and ``now`` in, frozen actions out; nothing is done here. Actions that another function may have
begun are only planned when its claim has run out, and ``advance`` looks in AWS before it acts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from esteira.entry import Waits, approval_expires, waits
from esteira.facts import (
    DeployGivenUp,
    DeploymentEnded,
    DeployStarted,
    Diagnosed,
    Fact,
    Gated,
    Held,
    ImageArrived,
    Overdue,
    Retried,
    RollbackOrdered,
    Superseded,
    Turn,
)
from esteira.gates import refusals
from esteira.phase import Phase, Standing, phase_of, standing_of
from esteira.situation import Release, Situation, StageState, Written


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
class AnswerAlarm(Action):
    """Take the stage back from the release an alarm went off for, and quarantine it, as if somebody had ordered it."""

    stage: str
    turn: int
    alarm: str


@dataclass(frozen=True)
class Remind(Action):
    """Remind people of a hold that is soon over."""

    hold: Held


@dataclass(frozen=True)
class Record(Action):
    """Write a fact the controller itself concluded."""

    fact: Fact


@dataclass(frozen=True)
class Project(Action):
    """Write where a release stands now where listings find it, and tell the world when that is news.

    ``before`` is the phase it had. It is ``news`` when the phase is another one, or what it waits for is.
    ``seconds_to_live`` is how long it took from the push, or from the retry, where it goes live on the last stage for
    the first time.
    """

    standing: Standing
    before: str
    news: bool
    seconds_to_live: float | None = None

    @property
    def phase(self) -> Phase:
        return self.standing.phase


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
        *(a for r in s.releases for a in _rules(s, r, now)),
        *(a for stage in s.stages for a in _stage(s, stage, now, lease)),
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
    standing = standing_of(r, s.stages, now)
    before = s.written.get(r.number)
    # One that is over and not open is read only because a rollback may go to it; its projection was written before.
    if before != _as_written(standing) and not (before is None and standing.phase.ended):
        was = before.phase if before else ""
        moved = was != standing.phase.value
        news = moved or (
            standing.phase in (Phase.WAITING, Phase.LIVE) and before is not None and before.cause != standing.cause
        )
        there = r.on(s.last)
        first = standing.phase is Phase.LIVE and standing.stage == s.last.name and moved and there.lives == 1
        seconds = (now - _began(r)).total_seconds() if first else None
        yield Project(r.number, standing.why, standing, was, news, seconds)


def _as_written(standing: Standing) -> Written:
    return Written(standing.phase.value, standing.why, standing.cause)


def _superseded(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    """A newer release supersedes what has not begun to deploy anywhere. Later on, a release is superseded by what takes
    its place on the stage it comes from (``facts.Replaced``)."""
    by = s.newest_effective
    begun = standing_of(r, s.stages, now).phase.begun or any(r.on(stage).begun for stage in s.stages)
    if r.number < by and not begun:
        yield Record(r.number, f"v{by} is newer", Superseded(at=now, release=r.number, by=by))


def _towards_image(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    phase = standing_of(r, s.stages, now).phase
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
    r: Release,
    what: Literal["start", "build", "accept", "approval", "deploy"],
    number: int,
    why: str,
    now: datetime,
    stage: str = "",
) -> Record:
    return Record(r.number, why, Overdue(at=now, release=r.number, what=what, number=number, why=why, stage=stage))


def _accept(s: Situation, r: Release, why: str, since: datetime, now: datetime) -> Iterator[Action]:
    if now >= since + s.service.minutes("accept"):
        declined = r.declined("accept", r.attempt, 1)
        cause = f": {declined.error}" if declined else ""
        late = f"its image could not be accepted within {s.service.deadlines.accept_minutes} minutes{cause}"
        yield _overdue(r, "accept", r.attempt, late, now)
    else:
        yield AcceptImage(r.number, why, r.attempt)


def _rules(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    """Hold a release's figures against the gates, and a wait for approval to its deadline."""
    if _ungated(s, r):
        live = s.release(s.last.live) if s.last.live != r.number else None
        figures = live.on(s.last).figures if live else {}
        refused = refusals(s.service.gates, r.accepted.figures if r.accepted else {}, figures)
        fact = Gated(
            at=now,
            release=r.number,
            attempt=r.attempt,
            against=live.number if live else 0,
            refused=refused,
            dry_run=s.service.gates_dry_run,
        )
        yield Record(r.number, "; ".join(refused) or "its figures pass the gates", fact)
    for stage in s.stages:
        expires = approval_expires(r, stage)
        waiting = phase_of(r, stage, now).phase is Phase.WAITING
        asked = waiting and any(w.what is Waits.APPROVAL for w in waits(r, stage, now))
        if asked and expires and now >= expires and stage.rules and stage.rules.approvals:
            why = f"nobody approved it for {stage.name} within {stage.rules.approvals.wait_hours} hours"
            yield _overdue(r, "approval", r.attempt, why, now, stage.name)


def _ungated(s: Situation, r: Release) -> bool:
    """Return whether the service has gates and the release's figures have not been held against them."""
    return bool(s.service.gates) and r.accepted is not None and r.gated is None


def _stage(s: Situation, stage: StageState, now: datetime, lease: timedelta) -> Iterator[Action]:
    yield from _turn(s, stage, now)
    yield from _alarm(s, stage)
    yield from _next_turn(s, stage, now, lease)
    hold = stage.held(now)
    reminded = stage.reminded is not None and hold is not None and stage.reminded.hold == hold.key
    if hold is not None and not reminded and now >= remind_at(hold):
        live = s.release(stage.live)
        yield Remind(live.number if live else 0, f"the hold of {stage.name} ends soon", hold)


def remind_at(hold: Held) -> datetime:
    """Return when people are reminded of a hold: when a tenth of it is left, at most an hour before its end."""
    return hold.until - min((hold.until - hold.at) / 10, timedelta(hours=1))


def _alarm(s: Situation, stage: StageState) -> Iterator[Action]:
    """An alarm went off while what is live was watched: once, and not where somebody is at it already."""
    live = s.release(stage.live)
    if live is None or stage.busy or stage.ordered is not None:
        return
    here, order = live.on(stage), stage.rollback
    # Once: where going back failed, or was ordered by a person since, nobody is helped by the same order again.
    if order is not None and order.away == live.number and here.live_since and order.at >= here.live_since:
        return
    rang = stage.rang(here) if _came_by_itself(here, stage) else None
    if rang is not None and here.alarm_unanswered(here.last_turn) is None:
        why = (
            f"alarm {rang.alarm} went off {_minutes(rang.since, here)} after {live.label} came to life on {stage.name}"
        )
        why = f"{why}: {rang.reason}" if rang.reason else why
        yield AnswerAlarm(live.number, why, stage.name, here.last_turn, rang.alarm)


def _came_by_itself(here: Release, stage: StageState) -> bool:
    """Return whether the live release came to life by its own deployment; what was gone back to is not left again."""
    if stage.turn is not None and stage.turn.release == here.number:
        return stage.turn.kind == "deploy"
    return here.lives == 1


def _minutes(since: datetime, here: Release) -> str:
    minutes = int((since - (here.live_since or since)).total_seconds() // 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}" if minutes else "less than a minute"


def _turn(s: Situation, stage: StageState, now: datetime) -> Iterator[Action]:
    """Bring the turn that has begun on the stage to its end."""
    turn = stage.turn
    r = s.release(turn.release) if turn else None
    if turn is None or not stage.busy or r is None:
        return
    r = r.on(stage)
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
        yield _overdue(r, "deploy", turn.number, why, now, turn.stage)
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


def _next_turn(s: Situation, stage: StageState, now: datetime, lease: timedelta) -> Iterator[Action]:
    """Give the stage its next turn: the live release's, where the latest turn left hosts without it; else a rollback
    that was ordered, or else the newest release that is ready."""
    if stage.busy:
        return
    restored = _restored(s, stage)
    if restored is not None and stage.turn is not None:
        why = f"v{stage.turn.release} failed and some hosts may run it; {restored.label} is put back on every host"
        yield StartDeployment(restored.number, why, _restoring(s, stage, restored, now, lease), 1)
        return
    order = stage.ordered
    if order is not None:
        target = s.release(order.to)
        if target is not None and target.on(stage).served_digest:
            why = f"{order.by} ordered a rollback from v{order.away}: {order.reason}"
            yield StartDeployment(target.number, why, next_turn(s, stage, target, order, now, lease), 1)
        return
    ready = [r for r in s.releases if _is_ready(s, stage, r, now)]
    if ready:
        newest = max(ready, key=lambda r: r.number)
        why = f"{newest.label} is ready"
        bypass = newest.on(stage).bypass(now)
        if bypass:
            why = f"{why}: {bypass.by} bypassed the rules of {stage.name}: {bypass.reason}"
        yield StartDeployment(newest.number, why, next_turn(s, stage, newest, None, now, lease), 1)


def _is_ready(s: Situation, stage: StageState, r: Release, now: datetime) -> bool:
    if not r.accepted or phase_of(r, stage, now).phase is not Phase.BUILT or _ungated(s, r):
        return False
    # Never an older one over a newer one: what is live here may have come by another way than the stage before.
    return stage.before is None or stage.live < r.number


def _restored(s: Situation, stage: StageState) -> Release | None:
    """Return the live release, as the stage sees it, where hosts may run something else that failed."""
    live = s.release(stage.live) if stage.mixed else None
    here = live.on(stage) if live else None
    other = here and stage.turn and here.served_digest not in ("", stage.turn.digest)
    return here if other else None


def _restoring(s: Situation, stage: StageState, live: Release, now: datetime, lease: timedelta) -> Turn:
    """Return the turn that puts the live release back: no attempt of its own, and it serves no order that waits."""
    turn = next_turn(s, stage, live, None, now, lease)
    served = stage.turn.served if stage.turn else ""
    return replace(
        turn, kind="restore", digest=live.served_digest, attempt=live.turn_attempt or live.attempt, served=served
    )


def next_turn(
    s: Situation, stage: StageState, r: Release, order: RollbackOrdered | None, now: datetime, lease: timedelta
) -> Turn:
    """Return the stage's next turn, given to release ``r`` (by a rollback ``order``, where there is one)."""
    return Turn(
        at=now,
        stage=stage.name,
        number=stage.turn.number + 1 if stage.turn else 1,
        release=r.number,
        attempt=r.attempt,
        digest=r.on(stage).served_digest if order else r.digest,
        kind="rollback" if order else "deploy",
        live=stage.live,
        healthy=stage.healthy,
        served=stage.rollback.key if stage.rollback else "",
        lease=now + lease,
        deadline=now + s.service.minutes("deploy"),
    )


def _endings(s: Situation, r: Release, now: datetime) -> Iterator[Action]:
    """Stop what a release that is over still runs; close it when nothing of it does."""
    standing = standing_of(r, s.stages, now)
    phase, why = standing.phase, standing.why
    if not phase.ended:
        return
    projected = s.written.get(r.number) == _as_written(standing)
    claim = r.unanswered_build
    if claim is not None and now >= claim.lease:
        yield FindBuild(r.number, "its build was claimed and may have started", claim.attempt, claim.take)
    for build in r.running_builds:
        if not r.stop_asked(build.build):
            yield StopBuild(r.number, f"{r.label} is {phase}: {why}", build.build)
    lost = all(now >= b.at + s.service.minutes("build") + s.service.minutes("stop") for b in r.running_builds)
    if projected and claim is None and lost and not any(_is_needed_on(stage, r) for stage in s.stages):
        yield Close(r.number, f"{r.label} is {phase}: {why}")


def _is_needed_on(stage: StageState, r: Release) -> bool:
    """Return whether the stage still has to do with a release that is over: its turn, an order for it, or that it is
    live there, where something may take its place yet."""
    has_turn = stage.busy and stage.turn is not None and stage.turn.release == r.number
    ordered = stage.ordered is not None and stage.ordered.to == r.number
    return has_turn or ordered or r.number == stage.live


def _began(r: Release) -> datetime:
    """Return when the current attempt began."""
    return max([r.pushed.at, *(f.at for f in r.all(Retried))])


def back_off(take: int) -> timedelta:
    """Return how long to wait after the ``take``-th refusal: 15 s, doubled each time, at most five minutes."""
    return timedelta(seconds=min(15 * 2 ** min(take - 1, 10), 300))
