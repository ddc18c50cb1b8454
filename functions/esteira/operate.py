"""What an operator may ask for, and the fact it becomes. Every verb that changes something only records a fact.

A request is refused with a sentence that ends in what to type instead; then nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from esteira.aws_events import Refused, refusal
from esteira.config import Service, Strict
from esteira.context import Context
from esteira.core.facts import (
    Aborted,
    Approved,
    Bypassed,
    Disapproved,
    Fact,
    Held,
    Lifted,
    Promoted,
    Resumed,
    Retried,
)
from esteira.core.state import Release, StageState
from esteira.core.status import Cause, Phase, Status, came_to, status_of
from esteira.identity import Proof
from esteira.rollbacks import Impossible, back, quarantine_words, subjects

Verb = Literal["rollback", "hold", "resume", "quarantine", "retry", "abort", "approve", "reject", "promote", "bypass"]
# Why a release is rejected that a bypass goes past; a quarantine and a secret in the tree are no rules of a stage.
BY_RULE = (Cause.GATE, Cause.DISAPPROVED, Cause.APPROVAL_EXPIRED)
Label = Annotated[str, Field(pattern=r"^v[1-9][0-9]{0,7}$")]


class Request(Strict):
    """One request. ``request`` is its own id: the same request twice is one word."""

    action: Verb
    service: str
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=500)] = ""
    stage: str = ""  # "": the last one; of approve, reject, promote and bypass the one the release waits for
    release: Label | None = None  # which one to retry, abort, quarantine, approve, reject, promote, bypass
    to: Label | None = None  # where to roll back to; None: to the last one that was live and healthy
    minutes: Annotated[int, Field(ge=1, le=43200)] = 240  # how long to hold, or to bypass
    proof: Proof | None = None  # of who asks (``esteira.identity``)
    arn: str = ""  # who AWS knows the caller as; set by who saw the proof, never by the caller


def read(payload: object, services: Sequence[Service]) -> tuple[Request, Service]:
    """Return the request and the service it is about. Raises Refused."""
    try:
        request = Request.model_validate(payload)
    except ValidationError as error:
        raise Refused(f"{refusal(error, 'request')}. Next: esteira --help") from None
    if request.arn:
        raise Refused("the request is refused: arn: it is proven, not said. Next: esteira --help")
    service = next((s for s in services if s.name == request.service), None)
    if service is None:
        known = ", ".join(s.name for s in services) or "none is registered"
        raise Refused(f"no service is called {request.service!r}; there are: {known}. Next: esteira status")
    stages = [stage.name for stage in service.stages]
    if request.stage not in ("", *stages):
        raise Refused(
            f"{service.name} has no stage {request.stage!r}; it has {', '.join(stages)}. Next: esteira status"
        )
    return request, service


def operate(request: Request, service: Service, context: Context) -> None:
    """Record what ``request`` asks for. Raises Refused where it cannot be; a request said before changes nothing."""
    _VERBS[request.action](request, service, context)


def _hold(request: Request, service: Service, context: Context) -> None:
    now = context.clock()
    held = Held(
        at=now,
        request=request.request,
        by=request.by,
        reason=_reason(request),
        stage=request.stage or service.last.name,
        until=now + timedelta(minutes=request.minutes),
    )
    _say(request, service, context, [held])


def _resume(request: Request, service: Service, context: Context) -> None:
    now, stage = context.clock(), _stage(request, service, context)
    if stage.held(now) is None:
        raise Refused(f"{stage.name} is not held; nothing to resume. Next: esteira status")
    word = Resumed(at=now, request=request.request, by=request.by, reason=request.reason, stage=stage.name)
    _say(request, service, context, [word])


def _rollback(request: Request, service: Service, context: Context) -> None:
    stage = _stage(request, service, context)
    if stage.busy and stage.rollout:
        label = f"v{stage.rollout.release}"
        raise Refused(f"{label} is deploying to {stage.name}. Next: esteira abort {label}, then esteira rollback")
    to = int(request.to[1:]) if request.to else None
    reason = _reason(request)
    order = back(service, stage, to, request=request.request, by=request.by, reason=reason, context=context)
    if isinstance(order, Impossible):
        raise Refused(f"{order.why}. Next: {order.instead}")
    _say(request, service, context, order.words, reopen=order.reopen)


def _quarantine(request: Request, service: Service, context: Context) -> None:
    release = _asked(request, service, context)
    words = quarantine_words(release, request=request.request, by=request.by, reason=_reason(request), context=context)
    _say(request, service, context, words)


def _retry(request: Request, service: Service, context: Context) -> None:
    release, stages = _asked(request, service, context), tuple(context.store.stages(service))
    label, phase = release.label, _standing(release, service, stages, context).phase
    if phase in (Phase.SUPERSEDED, Phase.SKIPPED) or not release.pushed.effective:
        raise Refused(f"{label} is {phase}, which a retry cannot change; push again. Next: esteira why {label}")
    if not phase.ended:
        raise Refused(f"{label} is {phase}, it needs no retry. Next: esteira show {label}")
    rows, _ = context.store.open(service.name)
    newer = max([stages[0].live, stages[-1].live, *(n for n, row in rows.items() if not _over(row.phase))], default=0)
    if newer > release.number:
        if release.on(stages[-1]).was_live:
            raise Refused(f"v{newer} is newer than {label}. Next: esteira rollback --to {label}")
        raise Refused(f"v{newer} is newer than {label}, which was never live. Next: push {label}'s commit again")
    now, attempt = context.clock(), release.attempt + 1
    words: list[Fact] = [Retried(at=now, release=release.number, attempt=attempt, by=request.by, reason=request.reason)]
    words += [
        Lifted(at=now, request=request.request, by=request.by, reason=f"retry of {label}", subject=subject)
        for subject in sorted(_quarantined(release, service, context))
    ]
    _say(request, service, context, words, reopen=(release.number, attempt))


def _quarantined(release: Release, service: Service, context: Context) -> set[str]:
    """Return what of the release is quarantined; its image's digest, too, though it may not be known by now."""
    about = {*subjects(release)}
    word = context.store.quarantine(service.name, about)
    if word is not None:
        about |= {*subjects(_known(service, context, word.release))}
    return {subject for subject in about if context.store.quarantine(service.name, (subject,))}


