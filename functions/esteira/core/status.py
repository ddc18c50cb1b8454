"""Where a release stands, on each stage and in all, and why: a ladder of early returns, what is final first.

Pure: ``now`` is an argument, and the same facts give the same status in whatever order they came. ``assess`` computes
the status once per stage; everything else reads it from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from esteira.core.admission import Wait, Waits, waits
from esteira.core.facts import Diagnosed, GivenUp, ImageMissed
from esteira.core.state import Deployed, Listed, OnStage, Release, StageState


class Phase(StrEnum):
    """Where a release stands. All but the first six are ends; ``live`` lasts until something takes its place."""

    PUSHED = "pushed"
    BUILDING = "building"
    BUILT = "built"
    WAITING = "waiting"
    DEPLOYING = "deploying"
    LIVE = "live"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled back"
    REJECTED = "rejected"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether a release in this phase is over until an operator says otherwise."""
        return self not in _UNDER_WAY

    @property
    def begun(self) -> bool:
        """Whether a release in this phase has begun to deploy or is over: nothing supersedes it."""
        return self in (Phase.DEPLOYING, Phase.LIVE) or self.ended


_UNDER_WAY = {Phase.PUSHED, Phase.BUILDING, Phase.BUILT, Phase.WAITING, Phase.DEPLOYING, Phase.LIVE}


class Cause(StrEnum):
    """Why a release failed or was rejected, in a word to count by.

    A failure on the host is counted by CodeDeploy's lifecycle event instead, as ``application-start-failed``; what a
    waiting release waits for is ``admission.Waits``.
    """

    GUARD = "guard"  # the push itself: a secret in the tree
    SETTINGS = "settings"  # esteira.yaml cannot be used, or a file is not called as it must be
    GATE = "gate"  # the model's figures
    QUARANTINED = "quarantined"
    DISAPPROVED = "disapproved"
    APPROVAL_EXPIRED = "approval-expired"
    SCAN_REFUSED = "scan-refused"  # what was found in its image, or that it was not scanned
    BUILD_NOT_STARTED = "build-not-started"
    BUILD_FAILED = "build-failed"
    BUILD_STOPPED = "build-stopped"
    BUILD_TIMED_OUT = "build-timed-out"
    BUILD_FAULT = "build-fault"  # CodeBuild's own
    IMAGE_MISSING = "image-missing"
    IMAGE_NOT_ACCEPTED = "image-not-accepted"
    IMAGE_GONE = "image-gone"  # of a live release: the registry has it no more, or archived it
    BUNDLE_REFUSED = "bundle-refused"
    SECRET_MISSING = "secret-missing"  # noqa: S105 - no password: esteira.yaml names a secret, and nobody has set it
    DEPLOYMENT_NOT_STARTED = "deployment-not-started"
    DEPLOYMENT_LOST = "deployment-lost"  # it was asked to stop and did not say that it ended
    DEPLOYMENT_TIMED_OUT = "deployment-timed-out"
    DEPLOYMENT_STOPPED = "deployment-stopped"
    DEPLOYMENT_FAILED = "deployment-failed"  # on the host, and no lifecycle event says where
    DEVIATED = "deviated"  # of a live release: a deployment by others put something else on the hosts
    LAUNCH_FAILED = "launch-failed"  # of a live release: a host that came new could not run it
    SICK = "sick"  # of a live release: a host says that its container is
    ALARM = "alarm"  # of a live release: an alarm rang, and there is nothing to roll back to


def in_one_line(summary: str, next_step: str) -> str:
    """The sentence and the next step, if there is one, as a log or an answer has them."""
    return f"{summary}; next: {next_step}" if next_step else summary


@dataclass(frozen=True)
class Status(Listed):
    """Where a release stands: the phase, one sentence, log lines that belong to it, and the next thing to type.

    ``cause`` is a ``Cause`` or, for a wait, what is waited for. ``stage`` is the stage it is about, "" for none.
    """

    phase: Phase

    @property
    def why(self) -> str:
        """The sentence and the next step in one line, for a log or an answer."""
        return in_one_line(self.summary, self.next)

    @property
    def listed(self) -> Listed:
        """The status as listings keep it."""
        return Listed(self.phase.value, self.summary, self.detail, self.next, self.cause, self.stage)


