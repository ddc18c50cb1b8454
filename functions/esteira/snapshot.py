"""The snapshot of a service: the one place where complete releases are put together from the table.

The controller, the command line and the page all read through it, so they see the same release. What is read is
bounded whatever the history: the open releases, those a stage has to do with, and those asked for by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from esteira.config import Service
from esteira.core.state import Release, Snapshot, StageState
from esteira.store import Store

# A release is still asked for an alarm this long after it was watched: the alarm's event may be late.
LATE = timedelta(hours=1)


def snapshot(store: Store, service: Service, now: datetime, also: Iterable[int] = ()) -> Snapshot:
    """What the table holds about ``service`` at ``now``; ``also`` names further releases to read.

    The branch's tip is not in it: that is asked of CodeCommit after the table was read.
    """
    newest = store.newest(service.name)
    stages = tuple(store.stages(service))
    listed, arrived = store.open(service.name)
    numbers = {*listed, *also}
    for stage in stages:
        numbers |= {stage.live, stage.ordered.to if stage.ordered else 0}
        if stage.busy and stage.rollout:
            numbers.add(stage.rollout.release)
    found = (store.release(service.name, n) for n in sorted(numbers - {0}))
    releases = tuple(_completed(r, service, stages, store) for r in found if r is not None)
    return Snapshot(
        service=service,
        stages=_with_alarms(stages, releases, service, now, store),
        newest=newest,
        releases=releases,
        arrived=arrived,
        written=listed,
    )


def _completed(release: Release, service: Service, stages: Sequence[StageState], store: Store) -> Release:
    """The release with its quarantine and its pushers, which matter while there is a stage it has not come to."""
    ahead = [stage for stage in stages if not release.on(stage).begun]
    if not ahead or not release.pushed.effective:
        return release
    quarantine = store.quarantine(service.name, (release.pushed.commit, release.digest))
    asked = release.pushed.commit and any(
        stage.rules and stage.rules.approvals and stage.rules.approvals.not_by_pusher for stage in ahead
    )
    pushers = store.pushers(service.name, release.pushed.commit) if asked else ()
    return replace(release, quarantine=quarantine, pushers=pushers)


def _with_alarms(
    stages: Sequence[StageState], releases: Sequence[Release], service: Service, now: datetime, store: Store
) -> tuple[StageState, ...]:
    """The stages with what their alarms said last, while somebody listens to them."""
    heard: list[StageState] = []
    for stage in stages:
        live = next((r for r in releases if r.number == stage.live), None)
        names = stage.alarms_heard(live, now, LATE)
        alarms = store.alarms(service.name, names) if names else ()
        heard.append(replace(stage, alarms=alarms, before=heard[-1] if heard else None))
    return tuple(heard)
