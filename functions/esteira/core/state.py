"""What is known about a service at one moment, put together from facts: releases, stages, the branch's tip.

Pure values. ``snapshot`` reads them, ``status`` and ``plan`` use them. Everything is bounded whatever the history: the
open releases, each stage's latest rollout and the latest words of operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from esteira.config import Service, Stage
from esteira.core.facts import (
    Aborted,
    Accepted,
    AlarmRang,
    Approved,
    BuildEnded,
    BuildStarted,
    Bypassed,
    Claimed,
    CommitPushed,
    Declined,
    DeploymentReported,
    DeploymentStarted,
    Deviated,
    Diagnosed,
    FindingsRead,
    Gated,
    GivenUp,
    Held,
    HostLaunched,
    HostObserved,
    ImageArrived,
    ImageMissed,
    Notified,
    PolicySet,
    Promoted,
    Pushed,
    Quarantined,
    Rejected,
    ReleaseWord,
    Replaced,
    Retried,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    Superseded,
)
from esteira.core.lease import Lease, lease_of
from esteira.fact import Fact

F = TypeVar("F", bound=Fact)
# So long a release is watched at least after it came to life: a sick one is taken back without any configuration.
WATCHED = timedelta(minutes=10)
MOST_PUSHES = 100  # that are followed back from a release; what was pushed before them counts as not told


def pushes_between(live: str, commit: str, told: Callable[[str], Iterable[CommitPushed]]) -> Iterator[CommitPushed]:
    """The pushes that led the branch from the ``live`` commit to ``commit``, which is among them, as far as CodeCommit
    ``told`` of them. Without a live commit, all that were told of."""
    left, seen = [commit], {live}
    while left and len(seen) <= MOST_PUSHES:
        tip = left.pop()
        seen.add(tip)
        for push in told(tip):
            yield push
            if commit != live and push.before and push.before not in {*seen, *left}:
                left.append(push.before)


@dataclass(frozen=True)
class Deployed:
    """One rollout of a release: its deployment, if there is one, and what became of it."""

    stage: str
    number: int
    attempt: int
    rollout: Rollout | None = None  # where it is also the stage's latest
    started: DeploymentStarted | None = None
    ended: DeploymentReported | None = None
    diagnosed: Diagnosed | None = None
    given_up: GivenUp | None = None
    overdue: GivenUp | None = None  # it passed its deadline and is to be stopped
    looked_at: bool = False  # somebody claimed to finish it, having looked at every host

    @property
    def succeeded(self) -> bool:
        """Whether CodeDeploy says so, and no host is known to be without it."""
        failed = self.diagnosed is not None and self.diagnosed.failed
        return self.ended is not None and self.ended.status == "Succeeded" and not failed and self.given_up is None

    @property
    def live_since(self) -> datetime | None:
        """When the release came to life by it, None if it did not."""
        if not self.succeeded or self.started is None or self.ended is None:
            return None
        return self.started.at if self.started.unchanged else self.ended.at


@dataclass(frozen=True)
class Release:
    """One release: every fact about it, its builds and deployments, on all stages. ``on`` is one stage's view of it."""

    pushed: Pushed
    facts: frozenset[Fact] = frozenset()
    quarantine: Quarantined | None = None  # of an open release; a closed one keeps what it was
    pushes: tuple[CommitPushed, ...] = ()  # that CodeCommit told of, since what is live on its stages

    @cached_property
    def _by_kind(self) -> Mapping[type[Fact], list[Fact]]:
        index: dict[type[Fact], list[Fact]] = defaultdict(list)
        for fact in sorted(self.facts, key=lambda f: f.key):
            index[type(fact)].append(fact)
        return index

    @cached_property
    def _views(self) -> dict[StageState, OnStage]:
        return {}

    def on(self, stage: StageState) -> OnStage:
        """The release as ``stage`` sees it; made once for each state of a stage."""
        if stage not in self._views:
            self._views[stage] = OnStage(self, stage)
        return self._views[stage]

    def all(self, kind: type[F]) -> Iterator[F]:
        """The release's facts of one kind, in the order of their keys."""
        return iter(self._by_kind.get(kind, ()))  # type: ignore[arg-type]

    def one(self, kind: type[F], **said: object) -> F | None:
        """The first fact of that kind, by key, with these values; or None."""
        return next((f for f in self.all(kind) if all(getattr(f, k) == v for k, v in said.items())), None)

    @property
    def number(self) -> int:
        return self.pushed.number

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @cached_property
    def attempt(self) -> int:
        """The current attempt: 1, and one more for each retry."""
        return max((f.attempt for f in self.all(Retried)), default=1)

    @property
    def began(self) -> datetime:  # the current attempt
        return max([self.pushed.at, *(f.at for f in self.all(Retried))])

    @cached_property
    def digest(self) -> str:
        """Its image's digest: the current attempt's, or the one it was last live with on any stage, or ""."""
        if self.accepted:
            return self.accepted.digest
        served = sorted((d.started for d in self.deployed if d.started and d.succeeded), key=lambda f: f.at)
        return served[-1].digest if served else self.pushed.digest

    @property
    def images(self) -> frozenset[str]:
        """The digests of its image and, where that is an index, of the images in it."""
        of = (f.images for f in self.all(Accepted) if f.digest == self.digest)
        return frozenset((self.digest, *(image for images in of for image in images)))

    @property
    def accepted(self) -> Accepted | None:
        return self.one(Accepted, attempt=self.attempt)

    def missed(self, digest: str) -> ImageMissed | None:
        """What was last found of an image that could not be pulled; None where it can."""
        looks = [f for f in self.all(ImageMissed) if f.digest == digest]
        return looks[-1] if looks and looks[-1].how else None

    @property
    def aborted(self) -> Aborted | None:
        return self.one(Aborted, attempt=self.attempt)

    @property
    def superseded(self) -> Superseded | None:
        return self.one(Superseded)

    @property
    def gated(self) -> Gated | None:
        return self.one(Gated, attempt=self.attempt)

    @property
    def findings(self) -> tuple[FindingsRead, ...]:
        """What was read of its image's scan in this attempt, oldest first."""
        return tuple(f for f in self.all(FindingsRead) if f.attempt == self.attempt)

    def given_up(self, what: str, number: int, stage: str = "") -> GivenUp | None:
        return self.one(GivenUp, what=what, number=number, stage=stage)

    # --- builds

    def builds(self, attempt: int) -> list[BuildStarted]:
        """The builds that carry an attempt's claim, in order of time. The first is the controller's own."""
        found = [b for b in self.all(BuildStarted) if b.attempt == attempt]
        return sorted(found, key=lambda b: (b.began or b.at, b.build))

    @property
    def build(self) -> BuildStarted | None:
        """The build that decides: the controller's own of the current attempt, or CodeBuild's latest retry of it."""
        decides: BuildStarted | None = None
        for build in self.builds(self.attempt):
            if decides is None or build.retry_of == decides.build:
                decides = build
        return decides

    @property
    def copies(self) -> list[BuildStarted]:
        """Builds that somebody else started with the current attempt's claim; they decide nothing."""
        ours = {self.build.build, self.build.retry_of} if self.build else set()
        return [b for b in self.builds(self.attempt) if b.build not in ours and not b.retry_of]

    @property
    def build_ended(self) -> BuildEnded | None:
        """How the deciding build ended; the event of its start may be lost."""
        build = self.build
        if build is None:
            return self.one(BuildEnded, attempt=self.attempt)
        return self.one(BuildEnded, attempt=self.attempt, build=build.build)

    @property
    def running_builds(self) -> list[BuildStarted]:
        """The builds of any attempt that started and have not ended."""
        ended = {f.build for f in self.all(BuildEnded)}
        return [b for b in self.all(BuildStarted) if b.build not in ended]

    @property
    def unanswered_build(self) -> Claimed | None:
        """The latest claim of a build, of any attempt, with no recorded outcome."""
        for attempt in range(self.attempt, 0, -1):
            if self.lease("build", attempt).unanswered and not (
                self.builds(attempt) or self.one(Accepted, attempt=attempt)
            ):
                claims = (c for c in self.all(Claimed) if (c.action, c.attempt) == ("build", attempt))
                return max(claims, key=lambda c: c.take)
        return None

    def lease(self, action: str, number: int, stage: str = "", first: datetime | None = None) -> Lease:
        """The lease on an action of the attempt, or of the rollout on ``stage``."""
        named = (action, number, stage)
        return lease_of(
            (c for c in self.all(Claimed) if (c.action, c.attempt, c.stage) == named),
            (d for d in self.all(Declined) if (d.action, d.attempt, d.stage) == named),
            first,
        )

    def declined(self, action: str, number: int, take: int, stage: str = "") -> Declined | None:
        return self.one(Declined, action=action, attempt=number, take=take, stage=stage)

    # --- deployments

    @cached_property
    def deployed(self) -> tuple[Deployed, ...]:
        """Its rollouts on all stages that are known from its own facts, in the order of stage and number."""
        known = {(f.stage, f.rollout) for f in self.all(DeploymentStarted)}
        known |= {(f.stage, f.number) for f in self.all(GivenUp) if f.what == "deployment"}
        return tuple(self.rollout(stage, number) for stage, number in sorted(known))

    def rollout(self, stage: str, number: int, latest: Rollout | None = None) -> Deployed:
        """One rollout with its deployment and what became of that. ``latest`` is the stage's row of it."""
        started = self.one(DeploymentStarted, stage=stage, rollout=number)
        given_up = self.given_up("deployment", number, stage)
        reports = self.all(DeploymentReported) if started else ()
        ended = (r for r in reports if started and r.deployment == started.deployment and r.milestone == "ended")
        known = latest or started or given_up
        return Deployed(
            stage=stage,
            number=number,
            attempt=known.attempt if known else 0,
            rollout=latest,
            started=started,
            ended=next(ended, None),
            diagnosed=self.one(Diagnosed, deployment=started.deployment) if started else None,
            given_up=given_up,
            overdue=self.given_up("deadline", number, stage),
            looked_at=self.lease("finish", number, stage).held_until is not None,
        )


