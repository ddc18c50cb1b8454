"""What hosts say of themselves, held against what is on record, as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from esteira.config import Service
from esteira.core.state import Beat, Release, StageState
from watch import SILENT


def digests_differ(release: Release, stage: StageState, beats: Iterable[Beat]) -> str:
    """Which host runs another image than the one that was deployed, "" where none says so."""
    deployed = release.on(stage).served_digest
    other = next((beat for beat in beats if beat.digest not in (deployed, *release.images)), None)
    if other is None:
        return ""
    return (
        f"host {other.host} reported at {other.at:%Y-%m-%d %H:%M} UTC that it runs {other.digest[:19]}; "
        f"{deployed[:19]} was deployed; next: esteira receipt {release.label} --stage {stage.name}"
    )


def silent(service: Service, release: Release, beats: Iterable[Beat], now: datetime) -> Iterator[str]:
    """The hosts whose watcher was not heard lately. It is no failure of the release, only nobody looks."""
    for beat in beats:
        if now - beat.at > SILENT:
            yield (
                f"host {beat.host} has not reported since {beat.at:%Y-%m-%d %H:%M} UTC, so nobody watches "
                f"{release.label} there; next, on the host: sudo systemctl status esteira-watcher-{service.name}"
            )