@dataclass(frozen=True)
class Assessed:
    """A release's status in all, on each stage, and what it waits for on each stage where it waits."""

    release: Release
    overall: Status
    on: Mapping[str, Status]
    waits: Mapping[str, tuple[Wait, ...]]
    came_to: tuple[str, ...]  # the stages its current attempt came to, or was promoted to

    def shown(self, stages: Sequence[StageState]) -> dict[str, Status]:
        """The status on each stage that the release ever came to or is live on, by the stage's name."""
        there = (s for s in stages if self.release.pushed.effective)
        return {s.name: self.on[s.name] for s in there if self.release.on(s).last or self.release.on(s).is_live}


def assess(release: Release, stages: Sequence[StageState], now: datetime) -> Assessed:
    """Where ``release`` stands at ``now``, in all and on each of the service's ``stages``."""
    views = [release.on(stage) for stage in stages]
    waiting = {v.stage.name: waits(v, now) if release.accepted else () for v in views}
    on = {
        v.stage.name: _sick(v, _not_launched(v, _deviated(v, _on_stage(v, waiting[v.stage.name], now)))) for v in views
    }
    came = tuple(v.stage.name for v in views if v.promoted is not None or v.came)
    return Assessed(release, _overall(views, on, came), on, waiting, came)


def _overall(views: Sequence[OnStage], on: Mapping[str, Status], came: Sequence[str]) -> Status:
    """The status on the last stage that the current attempt came to; live there, that on the way to the next one.

    A sentence about a release that has ended also says where it is live all the same.
    """
    at = max((n for n, v in enumerate(views) if v.stage.name in came), default=0)
    status = on[views[at].stage.name]
    if status.phase is Phase.LIVE and at + 1 < len(views):
        ahead = on[views[at + 1].stage.name]
        if ahead.cause == Waits.STAGE_BEFORE:  # it is not live with this image any more, or not finished yet
            return status
        status = ahead
    live = [v.stage.name for v in views if v.is_live]
    if live and status.phase not in (Phase.LIVE, Phase.SUPERSEDED):
        return replace(status, summary=f"live on {' and '.join(live)}; {status.summary}")
    return status


def _on_stage(here: OnStage, waiting: tuple[Wait, ...], now: datetime) -> Status:
    pushed = here.release.pushed
    if pushed.rejected:
        return Status(
            Phase.REJECTED, pushed.rejected, cause=pushed.cause or (Cause.GUARD if pushed.source == "commit" else "")
        )
    if pushed.skipped:
        return Status(Phase.SKIPPED, pushed.skipped)
    if pushed.outdated:
        return Status(Phase.SUPERSEDED, pushed.outdated)
    name = here.stage.name
    if here.begun and here.last is not None:
        return replace(_after_rollout(here, here.last), stage=name)
    if here.live_with_its_image:
        return Status(Phase.LIVE, f"{name} runs this image already", stage=name)
    return _before_rollout(here, waiting, now)


def _deviated(here: OnStage, status: Status) -> Status:
    """The status of a live release, with what somebody else deployed in its place."""
    drift, at = here.stage.drift, here.stage.restored_at
    if drift is None or status.phase is not Phase.LIVE or not here.is_live:
        return status
    name, label = here.stage.name, here.release.label
    run, ended = ("some hosts of {} may run", "failed") if drift.failed else ("the hosts of {} run", "ended")
    summary = f"{status.summary}; but {run.format(name)} {drift.revision}: deployment {drift.deployment}, made by "
    summary += f"{drift.by} and not by esteira, {ended} at {drift.ended:%H:%M} UTC"
    remedy = f"esteira hold --stage {name} --reason … --for 4h keeps it"
    if at is not None:
        summary, remedy = f"{summary}; {label} is put back at {at:%H:%M} UTC", f"{remedy} as it is for now"
    else:
        remedy = f"push, or deploy {label}'s bundle again in CodeDeploy"
    return replace(status, summary=summary, next=remedy, cause=status.cause or Cause.DEVIATED)


def _not_launched(here: OnStage, status: Status) -> Status:
    """The status of a live release, with why a host that came new could not run it."""
    launch, name = here.stage.not_launched, here.stage.name
    if launch is None or status.phase is not Phase.LIVE or not here.is_live:
        return status
    told = (
        f"but {launch.host or 'a host'}, new on {name}, could not run it: deployment {launch.deployment}: {launch.why}"
    )
    remedy = f"esteira hosts --stage {name}; the group starts another host until one can"
    summary = f"{status.summary}; {told}"
    return replace(status, summary=summary, next=status.next or remedy, cause=status.cause or Cause.LAUNCH_FAILED)


