"""What the controller says: the listed status, the event of a change, a reminder of a hold, a request to stop."""

from __future__ import annotations

from esteira.core.actions import Close, Project, Record, Remind, StopBuild, StopDeployment
from esteira.core.facts import Notified, StopAsked, about_stage
from esteira.fact import stamp
from esteira.perform.effects import Effects


def record(action: Record, do: Effects) -> None:
    """Record a fact that the plan itself concluded."""
    do.record(action.fact)


def project(action: Project, do: Effects) -> None:
    """Write the status for listings; before that, put an event on the bus if the status is news."""
    release, status = do.release(action.release), action.status
    stage = status.stage or do.s.first.name
    rollout = release.on(do.s.stage(stage)).last_rollout
    if action.news:
        do.aws.emit(
            {
                "service": do.service.name,
                "stage": stage,
                "release": release.label,
                "number": release.number,
                "attempt": release.attempt,
                "rollout": rollout,
                "phase": status.phase.value,
                "before": action.before,
                "summary": status.summary[:2000],
                "detail": [line[:300] for line in status.detail[:20]],
                "next": status.next,
                "cause": status.cause,
                "stages": {name: there.phase.value for name, there in action.stages.items()},
                "commit": release.pushed.commit,
                "tag": release.pushed.tag,
                "digest": release.digest,
            }
        )
    do.store.project(do.service.name, release, status, action.stages, do.now(), rollout)


def stop(action: StopBuild | StopDeployment, do: Effects) -> None:
    """Ask AWS to stop a build or a deployment, and record that it was asked."""
    if isinstance(action, StopBuild):
        thing = action.build
        do.aws.stop_build(thing)
    else:
        thing = action.deployment
        do.aws.stop_deployment(thing)
    do.record(StopAsked(at=do.now(), release=action.release, thing=thing))


def close(action: Close, do: Effects) -> None:
    """Read the release no more, unless it was reopened for another attempt meanwhile."""
    do.store.close(do.service.name, action.release, do.release(action.release).attempt)


def remind(action: Remind, do: Effects) -> None:
    """Put the reminder on the bus, then record that it was; ``announce`` tells it once, however often it hears it."""
    hold = action.hold
    until = stamp(hold.until) if hold.until else ""
    do.aws.emit(
        {
            "service": do.service.name,
            "stage": hold.stage,
            "by": hold.by,
            "reason": hold.reason,
            "since": stamp(hold.at),
            "until": until,
        },
        "Hold Ends Soon",
    )
    topic = f"hold-ends-soon#{stamp(hold.at)}"
    do.record(Notified(at=do.now(), subject=about_stage(hold.stage), topic=topic, channel="event"))