def _abort(request: Request, service: Service, context: Context) -> None:
    release, stages = _asked(request, service, context), tuple(context.store.stages(service))
    label, phase = release.label, _standing(release, service, stages, context).phase
    if phase is Phase.LIVE:
        raise Refused(f"{label} is live already. Next: esteira rollback")
    if phase.ended:
        raise Refused(f"{label} is {phase}, there is nothing to abort. Next: esteira show {label}")
    now = context.clock()
    aborted = Aborted(at=now, release=release.number, attempt=release.attempt, by=request.by, reason=_reason(request))
    _say(request, service, context, [aborted])


def _approve(request: Request, service: Service, context: Context) -> None:
    release, stage, now = *_ahead(request, service, context), context.clock()
    rule = stage.rules.approvals if stage.rules else None
    if rule is None:
        raise Refused(f"{stage.name} asks for no approval. Next: esteira why {release.label}")
    if rule.not_by_pusher:
        _not_the_pusher(request, service, release, context)
    word = Approved(until=now + timedelta(hours=rule.valid_hours), **_about(request, release, stage, now))
    _say(request, service, context, [word])


def _not_the_pusher(request: Request, service: Service, release: Release, context: Context) -> None:
    """Refuse a vote that the two-person rule would not count."""
    if not request.arn:
        raise Refused(
            f"an approval of {release.label} must come from somebody AWS knows, and this one proves nobody. "
            f"Next: esteira approve {release.label}, which proves who you are"
        )
    if request.arn in context.store.pushers(service.name, release.pushed.commit):
        raise Refused(f"{request.arn} pushed {release.label}, and who pushed may not approve. Next: ask somebody else")


def _reject(request: Request, service: Service, context: Context) -> None:
    release, stage = _ahead(request, service, context)
    _reason(request)
    _say(request, service, context, [Disapproved(**_about(request, release, stage, context.clock()))])


def _bypass(request: Request, service: Service, context: Context) -> None:
    release, stage = _ahead(request, service, context, over=True)
    _reason(request)
    now = context.clock()
    word = Bypassed(until=now + timedelta(minutes=request.minutes), **_about(request, release, stage, now))
    _say(request, service, context, [word], reopen=(release.number, release.attempt))


