"""Where a release stands, on one stage and in all, and why, derived from the facts alone: a ladder of early returns,
what is final first.

Pure: no I/O, no clock; ``now`` is an argument. The same facts give the same phase in whatever order they came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from esteira.core.admission import Waits, disapproved, waits
from esteira.core.facts import DeploymentGivenUp, DeploymentStarted, Diagnosed
from esteira.core.state import Release, StageState


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
        """Return whether a release in this phase is over, until an operator says otherwise."""
        return self not in _UNDER_WAY

    @property
    def begun(self) -> bool:
        """Return whether a release in this phase has begun to deploy, or is over: nothing supersedes it."""
        return self in (Phase.DEPLOYING, Phase.LIVE) or self.ended


_UNDER_WAY = {Phase.PUSHED, Phase.BUILDING, Phase.BUILT, Phase.WAITING, Phase.DEPLOYING, Phase.LIVE}


class Cause(StrEnum):
    """Why a release failed or was rejected, in a word to count by; the sentence is for people and may change its words.

    What failed on the host is counted by CodeDeploy's lifecycle event instead (``_failed_in``).
    """

    GUARD = "guard"  # the push itself: a secret in the tree, or more than can be looked through
    GATE = "gate"  # the model's figures
    QUARANTINED = "quarantined"
    DISAPPROVED = "disapproved"
    APPROVAL_EXPIRED = "approval-expired"
    BUILD_NOT_STARTED = "build-not-started"
    BUILD_FAILED = "build-failed"
    BUILD_STOPPED = "build-stopped"
    BUILD_TIMED_OUT = "build-timed-out"
    BUILD_FAULT = "build-fault"  # CodeBuild's own
    IMAGE_MISSING = "image-missing"
    IMAGE_NOT_ACCEPTED = "image-not-accepted"
    BUNDLE_REFUSED = "bundle-refused"
    DEPLOYMENT_NOT_STARTED = "deployment-not-started"
    DEPLOYMENT_LOST = "deployment-lost"  # it was asked to stop and never said that it ended
    DEPLOYMENT_TIMED_OUT = "deployment-timed-out"
    DEPLOYMENT_STOPPED = "deployment-stopped"
    DEPLOYMENT_FAILED = "deployment-failed"  # on the host, and no lifecycle event says where


class Status(NamedTuple):
    """A phase, the one sentence that explains it, and a word: of a failure or a rejection the one to count it by, of a
    wait what is waited for (``entry.Waits``), of a live release ``alarm`` where one went off in vain. ``stage`` is the
    one it is about, "" where none is."""

    phase: Phase
    why: str
    cause: str = ""
    stage: str = ""


# The word for a live release that an alarm went off for, and nothing is there to go back to.
ALARM = "alarm"


# How a build ended, by CodeBuild's status.
_ENDED = {
    "FAILED": ("failed", Cause.BUILD_FAILED),
    "STOPPED": ("was stopped", Cause.BUILD_STOPPED),
    "TIMED_OUT": ("timed out", Cause.BUILD_TIMED_OUT),
    "FAULT": ("ended by a fault of CodeBuild's", Cause.BUILD_FAULT),
}
# Which wait before a rollout passed its deadline.
_OVERDUE = {
    "start": Cause.BUILD_NOT_STARTED,
    "build": Cause.BUILD_TIMED_OUT,
    "accept": Cause.IMAGE_NOT_ACCEPTED,
}


def status_of(release: Release, stages: Sequence[StageState], now: datetime) -> Status:
    """Return where ``release`` stands in all: on the stage it came to last in its current attempt, or, where it is live
    there, on its way to the next one."""
    reached = [n for n, stage in enumerate(stages) if _reached(release, stage)]
    at = max(reached, default=0)
    status = status_on(release, stages[at], now)
    if status.phase is not Phase.LIVE or at + 1 == len(stages):
        return status
    ahead = status_on(release, stages[at + 1], now)
    if ahead.cause == Waits.STAGE_BEFORE:  # it is not live with this image any more, or not settled yet
        return status
    return ahead if ahead.phase.ended else ahead._replace(why=f"live on {stages[at].name}; {ahead.why}")


def statuses(release: Release, stages: Sequence[StageState], now: datetime) -> dict[str, Status]:
    """Return where ``release`` stands on each stage that it has come to, or is live on, by the stage's name."""
    there = (s for s in stages if release.pushed.effective and (release.on(s).last_rollout or s.live == release.number))
    return {stage.name: status_on(release, stage, now) for stage in there}


