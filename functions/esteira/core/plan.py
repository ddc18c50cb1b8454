"""What to do next, decided from the snapshot alone. Every decision carries its reason.

Pure: a snapshot and ``now`` in, frozen actions out; nothing is done here. An action that another invocation may have
begun is planned only when its lease has run out, and whoever performs it looks in AWS first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from esteira.core.actions import (
    AcceptImage,
    Action,
    AnswerAlarm,
    Close,
    Diagnose,
    FindBuild,
    FindDeployment,
    Finish,
    OpenCommit,
    OpenImage,
    Project,
    ReadFindings,
    Record,
    Remind,
    StartBuild,
    StartDeployment,
    StopBuild,
    StopDeployment,
)
from esteira.core.admission import Waits, approval_expires
from esteira.core.facts import (
    Diagnosed,
    Gated,
    GivenUp,
    Held,
    RollbackOrdered,
    Rollout,
    StopAsked,
    Superseded,
    What,
)
from esteira.core.lease import LeaseState
from esteira.core.state import Deployed, OnStage, Release, Snapshot, StageState
from esteira.core.status import Assessed, Cause, Phase, assess
from esteira.gates import refusals


@dataclass(frozen=True)
class Moment:
    """What a plan is made from: the snapshot, the time, each release's status, and how long a new claim is held."""

    s: Snapshot
    now: datetime
    lease: timedelta
    assessed: Mapping[int, Assessed]


def moment(s: Snapshot, now: datetime, lease: timedelta) -> Moment:
    """The snapshot with the status of each of its releases at ``now``."""
    return Moment(s, now, lease, {r.number: assess(r, s.stages, now) for r in s.releases})


def plan(m: Moment) -> tuple[Action, ...]:
    """The actions that ``m`` asks for, in the order they are to be done.

    None when all is as it should be, or must be waited for.
    """
    births = tuple(_births(m))
    if births:
        return births  # whatever else there is to do, the new release changes it
    superseded = tuple(a for r in m.s.releases for a in _superseded(m, r))
    if superseded:
        return superseded
    return (
        *(a for r in m.s.releases for a in _projection(m, r)),
        *(a for r in m.s.releases for a in _towards_image(m, r)),
        *(a for r in m.s.releases for a in _rules(m, r)),
        *(a for stage in m.s.stages for a in _stage(m, stage)),
        *(a for r in m.s.releases for a in _endings(m, r)),
    )


def _births(m: Moment) -> Iterator[Action]:
    s = m.s
    number = s.newest.number + 1 if s.newest else 1
    if s.tip and s.tip != (s.newest.tip if s.newest else ""):
        yield OpenCommit(number, f"{s.service.branch} is at {s.tip[:8]}", s.tip)
    elif s.arrived:
        image = min(s.arrived, key=lambda a: (a.at, a.key))
        late = m.now >= (image.heard or image.at) + s.service.minutes("accept")
        yield OpenImage(number, f"image {image.tag} was pushed", image, late)


def _projection(m: Moment, r: Release) -> Iterator[Action]:
    assessed, before = m.assessed[r.number], m.s.written.get(r.number)
    status = assessed.overall
    # A release that is over and not open is read only because a rollback may go to it; it was projected before.
    if before == status.listed or (before is None and status.phase.ended):
        return
    was = before.phase if before else ""
    moved = was != status.phase.value
    waits = status.phase in (Phase.WAITING, Phase.LIVE)
    news = moved or (waits and before is not None and before.cause != status.cause)
    news = news and status.cause != Waits.FINDINGS
    first = status.phase is Phase.LIVE and status.stage == m.s.last.name and moved and r.on(m.s.last).lives == 1
    seconds = (m.now - r.began).total_seconds() if first else None
    yield Project(r.number, status.why, status, assessed.shown(m.s.stages), was, news, seconds)


def _superseded(m: Moment, r: Release) -> Iterator[Action]:
    """A newer release supersedes what has not begun to deploy anywhere.

    Later, a release is superseded by what takes its place on a stage (``facts.Replaced``).
    """
    by = m.s.newest_effective
    begun = m.assessed[r.number].overall.phase.begun or any(r.on(stage).begun for stage in m.s.stages)
    if r.number < by and not begun:
        yield Record(r.number, f"v{by} is newer", Superseded(at=m.now, release=r.number, by=by))


# --- towards the image ----------------------------------------------------------------------------------------------


