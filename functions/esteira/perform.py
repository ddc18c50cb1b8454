"""Doing what was planned: one function for each action, through ``store`` and ``cloud``, and what came of it as a fact.

What may be done only once is claimed first; where it is not the first claim, AWS is looked at before anything is done
again. Where AWS refused, that is written down (``declined``), so that nobody waits for a lease to run out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from esteira.bundle import Bundle, default, of_commit
from esteira.claims import BuildClaim, TurnClaim
from esteira.cloud import DeclinedError, Hosts, UnsureError
from esteira.config import Service, commit_tag, release_tag, released_as
from esteira.desk import Desk
from esteira.events import exported_by
from esteira.facts import (
    ACCEPTED,
    Accepted,
    AlarmUnanswered,
    BuildStarted,
    Bundled,
    Claimed,
    Declined,
    DeployGivenUp,
    DeployStarted,
    Diagnosed,
    Fact,
    HoldReminded,
    HostsAnswered,
    ImageMissed,
    Pushed,
    Replaced,
    RolledBack,
    Sealed,
    Settled,
    StopAsked,
    Turn,
    about_release,
    stamp,
)
from esteira.going_back import Order, back
from esteira.inspection import inspect
from esteira.phase import standings
from esteira.plan import (
    AcceptImage,
    Action,
    AnswerAlarm,
    Close,
    Diagnose,
    FindBuild,
    FindDeployment,
    OpenCommit,
    OpenImage,
    Project,
    Record,
    Remind,
    Settle,
    StartBuild,
    StartDeployment,
    StopBuild,
    StopDeployment,
)
from esteira.seal import seal
from esteira.situation import Release, Situation

# Events tell whole seconds and clocks differ: an image is older than a release only by more than this.
SAME_TIME = timedelta(seconds=2)


def perform(action: Action, s: Situation, desk: Desk) -> bool | None:  # noqa: C901 - one flat match over all actions
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
            _diagnose(s, desk, deployment)
        case Settle():
            _settle(action, s, desk)
        case AnswerAlarm():
            _answer_alarm(action, s, desk)
        case Remind():
            _remind(action, s, desk)
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
        with _declining(s, desk, number, "build", attempt, action.take):
            accepted = _accepted_before(service, action, commit, desk)
            if accepted is not None:
                _record(s, desk, accepted)
                return
            build = desk.cloud.start_build(service, claim, commit, str(claim).replace("/", "-"), _told_of_live(s))
    _record(s, desk, BuildStarted(at=desk.clock(), release=number, attempt=attempt, build=build))


def _accepted_before(service: Service, action: StartBuild, commit: str, desk: Desk) -> Accepted | None:
    """Put the release's tag on the commit's image and say so, if the image was accepted before; else None."""
    image = desk.cloud.image(service, tag=commit_tag(commit))
    by = [number for number in map(released_as, image.tags) if number] if image else []
    # Only an image that was accepted is trusted: a failed build may have pushed one, too.
    if image is None or not by or not desk.cloud.tag_image(service, image.digest, release_tag(action.release)):
        return None
    return Accepted(
        at=desk.clock(),
        release=action.release,
        attempt=action.attempt,
        digest=image.digest,
        reused=True,
        exported=_exported_before(service, image.digest, by, desk),
    )


def _exported_before(service: Service, digest: str, by: Sequence[int], desk: Desk) -> tuple[str, ...]:
    """Return what the build of an image exported, as the newest of the releases it was accepted by has it."""
    for number in sorted(by, reverse=True):
        for fact in desk.store.facts(service.name, about_release(number), ACCEPTED):
            if isinstance(fact, Accepted) and fact.digest == digest:
                return fact.exported
    return ()


def _told_of_live(s: Situation) -> dict[str, str]:
    """Return the variables that tell a build of the live release: its label, and what its own build exported."""
    found = s.release(s.last.live)
    if found is None:
        return {}
    live = found.on(s.last)
    figures = {f"ESTEIRA_LIVE_{name}": value for name, value in live.figures.items()}
    return {**figures, "ESTEIRA_LIVE_RELEASE": live.label}  # last: a build may have exported a RELEASE


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
    service, release, number = s.service, _release(s, action.release), action.release
    pushed = release.pushed
    tag = pushed.tag if pushed.source == "image" else commit_tag(pushed.commit)
    digest = pushed.digest
    if pushed.source == "commit":
        image = desk.cloud.image(service, tag=tag)
        digest = image.digest if image else ""
    with _declining(s, desk, number, "accept", action.attempt, 1, of=Exception):
        there = bool(digest) and desk.cloud.tag_image(service, digest, release_tag(number))
        exported = _exported(release, desk) if there else ()
    if there:
        accepted = Accepted(
            at=desk.clock(), release=number, attempt=action.attempt, digest=digest, reused=False, exported=exported
        )
        _record(s, desk, accepted)
    else:
        _record(s, desk, ImageMissed(at=desk.clock(), release=number, attempt=action.attempt, tag=tag))


def _exported(release: Release, desk: Desk) -> tuple[str, ...]:
    """Return what the release's build exported; nothing for an image from elsewhere, or where CodeBuild forgot it.

    A first refusal is raised, so that it is asked again; after that the release goes on without: it needs its image,
    not its figures.
    """
    if release.build_ended is None:
        return ()
    try:
        builds = desk.cloud.builds([release.build_ended.build])
    except Exception:
        if release.declined("accept", release.attempt, 1) is None:
            raise
        return ()
    return exported_by(builds[0]) if builds else ()


# --- the stage ------------------------------------------------------------------------------------------------------


def _start_deployment(action: StartDeployment, s: Situation, desk: Desk) -> None:
    service, turn, number = s.service, action.turn, action.release
    if action.take > 1:
        mine = _claim(s, desk, number, "deploy", turn.number, action.take, turn.stage)
    else:
        mine = desk.store.claim_turn(service.name, turn)
    if not mine:
        return
    claim = TurnClaim(service.name, number, turn.stage, turn.number)
    deployment = desk.cloud.find_deployment(service, claim) if action.take > 1 else None
    if deployment is None:
        release = _release(s, number)
        with _declining(s, desk, number, "deploy", turn.number, action.take, turn.stage, of=Exception):
            bundle = _bundle(service, release, turn, desk)
        if bundle.refused:
            _record(s, desk, _bundle_refused(turn, release, bundle, desk.clock()))
            return
        with _declining(s, desk, number, "deploy", turn.number, action.take, turn.stage):
            key = f"{service.name}/v{number}/{turn.stage}-{turn.number}.zip"
            document = _release_document(service, release, turn.stage, turn.digest)
            sha256 = desk.cloud.put_bundle(service, key, bundle, document)
            bundled = Bundled(
                at=desk.clock(),
                release=number,
                stage=turn.stage,
                turn=turn.number,
                name_in_bucket=key,
                sha256=sha256,
            )
            _record(s, desk, bundled)
            deployment = desk.cloud.create_deployment(service, claim, action.why, key)
    _record(s, desk, _deploy_started(turn, deployment, desk.clock()))


def _bundle(service: Service, release: Release, turn: Turn, desk: Desk) -> Bundle:
    """Return what the host is to get. What a rollback goes back to ran before, so it is not judged anew."""
    commit = release.pushed.commit
    return of_commit(service, commit, desk.cloud, judged=turn.kind == "deploy") if commit else default()


def _bundle_refused(turn: Turn, release: Release, bundle: Bundle, now: datetime) -> DeployGivenUp:
    commit = release.pushed.commit[:8]
    return DeployGivenUp(
        at=now,
        release=turn.release,
        stage=turn.stage,
        turn=turn.number,
        attempt=turn.attempt,
        why=f"the own bundle of {commit} is refused and nothing was deployed: {bundle.refused}",
        remedy="mend it and push",
    )


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
        stage=turn.stage,
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
        "validation_seconds": service.validation_seconds,
        "memory_mb": service.memory_mb,
        "when_memory_is_short": service.when_memory_is_short,
        "environment": service.environment,
        "parameters": service.parameters,
    }


def _diagnose(s: Situation, desk: Desk, deployment: str) -> None:
    hosts = desk.cloud.hosts(deployment)
    _record_diagnosis(s, desk, deployment, hosts, hosts.cause or desk.cloud.error(deployment))


def _record_diagnosis(s: Situation, desk: Desk, deployment: str, hosts: Hosts, cause: str) -> None:
    fact = Diagnosed(at=desk.clock(), deployment=deployment, cause=cause, reached=hosts.reached, event=hosts.event)
    _record(s, desk, fact)
    if hosts.answers:
        _record(s, desk, HostsAnswered(at=desk.clock(), deployment=deployment, answers=hosts.answers))


def _every_host_has_it(action: Settle, s: Situation, desk: Desk) -> bool:
    """Return whether a deployment that CodeDeploy calls Succeeded is so on every host; if not, write down why.

    CodeDeploy says so although a host failed, as long as its configuration's number of healthy hosts is kept.
    """
    turn, number = action.turn, action.release
    started = _release(s, number).on(s.stage(turn.stage)).deployment(turn.number)
    if started is None:
        raise LookupError(f"turn {turn.number} on {turn.stage} has no deployment")
    # Under take 0: before anybody claims to settle.
    with _declining(s, desk, number, "settle", turn.number, 0, turn.stage, of=Exception):
        hosts = desk.cloud.hosts(started.deployment)
        if hosts.unsure:
            raise UnsureError(f"CodeDeploy says that {started.deployment} succeeded, and of {hosts.unsure}")
    answered = HostsAnswered(at=desk.clock(), deployment=started.deployment, answers=hosts.answers)
    _record(s, desk, answered)
    if hosts.missed:
        cause = hosts.cause or f"{', '.join(hosts.missed)}: CodeDeploy gives no reason"
        _record_diagnosis(s, desk, started.deployment, hosts, cause)
    return not hosts.missed


def _settle(action: Settle, s: Situation, desk: Desk) -> None:
    service, turn, number = s.service, action.turn, action.release
    if action.succeeded and action.take == 1 and not _every_host_has_it(action, s, desk):
        return
    if not _claim(s, desk, number, "settle", turn.number, action.take, turn.stage):
        return
    stage = s.stage(turn.stage)
    started = _release(s, number).on(stage).deployment(turn.number)
    with _declining(s, desk, number, "settle", turn.number, action.take, turn.stage, of=Exception):
        if action.cause and started is not None:
            fact = Diagnosed(at=desk.clock(), deployment=started.deployment, cause=action.cause, reached=action.mixed)
            _record(s, desk, fact)
        if action.succeeded:
            before = _release(s, turn.live) if turn.live and turn.live != number else None
            if action.tags:
                _move_tags(service, turn, before.on(stage).served_digest if before else "", desk)
            if before is not None:
                _record(s, desk, _displacement(action, s, before.number, desk.clock()))
        _seal(turn, s, desk)
        settled = Settled(
            at=desk.clock(),
            stage=turn.stage,
            turn=turn.number,
            release=number,
            succeeded=action.succeeded,
            mixed=action.mixed,
        )
        _record(s, desk, settled)


def _move_tags(service: Service, turn: Turn, before: str, desk: Desk) -> None:
    if before not in ("", turn.digest):
        desk.cloud.tag_image(service, before, f"previous-{turn.stage}")
    desk.cloud.tag_image(service, turn.digest, f"live-{turn.stage}")


def _displacement(action: Settle, s: Situation, before: int, now: datetime) -> Fact:
    """Return what the release that was live until now is told."""
    turn = action.turn
    order = s.stage(turn.stage).rollback
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


def _seal(turn: Turn, s: Situation, desk: Desk) -> None:
    """Seal what was said about the turn's release until now; the seal of the turn before is in it."""
    name = s.service.name
    release = desk.store.release(name, turn.release)
    before = next(iter(desk.store.newest_facts(name, f"seals/{turn.stage}", "seal#", 1)), None)
    if release is None or (isinstance(before, Sealed) and before.turn >= turn.number):
        return
    said = {release.pushed, *release.facts}
    _record(s, desk, seal(turn, said, before.seal if isinstance(before, Sealed) else "", desk.clock()))


