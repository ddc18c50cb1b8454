"""Carrying out a plan: each family of actions has a file of its own. What came of an action is recorded as a fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from esteira.context import Context
from esteira.core import actions
from esteira.core.state import Snapshot
from esteira.perform import births, build, findings, finish, report, rollout
from esteira.perform.effects import Effects

_PERFORMERS: Mapping[type[actions.Action], Callable[[Any, Effects], bool | None]] = {
    actions.OpenCommit: births.open_commit,
    actions.OpenImage: births.open_image,
    actions.StartBuild: build.start,
    actions.FindBuild: build.find,
    actions.AcceptImage: build.accept,
    actions.ReadFindings: findings.read,
    actions.StopBuild: report.stop,
    actions.StopDeployment: report.stop,
    actions.StartDeployment: rollout.start,
    actions.FindDeployment: rollout.find,
    actions.AnswerAlarm: rollout.answer_alarm,
    actions.Diagnose: finish.diagnose,
    actions.Finish: finish.finish,
    actions.Remind: report.remind,
    actions.Record: report.record,
    actions.Project: report.project,
    actions.Close: report.close,
}


def perform(action: actions.Action, s: Snapshot, context: Context, seen: str) -> bool | None:
    """Carry out one action. False: a newer release came in between, so look at the branch again.

    Raises DeclinedError for a refusal that is recorded, and any other error for what a retry may heal.
    """
    return _PERFORMERS[type(action)](action, Effects(s, context, seen))