def _towards_image(m: Moment, r: Release) -> Iterator[Action]:
    phase, attempt = m.assessed[r.number].overall.phase, r.attempt
    for build in r.running_builds:
        if build.attempt < attempt and not phase.ended and not _stop_asked(r, build.build):
            yield StopBuild(r.number, f"attempt {attempt} takes its place", build.build)
    if phase.ended or phase in (Phase.LIVE, Phase.DEPLOYING) or r.accepted:
        return
    if r.pushed.source == "image":
        yield from _accept(m, r, f"image {r.pushed.tag} was pushed", r.began)
    elif r.build_ended is not None:
        yield from _accept(m, r, f"build {r.build_ended.build} succeeded", r.build_ended.at)
    elif r.build is not None:
        if m.now >= r.build.at + m.s.service.minutes("build"):
            why = f"build {r.build.build} did not end within {m.s.service.deadlines.build_minutes} minutes"
            yield _give_up(m, r.number, "build", attempt, why)
    else:
        yield from _start_build(m, r)


def _start_build(m: Moment, r: Release) -> Iterator[Action]:
    attempt, lease = r.attempt, r.lease("build", r.attempt)
    late = m.now >= r.began + m.s.service.minutes("start")
    match lease.state(m.now):
        case LeaseState.EXPIRED if late:
            yield FindBuild(r.number, "its build was claimed and may have started", attempt, lease.take)
        case LeaseState.EXPIRED:
            why = "the previous attempt to start its build has no recorded outcome; checking CodeBuild"
            yield StartBuild(r.number, why, attempt, lease.take + 1)
        case LeaseState.BACKING_OFF | LeaseState.RETRY if late:
            minutes = m.s.service.deadlines.start_minutes
            why = f"its build could not start within {minutes} minutes: {lease.error}"
            yield _give_up(m, r.number, "start", attempt, why)
        case LeaseState.RETRY:
            yield StartBuild(r.number, f"AWS declined before: {lease.error}", attempt, lease.take + 1)
        case LeaseState.FREE:
            yield StartBuild(r.number, f"{r.label} has no image yet", attempt, 1)


def _accept(m: Moment, r: Release, why: str, since: datetime) -> Iterator[Action]:
    if m.now < since + m.s.service.minutes("accept"):
        yield AcceptImage(r.number, why, r.attempt)
        return
    declined = r.declined("accept", r.attempt, 1)
    cause = f": {declined.error}" if declined else ""
    late = f"its image could not be accepted within {m.s.service.deadlines.accept_minutes} minutes{cause}"
    yield _give_up(m, r.number, "accept", r.attempt, late)


def _rules(m: Moment, r: Release) -> Iterator[Action]:
    """Compare a release's figures with the gates, end a wait for approval at its deadline, and keep a quarantine.

    What was rejected for a quarantine stays so when the quarantine is lifted for another release of the commit.
    """
    kept = next((s for s in m.assessed[r.number].on.values() if s.cause == Cause.QUARANTINED), None)
    if kept is not None and r.given_up("quarantine", r.attempt) is None:
        yield _give_up(m, r.number, "quarantine", r.attempt, kept.summary)
    if _ungated(m.s, r):
        live = m.s.release(m.s.last.live) if m.s.last.live != r.number else None
        figures = live.on(m.s.last).figures if live else {}
        refused = refusals(m.s.service.gates, r.accepted.figures if r.accepted else {}, figures)
        fact = Gated(
            at=m.now,
            release=r.number,
            attempt=r.attempt,
            against=live.number if live else 0,
            refused=refused,
            dry_run=m.s.service.gates_dry_run,
        )
        yield Record(r.number, "; ".join(refused) or "its figures pass the gates", fact)
    yield from _scan(m, r)
    for stage in m.s.stages:
        assessed, expires = m.assessed[r.number], approval_expires(r.on(stage))
        waiting = assessed.on[stage.name].phase is Phase.WAITING
        asked = waiting and any(w.what is Waits.APPROVAL for w in assessed.waits[stage.name])
        if asked and expires and m.now >= expires and stage.rules and stage.rules.approvals:
            why = f"nobody approved it for {stage.name} within {stage.rules.approvals.wait_hours} hours"
            yield _give_up(m, r.number, "approval", r.attempt, why, stage.name)


def _scan(m: Moment, r: Release) -> Iterator[Action]:
    """Read what was found in its image where a stage asks for that, and keep a refusal."""
    assessed = m.assessed[r.number]
    for stage in m.s.stages:
        status = assessed.on[stage.name]
        if status.cause == Cause.SCAN_REFUSED and r.given_up("scan", r.attempt, stage.name) is None:
            yield _give_up(m, r.number, "scan", r.attempt, status.summary, stage.name)
    waits = (w for s in m.s.stages if assessed.on[s.name].phase is Phase.WAITING for w in assessed.waits[s.name])
    wanted = next((w for w in waits if w.what in (Waits.SCAN, Waits.UNSCANNED, Waits.FINDINGS)), None)
    if wanted is not None and not assessed.overall.phase.ended:
        yield ReadFindings(r.number, wanted.why, r.attempt)


