"""How the stages of a service stand: what is live on each, what is under way, and what holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from console.read.failing import failing
from console.read.hosts import digests_differ, silent
from console.read.policies import in_a_line
from console.read.release_lines import bypasses_of, last_listed, line_of
from console.read.sentences import sentence
from console.read.views import Hold, LiveOnStage, ReleaseLine, ServiceStatus, StageStatus, UnderWay, Vote
from esteira.config import Service
from esteira.core.admission import counted, needed
from esteira.core.facts import RollbackOrdered, Rollout, about_stage
from esteira.core.state import Release, Snapshot, StageState
from esteira.core.status import Assessed, Cause, Phase, assess
from esteira.fact import Fact
from esteira.snapshot import snapshot
from esteira.store import Store


def status(store: Store, services: Iterable[Service], now: datetime) -> tuple[StageStatus, ...]:
    """How every stage of ``services`` stands at ``now``."""
    return tuple(stage for service in services for stage in _status(store, service, now))


def glance(
    store: Store, services: Iterable[Service], stages: Iterable[StageStatus], pages: Mapping[str, str]
) -> tuple[ServiceStatus, ...]:
    """Each service at a glance. ``stages`` is how they stand; ``pages`` is where the models of the local stack
    answer."""
    stages = tuple(stages)
    return tuple(
        ServiceStatus(
            service=service.name,
            newest=_newest(store, service, stages),
            url=pages.get(service.name, service.url),
            live=next((s.live.release for s in stages if _is_last(s, service) and s.live), ""),
            failing=failing(store, service),
            rules=next((stage.rules for stage in stages if stage.service == service.name), ""),
        )
        for service in services
    )


def _newest(store: Store, service: Service, stages: Iterable[StageStatus]) -> ReleaseLine | None:
    """The release that was pushed last. One that is on its way may not be written for listing yet."""
    told = [line for stage in stages if stage.service == service.name for line in stage.under_way]
    listed = last_listed(store, service)
    return max((*told, *filter(None, [listed])), key=lambda line: int(line.release[1:]), default=None)


def _is_last(stage: StageStatus, service: Service) -> bool:
    return (stage.service, stage.stage) == (service.name, service.last.name)


def _status(store: Store, service: Service, now: datetime) -> Iterator[StageStatus]:
    s = snapshot(store, service, now)
    assessed = {r.number: assess(r, s.stages, now) for r in s.releases}
    on_their_way: dict[str, list[UnderWay]] = {stage.name: [] for stage in s.stages}
    for each in assessed.values():
        phase = each.overall.phase
        if each.release.number in s.written and not (phase.ended or phase is Phase.LIVE):
            on_their_way[each.overall.stage or s.first.name].append(_under_way(each, s, now))
    for stage in s.stages:
        hold = stage.held(now)
        yield StageStatus(
            service=service.name,
            stage=stage.name,
            live=_live(store, s, stage, assessed.get(stage.live), now),
            under_way=tuple(on_their_way[stage.name]),
            arrived=tuple(sentence(image) for image in s.arrived) if stage is s.first else (),
            ordered=sentence(stage.ordered) if stage.ordered else "",
            hold=Hold(hold.by, hold.reason, hold.until) if hold and hold.until else None,
            bypasses=tuple(bypasses_of((r for r in s.releases if r.number in s.written), stage, now)),
            rules=in_a_line(s.policy),
        )


def _under_way(assessed: Assessed, s: Snapshot, now: datetime) -> UnderWay:
    status = assessed.overall
    stage = s.stage(status.stage) if status.stage else s.first
    rule = stage.rules.approvals if stage.rules else None
    here = assessed.release.on(stage)
    counts = counted(here, rule, now) if rule else ()
    votes = [Vote(v.by, v.arn, "yes", v.reason, v.until, v in counts) for v in here.votes]
    if here.rejected:
        votes.append(Vote(here.rejected.by, here.rejected.arn, "no", here.rejected.reason, None, counts=False))
    return UnderWay(
        **vars(line_of(assessed.release, s.stages, now)),
        waits=assessed.waits[stage.name] if status.phase is Phase.WAITING else (),
        votes=tuple(votes),
        needed=needed(here, rule) if rule else 0,
    )


def _live(store: Store, s: Snapshot, stage: StageState, assessed: Assessed | None, now: datetime) -> LiveOnStage | None:
    if assessed is None:
        return None
    release = assessed.release
    here, pushed = release.on(stage), release.pushed
    beats = [beat for beat in s.beats if (beat.stage, beat.release) == (stage.name, release.number)]
    since, why = _since(store, s.service, stage, release)
    # What was rolled back to is not watched again.
    watched_until = since + stage.baking if here.came_by_itself else since
    status = assessed.on[stage.name]
    return LiveOnStage(
        release=release.label,
        commit=pushed.commit,
        tag=pushed.tag,
        digest=here.served_digest or release.digest,
        why=why,
        subject=pushed.subject,
        author=pushed.author,
        since=since,
        watched_until=watched_until if stage.baking > timedelta() and watched_until > now else None,
        differs=status.why if stage.drift else digests_differ(release, stage, beats),
        alarm=status.why if status.cause in (Cause.ALARM, Cause.IMAGE_GONE) else "",
        sick=status.why if status.cause == Cause.SICK else "",
        silent=tuple(silent(s.service, release, beats, now)),
    )


def _since(store: Store, service: Service, stage: StageState, release: Release) -> tuple[datetime, str]:
    """When the live release last came to life, and by what: a deployment, or somebody's rollback."""
    here = release.on(stage)
    best = next((d for d in reversed(here.rollouts) if d.succeeded), None)
    if best is None or best.started is None or here.live_since is None:
        return release.pushed.at, "it is what the last rollout left"
    rollout = next((f for f in rollout_facts(store, service, stage.name, best.number) if isinstance(f, Rollout)), None)
    order = order_of(store, service, rollout) if rollout else None
    deployment = best.started.deployment
    if order is not None:
        return here.live_since, sentence(order)
    if best.started.unchanged:
        return here.live_since, f"{stage.name} already ran this image ({deployment})"
    return here.live_since, f"deployment {deployment} succeeded on {stage.name}"


def rollout_facts(store: Store, service: Service, stage: str, number: int) -> tuple[Fact, ...]:
    return store.facts(service.name, about_stage(stage), f"rollout#{number:08d}")


def order_of(store: Store, service: Service, rollout: Rollout) -> RollbackOrdered | None:
    """The order that the rollout carries out, None where it carries out none."""
    ordered = rollout.served and rollout.kind in ("rollback", "redeploy")
    facts = store.facts(service.name, rollout.about, rollout.served) if ordered else ()
    return next((f for f in facts if isinstance(f, RollbackOrdered)), None)