def _sick(here: OnStage, status: Status) -> Status:
    """The status of a live release, with since when it is sick and why, as its hosts say."""
    sick, stage = here.stage.sick, here.stage
    if not sick or status.phase is not Phase.LIVE or not here.is_live or status.cause == Cause.ALARM:
        return status
    told = "; ".join(f"sick on host {h.host} since {h.since:%Y-%m-%d %H:%M} UTC: {h.why}" for h in sick[:3])
    remedy = f"esteira rollback --stage {stage.name} --reason …, or push a fix"
    if sick[0].sick == "disk":
        remedy = "make room on the host (docker system df, docker image prune --all), or raise VolumeGiB"
    summary = f"{status.summary}; but it is {told}"
    return replace(status, summary=summary, next=status.next or remedy, cause=status.cause or Cause.SICK)


# --- from the rollout on --------------------------------------------------------------------------------------------


def _after_rollout(here: OnStage, last: Deployed) -> Status:
    """The status of a release whose current attempt has had a rollout on the stage."""
    name, gone, aborted = here.stage.name, here.replaced, here.release.aborted
    if gone is not None and gone.ordered_by:
        return Status(Phase.ROLLED_BACK, f"{gone.ordered_by} rolled {name} back to v{gone.by}: {gone.reason}")
    if gone is not None:
        return Status(Phase.SUPERSEDED, f"v{gone.by} replaced it on {name}")
    if last.given_up is not None:
        return _given_up(here, last, last.given_up)
    if last.started is None:
        return Status(Phase.DEPLOYING, _being_created(here, last))
    if last.ended is not None and last.ended.status == "Succeeded":
        return _succeeded(here, last)
    if last.ended is not None:
        return _deployment_failed(here, last)
    deployment = last.started.deployment
    if last.overdue is not None:
        return Status(Phase.DEPLOYING, f"{last.overdue.why}; stopping deployment {deployment}")
    if aborted:
        return Status(Phase.DEPLOYING, f"{aborted.by} aborted it; stopping deployment {deployment}")
    return Status(Phase.DEPLOYING, f"deployment {deployment} is in progress on {name}")


def _succeeded(here: OnStage, last: Deployed) -> Status:
    """The status of a release whose deployment CodeDeploy calls Succeeded, which it may be without some host."""
    name, started = here.stage.name, last.started
    deployment = started.deployment if started else ""
    if last.diagnosed is not None and last.diagnosed.failed:
        return _diagnosed(here, f"deployment {deployment} did not reach every host", last.diagnosed)
    if last.rollout is not None and here.stage.busy and not last.looked_at:
        declined = here.release.declined("finish", last.number, 0, name)
        cause = f": {declined.error}" if declined else ""
        return Status(Phase.DEPLOYING, f"deployment {deployment} succeeded; checking its hosts{cause}")
    summary = f"deployment {deployment} succeeded on {name}"
    if started is not None and started.unchanged:
        summary = f"{name} already ran this image with these settings ({deployment}), so nothing was restarted"
    unanswered = here.release.given_up("alarm", last.number, name)
    if unanswered is not None:
        return Status(Phase.LIVE, f"{summary}; {unanswered.why}", cause=Cause.ALARM)
    missed = here.release.missed(here.served_digest)
    if missed is not None:
        why = f"its image {missed.digest[:19]} is {missed.how}, so no other host can pull it"
        return Status(Phase.LIVE, f"{summary}; {why}", next=_have_it_again(missed), cause=Cause.IMAGE_GONE)
    return Status(Phase.LIVE, summary, last.diagnosed.found if last.diagnosed else ())


def _have_it_again(missed: ImageMissed) -> str:
    return "restore it in ECR" if missed.how == "archived" else "push a new commit or image"


def _given_up(here: OnStage, last: Deployed, given_up: GivenUp) -> Status:
    aborted = here.release.aborted
    sentence, *detail = given_up.why.split("\n")
    if aborted is None:
        cause = Cause.DEPLOYMENT_LOST if last.started else Cause.DEPLOYMENT_NOT_STARTED
        if given_up.remedy:  # a bundle that is refused, an image that is gone, a secret that is not set
            cause = Cause(given_up.cause or Cause.BUNDLE_REFUSED)
        return Status(Phase.FAILED, sentence, tuple(detail), given_up.remedy or _retry(here.release), cause)
    if last.started:
        return Status(Phase.ABORTED, f"{aborted.by} aborted it while it was being deployed; {sentence}")
    return Status(Phase.ABORTED, f"{aborted.by} aborted it before it was deployed: {aborted.reason}")


