"""What the table tells, gathered for people: status, the list of releases, one release's whole account.

It only reads. Where a release stands is derived from its facts, as the controller does; only the list of releases is
read from the projection, which is written for listing. Times are aware, in UTC; the clock is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.remote import REFUSED, TroubleError
from console.sentences import sentence
from esteira.config import Service
from esteira.facts import (
    BuildEnded,
    BuildStarted,
    DeploymentBegun,
    DeployStarted,
    Fact,
    Held,
    ImageArrived,
    ImageScanned,
    RollbackOrdered,
    Turn,
    about_stage,
    unstamp,
)
from esteira.phase import Phase, Standing, phase_of
from esteira.situation import Release, StageState
from esteira.store import Store, View

# With fewer characters a commit is hardly meant, and never told apart.
LEAST_COMMIT = 4


@dataclass(frozen=True)
class Line:
    """Where one release stands, in one line; ``log`` is what a failure left below its sentence."""

    release: str
    phase: str
    why: str
    log: tuple[str, ...]
    commit: str
    tag: str
    digest: str
    classes: tuple[str, ...]
    pushed_at: datetime


@dataclass(frozen=True)
class Live:
    """What is live on a stage: why, and since when."""

    release: str
    commit: str
    tag: str
    digest: str
    why: str
    since: datetime


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
    under_way: tuple[Line, ...]
    arrived: tuple[str, ...]  # images that are to become a release
    ordered: str  # a rollback that waits for its turn, as a sentence, or ""
    hold: Hold | None


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
    turn: int
    status: str


@dataclass(frozen=True)
class Account:
    """Everything about one release."""

    service: str
    line: Line
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


def status(store: Store, services: Iterable[Service], now: datetime) -> tuple[StageStatus, ...]:
    """Return how every stage of ``services`` stands at ``now``."""
    return tuple(_stage_status(store, service, now) for service in services)


def releases(store: Store, service: Service, limit: int) -> tuple[Line, ...]:
    """Return the newest ``limit`` releases, newest first, as the controller last wrote them for listing."""
    return tuple(_listed(view) for view in store.views(service.name, limit))


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


def line(store: Store, service: Service, number: int, now: datetime) -> Line:
    """Return where a release stands at ``now``. Raises TroubleError where there is no such release."""
    stage = store.stage(service.name, service.last.name)
    release = _release(store, service, number, stage)
    return _line(release, phase_of(release, stage, now))


def account(store: Store, service: Service, number: int, now: datetime) -> Account:
    """Return everything about a release. Raises TroubleError where there is no such release."""
    stage = store.stage(service.name, service.last.name)
    release = _release(store, service, number, stage)
    pushed = release.pushed
    facts = sorted({pushed, *release.facts, *_around(store, service, release)}, key=lambda f: (f.at, f.key))
    scans = [f.findings for f in facts if isinstance(f, ImageScanned)]
    return Account(
        service=service.name,
        line=_line(release, phase_of(release, stage, now)),
        source=pushed.source,
        attempt=release.attempt,
        changed=pushed.changed,
        changed_count=pushed.changed_count,
        note=pushed.note,
        findings=scans[-1] if scans else "",
        exported=release.accepted.figures if release.accepted else {},
        builds=_builds(release),
        deployments=_deployments(release),
        facts=tuple(_said(f) for f in facts),
    )


# --- a stage --------------------------------------------------------------------------------------------------------


def _stage_status(store: Store, service: Service, now: datetime) -> StageStatus:
    stage = store.stage(service.name, service.last.name)
    rows, arrived = store.open(service.name)
    open_ones = (_release(store, service, n, stage) for n in sorted(rows) if n != stage.live)
    standings = [(release, phase_of(release, stage, now)) for release in open_ones]
    hold = stage.held(now)
    return StageStatus(
        service=service.name,
        stage=stage.name,
        live=_live(store, service, stage),
        under_way=tuple(_line(r, s) for r, s in standings if not s.phase.ended),
        arrived=tuple(sentence(image) for image in arrived),
        ordered=sentence(stage.ordered) if stage.ordered else "",
        hold=_hold(hold) if hold else None,
    )


def _live(store: Store, service: Service, stage: StageState) -> Live | None:
    release = store.release(service.name, stage.live) if stage.live else None
    if release is None:
        return None
    pushed, (since, why) = release.pushed, _since(store, service, stage, release)
    return Live(release.label, pushed.commit, pushed.tag, release.digest, why, since)


def _since(store: Store, service: Service, stage: StageState, release: Release) -> tuple[datetime, str]:
    """Return when the live release came to life the last time, and by what: a deployment, or somebody's rollback."""
    best, since = None, release.pushed.at
    for started in sorted(release.all(DeployStarted), key=lambda f: f.turn):
        ended = release.ended(started.deployment)
        # Diagnosed, one that CodeDeploy calls Succeeded did not reach every host.
        if ended is not None and ended.status == "Succeeded" and not release.diagnosed(started.deployment):
            best, since = started, ended.at
    if best is None:
        return since, "it is what the last turn left"
    turn = next((f for f in _turn(store, service, stage, best.turn) if isinstance(f, Turn)), None)
    order = _order(store, service, turn) if turn and turn.kind == "rollback" else None
    return since, sentence(order) if order else f"deployment {best.deployment} succeeded on {stage.name}"


