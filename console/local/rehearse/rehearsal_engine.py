"""An engine that rehearses: builds and deployments end at once, or when a single-threaded test says so, with the
outcome a function chooses. A build that succeeds puts a real manifest into ECR, as the real one does. Chaos and the
crash-point tests run on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from console.local.aws.work import HeldWork
from console.local.engine import (
    HOST,
    BuildJob,
    BuildPhase,
    BuildResult,
    BuildStatus,
    DeployJob,
    DeployResult,
    LifecycleEvent,
)

if TYPE_CHECKING:
    from console.local.aws.stack import LocalAws

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
HOOKS = ("BeforeInstall", "Install", "AfterInstall", "ApplicationStart", "ValidateService")


@dataclass(frozen=True)
class BuildOutcome:
    """How a build shall end. ``repository`` and ``tag`` are where a succeeding build pushes; None reads the build's
    environment (IMAGE_REPO_NAME, then IMAGE_URI's or REPOSITORY_URI's last part; IMAGE_TAG); ``push=False`` pushes
    nothing. With ``exports_digest`` it exports IMAGE_DIGEST, the digest that it pushed.
    """

    status: BuildStatus = "SUCCEEDED"
    message: str = ""
    push: bool = True
    repository: str | None = None
    tag: str | None = None
    exported: Mapping[str, str] = field(default_factory=dict)
    exports_digest: bool = False


@dataclass(frozen=True)
class DeployOutcome:
    """How a deployment shall end; a failure fails in ``hook``."""

    succeeds: bool = True
    message: str = ""
    hook: str = "ValidateService"
    log_tail: str = ""


def good_build(_: BuildJob) -> BuildOutcome:
    """Every build succeeds."""
    return BuildOutcome()


def good_deployment(_: DeployJob) -> DeployOutcome:
    """Every deployment succeeds."""
    return DeployOutcome()


class ScriptedEngine:
    """Outcomes from two functions. ``manual``: nothing ends, and no thread runs, until ``finish_next`` or
    ``finish_all``.

    ``built`` and ``deployed`` list the jobs that were run, in order; ``there`` are the ids of every group's hosts.
    """

    name = "rehearsal"

    def __init__(
        self,
        build: Callable[[BuildJob], BuildOutcome] = good_build,
        deploy: Callable[[DeployJob], DeployOutcome] = good_deployment,
        *,
        manual: bool = False,
        there: Sequence[str] = (HOST,),
    ) -> None:
        self._there = tuple(there)
        self._joined: dict[str, tuple[str, ...]] = {}  # by group, its hosts where they are others by now
        self._launched = 0
        self._choose_build = build
        self._choose_deploy = deploy
        self.runner: HeldWork | None = HeldWork() if manual else None
        self.built: list[BuildJob] = []
        self.deployed: list[DeployJob] = []
        self._local_aws: LocalAws | None = None

    def attach(self, local_aws: LocalAws) -> None:
        """Told by the stack whose registry to push to."""
        self._local_aws = local_aws

    def hosts(self, group: str) -> Sequence[str]:
        """The ids of a deployment group's hosts: the same ones whichever it is, until some were replaced."""
        return self._joined.get(group, self._there)

    def launch(self, _group: str) -> str:
        """Start a host that is not one of the group's yet; its id."""
        self._launched += 1
        return f"i-{self._launched:017x}"

    def join(self, group: str, host: str) -> None:
        """Make it one of the group's hosts."""
        self._joined[group] = (*self.hosts(group), host)

    def leave(self, group: str, host: str) -> None:
        """End a host."""
        self._joined[group] = tuple(each for each in self.hosts(group) if each != host)

    def in_flight(self) -> list[str]:
        """The builds and deployments that have not ended (manual mode), oldest first."""
        return [work.name for work in self._held().in_flight]

    def finish_next(self, index: int = 0) -> bool:
        """End one (manual mode), the oldest unless ``index`` says otherwise; False when nothing is in flight."""
        return self._held().finish_next(index)

    def finish_all(self) -> int:
        """End all that are in flight now (manual mode); how many."""
        return self._held().finish_all()

    def build(self, job: BuildJob) -> BuildResult:
        """End the build as chosen; a stop that came first wins."""
        self.built.append(job)
        at = self._now()
        if job.stop.is_set():
            return BuildResult("STOPPED", (BuildPhase("BUILD", "STOPPED", at, at),))
        outcome = self._choose_build(job)
        job.log.write_text(f"{job.build_id}: {outcome.status} {outcome.message}\n")
        exported = dict(outcome.exported)
        if outcome.status == "SUCCEEDED" and outcome.push:
            digest = self._push(job, outcome)
            exported |= {"IMAGE_DIGEST": digest} if outcome.exports_digest else {}
        return BuildResult(outcome.status, tuple(_phases(outcome, at)), exported)

    def deploy(self, job: DeployJob) -> DeployResult:
        """End the deployment as chosen; a stop that came first wins."""
        self.deployed.append(job)
        at = self._now()
        if job.stop.is_set():
            return DeployResult("Stopped", (), "MANUAL_STOP", "The deployment was stopped by request.")
        outcome = self._choose_deploy(job)
        job.log.write_text(f"{job.deployment_id}: {outcome}\n")
        events = tuple(_lifecycle(outcome, at))
        if outcome.succeeds:
            return DeployResult("Succeeded", events)
        return DeployResult("Failed", events, "HEALTH_CONSTRAINTS", outcome.message or "The overall deployment failed.")

    def close(self) -> None:
        """Nothing runs outside this process."""

    def _held(self) -> HeldWork:
        if self.runner is None:
            raise RuntimeError("This engine ends everything at once: make it with manual=True to end things by hand.")
        return self.runner

    def _now(self) -> datetime:
        return self._stack().clock.now()

    def _stack(self) -> LocalAws:
        if self._local_aws is None:
            raise RuntimeError("This engine has no stack yet: enter the Aws it was given to first.")
        return self._local_aws

    def _push(self, job: BuildJob, outcome: BuildOutcome) -> str:
        repository = outcome.repository or _repository(job.environment)
        tag = outcome.tag or job.environment.get("IMAGE_TAG") or f"git-{job.commit}"
        return self._stack().ecr.push(repository, manifest_for(job.commit), tag, MEDIA_TYPE)


