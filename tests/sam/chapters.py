"""The files of events/ in the orders in which they can come: each chapter begins in an empty world."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from console.local.aws.functions import Functions, from_specs, set_environment
from console.local.paths import ROOT
from console.local.replay import routes
from console.local.stages import Rules, give_stages
from esteira import aws, bootstrap
from tests.sam.world import template, timeless, variables, world

BUILT = ("codecommit_created", "codebuild_in_progress", "codebuild_succeeded")
LIVE = (*BUILT, "codedeploy_success")
NOT_OURS = (
    "codecommit_other_branch",
    "codecommit_tag_created",
    "codecommit_other_repository",
    "codebuild_foreign",
    "ecr_push_untagged",
    "ecr_push_chart",
    "ecr_push_failed",
    "ecr_delete",
)
ON_ONE_STAGE: dict[str, tuple[str, ...]] = {
    "a push goes live, then the next": (
        "codecommit_created",
        "codebuild_in_progress",
        "codebuild_phase_change",
        "ecr_push_git_tag",
        "codebuild_succeeded",
        "ecr_push_own_tag",
        "ecr_scan_clean",
        "codedeploy_start",
        "codedeploy_instance_start",
        "codedeploy_ready",
        "codedeploy_instance_success",
        "codedeploy_success",
        "release_phase_changed",
        "cloudwatch_alarm",
        "schedule",
        *NOT_OURS,
        "codecommit_updated",
        "codecommit_deleted",
    ),
    "the build fails, and is tried again": (*BUILT[:2], "codebuild_failed", "operate_retry"),
    "the build is stopped": (*BUILT[:2], "codebuild_stopped"),
    "the build takes too long": (*BUILT[:2], "codebuild_timed_out", "schedule"),
    "the deployment fails": (*BUILT, "codedeploy_start", "codedeploy_instance_failure", "codedeploy_failure"),
    "the deployment is stopped": (*BUILT, "codedeploy_start", "codedeploy_stop"),
    "the scan finds something": (*BUILT, "ecr_scan_complete"),
    "Inspector finds something": (*BUILT, "inspector2_scan"),
    "the scan fails": (*BUILT, "ecr_scan_failed"),
    "a host reports on itself": (*LIVE, "host_report"),
    "a registration changes": ("ssm_parameter_change",),
    "an image comes from elsewhere": ("ecr_push_release_tag",),
    "an operator holds, resumes, calls off": (
        "operate_hold",
        "hold_ends_soon",
        "codecommit_created",
        "operate_resume",
        "operate_abort",
    ),
    "an operator goes back": (
        *LIVE,
        "codecommit_merge",
        "codebuild_succeeded",
        "codedeploy_success",
        "operate_rollback",
        "codedeploy_success",
        "operate_quarantine",
    ),
}
# In these the service has a staging before its production, which wants an approval.
STAGES: list[Rules] = [{"name": "staging"}, {"name": "production", "approvals": {"votes": 1}}]
ON_TWO_STAGES: dict[str, tuple[str, ...]] = {
    "an operator approves": (*LIVE, "operate_approve", "codedeploy_success"),
    "an operator says no": (*LIVE, "operate_reject"),
    "an operator bypasses the rules": (*LIVE, "operate_bypass", "codedeploy_success"),
    "an operator promotes what was superseded": (
        *LIVE,
        "codecommit_merge",
        "codebuild_succeeded",
        "codedeploy_success",
        "operate_promote",
    ),
}
CHAPTERS = ON_ONE_STAGE | ON_TWO_STAGES
STEPS = [(chapter, number) for chapter, files in CHAPTERS.items() for number in range(len(files))]
Invoke = Callable[[str, Any], Any]  # a function's name and an event → what it answered
TARGETS = routes("esteira")


@dataclass(frozen=True)
class Told:
    """What came of one event: each woken function's answer, and the state of the world after."""

    event: str
    answers: tuple[str, ...]
    state: str


def name_of(step: tuple[str, int]) -> str:
    """What a step is called in a test's name."""
    return f"{step[0]}: {step[1] + 1} {CHAPTERS[step[0]][step[1]]}"


def play(invoke: Invoke, folder: Path, port: int, at: datetime) -> dict[tuple[str, int], Told]:
    """Play every chapter in a world of its own on ``port``, and return what came of each step."""
    told: dict[tuple[str, int], Told] = {}
    for place, chapter in enumerate(CHAPTERS):
        for number, came in enumerate(play_one(chapter, invoke, folder / str(place), port, at)):
            told[chapter, number] = came
    return told


def play_one(chapter: str, invoke: Invoke, folder: Path, port: int, at: datetime) -> Iterator[Told]:
    """What came of each step of one chapter."""
    with world(folder, at, port) as here:
        if chapter in ON_TWO_STAGES:
            give_stages(here.client, template().functions[0].environment["ESTEIRA_SERVICES_PATH"], STAGES)
        for event in CHAPTERS[chapter]:
            here.before(event)
            document = here.addressed(event)
            answers = tuple(plain(invoke(function, document)) for function in TARGETS(document))
            yield Told(event, answers, here.state())


@contextmanager
def handlers(port: int) -> Iterator[Functions]:
    """The functions in this process, set up for whatever AWS is at 127.0.0.1:``port``."""
    declared = {f.name: dict(f.environment) for f in template().functions}
    with mock.patch.dict(os.environ):
        set_environment(declared, **variables(f"http://127.0.0.1:{port}"))
        _forget()
        try:
            yield from_specs(template().functions, ROOT)
        finally:
            _forget()


def _forget() -> None:
    aws.client.cache_clear()
    bootstrap.from_environment.cache_clear()


def plain(answer: Any) -> str:
    """An answer as text that two runs can be compared by; of an error, what it is and says."""
    if isinstance(answer, dict) and "errorType" in answer:
        answer = {name: answer[name] for name in ("errorType", "errorMessage")}
    return timeless(repr(answer))


def beginning() -> datetime:
    """When a world begins: now, to the second, for the functions read the true time."""
    return datetime.now(UTC).replace(microsecond=0)