@dataclass(frozen=True)
class OnStage:
    """A release as one stage sees it: its rollouts there, and what people said of its way onto the stage."""

    release: Release
    stage: StageState

    @cached_property
    def rollouts(self) -> tuple[Deployed, ...]:
        """The release's rollouts on the stage, oldest first."""
        mine = {d.number: d for d in self.release.deployed if d.stage == self.stage.name}
        latest = self.stage.rollout
        if latest is not None and latest.release == self.release.number:
            mine[latest.number] = self.release.rollout(self.stage.name, latest.number, latest)
        return tuple(mine[number] for number in sorted(mine))

    @property
    def last(self) -> Deployed | None:
        return self.rollouts[-1] if self.rollouts else None

    @property
    def last_rollout(self) -> int:
        return self.last.number if self.last else 0

    @property
    def begun(self) -> bool:
        """Whether the current attempt has had a rollout on the stage."""
        return self.last is not None and self.last.attempt == self.release.attempt

    @cached_property
    def _succeeded(self) -> tuple[Deployed, ...]:
        return tuple(d for d in self.rollouts if d.succeeded)

    @property
    def lives(self) -> int:
        """How often a deployment of it succeeded here: by its own push, by a rollback to it, or to restore it."""
        return len(self._succeeded)

    @property
    def live_since(self) -> datetime | None:
        """When it last came to life on the stage, None if it never did."""
        return self._succeeded[-1].live_since if self._succeeded else None

    @property
    def served(self) -> DeploymentStarted | None:
        """The deployment it was last live with here."""
        return self._succeeded[-1].started if self._succeeded else None

    @property
    def served_digest(self) -> str:
        """The digest it was last live with here, "" if it never was: what a rollback to it deploys."""
        return self.served.digest if self.served else ""

    @property
    def figures(self) -> dict[str, str]:
        """What the build of the image it was last live with exported, by name; empty if that is not known."""
        accepted = self.release.one(Accepted, digest=self.served_digest)
        return accepted.figures if accepted else {}

    @property
    def is_live(self) -> bool:
        return self.stage.live == self.release.number

    @property
    def live_with_its_image(self) -> bool:
        """Whether a further attempt found the release live here with the very image it has now."""
        accepted = self.release.accepted
        return accepted is not None and not self.stage.busy and self.is_live and self.served_digest == accepted.digest

    @property
    def came(self) -> bool:
        """Whether the current attempt came to the stage: by a rollout, or because it was live here already."""
        return self.begun or self.live_with_its_image

    @property
    def came_by_itself(self) -> bool:
        """Whether it is live by its own deployment: only then it is watched. What was rolled back to is not."""
        if self.stage.rollout is not None and self.stage.rollout.release == self.release.number:
            return self.stage.rollout.kind == "deploy"
        return self.lives == 1

    @property
    def replaced(self) -> Replaced | None:
        """What took its place here after its latest rollout."""
        found = self.release.all(Replaced)
        return next((f for f in found if f.stage == self.stage.name and f.rollout > self.last_rollout), None)

    @property
    def votes(self) -> tuple[Approved, ...]:
        """Each person's latest vote for this attempt and image, in order of time."""
        latest = {vote.arn or vote.by: vote for vote in self.release.all(Approved) if self._is_about_this(vote)}
        return tuple(sorted(latest.values(), key=lambda vote: vote.key))

    @property
    def rejected(self) -> Rejected | None:
        """The word that ends the way of this attempt and image onto the stage, if there is one."""
        return next(filter(self._is_about_this, self.release.all(Rejected)), None)

    def _is_about_this(self, word: ReleaseWord) -> bool:
        release = self.release
        return (word.stage, word.attempt, word.digest) == (self.stage.name, release.attempt, release.digest)

    @property
    def promoted(self) -> Promoted | None:
        """The latest word that it is to come here whatever is live on the stage before."""
        words = (f for f in self.release.all(Promoted) if f.stage == self.stage.name)
        return max((f for f in words if f.attempt == self.release.attempt), key=lambda f: f.key, default=None)

    def bypass(self, now: datetime) -> Bypassed | None:
        """The bypass that is in force at ``now``, if any; it is for this image."""
        words = (f for f in self.release.all(Bypassed) if f.stage == self.stage.name and f.until > now)
        return max((f for f in words if f.digest in ("", self.release.digest)), key=lambda f: f.key, default=None)


