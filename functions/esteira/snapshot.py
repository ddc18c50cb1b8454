"""The snapshot of a service: the one place where complete releases are put together from the table.

The controller, the command line and the page all read through it, so they see the same release. What is read is
bounded whatever the history: the open releases, those a stage has to do with, and those asked for by number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from esteira.config import Service
from esteira.core.state import Release, Snapshot, StageState
from esteira.store import SnapshotRows, Store

# A release is still asked for an alarm this long after it was watched: the alarm's event may be late.
LATE = timedelta(hours=1)


def snapshot(store: Store, service: Service, now: datetime, also: Iterable[int] = ()) -> Snapshot:
    """What the table holds about ``service``, under its policy, at ``now``; ``also`` names further releases to read.

    The branch's tip is not in it: that is asked of CodeCommit after the table was read.
    """
    rows = store.snapshot_rows(service, also)
    releases = tuple(_release(number, rows) for number in sorted(rows.births))
    return Snapshot(
        service=rows.service,
        policy=rows.policy,
        stages=_complete(releases, rows, now),
        newest=rows.newest,
        releases=releases,
        arrived=rows.arrived,
        written=rows.open,
        failing=rows.failing,
        beats=rows.beats,
    )


def _release(number: int, rows: SnapshotRows) -> Release:
    """The release with its quarantine and the pushes since what is live.

    They matter while it is open and there is a stage it has not come to. A closed release keeps what it was.
    """
    release = Release(rows.births[number], rows.facts[number])
    effective = number in rows.open and release.pushed.effective
    if not effective or all(release.on(stage).begun for stage in rows.stages):
        return release
    words = (rows.quarantined.get(subject) for subject in (release.pushed.commit, release.digest))
    quarantine = next((word for word in words if word and not word.lifted), None)
    return replace(release, quarantine=quarantine, pushes=rows.pushes.get(release.pushed.commit, ()))


def _complete(releases: tuple[Release, ...], rows: SnapshotRows, now: datetime) -> tuple[StageState, ...]:
    """The stages with the live commit, and with what their alarms said last while somebody listens to them."""
    heard: list[StageState] = []
    for stage in rows.stages:
        live = next((r for r in releases if r.number == stage.live), None)
        names = stage.alarms_heard(live, now, LATE)
        alarms = tuple(rows.alarms[name] for name in names if name in rows.alarms)
        commit = live.pushed.commit if live else ""
        heard.append(replace(stage, live_commit=commit, alarms=alarms, before=heard[-1] if heard else None))
    return tuple(heard)
