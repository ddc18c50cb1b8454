"""Everything a snapshot of one service is made from, read in as few calls as it takes.

1. One query of ``open#``: the open releases, the images that arrived, and the latest fact of each series of the service
   and its stages.
2. One batch: when each alarm last rang, and how those releases were born that have no open row telling it.
3. One query for each release: everything said about it.
4. One batch: what was said about their deployments, and the latest word of quarantine on their commits and images.
5. Where a stage does not count the votes of those who pushed, one query for each push since what is live there.

Four calls for two open releases, seven with everything. The reads are strongly consistent and not one transaction: a
row may be newer than one that was read before it. That is as harmless here as a step that began a moment earlier,
because whatever may be done only once is claimed under a natural key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TypeVar

from esteira.config import Service
from esteira.core.facts import (
    POLICY,
    RELEASES,
    Accepted,
    AlarmRang,
    CommitPushed,
    DeploymentStarted,
    Deviated,
    Held,
    HostLaunched,
    HostObserved,
    ImageArrived,
    Notified,
    PolicySet,
    Pushed,
    Quarantined,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    about_deployment,
    about_release,
    about_stage,
)
from esteira.core.state import Beat, Failing, Listed, StageState, pushes_between
from esteira.fact import Fact
from esteira.store.releases import Releases, arrivals, beats_of, birth_key, failures, open_births, open_releases
from esteira.store.rows import LATEST, OPEN, OWN_LATEST, Row, facts_of, first_of, pk_of, reminder_of
from policy.document import in_force

# What a snapshot reads of a deployment: these are its keys, so no query is needed. What hosts reported is for receipts.
_OF_DEPLOYMENT = ("begun", "ended", "diagnosed")
F = TypeVar("F", bound=Fact)
Place = tuple[str, str]


@dataclass(frozen=True)
class SnapshotRows:
    """The facts and projections of one service that a snapshot is made from.

    ``service`` is under its ``policy``. ``stages`` are in its order, each with its rules and the one before it.
    ``births`` and ``facts`` are by the number of the release, ``quarantined`` by commit or digest, ``alarms`` by name.
    ``pushes`` are those that led from what is live on a stage to a release, by its commit; empty where no stage asks
    for them.
    """

    service: Service
    newest: Pushed | None
    open: Mapping[int, Listed]
    arrived: tuple[ImageArrived, ...]
    stages: tuple[StageState, ...]
    births: Mapping[int, Pushed]
    facts: Mapping[int, frozenset[Fact]]
    quarantined: Mapping[str, Quarantined] = field(default_factory=dict)
    pushes: Mapping[str, tuple[CommitPushed, ...]] = field(default_factory=dict)
    alarms: Mapping[str, AlarmRang] = field(default_factory=dict)
    failing: tuple[Failing, ...] = ()
    policy: PolicySet | None = None
    beats: tuple[Beat, ...] = ()


class Snapshots(Releases):
    """The reads of a snapshot."""

    def snapshot_rows(self, service: Service, also: Iterable[int] = ()) -> SnapshotRows:
        """Everything that a snapshot of the service is made from: of the releases that are open, live on a stage, on
        their way to one or ordered back to one, and those that are ``also`` asked for."""
        name = service.name
        rows = self._query(name, RELEASES, OPEN)
        latest = _latest(rows)
        policy = _policy(latest)
        service = in_force(service, policy)
        stages, opened = tuple(_stages(service, latest)), open_releases(rows)
        known, wanted = open_births(rows), {*opened, *also, *_on(stages)} - {0}
        read, alarms = self._births_and_alarms(service, sorted(wanted - known.keys()))
        births = {**known, **read}
        facts = {number: set(self.facts(name, about_release(number))) for number in births}
        there = self._get_many(name, [*_deployments(facts), *_subjects(births, facts)])
        for number, said in facts.items():
            said.update(_found(there, Fact, _deployments({number: said})))
        return SnapshotRows(
            service=service,
            policy=policy,
            newest=first_of([latest.get("release")], Pushed),
            open=opened,
            arrived=arrivals(rows),
            stages=stages,
            births=births,
            facts={number: frozenset(said) for number, said in facts.items()},
            quarantined={word.subject: word for word in _found(there, Quarantined, _subjects(births, facts))},
            pushes=self._pushes(name, stages, births, opened),
            alarms={rang.alarm: rang for rang in alarms},
            failing=failures(rows),
            beats=beats_of(rows),
        )

    def _pushes(
        self, service: str, stages: Iterable[StageState], births: Mapping[int, Pushed], opened: Iterable[int]
    ) -> dict[str, tuple[CommitPushed, ...]]:
        """The pushes between what is live on each stage of the two-person rule and the open releases after it."""
        read = cache(partial(self.pushes, service))
        found: dict[str, dict[CommitPushed, None]] = {}
        for stage in stages:
            rule = stage.rules.approvals if stage.rules else None
            live = births[stage.live].commit if stage.live in births else ""
            commits = [births[n].commit for n in opened if n in births and n != stage.live and births[n].effective]
            for commit in filter(None, commits if rule and rule.not_by_pusher else ()):
                found.setdefault(commit, {}).update(dict.fromkeys(pushes_between(live, commit, read)))
        return {commit: tuple(pushes) for commit, pushes in found.items()}

    def stages(self, service: Service) -> tuple[StageState, ...]:
        """The service's stages in their order, each with its rules and the one before it."""
        latest = _latest(self._query(service.name, RELEASES, LATEST))
        return tuple(_stages(in_force(service, _policy(latest)), latest))

    def policy(self, service: str) -> PolicySet | None:
        """The service's latest policy, None where none was set."""
        return self.policies([service]).get(service)

    def policies(self, services: Iterable[str]) -> dict[str, PolicySet]:
        """The latest policy of each of those services that has one."""
        found = self._get_rows((pk_of(service, RELEASES), f"{LATEST}{POLICY}") for service in services)
        policies = {pk.partition("#")[0]: first_of([row], PolicySet) for (pk, _), row in found.items()}
        return {service: policy for service, policy in policies.items() if policy is not None}

    def stage(self, service: str, stage: str) -> StageState:
        """A stage without its rules."""
        return _stage(stage, _latest(self._query(service, RELEASES, LATEST)))

    def _births_and_alarms(
        self, service: Service, numbers: Iterable[int]
    ) -> tuple[dict[int, Pushed], tuple[AlarmRang, ...]]:
        born = [(RELEASES, birth_key(number)) for number in numbers]
        rang = [(f"alarm/{alarm}", OWN_LATEST) for stage in service.stages for alarm in stage.alarms]
        there = self._get_many(service.name, [*born, *rang])
        births = {birth.number: birth for birth in _found(there, Pushed, born)}
        return births, tuple(_found(there, AlarmRang, rang))


