"""What is known about a service at one moment, put together from facts: releases, its stages, the branch's tip.

Pure values; ``store`` and ``cloud`` fill them, ``phase`` and ``plan`` read them. Everything in a situation is bounded:
the open releases, each stage's latest rollout and latest words, whatever the history behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from esteira.config import Service, Stage
from esteira.core.facts import (
    Aborted,
    Accepted,
    AlarmRang,
    AlarmUnanswered,
    Approved,
    BuildEnded,
    BuildStarted,
    Bypassed,
    Claimed,
    Declined,
    DeploymentEnded,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    Disapproved,
    Fact,
    Gated,
    Held,
    HoldReminded,
    ImageArrived,
    ImageMissed,
    Overdue,
    Promoted,
    Pushed,
    Quarantined,
    Replaced,
    Retried,
    RollbackOrdered,
    RolledBack,
    Rollout,
    RolloutFinished,
    StopAsked,
    Superseded,
)

F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class Release:
    """One release: how it was born and everything said about it, its builds and its deployments.

    What is said of its deployments is of one stage: ``on`` gives the release as a stage sees it.
    """

    pushed: Pushed
    facts: frozenset[Fact] = frozenset()
    rollout: Rollout | None = None  # its latest rollout, where it is also the stage's latest
    quarantine: Quarantined | None = None
    pushers: tuple[str, ...] = ()  # who CodeCommit says pushed its commit; empty where that is not known

    def on(self, stage: StageState) -> Release:
        """Return the release with what was said of it on ``stage``, and on no other."""
        mine = frozenset(f for f in self.facts if getattr(f, "stage", "") in ("", stage.name))
        rollout = stage.rollout if stage.rollout and stage.rollout.release == self.number else None
        return replace(self, facts=mine, rollout=rollout)

    @property
    def number(self) -> int:
        return self.pushed.number

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @property
    def attempt(self) -> int:
        """Return the current attempt: 1, and one more for each retry."""
        return max((f.attempt for f in self.all(Retried)), default=1)

    @property
    def digest(self) -> str:
        """Return its image's digest: the current attempt's, or the one it was last live with, or ""."""
        accepted = self.accepted
        return accepted.digest if accepted else self.served_digest or self.pushed.digest

    @property
    def served_digest(self) -> str:
        """Return the digest it was last live with, "" if it never was: what a rollback to it deploys."""
        served = self._succeeded()
        return max(served, key=_order).digest if served else ""

    @property
    def figures(self) -> dict[str, str]:
        """Return what the build of the image it was last live with exported, by name; empty if that is not known."""
        accepted = self.one(Accepted, digest=self.served_digest)
        return accepted.figures if accepted else {}

    def all(self, kind: type[F]) -> Iterator[F]:
        """Yield the release's facts of one kind."""
        return (f for f in self.facts if isinstance(f, kind))

    def one(self, kind: type[F], **said: object) -> F | None:
        """Return the fact of that kind that says so (the least by key, were there several), or None."""
        found = [f for f in self.all(kind) if all(getattr(f, k) == v for k, v in said.items())]
        return min(found, key=lambda f: f.key, default=None)

    # --- the current attempt's build

    @property
    def accepted(self) -> Accepted | None:
        return self.one(Accepted, attempt=self.attempt)

    @property
    def image_missed(self) -> ImageMissed | None:
        return self.one(ImageMissed, attempt=self.attempt)

    @property
    def build(self) -> BuildStarted | None:
        return self.one(BuildStarted, attempt=self.attempt)

    @property
    def build_ended(self) -> BuildEnded | None:
        return self.one(BuildEnded, attempt=self.attempt)

    def claim(self, action: str, attempt: int) -> Claimed | None:
        """Return the latest claim of that action for the attempt or turn."""
        claims = [c for c in self.all(Claimed) if c.action == action and c.attempt == attempt]
        return max(claims, key=lambda c: c.take, default=None)

    def declined(self, action: str, attempt: int, take: int) -> Declined | None:
        return self.one(Declined, action=action, attempt=attempt, take=take)

    @property
    def running_builds(self) -> list[BuildStarted]:
        """Return the builds, of whatever attempt, that started and have not ended."""
        ended = {f.build for f in self.all(BuildEnded)}
        return sorted((b for b in self.all(BuildStarted) if b.build not in ended), key=lambda b: b.key)

    @property
    def unanswered_build(self) -> Claimed | None:
        """Return the latest claim of a build, of whatever attempt, of which it is not known what came."""
        for attempt in range(self.attempt, 0, -1):
            claim = self.claim("build", attempt)
            if claim and not (
                self.one(BuildStarted, attempt=attempt)
                or self.one(Accepted, attempt=attempt)
                or self.declined("build", attempt, claim.take)
            ):
                return claim
        return None

    @property
    def aborted(self) -> Aborted | None:
        return self.one(Aborted, attempt=self.attempt)

    @property
    def superseded(self) -> Superseded | None:
        return self.one(Superseded)

    @property
    def gated(self) -> Gated | None:
        return self.one(Gated, attempt=self.attempt)

    def overdue(self, what: str, number: int) -> Overdue | None:
        return self.one(Overdue, what=what, number=number)

    # --- what people said of its way onto the stage

    @property
    def votes(self) -> tuple[Approved | Disapproved, ...]:
        """Return each person's latest vote for this attempt and image, in order of time."""
        latest: dict[str, Approved | Disapproved] = {}
        for kind in (Approved, Disapproved):
            votes: Iterator[Approved | Disapproved] = self.all(kind)
            for vote in votes:
                if (vote.attempt, vote.digest) == (self.attempt, self.digest):
                    who = vote.arn or vote.by
                    latest[who] = max(latest.get(who, vote), vote, key=lambda v: v.key)
        return tuple(sorted(latest.values(), key=lambda vote: vote.key))

    @property
    def promoted(self) -> Promoted | None:
        """Return the latest word that it is to come to the stage whatever is on the one before."""
        words = [f for f in self.all(Promoted) if f.attempt == self.attempt]
        return max(words, key=lambda f: f.key, default=None)

    def bypass(self, now: datetime) -> Bypassed | None:
        """Return the bypass that is in force at ``now``, if any: it is for this image."""
        words = [f for f in self.all(Bypassed) if f.until > now and f.digest in ("", self.digest)]
        return max(words, key=lambda f: f.key, default=None)

    def stop_asked(self, thing: str) -> StopAsked | None:
        return self.one(StopAsked, thing=thing)

    # --- its deployments

    @property
    def last_rollout(self) -> int:
        """Return the number of the latest rollout this release had, 0 if it had none."""
        rollouts = [f.rollout for f in self.all(DeploymentStarted)] + [f.rollout for f in self.all(DeploymentGivenUp)]
        return max([*rollouts, self.rollout.number if self.rollout else 0], default=0)

    @property
    def rollout_attempt(self) -> int:
        """Return the attempt that got the latest rollout, 0 if none did."""
        if self.rollout and self.rollout.number == self.last_rollout:
            return self.rollout.attempt
        started = [f.attempt for f in self.all(DeploymentStarted) if f.rollout == self.last_rollout]
        given_up = [f.attempt for f in self.all(DeploymentGivenUp) if f.rollout == self.last_rollout]
        return max([*started, *given_up], default=0)

    def deployment(self, rollout: int) -> DeploymentStarted | None:
        return self.one(DeploymentStarted, rollout=rollout)

    def given_up(self, rollout: int) -> DeploymentGivenUp | None:
        return self.one(DeploymentGivenUp, rollout=rollout)

    def ended(self, deployment: str) -> DeploymentEnded | None:
        return self.one(DeploymentEnded, deployment=deployment)

    def diagnosed(self, deployment: str) -> Diagnosed | None:
        return self.one(Diagnosed, deployment=deployment)

    @property
    def begun(self) -> bool:
        """Return whether its current attempt has had a rollout."""
        return self.last_rollout > 0 and self.rollout_attempt == self.attempt

    @property
    def live_since(self) -> datetime | None:
        """Return when the latest deployment of it that succeeded ended, None if none did."""
        served = max(self._succeeded(), key=_order, default=None)
        ended = self.ended(served.deployment) if served else None
        return ended.at if ended else None

    def alarm_unanswered(self, rollout: int) -> AlarmUnanswered | None:
        return self.one(AlarmUnanswered, rollout=rollout)

    @property
    def was_live(self) -> bool:
        """Return whether any deployment of it ever succeeded."""
        return bool(self._succeeded())

    @property
    def lives(self) -> int:
        """Return how often a deployment of it succeeded: by its own push, a rollback to it, or when it was put back."""
        return len(self._succeeded())

    def _succeeded(self) -> list[DeploymentStarted]:
        succeeded = {f.deployment for f in self.all(DeploymentEnded) if f.status == "Succeeded"}
        succeeded -= {f.deployment for f in self.all(Diagnosed)}  # a host was without it, whatever CodeDeploy says
        return [f for f in self.all(DeploymentStarted) if f.deployment in succeeded and not self.given_up(f.rollout)]

    @property
    def rolled_back(self) -> RolledBack | None:
        """Return the rollback away from it after its latest rollout, if there was one."""
        return min(
            (f for f in self.all(RolledBack) if f.rollout > self.last_rollout), key=lambda f: f.key, default=None
        )

    @property
    def replaced(self) -> Replaced | None:
        """Return what took its place after its latest rollout, if anything did."""
        return min((f for f in self.all(Replaced) if f.rollout > self.last_rollout), key=lambda f: f.key, default=None)


