"""What the controller can do: each action a frozen value that a plan holds and ``perform`` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import dataclass_transform

from esteira.core.facts import Held, ImageArrived, Rollout
from esteira.core.status import Phase, Status
from esteira.fact import Fact


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Action:
    """Base of all actions, each a frozen dataclass. ``release`` is the release's number, ``why`` a sentence."""

    release: int
    why: str

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


class OpenCommit(Action):
    """Make a release of the branch's tip."""

    commit: str


class OpenImage(Action):
    """Make a release of an image pushed from elsewhere. ``late``: it has been looked for in vain for long enough."""

    image: ImageArrived
    late: bool


class StartBuild(Action):
    """Get the release its image: take the one that exists, find the build a lost call started, or start one."""

    attempt: int
    take: int


class FindBuild(Action):
    """Find out whether a claimed build was ever started, for a release that no longer wants one."""

    attempt: int
    take: int


class StopBuild(Action):
    """Ask CodeBuild to stop a build nobody needs any more."""

    build: str


class AcceptImage(Action):
    """Find the image the build pushed and put the controller's tag on it."""

    attempt: int


class ReadFindings(Action):
    """Read what was found in the attempt's image."""

    attempt: int


class StartDeployment(Action):
    """Claim ``rollout`` (take 1) or take it over (take > 1), and create its deployment unless it exists already."""

    rollout: Rollout
    take: int


class FindDeployment(Action):
    """Find out whether a claimed deployment was ever created, for a rollout that no longer wants one."""

    rollout: Rollout
    take: int


class StopDeployment(Action):
    """Ask CodeDeploy to stop a deployment."""

    deployment: str


class Diagnose(Action):
    """Read why a deployment failed."""

    deployment: str


class Finish(Action):
    """End a rollout: move the stage's tags (not if that was tried for too long), tell the releases, free the stage.

    One that succeeded is finished only if every host has it. ``cause`` is recorded as the failure where none was.
    """

    rollout: Rollout
    succeeded: bool
    take: int
    tags: bool
    mixed: bool = False
    cause: str = ""


class AnswerAlarm(Action):
    """Take the stage back from the release that an alarm rang for, or that a host calls sick, and quarantine it, as if
    ``by``, the alarm or the host, had ordered it."""

    stage: str
    rollout: int
    by: str


class Remind(Action):
    """Remind people of a hold that is soon over."""

    hold: Held


class Record(Action):
    """Record a fact that the controller itself concluded."""

    fact: Fact


class Project(Action):
    """Write a release's status, in all and by stage, where listings find it; tell the world when it is ``news``.

    ``before`` is the phase it had. ``seconds_to_live`` counts from the push or the retry to the first time it is live
    on the last stage.
    """

    status: Status
    stages: Mapping[str, Status]
    before: str
    news: bool
    seconds_to_live: float | None = None

    @property
    def phase(self) -> Phase:
        return self.status.phase


class Close(Action):
    """The release is over and nothing of it runs: read it no more."""
