"""Looking at AWS itself, for the facts that a lost event would have carried.

The sweep does this on its schedule; events only make it quicker. What is looked at is bounded by what is under way,
and, for images, by the registry's lifecycle policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aws_events import (
    observed_alarm,
    observed_build,
    observed_deployment,
    observed_image,
    observed_instance,
    observed_scan,
)
from esteira.claims import RolloutClaim, rollout_claim
from esteira.config import Service
from esteira.context import Context, Decision
from esteira.core.facts import (
    Bundled,
    DeploymentFact,
    Deviated,
    HostLaunched,
    ImageArrived,
    ImageMissed,
    ReleaseFact,
    about_release,
)
from esteira.core.state import Deployed, Snapshot, StageState
from esteira.fact import Fact, stamp, unstamp
from esteira.ingest import explained
from esteira.snapshot import snapshot
from esteira.targets.autoscaling import LAUNCHED
from esteira.trail import FoundBySweep, ImageScanned

# An event may be a day late; an image older than that and than the newest image release is outdated anyway.
LATE = timedelta(days=1)
# An alarm that went off in the last moment is found by the next sweep: the slowest comes every quarter of an hour.
RINGING = timedelta(minutes=20)


def observe(service: Service, context: Context) -> Snapshot:
    """Record what AWS says about everything of ``service`` that is under way, and tell each fact that is new: no event
    had told it, which was lost, or is late, or on its way at this moment. The snapshot from before is returned."""
    s = snapshot(context.store, service, context.clock())
    deployments = (f for stage in s.stages for f in _deployment(s, stage, context))
    alarms = (f for stage in s.stages for f in _alarms(s, stage, context))
    for fact in (*_builds(s, context), *deployments, *alarms):
        if context.store.record(service.name, explained(fact, context)):
            tell_found(service.name, _release_of(fact, s), fact.name, context)
    for stage in s.stages:
        if seen := _by_others(s, stage, context):
            context.store.record(service.name, seen)
    images = list(context.aws.images(service))
    for found in (*_missed(s, images, context), *_scans(s, images, context)):
        context.store.record(service.name, found)
    for image in _images(s, images, context):
        if context.store.record_arrival(service.name, image):
            tell_found(service.name, "", image.name, context)
    return s


def tell_found(service: str, release: str, kind: str, context: Context) -> None:
    """Tell that the sweep found a fact of that kind by itself, and count it."""
    number = int(release[1:]) if release else 0
    context.store.record(service, FoundBySweep(at=context.clock(), kind=kind, release=number))
    why = f"the sweep found it, no event had told it: {kind}"
    decision = Decision(service, release, "", "Find", why, fact=kind)
    with context.follow(decision):
        context.tell(decision)


def _release_of(fact: Fact, s: Snapshot) -> str:
    """The release that an observed fact is about: of a deployment it is the rollout's, "" where none is."""
    if isinstance(fact, ReleaseFact):
        return f"v{fact.release}"
    for stage in s.stages:
        started = _latest(s, stage).started
        if started and isinstance(fact, DeploymentFact) and fact.deployment == started.deployment:
            return f"v{started.release}"
    return ""


def _builds(s: Snapshot, context: Context) -> list[Fact]:
    running = [b.build for r in s.releases for b in r.running_builds]
    return [f for build in context.aws.builds(running) for f in observed_build(s.service, build, context.clock())]


def _alarms(s: Snapshot, stage: StageState, context: Context) -> list[Fact]:
    """Which of the stage's alarms are ringing, while somebody listens: a release is watched."""
    now = context.clock()
    names = stage.alarms_heard(s.release(stage.live), now, RINGING)
    ringing = context.aws.alarms(names) if names else []
    return [f for alarm, at, reason in ringing for f in observed_alarm(alarm, at, reason, now)]


def _latest(s: Snapshot, stage: StageState) -> Deployed:
    """The stage's latest rollout, with its deployment."""
    rollout = stage.rollout
    release = s.release(rollout.release) if rollout else None
    last = release.on(stage).last if release else None
    return last if last and rollout and last.number == rollout.number else Deployed(stage.name, 0, 0)


def _deployment(s: Snapshot, stage: StageState, context: Context) -> list[Fact]:
    latest = _latest(s, stage)
    if not stage.busy or latest.started is None or latest.ended:
        return []
    now, deployment = context.clock(), latest.started.deployment
    facts = list(observed_deployment(deployment, context.aws.deployment_status(deployment), now))
    for target in context.aws.targets(deployment):
        # The service also knows Pending, Unknown and Skipped, of which its events never speak.
        if target["status"] in ("InProgress", "Ready", "Succeeded", "Failed", "Stopped"):
            facts.extend(observed_instance(deployment, target["targetId"], target["status"], now))
    return facts


