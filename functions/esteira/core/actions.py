"""What the controller can do: each action a frozen value that a plan holds and ``perform`` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from esteira.core.facts import Held, ImageArrived, Rollout
from esteira.core.status import Phase, Status
from esteira.fact import Fact


@dataclass(frozen=True)
class Action:
    """Base of all actions. ``release`` is the number of the release it is for, ``why`` the reason in a sentence."""

    release: int
    why: str


@dataclass(frozen=True)
class OpenCommit(Action):
    """Make a release of the branch's tip."""

    commit: str


@dataclass(frozen=True)
class OpenImage(Action):
    """Make a release of an image pushed from elsewhere. ``late``: it has been looked for in vain for long enough."""

    image: ImageArrived
    late: bool


@dataclass(frozen=True)
class StartBuild(Action):
    """Get the release its image: take the one that exists, find the build a lost call started, or start one."""

    attempt: int
    take: int


@dataclass(frozen=True)
class FindBuild(Action):
    """Find out whether a claimed build was ever started, for a release that no longer wants one."""

    attempt: int
    take: int


@dataclass(frozen=True)
class StopBuild(Action):
    """Ask CodeBuild to stop a build nobody needs any more."""

    build: str


@dataclass(frozen=True)
class AcceptImage(Action):
    """Find the image the build pushed and put the controller's tag on it."""

    attempt: int


@dataclass(frozen=True)
class StartDeployment(Action):
    """Claim ``rollout`` (take 1) or take it over (take > 1), and create its deployment unless it exists already."""

    rollout: Rollout
    take: int


@dataclass(frozen=True)
class FindDeployment(Action):
    """Find out whether a claimed deployment was ever created, for a rollout that no longer wants one."""

    rollout: Rollout
    take: int


@dataclass(frozen=True)
class StopDeployment(Action):
    """Ask CodeDeploy to stop a deployment."""

    deployment: str


@dataclass(frozen=True)
class Diagnose(Action):
    """Read why a deployment failed."""

    deployment: str


@dataclass(frozen=True)
class Finish(Action):
    """End a rollout: move the stage's tags (unless that was tried for too long), tell the releases, free the stage.

    One that succeeded is finished only if every host has it; otherwise what is wrong is recorded and nothing finished.
    ``cause`` is recorded as the failure where that could not be done before.
    """

    rollout: Rollout
    succeeded: bool
    take: int
    tags: bool
    mixed: bool = False
    cause: str = ""


@dataclass(frozen=True)
class AnswerAlarm(Action):
    """Take the stage back from the release an alarm rang for, and quarantine it, as if somebody had ordered it."""

    stage: str
    rollout: int
    alarm: str


@dataclass(frozen=True)
class Remind(Action):
    """Remind people of a hold that is soon over."""

    hold: Held


@dataclass(frozen=True)
class Record(Action):
    """Record a fact that the controller itself concluded."""

    fact: Fact


@dataclass(frozen=True)
class Project(Action):
    """Write a release's status where listings find it, and tell the world when it is news.

    ``before`` is the phase it had, ``stages`` the status on each stage it came to. It is ``news`` when the phase is
    another one, or what it waits for is. ``seconds_to_live`` is how long it took from the push, or from the retry,
    where it goes live on the last stage for the first time.
    """

    status: Status
    stages: Mapping[str, Status]
    before: str
    news: bool
    seconds_to_live: float | None = None

    @property
    def phase(self) -> Phase:
        return self.status.phase


@dataclass(frozen=True)
class Close(Action):
    """The release is over and nothing of it runs: read it no more."""
