"""The controller's one movement: gather what is known, decide what to do, apply it; again until nothing is left to do.

``advance`` never sees the event that called it. It reads the facts and asks CodeCommit for the branch's tip, makes a
``Situation`` of them, lets ``plan`` decide, and performs the plan's actions through ``store`` and ``cloud``. Several
functions may do so at once, die between any two calls, or be called for nothing:

- What may be done only once is claimed first, by a conditional put. A claim lasts longer than any function lives.
  Whoever finds one that ran out looks in AWS for what its maker did, and only then does it again.
- The table is read before the world: a tip read first could be older than the newest release, and become a newer one.
- An action that fails hinders no other; what failed is raised at the end, so that AWS calls again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from esteira.claims import BuildClaim, TurnClaim
from esteira.cloud import BusyError, Cloud, DeclinedError
from esteira.config import Service, Settings, commit_tag, release_tag
from esteira.facts import (
    Accepted,
    BuildStarted,
    Claimed,
    Declined,
    DeployStarted,
    Diagnosed,
    Fact,
    ImageMissed,
    Pushed,
    Replaced,
    RolledBack,
    Settled,
    StopAsked,
    Turn,
    stamp,
)
from esteira.inspection import inspect
from esteira.phase import Phase, Standing, phase_of
from esteira.plan import (
    AcceptImage,
    Action,
    Close,
    Diagnose,
    FindBuild,
    FindDeployment,
    OpenCommit,
    OpenImage,
    Project,
    Record,
    Settle,
    StartBuild,
    StartDeployment,
    StopBuild,
    StopDeployment,
    plan,
)
from esteira.situation import Release, Situation
from esteira.store import Store

# A push to live takes four rounds in one call where nothing has to be waited for; past this something turns in circles.
ROUNDS = 25
# Events tell whole seconds and clocks differ: an image is older than a release only by more than this.
SAME_TIME = timedelta(seconds=2)


@dataclass(frozen=True)
class Decision:
    """One thing that was decided and done, for the log."""

    service: str
    release: str
    phase: str
    action: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """What a call to ``advance`` came to: where the release it was about stands, and what was done."""

    service: str
    release: str
    phase: str
    why: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Desk:
    """What the controller works with. ``clock`` gives the time, aware, in UTC; ``tell`` hears every decision."""

    store: Store
    cloud: Cloud
    settings: Settings
    clock: Callable[[], datetime]
    tell: Callable[[Decision], None] = field(default=lambda _: None)


def advance(service: Service, desk: Desk) -> Outcome:
    """Do all that can be done for ``service`` now. Raises the first error an action met, after doing the rest."""
    done: list[str] = []
    errors: list[Exception] = []
    last, look, stillborn = 0, True, False
    for _ in range(ROUNDS):
        situation = gather(service, desk, look)
        if stillborn:  # what could not be born hinders nothing else
            situation = replace(situation, tip=None, arrived=())
        actions = plan(situation, desk.clock(), desk.settings.lease)
        look, failed = False, len(errors)
        for action in actions:
            _tell(situation, action, desk)
            try:
                look = _perform(action, situation, desk) is False or look
            except BusyError:
                pass  # written down as declined, and the phase says so: a wait, not an error
            except Exception as error:  # noqa: BLE001 - raised below, when everything else is done
                errors.append(error)
            done.append(type(action).__name__)
            last = action.release
        if not actions or (len(errors) > failed and (stillborn or not isinstance(actions[0], OpenCommit | OpenImage))):
            break
        stillborn = stillborn or len(errors) > failed
    if errors:
        raise errors[0]
    return _outcome(situation, desk, last, done)


def gather(service: Service, desk: Desk, look: bool) -> Situation:
    """Return what is known about ``service``; ask CodeCommit for the tip only if told to ``look``."""
    store, name = desk.store, service.name
    newest = store.newest(name)
    stage = store.stage(name, service.stage.name)
    rows, arrived = store.open(name)
    numbers = {*rows, stage.live, stage.ordered.to if stage.ordered else 0}
    if stage.busy and stage.turn:
        numbers.add(stage.turn.release)
    found = (store.release(name, n) for n in sorted(numbers - {0}))
    releases = []
    for release in filter(None, found):
        turn = stage.turn if stage.turn and stage.turn.release == release.number else None
        release = Release(release.pushed, release.facts, turn)
        if release.turn_attempt != release.attempt and release.pushed.effective and not release.running_builds:
            quarantine = store.quarantine(name, (release.pushed.commit, release.digest))
            release = Release(release.pushed, release.facts, turn, quarantine)
        releases.append(release)
    return Situation(
        service=service,
        stage=stage,
        newest=newest,
        releases=tuple(releases),
        arrived=arrived,
        tip=desk.cloud.tip(service) if look else None,
        written={n: (row.phase, row.why) for n, row in rows.items()},
    )


def _perform(action: Action, s: Situation, desk: Desk) -> bool | None:  # noqa: C901 - one flat match over all actions
    """Do one action. False: a newer release came in between, so look at the branch again."""
    match action:
        case OpenCommit():
            return _open_commit(action, s, desk)
        case OpenImage():
            return _open_image(action, s, desk)
        case StartBuild():
            _start_build(action, s, desk)
        case FindBuild():
            _find_build(action, s, desk)
        case StopBuild(release=number, build=build):
            desk.cloud.stop_build(build)
            _record(s, desk, StopAsked(at=desk.clock(), release=number, thing=build))
        case AcceptImage():
            _accept_image(action, s, desk)
        case StartDeployment():
            _start_deployment(action, s, desk)
        case FindDeployment():
            _find_deployment(action, s, desk)
        case StopDeployment(release=number, deployment=deployment):
            desk.cloud.stop_deployment(deployment)
            _record(s, desk, StopAsked(at=desk.clock(), release=number, thing=deployment))
        case Diagnose(deployment=deployment):
            cause = desk.cloud.diagnosis(deployment)
            _record(s, desk, Diagnosed(at=desk.clock(), deployment=deployment, cause=cause))
        case Settle():
            _settle(action, s, desk)
        case Record(fact=fact):
            _record(s, desk, fact)
        case Project():
            _project(action, s, desk)
        case Close(release=number):
            desk.store.close(s.service.name, number, _release(s, number).attempt)
        case _:
            raise TypeError(f"no way to perform {action}")
    return None


# --- births ---------------------------------------------------------------------------------------------------------


def _open_commit(action: OpenCommit, s: Situation, desk: Desk) -> bool:
    newest, service = s.newest, s.service
    changes, first = desk.cloud.changes(service, newest.base if newest else "", action.commit)
    seen = inspect(service, changes, first, lambda blob: desk.cloud.blob(service, blob))
    kept, now = newest.base if newest else "", desk.clock()
    return desk.store.birth(
        service.name,
        Pushed(
            at=now,
            number=action.release,
            source="commit",
            commit=action.commit,
            tip=action.commit,
            base=kept if seen.rejected or seen.skipped else action.commit,
            mark=stamp(now) if not (seen.rejected or seen.skipped) else newest.mark if newest else "",
            classes=seen.classes,
            changed=seen.paths[:20],
            changed_count=len(seen.paths),
            rejected=seen.rejected,
            skipped=seen.skipped,
            note=seen.note,
        ),
    )


def _open_image(action: OpenImage, s: Situation, desk: Desk) -> bool:
    image, newest, service = action.image, s.newest, s.service
    found = desk.cloud.image(service, tag=image.tag)
    if found is None or found.digest != image.digest or desk.store.taken(service.name, image):
        desk.store.dismiss(service.name, image, desk.clock())
        return True
    mark = newest.mark if newest else ""
    outdated = f"{image.tag} was pushed before what is a release already" if stamp(image.at + SAME_TIME) < mark else ""
    return desk.store.birth(
        service.name,
        Pushed(
            at=desk.clock(),
            number=action.release,
            source="image",
            tag=image.tag,
            digest=image.digest,
            tip=newest.tip if newest else "",
            base=newest.base if newest else "",
            mark=max(mark, stamp(image.at)),
            outdated=outdated,
        ),
        image,
    )


# --- the image ------------------------------------------------------------------------------------------------------


def _start_build(action: StartBuild, s: Situation, desk: Desk) -> None:
    service, number, attempt = s.service, action.release, action.attempt
    commit = _release(s, number).pushed.commit
    if not _claim(s, desk, number, "build", attempt, action.take):
        return
    claim = BuildClaim(service.name, number, attempt)
    build = desk.cloud.find_build(service, claim) if action.take > 1 else None
    if build is None:
        with _Declining(s, desk, number, "build", attempt, action.take):
            digest = _accepted_before(service, number, commit, desk)
            if not digest:
                build = desk.cloud.start_build(service, claim, commit, str(claim).replace("/", "-"))
    fact: Fact = (
        BuildStarted(at=desk.clock(), release=number, attempt=attempt, build=build)
        if build
        else Accepted(at=desk.clock(), release=number, attempt=attempt, digest=digest, reused=True)
    )
    _record(s, desk, fact)


def _accepted_before(service: Service, number: int, commit: str, desk: Desk) -> str:
    """Return the digest of the commit's image, with the release's tag on it, if it was accepted before; else ""."""
    image = desk.cloud.image(service, tag=commit_tag(commit))
    # Only an image that was accepted is trusted: a failed build may have pushed one, too.
    if image is None or not any(tag.startswith("esteira-v") for tag in image.tags):
        return ""
    return image.digest if desk.cloud.tag_image(service, image.digest, release_tag(number)) else ""


def _find_build(action: FindBuild, s: Situation, desk: Desk) -> None:
    number, attempt, take = action.release, action.attempt, action.take
    build = desk.cloud.find_build(s.service, BuildClaim(s.service.name, number, attempt))
    fact: Fact = (
        BuildStarted(at=desk.clock(), release=number, attempt=attempt, build=build)
        if build
        else Declined(
            at=desk.clock(), release=number, action="build", attempt=attempt, take=take, error="it was never started"
        )
    )
    _record(s, desk, fact)


def _accept_image(action: AcceptImage, s: Situation, desk: Desk) -> None:
    service, pushed, number = s.service, _release(s, action.release).pushed, action.release
    tag = pushed.tag if pushed.source == "image" else commit_tag(pushed.commit)
    digest = pushed.digest
    if pushed.source == "commit":
        image = desk.cloud.image(service, tag=tag)
        digest = image.digest if image else ""
    with _Declining(s, desk, number, "accept", action.attempt, 1, of=Exception):
        there = bool(digest) and desk.cloud.tag_image(service, digest, release_tag(number))
    if there:
        accepted = Accepted(at=desk.clock(), release=number, attempt=action.attempt, digest=digest, reused=False)
        _record(s, desk, accepted)
    else:
        _record(s, desk, ImageMissed(at=desk.clock(), release=number, attempt=action.attempt, tag=tag))


# --- the stage ------------------------------------------------------------------------------------------------------


def _start_deployment(action: StartDeployment, s: Situation, desk: Desk) -> None:
    service, turn, number = s.service, action.turn, action.release
    if action.take > 1:
        mine = _claim(s, desk, number, "deploy", turn.number, action.take)
    else:
        mine = desk.store.claim_turn(service.name, turn)
    if not mine:
        return
    claim = TurnClaim(service.name, number, turn.stage, turn.number)
    deployment = desk.cloud.find_deployment(service, claim) if action.take > 1 else None
    if deployment is None:
        with _Declining(s, desk, number, "deploy", turn.number, action.take):
            key = f"{service.name}/v{number}/{turn.stage}-{turn.number}.zip"
            desk.cloud.put_bundle(
                service, key, _release_document(service, _release(s, number), turn.stage, turn.digest)
            )
            deployment = desk.cloud.create_deployment(service, claim, action.why, key)
    _record(s, desk, _deploy_started(turn, deployment, desk.clock()))


def _find_deployment(action: FindDeployment, s: Situation, desk: Desk) -> None:
    turn, number = action.turn, action.release
    claim = TurnClaim(s.service.name, number, turn.stage, turn.number)
    deployment = desk.cloud.find_deployment(s.service, claim)
    if deployment is not None:
        _record(s, desk, _deploy_started(turn, deployment, desk.clock()))
        return
    declined = Declined(
        at=desk.clock(),
        release=number,
        action="deploy",
        attempt=turn.number,
        take=action.take,
        error="it was never created",
    )
    _record(s, desk, declined)


def _deploy_started(turn: Turn, deployment: str, now: datetime) -> DeployStarted:
    return DeployStarted(
        at=now,
        release=turn.release,
        stage=turn.stage,
        turn=turn.number,
        attempt=turn.attempt,
        deployment=deployment,
        digest=turn.digest,
    )


def _release_document(service: Service, release: Release, stage: str, digest: str) -> dict[str, object]:
    """Return what the host reads as ``release.json``."""
    return {
        "service": service.name,
        "release": release.label,
        "number": release.number,
        "commit": release.pushed.commit,
        "stage": stage,
        "image": f"{service.image_uri}@{digest}",
        "digest": digest,
        "port": service.port,
        "health_path": service.health_path,
        "startup_seconds": service.startup_seconds,
        "drain_seconds": service.drain_seconds,
        "environment": service.environment,
    }


def _settle(action: Settle, s: Situation, desk: Desk) -> None:
    service, turn, number = s.service, action.turn, action.release
    if not _claim(s, desk, number, "settle", turn.number, action.take):
        return
    with _Declining(s, desk, number, "settle", turn.number, action.take, of=Exception):
        if action.succeeded:
            before = _release(s, turn.live) if turn.live and turn.live != number else None
            if action.tags:
                _move_tags(service, turn, before.served_digest if before else "", desk)
            if before is not None:
                _record(s, desk, _displacement(action, s, before.number, desk.clock()))
        settled = Settled(
            at=desk.clock(), stage=turn.stage, turn=turn.number, release=number, succeeded=action.succeeded
        )
        _record(s, desk, settled)


def _move_tags(service: Service, turn: Turn, before: str, desk: Desk) -> None:
    if before not in ("", turn.digest):
        desk.cloud.tag_image(service, before, f"previous-{turn.stage}")
    desk.cloud.tag_image(service, turn.digest, f"live-{turn.stage}")


def _displacement(action: Settle, s: Situation, before: int, now: datetime) -> Fact:
    """Return what the release that was live until now is told."""
    turn, order = action.turn, s.stage.rollback
    if turn.kind == "rollback" and order is not None:
        return RolledBack(
            at=now,
            release=before,
            stage=turn.stage,
            turn=turn.number,
            to=action.release,
            by=order.by,
            reason=order.reason,
        )
    return Replaced(at=now, release=before, stage=turn.stage, turn=turn.number, by=action.release)


def _project(action: Project, s: Situation, desk: Desk) -> None:
    release, now = _release(s, action.release), desk.clock()
    if action.phase.value != action.before:
        desk.cloud.emit(
            {
                "service": s.service.name,
                "stage": s.stage.name,
                "release": release.label,
                "number": release.number,
                "attempt": release.attempt,
                "turn": release.last_turn,
                "phase": action.phase.value,
                "before": action.before,
                "why": action.why[:2000],
                "commit": release.pushed.commit,
                "digest": release.digest,
            }
        )
    desk.store.project(s.service.name, release, Standing(action.phase, action.why), now)


# --- claims ---------------------------------------------------------------------------------------------------------


def _claim(s: Situation, desk: Desk, release: int, action: str, attempt: int, take: int) -> bool:
    """Claim an action under ``take``; False if somebody else has it."""
    now = desk.clock()
    claimed = Claimed(
        at=now,
        release=release,
        action=action,  # type: ignore[arg-type]
        attempt=attempt,
        take=take,
        lease=now + desk.settings.lease,
    )
    return desk.store.record(s.service.name, claimed)


class _Declining:
    """Where what was claimed is known not to have happened, write that down, and let the error pass."""

    def __init__(
        self,
        s: Situation,
        desk: Desk,
        release: int,
        action: str,
        attempt: int,
        take: int,
        of: type[Exception] = DeclinedError,
    ) -> None:
        self._s, self._desk, self._of = s, desk, of
        self._release, self._action, self._attempt, self._take = release, action, attempt, take

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, self._of):
            declined = Declined(
                at=self._desk.clock(),
                release=self._release,
                action=self._action,  # type: ignore[arg-type]
                attempt=self._attempt,
                take=self._take,
                error=str(error)[:500],
            )
            _record(self._s, self._desk, declined)


def _record(s: Situation, desk: Desk, fact: Fact) -> None:
    desk.store.record(s.service.name, fact)


def _release(s: Situation, number: int) -> Release:
    release = s.release(number)
    if release is None:
        raise LookupError(f"v{number} of {s.service.name} is not in the picture")
    return release


def _tell(s: Situation, action: Action, desk: Desk) -> None:
    release = s.release(action.release)
    phase = phase_of(release, s.stage, desk.clock()).phase if release else Phase.PUSHED
    decision = Decision(s.service.name, f"v{action.release}", phase.value, type(action).__name__, action.why)
    desk.tell(decision)


def _outcome(s: Situation, desk: Desk, last: int, done: list[str]) -> Outcome:
    # An action may have been about a release that came to nothing, such as an image that was gone again.
    numbers = [n for n in (last, s.newest.number if s.newest else 0) if n]
    found = (s.release(n) or desk.store.release(s.service.name, n) for n in numbers)
    release = next(filter(None, found), None)
    if release is None:
        return Outcome(s.service.name, "", "", "nothing was pushed yet", tuple(done))
    phase, why = phase_of(release, s.stage, desk.clock())
    return Outcome(s.service.name, release.label, phase.value, why, tuple(done))
