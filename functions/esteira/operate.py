"""What an operator may ask for, and the fact it becomes. Every verb that changes something only records a fact.

A request is refused with a sentence that ends in what to type instead; then nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from esteira.config import Approvals, Service, Strict, Verb
from esteira.context import Context
from esteira.core.admission import Waits, closed, identity, pushers
from esteira.core.facts import (
    Aborted,
    Approved,
    Bypassed,
    Held,
    HostsReplaced,
    Promoted,
    Quarantined,
    Rejected,
    Retried,
    RollbackOrdered,
)
from esteira.core.state import Release, Snapshot, StageState
from esteira.core.status import Assessed, Cause, Phase, assess
from esteira.fact import Fact
from esteira.identity import UNPROVEN, Proof
from esteira.refusal import Refused, refusal
from esteira.rollbacks import Impossible, back, quarantine_words, subjects
from esteira.snapshot import snapshot
from esteira.visible import first_invisible
from policy.document import in_force
from policy.reading import LARGEST, PolicyError
from policy.setting import next_policy

# Why a release is rejected that a bypass goes past; a quarantine and a secret in the tree are no rules of a stage.
BY_RULE = (Cause.GATE, Cause.DISAPPROVED, Cause.APPROVAL_EXPIRED, Cause.SCAN_REFUSED)
REASONED = ("rollback", "redeploy", "hold", "quarantine", "abort", "reject", "bypass", "policy", "replace")
Label = Annotated[str, Field(pattern=r"^v[1-9][0-9]{0,7}$")]


def _printable(text: str) -> str:
    if found := first_invisible(text):
        raise PydanticCustomError(
            "printable", "it has {found}, which cannot be seen in a line; write it without", {"found": found}
        )
    return text


class Request(Strict):
    """One request. ``request`` is its own id: the same request twice is one word."""

    action: Verb
    service: str
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    by: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
    reason: Annotated[str, Field(max_length=500), AfterValidator(_printable)] = ""
    stage: str = ""  # "": the last one; of approve, reject, promote and bypass the one the release waits for
    release: Label | None = None  # which one to retry, abort, quarantine, approve, reject, promote, bypass
    to: Label | None = None  # where to roll back to; None: to the last one that was live and healthy
    minutes: Annotated[int, Field(ge=1, le=43200)] = 240  # how long to hold, or to bypass
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""  # which one to replace; "": all of the stage
    document: Annotated[str, Field(max_length=LARGEST)] = ""  # a policy, as YAML
    proof: Proof | None = None  # of who asks (``esteira.identity``)
    arn: str = ""  # who AWS knows the caller as; set by who saw the proof, never by the caller


def read(payload: object, services: Sequence[Service]) -> tuple[Request, Service]:
    """The request and the service it is about. Raises Refused."""
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
    """Record what ``request`` asks for.

    Raises Refused where that cannot be; then nothing was recorded. A request said before changes nothing.
    """
    service = in_force(service, context.store.policy(service.name))
    _require_allowed(request, service)
    if request.action in REASONED and not request.reason.strip():
        raise Refused(f"{request.action} needs a reason, which everybody will read. Next: add --reason '…'")
    _VERBS[request.action](_Asked(request, service, context))


def _require_allowed(request: Request, service: Service) -> None:
    """Refuse a word that the service's rules do not let this caller say.

    The right to invoke the function is one right for all words, so who may say which stands with the service's rules.
    """
    allowed, word = service.words.get(request.action), f"{request.action} of {service.name}"
    if allowed is None or any(request.arn and fnmatchcase(request.arn, pattern) for pattern in allowed):
        return
    if not allowed:
        raise Refused(f"{word} is switched off: the rules let nobody say it. Next: esteira status")
    who = f"{request.arn} may not say it" if request.arn else UNPROVEN
    raise Refused(f"{word} may be said by {', '.join(allowed)}, and {who}. Next: ask one of them")


class _Asked:
    """One request, and what the table holds about what it names."""

    def __init__(self, request: Request, service: Service, context: Context) -> None:
        self.request, self.service, self.context = request, service, context
        self.now = context.clock()

    @cached_property
    def snapshot(self) -> Snapshot:
        number = int(self.request.release[1:]) if self.request.release else 0
        return snapshot(self.context.store, self.service, self.now, also=(number,))

    @property
    def stages(self) -> tuple[StageState, ...]:
        return self.snapshot.stages

    @property
    def stage(self) -> StageState:
        """The stage that is meant: the one that was named, or the last."""
        return self.snapshot.stage(self.request.stage or self.service.last.name)

    @cached_property
    def release(self) -> Release:
        """The release that was named. Raises Refused."""
        if self.request.release is None:
            raise Refused(f"{self.request.action} needs a release, such as v3. Next: esteira releases")
        release = self.snapshot.release(int(self.request.release[1:]))
        if release is None:
            raise Refused(f"{self.service.name} has no release {self.request.release}. Next: esteira releases")
        return release

    @cached_property
    def assessed(self) -> Assessed:
        """Where the release stands. Raises Refused."""
        return assess(self.release, self.stages, self.now)

    @property
    def said(self) -> dict[str, str]:
        """The fields of every operator's word, but its time."""
        return {"request": self.request.request, "by": self.request.by, "reason": self.request.reason.strip()}

    def say(self, words: Sequence[Fact], reopen: tuple[int, int] | None = None) -> None:
        """Record the words, all or none; ``reopen`` is a release and its attempt that is to be read again."""
        self.context.store.say(self.service.name, self.request.request, self.now, words, reopen)

    def ahead(self, *, over: bool = False) -> StageState:
        """The stage the release is on its way to: the one named, or the next it has not come to.

        ``over``: it may also have been rejected by a rule of the stage. Raises Refused.
        """
        label, status = self.release.label, self.assessed.overall
        if status.phase.ended and not (over and status.cause in BY_RULE):
            raise Refused(f"{label} is {status.phase}. Next: esteira why {label}")
        if not self.release.digest:
            raise Refused(f"{label} has no image yet, and a vote is for an image. Next: esteira show {label}")
        ahead = (stage for stage in self.stages if not self.release.on(stage).came)
        return self.among(ahead, f"esteira why {label}")

    def among(self, ahead: Iterable[StageState], instead: str) -> StageState:
        """The stage that was named, or the first of those the release has ahead. Raises Refused."""
        stage = next((s for s in ahead if self.request.stage in ("", s.name)), None)
        if stage is None:
            where = self.request.stage or self.service.last.name
            raise Refused(f"{self.release.label} came to {where} already. Next: {instead}")
        return stage

    def about(self, stage: StageState) -> dict[str, Any]:
        """The fields of a word about the release and the stage."""
        release = self.release
        named = {"release": release.number, "attempt": release.attempt, "digest": release.digest}
        return {"at": self.now, **self.said, **named, "stage": stage.name, "arn": self.request.arn}