def _reached(release: Release, stage: StageState) -> bool:
    here = release.on(stage)
    return here.promoted is not None or came_to(release, stage)


def came_to(release: Release, stage: StageState) -> bool:
    """Return whether the release's current attempt came to the stage: by a rollout, or as it was live there already."""
    here = release.on(stage)
    return here.begun or _is_live_with_its_image(here, stage)


def _is_live_with_its_image(here: Release, stage: StageState) -> bool:
    """Return whether a further attempt found the release live on the stage with the very image it has now."""
    accepted = here.accepted
    return (
        accepted is not None and not stage.busy and stage.live == here.number and here.served_digest == accepted.digest
    )


def status_on(release: Release, stage: StageState, now: datetime) -> Status:
    """Return where ``release`` stands on ``stage`` at ``now``."""
    pushed = release.pushed
    if pushed.rejected:
        return Status(Phase.REJECTED, pushed.rejected, Cause.GUARD)
    if pushed.skipped:
        return Status(Phase.SKIPPED, pushed.skipped)
    if pushed.outdated:
        return Status(Phase.SUPERSEDED, pushed.outdated)
    here = release.on(stage)
    if here.begun:
        return _after_rollout(here, stage)._replace(stage=stage.name)
    if _is_live_with_its_image(here, stage):
        return Status(Phase.LIVE, f"it is live on {stage.name} with this image already", stage=stage.name)
    return _before_rollout(release, here, stage, now)


def _after_rollout(release: Release, stage: StageState) -> Status:
    """Return where a release stands that has had a rollout on the stage in its current attempt."""
    rollout = release.last_rollout
    if release.rolled_back is not None:
        back = release.rolled_back
        return Status(Phase.ROLLED_BACK, f"{back.by} rolled {stage.name} back to v{back.to}: {back.reason}")
    if release.replaced is not None:
        return Status(Phase.SUPERSEDED, f"v{release.replaced.by} took its place on {stage.name}")
    given_up, started = release.given_up(rollout), release.deployment(rollout)
    if given_up is not None:
        return _given_up(release, given_up, began=started is not None)
    ended = release.ended(started.deployment) if started else None
    if started is not None and ended is not None and ended.status == "Succeeded":
        return _succeeded(release, stage, started)
    if started is not None and ended is not None:
        return _deployment_failed(release, started, ended.status)
    if started is None:
        return Status(Phase.DEPLOYING, _being_created(release, stage.name, rollout))
    overdue = release.overdue("deploy", rollout)
    if overdue is not None:
        return Status(Phase.DEPLOYING, f"{overdue.why}; {started.deployment} is being stopped")
    if release.aborted:
        return Status(Phase.DEPLOYING, f"{release.aborted.by} aborted it; {started.deployment} is being stopped")
    return Status(Phase.DEPLOYING, f"deployment {started.deployment} is under way on {stage.name}")


def _succeeded(release: Release, stage: StageState, started: DeploymentStarted) -> Status:
    """Return where a release stands whose deployment CodeDeploy calls Succeeded, which it may be without a host."""
    name, rollout = started.deployment, started.rollout
    diagnosed = release.diagnosed(name)
    if diagnosed is not None:
        sentence, _, log = diagnosed.cause.partition("\n")
        why = f"deployment {name} did not reach every host: {sentence}; next: push a fix, or {_retry(release)}"
        return Status(Phase.FAILED, f"{why}\n{log}" if log else why, _failed_in(diagnosed))
    of_stage = stage.rollout is not None and stage.rollout.number == rollout and stage.busy
    if of_stage and release.claim("finish", rollout) is None:  # who claims that has looked at every host
        declined = release.declined("finish", rollout, 0)
        cause = f": {declined.error}" if declined else ""
        return Status(Phase.DEPLOYING, f"deployment {name} succeeded; its hosts are being looked at{cause}")
    unanswered = release.alarm_unanswered(rollout)
    if unanswered is not None:
        return Status(Phase.LIVE, f"deployment {name} succeeded on {stage.name}; {unanswered.why}", ALARM)
    return Status(Phase.LIVE, f"deployment {name} succeeded on {stage.name}")


