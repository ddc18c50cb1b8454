"""Rolling back from the live release: where to, and the words that order it, for an operator and for an alarm."""

from __future__ import annotations

from dataclasses import dataclass

from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Quarantined, RollbackOrdered
from esteira.core.state import Release, StageState
from esteira.fact import Fact


@dataclass(frozen=True)
class RollbackWords:
    """The words that order a stage back, to be said all or none.

    ``reopen`` is the number and attempt of the release that is to be read again.
    """

    words: tuple[Fact, ...]
    reopen: tuple[int, int]


@dataclass(frozen=True)
class Impossible:
    """Why a stage cannot go back, in a sentence, and what to type next."""

    why: str
    instead: str


def back(
    service: Service, stage: StageState, to: int | None, *, request: str, by: str, reason: str, context: Context
) -> RollbackWords | Impossible:
    """The words to go back to release ``to``, or why that cannot be.

    Without ``to``, it is the last release that was live and healthy.
    """
    live = context.store.release(service.name, stage.live) if stage.live else None
    if live is None:
        return Impossible(f"nothing is live on {stage.name}, so there is nothing to roll back from", "esteira status")
    target = _target(service, stage, to, context)
    if isinstance(target, Impossible):
        return target
    if target.number == stage.live:
        return Impossible(f"{target.label} is live on {stage.name} already", "esteira status")
    order = RollbackOrdered(
        at=context.clock(), request=request, by=by, reason=reason, stage=stage.name, away=live.number, to=target.number
    )
    words = quarantine_words(live, request=request, by=by, reason=reason, context=context)
    return RollbackWords((order, *words), (target.number, target.attempt))


def _target(service: Service, stage: StageState, to: int | None, context: Context) -> Release | Impossible:
    """The release to go back to, or why there is none."""
    if to is not None:
        target = context.store.release(service.name, to)
        if target is None:
            return Impossible(f"{service.name} has no release v{to}", "esteira releases")
        if not target.on(stage).lives:
            return Impossible(f"{target.label} was never live on {stage.name}", "esteira releases")
        if context.store.quarantine(service.name, subjects(target)):
            return Impossible(f"{target.label} is quarantined", f"esteira why {target.label}")
        how = _missing(service, stage, target, context)
        return Impossible(f"the image of {target.label} is {how} in the registry", instead_of(how)) if how else target
    gone = ""
    for number in reversed(stage.healthy):
        target = context.store.release(service.name, number)
        if target is None or context.store.quarantine(service.name, subjects(target)):
            continue
        how = _missing(service, stage, target, context)
        if not how:
            return target
        gone = gone or f" and can be pulled: the image of {target.label} is {how}"
    return Impossible(f"no earlier release was live and healthy on {stage.name}{gone}", "esteira releases")


def _missing(service: Service, stage: StageState, target: Release, context: Context) -> str:
    """How the image that a rollback to the release would deploy is not to be had, "" where it can be pulled.

    Where ECR cannot be asked, the word counts, and the rollout asks again.
    """
    digest = target.on(stage).served_digest
    try:
        return context.aws.missing(service, digest) if digest and target.number != stage.live else ""
    except Exception:  # noqa: BLE001 - whatever it is, it must not keep anybody from rolling back
        return ""


def instead_of(how: str) -> str:
    """What to do where an image is ``deleted`` or ``archived``."""
    return "restore it in ECR, then say it again" if how == "archived" else "push its commit or image again"


def quarantine_words(
    release: Release, *, request: str, by: str, reason: str, context: Context
) -> tuple[Quarantined, ...]:
    """The words that keep a release's commit and image from deploying again by themselves."""
    return tuple(
        Quarantined(at=context.clock(), request=request, by=by, reason=reason, subject=subject, release=release.number)
        for subject in filter(None, subjects(release))
    )


def subjects(release: Release) -> tuple[str, str]:
    """What a quarantine of the release is about: its commit and its image's digest, "" where it has none."""
    return release.pushed.commit, release.digest