def _latest(rows: Iterable[Row]) -> dict[str, Row]:
    """The latest fact of each series among the rows under ``open#``."""
    return {row["sk"].removeprefix(LATEST): row for row in rows if row["sk"].startswith(LATEST)}


def _policy(latest: Mapping[str, Row]) -> PolicySet | None:
    return first_of([latest.get(POLICY)], PolicySet)


def _stages(service: Service, latest: Mapping[str, Row]) -> Iterator[StageState]:
    before = None
    for rules in service.stages:
        before = replace(_stage(rules.name, latest), rules=rules, before=before)
        yield before


def _stage(name: str, latest: Mapping[str, Row]) -> StageState:
    place = about_stage(name)
    rollout = first_of([latest.get(f"{place}#rollout")], Rollout)
    finished = first_of([latest.get(f"{place}#finished")], RolloutFinished)
    hold = first_of([latest.get(f"{place}#hold")], Held)
    hosts = facts_of(row for series, row in sorted(latest.items()) if series.startswith(f"{place}#host#"))
    return StageState(
        name=name,
        rollout=rollout,
        finished=finished if finished and rollout and finished.rollout == rollout.number else None,
        hold=hold,
        rollback=first_of([latest.get(f"{place}#rollback")], RollbackOrdered),
        deviated=first_of([latest.get(f"{place}#deviated")], Deviated),
        launch=first_of([latest.get(f"{place}#launch")], HostLaunched),
        hosts=tuple(host for host in hosts if isinstance(host, HostObserved)),
        reminded=reminder_of(hold, first_of([latest.get(f"{place}#reminded")], Notified)),
    )


def _on(stages: Iterable[StageState]) -> Iterator[int]:
    """The releases that are live on a stage, on their way to it, or ordered back to it."""
    for stage in stages:
        yield stage.live
        yield stage.ordered.to if stage.ordered else 0
        yield stage.rollout.release if stage.rollout and stage.busy else 0


def _deployments(facts: Mapping[int, Iterable[Fact]]) -> list[Place]:
    """Where what is said about the releases' deployments stands."""
    started = [f for said in facts.values() for f in said if isinstance(f, DeploymentStarted)]
    abouts = [about_deployment(f.deployment) for f in started]
    return [(about, key) for about in abouts for key in _OF_DEPLOYMENT]


def _subjects(births: Mapping[int, Pushed], facts: Mapping[int, Iterable[Fact]]) -> list[Place]:
    """Where the latest word of quarantine on the releases' commits and images stands."""
    subjects = [text for birth in births.values() for text in (birth.commit, birth.digest)]
    subjects += [f.digest for said in facts.values() for f in said if isinstance(f, Accepted | DeploymentStarted)]
    return [(f"quarantine/{subject}", OWN_LATEST) for subject in dict.fromkeys(filter(None, subjects))]


def _found(there: Mapping[Place, Row], kind: type[F], places: Iterable[Place]) -> list[F]:
    """The facts of that kind at those places."""
    facts = facts_of(there[place] for place in dict.fromkeys(places) if place in there)
    return [fact for fact in facts if isinstance(fact, kind)]
