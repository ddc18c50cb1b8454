"""What an operator may ask for, and the fact it becomes. Every verb that changes something only records a fact.

A request is refused with a sentence that ends in what to type instead; then nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from esteira.config import Service, Strict
from esteira.desk import Desk
from esteira.events import Refused, refusal
from esteira.facts import (
    Aborted,
    Fact,
    Held,
    Lifted,
    Quarantined,
    Resumed,
    Retried,
    RollbackOrdered,
)
from esteira.phase import Phase, phase_of
from esteira.situation import Release, StageState

Verb = Literal["rollback", "hold", "resume", "quarantine", "retry", "abort"]
Label = Annotated[str, Field(pattern=r"^v[1-9][0-9]{0,7}$")]


class Request(Strict):
    """One request. ``request`` is its own id: the same request twice is one word."""

    action: Verb
    service: str
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=500)] = ""
    stage: str = ""  # "" is the service's one stage
    release: Label | None = None  # which one to retry, abort, quarantine
    to: Label | None = None  # where to roll back to; None: to the last one that was live and healthy
    minutes: Annotated[int, Field(ge=1, le=43200)] = 240  # how long to hold


def read(payload: object, services: Sequence[Service]) -> tuple[Request, Service]:
    """Return the request and the service it is about. Raises Refused."""
    try:
        request = Request.model_validate(payload)
    except ValidationError as error:
        raise Refused(f"{refusal(error, 'request')}. Next: esteira --help") from None
    service = next((s for s in services if s.name == request.service), None)
    if service is None:
        known = ", ".join(s.name for s in services) or "none is registered"
        raise Refused(f"no service is called {request.service!r}; there are: {known}. Next: esteira status")
    if request.stage not in ("", service.stage.name):
        raise Refused(
            f"{service.name} has no stage {request.stage!r}; it has {service.stage.name}. Next: esteira status"
        )
    return request, service


def operate(request: Request, service: Service, desk: Desk) -> None:
    """Record what ``request`` asks for. Raises Refused where it cannot be; a request said before changes nothing."""
    _VERBS[request.action](request, service, desk)


def _hold(request: Request, service: Service, desk: Desk) -> None:
    now = desk.clock()
    held = Held(
        at=now,
        request=request.request,
        by=request.by,
        reason=_reason(request),
        stage=service.stage.name,
        until=now + timedelta(minutes=request.minutes),
    )
    _say(request, service, desk, [held])


def _resume(request: Request, service: Service, desk: Desk) -> None:
    now, stage = desk.clock(), desk.store.stage(service.name, service.stage.name)
    if stage.held(now) is None:
        raise Refused(f"{stage.name} is not held; nothing to resume. Next: esteira status")
    word = Resumed(at=now, request=request.request, by=request.by, reason=request.reason, stage=stage.name)
    _say(request, service, desk, [word])


def _rollback(request: Request, service: Service, desk: Desk) -> None:
    stage = desk.store.stage(service.name, service.stage.name)
    if stage.busy and stage.turn:
        label = f"v{stage.turn.release}"
        raise Refused(f"{label} is deploying to {stage.name}. Next: esteira abort {label}, then esteira rollback")
    if not stage.live:
        raise Refused(f"nothing is live on {stage.name}, so there is nothing to roll back from. Next: esteira status")
    live = _known(service, desk, stage.live)
    target = _target(request, service, desk, stage)
    if target.number == stage.live:
        raise Refused(f"{target.label} is live on {stage.name} already. Next: esteira status")
    now, reason = desk.clock(), _reason(request)
    words: list[Fact] = [
        RollbackOrdered(
            at=now,
            request=request.request,
            by=request.by,
            reason=reason,
            stage=stage.name,
            away=live.number,
            to=target.number,
        ),
        *_quarantine_words(request, live, desk, reason),
    ]
    _say(request, service, desk, words, reopen=(target.number, target.attempt))


def _target(request: Request, service: Service, desk: Desk, stage: StageState) -> Release:
    """Return the release to roll back to: the one asked for, or the last one that was live and healthy."""
    if request.to is not None:
        target = _known(service, desk, int(request.to[1:]))
        if not target.was_live:
            raise Refused(f"{target.label} was never live on {stage.name}. Next: esteira releases")
        if desk.store.quarantine(service.name, _subjects(target)):
            raise Refused(f"{target.label} is quarantined. Next: esteira why {target.label}")
        return target
    for number in reversed(stage.healthy):
        target = _known(service, desk, number)
        if not desk.store.quarantine(service.name, _subjects(target)):
            return target
    raise Refused(f"no earlier release was live and healthy on {stage.name}. Next: esteira releases")


def _quarantine(request: Request, service: Service, desk: Desk) -> None:
    release = _asked(request, service, desk)
    _say(request, service, desk, _quarantine_words(request, release, desk, _reason(request)))


def _retry(request: Request, service: Service, desk: Desk) -> None:
    release, stage = _asked(request, service, desk), desk.store.stage(service.name, service.stage.name)
    label, phase = release.label, _phase(release, service, stage, desk)
    if phase in (Phase.SUPERSEDED, Phase.SKIPPED) or not release.pushed.effective:
        raise Refused(f"{label} is {phase}, which a retry cannot change; push again. Next: esteira why {label}")
    if not phase.ended:
        raise Refused(f"{label} is {phase}, it needs no retry. Next: esteira show {label}")
    rows, _ = desk.store.open(service.name)
    newer = max([stage.live, *(n for n, row in rows.items() if not _over(row.phase))], default=0)
    if newer > release.number:
        if release.was_live:
            raise Refused(f"v{newer} is newer than {label}. Next: esteira rollback --to {label}")
        raise Refused(f"v{newer} is newer than {label}, which was never live. Next: push {label}'s commit again")
    now, attempt = desk.clock(), release.attempt + 1
    words: list[Fact] = [Retried(at=now, release=release.number, attempt=attempt, by=request.by, reason=request.reason)]
    words += [
        Lifted(at=now, request=request.request, by=request.by, reason=f"retry of {label}", subject=subject)
        for subject in sorted(_quarantined(release, service, desk))
    ]
    _say(request, service, desk, words, reopen=(release.number, attempt))


def _quarantined(release: Release, service: Service, desk: Desk) -> set[str]:
    """Return what of the release is quarantined; its image's digest, too, though it may not be known by now."""
    subjects = {*_subjects(release)}
    word = desk.store.quarantine(service.name, subjects)
    if word is not None:
        subjects |= {*_subjects(_known(service, desk, word.release))}
    return {subject for subject in subjects if desk.store.quarantine(service.name, (subject,))}


