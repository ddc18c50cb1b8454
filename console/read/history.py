"""What the table tells, gathered for people: status, the list of releases, one release's whole account.

It only reads. Where a release stands is derived from its facts, as the controller does; only the list of releases is
read from the projection, which is written for listing. Times are aware, in UTC; the clock is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from console.read.remote import REFUSED, TroubleError
from console.read.sentences import sentence
from esteira.config import Service
from esteira.core.admission import Wait, counted, needed, waits
from esteira.core.facts import (
    Approved,
    BuildEnded,
    BuildStarted,
    Bypassed,
    DeploymentBegun,
    DeploymentStarted,
    ImageArrived,
    ImageScanned,
    RollbackOrdered,
    Rollout,
    about_commit,
    about_release,
    about_stage,
)
from esteira.fact import Fact, unstamp
from esteira.trail import about_decisions
from esteira.core.state import Release, StageState
from esteira.core.status import ALARM, Phase, Status, status_of, status_on, statuses
from esteira.store import Store, View

# With fewer characters a commit is hardly meant, and never told apart.
LEAST_COMMIT = 4


@dataclass(frozen=True)
class Bypass:
    """A bypass in force: no rule of the stage stands in the release's way."""

    release: str
    stage: str
    by: str
    reason: str
    until: datetime


@dataclass(frozen=True)
class Line:
    """Where one release stands in all, in one line; ``log`` is what a failure left below its sentence.

    ``stage`` is the one the sentence is about, "" where it is about none; ``cause`` is its word (``phase.Standing``);
    ``stages`` is the phase on each stage that the release came to.
    """

    release: str
    phase: str
    why: str
    cause: str
    stage: str
    stages: dict[str, str]
    log: tuple[str, ...]
    commit: str
    tag: str
    digest: str
    classes: tuple[str, ...]
    pushed_at: datetime
    bypasses: tuple[Bypass, ...]  # in force


@dataclass(frozen=True)
class Vote:
    """What somebody said about a release's way onto a stage. ``counts``: it is one of the votes that are needed."""

    by: str
    arn: str
    says: str  # yes or no
    reason: str
    until: datetime | None
    counts: bool


@dataclass(frozen=True)
class UnderWay(Line):
    """A release on its way: what it waits for, what counts first, and the votes on it so far, of so many needed."""

    waits: tuple[Wait, ...]
    votes: tuple[Vote, ...]
    needed: int


@dataclass(frozen=True)
class Live:
    """What is live on a stage: why, and since when; until when it is watched, and the alarm that went off in vain."""

    release: str
    commit: str
    tag: str
    digest: str
    why: str
    since: datetime
    watched_until: datetime | None
    alarm: str


@dataclass(frozen=True)
class Hold:
    """A hold in force."""

    by: str
    reason: str
    until: datetime


@dataclass(frozen=True)
class StageStatus:
    """One stage of a service: what is live, what is under way, what is ordered, what holds it."""

    service: str
    stage: str
    live: Live | None
    under_way: tuple[UnderWay, ...]
    arrived: tuple[str, ...]  # images that are to become a release
    ordered: str  # a rollback that waits for its rollout, as a sentence, or ""
    hold: Hold | None
    bypasses: tuple[Bypass, ...]


@dataclass(frozen=True)
class Said:
    """One fact: when it was heard, its kind, and what it says; ``log`` are lines that belong to it."""

    at: datetime
    fact: str
    says: str
    log: tuple[str, ...]


@dataclass(frozen=True)
class Build:
    """One build of a release. ``status`` is CodeBuild's, or ``IN_PROGRESS``."""

    id: str
    attempt: int
    status: str


@dataclass(frozen=True)
class Deployment:
    """One deployment of a release. ``status`` is CodeDeploy's."""

    id: str
    stage: str
    rollout: int
    status: str


@dataclass(frozen=True)
class At:
    """Where a release stands on one stage."""

    stage: str
    phase: str
    why: str


@dataclass(frozen=True)
class Account:
    """Everything about one release."""

    service: str
    line: Line
    on: tuple[At, ...]  # the stages it came to, in their order
    source: str
    attempt: int
    changed: tuple[str, ...]
    changed_count: int
    note: str
    findings: str  # of ECR's scan, "" where none was heard of
    exported: dict[str, str]  # what its image's build exported, by name
    builds: tuple[Build, ...]
    deployments: tuple[Deployment, ...]
    facts: tuple[Said, ...]  # in order of time
    decisions: tuple[Said, ...]  # of the controller, in order of time


def status(store: Store, services: Iterable[Service], now: datetime) -> tuple[StageStatus, ...]:
    """Return how every stage of ``services`` stands at ``now``."""
    return tuple(stage for service in services for stage in _status(store, service, now))