def _hold(asked: _Asked) -> None:
    stage, until = asked.request.stage or asked.service.last.name, asked.now + timedelta(minutes=asked.request.minutes)
    asked.say([Held(at=asked.now, stage=stage, until=until, **asked.said)])


def _resume(asked: _Asked) -> None:
    stage = asked.stage
    if stage.held(asked.now) is None:
        raise Refused(f"{stage.name} is not held; there is nothing to resume. Next: esteira status")
    asked.say([Held(at=asked.now, stage=stage.name, until=None, **asked.said)])


def _rollback(asked: _Asked) -> None:
    request, stage = asked.request, asked.stage
    if stage.busy and stage.rollout:
        label = f"v{stage.rollout.release}"
        raise Refused(
            f"{label} is being deployed to {stage.name}. "
            f"Next: esteira abort {label} --reason …, then esteira rollback --reason …"
        )
    to = int(request.to[1:]) if request.to else None
    order = back(asked.service, stage, to, **asked.said, context=asked.context)
    if isinstance(order, Impossible):
        raise Refused(f"{order.why}. Next: {order.instead}")
    asked.say(order.words, reopen=order.reopen)


def _redeploy(asked: _Asked) -> None:
    """Order what is live to be deployed again, with what its settings name as it is now."""
    stage = asked.stage
    live = asked.snapshot.release(stage.live)
    if live is None:
        raise Refused(f"nothing is live on {stage.name}, so there is nothing to deploy again. Next: esteira status")
    _require_idle(stage)
    for wait in closed(stage, asked.now):
        raise Refused(f"{wait.why}. Next: {'esteira resume' if wait.what is Waits.HOLD else 'esteira windows'}")
    order = RollbackOrdered(at=asked.now, stage=stage.name, away=stage.live, to=stage.live, **asked.said)
    asked.say([order], reopen=(live.number, live.attempt))


