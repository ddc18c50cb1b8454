"""A release is deployed to a stage: the rollout is claimed, its bundle written, its deployment created.

CreateDeployment has no idempotency token, so it is sent once. Where its answer is lost, nobody knows whether the
deployment exists: CodeDeploy is asked for one that carries the rollout's claim, now and again when the lease is over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from esteira.bundle import Bundle, default, of_commit
from esteira.claims import RolloutClaim
from esteira.core.actions import AnswerAlarm, FindDeployment, StartDeployment
from esteira.core.facts import (
    Bundled,
    DeploymentStarted,
    GivenUp,
    Rollout,
)
from esteira.core.state import Release
from esteira.core.status import Cause
from esteira.errors import UnsureError
from esteira.perform.effects import Effects, Take
from esteira.rollbacks import RollbackWords, back, instead_of
from settings.model import in_effect, restored
from settings.secrets import chosen, folder, unset


def start(action: StartDeployment, do: Effects) -> None:
    """Claim the rollout, or take it over, and create its deployment unless it exists."""
    rollout = action.rollout
    take = Take("deploy", rollout.release, rollout.number, action.take, rollout.stage)
    if not (do.claim("deploy", take) if action.take > 1 else _claimed(rollout, do)):
        return
    claim = _claim(rollout, do)
    deployment = do.aws.find_deployment(do.service, claim, since=rollout.at) if action.take > 1 else None
    if deployment is None:
        with do.declining(take, of=Exception):
            prepared = _prepared(do.release(rollout.release), rollout, do)
        if isinstance(prepared, GivenUp):
            do.record(prepared)
            return
        bundle, document = prepared
        content = content_hash(bundle, document)
        running = _running(rollout, document, content, do)
        if running is not None:
            deployment, bundled = running
            do.record(replace(bundled, at=do.now(), release=rollout.release, rollout=rollout.number))
            do.record(_started(rollout, deployment, do.now(), unchanged=True))
            return
        with do.declining(take):
            deployment = _create(action, bundle, document, content, do)
    do.record(_started(rollout, deployment, do.now()))


def _claimed(rollout: Rollout, do: Effects) -> bool:
    here = do.release(rollout.release).on(do.s.stage(rollout.stage))
    return do.store.claim_rollout(do.service.name, rollout, bypassed=here.bypass(do.now()) is not None)


def _create(action: StartDeployment, bundle: Bundle, document: dict[str, Any], content: str, do: Effects) -> str:
    """Write the bundle and create the deployment; its id. Raises UnsureError where nobody knows whether it exists."""
    rollout = action.rollout
    key = f"{do.service.name}/v{rollout.release}/{rollout.stage}-{rollout.number}.zip"
    sha256, etag = do.aws.put_bundle(do.service, key, bundle, document)
    bundled = Bundled(
        at=do.now(),
        release=rollout.release,
        stage=rollout.stage,
        rollout=rollout.number,
        name_in_bucket=key,
        sha256=sha256,
        content=content,
    )
    do.record(bundled)
    claim = _claim(rollout, do)
    try:
        return do.aws.create_deployment(do.service, claim, f"{_anchor(rollout, do)} {action.why}", key, etag)
    except UnsureError:
        deployment = do.aws.find_deployment(do.service, claim, since=rollout.at)
        if deployment is None:
            raise
        return deployment


def _anchor(rollout: Rollout, do: Effects) -> str:
    """The hash of the checkpoint before and of what the rollout was decided from, kept by CodeDeploy for an auditor."""
    finished = do.s.stage(rollout.stage).finished  # None where this take found the rollout claimed already
    sha256 = finished.checkpoint if finished else ""
    if not sha256 and rollout.number > 1:
        before = do.store.checkpoint(do.service.name, rollout.stage, rollout.number - 1)
        sha256 = before.sha256 if before else ""
    return f"checkpoint={sha256 or 'none'} seen={do.seen}"


def _prepared(release: Release, rollout: Rollout, do: Effects) -> tuple[Bundle, dict[str, Any]] | GivenUp:
    """What the hosts are to get, or why the rollout ends before anything is deployed."""
    missing = do.aws.missing(do.service, rollout.digest)
    if missing:
        return _not_deployed(rollout, do.now(), *_image_missing(rollout, missing))
    bundle = _bundle(release, rollout, do)
    if bundle.refused:
        return _not_deployed(rollout, do.now(), *_bundle_refused(release, bundle))
    names = restored(release.pushed.settings).secrets or ()
    secrets = _secrets(names, rollout.stage, do) if names else {}
    not_set = unset(names, secrets, release.label, rollout.stage)
    if not_set:
        return _not_deployed(rollout, do.now(), *_secret_missing(rollout, not_set, {*names} - {*secrets}))
    return bundle, release_document(release, rollout, secrets, do)


def _secrets(names: tuple[str, ...], stage: str, do: Effects) -> dict[str, str]:
    """By variable, the parameters that hold the secrets that are set."""
    below = folder(do.context.settings.services_path, do.service.name)
    return chosen(names, do.aws.parameter_names(below), below, stage)


def _bundle(release: Release, rollout: Rollout, do: Effects) -> Bundle:
    """What the hosts are to get. A rollback's target ran before, so its bundle is not judged again."""
    commit = release.pushed.commit
    return of_commit(do.service, commit, do.aws, judged=rollout.kind == "deploy") if commit else default()