def releases(store: Store, service: Service, limit: int, now: datetime, before: int | None = None) -> tuple[Line, ...]:
    """Return the newest ``limit`` releases (below ``before``), newest first, as last written for listing, each with the
    bypasses that are in force at ``now``."""
    open_ones, _ = store.open(service.name)
    return tuple(
        _listed(view, tuple(_listed_bypasses(store, service, view, now)) if view.number in open_ones else ())
        for view in store.views(service.name, limit, before)
    )


def _listed_bypasses(store: Store, service: Service, view: View, now: datetime) -> Iterator[Bypass]:
    facts = store.facts(service.name, about_release(view.number), f"{Bypassed.series}#")
    latest = {f.stage: f for f in facts if isinstance(f, Bypassed) and f.digest in ("", view.digest)}
    return (_bypass(f"v{view.number}", word) for word in latest.values() if word.until > now)


def number_of(store: Store, service: Service, text: str) -> int:
    """Return the release that ``text`` names: its label (v3), or a commit's first characters (the newest of it).

    Raises TroubleError where it names none.
    """
    if re.fullmatch(r"v\d{1,8}", text):
        return int(text[1:])
    if not re.fullmatch(rf"[0-9a-fA-F]{{{LEAST_COMMIT},40}}", text):
        raise TroubleError(
            f"{text!r} is neither a release, such as v3, nor the first {LEAST_COMMIT} or more characters of a commit. "
            f"Next: esteira releases",
            REFUSED,
        )
    found = store.find(service.name, text.lower())
    if found is None:
        raise TroubleError(f"no release of {service.name} has a commit {text}. Next: esteira releases", REFUSED)
    return found


def newest(store: Store, service: Service) -> int:
    """Return the newest release. Raises TroubleError where there is none."""
    pushed = store.newest(service.name)
    if pushed is None:
        raise TroubleError(f"{service.name} has no release yet. Next: git push", REFUSED)
    return pushed.number


def line(store: Store, service: Service, number: int, now: datetime) -> Line:
    """Return where a release stands at ``now``. Raises TroubleError where there is no such release."""
    return _line(_release(store, service, number), tuple(store.stages(service)), now)


def account(store: Store, service: Service, number: int, now: datetime) -> Account:
    """Return everything about a release. Raises TroubleError where there is no such release."""
    stages = tuple(store.stages(service))
    release = _release(store, service, number)
    pushed = release.pushed
    facts = _in_order({pushed, *release.facts, *_around(store, service, release, stages)})
    scans = [f.findings for f in facts if isinstance(f, ImageScanned)]
    return Account(
        service=service.name,
        line=_line(release, stages, now),
        on=tuple(At(name, s.phase.value, _parted(s.why)[0]) for name, s in statuses(release, stages, now).items()),
        source=pushed.source,
        attempt=release.attempt,
        changed=pushed.changed,
        changed_count=pushed.changed_count,
        note=pushed.note,
        findings=scans[-1] if scans else "",
        exported=release.accepted.figures if release.accepted else {},
        builds=_builds(release),
        deployments=_deployments(release),
        facts=tuple(map(said, facts)),
        decisions=tuple(map(said, _in_order(store.facts(service.name, about_decisions(number))))),
    )


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda fact: (fact.at, fact.key))


# --- a stage --------------------------------------------------------------------------------------------------------


def _status(store: Store, service: Service, now: datetime) -> Iterator[StageStatus]:
    stages = tuple(store.stages(service))
    rows, arrived = store.open(service.name)
    releases = [_release(store, service, number) for number in sorted(rows)]
    on_their_way: dict[str, list[UnderWay]] = {stage.name: [] for stage in stages}
    for release in releases:
        status = status_of(release, stages, now)
        if not (status.phase.ended or status.phase is Phase.LIVE):
            before = status.stage or stages[0].name
            on_their_way[before].append(_under_way(release, status, stages, now))
    for stage in stages:
        hold = stage.held(now)
        yield StageStatus(
            service=service.name,
            stage=stage.name,
            live=_live(store, service, stage, now),
            under_way=tuple(on_their_way[stage.name]),
            arrived=tuple(sentence(image) for image in arrived) if stage is stages[0] else (),
            ordered=sentence(stage.ordered) if stage.ordered else "",
            hold=Hold(hold.by, hold.reason, hold.until) if hold else None,
            bypasses=tuple(_bypasses(releases, stage, now)),
        )