def _promote(request: Request, service: Service, context: Context) -> None:
    release = _asked(request, service, context)
    stages = tuple(context.store.stages(service))
    if len(stages) == 1:
        raise Refused(f"{service.name} has one stage; there is nowhere to promote to. Next: esteira status")
    status = _standing(release, service, stages, context)
    came_to = [stage for stage in stages if release.on(stage).was_live]
    ahead = [stage for stage in stages[1:] if not release.on(stage).begun]
    stage = next((s for s in ahead if request.stage in ("", s.name)), None)
    if stage is None:
        where = request.stage or stages[-1].name
        raise Refused(f"{release.label} came to {where} already. Next: esteira rollback --to {release.label}")
    if stage.before not in came_to:
        before = stage.before.name if stage.before else ""
        raise Refused(
            f"{release.label} was never live on {before}, so it cannot be promoted to {stage.name}. "
            f"Next: esteira why {release.label}"
        )
    if stage.live > release.number:
        raise Refused(f"v{stage.live} is live on {stage.name}, and newer. Next: esteira releases")
    if status.phase.ended and status.phase is not Phase.SUPERSEDED:
        raise Refused(f"{release.label} is {status.phase}. Next: esteira why {release.label}")
    word = Promoted(**_about(request, release, stage, context.clock()))
    _say(request, service, context, [word], reopen=(release.number, release.attempt))


def _ahead(request: Request, service: Service, context: Context, *, over: bool = False) -> tuple[Release, StageState]:
    """Return the release that is asked about and the stage it is on its way to: the one named, or the next it has not
    come to. ``over``: it may also be rejected. Raises Refused."""
    release, stages = _asked(request, service, context), tuple(context.store.stages(service))
    status = _standing(release, service, stages, context)
    if status.phase.ended and not (over and status.cause in BY_RULE):
        raise Refused(f"{release.label} is {status.phase}. Next: esteira why {release.label}")
    if not release.digest:
        raise Refused(f"{release.label} has no image yet, and that is what counts. Next: esteira show {release.label}")
    ahead = [stage for stage in stages if not came_to(release, stage)]
    stage = next((s for s in ahead if request.stage in ("", s.name)), None)
    if stage is None:
        where = request.stage or service.last.name
        raise Refused(f"{release.label} came to {where} already. Next: esteira why {release.label}")
    return release, stage


def _about(request: Request, release: Release, stage: StageState, now: datetime) -> dict[str, Any]:
    return {
        "at": now,
        "release": release.number,
        "request": request.request,
        "by": request.by,
        "reason": request.reason.strip(),
        "stage": stage.name,
        "attempt": release.attempt,
        "digest": release.digest,
        "arn": request.arn,
    }


_VERBS: dict[str, Callable[[Request, Service, Context], None]] = {
    "rollback": _rollback,
    "hold": _hold,
    "resume": _resume,
    "quarantine": _quarantine,
    "retry": _retry,
    "abort": _abort,
    "approve": _approve,
    "reject": _reject,
    "promote": _promote,
    "bypass": _bypass,
}


def _say(
    request: Request, service: Service, context: Context, words: Sequence[Fact], reopen: tuple[int, int] | None = None
) -> None:
    context.store.say(service.name, request.request, context.clock(), words, reopen)


def _asked(request: Request, service: Service, context: Context) -> Release:
    if request.release is None:
        raise Refused(f"{request.action} needs a release, such as v3. Next: esteira releases")
    return _known(service, context, int(request.release[1:]))


def _known(service: Service, context: Context, number: int) -> Release:
    release = context.store.release(service.name, number)
    if release is None:
        raise Refused(f"{service.name} has no release v{number}. Next: esteira releases")
    return release


def _stage(request: Request, service: Service, context: Context) -> StageState:
    """Return the stage that is meant: the one that was named, or the last."""
    name = request.stage or service.last.name
    return next(stage for stage in context.store.stages(service) if stage.name == name)


def _standing(release: Release, service: Service, stages: Sequence[StageState], context: Context) -> Status:
    """Return where the release stands, with its quarantine in the picture."""
    quarantine = context.store.quarantine(service.name, subjects(release))
    return status_of(replace(release, quarantine=quarantine), stages, context.clock())


def _over(phase: str) -> bool:
    return bool(phase) and Phase(phase).ended


def _reason(request: Request) -> str:
    if not request.reason.strip():
        raise Refused(f"{request.action} needs a reason, which everybody will read. Next: add --reason '…'")
    return request.reason.strip()
