"""What to do next, decided from the situation alone. Every decision carries its reason.

Pure: a situation and ``now`` in, frozen actions out; nothing is done here. Actions that another function may have
begun are only planned when its claim has run out, and ``advance`` looks in AWS before it acts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from esteira.core.admission import Waits, approval_expires, waits
from esteira.core.facts import (
    DeploymentEnded,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    Fact,
    Gated,
    Held,
    ImageArrived,
    Overdue,
    Retried,
    RollbackOrdered,
    Rollout,
    Superseded,
)
from esteira.core.state import Release, Snapshot, StageState, Written
from esteira.core.status import Phase, Status, status_of, status_on
from esteira.gates import refusals


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

    rollout: Rollout
    take: int


@dataclass(frozen=True)
class FindDeployment(Action):
    """Find out whether a claimed deployment was ever created, for a rollout that no longer wants one."""

    rollout: Rollout
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
class Finish(Action):
    """End a rollout: move the stage's tags (unless that was tried for too long), tell the neighbours, free the stage.

    One that succeeded is settled only if every host has it; else what is wrong is written down and nothing settled.
    ``cause`` is written down as why it failed, where that could not be done before: whoever settles it decides.
    """

    rollout: Rollout
    succeeded: bool
    take: int
    tags: bool
    mixed: bool = False
    cause: str = ""


@dataclass(frozen=True)
class AnswerAlarm(Action):
    """Take the stage back from the release an alarm went off for, and quarantine it, as if somebody had ordered it."""

    stage: str
    rollout: int
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

    status: Status
    before: str
    news: bool
    seconds_to_live: float | None = None

    @property
    def phase(self) -> Phase:
        return self.status.phase


@dataclass(frozen=True)
class Close(Action):
    """The release is over and nothing of it runs: read it no more."""


def plan(s: Snapshot, now: datetime, lease: timedelta) -> tuple[Action, ...]:
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


def _births(s: Snapshot) -> Iterator[Action]:
    number = s.newest.number + 1 if s.newest else 1
    if s.tip and s.tip != (s.newest.tip if s.newest else ""):
        yield OpenCommit(number, f"{s.service.branch} is at {s.tip[:8]}", s.tip)
    elif s.arrived:
        image = min(s.arrived, key=lambda a: (a.at, a.key))
        yield OpenImage(number, f"image {image.tag} was pushed", image)


def _projection(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
    status = status_of(r, s.stages, now)
    before = s.written.get(r.number)
    # One that is over and not open is read only because a rollback may go to it; its projection was written before.
    if before != _as_written(status) and not (before is None and status.phase.ended):
        was = before.phase if before else ""
        moved = was != status.phase.value
        news = moved or (
            status.phase in (Phase.WAITING, Phase.LIVE) and before is not None and before.cause != status.cause
        )
        there = r.on(s.last)
        first = status.phase is Phase.LIVE and status.stage == s.last.name and moved and there.lives == 1
        seconds = (now - _began(r)).total_seconds() if first else None
        yield Project(r.number, status.why, status, was, news, seconds)


def _as_written(status: Status) -> Written:
    return Written(status.phase.value, status.why, status.cause)


def _superseded(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
    """A newer release supersedes what has not begun to deploy anywhere. Later on, a release is superseded by what takes
    its place on the stage it comes from (``facts.Replaced``)."""
    by = s.newest_effective
    begun = status_of(r, s.stages, now).phase.begun or any(r.on(stage).begun for stage in s.stages)
    if r.number < by and not begun:
        yield Record(r.number, f"v{by} is newer", Superseded(at=now, release=r.number, by=by))


def _towards_image(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
    phase = status_of(r, s.stages, now).phase
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


def _start_build(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
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


def _accept(s: Snapshot, r: Release, why: str, since: datetime, now: datetime) -> Iterator[Action]:
    if now >= since + s.service.minutes("accept"):
        declined = r.declined("accept", r.attempt, 1)
        cause = f": {declined.error}" if declined else ""
        late = f"its image could not be accepted within {s.service.deadlines.accept_minutes} minutes{cause}"
        yield _overdue(r, "accept", r.attempt, late, now)
    else:
        yield AcceptImage(r.number, why, r.attempt)


def _rules(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
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
        waiting = status_on(r, stage, now).phase is Phase.WAITING
        asked = waiting and any(w.what is Waits.APPROVAL for w in waits(r, stage, now))
        if asked and expires and now >= expires and stage.rules and stage.rules.approvals:
            why = f"nobody approved it for {stage.name} within {stage.rules.approvals.wait_hours} hours"
            yield _overdue(r, "approval", r.attempt, why, now, stage.name)


def _ungated(s: Snapshot, r: Release) -> bool:
    """Return whether the service has gates and the release's figures have not been held against them."""
    return bool(s.service.gates) and r.accepted is not None and r.gated is None