def _under_way(release: Release, status: Status, stages: Sequence[StageState], now: datetime) -> UnderWay:
    stage = next((s for s in stages if s.name == status.stage), stages[0])
    rule = stage.rules.approvals if stage.rules else None
    here = release.on(stage)
    counts = counted(here, rule, now) if rule else ()
    votes = tuple(
        Vote(
            by=vote.by,
            arn=vote.arn,
            says="yes" if isinstance(vote, Approved) else "no",
            reason=vote.reason,
            until=vote.until if isinstance(vote, Approved) else None,
            counts=vote in counts,
        )
        for vote in here.votes
    )
    return UnderWay(
        **vars(_line(release, stages, now)),
        waits=waits(release, stage, now) if status.phase is Phase.WAITING else (),
        votes=votes,
        needed=needed(here, rule) if rule else 0,
    )


def _bypasses(releases: Iterable[Release], stage: StageState, now: datetime) -> Iterator[Bypass]:
    for release in releases:
        bypass = release.on(stage).bypass(now)
        if bypass is not None:
            yield _bypass(release.label, bypass)


def _bypass(label: str, word: Bypassed) -> Bypass:
    return Bypass(label, word.stage, word.by, word.reason, word.until)


def _live(store: Store, service: Service, stage: StageState, now: datetime) -> Live | None:
    release = store.release(service.name, stage.live) if stage.live else None
    if release is None:
        return None
    here, pushed = release.on(stage), release.pushed
    since, why = _since(store, service, stage, here)
    watched_until = since + stage.baking
    status = status_on(release, stage, now)
    return Live(
        release=release.label,
        commit=pushed.commit,
        tag=pushed.tag,
        digest=here.served_digest or release.digest,
        why=why,
        since=since,
        watched_until=watched_until if stage.baking > timedelta() and watched_until > now else None,
        alarm=status.why if status.cause == ALARM else "",
    )


def _since(store: Store, service: Service, stage: StageState, release: Release) -> tuple[datetime, str]:
    """Return when the live release came to life the last time, and by what: a deployment, or somebody's rollback."""
    best, since = None, release.pushed.at
    for started in sorted(release.all(DeploymentStarted), key=lambda f: f.rollout):
        ended = release.ended(started.deployment)
        # Diagnosed, one that CodeDeploy calls Succeeded did not reach every host.
        if ended is not None and ended.status == "Succeeded" and not release.diagnosed(started.deployment):
            best, since = started, ended.at
    if best is None:
        return since, "it is what the last rollout left"
    rollout = next((f for f in _rollout(store, service, stage.name, best.rollout) if isinstance(f, Rollout)), None)
    order = _order(store, service, rollout) if rollout and rollout.kind == "rollback" else None
    return since, sentence(order) if order else f"deployment {best.deployment} succeeded on {stage.name}"


def _rollout(store: Store, service: Service, stage: str, number: int) -> tuple[Fact, ...]:
    return store.facts(service.name, about_stage(stage), f"rollout#{number:08d}")


def _order(store: Store, service: Service, rollout: Rollout) -> RollbackOrdered | None:
    """Return the order a rollback's rollout served."""
    facts = store.facts(service.name, rollout.about, rollout.served) if rollout.served else ()
    return next((f for f in facts if isinstance(f, RollbackOrdered)), None)


# --- a release ------------------------------------------------------------------------------------------------------


def _release(store: Store, service: Service, number: int) -> Release:
    """Return a release with its quarantine, and who pushed it where that counts. Raises TroubleError where there is
    none."""
    release = store.release(service.name, number)
    if release is None:
        raise TroubleError(f"{service.name} has no release v{number}. Next: esteira releases", REFUSED)
    commit = release.pushed.commit
    asked = commit and any(stage.approvals and stage.approvals.not_by_pusher for stage in service.stages)
    return replace(
        release,
        quarantine=store.quarantine(service.name, (commit, release.digest)),
        pushers=store.pushers(service.name, commit) if asked else (),
    )


def _around(store: Store, service: Service, release: Release, stages: Sequence[StageState]) -> Iterator[Fact]:
    """Yield the facts that are about a release and stand elsewhere: who pushed it, its rollouts and the alarms that
    went off while it was watched, its quarantine, its image's scans."""
    pushed = release.pushed
    rollouts = {(f.stage, f.rollout) for f in release.all(DeploymentStarted)}
    rollouts |= {(s.name, s.rollout.number) for s in stages if s.rollout and s.rollout.release == release.number}
    for stage, number in rollouts:
        facts = _rollout(store, service, stage, number)
        yield from facts
        orders = (_order(store, service, f) for f in facts if isinstance(f, Rollout) and f.kind == "rollback")
        yield from filter(None, orders)
    for state in stages:
        alarms = store.alarms(service.name, state.rules.alarms) if state.rules else ()
        rang = replace(state, alarms=alarms).rang(release.on(state))
        yield from filter(None, [rang])
    for subject in filter(None, (pushed.commit, release.digest)):
        yield from store.facts(service.name, f"quarantine/{subject}")
    if pushed.commit:
        yield from store.facts(service.name, about_commit(pushed.commit))
    if release.digest:
        image = ImageScanned(at=pushed.at, digest=release.digest, findings="")
        yield from store.facts(service.name, image.about)
    if pushed.source == "image":
        taken = ImageArrived(at=pushed.at, tag=pushed.tag, digest=pushed.digest)
        yield from store.facts(service.name, taken.about, f"image#{taken.tag}#{taken.digest}")


