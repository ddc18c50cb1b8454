"""Going back from what is live: where to, and the words that order it, for an operator and for an alarm."""

from __future__ import annotations

from dataclasses import dataclass

from esteira.config import Service
from esteira.desk import Desk
from esteira.facts import Fact, Quarantined, RollbackOrdered
from esteira.situation import Release, StageState


@dataclass(frozen=True)
class Order:
    """The words that order a stage back, to be said all or none, and the release that is to be read again: its number
    and attempt."""

    words: tuple[Fact, ...]
    reopen: tuple[int, int]


@dataclass(frozen=True)
class Impossible:
    """Why a stage cannot go back, in a sentence, and what to type next."""

    why: str
    instead: str


def back(
    service: Service, stage: StageState, to: int | None, *, request: str, by: str, reason: str, desk: Desk
) -> Order | Impossible:
    """Return the order to go back to release ``to`` (None: to the last one that was live and healthy), or why there is
    none."""
    live = desk.store.release(service.name, stage.live) if stage.live else None
    if live is None:
        return Impossible(f"nothing is live on {stage.name}, so there is nothing to roll back from", "esteira status")
    target = _target(service, stage, to, desk)
    if isinstance(target, Impossible):
        return target
    if target.number == stage.live:
        return Impossible(f"{target.label} is live on {stage.name} already", "esteira status")
    order = RollbackOrdered(
        at=desk.clock(), request=request, by=by, reason=reason, stage=stage.name, away=live.number, to=target.number
    )
    words = quarantine_words(live, request=request, by=by, reason=reason, desk=desk)
    return Order((order, *words), (target.number, target.attempt))


def _target(service: Service, stage: StageState, to: int | None, desk: Desk) -> Release | Impossible:
    """Return the release to go back to, or why there is none."""
    if to is not None:
        target = desk.store.release(service.name, to)
        if target is None:
            return Impossible(f"{service.name} has no release v{to}", "esteira releases")
        if not target.on(stage).was_live:
            return Impossible(f"{target.label} was never live on {stage.name}", "esteira releases")
        if desk.store.quarantine(service.name, subjects(target)):
            return Impossible(f"{target.label} is quarantined", f"esteira why {target.label}")
        return target
    for number in reversed(stage.healthy):
        target = desk.store.release(service.name, number)
        if target is not None and not desk.store.quarantine(service.name, subjects(target)):
            return target
    return Impossible(f"no earlier release was live and healthy on {stage.name}", "esteira releases")


def quarantine_words(release: Release, *, request: str, by: str, reason: str, desk: Desk) -> tuple[Quarantined, ...]:
    """Return the words that keep a release's commit and image from deploying again by themselves."""
    return tuple(
        Quarantined(at=desk.clock(), request=request, by=by, reason=reason, subject=subject, release=release.number)
        for subject in filter(None, subjects(release))
    )


def subjects(release: Release) -> tuple[str, str]:
    """Return what a quarantine of the release is about: its commit and its image's digest, "" where it has none."""
    return release.pushed.commit, release.digest