def _order(started: DeploymentStarted) -> tuple[datetime, int]:
    """Return what deployments are in order by; turns are counted on each stage, so they alone would not do."""
    return started.at, started.rollout


@dataclass(frozen=True)
class StageState:
    """A stage: its latest rollout and how it ended, the latest words of operators, and what its alarms said last.

    ``before`` is the stage that a release comes from, None for the first; ``rules`` is its configuration, None for one
    that asks for nothing.
    """

    name: str
    rollout: Rollout | None = None
    finished: RolloutFinished | None = None
    hold: Held | None = None  # the latest word on holding, if it was "hold"
    rollback: RollbackOrdered | None = None  # the latest order
    reminded: HoldReminded | None = None  # the latest reminder of a hold
    alarms: tuple[AlarmRang, ...] = ()  # the last time each went off
    rules: Stage | None = None
    before: StageState | None = None

    @property
    def busy(self) -> bool:
        """Return whether a rollout has begun and is not settled."""
        return self.rollout is not None and self.finished is None

    @property
    def live(self) -> int:
        """Return the number of the live release, 0 if nothing is."""
        if self.rollout is None:
            return 0
        return self.rollout.release if self.finished and self.finished.succeeded else self.rollout.live

    @property
    def healthy(self) -> tuple[int, ...]:
        """Return the releases that were live and healthy before, newest last: what a rollback may return to."""
        rollout = self.rollout
        if rollout is None or not (self.finished and self.finished.succeeded):
            return rollout.healthy if rollout else ()
        if rollout.kind == "rollback":  # what came after the release gone back to was gone back from
            known = rollout.healthy
            return known[: known.index(rollout.release)] if rollout.release in known else ()
        rest = tuple(n for n in rollout.healthy if n not in (rollout.release, rollout.live))
        return (*rest, rollout.live)[-10:] if rollout.live not in (0, rollout.release) else rest

    @property
    def mixed(self) -> bool:
        """Return whether the latest rollout failed and left hosts that run what is not live, where something else is.

        Not after a rollback: the operator wanted to leave what is live. Not after a restore: it would go on for ever.
        """
        rollout, finished = self.rollout, self.finished
        return bool(rollout and rollout.live and rollout.kind == "deploy" and finished and finished.mixed)

    @property
    def baking(self) -> timedelta:
        """Return how long a release is watched here after it came to life."""
        return timedelta(minutes=self.rules.bake_minutes if self.rules else 0)

    def alarms_heard(self, live: Release | None, now: datetime, late: timedelta) -> tuple[str, ...]:
        """Return the names of the alarms that are listened to at ``now``: the stage's, while what is ``live`` here is
        watched, and for ``late`` after that."""
        since = live.on(self).live_since if live and self.rules and self.rules.alarms else None
        if self.rules is None or since is None or now > since + self.baking + late:
            return ()
        return self.rules.alarms

    def rang(self, release: Release) -> AlarmRang | None:
        """Return the alarm that went off first while ``release``, as this stage sees it, was watched."""
        since = release.live_since
        if since is None:
            return None
        rang = [a for a in self.alarms if since < a.since <= since + self.baking]
        return min(rang, key=lambda a: (a.since, a.alarm), default=None)

    def held(self, now: datetime) -> Held | None:
        """Return the hold that is in force at ``now``, if any."""
        return self.hold if self.hold and self.hold.until > now else None

    @property
    def ordered(self) -> RollbackOrdered | None:
        """Return the rollback order that has not had its rollout yet and still asks for something."""
        order = self.rollback
        if order is None or order.key <= (self.rollout.served if self.rollout else ""):
            return None
        return None if order.to == self.live and not self.busy else order


