"""CodeBuild in memory: builds that begin at once and end when the engine's runner says so, with their events."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws.work import EngineWork, HeldWork
from console.local.aws_account import arn
from console.local.engine import BuildJob, BuildResult
from console.local.rehearse.rehearsal_engine import ScriptedEngine

Params = Mapping[str, Any]
TOKEN_LIFE = timedelta(minutes=5)
NOWHERE = Path(os.devnull)


class CodeBuild:
    """Every build by its id. ``variables`` are the project's own."""

    def __init__(self, engine: ScriptedEngine, runner: HeldWork, bus: Bus, variables: Mapping[str, str]) -> None:
        self._engine, self._runner, self._bus, self._variables = engine, runner, bus, variables
        self._builds: dict[str, dict[str, Any]] = {}
        self._stops: dict[str, threading.Event] = {}
        self._tokens: dict[str, tuple[str, datetime]] = {}
        self._started = 0

    def builds(self) -> list[dict[str, Any]]:
        """Every build as BatchGetBuilds tells it, oldest first."""
        return list(self._builds.values())

    # --- AWS's operations

    def start_build(self, p: Params) -> dict[str, Any]:
        """StartBuild; the same token within five minutes gives the same build."""
        token, now = p.get("idempotencyToken"), self._bus.clock.now()
        known, at = self._tokens.get(token or "", ("", now))
        if token and known and now - at < TOKEN_LIFE:
            return {"build": dict(self._builds[known])}
        build = self._new(p)
        if token:
            self._tokens[token] = (build["id"], now)
        self._start(build, p.get("buildspecOverride"))
        return {"build": dict(build)}

    def stop_build(self, p: Params) -> dict[str, Any]:
        """StopBuild: the build stays in progress until the engine has stopped."""
        build = self._builds.get(p["id"])
        if build is None:
            raise AwsError("ResourceNotFoundException", f"Build {p['id']} does not exist")
        if build["id"] in self._stops:
            self._stops[build["id"]].set()
        return {"build": dict(build)}

    def batch_get_builds(self, p: Params) -> dict[str, Any]:
        """BatchGetBuilds."""
        found = [dict(self._builds[id_]) for id_ in p["ids"] if id_ in self._builds]
        return {"builds": found, "buildsNotFound": [id_ for id_ in p["ids"] if id_ not in self._builds]}

    def list_builds_for_project(self, p: Params) -> dict[str, Any]:
        """ListBuildsForProject, newest first."""
        assert p["sortOrder"] == "DESCENDING"
        ids = [id_ for id_, build in self._builds.items() if build["projectName"] == p["projectName"]]
        return {"ids": ids[::-1]}

    # --- a build's life

    def _new(self, p: Params) -> dict[str, Any]:
        self._started += 1
        id_ = f"{p['projectName']}:00000000-0000-4000-8000-{self._started:012x}"
        own = [{"name": n, "value": v, "type": "PLAINTEXT"} for n, v in self._variables.items()]
        rows = list({row["name"]: row for row in [*own, *p.get("environmentVariablesOverride", ())]}.values())
        build: dict[str, Any] = {
            "id": id_,
            "arn": arn("codebuild", f"build/{id_}"),
            "projectName": p["projectName"],
            "buildNumber": self._started,
            "startTime": self._bus.clock.now(),
            "currentPhase": "SUBMITTED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "initiator": "esteira",
            "phases": [],
            "environment": {"environmentVariables": rows},
            "exportedEnvironmentVariables": [],
        }
        if p.get("sourceVersion"):
            build |= {"sourceVersion": p["sourceVersion"], "resolvedSourceVersion": p["sourceVersion"]}
        self._builds[id_] = build
        return build

    def _start(self, build: dict[str, Any], buildspec: str | None) -> None:
        stop = self._stops[build["id"]] = threading.Event()
        self._emit(build, "SUBMITTED")
        job = BuildJob(
            build_id=build["id"],
            build_arn=build["arn"],
            project=build["projectName"],
            repository=NOWHERE,
            commit=build.get("sourceVersion", ""),
            environment={row["name"]: row["value"] for row in build["environment"]["environmentVariables"]},
            buildspec=buildspec,
            log=NOWHERE,
            timeout=1800.0,
            stop=stop,
        )
        self._runner.start(
            EngineWork(build["id"], lambda: None, lambda: self._end(build, self._engine.build(job)), stop)
        )

    def _end(self, build: dict[str, Any], result: BuildResult) -> None:
        now = self._bus.clock.now()
        for phase in result.phases:
            code, _, text = phase.message.partition(": ")
            row = {"phaseType": phase.name, "phaseStatus": phase.status, "startTime": phase.started}
            row |= {"endTime": phase.ended, "contexts": [{"statusCode": code, "message": text}]}
            build["phases"].append(row)
        build["exportedEnvironmentVariables"] = [{"name": n, "value": v} for n, v in result.exported.items()]
        build |= {"buildStatus": result.status, "buildComplete": True, "currentPhase": "COMPLETED", "endTime": now}
        self._stops.pop(build["id"], None)
        self._emit(build, "COMPLETED")

    def _emit(self, build: dict[str, Any], phase: str) -> None:
        detail = {
            "build-status": build["buildStatus"],
            "project-name": build["projectName"],
            "build-id": build["arn"],
            "current-phase": phase,
            "current-phase-context": "[]",
            "version": "1",
            "additional-information": _information(build),
        }
        self._bus.emit("aws.codebuild", "CodeBuild Build State Change", [build["arn"]], detail)


def _information(build: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "build-complete": build["buildComplete"],
        "initiator": build["initiator"],
        "build-number": build["buildNumber"],
        "environment": {"environment-variables": build["environment"]["environmentVariables"]},
        "phases": [_phase(row) for row in build["phases"]],
    }
    return told | ({"source-version": build["sourceVersion"]} if "sourceVersion" in build else {})


def _phase(row: Mapping[str, Any]) -> dict[str, Any]:
    contexts = [f"{c['statusCode']}: {c['message']}" for c in row["contexts"]]
    return {"phase-type": row["phaseType"], "phase-status": row["phaseStatus"], "phase-context": contexts}