def _answer_alarm(action: AnswerAlarm, s: Situation, desk: Desk) -> None:
    """Order the stage back as an operator would, in the alarm's name; where nothing is there to go back to, say so."""
    request = f"alarm-{action.stage}-{action.turn:08d}"
    by = f"alarm {action.alarm}"
    order = back(s.service, s.stage(action.stage), None, request=request, by=by, reason=action.why, desk=desk)
    if isinstance(order, Order):
        desk.store.say(s.service.name, request, desk.clock(), order.words, order.reopen)
        return
    unanswered = AlarmUnanswered(
        at=desk.clock(),
        release=action.release,
        stage=action.stage,
        turn=action.turn,
        alarm=action.alarm,
        why=f"{action.why}; {order.why}",
    )
    _record(s, desk, unanswered)


def _remind(action: Remind, s: Situation, desk: Desk) -> None:
    """Tell the world, then write down that it was told: ``announce`` says it once, however often it hears it."""
    hold = action.hold
    desk.cloud.emit(
        {
            "service": s.service.name,
            "stage": hold.stage,
            "by": hold.by,
            "reason": hold.reason,
            "since": stamp(hold.at),
            "until": stamp(hold.until),
        },
        "Hold Ends Soon",
    )
    _record(s, desk, HoldReminded(at=desk.clock(), stage=hold.stage, hold=hold.key))