@dataclass(frozen=True)
class Written:
    """What was last written of where a release stands (``phase.Standing``), for listing."""

    phase: str
    why: str
    cause: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything a plan is made from, but the time. ``stages`` are in the order a release takes them."""

    service: Service
    stages: tuple[StageState, ...]
    newest: Pushed | None = None
    releases: tuple[Release, ...] = ()  # the open ones: under way, or live; ascending
    arrived: tuple[ImageArrived, ...] = ()
    tip: str | None = None  # the branch's newest commit; None: no such branch, or it was not asked
    written: dict[int, Written] = field(default_factory=dict)  # the projection, by number

    @property
    def first(self) -> StageState:
        """Return the stage a release comes to first."""
        return self.stages[0]

    @property
    def last(self) -> StageState:
        """Return the stage a release is pushed for."""
        return self.stages[-1]

    def stage(self, name: str) -> StageState:
        """Return the stage of that name. Raises LookupError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise LookupError(f"{self.service.name} has no stage {name}")

    def release(self, number: int) -> Release | None:
        """Return an open release by its number."""
        return next((r for r in self.releases if r.number == number), None)

    @property
    def newest_effective(self) -> int:
        """Return the number of the newest open release that was neither skipped nor rejected, 0 if none is."""
        return max((r.number for r in self.releases if r.pushed.effective), default=0)