def _stage(s: Snapshot, stage: StageState, now: datetime, lease: timedelta) -> Iterator[Action]:
    yield from _rollout(s, stage, now)
    yield from _alarm(s, stage)
    yield from _next_rollout(s, stage, now, lease)
    hold = stage.held(now)
    reminded = stage.reminded is not None and hold is not None and stage.reminded.hold == hold.key
    if hold is not None and not reminded and now >= remind_at(hold):
        live = s.release(stage.live)
        yield Remind(live.number if live else 0, f"the hold of {stage.name} ends soon", hold)


def remind_at(hold: Held) -> datetime:
    """Return when people are reminded of a hold: when a tenth of it is left, at most an hour before its end."""
    return hold.until - min((hold.until - hold.at) / 10, timedelta(hours=1))


def _alarm(s: Snapshot, stage: StageState) -> Iterator[Action]:
    """An alarm went off while what is live was watched: once, and not where somebody is at it already."""
    live = s.release(stage.live)
    if live is None or stage.busy or stage.ordered is not None:
        return
    here, order = live.on(stage), stage.rollback
    # Once: where going back failed, or was ordered by a person since, nobody is helped by the same order again.
    if order is not None and order.away == live.number and here.live_since and order.at >= here.live_since:
        return
    rang = stage.rang(here) if _came_by_itself(here, stage) else None
    if rang is not None and here.alarm_unanswered(here.last_rollout) is None:
        why = (
            f"alarm {rang.alarm} went off {_minutes(rang.since, here)} after {live.label} came to life on {stage.name}"
        )
        why = f"{why}: {rang.reason}" if rang.reason else why
        yield AnswerAlarm(live.number, why, stage.name, here.last_rollout, rang.alarm)


def _came_by_itself(here: Release, stage: StageState) -> bool:
    """Return whether the live release came to life by its own deployment; what was gone back to is not left again."""
    if stage.rollout is not None and stage.rollout.release == here.number:
        return stage.rollout.kind == "deploy"
    return here.lives == 1


