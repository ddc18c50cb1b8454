"""A rollout ends: what became of it on every host, the stage's tags, the checkpoint, the fact that it is finished."""

from __future__ import annotations

from esteira.audit import checkpoint_of, names_of
from esteira.aws import Hosts
from esteira.core.actions import Diagnose, Finish
from esteira.core.facts import (
    Diagnosed,
    Replaced,
    Rollout,
    RolloutFinished,
)
from esteira.core.state import Release
from esteira.errors import DeclinedError, UnsureError
from esteira.perform.effects import Effects, Take

ROUNDS = 1000  # a checkpoint lists that many; more came only where AWS declined for days


def diagnose(action: Diagnose, do: Effects) -> None:
    """Record why a deployment failed: the first failed host's own words, or CodeDeploy's where no host says why.

    A deployment may fail before any host begins. Then CodeDeploy alone knows the reason, such as ``NO_INSTANCES``.
    """
    hosts = do.aws.hosts(action.deployment)
    _record_hosts(action.deployment, hosts, do, cause=hosts.cause or do.aws.error(action.deployment))


def _record_hosts(deployment: str, hosts: Hosts, do: Effects, *, cause: str) -> None:
    """Record what became of the deployment on its hosts; it failed where there is a ``cause``."""
    fact = Diagnosed(
        at=do.now(),
        deployment=deployment,
        failed=bool(cause),
        cause=cause,
        reached=hosts.reached,
        event=hosts.event if cause else "",
        answers=hosts.answers,
        found=hosts.found,
    )
    do.record(fact)


def finish(action: Finish, do: Effects) -> None:
    """Finish a rollout, once; one that succeeded only if every host has it."""
    rollout = action.rollout
    take = Take("finish", action.release, rollout.number, action.take, rollout.stage)
    if action.succeeded and action.take == 1 and not _every_host_has_it(action, do):
        return
    if not do.claim("finish", take):
        return
    with do.declining(take, of=Exception):
        deployment = _deployment(rollout, do)
        if action.cause and deployment:
            failure = Diagnosed(
                at=do.now(), deployment=deployment, failed=True, cause=action.cause, reached=action.mixed
            )
            do.record(failure)
        note = _move_tags(action, do) if action.succeeded and action.tags else ""
        if action.succeeded:
            _take_the_place(action, do)
        sha256 = _checkpoint(rollout, do)
        finished = RolloutFinished(
            at=do.now(),
            stage=rollout.stage,
            rollout=rollout.number,
            release=action.release,
            succeeded=action.succeeded,
            mixed=action.mixed,
            note=note,
            checkpoint=sha256,
        )
        do.record(finished)


def _deployment(rollout: Rollout, do: Effects) -> str:
    """The rollout's deployment, "" where none was created."""
    last = do.release(rollout.release).on(do.s.stage(rollout.stage)).last
    return last.started.deployment if last and last.started and last.number == rollout.number else ""


def _every_host_has_it(action: Finish, do: Effects) -> bool:
    """Whether a deployment that CodeDeploy calls Succeeded is so on every host; records what each host answered.

    CodeDeploy calls it so although a host failed, as long as its configuration's number of healthy hosts is kept.
    """
    rollout, deployment = action.rollout, _deployment(action.rollout, do)
    if not deployment:
        raise LookupError(f"rollout {rollout.number} on {rollout.stage} has no deployment")
    # Under take 0: before anybody claims to finish it.
    with do.declining(Take("finish", action.release, rollout.number, 0, rollout.stage), of=Exception):
        hosts = do.aws.hosts(deployment)
        if hosts.unsure:
            raise UnsureError(f"CodeDeploy says that {deployment} succeeded, and of {hosts.unsure}")
    missed = ", ".join(hosts.missed)
    cause = (hosts.cause or f"{missed}: CodeDeploy gives no reason") if missed else ""
    _record_hosts(deployment, hosts, do, cause=cause)
    return not missed


def _before(action: Finish, do: Effects) -> Release | None:
    """The release that was live until now, None where it is this one or there was none."""
    rollout = action.rollout
    return do.release(rollout.live) if rollout.live and rollout.live != action.release else None


def _move_tags(action: Finish, do: Effects) -> str:
    """Move the stage's tags; why they stay where they are, if a registry that lets no tag move has them frozen."""
    rollout, before = action.rollout, _before(action, do)
    digest = before.on(do.s.stage(rollout.stage)).served_digest if before else ""
    try:
        if digest not in ("", rollout.digest):
            do.aws.tag_image(do.service, digest, f"previous-{rollout.stage}")
        do.aws.tag_image(do.service, rollout.digest, f"live-{rollout.stage}")
    except DeclinedError as error:
        return f"its tags stay: {error}"
    return ""


def _take_the_place(action: Finish, do: Effects) -> None:
    """Tell the release that was live until now what took its place."""
    rollout, stage, before = action.rollout, do.s.stage(action.rollout.stage), _before(action, do)
    if before is not None:
        order = stage.rollback if rollout.kind == "rollback" else None
        replaced = Replaced(
            at=do.now(),
            release=before.number,
            stage=rollout.stage,
            rollout=rollout.number,
            by=action.release,
            ordered_by=order.by if order else "",
            reason=order.reason if order else "",
        )
        do.record(replaced)


def _checkpoint(rollout: Rollout, do: Effects) -> str:
    """Write the checkpoint of everything said about the rollout's release until now, chained to the one before; its
    hash, or that of the one that another take wrote."""
    name, pushed, at = do.service.name, do.release(rollout.release).pushed, do.now()
    before = do.store.checkpoint(name, rollout.stage, rollout.number - 1)
    rounds = do.store.rounds(name, (before.at if before else pushed.at) - do.context.settings.lease)
    said = do.store.newest_request(name)
    listed = names_of(before.rows if before else ())
    # A slow function, which lives no longer than a lease, may have written a round after the checkpoint before.
    new = [f for f in rounds if f"{f.about} {f.key}" not in listed][-ROUNDS:]
    facts = {pushed, *do.store.everything(name, rollout.release), *new, *((said,) if said else ())}
    checkpoint = checkpoint_of(rollout, facts, before.sha256 if before else "", at)
    written = None if do.record(checkpoint) else do.store.checkpoint(name, rollout.stage, rollout.number)
    return (written or checkpoint).sha256
