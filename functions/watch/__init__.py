"""What hosts report of themselves: which reports are believed, and which watchers are silent.

Whoever may put events into the account may send a report, so it must fit what is known: the release is live on that
stage or on its way there, and CodeDeploy deployed it to that host. Within that it is a hint that a release is sick.
"""

from __future__ import annotations

from datetime import timedelta

from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Bundled, HostLeft, HostObserved
from esteira.core.state import Snapshot, StageState
from esteira.telemetry import logger

# A watcher reports at least every five minutes; three reports in a row may be lost or late.
SILENT = timedelta(minutes=16)


def hear(service: Service, said: HostObserved, context: Context) -> str:
    """Record a host's report. "" where it is news, else why nothing is decided from it."""
    store = context.store
    stage = next(s for s in store.stages(service) if s.name == said.stage)
    under_way = stage.rollout.release if stage.rollout and stage.busy else 0
    if said.release not in (stage.live, under_way):
        return f"host {said.host} reports v{said.release}, which is not live on {said.stage}"
    before = next((h for h in stage.hosts if h.host == said.host), None)
    known = before is not None and before.release == said.release
    if not known and not _deployed_to(service, stage, said, context):
        return f"no deployment of v{said.release} to {said.stage} has a host {said.host}"
    store.beat(service.name, said, context.clock())
    if before == said or not store.record(service.name, said):
        return f"host {said.host} reports what it reported before"
    return ""


def _deployed_to(service: Service, stage: StageState, said: HostObserved, context: Context) -> bool:
    """Whether CodeDeploy deployed the release to that host: by its last rollout, or when the host was launched."""
    release = context.store.release(service.name, said.release)
    last = release.on(stage).last if release else None
    if release is None or last is None or last.started is None:
        return False
    if said.host in _hosts(last.started.deployment, context):
        return True
    bundled = release.one(Bundled, stage=stage.name, rollout=last.number)
    if not said.deployment or bundled is None or stage.rules is None:
        return False
    try:
        info = context.aws.deployment(said.deployment)
    except Exception:  # noqa: BLE001 - of no deployment, or of others: the report names it, and comes again
        return False
    key = info.get("revision", {}).get("s3Location", {}).get("key")
    told = (info.get("applicationName"), info.get("deploymentGroupName"), key)
    wanted = (service.application, stage.rules.group, bundled.name_in_bucket)
    return told == wanted and said.host in _hosts(said.deployment, context)


def _hosts(deployment: str, context: Context) -> list[str]:
    return [target["targetId"] for target in context.aws.targets(deployment)]


def tell_silent(s: Snapshot, context: Context) -> None:
    """Write to the log which hosts of a live release do not report on themselves any more; forget those that their
    Auto Scaling group has ended."""
    service, now = s.service, context.clock()
    live = {(stage.name, stage.live) for stage in s.stages}
    for beat in (beat for beat in s.beats if now - beat.at > SILENT):
        group = context.aws.group_of(service, beat.stage)
        there = context.aws.group_hosts(group) if group else {}
        if there and beat.host not in there:
            context.store.record(service.name, HostLeft(at=now, stage=beat.stage, host=beat.host, since=now))
            context.store.forget_beat(beat, service.name)
        elif (beat.stage, beat.release) in live:
            logger.warning("a host does not report any more", service=service.name, stage=beat.stage, host=beat.host)
