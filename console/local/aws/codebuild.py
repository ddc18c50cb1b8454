"""CodeBuild's builds over moto's projects: the books, the answers and the events. The engine does the work."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

from moto.codebuild.models import codebuild_backends

from console.local.aws.api import AwsError, Operation, Params, page, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.codecommit import CodeCommit
from console.local.aws.work import EngineWork, Runner
from console.local.aws_account import ACCOUNT, REGION, arn
from console.local.engine import BuildJob, BuildPhase, BuildResult

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
REMOTE = ("PARAMETER_STORE", "SECRETS_MANAGER")
TOKEN_LIFE = timedelta(minutes=5)
Build = dict[str, Any]


class CodeBuild:
    """Every build by its id. ``logs`` is the folder a build's log is written into."""

    def __init__(
        self,
        build: Callable[[BuildJob], BuildResult],
        runner: Runner,
        codecommit: CodeCommit,
        logs: Path,
        bus: Bus,
        clock: Clock,
        lock: RLock,
        dice: random.Random,
    ) -> None:
        self._build = build
        self._runner = runner
        self._codecommit = codecommit
        self._logs = logs.resolve()
        self._bus = bus
        self._clock = clock
        self._lock = lock
        self._dice = dice
        self._builds: dict[str, Build] = {}
        self._stops: dict[str, threading.Event] = {}
        self._tokens: dict[str, tuple[dict[str, Any], str, datetime]] = {}
        self.operations: dict[str, Operation] = {
            "StartBuild": self.start_build,
            "StopBuild": self.stop_build,
            "BatchGetBuilds": self.batch_get_builds,
            "ListBuilds": self.list_builds,
            "ListBuildsForProject": self.list_builds_for_project,
        }

    def builds(self) -> list[Build]:
        """Every build as BatchGetBuilds tells it, oldest first."""
        return list(self._builds.values())

    def dump(self) -> dict[str, Any]:
        """Every build, to be kept."""
        return {"builds": self._builds}

    def load(self, kept: dict[str, Any]) -> None:
        """Take up what ``dump`` gave."""
        self._builds = kept["builds"]

    def end_orphans(self) -> None:
        """End, as FAULT, the builds that were running when the stack was killed: nobody works on them any more."""
        for build in [
            b for b in self._builds.values() if b["buildStatus"] == "IN_PROGRESS" and b["id"] not in self._stops
        ]:
            now = self._clock.now()
            text = "INTERNAL_SERVICE_ERROR: The local stack was stopped while this build ran. Retry the release."
            self._end(build, BuildResult("FAULT", (BuildPhase("BUILD", "FAULT", build["startTime"], now, text),)))

    # AWS's operations

    def start_build(self, params: Params) -> dict[str, Any]:
        """StartBuild; the same ``idempotencyToken`` within five minutes of the clock gives the same build."""
        project = self._project(str(required(params, "projectName", code="InvalidInputException")))
        token = params.get("idempotencyToken")
        if token and (known := self._known(token, params)):
            return {"build": known}
        build = self._new(project, params)
        if token:
            self._tokens[token] = (dict(params), build["id"], self._clock.now())
        self._start(build, params.get("buildspecOverride"))
        return {"build": build}

    def stop_build(self, params: Params) -> dict[str, Any]:
        """StopBuild: asks the engine; the build stays IN_PROGRESS until the engine has stopped."""
        build = self._found(str(required(params, "id", code="InvalidInputException")))
        if stop := self._stops.get(build["id"]):
            stop.set()
        return {"build": build}

    def batch_get_builds(self, params: Params) -> dict[str, Any]:
        """BatchGetBuilds."""
        ids = required(params, "ids", code="InvalidInputException")
        if len(ids) > 100 or any(":" not in build for build in ids):
            raise AwsError("InvalidInputException", "ids takes 1 to 100 build ids of the form PROJECT:UUID.")
        short = [build.rpartition("build/")[2] for build in ids]
        missing = [build for build in short if build not in self._builds]
        return {"builds": [self._builds[b] for b in short if b in self._builds], "buildsNotFound": missing}

    def list_builds(self, params: Params) -> dict[str, Any]:
        """ListBuilds, newest first."""
        return self._listed(list(self._builds), params)

    def list_builds_for_project(self, params: Params) -> dict[str, Any]:
        """ListBuildsForProject, newest first, in pages of 100."""
        name = str(required(params, "projectName", code="InvalidInputException"))
        self._project(name, "The provided project")
        return self._listed([id_ for id_, build in self._builds.items() if build["projectName"] == name], params)

    # a build's life

    def _project(self, name: str, what: str = "Project cannot be found:") -> dict[str, Any]:
        short = name.rpartition("project/")[2]
        project = codebuild_backends[ACCOUNT][REGION].codebuild_projects.get(short)
        if project is None:
            tail = "" if what.endswith(":") else " does not exist"
            raise AwsError("ResourceNotFoundException", f"{what} {arn('codebuild', f'project/{short}')}{tail}")
        return dict(project.project_metadata)

    def _known(self, token: str, params: Params) -> Build | None:
        before, build, at = self._tokens.get(token, ({}, "", datetime.min.replace(tzinfo=self._clock.now().tzinfo)))
        if not build or self._clock.now() - at >= TOKEN_LIFE:
            return None
        if before != dict(params):
            text = f"The idempotency token {token} was used with other parameters: use a new token for another build."
            raise AwsError("InvalidInputException", text)
        return self._builds[build]

    def _new(self, project: dict[str, Any], params: Params) -> Build:
        name, now = project["name"], self._clock.now()
        id_ = f"{name}:{uuid.UUID(int=self._dice.getrandbits(128), version=4)}"
        log = self._logs / f"{id_.replace(':', '-')}.log"
        minutes = params.get("timeoutInMinutesOverride") or project.get("timeoutInMinutes") or 60
        build: Build = {
            "id": id_,
            "arn": arn("codebuild", f"build/{id_}"),
            "projectName": name,
            "buildNumber": 1 + sum(b["projectName"] == name for b in self._builds.values()),
            "startTime": now,
            "currentPhase": "SUBMITTED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "initiator": "local",
            "phases": [{"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", **_span(now, now)}],
            "source": dict(project["source"]),
            "artifacts": {"location": ""},
            "cache": {"type": "NO_CACHE"},
            "environment": self._environment(project, params),
            "serviceRole": project.get("serviceRole", ""),
            "logs": {"deepLink": str(log)},
            "timeoutInMinutes": int(minutes),
            "queuedTimeoutInMinutes": int(project.get("queuedTimeoutInMinutes") or 480),
            "exportedEnvironmentVariables": [],
        }
        version = params.get("sourceVersion") or project.get("sourceVersion")
        if version:
            build["sourceVersion"] = version
        self._builds[id_] = build
        return build

    @staticmethod
    def _environment(project: Mapping[str, Any], params: Params) -> dict[str, Any]:
        environment = dict(project["environment"])
        rows = [*environment.get("environmentVariables", []), *params.get("environmentVariablesOverride", [])]
        merged = {row["name"]: {"type": "PLAINTEXT", **row} for row in rows}
        return environment | {"environmentVariables": list(merged.values())}

    def _start(self, build: Build, buildspec: str | None) -> None:
        stop = self._stops[build["id"]] = threading.Event()
        repository, commit = self._source(build)
        self._emit(build, "SUBMITTED")
        if commit is None:
            at = self._clock.now()
            text = "CLIENT_ERROR: reference not found for primary source and source version " + build.get(
                "sourceVersion", ""
            )
            missing = BuildResult("FAILED", (BuildPhase("DOWNLOAD_SOURCE", "FAILED", at, at, text),))
            self._runner.start(EngineWork(build["id"], lambda: None, lambda: self._end(build, missing), stop))
            return
        build["resolvedSourceVersion"] = commit
        self._logs.mkdir(parents=True, exist_ok=True)
        job = BuildJob(
            build_id=build["id"],
            build_arn=build["arn"],
            project=build["projectName"],
            repository=repository,
            commit=commit,
            environment={row["name"]: row["value"] for row in _variables(build, "PLAINTEXT")},
            remote={row["name"]: (row["type"], row["value"]) for row in _variables(build, *REMOTE)},
            buildspec=buildspec or build["source"].get("buildspec") or None,
            log=Path(build["logs"]["deepLink"]),
            timeout=build["timeoutInMinutes"] * 60.0,
            stop=stop,
        )
        self._runner.start(EngineWork(build["id"], lambda: None, lambda: self._end(build, self._result(job)), stop))

    def _source(self, build: Build) -> tuple[Path, str | None]:
        name = str(build["source"].get("location", "")).rstrip("/").rpartition("/")[2].removesuffix(".git")
        try:
            git = self._codecommit.git(name)
        except AwsError:
            return Path(), None
        return git.path, git.resolve(build.get("sourceVersion") or "HEAD")

    def _result(self, job: BuildJob) -> BuildResult:
        """What the engine made of the job. An engine that breaks is CodeBuild that breaks: FAULT, with its sentence."""
        started = self._clock.now()
        try:
            return self._build(job)
        except Exception as error:  # noqa: BLE001 - a build must end whatever its engine does
            text = f"INTERNAL_SERVICE_ERROR: {type(error).__name__}: {error}"
            return BuildResult("FAULT", (BuildPhase("BUILD", "FAULT", started, self._clock.now(), text),))

    def _end(self, build: Build, result: BuildResult) -> None:
        with self._lock:
            now = self._clock.now()
            for phase in result.phases:
                build["phases"].append(_phase(phase))
                build["currentPhase"] = phase.name
                self._emit_phase(build)
            build["phases"].append({"phaseType": "COMPLETED", "startTime": now})
            build["exportedEnvironmentVariables"] = [{"name": n, "value": v} for n, v in result.exported.items()]
            build |= {"buildStatus": result.status, "buildComplete": True, "currentPhase": "COMPLETED", "endTime": now}
            self._stops.pop(build["id"], None)
            self._emit(build, "COMPLETED")

    def _found(self, build: str) -> Build:
        if ":" not in build:
            raise AwsError("InvalidInputException", "Invalid build ID provided")
        short = build.rpartition("build/")[2]
        if short not in self._builds:
            raise AwsError("ResourceNotFoundException", f"Build {build} does not exist")
        return self._builds[short]

    @staticmethod
    def _listed(ids: list[str], params: Params) -> dict[str, Any]:
        newest = ids if params.get("sortOrder") == "ASCENDING" else ids[::-1]
        chosen, token = page(newest, params.get("nextToken"), 100, code="InvalidInputException")
        return {"ids": chosen} | ({"nextToken": token} if token else {})

    # events

    def _emit(self, build: Build, phase: str) -> None:
        detail = {
            "build-status": build["buildStatus"],
            "project-name": build["projectName"],
            "build-id": build["arn"],
            "additional-information": _information(build, phases=phase == "COMPLETED"),
            "current-phase": phase,
            "current-phase-context": "[]" if phase == "SUBMITTED" else "[: ]",
            "version": "1",
        }
        self._bus.emit("aws.codebuild", "CodeBuild Build State Change", [build["arn"]], detail)

    def _emit_phase(self, build: Build) -> None:
        phase = build["phases"][-1]
        detail = {
            "completed-phase": phase["phaseType"],
            "completed-phase-status": phase["phaseStatus"],
            "completed-phase-context": f"[{_contexts(phase)[0]}]",
            "completed-phase-duration-seconds": phase["durationInSeconds"],
            "completed-phase-start": _told(phase["startTime"]),
            "completed-phase-end": _told(phase["endTime"]),
            "project-name": build["projectName"],
            "build-id": build["arn"],
            "additional-information": _information(build, phases=True) | {"build-complete": False},
            "version": "1",
        }
        # AWS stamps a phase's event with the phase's start, not with its sending
        self._bus.emit("aws.codebuild", "CodeBuild Build Phase Change", [build["arn"]], detail, phase["startTime"])