def _require_idle(stage: StageState) -> None:
    if stage.busy and stage.rollout:
        label = f"v{stage.rollout.release}"
        raise Refused(f"{label} is being deployed to {stage.name}. Next: esteira tail {label}, then say it again")


def _quarantine(asked: _Asked) -> None:
    asked.say(quarantine_words(asked.release, **asked.said, context=asked.context))


def _retry(asked: _Asked) -> None:
    request, release, stages = asked.request, asked.release, asked.stages
    label, phase = release.label, asked.assessed.overall.phase
    if phase in (Phase.SUPERSEDED, Phase.SKIPPED) or not release.pushed.effective:
        raise Refused(f"{label} is {phase}, which a retry cannot change; push again. Next: esteira why {label}")
    if not phase.ended:
        raise Refused(f"{label} is {phase} and needs no retry. Next: esteira show {label}")
    under_way = (n for n, listed in asked.snapshot.written.items() if not _over(listed.phase))
    newer = max([stages[0].live, stages[-1].live, *under_way], default=0)
    if newer > release.number:
        if release.on(stages[-1]).lives:
            raise Refused(f"v{newer} is newer than {label}. Next: esteira rollback --to {label} --reason …")
        raise Refused(f"v{newer} is newer than {label}, which was never live. Next: push {label}'s commit again")
    number, attempt = release.number, release.attempt + 1
    retried = Retried(at=asked.now, release=number, attempt=attempt, by=request.by, reason=request.reason)
    said: dict[str, Any] = {"at": asked.now, **asked.said, "reason": f"retry of {label}"}
    lifted = [Quarantined(subject=s, release=number, lifted=True, **said) for s in sorted(_quarantined(asked))]
    asked.say([retried, *lifted], reopen=(number, attempt))


def _quarantined(asked: _Asked) -> set[str]:
    """What of the release is quarantined: its commit, its image, and the image of a quarantine of its commit."""
    store, name = asked.context.store, asked.service.name
    about = {*subjects(asked.release)}
    word = store.quarantine(name, about)
    other = store.release(name, word.release) if word else None
    about |= {*subjects(other)} if other else set()
    return {subject for subject in about if store.quarantine(name, (subject,))}


def _abort(asked: _Asked) -> None:
    release, said = asked.release, asked.said
    label, phase = release.label, asked.assessed.overall.phase
    if phase is Phase.LIVE:
        raise Refused(f"{label} is live already. Next: esteira rollback --reason …")
    if phase.ended:
        raise Refused(f"{label} is {phase}; there is nothing to abort. Next: esteira show {label}")
    about = {"release": release.number, "attempt": release.attempt}
    asked.say([Aborted(at=asked.now, by=said["by"], reason=said["reason"], **about)])


def _approve(asked: _Asked) -> None:
    stage = asked.ahead()
    rule = stage.rules.approvals if stage.rules else None
    if rule is None:
        raise Refused(f"{stage.name} asks for no approval. Next: esteira why {asked.release.label}")
    _require_vote(asked, stage, rule)
    until = asked.now + timedelta(hours=rule.valid_hours)
    asked.say([Approved(until=until, **asked.about(stage))])