def _builds(release: Release) -> tuple[Build, ...]:
    ended = {f.build: f for f in release.all(BuildEnded)}
    attempts = {f.build: f.attempt for f in release.all(BuildStarted)}
    attempts |= {f.build: f.attempt for f in ended.values()}
    return tuple(
        Build(build, attempt, ended[build].status if build in ended else "IN_PROGRESS")
        for build, attempt in sorted(attempts.items(), key=lambda row: row[1])
    )


def _deployments(release: Release) -> tuple[Deployment, ...]:
    begun = {f.deployment for f in release.all(DeploymentBegun)}
    rows = []
    for started in sorted(release.all(DeploymentStarted), key=lambda f: f.rollout):
        ended = release.ended(started.deployment)
        state = ended.status if ended else "InProgress" if started.deployment in begun else "Created"
        rows.append(Deployment(started.deployment, started.stage, started.rollout, state))
    return tuple(rows)


def _line(release: Release, stages: Sequence[StageState], now: datetime) -> Line:
    there = statuses(release, stages, now)
    bypasses = tuple(bypass for stage in stages for bypass in _bypasses([release], stage, now))
    phases = {name: s.phase.value for name, s in there.items()}
    return _told(release, status_of(release, stages, now), phases, bypasses)


def _told(release: Release, status: Status, stages: dict[str, str], bypasses: tuple[Bypass, ...] = ()) -> Line:
    pushed, (why, log) = release.pushed, _parted(status.why)
    return Line(
        release=release.label,
        phase=status.phase.value,
        why=why,
        cause=status.cause,
        stage=status.stage,
        stages=stages,
        log=log,
        commit=pushed.commit,
        tag=pushed.tag,
        digest=release.digest,
        classes=pushed.classes,
        pushed_at=pushed.at,
        bypasses=bypasses,
    )


def _listed(view: View, bypasses: tuple[Bypass, ...]) -> Line:
    why, log = _parted(view.why)
    return Line(
        release=f"v{view.number}",
        phase=view.phase,
        why=why,
        cause=view.cause,
        stage="",
        stages=dict(pair.split("=", 1) for pair in view.stages),
        log=log,
        commit=view.commit,
        tag=view.tag,
        digest=view.digest,
        classes=view.classes,
        pushed_at=unstamp(view.pushed_at),
        bypasses=bypasses,
    )


def said(fact: Fact) -> Said:
    """Return a fact as what it says."""
    says, log = _parted(sentence(fact))
    return Said(fact.at, fact.name, says, log)


def _parted(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the sentence a text begins with, and the log lines below it."""
    lines: Sequence[str] = text.strip().splitlines() or [""]
    return lines[0], tuple(lines[1:])


# --- how something that was asked for goes ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How something goes that somebody waits for; ``over``: it will change no more by itself."""

    line: Line
    over: bool
    succeeded: bool


def way_progress(store: Store, service: Service, number: int, now: datetime) -> Progress:
    """Return how a release goes that is on its way to the last stage, which is where that ends well."""
    return gone(service, line(store, service, number, now))


def gone(service: Service, line: Line) -> Progress:
    """Return how far a release is that stands there."""
    phase = Phase(line.phase)
    arrived = phase is Phase.LIVE and line.stage == service.last.name
    return Progress(line, phase.ended or arrived, arrived)


def rollback_progress(store: Store, service: Service, name: str, to: int, now: datetime) -> Progress:
    """Return how a stage's rollback to release ``to`` goes: it is over when it had its rollout and that is settled."""
    stage = _stage(store, service, name)
    release = _release(store, service, to)
    status = status_on(release, stage, now)
    over = stage.ordered is None and not stage.busy
    return Progress(_told(release, status, {name: status.phase.value}), over, over and stage.live == to)


def rollback_target(store: Store, service: Service, name: str, request: str) -> int | None:
    """Return the release that the rollback of this request goes to; None where another order came after it."""
    order = _stage(store, service, name).rollback
    return order.to if order is not None and order.request == request else None


def _stage(store: Store, service: Service, name: str) -> StageState:
    return next(stage for stage in store.stages(service) if stage.name == name)
