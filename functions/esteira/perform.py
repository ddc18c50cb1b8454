"""Doing what was planned: one function for each action, through ``store`` and ``cloud``, and what came of it as a fact.

What may be done only once is claimed first; where it is not the first claim, AWS is looked at before anything is done
again. Where AWS refused, that is written down (``declined``), so that nobody waits for a lease to run out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from esteira.appspec import Bundle, default, of_commit
from esteira.audit import checkpoint_of
from esteira.aws import DeclinedError, Hosts, UnsureError
from esteira.aws_events import exported_by
from esteira.claims import BuildClaim, RolloutClaim
from esteira.config import Service, commit_tag, release_tag, released_as
from esteira.context import Context
from esteira.core.facts import (
    ACCEPTED,
    Accepted,
    AlarmUnanswered,
    BuildStarted,
    Bundled,
    Checkpoint,
    Claimed,
    Declined,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    Fact,
    HoldReminded,
    HostsAnswered,
    ImageMissed,
    Pushed,
    Replaced,
    RolledBack,
    Rollout,
    RolloutFinished,
    StopAsked,
    about_release,
    stamp,
)
from esteira.core.plan import (
    AcceptImage,
    Action,
    AnswerAlarm,
    Close,
    Diagnose,
    FindBuild,
    FindDeployment,
    Finish,
    OpenCommit,
    OpenImage,
    Project,
    Record,
    Remind,
    StartBuild,
    StartDeployment,
    StopBuild,
    StopDeployment,
)
from esteira.core.state import Release, Snapshot
from esteira.core.status import statuses
from esteira.inspection import inspect
from esteira.rollbacks import Order, back

# Events tell whole seconds and clocks differ: an image is older than a release only by more than this.
SAME_TIME = timedelta(seconds=2)


def perform(action: Action, s: Snapshot, context: Context) -> bool | None:  # noqa: C901 - one flat match over all actions
    """Do one action. False: a newer release came in between, so look at the branch again."""
    match action:
        case OpenCommit():
            return _open_commit(action, s, context)
        case OpenImage():
            return _open_image(action, s, context)
        case StartBuild():
            _start_build(action, s, context)
        case FindBuild():
            _find_build(action, s, context)
        case StopBuild(release=number, build=build):
            context.aws.stop_build(build)
            _record(s, context, StopAsked(at=context.clock(), release=number, thing=build))
        case AcceptImage():
            _accept_image(action, s, context)
        case StartDeployment():
            _start_deployment(action, s, context)
        case FindDeployment():
            _find_deployment(action, s, context)
        case StopDeployment(release=number, deployment=deployment):
            context.aws.stop_deployment(deployment)
            _record(s, context, StopAsked(at=context.clock(), release=number, thing=deployment))
        case Diagnose(deployment=deployment):
            _diagnose(s, context, deployment)
        case Finish():
            _finish(action, s, context)
        case AnswerAlarm():
            _answer_alarm(action, s, context)
        case Remind():
            _remind(action, s, context)
        case Record(fact=fact):
            _record(s, context, fact)
        case Project():
            _project(action, s, context)
        case Close(release=number):
            context.store.close(s.service.name, number, _release(s, number).attempt)
        case _:
            raise TypeError(f"no way to perform {action}")
    return None


# --- births ---------------------------------------------------------------------------------------------------------


def _open_commit(action: OpenCommit, s: Snapshot, context: Context) -> bool:
    newest, service = s.newest, s.service
    changes, first = context.aws.changes(service, newest.base if newest else "", action.commit)
    seen = inspect(service, changes, first, lambda blob: context.aws.blob(service, blob))
    kept, now = newest.base if newest else "", context.clock()
    return context.store.birth(
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


def _open_image(action: OpenImage, s: Snapshot, context: Context) -> bool:
    image, newest, service = action.image, s.newest, s.service
    found = context.aws.image(service, tag=image.tag)
    if found is None or found.digest != image.digest or context.store.taken(service.name, image):
        context.store.dismiss(service.name, image, context.clock())
        return True
    mark = newest.mark if newest else ""
    outdated = f"{image.tag} was pushed before what is a release already" if stamp(image.at + SAME_TIME) < mark else ""
    return context.store.birth(
        service.name,
        Pushed(
            at=context.clock(),
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


def _start_build(action: StartBuild, s: Snapshot, context: Context) -> None:
    service, number, attempt = s.service, action.release, action.attempt
    commit = _release(s, number).pushed.commit
    if not _claim(s, context, number, "build", attempt, action.take):
        return
    claim = BuildClaim(service.name, number, attempt)
    build = context.aws.find_build(service, claim) if action.take > 1 else None
    if build is None:
        with _declining(s, context, number, "build", attempt, action.take):
            accepted = _accepted_before(service, action, commit, context)
            if accepted is not None:
                _record(s, context, accepted)
                return
            build = context.aws.start_build(service, claim, commit, str(claim).replace("/", "-"), _told_of_live(s))
    _record(s, context, BuildStarted(at=context.clock(), release=number, attempt=attempt, build=build))


def _accepted_before(service: Service, action: StartBuild, commit: str, context: Context) -> Accepted | None:
    """Put the release's tag on the commit's image and say so, if the image was accepted before; else None."""
    image = context.aws.image(service, tag=commit_tag(commit))
    by = [number for number in map(released_as, image.tags) if number] if image else []
    # Only an image that was accepted is trusted: a failed build may have pushed one, too.
    if image is None or not by or not context.aws.tag_image(service, image.digest, release_tag(action.release)):
        return None
    return Accepted(
        at=context.clock(),
        release=action.release,
        attempt=action.attempt,
        digest=image.digest,
        reused=True,
        exported=_exported_before(service, image.digest, by, context),
    )


def _exported_before(service: Service, digest: str, by: Sequence[int], context: Context) -> tuple[str, ...]:
    """Return what the build of an image exported, as the newest of the releases it was accepted by has it."""
    for number in sorted(by, reverse=True):
        for fact in context.store.facts(service.name, about_release(number), ACCEPTED):
            if isinstance(fact, Accepted) and fact.digest == digest:
                return fact.exported
    return ()


def _told_of_live(s: Snapshot) -> dict[str, str]:
    """Return the variables that tell a build of the live release: its label, and what its own build exported."""
    found = s.release(s.last.live)
    if found is None:
        return {}
    live = found.on(s.last)
    figures = {f"ESTEIRA_LIVE_{name}": value for name, value in live.figures.items()}
    return {**figures, "ESTEIRA_LIVE_RELEASE": live.label}  # last: a build may have exported a RELEASE


def _find_build(action: FindBuild, s: Snapshot, context: Context) -> None:
    number, attempt, take = action.release, action.attempt, action.take
    build = context.aws.find_build(s.service, BuildClaim(s.service.name, number, attempt))
    fact: Fact = (
        BuildStarted(at=context.clock(), release=number, attempt=attempt, build=build)
        if build
        else Declined(
            at=context.clock(), release=number, action="build", attempt=attempt, take=take, error="it was never started"
        )
    )
    _record(s, context, fact)


def _accept_image(action: AcceptImage, s: Snapshot, context: Context) -> None:
    service, release, number = s.service, _release(s, action.release), action.release
    pushed = release.pushed
    tag = pushed.tag if pushed.source == "image" else commit_tag(pushed.commit)
    digest = pushed.digest
    if pushed.source == "commit":
        image = context.aws.image(service, tag=tag)
        digest = image.digest if image else ""
    with _declining(s, context, number, "accept", action.attempt, 1, of=Exception):
        there = bool(digest) and context.aws.tag_image(service, digest, release_tag(number))
        exported = _exported(release, context) if there else ()
    if there:
        accepted = Accepted(
            at=context.clock(), release=number, attempt=action.attempt, digest=digest, reused=False, exported=exported
        )
        _record(s, context, accepted)
    else:
        _record(s, context, ImageMissed(at=context.clock(), release=number, attempt=action.attempt, tag=tag))


def _exported(release: Release, context: Context) -> tuple[str, ...]:
    """Return what the release's build exported; nothing for an image from elsewhere, or where CodeBuild forgot it.

    A first refusal is raised, so that it is asked again; after that the release goes on without: it needs its image,
    not its figures.
    """
    if release.build_ended is None:
        return ()
    try:
        builds = context.aws.builds([release.build_ended.build])
    except Exception:
        if release.declined("accept", release.attempt, 1) is None:
            raise
        return ()
    return exported_by(builds[0]) if builds else ()


# --- the stage ------------------------------------------------------------------------------------------------------


def _start_deployment(action: StartDeployment, s: Snapshot, context: Context) -> None:
    service, rollout, number = s.service, action.rollout, action.release
    if action.take > 1:
        mine = _claim(s, context, number, "deploy", rollout.number, action.take, rollout.stage)
    else:
        mine = context.store.claim_rollout(service.name, rollout)
    if not mine:
        return
    claim = RolloutClaim(service.name, number, rollout.stage, rollout.number)
    deployment = context.aws.find_deployment(service, claim) if action.take > 1 else None
    if deployment is None:
        release = _release(s, number)
        with _declining(s, context, number, "deploy", rollout.number, action.take, rollout.stage, of=Exception):
            bundle = _bundle(service, release, rollout, context)
        if bundle.refused:
            _record(s, context, _bundle_refused(rollout, release, bundle, context.clock()))
            return
        with _declining(s, context, number, "deploy", rollout.number, action.take, rollout.stage):
            key = f"{service.name}/v{number}/{rollout.stage}-{rollout.number}.zip"
            document = _release_document(service, release, rollout.stage, rollout.digest)
            sha256 = context.aws.put_bundle(service, key, bundle, document)
            bundled = Bundled(
                at=context.clock(),
                release=number,
                stage=rollout.stage,
                rollout=rollout.number,
                name_in_bucket=key,
                sha256=sha256,
            )
            _record(s, context, bundled)
            deployment = context.aws.create_deployment(service, claim, action.why, key)
    _record(s, context, _deployment_started(rollout, deployment, context.clock()))


def _bundle(service: Service, release: Release, rollout: Rollout, context: Context) -> Bundle:
    """Return what the host is to get. What a rollback goes back to ran before, so it is not judged anew."""
    commit = release.pushed.commit
    return of_commit(service, commit, context.aws, judged=rollout.kind == "deploy") if commit else default()


def _bundle_refused(rollout: Rollout, release: Release, bundle: Bundle, now: datetime) -> DeploymentGivenUp:
    commit = release.pushed.commit[:8]
    return DeploymentGivenUp(
        at=now,
        release=rollout.release,
        stage=rollout.stage,
        rollout=rollout.number,
        attempt=rollout.attempt,
        why=f"the own bundle of {commit} is refused and nothing was deployed: {bundle.refused}",
        remedy="mend it and push",
    )


def _find_deployment(action: FindDeployment, s: Snapshot, context: Context) -> None:
    rollout, number = action.rollout, action.release
    claim = RolloutClaim(s.service.name, number, rollout.stage, rollout.number)
    deployment = context.aws.find_deployment(s.service, claim)
    if deployment is not None:
        _record(s, context, _deployment_started(rollout, deployment, context.clock()))
        return
    declined = Declined(
        at=context.clock(),
        release=number,
        action="deploy",
        attempt=rollout.number,
        take=action.take,
        error="it was never created",
        stage=rollout.stage,
    )
    _record(s, context, declined)


def _deployment_started(rollout: Rollout, deployment: str, now: datetime) -> DeploymentStarted:
    return DeploymentStarted(
        at=now,
        release=rollout.release,
        stage=rollout.stage,
        rollout=rollout.number,
        attempt=rollout.attempt,
        deployment=deployment,
        digest=rollout.digest,
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


def _diagnose(s: Snapshot, context: Context, deployment: str) -> None:
    hosts = context.aws.hosts(deployment)
    _record_diagnosis(s, context, deployment, hosts, hosts.cause or context.aws.error(deployment))


def _record_diagnosis(s: Snapshot, context: Context, deployment: str, hosts: Hosts, cause: str) -> None:
    fact = Diagnosed(at=context.clock(), deployment=deployment, cause=cause, reached=hosts.reached, event=hosts.event)
    _record(s, context, fact)
    if hosts.answers:
        _record(s, context, HostsAnswered(at=context.clock(), deployment=deployment, answers=hosts.answers))


def _every_host_has_it(action: Finish, s: Snapshot, context: Context) -> bool:
    """Return whether a deployment that CodeDeploy calls Succeeded is so on every host; if not, write down why.

    CodeDeploy says so although a host failed, as long as its configuration's number of healthy hosts is kept.
    """
    rollout, number = action.rollout, action.release
    started = _release(s, number).on(s.stage(rollout.stage)).deployment(rollout.number)
    if started is None:
        raise LookupError(f"rollout {rollout.number} on {rollout.stage} has no deployment")
    # Under take 0: before anybody claims to settle.
    with _declining(s, context, number, "finish", rollout.number, 0, rollout.stage, of=Exception):
        hosts = context.aws.hosts(started.deployment)
        if hosts.unsure:
            raise UnsureError(f"CodeDeploy says that {started.deployment} succeeded, and of {hosts.unsure}")
    answered = HostsAnswered(at=context.clock(), deployment=started.deployment, answers=hosts.answers)
    _record(s, context, answered)
    if hosts.missed:
        cause = hosts.cause or f"{', '.join(hosts.missed)}: CodeDeploy gives no reason"
        _record_diagnosis(s, context, started.deployment, hosts, cause)
    return not hosts.missed


def _finish(action: Finish, s: Snapshot, context: Context) -> None:
    service, rollout, number = s.service, action.rollout, action.release
    if action.succeeded and action.take == 1 and not _every_host_has_it(action, s, context):
        return
    if not _claim(s, context, number, "finish", rollout.number, action.take, rollout.stage):
        return
    stage = s.stage(rollout.stage)
    started = _release(s, number).on(stage).deployment(rollout.number)
    with _declining(s, context, number, "finish", rollout.number, action.take, rollout.stage, of=Exception):
        if action.cause and started is not None:
            fact = Diagnosed(
                at=context.clock(), deployment=started.deployment, cause=action.cause, reached=action.mixed
            )
            _record(s, context, fact)
        if action.succeeded:
            before = _release(s, rollout.live) if rollout.live and rollout.live != number else None
            if action.tags:
                _move_tags(service, rollout, before.on(stage).served_digest if before else "", context)
            if before is not None:
                _record(s, context, _displacement(action, s, before.number, context.clock()))
        _checkpoint(rollout, s, context)
        finished = RolloutFinished(
            at=context.clock(),
            stage=rollout.stage,
            rollout=rollout.number,
            release=number,
            succeeded=action.succeeded,
            mixed=action.mixed,
        )
        _record(s, context, finished)


def _move_tags(service: Service, rollout: Rollout, before: str, context: Context) -> None:
    if before not in ("", rollout.digest):
        context.aws.tag_image(service, before, f"previous-{rollout.stage}")
    context.aws.tag_image(service, rollout.digest, f"live-{rollout.stage}")


def _displacement(action: Finish, s: Snapshot, before: int, now: datetime) -> Fact:
    """Return what the release that was live until now is told."""
    rollout = action.rollout
    order = s.stage(rollout.stage).rollback
    if rollout.kind == "rollback" and order is not None:
        return RolledBack(
            at=now,
            release=before,
            stage=rollout.stage,
            rollout=rollout.number,
            to=action.release,
            by=order.by,
            reason=order.reason,
        )
    return Replaced(at=now, release=before, stage=rollout.stage, rollout=rollout.number, by=action.release)


def _checkpoint(rollout: Rollout, s: Snapshot, context: Context) -> None:
    """Seal what was said about the rollout's release until now; the checkpoint of the rollout before is in it."""
    name = s.service.name
    release = context.store.release(name, rollout.release)
    before = next(iter(context.store.newest_facts(name, f"checkpoints/{rollout.stage}", "checkpoint#", 1)), None)
    if release is None or (isinstance(before, Checkpoint) and before.rollout >= rollout.number):
        return
    said = {release.pushed, *release.facts}
    _record(
        s,
        context,
        checkpoint_of(rollout, said, before.sha256 if isinstance(before, Checkpoint) else "", context.clock()),
    )


