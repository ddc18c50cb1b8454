"""The hosts of a service's stages: what their Auto Scaling group says of them, and what they report of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from esteira.config import Service
from esteira.core.state import Beat, Snapshot, StageState
from esteira.snapshot import snapshot
from esteira.store import Store
from esteira.targets.autoscaling import HostGroups
from watch import SILENT


@dataclass(frozen=True)
class StageHost:
    """One host. ``state`` is its group's word for it, "" where it is in none; ``since`` is how long its container has
    been as it is. ``health`` is well, silent, unknown, or why its release is sick there."""

    stage: str
    host: str
    state: str
    release: str
    since: datetime | None
    health: str
    heard: datetime | None


def hosts(
    store: Store, client: Callable[[str], Any], service: Service, stage: str | None, now: datetime
) -> tuple[StageHost, ...]:
    """The hosts of one stage, or of all, in the order of the stages."""
    s = snapshot(store, service, now)
    groups = HostGroups(client)
    return tuple(host for each in s.stages if stage in (None, each.name) for host in _hosts(s, each, groups, now))


def _hosts(s: Snapshot, stage: StageState, groups: HostGroups, now: datetime) -> Iterator[StageHost]:
    group = groups.group_of(s.service, stage.name)
    there = groups.group_hosts(group) if group else {}
    beats = {beat.host: beat for beat in s.beats if beat.stage == stage.name}
    for host in there or beats:
        yield _host(stage, host, there.get(host, ""), beats.get(host), now)


def _host(stage: StageState, host: str, state: str, beat: Beat | None, now: datetime) -> StageHost:
    said = next((each for each in stage.hosts if each.host == host), None)
    health = "unknown" if beat is None else "silent" if now - beat.at > SILENT else "well"
    return StageHost(
        stage=stage.name,
        host=host,
        state=state,
        release=f"v{beat.release}" if beat else "",
        since=said.since if said else None,
        health=said.why if said and said.sick else health,
        heard=beat.at if beat else None,
    )
