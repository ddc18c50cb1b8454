"""One release in one line, and the list of releases.

Where a release stands is derived from its facts, as the controller does it. Only the list is read from the projection,
which is written for listing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from console.read.complete import complete, lines_of
from console.read.views import Bypass, ReleaseLine
from console.read.where import REFUSED, TroubleError
from esteira.config import Service
from esteira.core.facts import Bypassed, about_release
from esteira.core.state import Release, StageState
from esteira.core.status import Status, assess
from esteira.fact import unstamp
from esteira.store import Store, View

# With fewer characters a commit is hardly meant, and never told apart.
LEAST_COMMIT = 4


def releases(
    store: Store, service: Service, limit: int, now: datetime, before: int | None = None
) -> tuple[ReleaseLine, ...]:
    """The newest ``limit`` releases (below ``before``), newest first, as last written for listing, each with the
    bypasses that are in force at ``now``."""
    open_ones, _ = store.open(service.name)
    return tuple(
        _listed(view, tuple(_listed_bypasses(store, service, view, now)) if view.number in open_ones else ())
        for view in store.views(service.name, limit, before)
    )


def last_listed(store: Store, service: Service) -> ReleaseLine | None:
    """The newest release as last written for listing, without its bypasses; None where there is none."""
    return next((_listed(view, ()) for view in store.views(service.name, 1)), None)


def _listed_bypasses(store: Store, service: Service, view: View, now: datetime) -> Iterator[Bypass]:
    facts = store.facts(service.name, about_release(view.number), "bypass#")
    latest = {f.stage: f for f in facts if isinstance(f, Bypassed) and f.digest in ("", view.digest)}
    return (_bypass(f"v{view.number}", word) for word in latest.values() if word.until > now)


def number_of(store: Store, service: Service, text: str) -> int:
    """The release that ``text`` names: its label (v3), or a commit's first characters (the newest of it).

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
    """The newest release. Raises TroubleError where there is none."""
    pushed = store.newest(service.name)
    if pushed is None:
        raise TroubleError(f"{service.name} has no release yet. Next: git push", REFUSED)
    return pushed.number


def line(store: Store, service: Service, number: int, now: datetime) -> ReleaseLine:
    """Where a release stands at ``now``. Raises TroubleError where there is no such release."""
    release, s = complete(store, service, number, now)
    return line_of(release, s.stages, now)


def line_of(release: Release, stages: Sequence[StageState], now: datetime) -> ReleaseLine:
    assessed = assess(release, stages, now)
    bypasses = tuple(bypass for stage in stages for bypass in bypasses_of([release], stage, now))
    phases = {name: status.phase.value for name, status in assessed.shown(stages).items()}
    return told(release, assessed.overall, phases, bypasses)


def told(release: Release, status: Status, stages: dict[str, str], bypasses: tuple[Bypass, ...] = ()) -> ReleaseLine:
    pushed, (why, log) = release.pushed, lines_of(status)
    return ReleaseLine(
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
        subject=pushed.subject,
        author=pushed.author,
    )


def _listed(view: View, bypasses: tuple[Bypass, ...]) -> ReleaseLine:
    return ReleaseLine(
        release=f"v{view.number}",
        phase=view.phase,
        why=view.why,
        cause=view.cause,
        stage=view.stage,
        stages=dict(pair.split("=", 1) for pair in view.stages),
        log=view.detail,
        commit=view.commit,
        tag=view.tag,
        digest=view.digest,
        classes=view.classes,
        pushed_at=unstamp(view.pushed_at),
        bypasses=bypasses,
        subject=view.subject,
        author=view.author,
    )


def bypasses_of(releases: Iterable[Release], stage: StageState, now: datetime) -> Iterator[Bypass]:
    for release in releases:
        bypass = release.on(stage).bypass(now)
        if bypass is not None:
            yield _bypass(release.label, bypass)


def _bypass(label: str, word: Bypassed) -> Bypass:
    return Bypass(label, word.stage, word.by, word.reason, word.until)
