"""What lets a release onto a stage: the stage before and its bake, votes, holds, windows, the scan of its image; or
a bypass of them.

Pure: a release as the stage sees it and the time in, reasons out. A reason stays the same text for as long as nothing
happens, because listings keep it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

import windows
from esteira.config import Approvals
from esteira.core.facts import Approved, CommitPushed
from esteira.core.state import OnStage, StageState, pushes_between
from scans import ScanRule
from scans.findings import restored
from scans.verdict import refusal

# Enhanced scanning goes on. What was read is read again while a release waits for something else.
FRESH = timedelta(days=1)


class Waits(StrEnum):
    """What a release waits for, in a word."""

    STAGE_BEFORE = "stage-before"
    BAKE = "bake"
    APPROVAL = "approval"
    HOLD = "hold"
    WINDOW = "window"
    SCAN = "scan"
    UNSCANNED = "unscanned"  # the scan took too long, or came to nothing, and the rule says to wait on
    FINDINGS = "findings"  # that ECR is asked for them, which takes a moment
    REGISTRATION = "registration"
    ROLLOUT = "rollout"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Wait:
    """One thing a release waits for: the word, the sentence, what ends it, and when it ends by itself if known.

    ``final``: it does not end by itself, so the release is rejected.
    """

    what: Waits
    why: str
    until: datetime | None = None
    next: str = ""
    final: bool = False


def waits(here: OnStage, now: datetime) -> tuple[Wait, ...]:
    """Everything that keeps a release, whose image is accepted, from a rollout on the stage; what counts first.

    The stage's own rollouts and orders come last: one release waits for a rule, all of them for a rollout.
    """
    before = tuple(_before(here))
    if before:
        return before
    if here.stage.rules and here.stage.rules.fault:
        return (Wait(Waits.REGISTRATION, here.stage.rules.fault, next="correct it, then: esteira status"),)
    rules = () if here.bypass(now) else tuple(_rules(here, now))
    return (*rules, *_rollouts(here.stage))


def _before(here: OnStage) -> Iterator[Wait]:
    before = here.stage.before
    if before is None or here.promoted:
        return
    there = here.release.on(before)
    if not there.is_live or there.served_digest != here.release.digest:
        yield Wait(Waits.STAGE_BEFORE, f"not live on {before.name}")


def _rules(here: OnStage, now: datetime) -> Iterator[Wait]:
    stage, rules = here.stage, here.stage.rules
    bake = _bake(here, now)
    if bake:
        yield bake
    if rules and rules.approvals:
        yield from _approval(here, rules.approvals, now)
    yield from closed(stage, now)
    if rules and rules.scan:
        yield from _scan(here, rules.scan, now)


def closed(stage: StageState, now: datetime) -> Iterator[Wait]:
    """What lets no deployment begin on the stage, of whatever release: a hold, a window."""
    rules, hold = stage.rules, stage.held(now)
    if hold is not None and hold.until:
        why = f"{hold.by} holds {stage.name} until {hold.until:%Y-%m-%d %H:%M} UTC: {hold.reason}"
        yield Wait(Waits.HOLD, why, hold.until)
    shut = windows.closed_at(rules.windows, now) if rules and rules.windows else None
    if shut is not None:
        opens = f" until {shut.until:%Y-%m-%d %H:%M} UTC" if shut.until else ""
        yield Wait(Waits.WINDOW, f"no deployment may begin on {stage.name}{opens}: {shut.why}", shut.until)


def _bake(here: OnStage, now: datetime) -> Wait | None:
    """The wait for the release's health on the stage before, if it is not over."""
    before = here.stage.before
    since = here.release.on(before).live_since if before else None
    sick = [h for h in before.sick if h.release == here.release.number and h.sick != "disk"] if before else []
    if before is not None and sick:
        return Wait(Waits.BAKE, f"sick on {before.name}: {sick[0].why}", next="push a fix")
    if before is None or since is None or now >= since + before.baking:
        return None
    until = since + before.baking
    return Wait(Waits.BAKE, f"watched on {before.name} until {until:%Y-%m-%d %H:%M} UTC", until)


def _approval(here: OnStage, rule: Approvals, now: datetime) -> Iterator[Wait]:
    votes = counted(here, rule, now)
    missing = needed(here, rule) - len(votes)
    if missing > 0:
        by = f"; approved by {', '.join(vote.by for vote in votes)}" if votes else ""
        other = " by somebody who did not push it" if rule.not_by_pusher else ""
        why = f"{here.stage.name} needs {missing} more approval{'s' if missing > 1 else ''}{other}{by}"
        yield Wait(Waits.APPROVAL, why, next=f"esteira approve {here.release.label} --stage {here.stage.name}")


def counted(here: OnStage, rule: Approvals, now: datetime) -> tuple[Approved, ...]:
    """The votes that count at ``now``: for this attempt and image, not expired, the latest of each identity.

    Only who AWS knows has a vote, and under the two-person rule nobody who pushed what it is about.
    """
    barred = pushers(here, rule) if rule.not_by_pusher else frozenset()
    latest = {identity(vote.arn, rule): vote for vote in here.votes if vote.until > now}
    return tuple(sorted((v for who, v in latest.items() if who and who not in barred), key=lambda vote: vote.key))