def _answer_alarm(action: AnswerAlarm, s: Snapshot, context: Context) -> None:
    """Order the stage back as an operator would, in the alarm's name; where nothing is there to go back to, say so."""
    request = f"alarm-{action.stage}-{action.rollout:08d}"
    by = f"alarm {action.alarm}"
    order = back(s.service, s.stage(action.stage), None, request=request, by=by, reason=action.why, context=context)
    if isinstance(order, Order):
        context.store.say(s.service.name, request, context.clock(), order.words, order.reopen)
        return
    unanswered = AlarmUnanswered(
        at=context.clock(),
        release=action.release,
        stage=action.stage,
        rollout=action.rollout,
        alarm=action.alarm,
        why=f"{action.why}; {order.why}",
    )
    _record(s, context, unanswered)


def _remind(action: Remind, s: Snapshot, context: Context) -> None:
    """Tell the world, then write down that it was told: ``announce`` says it once, however often it hears it."""
    hold = action.hold
    context.aws.emit(
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
    _record(s, context, HoldReminded(at=context.clock(), stage=hold.stage, hold=hold.key))


def _project(action: Project, s: Snapshot, context: Context) -> None:
    release, now, status = _release(s, action.release), context.clock(), action.status
    stages = statuses(release, s.stages, now)
    if action.news:
        stage = status.stage or s.first.name
        context.aws.emit(
            {
                "service": s.service.name,
                "stage": stage,
                "release": release.label,
                "number": release.number,
                "attempt": release.attempt,
                "rollout": release.on(s.stage(stage)).last_rollout,
                "phase": status.phase.value,
                "before": action.before,
                "why": status.why[:2000],
                "cause": status.cause,
                "stages": {name: there.phase.value for name, there in stages.items()},
                "commit": release.pushed.commit,
                "tag": release.pushed.tag,
                "digest": release.digest,
            }
        )
    context.store.project(s.service.name, release, status, stages, now)


# --- claims ---------------------------------------------------------------------------------------------------------


def _claim(s: Snapshot, context: Context, release: int, action: str, attempt: int, take: int, stage: str = "") -> bool:
    """Claim an action (on a stage) under ``take``; False if somebody else has it."""
    now = context.clock()
    claimed = Claimed(
        at=now,
        release=release,
        action=action,  # type: ignore[arg-type]
        attempt=attempt,
        take=take,
        lease=now + context.settings.lease,
        stage=stage,
    )
    return context.store.record(s.service.name, claimed)


@contextmanager
def _declining(
    s: Snapshot,
    context: Context,
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
            at=context.clock(),
            release=release,
            action=action,  # type: ignore[arg-type]
            attempt=attempt,
            take=take,
            error=str(error)[:500],
            stage=stage,
        )
        _record(s, context, declined)
        raise


def _record(s: Snapshot, context: Context, fact: Fact) -> None:
    context.store.record(s.service.name, fact)


def _release(s: Snapshot, number: int) -> Release:
    release = s.release(number)
    if release is None:
        raise LookupError(f"v{number} of {s.service.name} is not in the picture")
    return release