def _turn(store: Store, service: Service, stage: StageState, number: int) -> tuple[Fact, ...]:
    return store.facts(service.name, about_stage(stage.name), f"turn#{number:08d}")


def _order(store: Store, service: Service, turn: Turn) -> RollbackOrdered | None:
    """Return the order a rollback's turn served."""
    facts = store.facts(service.name, turn.about, turn.served) if turn.served else ()
    return next((f for f in facts if isinstance(f, RollbackOrdered)), None)


def _hold(held: Held) -> Hold:
    return Hold(held.by, held.reason, held.until)


# --- a release ------------------------------------------------------------------------------------------------------


def _release(store: Store, service: Service, number: int, stage: StageState) -> Release:
    """Return a release with its turn and its quarantine in the picture. Raises TroubleError where there is none."""
    release = store.release(service.name, number)
    if release is None:
        raise TroubleError(f"{service.name} has no release v{number}. Next: esteira releases", REFUSED)
    turn = stage.turn if stage.turn and stage.turn.release == number else None
    quarantine = store.quarantine(service.name, (release.pushed.commit, release.digest))
    return Release(release.pushed, release.facts, turn, quarantine)


def _around(store: Store, service: Service, release: Release) -> Iterator[Fact]:
    """Yield the facts that are about a release and stand elsewhere: its turns, its quarantine, its image's scans."""
    turns = {(f.stage, f.turn) for f in release.all(DeployStarted)}
    turns |= {(release.turn.stage, release.turn.number)} if release.turn else set()
    for stage, number in turns:
        facts = _turn(store, service, StageState(stage), number)
        yield from facts
        orders = (_order(store, service, f) for f in facts if isinstance(f, Turn) and f.kind == "rollback")
        yield from filter(None, orders)
    for subject in filter(None, (release.pushed.commit, release.digest)):
        yield from store.facts(service.name, f"quarantine/{subject}")
    if release.digest:
        image = ImageScanned(at=release.pushed.at, digest=release.digest, findings="")
        yield from store.facts(service.name, image.about)
    if release.pushed.source == "image":
        taken = ImageArrived(at=release.pushed.at, tag=release.pushed.tag, digest=release.pushed.digest)
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
    for started in sorted(release.all(DeployStarted), key=lambda f: f.turn):
        ended = release.ended(started.deployment)
        state = ended.status if ended else "InProgress" if started.deployment in begun else "Created"
        rows.append(Deployment(started.deployment, started.stage, started.turn, state))
    return tuple(rows)


def _line(release: Release, standing: Standing) -> Line:
    pushed, (why, log) = release.pushed, _parted(standing.why)
    return Line(
        release=release.label,
        phase=standing.phase.value,
        why=why,
        log=log,
        commit=pushed.commit,
        tag=pushed.tag,
        digest=release.digest,
        classes=pushed.classes,
        pushed_at=pushed.at,
    )


def _listed(view: View) -> Line:
    why, log = _parted(view.why)
    return Line(
        release=f"v{view.number}",
        phase=view.phase,
        why=why,
        log=log,
        commit=view.commit,
        tag=view.tag,
        digest=view.digest,
        classes=view.classes,
        pushed_at=unstamp(view.pushed_at),
    )


def _said(fact: Fact) -> Said:
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


def retry_progress(store: Store, service: Service, number: int, now: datetime) -> Progress:
    """Return how a release goes that was given another attempt."""
    told = line(store, service, number, now)
    phase = Phase(told.phase)
    return Progress(told, phase.ended or phase is Phase.LIVE, phase is Phase.LIVE)


def rollback_progress(store: Store, service: Service, to: int, now: datetime) -> Progress:
    """Return how the rollback to release ``to`` goes: it is over when it had its turn and that turn is settled."""
    stage = store.stage(service.name, service.last.name)
    over = stage.ordered is None and not stage.busy
    return Progress(line(store, service, to, now), over, over and stage.live == to)


def rollback_target(store: Store, service: Service, request: str) -> int | None:
    """Return the release that the rollback of this request goes to; None where another order came after it."""
    order = store.stage(service.name, service.last.name).rollback
    return order.to if order is not None and order.request == request else None
