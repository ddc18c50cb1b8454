"""Looking at AWS itself, for the facts that a lost event would have carried.

The sweep does this on its schedule; events only make it quicker. What is looked at is bounded by what is under way,
and, for images, by the registry's lifecycle policy.
"""

from __future__ import annotations

from datetime import timedelta

from esteira.advance import gather
from esteira.config import Service
from esteira.desk import Decision, Desk
from esteira.events import observed_alarm, observed_build, observed_deployment, observed_image, observed_instance
from esteira.facts import (
    DeploymentFact,
    Fact,
    FoundBySweep,
    ImageArrived,
    ImageScanned,
    ReleaseFact,
    stamp,
    unstamp,
)
from esteira.situation import Situation, StageState

# An event may be a day late; an image older than that and than the newest image release is outdated anyway.
LATE = timedelta(days=1)
# An alarm that went off in the last moment is found by the next sweep: the slowest comes every quarter of an hour.
RINGING = timedelta(minutes=20)


def observe(service: Service, desk: Desk) -> None:
    """Record what AWS says about everything of ``service`` that is under way, and tell each fact that is new: no event
    had told it, which was lost, or is late, or on its way at this moment."""
    situation = gather(service, desk, look=False)
    deployments = (f for stage in situation.stages for f in _deployment(situation, stage, desk))
    alarms = (f for stage in situation.stages for f in _alarms(situation, stage, desk))
    for fact in (*_builds(situation, desk), *deployments, *alarms):
        if desk.store.record(service.name, fact):
            tell_found(service.name, _release_of(fact, situation), fact.name, desk)
    for image in _images(situation, desk):
        if desk.store.record_arrival(service.name, image):
            tell_found(service.name, "", image.name, desk)


def tell_found(service: str, release: str, kind: str, desk: Desk) -> None:
    """Tell that the sweep found a fact of that kind by itself, and count it."""
    number = int(release[1:]) if release else 0
    desk.store.record(service, FoundBySweep(at=desk.clock(), kind=kind, release=number))
    why = f"the sweep found it, no event had told it: {kind}"
    decision = Decision(service, release, "", "Find", why, fact=kind)
    with desk.follow(decision):
        desk.tell(decision)


def _release_of(fact: Fact, s: Situation) -> str:
    """Return the release that an observed fact is about: of a deployment it is the turn's, "" where none is."""
    if isinstance(fact, ReleaseFact):
        return f"v{fact.release}"
    for stage in s.stages:
        r = s.release(stage.turn.release) if stage.turn else None
        started = r.on(stage).deployment(stage.turn.number) if r and stage.turn else None
        if started and isinstance(fact, DeploymentFact) and fact.deployment == started.deployment:
            return f"v{started.release}"
    return ""


def _builds(s: Situation, desk: Desk) -> list[Fact]:
    running = [b.build for r in s.releases for b in r.running_builds]
    return [f for build in desk.cloud.builds(running) for f in observed_build(s.service, build, desk.clock())]


def _alarms(s: Situation, stage: StageState, desk: Desk) -> list[Fact]:
    """Return which of the stage's alarms are ringing, while somebody listens: a release is watched."""
    now = desk.clock()
    names = stage.alarms_heard(s.release(stage.live), now, RINGING)
    ringing = desk.cloud.alarms(names) if names else []
    return [f for alarm, at, reason in ringing for f in observed_alarm(alarm, at, reason, now)]


def _deployment(s: Situation, stage: StageState, desk: Desk) -> list[Fact]:
    turn = stage.turn
    release = s.release(turn.release) if turn and stage.busy else None
    release = release.on(stage) if release else None
    started = release.deployment(turn.number) if release and turn else None
    if release is None or started is None or release.ended(started.deployment):
        return []
    now, deployment = desk.clock(), started.deployment
    facts = list(observed_deployment(deployment, desk.cloud.deployment_status(deployment), now))
    for target in desk.cloud.targets(deployment):
        # The service also knows Pending, Unknown and Skipped, of which its events never speak.
        if target["status"] in ("InProgress", "Ready", "Succeeded", "Failed", "Stopped"):
            facts.extend(observed_instance(deployment, target["targetId"], target["status"], now))
    return facts


def _images(s: Situation, desk: Desk) -> list[ImageArrived]:
    """Return the images under accepted tags that may be news: of a repository never seen before, only the newest."""
    mark = s.newest.mark if s.newest else ""
    since = unstamp(mark) - LATE if mark else None
    arrived: list[ImageArrived] = []
    for image in desk.cloud.images(s.service):
        facts = observed_image(s.service, image, desk.clock())
        arrived.extend(f for f in facts if isinstance(f, ImageArrived) and (since is None or f.at >= since))
        for scan in (f for f in facts if isinstance(f, ImageScanned) and _current(s, f.digest)):
            desk.store.record(s.service.name, scan)
    arrived.sort(key=lambda a: (stamp(a.at), a.key))
    return arrived if since else arrived[-1:]


def _current(s: Situation, digest: str) -> bool:
    """Return whether the image belongs to a release that is under way or live: older scans were recorded before."""
    return any(r.digest == digest for r in s.releases)