@dataclass(frozen=True)
class StageState:
    """A stage: its latest rollout and how it ended, the latest words of operators, and when its alarms last rang.

    ``before`` is the stage that a release comes from. ``rules`` is its configuration, None where it asks for nothing.
    """

    name: str
    rollout: Rollout | None = None
    finished: RolloutFinished | None = None
    hold: Held | None = None  # the latest word on holding
    rollback: RollbackOrdered | None = None  # the latest order
    reminded: Notified | None = None  # the latest reminder of a hold
    deviated: Deviated | None = None  # the latest deployment by others
    launch: HostLaunched | None = None  # the latest host that came new
    alarms: tuple[AlarmRang, ...] = ()  # the last time each rang
    hosts: tuple[HostObserved, ...] = ()  # the latest report of each host
    rules: Stage | None = None
    before: StageState | None = None
    live_commit: str = ""  # of the release that is live, "" where none is or it came as an image

    def __hash__(self) -> int:
        return hash((self.name, self.rollout, self.finished))

    @property
    def busy(self) -> bool:
        return self.rollout is not None and self.finished is None

    @property
    def live(self) -> int:
        if self.rollout is None:
            return 0
        return self.rollout.release if self.finished and self.finished.succeeded else self.rollout.live

    @property
    def healthy(self) -> tuple[int, ...]:
        """The releases that were live and healthy before, newest last: what a rollback may return to."""
        rollout = self.rollout
        if rollout is None or not (self.finished and self.finished.succeeded):
            return rollout.healthy if rollout else ()
        if rollout.kind == "rollback":  # the releases after its target were rolled back from
            known = rollout.healthy
            return known[: known.index(rollout.release)] if rollout.release in known else ()
        rest = tuple(n for n in rollout.healthy if n not in (rollout.release, rollout.live))
        return (*rest, rollout.live)[-10:] if rollout.live not in (0, rollout.release) else rest

    @property
    def mixed(self) -> bool:
        """Whether the latest rollout failed and left hosts that run something else than the live release."""
        # Not after a rollback: the operator wanted to leave what is live. Not after a restore, which would never end.
        rollout, finished = self.rollout, self.finished
        return bool(rollout and rollout.live and rollout.kind == "deploy" and finished and finished.mixed)

    @property
    def drift(self) -> Deviated | None:
        """The deployment by others that the hosts still run, as far as is known, in place of the live release."""
        found, rollout = self.deviated, self.rollout
        if found is None or not found.revision or rollout is None or not self.live:
            return None
        return None if self.finished and self.finished.succeeded and rollout.at >= found.at else found

    @property
    def restored_at(self) -> datetime | None:
        """When the live release is put back in place of a deployment by others; None if not by itself."""
        drift, rollout = self.drift, self.rollout
        minutes = self.rules.restore_minutes if self.rules else 0
        # A restore that failed would fail again for ever; after a rollback somebody wanted to leave what is live.
        tried = drift and rollout and rollout.kind != "deploy" and rollout.at >= drift.at
        return drift.at + timedelta(minutes=minutes) if drift and minutes and not tried else None

    @property
    def baking(self) -> timedelta:
        """How long a release is watched here after it came to life."""
        return timedelta(minutes=self.rules.bake_minutes if self.rules else 0)

    def alarms_heard(self, live: Release | None, now: datetime, late: timedelta) -> tuple[str, ...]:
        """The alarms listened to at ``now``: the stage's, while ``live`` is watched here and for ``late`` after."""
        since = live.on(self).live_since if live and self.rules and self.rules.alarms else None
        if self.rules is None or since is None or now > since + self.baking + late:
            return ()
        return self.rules.alarms

    def rang(self, here: OnStage) -> AlarmRang | None:
        """The alarm that rang first while the release was watched on this stage."""
        since = here.live_since
        if since is None:
            return None
        rang = [a for a in self.alarms if since < a.since <= since + self.baking]
        return min(rang, key=lambda a: (a.since, a.alarm), default=None)

    @property
    def not_launched(self) -> HostLaunched | None:
        """The latest host that came new and could not run the live release, until a rollout or another host could."""
        found, finished = self.launch, self.finished
        later = finished and finished.succeeded and found and finished.at > found.ended
        return found if found and found.why and not later else None

    @property
    def sick(self) -> tuple[HostObserved, ...]:
        """What the hosts report on which the live release is sick, in order of time."""
        found = (h for h in self.hosts if h.sick and h.release == self.live)
        return tuple(sorted(found, key=lambda h: (h.since, h.host)))

    def sickened(self, here: OnStage) -> HostObserved | None:
        """The first report that the live release became sick while it was watched, by its own doing."""
        since, served = here.live_since, here.served
        if since is None or served is None:
            return None
        until = since + max(self.baking, WATCHED)
        return next((h for h in self.sick if h.sick != "disk" and served.at <= h.since <= until), None)

    def held(self, now: datetime) -> Held | None:
        """The hold that is in force at ``now``, if any."""
        return self.hold if self.hold and self.hold.until and self.hold.until > now else None

    @property
    def ordered(self) -> RollbackOrdered | None:
        """The rollback order that has had no rollout yet and still asks for something."""
        order = self.rollback
        if order is None or order.key <= (self.rollout.served if self.rollout else ""):
            return None
        if order.again:
            return order if order.to == self.live else None
        return None if order.to == self.live and not self.busy else order


