"""Sentences about deployments, rollouts and alarms. Pure."""

from __future__ import annotations

from console.read.sentences_record import minute
from esteira.core.facts import (
    AlarmRang,
    AlarmUnanswered,
    Announced,
    Bundled,
    DeploymentBegun,
    DeploymentEnded,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    HostsAnswered,
    InstanceReported,
    Replaced,
    RolledBack,
    Rollout,
    RolloutFinished,
)
from esteira.fact import Fact


def of_deployment(fact: Fact) -> str | None:
    match fact:
        case Bundled(stage=stage, rollout=rollout, name_in_bucket=name, sha256=digest):
            return f"the bundle {name} for rollout {rollout} on {stage} was written, {digest[:12]}"
        case HostsAnswered(deployment=deployment, answers=answers):
            return f"of deployment {deployment} {_answered(answers)}"
        case DeploymentStarted(deployment=deployment, stage=stage, rollout=rollout):
            return f"deployment {deployment} to {stage} was created (rollout {rollout})"
        case DeploymentGivenUp(stage=stage, rollout=rollout, why=why):
            return f"rollout {rollout} on {stage} was given up: {why}"
        case DeploymentBegun(deployment=deployment):
            return f"deployment {deployment} began"
        case DeploymentEnded(deployment=deployment, status=status):
            return f"deployment {deployment} {'was stopped' if status == 'Stopped' else status.lower()}"
        case Diagnosed(deployment=deployment, cause=cause):
            return f"deployment {deployment} went wrong: {cause}"
        case InstanceReported(deployment=deployment, instance=instance, status=status):
            return f"deployment {deployment} on host {instance.rpartition('/')[2]}: {status}"
        case Announced(phase=phase, channel=channel, stage=stage, told=told):
            what = "on its way" if phase == "started" else f"{phase}{f' on {stage}' if stage else ''}"
            return f"that it is {what} " + (f"was told on {channel}" if told else "was old news, and not told")
        case _:
            return None


def _answered(answers: tuple[str, ...]) -> str:
    hosts = "no host" if not answers else "its host" if len(answers) == 1 else f"its {len(answers)} hosts"
    return f"{hosts} had answered" + (f": {' | '.join(answers)}" if answers else " anything")


def of_stage(fact: Fact) -> str | None:
    match fact:
        case Rollout(number=number, release=release, stage=stage, kind="restore"):
            return (
                f"rollout {number} on {stage} puts v{release} back on every host, since another release failed on some"
            )
        case Rollout(number=number, release=release, stage=stage, kind="rollback"):
            return f"rollout {number} on {stage} goes to v{release}, to roll back from {_label(fact.live)}"
        case Rollout(number=number, release=release, stage=stage):
            return f"rollout {number} on {stage} goes to v{release}, after {_label(fact.live)}"
        case RolloutFinished(rollout=rollout, release=release, stage=stage, succeeded=True):
            return f"rollout {rollout} on {stage} is finished: v{release} is live"
        case RolloutFinished(rollout=rollout, release=release, stage=stage):
            return f"rollout {rollout} on {stage} is finished: v{release} did not come to life"
        case Replaced(by=by, stage=stage):
            return f"v{by} took its place on {stage}"
        case RolledBack(by=by, to=to, stage=stage, reason=reason):
            return f"{by} rolled {stage} back to v{to}: {reason}"
        case _:
            return None


def of_alarm(fact: Fact) -> str | None:
    match fact:
        case AlarmRang(alarm=alarm, since=since, reason=reason):
            return f"alarm {alarm} went off at {minute(since)}" + (f": {_one_line(reason)}" if reason else "")
        case AlarmUnanswered(alarm=alarm, stage=stage, why=why):
            return f"alarm {alarm} went off while it was watched on {stage}, in vain: {why}"
        case _:
            return None


def _label(number: int) -> str:
    return f"v{number}" if number else "nothing"


def _one_line(text: str) -> str:
    return " ".join(text.split())
