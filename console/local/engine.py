"""The engine: what really builds and really runs for the local CodeBuild and CodeDeploy.

The AWS side (``aws/``) keeps the books and speaks AWS's answers and events; an engine does the work and says how it
went. Both calls block and are made from a thread of their own. ``stop`` asks the engine to end early.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

BuildStatus = Literal["SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT", "FAULT"]
DeployStatus = Literal["Succeeded", "Failed", "Stopped"]


@dataclass(frozen=True)
class BuildJob:
    """One CodeBuild build to run. ``repository`` is a bare git repository, ``commit`` the 40-hex commit to build."""

    build_id: str  # "PROJECT:UUID", as BatchGetBuilds knows it
    build_arn: str
    project: str
    repository: Path
    commit: str
    environment: Mapping[str, str]  # the project's variables with StartBuild's overrides laid over them
    buildspec: str | None  # StartBuild's buildspecOverride: text, or a path in the source; None: buildspec.yml
    log: Path
    timeout: float  # seconds
    stop: threading.Event
    remote: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # PARAMETER_STORE or SECRETS_MANAGER, and where


@dataclass(frozen=True)
class BuildPhase:
    """One row of a build's ``phases[]``. ``message`` is "" or "CODE: text", e.g. ``COMMAND_EXECUTION_ERROR: Error while
    executing command: pytest. Reason: exit status 1``."""

    name: str  # DOWNLOAD_SOURCE, INSTALL, PRE_BUILD, BUILD, POST_BUILD, UPLOAD_ARTIFACTS, FINALIZING
    status: BuildStatus
    started: datetime
    ended: datetime
    message: str = ""


@dataclass(frozen=True)
class BuildResult:
    """How a build went. ``exported`` holds the buildspec's exported-variables."""

    status: BuildStatus
    phases: tuple[BuildPhase, ...]
    exported: Mapping[str, str] = field(default_factory=dict)


HOST = "i-0123456789abcdef0"  # the first host of every deployment group, and the only one unless more are asked for


@dataclass(frozen=True)
class DeployJob:
    """One CodeDeploy deployment to run on one host. ``bundle`` is the zip from S3, ``release.json`` at its root. From
    ``host`` on it is what the service tells the host's agent; ``revision`` is the bundle's s3Location."""

    deployment_id: str
    application: str
    group: str
    bundle: bytes
    log: Path
    stop: threading.Event
    host: str = HOST
    group_id: str = ""
    revision: Mapping[str, str] = field(default_factory=dict)
    file_exists_behavior: str = "DISALLOW"
    ignore_application_stop_failures: bool = False
    begun: Callable[[str], None] = lambda _: None  # told the name of each lifecycle event that begins


@dataclass(frozen=True)
class LifecycleEvent:
    """One row of a deployment target's ``lifecycleEvents[]``; the last four are its ``diagnostics``."""

    name: str  # BeforeInstall, Install, AfterInstall, ApplicationStart, ValidateService …
    status: Literal["Succeeded", "Failed", "Skipped"]
    started: datetime
    ended: datetime
    error_code: str = "Success"  # or ScriptFailed, ScriptTimedOut, ScriptMissing, UnknownError …
    script: str = ""
    message: str = ""
    log_tail: str = ""  # at most 2,048 characters, as the agent sends


@dataclass(frozen=True)
class DeployResult:
    """How a deployment went on its host. ``error_code`` and ``message`` are CodeDeploy's errorInformation, "" when it
    succeeded."""

    status: DeployStatus
    events: tuple[LifecycleEvent, ...]
    error_code: str = ""
    message: str = ""


def host_ids(count: int) -> tuple[str, ...]:
    """The ids of a deployment group's hosts, in the order in which they are deployed to."""
    return tuple(f"{HOST[:-1]}{number:x}" for number in range(count))


class Engine(Protocol):
    """Who builds and who runs. One that has several hosts in a deployment group also has ``hosts(group)``, their ids in
    the order in which they are deployed to; where it has none, there is one, ``HOST``."""

    name: str

    def build(self, job: BuildJob) -> BuildResult:
        """Run the build to its end; never raises for a build's own failure."""
        ...

    def deploy(self, job: DeployJob) -> DeployResult:
        """Swap the release in on ``job.host``, or leave the live one untouched and say why."""
        ...

    def close(self) -> None:
        """End every process this engine started."""
        ...
