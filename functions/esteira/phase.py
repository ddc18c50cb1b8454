"""Where a release stands, and why, derived from the facts alone: a ladder of early returns, what is final first.

Pure: no I/O, no clock; ``now`` is an argument. The same facts give the same phase in whatever order they came.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from esteira.facts import DeployGivenUp, DeployStarted, Diagnosed
from esteira.situation import Release, StageState


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
    QUARANTINED = "quarantined"
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


class Standing(NamedTuple):
    """A phase, the one sentence that explains it, and, of a failure or a rejection, the word to count it by."""

    phase: Phase
    why: str
    cause: str = ""


# How a build ended, by CodeBuild's status.
_ENDED = {
    "FAILED": ("failed", Cause.BUILD_FAILED),
    "STOPPED": ("was stopped", Cause.BUILD_STOPPED),
    "TIMED_OUT": ("timed out", Cause.BUILD_TIMED_OUT),
    "FAULT": ("ended by a fault of CodeBuild's", Cause.BUILD_FAULT),
}
# Which wait before a turn passed its deadline.
_OVERDUE = {
    "start": Cause.BUILD_NOT_STARTED,
    "build": Cause.BUILD_TIMED_OUT,
    "accept": Cause.IMAGE_NOT_ACCEPTED,
}


def phase_of(release: Release, stage: StageState, now: datetime) -> Standing:
    """Return where ``release`` stands on ``stage`` at ``now``."""
    pushed = release.pushed
    if pushed.rejected:
        return Standing(Phase.REJECTED, pushed.rejected, Cause.GUARD)
    if pushed.skipped:
        return Standing(Phase.SKIPPED, pushed.skipped)
    if pushed.outdated:
        return Standing(Phase.SUPERSEDED, pushed.outdated)
    if release.last_turn and release.turn_attempt == release.attempt:
        return _after_its_turn(release, stage)
    return _before_its_turn(release, stage, now)


def _after_its_turn(release: Release, stage: StageState) -> Standing:
    """Return where a release stands that has had a turn on the stage in its current attempt."""
    turn = release.last_turn
    if release.rolled_back is not None:
        back = release.rolled_back
        return Standing(Phase.ROLLED_BACK, f"{back.by} rolled {stage.name} back to v{back.to}: {back.reason}")
    if release.replaced is not None:
        return Standing(Phase.SUPERSEDED, f"v{release.replaced.by} took its place on {stage.name}")
    given_up, started = release.given_up(turn), release.deployment(turn)
    if given_up is not None:
        return _given_up(release, given_up, began=started is not None)
    ended = release.ended(started.deployment) if started else None
    if started is not None and ended is not None and ended.status == "Succeeded":
        return _succeeded(release, stage, started)
    if started is not None and ended is not None:
        return _deployment_failed(release, started, ended.status)
    if started is None:
        return Standing(Phase.DEPLOYING, _being_created(release, stage.name, turn))
    overdue = release.overdue("deploy", turn)
    if overdue is not None:
        return Standing(Phase.DEPLOYING, f"{overdue.why}; {started.deployment} is being stopped")
    if release.aborted:
        return Standing(Phase.DEPLOYING, f"{release.aborted.by} aborted it; {started.deployment} is being stopped")
    return Standing(Phase.DEPLOYING, f"deployment {started.deployment} is under way on {stage.name}")


def _succeeded(release: Release, stage: StageState, started: DeployStarted) -> Standing:
    """Return where a release stands whose deployment CodeDeploy calls Succeeded, which it may be without a host."""
    name, turn = started.deployment, started.turn
    diagnosed = release.diagnosed(name)
    if diagnosed is not None:
        sentence, _, log = diagnosed.cause.partition("\n")
        why = f"deployment {name} did not reach every host: {sentence}; next: push a fix, or {_retry(release)}"
        return Standing(Phase.FAILED, f"{why}\n{log}" if log else why, _failed_in(diagnosed))
    of_stage = stage.turn is not None and stage.turn.number == turn and stage.busy
    if of_stage and release.claim("settle", turn) is None:  # who claims that has looked at every host
        declined = release.declined("settle", turn, 0)
        cause = f": {declined.error}" if declined else ""
        return Standing(Phase.DEPLOYING, f"deployment {name} succeeded; its hosts are being looked at{cause}")
    return Standing(Phase.LIVE, f"deployment {name} succeeded on {stage.name}")


def _given_up(release: Release, given_up: DeployGivenUp, *, began: bool) -> Standing:
    aborted = release.aborted
    if aborted is None:
        sentence, _, more = given_up.why.partition("\n")
        why = f"{sentence}; next: {given_up.remedy or _retry(release)}"
        return Standing(Phase.FAILED, f"{why}\n{more}" if more else why, _gave_up_on(given_up, began=began))
    if began:
        return Standing(Phase.ABORTED, f"{aborted.by} aborted it while it deployed; {given_up.why}")
    return Standing(Phase.ABORTED, f"{aborted.by} aborted it before it deployed: {aborted.reason}")


def _being_created(release: Release, stage: str, turn: int) -> str:
    claim = release.claim("deploy", turn)
    declined = release.declined("deploy", turn, claim.take if claim else 1)
    if declined is not None:
        return f"its deployment on {stage} could not start yet: {declined.error}"
    return f"its deployment on {stage} is being created"


def _deployment_failed(release: Release, started: DeployStarted, status: str) -> Standing:
    overdue = release.overdue("deploy", started.turn)
    if overdue is not None:
        why = f"{overdue.why}; {started.deployment} was stopped; next: {_retry(release)}"
        return Standing(Phase.FAILED, why, Cause.DEPLOYMENT_TIMED_OUT)
    if release.aborted:
        return Standing(Phase.ABORTED, f"{release.aborted.by} aborted it while it deployed: {release.aborted.reason}")
    if status == "Stopped":
        why = f"deployment {started.deployment} was stopped, not by esteira; next: {_retry(release)}"
        return Standing(Phase.FAILED, why, Cause.DEPLOYMENT_STOPPED)
    diagnosed = release.diagnosed(started.deployment)
    if diagnosed is None:
        return Standing(Phase.DEPLOYING, f"deployment {started.deployment} failed; its cause is being read")
    sentence, _, log = diagnosed.cause.partition("\n")
    why = f"deployment {started.deployment} failed: {sentence}; next: push a fix, or {_retry(release)}"
    return Standing(Phase.FAILED, f"{why}\n{log}" if log else why, _failed_in(diagnosed))


def _failed_in(diagnosed: Diagnosed) -> str:
    """Return the word for a failure on the host: where in its deployment, as ``application-start-failed``."""
    event = re.sub(r"(?<!^)(?=[A-Z])", "-", diagnosed.event).lower()
    return f"{event}-failed" if event else Cause.DEPLOYMENT_FAILED


def _gave_up_on(given_up: DeployGivenUp, *, began: bool) -> Cause:
    if given_up.remedy:  # only a bundle that is refused has one
        return Cause.BUNDLE_REFUSED
    return Cause.DEPLOYMENT_LOST if began else Cause.DEPLOYMENT_NOT_STARTED


def _before_its_turn(release: Release, stage: StageState, now: datetime) -> Standing:
    """Return where a release stands that has had no turn in its current attempt."""
    if release.aborted:
        return Standing(Phase.ABORTED, f"{release.aborted.by} aborted it: {release.aborted.reason}")
    if release.superseded:
        return Standing(Phase.SUPERSEDED, f"v{release.superseded.by} came before it began to deploy")
    for what, cause in _OVERDUE.items():
        overdue = release.overdue(what, release.attempt)
        if overdue is not None:
            return Standing(Phase.FAILED, f"{overdue.why}; next: {_retry(release)}", cause)
    if release.quarantine is not None:
        q = release.quarantine
        why = f"{q.by} quarantined {q.subject[:19]} with v{q.release}: {q.reason}; next: {_retry(release)}"
        return Standing(Phase.REJECTED, why, Cause.QUARANTINED)
    if release.image_missed is not None:
        return Standing(Phase.FAILED, _missed(release, release.image_missed.tag), Cause.IMAGE_MISSING)
    if release.accepted or release.pushed.source == "image":
        return _ready(release, stage, now)
    return _building(release)


def _missed(release: Release, tag: str) -> str:
    if release.pushed.source == "image":
        return f"image {tag} is not in the registry any more; push it again under a new tag"
    return (
        f"the build succeeded without pushing its image {tag}; "
        f"let buildspec.yml push $IMAGE_URI:$IMAGE_TAG, then push the commit"
    )


def _ready(release: Release, stage: StageState, now: datetime) -> Standing:
    """Return where a release stands whose image is there: built, or waiting for what is in its way."""
    if not release.accepted:
        return Standing(Phase.BUILT, "its image is being accepted")
    hold = stage.held(now)
    if hold is not None:
        return Standing(
            Phase.WAITING, f"{hold.by} holds {stage.name} until {hold.until:%Y-%m-%d %H:%M} UTC: {hold.reason}"
        )
    if stage.busy and stage.turn is not None:
        return Standing(Phase.WAITING, f"v{stage.turn.release} has its turn on {stage.name}")
    if stage.ordered is not None:
        return Standing(Phase.WAITING, f"a rollback of {stage.name} to v{stage.ordered.to} goes first")
    source = "an image of this commit was there already" if release.accepted.reused else "its image is accepted"
    return Standing(Phase.BUILT, f"{source}, {release.digest[:19]}")


def _building(release: Release) -> Standing:
    """Return where a release stands whose image is not there yet."""
    ended = release.build_ended
    if ended is not None and ended.status == "SUCCEEDED":
        return Standing(Phase.BUILDING, f"build {ended.build} succeeded; its image is being looked up")
    if ended is not None:
        how, cause = _ENDED.get(
            ended.status, (f"ended with {ended.status.lower().replace('_', ' ')}", Cause.BUILD_FAILED)
        )
        why = f"build {ended.build} {how}" + (f": {ended.cause}" if ended.cause else "")
        return Standing(Phase.FAILED, f"{why}; next: push a fix, or {_retry(release)}", cause)
    if release.build is not None:
        return Standing(Phase.BUILDING, f"build {release.build.build} is under way")
    claim = release.claim("build", release.attempt)
    declined = release.declined("build", release.attempt, claim.take) if claim else None
    if declined is not None:
        return Standing(Phase.PUSHED, f"its build could not start yet: {declined.error}")
    if claim is not None:
        return Standing(Phase.BUILDING, "its build is being started")
    return Standing(Phase.PUSHED, "its build is about to start")


def _retry(release: Release) -> str:
    return f"esteira retry {release.label}"