def _abort(request: Request, service: Service, desk: Desk) -> None:
    release, stage = _asked(request, service, desk), desk.store.stage(service.name, service.stage.name)
    label, phase = release.label, _phase(release, service, stage, desk)
    if phase is Phase.LIVE:
        raise Refused(f"{label} is live already. Next: esteira rollback")
    if phase.ended:
        raise Refused(f"{label} is {phase}, there is nothing to abort. Next: esteira show {label}")
    now = desk.clock()
    aborted = Aborted(at=now, release=release.number, attempt=release.attempt, by=request.by, reason=_reason(request))
    _say(request, service, desk, [aborted])


_VERBS: dict[str, Callable[[Request, Service, Desk], None]] = {
    "rollback": _rollback,
    "hold": _hold,
    "resume": _resume,
    "quarantine": _quarantine,
    "retry": _retry,
    "abort": _abort,
}


def _say(
    request: Request, service: Service, desk: Desk, words: Sequence[Fact], reopen: tuple[int, int] | None = None
) -> None:
    desk.store.say(service.name, request.request, desk.clock(), words, reopen)


def _quarantine_words(request: Request, release: Release, desk: Desk, reason: str) -> list[Fact]:
    return [
        Quarantined(
            at=desk.clock(),
            request=request.request,
            by=request.by,
            reason=reason,
            subject=subject,
            release=release.number,
        )
        for subject in filter(None, _subjects(release))
    ]


def _subjects(release: Release) -> tuple[str, str]:
    """Return what a quarantine of the release is about: its commit and its image's digest, "" where it has none."""
    return release.pushed.commit, release.digest


def _asked(request: Request, service: Service, desk: Desk) -> Release:
    if request.release is None:
        raise Refused(f"{request.action} needs a release, such as v3. Next: esteira releases")
    return _known(service, desk, int(request.release[1:]))


def _known(service: Service, desk: Desk, number: int) -> Release:
    release = desk.store.release(service.name, number)
    if release is None:
        raise Refused(f"{service.name} has no release v{number}. Next: esteira releases")
    return release


def _phase(release: Release, service: Service, stage: StageState, desk: Desk) -> Phase:
    """Return where the release stands, with its quarantine and its turn in the picture."""
    turn = stage.turn if stage.turn and stage.turn.release == release.number else None
    quarantine = desk.store.quarantine(service.name, _subjects(release))
    return phase_of(Release(release.pushed, release.facts, turn, quarantine), stage, desk.clock()).phase


def _over(phase: str) -> bool:
    return bool(phase) and Phase(phase).ended


def _reason(request: Request) -> str:
    if not request.reason.strip():
        raise Refused(f"{request.action} needs a reason, which everybody will read. Next: add --reason '…'")
    return request.reason.strip()
