"""How the stages of a service stand: what is live on each, what is under way, and what holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from console.read.complete import complete, existing
from console.read.release_lines import bypasses_of, line_of
from console.read.sentences import sentence
from console.read.views import Hold, LiveRelease, StageStatus, UnderWay, Vote
from esteira.config import Service
from esteira.core.admission import counted, needed, waits
from esteira.core.facts import (
    Approved,
    DeploymentStarted,
    RollbackOrdered,
    Rollout,
    about_stage,
)
from esteira.core.state import Release, StageState
from esteira.core.status import ALARM, Phase, Status, status_of, status_on
from esteira.fact import Fact
from esteira.store import Store


def status(store: Store, services: Iterable[Service], now: datetime) -> tuple[StageStatus, ...]:
    """How every stage of ``services`` stands at ``now``."""
    return tuple(stage for service in services for stage in _status(store, service, now))


def _status(store: Store, service: Service, now: datetime) -> Iterator[StageStatus]:
    stages = tuple(store.stages(service))
    rows, arrived = store.open(service.name)
    releases = {number: complete(store, service, number) for number in sorted(rows)}
    on_their_way: dict[str, list[UnderWay]] = {stage.name: [] for stage in stages}
    for release in releases.values():
        status = status_of(release, stages, now)
        if not (status.phase.ended or status.phase is Phase.LIVE):
            before = status.stage or stages[0].name
            on_their_way[before].append(_under_way(release, status, stages, now))
    for stage in stages:
        hold = stage.held(now)
        yield StageStatus(
            service=service.name,
            stage=stage.name,
            live=_live(store, service, stage, releases, now),
            under_way=tuple(on_their_way[stage.name]),
            arrived=tuple(sentence(image) for image in arrived) if stage is stages[0] else (),
            ordered=sentence(stage.ordered) if stage.ordered else "",
            hold=Hold(hold.by, hold.reason, hold.until) if hold else None,
            bypasses=tuple(bypasses_of(releases.values(), stage, now)),
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
        **vars(line_of(release, stages, now)),
        waits=waits(release, stage, now) if status.phase is Phase.WAITING else (),
        votes=votes,
        needed=needed(here, rule) if rule else 0,
    )


def _live(
    store: Store, service: Service, stage: StageState, releases: Mapping[int, Release], now: datetime
) -> LiveRelease | None:
    release = releases.get(stage.live) or (existing(store, service, stage.live) if stage.live else None)
    if release is None:
        return None
    here, pushed = release.on(stage), release.pushed
    since, why = _since(store, service, stage, here)
    watched_until = since + stage.baking
    status = status_on(release, stage, now)
    return LiveRelease(
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
    """When the live release came to life the last time, and by what: a deployment, or somebody's rollback."""
    best, since = None, release.pushed.at
    for started in sorted(release.all(DeploymentStarted), key=lambda f: f.rollout):
        ended = release.ended(started.deployment)
        # Diagnosed, one that CodeDeploy calls Succeeded did not reach every host.
        if ended is not None and ended.status == "Succeeded" and not release.diagnosed(started.deployment):
            best, since = started, ended.at
    if best is None:
        return since, "it is what the last rollout left"
    rollout = next((f for f in rollout_facts(store, service, stage.name, best.rollout) if isinstance(f, Rollout)), None)
    order = order_of(store, service, rollout) if rollout and rollout.kind == "rollback" else None
    return since, sentence(order) if order else f"deployment {best.deployment} succeeded on {stage.name}"


def rollout_facts(store: Store, service: Service, stage: str, number: int) -> tuple[Fact, ...]:
    return store.facts(service.name, about_stage(stage), f"rollout#{number:08d}")


def order_of(store: Store, service: Service, rollout: Rollout) -> RollbackOrdered | None:
    """The order a rollback's rollout served."""
    facts = store.facts(service.name, rollout.about, rollout.served) if rollout.served else ()
    return next((f for f in facts if isinstance(f, RollbackOrdered)), None)