def _ungated(s: Snapshot, r: Release) -> bool:
    """Whether the service has gates that the release's figures have not been compared with."""
    return bool(s.service.gates) and r.accepted is not None and r.gated is None


# --- on a stage -----------------------------------------------------------------------------------------------------


def _stage(m: Moment, stage: StageState) -> Iterator[Action]:
    yield from _rollout(m, stage)
    yield from _alarm(m, stage)
    yield from _next_rollout(m, stage)
    hold = stage.held(m.now)
    if hold is not None and not stage.reminded and m.now >= remind_at(hold):
        live = m.s.release(stage.live)
        yield Remind(live.number if live else 0, f"the hold on {stage.name} ends soon", hold)


def remind_at(hold: Held) -> datetime:
    """When people are reminded of a hold: when a tenth of it is left, at most an hour before its end."""
    end = hold.until or hold.at
    return end - min((end - hold.at) / 10, timedelta(hours=1))


def _alarm(m: Moment, stage: StageState) -> Iterator[Action]:
    """An alarm rang, or a host called it sick, while the live release was watched: answered once, unless somebody is at
    it already."""
    live = m.s.release(stage.live)
    if live is None or stage.busy or stage.ordered is not None:
        return
    here = live.on(stage)
    order = stage.rollback if stage.rollback and not stage.rollback.again else None
    # Where a rollback failed, or a person ordered one since, the same order again helps nobody.
    if order is not None and order.away == live.number and here.live_since and order.at >= here.live_since:
        return
    if not here.came_by_itself or live.given_up("alarm", here.last_rollout, stage.name) is not None:
        return
    if rang := stage.rang(here):
        by, says, since, reason = f"alarm {rang.alarm}", "rang", rang.since, rang.reason
    elif sick := stage.sickened(here):
        by, says, since, reason = f"host {sick.host}", "called it sick", sick.since, sick.why
    else:
        return
    why = f"{by} {says} {_minutes(since, here.live_since or since)} after {live.label} went live on {stage.name}"
    why = f"{why}: {reason}" if reason else why
    yield AnswerAlarm(live.number, why, stage.name, here.last_rollout, by)