def _being_created(here: OnStage, last: Deployed) -> str:
    name = here.stage.name
    error = here.release.lease("deploy", last.number, name, last.rollout.lease if last.rollout else None).error
    if error:
        return f"could not start the deployment on {name}: {error} (retrying)"
    return f"its deployment on {name} is being created"


def _deployment_failed(here: OnStage, last: Deployed) -> Status:
    release, deployment = here.release, last.started.deployment if last.started else ""
    if last.overdue is not None:
        summary = f"{last.overdue.why}; deployment {deployment} was stopped"
        return Status(Phase.FAILED, summary, next=_retry(release), cause=Cause.DEPLOYMENT_TIMED_OUT)
    if release.aborted:
        by, reason = release.aborted.by, release.aborted.reason
        return Status(Phase.ABORTED, f"{by} aborted it while it was being deployed: {reason}")
    if last.ended is not None and last.ended.status == "Stopped":
        summary = f"deployment {deployment} was stopped, not by esteira"
        return Status(Phase.FAILED, summary, next=_retry(release), cause=Cause.DEPLOYMENT_STOPPED)
    if last.diagnosed is None:
        return Status(Phase.DEPLOYING, f"deployment {deployment} failed; reading the cause")
    return _diagnosed(here, f"deployment {deployment} failed", last.diagnosed)


def _diagnosed(here: OnStage, how: str, diagnosed: Diagnosed) -> Status:
    """A failure on the host, counted by the lifecycle event where it failed: ``application-start-failed``."""
    sentence, *detail = diagnosed.cause.split("\n")
    event = re.sub(r"(?<!^)(?=[A-Z])", "-", diagnosed.event).lower()
    cause = f"{event}-failed" if event else Cause.DEPLOYMENT_FAILED
    return Status(Phase.FAILED, f"{how}: {sentence}", tuple(detail), f"push a fix, or {_retry(here.release)}", cause)


# --- up to the rollout ----------------------------------------------------------------------------------------------

# Which wait passed its deadline before the rollout.
_OVERDUE = {
    "start": Cause.BUILD_NOT_STARTED,
    "build": Cause.BUILD_TIMED_OUT,
    "accept": Cause.IMAGE_NOT_ACCEPTED,
}


def _before_rollout(here: OnStage, waiting: tuple[Wait, ...], now: datetime) -> Status:
    """The status of a release whose current attempt has had no rollout on the stage."""
    release = here.release
    if release.aborted:
        return Status(Phase.ABORTED, f"{release.aborted.by} aborted it: {release.aborted.reason}")
    if release.superseded:
        return Status(Phase.SUPERSEDED, f"v{release.superseded.by} came before it was deployed")
    for what, cause in _OVERDUE.items():
        overdue = release.given_up(what, release.attempt)
        if overdue is not None:
            remedy = overdue.remedy or _retry(release)
            return Status(Phase.FAILED, overdue.why, next=remedy, cause=overdue.cause or cause)
    q, kept = release.quarantine, release.given_up("quarantine", release.attempt)
    if q is not None or kept is not None:
        summary = f"{q.by} quarantined {q.subject[:19]} with v{q.release}: {q.reason}" if q else ""
        summary = kept.why if kept else summary
        return Status(Phase.REJECTED, summary, next=_retry(release), cause=Cause.QUARANTINED)
    missing = release.given_up("image", release.attempt)
    if missing is not None:
        return Status(Phase.FAILED, missing.why, next=missing.remedy, cause=Cause.IMAGE_MISSING)
    if release.accepted:
        return _refused(here, waiting, now) or _ready(here, waiting)
    if release.pushed.source == "image":
        return Status(Phase.BUILT, "its image is being accepted")
    return _building(release)


