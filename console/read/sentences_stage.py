"""Sentences about deployments, rollouts and alarms. Pure."""

from __future__ import annotations

from console.read.sentences_record import minute
from esteira.core.facts import (
    AlarmRang,
    Bundled,
    DeploymentReported,
    DeploymentStarted,
    Deviated,
    Diagnosed,
    GivenUp,
    HostLaunched,
    HostLeft,
    HostObserved,
    HostsReplaced,
    Notified,
    Replaced,
    Rollout,
    RolloutFinished,
)
from esteira.fact import Fact
from esteira.trail import HostReported


def of_deployment(fact: Fact) -> str | None:
    match fact:
        case Bundled(stage=stage, rollout=rollout, name_in_bucket=name, sha256=digest):
            return f"the bundle {name} for rollout {rollout} on {stage} was written, {digest[:12]}"
        case DeploymentStarted(deployment=deployment, stage=stage, rollout=rollout, unchanged=True):
            return f"rollout {rollout} on {stage} needs no deployment: {deployment} already runs this image"
        case DeploymentStarted(deployment=deployment, stage=stage, rollout=rollout):
            return f"deployment {deployment} to {stage} was created (rollout {rollout})"
        case GivenUp(what="deployment", stage=stage, number=rollout, why=why):
            return f"rollout {rollout} on {stage} was given up: {why}"
        case DeploymentReported(deployment=deployment, status="InProgress"):
            return f"deployment {deployment} began"
        case DeploymentReported(deployment=deployment, status=status):
            return f"deployment {deployment} {'was stopped' if status == 'Stopped' else status.lower()}"
        case Diagnosed(deployment=deployment, failed=True, cause=cause):
            return f"deployment {deployment} went wrong: {cause}"
        case Diagnosed(deployment=deployment, answers=answers):
            return f"deployment {deployment}: {_answered(answers)}"
        case _:
            return _of_host(fact)


def _of_host(fact: Fact) -> str | None:
    match fact:
        case HostReported(deployment=deployment, host=host, status=status):
            return f"deployment {deployment} on host {host}: {status}"
        case HostObserved(host=host, stage=stage, release=release, sick="", digest=digest):
            return f"host {host} of {stage} reports that v{release} is well and runs {digest[:19]}"
        case HostObserved(host=host, stage=stage, release=release, since=since, why=why):
            return f"host {host} of {stage} reports that v{release} is sick since {minute(since)}: {why}"
        case HostsReplaced(by=by, stage=stage, host=host, reason=reason):
            return f"{by} had {f'host {host}' if host else 'every host'} of {stage} replaced: {reason}"
        case HostLeft(host=host, stage=stage):
            return f"host {host} is not in the Auto Scaling group of {stage} any more"
        case HostLaunched(host=host, stage=stage, deployment=deployment, why=""):
            return f"host {host}, new on {stage}, runs what is live: deployment {deployment}"
        case HostLaunched(host=host, stage=stage, deployment=deployment, why=why):
            return f"host {host}, new on {stage}, could not run what is live: deployment {deployment}: {why}"
        case Notified():
            return _notified(fact)
        case _:
            return None


def _notified(fact: Notified) -> str:
    phase, *named = fact.topic.split("#")
    if phase == "hold-ends-soon":
        return f"people are reminded on {fact.channel} that the hold on {fact.subject.partition('/')[2]} ends soon"
    stage = named[2] if len(named) > 2 else ""
    what = "it is on its way" if phase == "started" else f"it is {phase}{f' on {stage}' if stage else ''}"
    return f"told on {fact.channel}: {what}" if fact.told else f"not told on {fact.channel}, as old news: {what}"


def _answered(answers: tuple[str, ...]) -> str:
    hosts = "no host" if not answers else "its host" if len(answers) == 1 else f"its {len(answers)} hosts"
    return f"{hosts} had answered" + (f": {' | '.join(answers)}" if answers else " anything")


def of_stage(fact: Fact) -> str | None:
    match fact:
        case Rollout(number=number, stage=stage):
            return f"rollout {number} on {stage} {_what_it_does(fact)}"
        case Deviated(stage=stage, deployment=deployment, by=by, revision=""):
            return f"deployment {deployment} by {by} put the live release back on {stage}"
        case Deviated(stage=stage, deployment=deployment, by=by, revision=revision, failed=failed):
            where = f"some hosts of {stage}, and failed" if failed else stage
            return f"deployment {deployment} by {by}, not by esteira, put {revision} on {where}"
        case RolloutFinished(rollout=rollout, release=release, stage=stage, succeeded=True, note=note):
            return f"rollout {rollout} on {stage} is finished: v{release} is live{f'; {note}' if note else ''}"
        case RolloutFinished(rollout=rollout, release=release, stage=stage):
            return f"rollout {rollout} on {stage} is finished: v{release} did not come to life"
        case Replaced(by=by, stage=stage, ordered_by="", reason=_):
            return f"v{by} replaced it on {stage}"
        case Replaced(by=to, stage=stage, ordered_by=by, reason=reason):
            return f"{by} rolled {stage} back to v{to}: {reason}"
        case _:
            return None


def _what_it_does(rollout: Rollout) -> str:
    match rollout:
        case Rollout(release=release, kind="restore"):
            return f"puts v{release} back on every host, since some ran something else"
        case Rollout(release=release, kind="redeploy"):
            return f"deploys v{release} again, as was ordered"
        case Rollout(release=release, live=live, kind="rollback"):
            return f"goes to v{release}, to roll back from {_label(live)}"
        case Rollout(release=release, live=live):
            return f"goes to v{release}, after {_label(live)}"


def of_alarm(fact: Fact) -> str | None:
    match fact:
        case AlarmRang(alarm=alarm, since=since, reason=reason):
            return f"alarm {alarm} rang at {minute(since)}" + (f": {_one_line(reason)}" if reason else "")
        case GivenUp(what="alarm", stage=stage, why=why):
            return f"it was not well while it was watched on {stage}, and nothing could be done: {why}"
        case _:
            return None


def _label(number: int) -> str:
    return f"v{number}" if number else "nothing"


def _one_line(text: str) -> str:
    return " ".join(text.split())