def _given_up(release: Release, given_up: DeploymentGivenUp, *, began: bool) -> Status:
    aborted = release.aborted
    if aborted is None:
        sentence, _, more = given_up.why.partition("\n")
        why = f"{sentence}; next: {given_up.remedy or _retry(release)}"
        return Status(Phase.FAILED, f"{why}\n{more}" if more else why, _gave_up_on(given_up, began=began))
    if began:
        return Status(Phase.ABORTED, f"{aborted.by} aborted it while it deployed; {given_up.why}")
    return Status(Phase.ABORTED, f"{aborted.by} aborted it before it deployed: {aborted.reason}")


def _being_created(release: Release, stage: str, rollout: int) -> str:
    claim = release.claim("deploy", rollout)
    declined = release.declined("deploy", rollout, claim.take if claim else 1)
    if declined is not None:
        return f"its deployment on {stage} could not start yet: {declined.error}"
    return f"its deployment on {stage} is being created"


def _deployment_failed(release: Release, started: DeploymentStarted, status: str) -> Status:
    overdue = release.overdue("deploy", started.rollout)
    if overdue is not None:
        why = f"{overdue.why}; {started.deployment} was stopped; next: {_retry(release)}"
        return Status(Phase.FAILED, why, Cause.DEPLOYMENT_TIMED_OUT)
    if release.aborted:
        return Status(Phase.ABORTED, f"{release.aborted.by} aborted it while it deployed: {release.aborted.reason}")
    if status == "Stopped":
        why = f"deployment {started.deployment} was stopped, not by esteira; next: {_retry(release)}"
        return Status(Phase.FAILED, why, Cause.DEPLOYMENT_STOPPED)
    diagnosed = release.diagnosed(started.deployment)
    if diagnosed is None:
        return Status(Phase.DEPLOYING, f"deployment {started.deployment} failed; its cause is being read")
    sentence, _, log = diagnosed.cause.partition("\n")
    why = f"deployment {started.deployment} failed: {sentence}; next: push a fix, or {_retry(release)}"
    return Status(Phase.FAILED, f"{why}\n{log}" if log else why, _failed_in(diagnosed))


def _failed_in(diagnosed: Diagnosed) -> str:
    """Return the word for a failure on the host: where in its deployment, as ``application-start-failed``."""
    event = re.sub(r"(?<!^)(?=[A-Z])", "-", diagnosed.event).lower()
    return f"{event}-failed" if event else Cause.DEPLOYMENT_FAILED


def _gave_up_on(given_up: DeploymentGivenUp, *, began: bool) -> Cause:
    if given_up.remedy:  # only a bundle that is refused has one
        return Cause.BUNDLE_REFUSED
    return Cause.DEPLOYMENT_LOST if began else Cause.DEPLOYMENT_NOT_STARTED


def _before_rollout(release: Release, here: Release, stage: StageState, now: datetime) -> Status:
    """Return where a release stands that its current attempt gave no rollout on ``stage``, which sees it as
    ``here``."""
    if release.aborted:
        return Status(Phase.ABORTED, f"{release.aborted.by} aborted it: {release.aborted.reason}")
    if release.superseded:
        return Status(Phase.SUPERSEDED, f"v{release.superseded.by} came before it began to deploy")
    for what, cause in _OVERDUE.items():
        overdue = release.overdue(what, release.attempt)
        if overdue is not None:
            return Status(Phase.FAILED, f"{overdue.why}; next: {_retry(release)}", cause)
    if release.quarantine is not None:
        q = release.quarantine
        why = f"{q.by} quarantined {q.subject[:19]} with v{q.release}: {q.reason}; next: {_retry(release)}"
        return Status(Phase.REJECTED, why, Cause.QUARANTINED)
    if release.image_missed is not None:
        return Status(Phase.FAILED, _missed(release, release.image_missed.tag), Cause.IMAGE_MISSING)
    if release.accepted:
        return _refused(here, stage, now) or _ready(release, stage, now)
    if release.pushed.source == "image":
        return Status(Phase.BUILT, "its image is being accepted")
    return _building(release)