@dataclass(frozen=True)
class Listed:
    """What listings say about where a release stands: a status as it was last written."""

    phase: str
    summary: str
    detail: tuple[str, ...] = ()
    next: str = ""
    cause: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Beat:
    """When a host of a stage last reported on itself, and what ran on it then."""

    stage: str
    host: str
    at: datetime
    release: int
    digest: str


@dataclass(frozen=True)
class Failing:
    """What fails for a service (sweep, intake), how many times in a row since when, and the last error."""

    what: str
    since: datetime
    times: int
    error: str


@dataclass(frozen=True)
class Snapshot:
    """Everything a plan is made from, except the time. ``stages`` are in the order a release takes them."""

    service: Service
    stages: tuple[StageState, ...]
    newest: Pushed | None = None
    releases: tuple[Release, ...] = ()  # the open ones: under way or live, ascending
    arrived: tuple[ImageArrived, ...] = ()
    tip: str | None = None  # the branch's newest commit; None: no such branch, or it was not asked for
    written: Mapping[int, Listed] = field(default_factory=dict)  # the listed status, by release
    failing: tuple[Failing, ...] = ()
    policy: PolicySet | None = None  # which the service's rules are, where one was set
    beats: tuple[Beat, ...] = ()

    @property
    def first(self) -> StageState:
        return self.stages[0]

    @property
    def last(self) -> StageState:
        return self.stages[-1]

    def stage(self, name: str) -> StageState:
        """The stage of that name. Raises LookupError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise LookupError(f"{self.service.name} has no stage {name}")

    def release(self, number: int) -> Release | None:
        """An open release by its number."""
        return next((r for r in self.releases if r.number == number), None)

    @property
    def newest_effective(self) -> int:
        """The number of the newest open release that was neither skipped nor rejected, 0 if there is none."""
        return max((r.number for r in self.releases if r.pushed.effective), default=0)