def _variables(build: Build, *kinds: str) -> list[dict[str, str]]:
    return [row for row in build["environment"]["environmentVariables"] if row["type"] in kinds]


def _span(start: datetime, end: datetime) -> dict[str, Any]:
    return {"startTime": start, "endTime": end, "durationInSeconds": max(0, int((end - start).total_seconds()))}


def _phase(phase: BuildPhase) -> dict[str, Any]:
    code, _, text = phase.message.partition(": ")
    return {
        "phaseType": phase.name,
        "phaseStatus": phase.status,
        **_span(phase.started, phase.ended),
        "contexts": [{"statusCode": code, "message": text}],
    }


def _contexts(phase: Mapping[str, Any]) -> list[str]:
    return [f"{row['statusCode']}: {row['message']}" for row in phase.get("contexts", [])] or [""]


def _told(at: datetime) -> str:
    """A time as CodeBuild's events write it: ``Sep 1, 2017 4:12:29 PM``, English whatever the locale."""
    month = MONTHS[at.month - 1]
    half = "AM" if at.hour < 12 else "PM"
    return f"{month} {at.day}, {at.year} {at.hour % 12 or 12}:{at.minute:02}:{at.second:02} {half}"


def _information(build: Build, *, phases: bool) -> dict[str, Any]:
    """The event's ``additional-information``: BatchGetBuilds in CodeBuild's other spelling."""
    environment = build["environment"]
    told: dict[str, Any] = {
        "artifact": {"location": ""},
        "cache": {"type": "NO_CACHE"},
        "build-complete": build["buildComplete"],
        "build-start-time": _told(build["startTime"]),
        "timeout-in-minutes": build["timeoutInMinutes"],
        "queued-timeout-in-minutes": build["queuedTimeoutInMinutes"],
        "initiator": build["initiator"],
        "environment": {
            "image": environment["image"],
            "image-pull-credentials-type": environment.get("imagePullCredentialsType", "CODEBUILD"),
            "privileged-mode": bool(environment.get("privilegedMode")),
            "compute-type": environment["computeType"],
            "type": environment["type"],
            "environment-variables": [dict(row) for row in environment["environmentVariables"]],
        },
        "source": {"type": build["source"]["type"], "location": build["source"].get("location", "")},
        "logs": {"deep-link": build["logs"]["deepLink"]},
    }
    if build.get("sourceVersion"):
        told["source-version"] = build["sourceVersion"]
    if phases:
        told["build-number"] = build["buildNumber"]
        told["phases"] = [_told_phase(phase) for phase in build["phases"]]
    return told


def _told_phase(phase: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"phase-type": phase["phaseType"], "start-time": _told(phase["startTime"])}
    if "endTime" in phase:
        told |= {
            "phase-context": [row for row in _contexts(phase) if row],
            "end-time": _told(phase["endTime"]),
            "duration-in-seconds": phase["durationInSeconds"],
            "phase-status": phase["phaseStatus"],
        }
    return told
