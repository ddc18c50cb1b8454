"""What people are shown of a release and of a stage: values only, the same for the command line, the page and JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from esteira.core.admission import Wait


@dataclass(frozen=True)
class Bypass:
    """A bypass in force: no rule of the stage stands in the release's way."""

    release: str
    stage: str
    by: str
    reason: str
    until: datetime


@dataclass(frozen=True)
class ReleaseLine:
    """Where one release stands in all, in one line; ``log`` is what a failure left below its sentence.

    ``stage`` is the one the sentence is about, "" where it is about none; ``cause`` is its word (``status.Cause``);
    ``stages`` is the phase on each stage that the release came to.
    """

    release: str
    phase: str
    why: str
    cause: str
    stage: str
    stages: dict[str, str]
    log: tuple[str, ...]
    commit: str
    tag: str
    digest: str
    classes: tuple[str, ...]
    pushed_at: datetime
    bypasses: tuple[Bypass, ...]  # in force
    subject: str = field(default="", kw_only=True)  # of its commit
    author: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Vote:
    """What somebody said about a release's way onto a stage. ``counts``: it is one of the votes that are needed."""

    by: str
    arn: str
    says: str  # yes or no
    reason: str
    until: datetime | None
    counts: bool


@dataclass(frozen=True)
class UnderWay(ReleaseLine):
    """A release on its way: what it waits for, what counts first, and the votes on it so far, of so many needed."""

    waits: tuple[Wait, ...]
    votes: tuple[Vote, ...]
    needed: int


@dataclass(frozen=True)
class LiveOnStage:
    """What is live on a stage: why, and since when; until when it is watched, the alarm that went off in vain, and how
    the hosts differ from it. ``sick`` is what its hosts say of it, ``silent`` which of them do not report any more."""

    release: str
    commit: str
    tag: str
    digest: str
    why: str
    subject: str
    author: str
    since: datetime
    watched_until: datetime | None
    alarm: str
    differs: str
    sick: str
    silent: tuple[str, ...]


@dataclass(frozen=True)
class Hold:
    """A hold in force."""

    by: str
    reason: str
    until: datetime


@dataclass(frozen=True)
class StageStatus:
    """One stage of a service: what is live, what is under way, what is ordered, what holds it."""

    service: str
    stage: str
    live: LiveOnStage | None
    under_way: tuple[UnderWay, ...]
    arrived: tuple[str, ...]  # images that are to become a release
    ordered: str  # a rollback that waits for its rollout, as a sentence, or ""
    hold: Hold | None
    bypasses: tuple[Bypass, ...]
    rules: str = ""  # the policy that is in force, "" where the registration's rules are


@dataclass(frozen=True)
class ServiceStatus:
    """One service at a glance: what was pushed last and how that went, where its model answers ("": not known), and
    which release answers there ("": none yet); and what fails again and again."""

    service: str
    newest: ReleaseLine | None
    url: str
    live: str
    failing: tuple[str, ...]
    rules: str = ""  # the policy that is in force, "" where the registration's rules are


@dataclass(frozen=True)
class Said:
    """One fact: when it was heard, its kind, and what it says; ``log`` are lines that belong to it. A ``minor`` one is
    a step that another one implies, or that the controller noted for itself."""

    at: datetime
    fact: str
    says: str
    log: tuple[str, ...]
    minor: bool = False


@dataclass(frozen=True)
class ReleaseBuild:
    """One build of a release. ``status`` is CodeBuild's, or ``IN_PROGRESS``."""

    id: str
    attempt: int
    status: str


@dataclass(frozen=True)
class ReleaseDeployment:
    """One deployment of a release. ``status`` is CodeDeploy's."""

    id: str
    stage: str
    rollout: int
    status: str


@dataclass(frozen=True)
class At:
    """Where a release stands on one stage."""

    stage: str
    phase: str
    why: str


@dataclass(frozen=True)
class CommitAhead:
    """A commit between what is live and a release. ``author`` is who git was told; ``pushed_by`` the ARNs that
    CodeCommit says made it the branch's tip, none where it came in a later push or no event told."""

    commit: str
    subject: str
    author: str
    pushed_by: tuple[str, ...]


@dataclass(frozen=True)
class StageDifference:
    """What a release would bring to a stage, beside what is live there ("": nothing is).

    ``untold``: why something of it is not here, and what to type for it.
    """

    stage: str
    live: str
    live_commit: str
    commits: tuple[CommitAhead, ...] = ()
    files: tuple[str, ...] = ()
    files_count: int = 0
    untold: str = ""


@dataclass(frozen=True)
class Account:
    """Everything about one release."""

    service: str
    line: ReleaseLine
    on: tuple[At, ...]  # the stages it came to, in their order
    source: str
    attempt: int
    changed: tuple[str, ...]
    changed_count: int
    note: str
    findings: str  # of ECR's scan, "" where none was heard of
    exported: dict[str, str]  # what its image's build exported, by name
    builds: tuple[ReleaseBuild, ...]
    deployments: tuple[ReleaseDeployment, ...]
    facts: tuple[Said, ...]  # in order of time
    decisions: tuple[Said, ...]  # of the controller, in order of time
    settings: tuple[str, ...] = ()  # how they differ from those of the release it replaces, a line each
    settings_than: str = ""  # that release, "" where it replaces none
    rules: str = ""  # the policy that was in force, "" where none was set
    ahead: StageDifference | None = None  # to what is live on the next stage it has not come to


@dataclass(frozen=True)
class Running:
    """The build or the deployment of a release that runs just now. ``step`` is the build's phase or command, or the
    lifecycle event of the host that is furthest behind, and ``says`` the build's last line; "": not known, or not to be
    asked. ``usual_seconds`` is the median of the last ones that went well, None where there are none."""

    release: str
    what: Literal["build", "deployment"]
    id: str
    stage: str  # "" of a build
    since: datetime
    step: str
    says: str
    usual_seconds: float | None


@dataclass(frozen=True)
class Progress:
    """How something goes that somebody waits for; ``over``: it will change no more by itself."""

    line: ReleaseLine
    over: bool
    succeeded: bool