def _minutes(since: datetime, here: Release) -> str:
    minutes = int((since - (here.live_since or since)).total_seconds() // 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}" if minutes else "less than a minute"


def _rollout(s: Snapshot, stage: StageState, now: datetime) -> Iterator[Action]:
    """Bring the rollout that has begun on the stage to its end."""
    rollout = stage.rollout
    r = s.release(rollout.release) if rollout else None
    if rollout is None or not stage.busy or r is None:
        return
    r = r.on(stage)
    started, given_up = r.deployment(rollout.number), r.given_up(rollout.number)
    ended = r.ended(started.deployment) if started else None
    if given_up:
        yield from _finish(s, r, rollout, given_up.at, False, now)
    elif started and ended:
        yield from _after_deployment(s, r, rollout, ended, now)
    elif started:
        yield from _watch(s, r, rollout, started, now)
    else:
        yield from _resume_claim(r, rollout, now)


def _after_deployment(
    s: Snapshot, r: Release, rollout: Rollout, ended: DeploymentEnded, now: datetime
) -> Iterator[Action]:
    """A deployment has ended: what became of each host is read once, then the rollout is settled."""
    late = now >= ended.at + s.service.minutes("stop")
    unsaid = f"CodeDeploy did not say {{}} within {s.service.deadlines.stop_minutes} minutes"
    diagnosed = r.diagnosed(ended.deployment)
    if diagnosed:
        yield from _finish(s, r, rollout, ended.at, False, now, mixed=diagnosed.reached)
    elif ended.status != "Succeeded" and not late:
        how = "failed" if ended.status == "Failed" else "was stopped"
        yield Diagnose(r.number, f"{ended.deployment} {how}", ended.deployment)
    elif ended.status != "Succeeded":
        cause = unsaid.format("why")
        yield Record(r.number, cause, Diagnosed(at=now, deployment=ended.deployment, cause=cause))
    elif late and r.declined("finish", rollout.number, 0) and r.claim("finish", rollout.number) is None:
        cause = unsaid.format("what became of each host")
        yield Finish(r.number, cause, rollout, succeeded=False, take=1, tags=False, mixed=True, cause=cause)
    else:
        yield from _finish(s, r, rollout, ended.at, True, now)


def _finish(
    s: Snapshot, r: Release, rollout: Rollout, since: datetime, succeeded: bool, now: datetime, *, mixed: bool = False
) -> Iterator[Action]:
    claim = r.claim("finish", rollout.number)
    declined = r.declined("finish", rollout.number, claim.take) if claim else None
    free = claim is None or now >= claim.lease or (declined is not None and now >= declined.at + back_off(claim.take))
    if free:
        tags = now < since + s.service.minutes("accept")
        why = f"rollout {rollout.number} {'succeeded' if succeeded else 'failed'}" + ("" if tags else "; its tags stay")
        yield Finish(r.number, why, rollout, succeeded, claim.take + 1 if claim else 1, tags, mixed)


def _watch(s: Snapshot, r: Release, rollout: Rollout, started: DeploymentStarted, now: datetime) -> Iterator[Action]:
    """A deployment is under way: hold it to its deadline, and to an abort."""
    overdue, stop = r.overdue("deploy", rollout.number), r.stop_asked(started.deployment)
    if stop and now >= stop.at + s.service.minutes("stop"):
        why = f"deployment {started.deployment} was asked to stop and never said that it ended"
        yield _give_up(rollout, why, now)
    elif overdue is None and now >= rollout.deadline:
        why = f"deployment {started.deployment} did not end within {s.service.deadlines.deploy_minutes} minutes"
        yield _overdue(r, "deploy", rollout.number, why, now, rollout.stage)
    if (overdue or _called_off(r, rollout)) and not stop:
        yield StopDeployment(r.number, overdue.why if overdue else "it was aborted", started.deployment)


def _resume_claim(r: Release, rollout: Rollout, now: datetime) -> Iterator[Action]:
    """A turn was claimed and no deployment is known: take it over when its claim has run out or was declined."""
    claim = r.claim("deploy", rollout.number)
    take = claim.take if claim else 1
    lease = claim.lease if claim else rollout.lease
    declined = r.declined("deploy", rollout.number, take)
    unwanted = now >= rollout.deadline or _called_off(r, rollout)
    if declined and unwanted:
        why = "it was aborted" if _called_off(r, rollout) else f"its deployment could not start: {declined.error}"
        yield _give_up(rollout, why, now)
    elif declined and now >= declined.at + back_off(take):
        yield StartDeployment(r.number, f"AWS refused before: {declined.error}", rollout, take + 1)
    elif not declined and now >= lease and unwanted:
        yield FindDeployment(r.number, "its deployment was claimed and may have been created", rollout, take)
    elif not declined and now >= lease:
        yield StartDeployment(r.number, "who claimed its deployment never said what came of it", rollout, take + 1)


def _give_up(rollout: Rollout, why: str, now: datetime) -> Record:
    given_up = DeploymentGivenUp(
        at=now, release=rollout.release, stage=rollout.stage, rollout=rollout.number, attempt=rollout.attempt, why=why
    )
    return Record(rollout.release, why, given_up)


def _called_off(r: Release, rollout: Rollout) -> bool:
    # A live release may have been aborted in vain before it came to life; that does not call its restoring off.
    counts = r.aborted is not None and (rollout.kind != "restore" or r.aborted.at >= rollout.at)
    return counts and rollout.attempt == r.attempt


def _next_rollout(s: Snapshot, stage: StageState, now: datetime, lease: timedelta) -> Iterator[Action]:
    """Give the stage its next rollout: the live release's, where the latest rollout left hosts without it; else a
    rollback that was ordered, or else the newest release that is ready."""
    if stage.busy:
        return
    restored = _restored(s, stage)
    if restored is not None and stage.rollout is not None:
        why = f"v{stage.rollout.release} failed and some hosts may run it; {restored.label} is put back on every host"
        yield StartDeployment(restored.number, why, _restoring(s, stage, restored, now, lease), 1)
        return
    order = stage.ordered
    if order is not None:
        target = s.release(order.to)
        if target is not None and target.on(stage).served_digest:
            why = f"{order.by} ordered a rollback from v{order.away}: {order.reason}"
            yield StartDeployment(target.number, why, next_rollout(s, stage, target, order, now, lease), 1)
        return
    ready = [r for r in s.releases if _is_ready(s, stage, r, now)]
    if ready:
        newest = max(ready, key=lambda r: r.number)
        why = f"{newest.label} is ready"
        bypass = newest.on(stage).bypass(now)
        if bypass:
            why = f"{why}: {bypass.by} bypassed the rules of {stage.name}: {bypass.reason}"
        yield StartDeployment(newest.number, why, next_rollout(s, stage, newest, None, now, lease), 1)


def _is_ready(s: Snapshot, stage: StageState, r: Release, now: datetime) -> bool:
    if not r.accepted or status_on(r, stage, now).phase is not Phase.BUILT or _ungated(s, r):
        return False
    # Never an older one over a newer one: what is live here may have come by another way than the stage before.
    return stage.before is None or stage.live < r.number


def _restored(s: Snapshot, stage: StageState) -> Release | None:
    """Return the live release, as the stage sees it, where hosts may run something else that failed."""
    live = s.release(stage.live) if stage.mixed else None
    here = live.on(stage) if live else None
    other = here and stage.rollout and here.served_digest not in ("", stage.rollout.digest)
    return here if other else None


def _restoring(s: Snapshot, stage: StageState, live: Release, now: datetime, lease: timedelta) -> Rollout:
    """Return the rollout that puts the live release back: no attempt of its own, and it serves no order that waits."""
    rollout = next_rollout(s, stage, live, None, now, lease)
    served = stage.rollout.served if stage.rollout else ""
    return replace(
        rollout, kind="restore", digest=live.served_digest, attempt=live.rollout_attempt or live.attempt, served=served
    )


def next_rollout(
    s: Snapshot, stage: StageState, r: Release, order: RollbackOrdered | None, now: datetime, lease: timedelta
) -> Rollout:
    """Return the stage's next rollout, given to release ``r`` (by a rollback ``order``, where there is one)."""
    return Rollout(
        at=now,
        stage=stage.name,
        number=stage.rollout.number + 1 if stage.rollout else 1,
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


def _endings(s: Snapshot, r: Release, now: datetime) -> Iterator[Action]:
    """Stop what a release that is over still runs; close it when nothing of it does."""
    status = status_of(r, s.stages, now)
    phase, why = status.phase, status.why
    if not phase.ended:
        return
    projected = s.written.get(r.number) == _as_written(status)
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
    """Return whether the stage still has to do with a release that is over: its rollout, an order for it, or that it is
    live there, where something may take its place yet."""
    has_turn = stage.busy and stage.rollout is not None and stage.rollout.release == r.number
    ordered = stage.ordered is not None and stage.ordered.to == r.number
    return has_turn or ordered or r.number == stage.live


def _began(r: Release) -> datetime:
    """Return when the current attempt began."""
    return max([r.pushed.at, *(f.at for f in r.all(Retried))])


def back_off(take: int) -> timedelta:
    """Return how long to wait after the ``take``-th refusal: 15 s, doubled each time, at most five minutes."""
    return timedelta(seconds=min(15 * 2 ** min(take - 1, 10), 300))
