"""Carrying out a plan: each family of actions has a file of its own. What came of an action is recorded as a fact."""

from __future__ import annotations

from esteira.context import Context
from esteira.core.actions import (
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
from esteira.core.state import Snapshot
from esteira.perform import births, build, finish, report, rollout
from esteira.perform.effects import Effects


def perform(action: Action, s: Snapshot, context: Context) -> bool | None:  # noqa: C901 - one flat match
    """Carry out one action.

    False: a newer release came in between, so look at the branch again. Raises DeclinedError for a refusal that is
    recorded, and any other error for what a retry may heal.
    """
    do = Effects(s, context)
    match action:
        case OpenCommit():
            return births.open_commit(action, do)
        case OpenImage():
            return births.open_image(action, do)
        case StartBuild():
            build.start(action, do)
        case FindBuild():
            build.find(action, do)
        case StopBuild():
            build.stop(action, do)
        case AcceptImage():
            build.accept(action, do)
        case StartDeployment():
            rollout.start(action, do)
        case FindDeployment():
            rollout.find(action, do)
        case StopDeployment():
            rollout.stop(action, do)
        case Diagnose():
            finish.diagnose(action, do)
        case Finish():
            finish.finish(action, do)
        case AnswerAlarm():
            rollout.answer_alarm(action, do)
        case Remind():
            report.remind(action, do)
        case Record():
            do.record(action.fact)
        case Project():
            report.project(action, do)
        case Close():
            context.store.close(s.service.name, action.release, do.release(action.release).attempt)
        case _:
            raise TypeError(f"no way to perform {action}")
    return None
