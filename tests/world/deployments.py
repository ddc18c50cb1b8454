"""CodeDeploy in memory: a deployment goes from host to host, one at a time, when the engine's runner says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws.codedeploy import NO_INSTANCES
from console.local.aws.work import EngineWork, HeldWork
from console.local.aws_account import REGION, arn
from console.local.engine import DeployJob, DeployResult, LifecycleEvent
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from tests.world.builds import NOWHERE

Params = Mapping[str, Any]
ENDED = ("Succeeded", "Failed", "Stopped")
VERBS = {"Succeeded": "SUCCESS", "Failed": "FAILURE", "Stopped": "STOP"}


class CodeDeploy:
    """Every deployment by its id, with what each of its hosts did. ``bundles`` is what lies in S3."""

    def __init__(
        self, engine: ScriptedEngine, runner: HeldWork, bus: Bus, bundles: Mapping[tuple[str, str], bytes]
    ) -> None:
        self._engine, self._runner, self._bus, self._bundles = engine, runner, bus, bundles
        self._deployments: dict[str, dict[str, Any]] = {}
        self._targets: dict[str, list[dict[str, Any]]] = {}
        self._stops: dict[str, threading.Event] = {}
        self.ended: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.never_begins: DeployResult | None = None  # how every deployment fails before its first host begins

    def deployments(self) -> list[dict[str, Any]]:
        """Every deployment as GetDeployment tells it, oldest first."""
        return list(self._deployments.values())

    # --- AWS's operations

    def create_deployment_group(self, p: Params) -> dict[str, Any]:
        """CreateDeploymentGroup: any name is a group here."""
        return {"deploymentGroupId": p["deploymentGroupName"]}

    def launch(self, host: str, group: str, creator: str) -> str:
        """Give a host of the group the last revision that succeeded, as CodeDeploy does by itself; the deployment's
        id."""
        made = [d for d in self._deployments.values() if d["deploymentGroupName"] == group and d["creator"] == "user"]
        last = [d for d in made if d["status"] == "Succeeded"][-1]
        deployment = self._new(last | {"description": ""})
        deployment["creator"] = creator
        self._targets[deployment["deploymentId"]] = [{"targetId": host, "status": "Pending", "lifecycleEvents": []}]
        place = last["revision"]["s3Location"]
        self._start(deployment, self._bundles[place["bucket"], place["key"]])
        return str(deployment["deploymentId"])

    def create_deployment(self, p: Params) -> dict[str, Any]:
        """CreateDeployment: one at a time in a group, of a bundle that is in S3."""
        group, place = p["deploymentGroupName"], p["revision"]["s3Location"]
        if len(p.get("description", "")) > 256:
            raise AwsError("DescriptionTooLongException", "The description has at most 256 characters.")
        if (place["bucket"], place["key"]) not in self._bundles:
            raise AwsError("RevisionDoesNotExistException", f"No object s3://{place['bucket']}/{place['key']}")
        for other in self._deployments.values():
            if other["deploymentGroupName"] == group and other["status"] not in ENDED:
                text = f"The Deployment Group '{group}' already has an active Deployment '{other['deploymentId']}'"
                raise AwsError("DeploymentLimitExceededException", text)
        deployment = self._new(p)
        self._start(deployment, self._bundles[place["bucket"], place["key"]])
        return {"deploymentId": deployment["deploymentId"]}

    def get_deployment_group(self, p: Params) -> dict[str, Any]:
        """GetDeploymentGroup: of what it tells, the last deployments."""
        group = p["deploymentGroupName"]
        made = [d for d in self._deployments.values() if d["deploymentGroupName"] == group]
        done = sorted((d for d in made if d["status"] == "Succeeded"), key=lambda d: d["completeTime"])
        last = {"lastSuccessfulDeployment": done[-1:], "lastAttemptedDeployment": made[-1:]}
        told = {
            name: {"deploymentId": d["deploymentId"], "status": d["status"]} for name, row in last.items() for d in row
        }
        groups = {"autoScalingGroups": [{"name": group}]}
        return {"deploymentGroupInfo": {"deploymentGroupName": group, **told, **groups}}

    def get_deployment(self, p: Params) -> dict[str, Any]:
        """GetDeployment."""
        return {"deploymentInfo": dict(self._found(p["deploymentId"]))}

    def batch_get_deployments(self, p: Params) -> dict[str, Any]:
        """BatchGetDeployments, of 25 at most, in no order that was asked for."""
        assert 0 < len(p["deploymentIds"]) <= 25
        ids = [id_ for id_ in reversed(p["deploymentIds"]) if id_ in self._deployments]
        return {"deploymentsInfo": [dict(self._deployments[id_]) for id_ in ids]}

    def list_deployments(self, p: Params) -> dict[str, Any]:
        """ListDeployments of a group, made since a time."""
        group, start = p["deploymentGroupName"], p.get("createTimeRange", {}).get("start")
        rows = [d for d in self._deployments.values() if d["deploymentGroupName"] == group]
        return {"deployments": [d["deploymentId"] for d in rows if start is None or d["createTime"] >= start]}

    def stop_deployment(self, p: Params) -> dict[str, Any]:
        """StopDeployment: the deployment goes on until the engine has stopped."""
        deployment = self._found(p["deploymentId"])
        if deployment["status"] in ENDED:
            text = f"Deployment {p['deploymentId']} is already {deployment['status']}."
            raise AwsError("DeploymentAlreadyCompletedException", text)
        self._stops[p["deploymentId"]].set()
        return {"status": "Pending"}

    def list_deployment_targets(self, p: Params) -> dict[str, Any]:
        """ListDeploymentTargets: the group's hosts."""
        return {"targetIds": [t["targetId"] for t in self._targets[self._begun(p["deploymentId"])]]}

    def batch_get_deployment_targets(self, p: Params) -> dict[str, Any]:
        """BatchGetDeploymentTargets."""
        there = {t["targetId"]: t for t in self._targets[self._begun(p["deploymentId"])]}
        found = [{"deploymentTargetType": "InstanceTarget", "instanceTarget": there[id_]} for id_ in p["targetIds"]]
        return {"deploymentTargets": found}

    # --- a deployment's life

    def _new(self, p: Params) -> dict[str, Any]:
        id_, now = f"d-{len(self._deployments) + 1:09d}", self._bus.clock.now()
        deployment = {
            "applicationName": p["applicationName"],
            "deploymentGroupName": p["deploymentGroupName"],
            "deploymentId": id_,
            "revision": dict(p["revision"]),
            "status": "Created",
            "createTime": now,
            "description": p.get("description", ""),
            "creator": "user",
        }
        self._deployments[id_] = deployment
        hosts = self._engine.hosts(p["deploymentGroupName"])
        self._targets[id_] = [{"targetId": host, "status": "Pending", "lifecycleEvents": []} for host in hosts]
        return deployment

    def _start(self, deployment: dict[str, Any], bundle: bytes) -> None:
        id_ = deployment["deploymentId"]
        stop = self._stops[id_] = threading.Event()
        names = {"application": deployment["applicationName"], "group": deployment["deploymentGroupName"]}
        job = DeployJob(deployment_id=id_, bundle=bundle, log=NOWHERE, stop=stop, **names)
        self._runner.start(EngineWork(id_, lambda: self._begin(deployment), lambda: self._roll(deployment, job), stop))

    def _begin(self, deployment: dict[str, Any]) -> None:
        if self._failed_early(deployment["deploymentId"]):
            return
        deployment |= {"status": "InProgress", "startTime": self._bus.clock.now()}
        self._emit(deployment, "START")
        self._begin_on(deployment, self._targets[deployment["deploymentId"]][0])

    def _begin_on(self, deployment: dict[str, Any], target: dict[str, Any]) -> None:
        target["status"] = "InProgress"
        self._emit(deployment, "START", target["targetId"])

    def _roll(self, deployment: dict[str, Any], job: DeployJob) -> None:
        """Host by host until one fails; one that fails last, after others succeeded, is no failure to CodeDeploy."""
        targets = self._targets[job.deployment_id]
        bad = self._failed_early(job.deployment_id)
        for target in targets:
            if bad is not None or (job.stop.is_set() and target["status"] == "Pending"):
                target["status"] = "Skipped"
                continue
            if target["status"] == "Pending":
                self._begin_on(deployment, target)
            result = self._engine.deploy(replace(job, host=target["targetId"]))
            target["status"] = "Skipped" if result.status == "Stopped" else result.status
            target["lifecycleEvents"] = [_lifecycle(event) for event in result.events]
            self._emit(deployment, VERBS[result.status], target["targetId"])
            bad = result if result.status != "Succeeded" else None
        self._end(deployment, bad, job.stop.is_set())

    def _end(self, deployment: dict[str, Any], bad: DeployResult | None, stopped: bool) -> None:
        states = [target["status"] for target in self._targets[deployment["deploymentId"]]]
        status = bad.status if bad else "Succeeded"
        if bad and bad.status == "Failed" and "Succeeded" in states and states[-1] == "Failed":
            status, bad = "Succeeded", None
        if not bad and stopped and "Skipped" in states:
            status, bad = "Stopped", DeployResult("Stopped", (), "MANUAL_STOP", "Stopped by request.")
        deployment |= {"status": status, "completeTime": self._bus.clock.now()}
        if bad:
            deployment["errorInformation"] = {"code": bad.error_code, "message": bad.message}
        self._stops.pop(deployment["deploymentId"], None)
        self._emit(deployment, VERBS[status])
        self.ended(deployment)

    def _emit(self, deployment: Mapping[str, Any], state: str, host: str = "") -> None:
        application, group = deployment["applicationName"], deployment["deploymentGroupName"]
        detail = {
            "region": REGION,
            "deploymentId": deployment["deploymentId"],
            "instanceGroupId": group,
            "deploymentGroup": group,
            "state": state,
            "application": application,
            **({"instanceId": host} if host else {}),
        }
        kind = f"CodeDeploy {'Instance' if host else 'Deployment'} State-change Notification"
        self._bus.emit("aws.codedeploy", kind, [arn("codedeploy", f"application:{application}")], detail)

    def _failed_early(self, deployment: str) -> DeployResult | None:
        """How the deployment fails before any host begins, None where it does not."""
        return self.never_begins or (None if self._targets[deployment] else NO_INSTANCES)

    def _begun(self, deployment: str) -> str:
        """The deployment's id; AWS tells none of its hosts before the first begins."""
        if "startTime" not in self._found(deployment):
            raise AwsError("DeploymentNotStartedException", f"The deployment {deployment} has not started.")
        return deployment

    def _found(self, deployment: str) -> dict[str, Any]:
        if deployment not in self._deployments:
            raise AwsError("DeploymentDoesNotExistException", f"The deployment {deployment} could not be found")
        return self._deployments[deployment]


def _lifecycle(event: LifecycleEvent) -> dict[str, Any]:
    told = {"errorCode": event.error_code, "scriptName": event.script, "message": event.message}
    diagnostics = told | {"logTail": event.log_tail[-2048:]}
    return {"lifecycleEventName": event.name, "status": event.status, "diagnostics": diagnostics}
