"""Everything about one release: each fact in order of time, its builds, its deployments, and the decisions about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from console.read.complete import complete, lines_of, split_log
from console.read.policies import in_a_line
from console.read.release_lines import line_of
from console.read.sentences import sentence
from console.read.sentences_record import short
from console.read.stage_status import order_of, rollout_facts
from console.read.views import Account, At, ReleaseBuild, ReleaseDeployment, Said
from esteira.config import Service
from esteira.core.facts import (
    POLICY,
    Accepted,
    BuildEnded,
    BuildStarted,
    DeploymentReported,
    DeploymentStarted,
    Diagnosed,
    HostObserved,
    ImageArrived,
    PolicySet,
    Pushed,
    Rollout,
    about_stage,
)
from esteira.core.state import Release, StageState
from esteira.core.status import assess
from esteira.fact import Fact
from esteira.store import Store
from esteira.trail import ImageScanned, about_decisions
from settings.difference import difference

# What the controller noted for itself.
_NOTES = {"claimed", "rollout-finished", "notified", "host-reported", "bundled", "commit-pushed", "decided", "unknown"}


def account(store: Store, service: Service, number: int, now: datetime) -> Account:
    """Everything about a release. Raises TroubleError where there is no such release."""
    release, s = complete(store, service, number, now)
    stages, pushed = s.stages, release.pushed
    shown = assess(release, stages, now).shown(stages)
    facts = _in_order({pushed, *release.facts, *_around(store, service, release, stages)})
    replaced = _replaces(store, service, release, s.last, facts)
    decisions = _in_order(store.facts(service.name, about_decisions(number)))
    policies = _policies(store, service, (decisions or facts)[-1].at) if s.policy else []
    facts = _in_order({*facts, *(f for f in policies if f.at > pushed.at)})
    scans = {f.digest: f for f in facts if isinstance(f, ImageScanned)}  # the last of each image in an index
    return Account(
        service=service.name,
        line=line_of(release, stages, now),
        on=tuple(At(name, there.phase.value, lines_of(there)[0]) for name, there in shown.items()),
        source=pushed.source,
        attempt=release.attempt,
        changed=pushed.changed,
        changed_count=pushed.changed_count,
        note=pushed.note,
        findings=_findings(list(scans.values())),
        exported=release.accepted.figures if release.accepted else {},
        builds=_builds(release),
        deployments=_deployments(release),
        facts=tuple(map(said, facts)),
        decisions=tuple(map(said, decisions)),
        settings=difference(replaced.settings, pushed.settings) if replaced else (),
        settings_than=f"v{replaced.number}" if replaced else "",
        rules=in_a_line(next(reversed(policies), None)),
    )


def _replaces(
    store: Store, service: Service, release: Release, stage: StageState, facts: Iterable[Fact]
) -> Pushed | None:
    """The birth of what was live on the stage before the release came there, or of what is live while it has not."""
    rollouts = [f for f in facts if isinstance(f, Rollout) and f.stage == stage.name]
    before = min(rollouts, key=lambda f: f.number).live if rollouts else stage.live
    return store.pushed(service.name, before) if before not in (0, release.number) else None


def _findings(scans: Sequence[ImageScanned]) -> str:
    """What the last scan of each image found; by its digest where there are several."""
    if len(scans) == 1:
        return scans[0].findings
    return "; ".join(f"{short(scan.digest)}: {scan.findings}" for scan in scans)


def _policies(store: Store, service: Service, until: datetime) -> list[PolicySet]:
    """The policies that were set until then, oldest first."""
    return [f for f in store.facts(service.name, POLICY) if isinstance(f, PolicySet) and f.at <= until]


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda fact: (fact.at, fact.key))


def _around(store: Store, service: Service, release: Release, stages: Sequence[StageState]) -> Iterator[Fact]:
    """The facts that are about a release and stand elsewhere: who pushed it, its rollouts and the alarms that
    went off while it was watched, what hosts said of it, its quarantine, its image's scans."""
    pushed = release.pushed
    rollouts = {(f.stage, f.rollout) for f in release.all(DeploymentStarted)}
    rollouts |= {(s.name, s.rollout.number) for s in stages if s.rollout and s.rollout.release == release.number}
    for stage, number in rollouts:
        facts = rollout_facts(store, service, stage, number)
        yield from facts
        yield from filter(None, (order_of(store, service, f) for f in facts if isinstance(f, Rollout)))
    for state in stages:
        alarms = store.alarms(service.name, state.rules.alarms) if state.rules else ()
        rang = replace(state, alarms=alarms).rang(release.on(state))
        yield from filter(None, [rang])
        hosts = store.facts(service.name, about_stage(state.name), "host#")
        yield from (f for f in hosts if isinstance(f, HostObserved) and f.release == release.number)
    for subject in filter(None, (pushed.commit, release.digest)):
        yield from store.facts(service.name, f"quarantine/{subject}")
    if pushed.commit:
        yield from store.facts(service.name, f"commit/{pushed.commit}")
    for digest in sorted(filter(None, release.images)):
        yield from store.facts(service.name, f"image/{digest}")
    if pushed.source == "image":
        taken = ImageArrived(at=pushed.at, tag=pushed.tag, digest=pushed.digest)
        yield from store.facts(service.name, taken.about, f"image#{taken.tag}#{taken.digest}")


def _builds(release: Release) -> tuple[ReleaseBuild, ...]:
    ended = {f.build: f for f in release.all(BuildEnded)}
    attempts = {f.build: f.attempt for f in release.all(BuildStarted)}
    attempts |= {f.build: f.attempt for f in ended.values()}
    return tuple(
        ReleaseBuild(build, attempt, ended[build].status if build in ended else "IN_PROGRESS")
        for build, attempt in sorted(attempts.items(), key=lambda row: row[1])
    )


def _deployments(release: Release) -> tuple[ReleaseDeployment, ...]:
    begun = {f.deployment for f in release.all(DeploymentReported)}
    rows = []
    for done in sorted(release.deployed, key=lambda d: d.started.at if d.started else release.pushed.at):
        if done.started is not None:
            deployment = done.started.deployment
            state = done.ended.status if done.ended else "InProgress" if deployment in begun else "Created"
            rows.append(ReleaseDeployment(deployment, done.stage, done.number, state))
    return tuple(rows)


def said(fact: Fact) -> Said:
    """A fact as what it says."""
    says, log = split_log(sentence(fact))
    return Said(fact.at, fact.name, says, log, _minor(fact))


def _minor(fact: Fact) -> bool:
    match fact:
        case BuildStarted() | DeploymentStarted(unchanged=False) | Rollout(kind="deploy") | Accepted() | ImageScanned():
            return True
        case DeploymentReported(milestone=milestone):
            return milestone != "ended"
        case Diagnosed(failed=failed):
            return not failed
        case _:
            return fact.name in _NOTES