def _project(action: Project, s: Situation, desk: Desk) -> None:
    release, now, standing = _release(s, action.release), desk.clock(), action.standing
    stages = standings(release, s.stages, now)
    if action.news:
        stage = standing.stage or s.first.name
        desk.cloud.emit(
            {
                "service": s.service.name,
                "stage": stage,
                "release": release.label,
                "number": release.number,
                "attempt": release.attempt,
                "turn": release.on(s.stage(stage)).last_turn,
                "phase": standing.phase.value,
                "before": action.before,
                "why": standing.why[:2000],
                "cause": standing.cause,
                "stages": {name: there.phase.value for name, there in stages.items()},
                "commit": release.pushed.commit,
                "tag": release.pushed.tag,
                "digest": release.digest,
            }
        )
    desk.store.project(s.service.name, release, standing, stages, now)


# --- claims ---------------------------------------------------------------------------------------------------------


def _claim(s: Situation, desk: Desk, release: int, action: str, attempt: int, take: int, stage: str = "") -> bool:
    """Claim an action (on a stage) under ``take``; False if somebody else has it."""
    now = desk.clock()
    claimed = Claimed(
        at=now,
        release=release,
        action=action,  # type: ignore[arg-type]
        attempt=attempt,
        take=take,
        lease=now + desk.settings.lease,
        stage=stage,
    )
    return desk.store.record(s.service.name, claimed)


@contextmanager
def _declining(
    s: Situation,
    desk: Desk,
    release: int,
    action: str,
    attempt: int,
    take: int,
    stage: str = "",
    of: type[Exception] = DeclinedError,
) -> Iterator[None]:
    """Where what was claimed is known not to have happened, write that down, and let the error pass."""
    try:
        yield
    except of as error:
        declined = Declined(
            at=desk.clock(),
            release=release,
            action=action,  # type: ignore[arg-type]
            attempt=attempt,
            take=take,
            error=str(error)[:500],
            stage=stage,
        )
        _record(s, desk, declined)
        raise


def _record(s: Situation, desk: Desk, fact: Fact) -> None:
    desk.store.record(s.service.name, fact)


def _release(s: Situation, number: int) -> Release:
    release = s.release(number)
    if release is None:
        raise LookupError(f"v{number} of {s.service.name} is not in the picture")
    return release
