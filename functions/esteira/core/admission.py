"""What lets a release onto a stage: the stage before it and its bake, votes, holds, windows; or a bypass of them.

Pure: a release as the stage sees it (``Release.on``), the stage and the time in, reasons out. The sentences stay
as they are for as long as nothing happens, for they are written down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from esteira import windows
from esteira.config import Approvals
from esteira.core.facts import Approved, Disapproved
from esteira.core.state import Release, StageState


class Waits(StrEnum):
    """What a release waits for, in a word."""

    STAGE_BEFORE = "stage-before"
    BAKE = "bake"
    APPROVAL = "approval"
    HOLD = "hold"
    WINDOW = "window"
    ROLLOUT = "rollout"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Wait:
    """One thing a release waits for: the word, the sentence, and when it is over by itself, if that is known."""

    what: Waits
    why: str
    until: datetime | None = None


def waits(release: Release, stage: StageState, now: datetime) -> tuple[Wait, ...]:
    """Return all that keeps ``release``, whose image is accepted, from a rollout on ``stage``, what counts first.

    The stage's rollouts and orders come last: a rule is waited for by one release, a rollout by all.
    """
    before = tuple(_before(release, stage))
    if before:
        return before
    rules = () if release.on(stage).bypass(now) else tuple(_rules(release, stage, now))
    return (*rules, *_rollouts(stage))


def _before(release: Release, stage: StageState) -> Iterator[Wait]:
    before = stage.before
    if before is None or release.on(stage).promoted:
        return
    there = release.on(before)
    if before.live != release.number or there.served_digest != release.digest:
        yield Wait(Waits.STAGE_BEFORE, f"it is not live on {before.name}")


def _rules(release: Release, stage: StageState, now: datetime) -> Iterator[Wait]:
    bake = _bake(release, stage, now)
    if bake:
        yield bake
    approvals = stage.rules.approvals if stage.rules else None
    if approvals:
        yield from _approval(release.on(stage), stage.name, approvals, now)
    hold = stage.held(now)
    if hold is not None:
        why = f"{hold.by} holds {stage.name} until {hold.until:%Y-%m-%d %H:%M} UTC: {hold.reason}"
        yield Wait(Waits.HOLD, why, hold.until)
    closed = windows.closed_at(stage.rules.windows, now) if stage.rules and stage.rules.windows else None
    if closed is not None:
        opens = f", until {closed.until:%Y-%m-%d %H:%M} UTC" if closed.until else ""
        yield Wait(Waits.WINDOW, f"nothing may begin on {stage.name}{opens}: {closed.why}", closed.until)


def _bake(release: Release, stage: StageState, now: datetime) -> Wait | None:
    """Return the wait for the release's health on the stage before, if it is not over."""
    before = stage.before
    since = release.on(before).live_since if before else None
    if before is None or since is None or now >= since + before.baking:
        return None
    until = since + before.baking
    return Wait(Waits.BAKE, f"watched on {before.name} until {until:%Y-%m-%d %H:%M} UTC", until)


def _approval(release: Release, name: str, rule: Approvals, now: datetime) -> Iterator[Wait]:
    votes = counted(release, rule, now)
    missing = needed(release, rule) - len(votes)
    if missing > 0:
        by = f", {', '.join(vote.by for vote in votes)} said yes" if votes else ""
        other = " by somebody who did not push it" if rule.not_by_pusher else ""
        why = f"{name} wants {missing} more approval{'s' if missing > 1 else ''}{other}{by}"
        yield Wait(Waits.APPROVAL, f"{why}; next: esteira approve {release.label} --stage {name}")


def counted(release: Release, rule: Approvals, now: datetime) -> tuple[Approved, ...]:
    """Return the votes that count at ``now``: for this attempt and image, not expired; under the two-person rule only
    those of people AWS knows, and not the pusher's."""
    said = (v for v in release.votes if isinstance(v, Approved) and v.until > now)
    if not rule.not_by_pusher:
        return tuple(said)
    return tuple(v for v in said if v.arn and v.arn not in release.pushers)


def needed(release: Release, rule: Approvals) -> int:
    """Return how many votes are needed. Where the two-person rule stands and nobody told who pushed (the event was
    lost, or an image came from elsewhere), one voter may be the pusher: so it takes two."""
    unknown = rule.not_by_pusher and not release.pushers
    return max(rule.votes, 2) if unknown else rule.votes


def disapproved(release: Release) -> Disapproved | None:
    """Return the vote that ends the release's way onto the stage it is seen from, if there is one."""
    return next((v for v in release.votes if isinstance(v, Disapproved)), None)


def ready_since(release: Release, stage: StageState) -> datetime | None:
    """Return since when a release has been ready for ``stage`` but for its rules; None where it is not."""
    promoted = release.on(stage).promoted
    if promoted is not None:
        return promoted.at
    if stage.before is None:
        return release.accepted.at if release.accepted else None
    since = release.on(stage.before).live_since
    return since + stage.before.baking if since and stage.before.live == release.number else None


def approval_expires(release: Release, stage: StageState) -> datetime | None:
    """Return when a release that still waits for approval is rejected, None where it waits for none."""
    rule = stage.rules.approvals if stage.rules else None
    since = ready_since(release, stage)
    return since + timedelta(hours=rule.wait_hours) if rule and since else None


def _rollouts(stage: StageState) -> Iterator[Wait]:
    if stage.busy and stage.rollout is not None:
        yield Wait(Waits.ROLLOUT, f"v{stage.rollout.release} has its rollout on {stage.name}")
    if stage.ordered is not None:
        yield Wait(Waits.ROLLBACK, f"a rollback of {stage.name} to v{stage.ordered.to} goes first")