def identity(arn: str, rule: Approvals) -> str:
    """Who has one vote: a user, or all who may assume a role, since they choose the name of its session.

    Where ``rule`` says that a role's session is named after its user, that user, whichever of those roles they took.
    "" is nobody: not proven, or a federated user, whose name is chosen by who asks for it.
    """
    role = re.fullmatch(r"(arn:[a-z-]+:sts::\d+:assumed-role)/([^/]+)/(.+)", arn)
    if role is None:
        return "" if ":federated-user/" in arn else arn
    fixed = next((pattern for pattern in rule.named_sessions if fnmatchcase(role[2], pattern)), None)
    return f"{fixed}/{role[3]}" if fixed else f"{role[1]}/{role[2]}/*"


def pushers(here: OnStage, rule: Approvals) -> frozenset[str]:
    """The identities that pushed what lies between the live release and this one, as far as they are known."""
    return frozenset(identity(push.by, rule) for push in _pushes(here))


def needed(here: OnStage, rule: Approvals) -> int:
    """How many votes are needed.

    Where the two-person rule holds and who made one of the pushes is unknown (the event was lost, or the image came
    from elsewhere), one voter may be the pusher, so it takes two.
    """
    unknown = rule.not_by_pusher and not _all_known(here)
    return max(rule.votes, 2) if unknown else rule.votes


def _pushes(here: OnStage) -> tuple[CommitPushed, ...]:
    told = here.release.pushes
    commit = here.release.pushed.commit
    return tuple(pushes_between(here.stage.live_commit, commit, lambda tip: (p for p in told if p.commit == tip)))


def _all_known(here: OnStage) -> bool:
    """Whether each push since the live commit was told. What came before the first one is nobody's to know."""
    live, commit, pushes = here.stage.live_commit, here.release.pushed.commit, _pushes(here)
    told = {push.commit for push in pushes}
    unbroken = not live or commit == live or all(push.before in {live, *told} for push in pushes)
    return commit in told and unbroken


def _scan(here: OnStage, rule: ScanRule, now: datetime) -> Iterator[Wait]:
    """The wait for the findings in the image, or for people to do something about them."""
    read, name = here.release.findings, here.stage.name
    if not read or (read[-1].status != "pending" and now >= read[-1].at + FRESH):
        yield Wait(Waits.FINDINGS, f"{name} asks what was found in its image, and that is being read")
    elif read[-1].status == "complete":
        unlisted = {word: int(number) for word, number in (line.split() for line in read[-1].unlisted)}
        refused = refusal(rule, map(restored, read[-1].found), unlisted, now)
        if refused:
            yield Wait(Waits.SCAN, f"{name} does not take what was found in its image: {refused}", final=True)
    else:
        yield from _unscanned(here, rule, now)


def _unscanned(here: OnStage, rule: ScanRule, now: datetime) -> Iterator[Wait]:
    read, name = here.release.findings, here.stage.name
    until = read[0].at + timedelta(minutes=rule.wait_minutes)
    pending = read[-1].status == "pending"
    if pending and now < until:
        yield Wait(Waits.SCAN, f"{name} waits for the scan of its image until {until:%Y-%m-%d %H:%M} UTC", until)
    elif rule.when_unscanned != "allow":
        why = f"was not scanned within {rule.wait_minutes} minutes" if pending else f"has no scan: {read[-1].status}"
        final = rule.when_unscanned == "refuse"
        remedy = f"have {', '.join(digest[:19] for digest in read[-1].images)} scanned in ECR"
        remedy = f"{remedy}, then: esteira retry {here.release.label}" if final or not pending else remedy
        yield Wait(Waits.UNSCANNED, f"its image {why}, and {name} takes none unscanned", next=remedy, final=final)


def approval_expires(here: OnStage) -> datetime | None:
    """When a release that still waits for approval is rejected, None where it waits for none."""
    rule = here.stage.rules.approvals if here.stage.rules else None
    since = _ready_since(here)
    return since + timedelta(hours=rule.wait_hours) if rule and since else None


def _ready_since(here: OnStage) -> datetime | None:
    """Since when a release has been ready for the stage except for its rules, None where it is not."""
    release, before = here.release, here.stage.before
    if here.promoted is not None:
        return here.promoted.at
    if before is None:
        return release.accepted.at if release.accepted else None
    there = release.on(before)
    return there.live_since + before.baking if there.live_since and there.is_live else None


def _rollouts(stage: StageState) -> Iterator[Wait]:
    if stage.busy and stage.rollout is not None:
        yield Wait(Waits.ROLLOUT, f"v{stage.rollout.release} is being deployed to {stage.name}")
    if stage.ordered is not None:
        label, again = f"v{stage.ordered.to}", stage.ordered.again
        first = f"{label} is deployed to {stage.name} again" if again else f"a rollback of {stage.name} to {label}"
        yield Wait(Waits.ROLLBACK, f"{first}{', which' if again else ''} goes first")