def _require_vote(asked: _Asked, stage: StageState, rule: Approvals) -> None:
    """Refuse a vote that would not be counted."""
    arn, here = asked.request.arn, asked.release.on(stage)
    label, who = here.release.label, identity(arn, rule)
    if not arn:
        raise Refused(
            f"an approval of {label} must come from somebody AWS knows, and this one proves nobody. "
            f"Next: esteira approve {label}, which proves who you are"
        )
    if not who:
        raise Refused(f"{arn} is a name that its user chose, and has no vote. Next: approve as an IAM user or role")
    if rule.not_by_pusher and who in pushers(here, rule):
        raise Refused(
            f"{arn} pushed {label}, or what comes to {stage.name} with it, and who pushed may not approve. "
            f"Next: ask somebody else"
        )


def _reject(asked: _Asked) -> None:
    stage = asked.ahead()
    asked.say([Rejected(**asked.about(stage))])


def _bypass(asked: _Asked) -> None:
    stage, release = asked.ahead(over=True), asked.release
    if stage.rules and not stage.rules.bypass:
        raise Refused(f"bypass is switched off on {stage.name}. Next: esteira why {release.label}")
    word = Bypassed(until=asked.now + timedelta(minutes=asked.request.minutes), **asked.about(stage))
    asked.say([word], reopen=(release.number, release.attempt))


def _promote(asked: _Asked) -> None:
    release, stages, status = asked.release, asked.stages, asked.assessed.overall
    if len(stages) == 1:
        raise Refused(f"{asked.service.name} has one stage; there is nowhere to promote to. Next: esteira status")
    ahead = (stage for stage in stages[1:] if not release.on(stage).begun)
    stage = asked.among(ahead, f"esteira rollback --to {release.label} --reason …")
    if stage.before is None or not release.on(stage.before).lives:
        before = stage.before.name if stage.before else ""
        raise Refused(
            f"{release.label} was never live on {before}, so it cannot be promoted to {stage.name}. "
            f"Next: esteira why {release.label}"
        )
    if stage.live > release.number:
        raise Refused(f"v{stage.live} is live on {stage.name}, and newer. Next: esteira releases")
    if status.phase.ended and status.phase is not Phase.SUPERSEDED:
        raise Refused(f"{release.label} is {status.phase}. Next: esteira why {release.label}")
    asked.say([Promoted(**asked.about(stage))], reopen=(release.number, release.attempt))


def _policy(asked: _Asked) -> None:
    before = asked.snapshot.policy
    if before is not None and before.request == asked.request.request:
        return
    try:
        word = next_policy(
            asked.request.document, asked.service, before, asked.now, arn=asked.request.arn, **asked.said
        )
    except PolicyError as error:
        raise Refused(f"the policy is refused: {error}. Next: esteira policy diff FILE") from None
    asked.say([word])
    newest = asked.context.store.policy(asked.service.name)
    if newest is None or newest.request != word.request:
        raise Refused("somebody else set a policy at this moment. Next: esteira policy diff FILE")


def _replace(asked: _Asked) -> None:
    """Have a host replaced, or all of the stage's; the group may be told twice, so the word is written down first."""
    aws, stage, host = asked.context.aws, asked.stage, asked.request.host
    group = aws.group_of(asked.service, stage.name)
    if not group:
        raise Refused(
            f"the hosts of {stage.name} are in no Auto Scaling group, so nobody would start others. Next: esteira hosts"
        )
    _require_idle(stage)
    if host and host not in aws.group_hosts(group):
        raise Refused(f"{stage.name} has no host {host}. Next: esteira hosts --stage {stage.name}")
    asked.say([HostsReplaced(at=asked.now, stage=stage.name, host=host, **asked.said)])
    aws.replace_hosts(group, host)


_VERBS: dict[str, Callable[[_Asked], None]] = {
    "rollback": _rollback,
    "redeploy": _redeploy,
    "hold": _hold,
    "resume": _resume,
    "quarantine": _quarantine,
    "retry": _retry,
    "abort": _abort,
    "approve": _approve,
    "reject": _reject,
    "promote": _promote,
    "bypass": _bypass,
    "policy": _policy,
    "replace": _replace,
}


def _over(phase: str) -> bool:
    return bool(phase) and Phase(phase).ended