def _bundle_refused(release: Release, bundle: Bundle) -> tuple[str, str, str]:
    why = f"the bundle of {release.pushed.commit[:8]} is refused and nothing was deployed: {bundle.refused}"
    return why, "correct it and push", Cause.BUNDLE_REFUSED


def _image_missing(rollout: Rollout, how: str) -> tuple[str, str, str]:
    why = f"image {rollout.digest[:19]} of v{rollout.release} is {how} in the registry, so nothing was deployed"
    return why, instead_of(how), Cause.IMAGE_MISSING


def _secret_missing(rollout: Rollout, why: str, names: set[str]) -> tuple[str, str, str]:
    said = {"deploy": f"esteira retry v{rollout.release}", "rollback": "esteira rollback --reason …"}
    again = said.get(rollout.kind, "esteira redeploy --reason …")
    remedy = f"esteira secret set {min(names)} --stage {rollout.stage}, then: {again}"
    return f"{why}, so nothing was deployed", remedy, Cause.SECRET_MISSING


def _not_deployed(rollout: Rollout, now: datetime, why: str, remedy: str, cause: str) -> GivenUp:
    return GivenUp(
        at=now,
        release=rollout.release,
        what="deployment",
        number=rollout.number,
        stage=rollout.stage,
        attempt=rollout.attempt,
        why=why,
        remedy=remedy,
        cause=cause,
    )


def release_document(release: Release, rollout: Rollout, secrets: Mapping[str, str], do: Effects) -> dict[str, Any]:
    """What the host reads as ``release.json``; ``secrets`` are variables with the SSM parameter of each."""
    service = in_effect(do.service, restored(release.pushed.settings))
    return {
        "service": service.name,
        "release": release.label,
        "number": release.number,
        "commit": release.pushed.commit,
        "stage": rollout.stage,
        "image": f"{service.image_uri}@{rollout.digest}",
        "digest": rollout.digest,
        "port": service.port,
        "health_path": service.health_path,
        "startup_seconds": service.startup_seconds,
        "drain_seconds": service.drain_seconds,
        "validation_seconds": service.validation_seconds,
        "min_ready_seconds": service.min_ready_seconds,
        "max_body_mb": service.max_body_mb,
        "response_seconds": service.response_seconds,
        "memory_mb": service.memory_mb,
        "when_memory_is_short": service.when_memory_is_short,
        "capabilities": list(service.capabilities),
        "environment": service.environment,
        "parameters": {**service.parameters, **secrets},
    }


def content_hash(bundle: Bundle, document: dict[str, Any]) -> str:
    """The hash of everything the hosts get, except which release and commit it is."""
    kept = {name: value for name, value in document.items() if name not in ("release", "number", "commit")}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for path, file in sorted(bundle.files.items()):
        content = file.content
        digest.update(f"\0{path}\0{file.executable}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _running(rollout: Rollout, document: Mapping[str, Any], content: str, do: Effects) -> tuple[str, Bundled] | None:
    """The deployment that already runs this content on every host of the stage, with its bundle; or None.

    Only where a release is deployed onto a stage in order: a rollback or a restore always runs. SSM parameters may
    have changed behind their names, so a release that has some is deployed.
    """
    stage = do.s.stage(rollout.stage)
    live = do.s.release(stage.live)
    if rollout.kind != "deploy" or live is None or live.number == rollout.release or document["parameters"]:
        return None
    if stage.finished is None or not stage.finished.succeeded or stage.drift:
        return None
    last = live.on(stage).last
    bundled = last and live.one(Bundled, stage=rollout.stage, rollout=last.number)
    started = last.started if last and last.succeeded else None
    return (started.deployment, bundled) if started and bundled and bundled.content == content else None


def _started(rollout: Rollout, deployment: str, now: datetime, *, unchanged: bool = False) -> DeploymentStarted:
    return DeploymentStarted(
        at=now,
        release=rollout.release,
        stage=rollout.stage,
        rollout=rollout.number,
        attempt=rollout.attempt,
        deployment=deployment,
        digest=rollout.digest,
        unchanged=unchanged,
    )


def _claim(rollout: Rollout, do: Effects) -> RolloutClaim:
    return RolloutClaim(do.service.name, rollout.release, rollout.stage, rollout.number)


def find(action: FindDeployment, do: Effects) -> None:
    """Record whether a claimed deployment was ever created."""
    rollout = action.rollout
    deployment = do.aws.find_deployment(do.service, _claim(rollout, do), since=rollout.at)
    if deployment is not None:
        do.record(_started(rollout, deployment, do.now()))
        return
    take = Take("deploy", rollout.release, rollout.number, action.take, rollout.stage)
    do.declined(take, "it was never created")


def answer_alarm(action: AnswerAlarm, do: Effects) -> None:
    """Order the stage back as an operator would, in the name of the alarm or host; or record that there is nothing to
    go back to."""
    request = f"alarm-{action.stage}-{action.rollout:08d}"
    stage = do.s.stage(action.stage)
    order = back(do.service, stage, None, request=request, by=action.by, reason=action.why, context=do.context)
    if isinstance(order, RollbackWords):
        do.store.say(do.service.name, request, do.now(), order.words, order.reopen)
        return
    unanswered = GivenUp(
        at=do.now(),
        release=action.release,
        what="alarm",
        number=action.rollout,
        stage=action.stage,
        why=f"{action.why}; {order.why}",
    )
    do.record(unanswered)