def _refused(here: Release, stage: StageState, now: datetime) -> Status | None:
    """Return what keeps a release from the stage for good: its figures, somebody's vote, or that none came in time."""
    if here.bypass(now):
        return None
    gated = here.gated
    # Asked before the first stage: what was let onto it by a bypass is not stopped on its further way.
    if stage.before is None and gated and gated.refused and not gated.dry_run:
        why = f"{'; '.join(gated.refused)}; next: push a better model, or esteira bypass {here.label} --reason …"
        return Status(Phase.REJECTED, why, Cause.GATE)
    no = disapproved(here)
    if no is not None:
        why = f"{no.by} rejected it for {stage.name}: {no.reason}; next: push a fix, or {_retry(here)}"
        return Status(Phase.REJECTED, why, Cause.DISAPPROVED, stage.name)
    late = here.overdue("approval", here.attempt)
    if late is not None:
        return Status(Phase.REJECTED, f"{late.why}; next: {_retry(here)}", Cause.APPROVAL_EXPIRED, stage.name)
    if here.promoted and stage.live > here.number:
        return Status(Phase.SUPERSEDED, f"v{stage.live} came before it began to deploy to {stage.name}")
    return None


def _missed(release: Release, tag: str) -> str:
    if release.pushed.source == "image":
        return f"image {tag} is not in the registry any more; push it again under a new tag"
    return (
        f"the build succeeded without pushing its image {tag}; "
        f"let buildspec.yml push $IMAGE_URI:$IMAGE_TAG, then push the commit"
    )


def _ready(release: Release, stage: StageState, now: datetime) -> Status:
    """Return where a release stands whose image is accepted: built, or waiting for what is in its way."""
    in_the_way = waits(release, stage, now)
    if in_the_way:
        rules = [w.why for w in in_the_way if w.what not in (Waits.ROLLOUT, Waits.ROLLBACK)]
        return Status(Phase.WAITING, "; ".join(rules) or in_the_way[0].why, in_the_way[0].what, stage.name)
    if stage.before is not None:
        return Status(Phase.BUILT, f"{stage.name} is next", stage=stage.name)
    reused = release.accepted is not None and release.accepted.reused
    source = "an image of this commit was there already" if reused else "its image is accepted"
    return Status(Phase.BUILT, f"{source}, {release.digest[:19]}")


def _building(release: Release) -> Status:
    """Return where a release stands whose image is not there yet."""
    ended = release.build_ended
    if ended is not None and ended.status == "SUCCEEDED":
        return Status(Phase.BUILDING, f"build {ended.build} succeeded; its image is being looked up")
    if ended is not None:
        how, cause = _ENDED.get(
            ended.status, (f"ended with {ended.status.lower().replace('_', ' ')}", Cause.BUILD_FAILED)
        )
        why = f"build {ended.build} {how}" + (f": {ended.cause}" if ended.cause else "")
        return Status(Phase.FAILED, f"{why}; next: push a fix, or {_retry(release)}", cause)
    if release.build is not None:
        return Status(Phase.BUILDING, f"build {release.build.build} is under way")
    claim = release.claim("build", release.attempt)
    declined = release.declined("build", release.attempt, claim.take) if claim else None
    if declined is not None:
        return Status(Phase.PUSHED, f"its build could not start yet: {declined.error}")
    if claim is not None:
        return Status(Phase.BUILDING, "its build is being started")
    return Status(Phase.PUSHED, "its build is about to start")


def _retry(release: Release) -> str:
    return f"esteira retry {release.label}"