def _minutes(rang: datetime, since: datetime) -> str:
    minutes = max(int((rang - since).total_seconds() // 60), 0)
    return f"{minutes} minute{'s' if minutes != 1 else ''}" if minutes else "less than a minute"


def _rollout(m: Moment, stage: StageState) -> Iterator[Action]:
    """Bring the rollout that has begun on the stage to its end."""
    rollout = stage.rollout
    r = m.s.release(rollout.release) if rollout else None
    if rollout is None or not stage.busy or r is None:
        return
    here = r.on(stage)
    done = here.last
    if done is None or done.number != rollout.number:
        return
    if done.given_up:
        yield from _finish(m, here, rollout, done.given_up.at, succeeded=False)
    elif done.ended:
        yield from _after_deployment(m, here, rollout, done)
    elif done.started:
        yield from _watch(m, r, rollout, done)
    else:
        yield from _resume_claim(m, r, rollout)


def _after_deployment(m: Moment, here: OnStage, rollout: Rollout, done: Deployed) -> Iterator[Action]:
    """A deployment has ended: what became of each host is read once, then the rollout is finished."""
    r, ended = here.release, done.ended
    if ended is None:
        return
    since = done.live_since or ended.at  # a deployment that another release shares ended long ago
    late = m.now >= since + m.s.service.minutes("stop")
    within = f"within {m.s.service.deadlines.stop_minutes} minutes"
    if done.diagnosed and done.diagnosed.failed:
        yield from _finish(m, here, rollout, ended.at, succeeded=False, mixed=done.diagnosed.reached)
    elif ended.status != "Succeeded" and not late:
        how = "failed" if ended.status == "Failed" else "was stopped"
        yield Diagnose(r.number, f"{ended.deployment} {how}", ended.deployment)
    elif ended.status != "Succeeded":
        cause = f"CodeDeploy did not say why {within}"
        fact = Diagnosed(at=m.now, deployment=ended.deployment, failed=True, cause=cause)
        yield Record(r.number, cause, fact)
    elif late and r.declined("finish", rollout.number, 0, rollout.stage) and not done.looked_at:
        cause = f"CodeDeploy did not say what became of each host {within}"
        yield Finish(r.number, cause, rollout, succeeded=False, take=1, tags=False, mixed=True, cause=cause)
    else:
        yield from _finish(m, here, rollout, since, succeeded=True)


def _finish(
    m: Moment, here: OnStage, rollout: Rollout, since: datetime, *, succeeded: bool, mixed: bool = False
) -> Iterator[Action]:
    lease = here.release.lease("finish", rollout.number, rollout.stage)
    if lease.state(m.now) in (LeaseState.HELD, LeaseState.BACKING_OFF):
        return
    tags = m.now < since + m.s.service.minutes("accept")
    why = f"rollout {rollout.number} {'succeeded' if succeeded else 'failed'}" + ("" if tags else "; its tags stay")
    yield Finish(rollout.release, why, rollout, succeeded, lease.take + 1, tags, mixed)


def _watch(m: Moment, r: Release, rollout: Rollout, done: Deployed) -> Iterator[Action]:
    """A deployment is under way: hold it to its deadline, and to an abort."""
    deployment = done.started.deployment if done.started else ""
    stop = _stop_asked(r, deployment)
    if stop and m.now >= stop + m.s.service.minutes("stop"):
        why = f"deployment {deployment} was asked to stop and did not say that it ended"
        yield _give_up_rollout(m, rollout, why)
    elif done.overdue is None and m.now >= rollout.deadline:
        why = f"deployment {deployment} did not end within {m.s.service.deadlines.deploy_minutes} minutes"
        yield _give_up(m, r.number, "deadline", rollout.number, why, rollout.stage)
    if (done.overdue or _called_off(r, rollout)) and not stop:
        yield StopDeployment(r.number, done.overdue.why if done.overdue else "it was aborted", deployment)


def _resume_claim(m: Moment, r: Release, rollout: Rollout) -> Iterator[Action]:
    """A rollout was claimed and no deployment is known: take it over when its lease has run out or was declined."""
    lease = r.lease("deploy", rollout.number, rollout.stage, rollout.lease)
    called_off = _called_off(r, rollout)
    unwanted = m.now >= rollout.deadline or called_off
    match lease.state(m.now):
        case LeaseState.BACKING_OFF | LeaseState.RETRY if unwanted:
            why = "it was aborted" if called_off else f"its deployment could not start: {lease.error}"
            yield _give_up_rollout(m, rollout, why)
        case LeaseState.RETRY:
            yield StartDeployment(r.number, f"AWS declined before: {lease.error}", rollout, lease.take + 1)
        case LeaseState.EXPIRED if unwanted:
            why = "its deployment was claimed and may have been created"
            yield FindDeployment(r.number, why, rollout, lease.take)
        case LeaseState.EXPIRED:
            why = "the previous attempt to create its deployment has no recorded outcome; checking CodeDeploy"
            yield StartDeployment(r.number, why, rollout, lease.take + 1)


def _called_off(r: Release, rollout: Rollout) -> bool:
    # A live release may have been aborted in vain before it went live; that does not call its next rollouts off.
    counts = r.aborted is not None and (rollout.kind not in ("restore", "redeploy") or r.aborted.at >= rollout.at)
    return counts and rollout.attempt == r.attempt


def _next_rollout(m: Moment, stage: StageState) -> Iterator[Action]:
    """Give the stage its next rollout: to restore the live release, to carry out a rollback, or to deploy the newest
    release that is ready."""
    if stage.busy or m.s.service.is_stopped:
        return
    restored = _restored(m.s, stage)
    if restored is not None and stage.rollout is not None:
        live = restored.release
        why = f"v{stage.rollout.release} failed and some hosts may run it; restoring {live.label} on every host"
        yield StartDeployment(live.number, why, _restore(m, restored), 1)
        return
    order = stage.ordered
    if order is not None:
        target = m.s.release(order.to)
        if target is not None and target.on(stage).served_digest:
            yield StartDeployment(target.number, *_ordered(m, target.on(stage), order), 1)
        return
    ready = [r for r in m.s.releases if _is_ready(m, stage, r)]
    if ready:
        newest = max(ready, key=lambda r: r.number)
        why, bypass = f"{newest.label} is ready", newest.on(stage).bypass(m.now)
        if bypass:
            why = f"{why}: {bypass.by} bypassed the rules of {stage.name}: {bypass.reason}"
        yield StartDeployment(newest.number, why, next_rollout(m, newest.on(stage), None), 1)
        return
    current, at = m.s.release(stage.live), stage.restored_at
    if current is not None and stage.drift and at and m.now >= at and not stage.held(m.now):
        why = f"deployment {stage.drift.deployment} by others put {stage.drift.revision} on {stage.name}"
        yield StartDeployment(current.number, f"{why}; restoring {current.label}", _restore(m, current.on(stage)), 1)


def _ordered(m: Moment, here: OnStage, order: RollbackOrdered) -> tuple[str, Rollout]:
    """Why an order's rollout begins, and the rollout."""
    if order.again:
        why = f"{order.by} ordered {here.release.label} to be deployed again: {order.reason}"
        return why, replace(_restore(m, here), kind="redeploy", served=order.key)
    return f"{order.by} ordered a rollback from v{order.away}: {order.reason}", next_rollout(m, here, order)


def _is_ready(m: Moment, stage: StageState, r: Release) -> bool:
    if not r.accepted or m.assessed[r.number].on[stage.name].phase is not Phase.BUILT or _ungated(m.s, r):
        return False
    # Never an older one over a newer one: what is live here may have come by another way than the stage before.
    return stage.before is None or stage.live < r.number


def _restored(s: Snapshot, stage: StageState) -> OnStage | None:
    """The live release, as the stage sees it, where hosts may run something else that failed."""
    live = s.release(stage.live) if stage.mixed else None
    here = live.on(stage) if live else None
    other = here and stage.rollout and here.served_digest not in ("", stage.rollout.digest)
    return here if other else None


def _restore(m: Moment, here: OnStage) -> Rollout:
    """The rollout that restores the live release: no attempt of its own, and it serves no waiting order."""
    latest, last = here.stage.rollout, here.last
    return replace(
        next_rollout(m, here, None),
        kind="restore",
        digest=here.served_digest,
        attempt=(last.attempt if last else 0) or here.release.attempt,
        served=latest.served if latest else "",
    )


def next_rollout(m: Moment, here: OnStage, order: RollbackOrdered | None) -> Rollout:
    """The stage's next rollout, of this release, by a rollback ``order`` where there is one."""
    stage, r = here.stage, here.release
    return Rollout(
        at=m.now,
        stage=stage.name,
        number=stage.rollout.number + 1 if stage.rollout else 1,
        release=r.number,
        attempt=r.attempt,
        digest=here.served_digest if order else r.digest,
        kind="rollback" if order else "deploy",
        live=stage.live,
        healthy=stage.healthy,
        served=stage.rollback.key if stage.rollback else "",
        lease=m.now + m.lease,
        deadline=m.now + m.s.service.minutes("deploy"),
    )


# --- endings --------------------------------------------------------------------------------------------------------


def _endings(m: Moment, r: Release) -> Iterator[Action]:
    """Stop what a release that is over still runs; close it when nothing of it does."""
    status = m.assessed[r.number].overall
    if not status.phase.ended:
        return
    over, service = f"{r.label} is {status.phase}: {status.summary}", m.s.service
    claim = r.unanswered_build
    if claim is not None and m.now >= claim.lease:
        yield FindBuild(r.number, "its build was claimed and may have started", claim.attempt, claim.take)
    for build in r.running_builds:
        if not _stop_asked(r, build.build):
            yield StopBuild(r.number, over, build.build)
    patience = service.minutes("build") + service.minutes("stop")
    lost = all(m.now >= b.at + patience for b in r.running_builds)
    needed = any(_is_needed_on(stage, r) for stage in m.s.stages)
    if m.s.written.get(r.number) == status.listed and claim is None and lost and not needed:
        yield Close(r.number, over)


def _is_needed_on(stage: StageState, r: Release) -> bool:
    """Whether the stage still has to do with a release that is over: its rollout, an order for it, or that it is live
    there and something may take its place yet."""
    busy = stage.busy and stage.rollout is not None and stage.rollout.release == r.number
    ordered = stage.ordered is not None and stage.ordered.to == r.number
    return busy or ordered or r.number == stage.live


def _stop_asked(r: Release, thing: str) -> datetime | None:
    asked = r.one(StopAsked, thing=thing)
    return asked.at if asked else None


def _give_up(m: Moment, release: int, what: What, number: int, why: str, stage: str = "", attempt: int = 0) -> Record:
    fact = GivenUp(at=m.now, release=release, what=what, number=number, stage=stage, attempt=attempt, why=why)
    return Record(release, why, fact)


def _give_up_rollout(m: Moment, rollout: Rollout, why: str) -> Record:
    return _give_up(m, rollout.release, "deployment", rollout.number, why, rollout.stage, rollout.attempt)