def _refused(here: OnStage, waiting: tuple[Wait, ...], now: datetime) -> Status | None:
    """What keeps a release from the stage for good: its figures, a vote against it, no vote in time, or its scan."""
    if here.bypass(now):
        return None
    release, name, gated = here.release, here.stage.name, here.release.gated
    # Asked before the first stage: what a bypass let onto it is not stopped on its further way.
    if here.stage.before is None and gated and gated.refused and not gated.dry_run:
        remedy = f"push a better model, or esteira bypass {release.label} --reason … --for 30m"
        return Status(Phase.REJECTED, "; ".join(gated.refused), next=remedy, cause=Cause.GATE)
    no = here.rejected
    if no is not None:
        summary, remedy = f"{no.by} rejected it for {name}: {no.reason}", f"push a fix, or {_retry(release)}"
        return Status(Phase.REJECTED, summary, next=remedy, cause=Cause.DISAPPROVED, stage=name)
    late = release.given_up("approval", release.attempt, name)
    if late is not None:
        return Status(Phase.REJECTED, late.why, next=_retry(release), cause=Cause.APPROVAL_EXPIRED, stage=name)
    scan, final = release.given_up("scan", release.attempt, name), next((w for w in waiting if w.final), None)
    if scan is not None or final is not None:
        remedy = final.next if final and final.next else _without(here)
        why = scan.why if scan else final.why if final else ""
        return Status(Phase.REJECTED, why, next=remedy, cause=Cause.SCAN_REFUSED, stage=name)
    if here.promoted and here.stage.live > release.number:
        return Status(Phase.SUPERSEDED, f"v{here.stage.live} came before it was deployed to {name}")
    return None


def _without(here: OnStage) -> str:
    """What helps a release whose image has findings that its stage does not take."""
    label, name = here.release.label, here.stage.name
    remedy = f"push an image without them; or add them to {name}'s scan.exceptions "
    remedy += f"(esteira policy apply FILE --reason …), then: {_retry(here.release)}"
    closed = here.stage.rules is not None and not here.stage.rules.bypass
    return remedy if closed else f"{remedy}; or esteira bypass {label} --reason … --for 1h"


def _ready(here: OnStage, waiting: tuple[Wait, ...]) -> Status:
    """The status of a release whose image is accepted: built, or waiting for what is in its way."""
    release, name = here.release, here.stage.name
    if waiting:
        rules = [w for w in waiting if w.what not in (Waits.ROLLOUT, Waits.ROLLBACK)] or waiting[:1]
        remedy = next((w.next for w in rules if w.next), "")
        summary = "; ".join(w.why for w in rules)
        return Status(Phase.WAITING, summary, next=remedy, cause=waiting[0].what, stage=name)
    if here.stage.before is not None:
        return Status(Phase.BUILT, f"{name} is next", stage=name)
    reused = release.accepted is not None and release.accepted.reused
    source = "an image of this commit existed already" if reused else "its image is accepted"
    return Status(Phase.BUILT, f"{source}, {release.digest[:19]}")


# How a build ended, by CodeBuild's status.
_ENDED = {
    "FAILED": ("failed", Cause.BUILD_FAILED),
    "STOPPED": ("was stopped", Cause.BUILD_STOPPED),
    "TIMED_OUT": ("timed out", Cause.BUILD_TIMED_OUT),
    "FAULT": ("ended by a fault in CodeBuild", Cause.BUILD_FAULT),
}


def _building(release: Release) -> Status:
    """The status of a release without an image yet."""
    ended = release.build_ended
    build, lease = release.build or ended, release.lease("build", release.attempt)
    if build is None and lease.error:
        return Status(Phase.PUSHED, f"could not start its build: {lease.error} (retrying)")
    if build is None and lease.take:
        return Status(Phase.BUILDING, "its build is being started")
    if build is None:
        return Status(Phase.PUSHED, "its build is about to start")
    copies = "".join(f"; build {copy.build} carries the same claim and does not count" for copy in release.copies)
    if ended is None:
        return Status(Phase.BUILDING, f"build {build.build} is in progress{copies}")
    if ended.status == "SUCCEEDED":
        return Status(Phase.BUILDING, f"build {build.build} succeeded; looking up its image{copies}")
    unknown = (f"ended with {ended.status.lower().replace('_', ' ')}", Cause.BUILD_FAILED)
    how, cause = _ENDED.get(ended.status, unknown)
    sentence, *detail = ended.cause.split("\n")
    summary = f"build {build.build} {how}" + (f": {sentence}" if sentence else "") + copies
    return Status(Phase.FAILED, summary, tuple(detail), f"push a fix, or {_retry(release)}", cause)


def _retry(release: Release) -> str:
    return f"esteira retry {release.label}"