def _by_others(s: Snapshot, stage: StageState, context: Context) -> Deviated | HostLaunched | None:
    """The deployment that took the place of the live release's on the stage's hosts, or on some of them, where esteira
    did not make it; also the one that put the live release back, or brought it to a new host of an Auto Scaling group.
    None while all is as it was known."""
    live = s.release(stage.live)
    served = live.on(stage).served if live else None
    if live is None or served is None or stage.busy:
        return None
    last, failed = context.aws.last_deployments(s.service, stage.name)
    bundled = live.one(Bundled, stage=stage.name, rollout=served.rollout)
    own = f"{s.service.bundles}/{bundled.name_in_bucket}" if bundled else ""
    for deployment in (failed, last):
        if stage.launch and deployment == stage.launch.deployment:
            continue
        if deployment and deployment in (served.deployment, stage.deviated.deployment if stage.deviated else ""):
            return None
        info = context.aws.deployment(deployment) if deployment else None
        if info is None or _is_ours(s, stage, info, context):
            continue
        again, said = _revision(info) == own, _deviated(stage, info)
        # What a host got that came during a rollout is put right by CodeDeploy's own update of it.
        updated = stage.drift is not None and stage.drift.by in LAUNCHED
        if info.get("creator") in LAUNCHED and (again or deployment == failed) and not updated:
            return _launched(stage, info, context)  # one that failed went with its host
        if deployment == failed and not again and context.aws.changed(deployment):
            return replace(said, at=context.clock(), failed=True)
        if deployment == last and (stage.drift or not again):
            return replace(said, at=context.clock(), revision="" if again else said.revision)
    return None


def _launched(stage: StageState, info: Mapping[str, Any], context: Context) -> HostLaunched:
    deployment, failed = info["deploymentId"], info["status"] != "Succeeded"
    cause = context.aws.hosts(deployment).cause or context.aws.error(deployment) if failed else ""
    host = next((str(target["targetId"]) for target in context.aws.targets(deployment)), "")
    said = HostLaunched(at=context.clock(), stage=stage.name, deployment=deployment, ended=info["completeTime"])
    return replace(said, host=host, why=cause)


def _deviated(stage: StageState, info: Mapping[str, Any]) -> Deviated:
    ended = info.get("completeTime", info["createTime"])
    by = info.get("creator", "somebody")
    return Deviated(
        at=ended, stage=stage.name, deployment=info["deploymentId"], ended=ended, revision=_revision(info), by=by
    )


def _is_ours(s: Snapshot, stage: StageState, info: Mapping[str, Any], context: Context) -> bool:
    """Whether it is the deployment of one of the stage's rollouts, and no copy of it that was made later."""
    rollout, finished, claim = stage.rollout, stage.finished, rollout_claim(info.get("description", ""))
    if rollout is None or finished is None or claim is None or claim.service != s.service.name:
        return False
    if claim == RolloutClaim(s.service.name, rollout.release, stage.name, rollout.number):
        return bool(info["createTime"] <= finished.at)
    begun = f"deployment-started#{stage.name}#{claim.rollout:08d}#{info['deploymentId']}"
    return bool(context.store.facts(s.service.name, about_release(claim.release), begun))


def _revision(info: Mapping[str, Any]) -> str:
    """What a deployment deployed, in a word."""
    revision = info.get("revision", {})
    place = revision.get("s3Location")
    return f"{place.get('bucket')}/{place.get('key')}" if place else str(revision.get("revisionType", "something else"))


def _images(s: Snapshot, images: Iterable[Mapping[str, Any]], context: Context) -> list[ImageArrived]:
    """The images under accepted tags that may be news: of a repository never seen before, only the newest."""
    mark = s.newest.mark if s.newest else ""
    since = unstamp(mark) - LATE if mark else None
    arrived: list[ImageArrived] = []
    for image in images:
        facts = observed_image(s.service, image, context.clock())
        arrived.extend(f for f in facts if since is None or f.at >= since)
    arrived.sort(key=lambda a: (stamp(a.at), a.key))
    return arrived if since else arrived[-1:]


def _scans(s: Snapshot, images: Iterable[Mapping[str, Any]], context: Context) -> Iterator[ImageScanned]:
    """The scans that no event told of. Asked for an image that was pushed within a day, while its release is under way
    or live; a registry may not scan at all."""
    now, current = context.clock(), {digest for release in s.releases for digest in release.images}
    for image in images:
        digest, pushed = image["imageDigest"], image.get("imagePushedAt", now)
        if digest not in current or pushed < now - LATE:
            continue
        if not context.store.facts(s.service.name, f"image/{digest}", "scanned#"):
            scan = observed_scan(digest, context.aws.scan_findings(s.service, digest), now)
            yield from [scan] if scan else []


def _missed(s: Snapshot, images: Iterable[Mapping[str, Any]], context: Context) -> list[ImageMissed]:
    """The live releases whose image cannot be pulled any more, or can be again.

    The list may have been read while the image came or went, so ECR is asked about the image itself.
    """
    there = {image["imageDigest"] for image in images}
    missed: list[ImageMissed] = []
    for stage in s.stages:
        live = s.release(stage.live)
        digest = live.on(stage).served_digest if live else ""
        if live is None or not digest or (digest in there) is (live.missed(digest) is None):
            continue
        how, before = context.aws.missing(s.service, digest), live.missed(digest)
        if how != (before.how if before else ""):
            missed.append(ImageMissed(at=context.clock(), release=live.number, digest=digest, how=how))
    return missed