def manifest_for(commit: str) -> bytes:
    """The OCI manifest a rehearsed build of ``commit`` makes: the same commit, the same digest."""
    blob = "sha256:" + hashlib.sha256(commit.encode()).hexdigest()
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": len(commit)}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob, "size": len(commit)}
    return json.dumps({"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": config, "layers": [layer]}).encode()


def _repository(environment: Mapping[str, str]) -> str:
    for name in ("IMAGE_REPO_NAME", "IMAGE_REPOSITORY", "ECR_REPOSITORY", "IMAGE_URI", "REPOSITORY_URI"):
        if value := environment.get(name):
            return value.partition("amazonaws.com/")[2].partition(":")[0] or value
    raise LookupError(
        "The build's environment names no image repository (IMAGE_REPO_NAME, IMAGE_REPOSITORY, ECR_REPOSITORY, "
        "IMAGE_URI or REPOSITORY_URI): add one to the build project, or give BuildOutcome(repository=…)."
    )


def _phases(outcome: BuildOutcome, at: datetime) -> list[BuildPhase]:
    names = ("DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING")
    bad: dict[str, tuple[BuildStatus, str]] = (
        {} if outcome.status == "SUCCEEDED" else {"BUILD": (outcome.status, outcome.message)}
    )
    ends: list[BuildPhase] = []
    for name in names:
        status, message = bad.get(name, ("SUCCEEDED", ""))
        ends.append(BuildPhase(name, status, at, at, message))
    return ends


def _lifecycle(outcome: DeployOutcome, at: datetime) -> list[LifecycleEvent]:
    last = len(HOOKS) if outcome.succeeds else HOOKS.index(outcome.hook)
    rows = [LifecycleEvent(name, "Succeeded", at, at) for name in HOOKS[:last]]
    if not outcome.succeeds:
        script = f"hooks/{outcome.hook}.sh"
        rows.append(
            LifecycleEvent(outcome.hook, "Failed", at, at, "ScriptFailed", script, outcome.message, outcome.log_tail)
        )
        rows += [LifecycleEvent(name, "Skipped", at, at) for name in HOOKS[last + 1 :]]
    return rows
