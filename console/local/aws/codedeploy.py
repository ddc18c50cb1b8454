"""CodeDeploy's deployments over moto's applications and groups: the books, the answers and the events. The engine does
the work.
"""

from __future__ import annotations

import random
import string
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

from moto.codedeploy.models import codedeploy_backends
from moto.codedeploy.responses import _deployment_group_info
from moto.s3.models import s3_backends

from console.local.aws.api import AwsError, Operation, Params, page, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.work import EngineWork, Runner
from console.local.aws_account import ACCOUNT, REGION, arn
from console.local.engine import HOST, DeployJob, DeployResult, LifecycleEvent

ENDED = ("Succeeded", "Failed", "Stopped")
VERBS = {"Succeeded": "SUCCESS", "Failed": "FAILURE", "Stopped": "STOP"}
STATES = {"Succeeded": "Succeeded", "Failed": "Failed", "Stopped": "Skipped"}  # a deployment's word: a target's
NO_INSTANCES = DeployResult(
    "Failed",
    (),
    "NO_INSTANCES",
    "The deployment failed because no instances were found for your deployment group. "
    "Check your deployment group settings to make sure the tags for your instances are correct.",
)
IAM_ROLE_MISSING = DeployResult(
    "Failed",
    (),
    "IAM_ROLE_MISSING",
    "The service role that CodeDeploy uses for your deployment group does not exist.",
)
Deployment = dict[str, Any]


class CodeDeploy:
    """Every deployment by its id, with what each of its targets did. ``deploy`` does it on one host, ``hosts`` says
    which hosts a deployment group has, ``logs`` is the folder of the hooks' logs. A deployment fails before any host
    begins as ``never_begins`` says, or where its group has no hosts."""

    def __init__(
        self,
        deploy: Callable[[DeployJob], DeployResult],
        runner: Runner,
        logs: Path,
        bus: Bus,
        clock: Clock,
        lock: RLock,
        dice: random.Random,
        hosts: Callable[[str], Sequence[str]] = lambda _: (HOST,),
    ) -> None:
        self._deploy = deploy
        self._hosts = hosts
        self._runner = runner
        self._logs = logs.resolve()
        self._bus = bus
        self._clock = clock
        self._lock = lock
        self._dice = dice
        self._deployments: dict[str, Deployment] = {}
        self._targets: dict[str, list[dict[str, Any]]] = {}
        self._stops: dict[str, threading.Event] = {}
        self.never_begins: DeployResult | None = None
        self.from_groups = False  # whether the engine can replace hosts, as an Auto Scaling group does
        self.ended: Callable[[Deployment], None] = lambda _: None  # told of each deployment that has ended
        self.operations: dict[str, Operation] = {
            "CreateDeployment": self.create_deployment,
            "GetDeploymentGroup": self.get_deployment_group,
            "GetDeployment": self.get_deployment,
            "BatchGetDeployments": self.batch_get_deployments,
            "ListDeployments": self.list_deployments,
            "StopDeployment": self.stop_deployment,
            "UpdateDeploymentGroup": self.update_deployment_group,
            "ListDeploymentTargets": self.list_deployment_targets,
            "GetDeploymentTarget": self.get_deployment_target,
            "BatchGetDeploymentTargets": self.batch_get_deployment_targets,
        }

    def deployments(self) -> list[Deployment]:
        """Every deployment as GetDeployment tells it, oldest first."""
        return list(self._deployments.values())

    def launch(self, host: str, group: str, creator: str, note: Callable[[str], None] = lambda _: None) -> str:
        """Give a host of the group the last revision that succeeded there, as CodeDeploy does by itself; the
        deployment's id, "" where nothing ever succeeded. ``note`` hears the id before it begins."""
        last = self._last_good(group)
        if last is None:
            return ""
        named = {
            name: last[name] for name in ("applicationName", "deploymentGroupName", "revision", "fileExistsBehavior")
        }
        deployment = self._new(named, str(last["deploymentConfigName"]), [host]) | {"creator": creator}
        self._deployments[deployment["deploymentId"]] = deployment
        note(deployment["deploymentId"])
        self._start(deployment, _bundle(last["revision"]))
        return str(deployment["deploymentId"])

    def outdated(self, group: str, hosts: Sequence[str]) -> list[str]:
        """The hosts on which another revision than the group's last one succeeded last."""
        last, runs = self._last_good(group), dict[str, Any]()
        for deployment in self._deployments.values():
            if deployment["deploymentGroupName"] == group:
                done = (t for t in self._targets[deployment["deploymentId"]] if t["status"] == "Succeeded")
                runs |= {target["targetId"]: deployment["revision"] for target in done}
        return [host for host in hosts if last and host in runs and runs[host] != last["revision"]]

    def _last_good(self, group: str) -> Deployment | None:
        """The deployment whose revision a new host gets: the last that succeeded and was made for all hosts."""
        made = (d for d in self._deployments.values() if d["deploymentGroupName"] == group and d["creator"] == "user")
        done = sorted((d for d in made if d["status"] == "Succeeded"), key=lambda d: d["completeTime"])
        return done[-1] if done else None

    def dump(self) -> dict[str, Any]:
        """Every deployment and its targets, to be kept."""
        return {"deployments": self._deployments, "targets": self._targets}

    def load(self, kept: dict[str, Any]) -> None:
        """Take up what ``dump`` gave."""
        self._deployments = kept["deployments"]
        # a state kept when there was one host only
        self._targets = {id_: told if isinstance(told, list) else [told] for id_, told in kept["targets"].items()}

    def end_orphans(self) -> None:
        """Fail the deployments that ran when the stack was killed: nobody works on them any more."""
        for deployment in self._deployments.values():
            if deployment["status"] not in ENDED and deployment["deploymentId"] not in self._stops:
                text = "The local stack was stopped while this deployment ran. Retry the release."
                self._end(deployment, DeployResult("Failed", (), "INTERNAL_ERROR", text))

    # AWS's operations

    def create_deployment(self, params: Params) -> dict[str, Any]:
        """CreateDeployment: one at a time in a group, of a bundle that is in S3."""
        application = str(required(params, "applicationName", code="ApplicationNameRequiredException"))
        group = str(required(params, "deploymentGroupName", code="DeploymentGroupNameRequiredException"))
        found = _group(application, group)
        if len(params.get("description") or "") > 256:
            raise AwsError("DescriptionTooLongException", "The description has at most 256 characters.")
        bundle = _bundle(required(params, "revision", code="RevisionRequiredException"))
        active = next((d for d in self._of(application, group) if d["status"] not in ENDED), None)
        if active is not None:
            text = f"The Deployment Group '{group}' already has an active Deployment '{active['deploymentId']}'"
            raise AwsError("DeploymentLimitExceededException", text)
        deployment = self._new(params, str(found.deployment_config_name))
        self._start(deployment, bundle)
        return {"deploymentId": deployment["deploymentId"]}

    def get_deployment_group(self, params: Params) -> dict[str, Any]:
        """GetDeploymentGroup: moto's group, with its last deployments, whoever made them."""
        application = str(required(params, "applicationName", code="ApplicationNameRequiredException"))
        group = str(required(params, "deploymentGroupName", code="DeploymentGroupNameRequiredException"))
        info = _deployment_group_info(_group(application, group))
        if self.from_groups:
            info["autoScalingGroups"] = [{"name": group, "hook": f"CodeDeploy-managed-{group}"}]
        made = self._of(application, group)
        done = sorted((d for d in made if d["status"] == "Succeeded"), key=lambda d: d["completeTime"])
        for name, last in (("lastSuccessfulDeployment", done[-1:]), ("lastAttemptedDeployment", made[-1:])):
            for d in last:
                told = {"deploymentId": d["deploymentId"], "status": d["status"], "createTime": d["createTime"]}
                info[name] = told | ({"endTime": d["completeTime"]} if "completeTime" in d else {})
        return {"deploymentGroupInfo": info}

    def get_deployment(self, params: Params) -> dict[str, Any]:
        """GetDeployment."""
        return {"deploymentInfo": self._found(params)}

    def batch_get_deployments(self, params: Params) -> dict[str, Any]:
        """BatchGetDeployments, of 25 at most; what is not there is left out."""
        ids = required(params, "deploymentIds", code="DeploymentIdRequiredException")
        if len(ids) > 25:
            raise AwsError("BatchLimitExceededException", "deploymentIds takes at most 25.")
        return {"deploymentsInfo": [self._deployments[d] for d in ids if d in self._deployments]}

    def list_deployments(self, params: Params) -> dict[str, Any]:
        """ListDeployments, newest first, in pages of 100; both names or neither."""
        application, group = params.get("applicationName"), params.get("deploymentGroupName")
        if bool(application) != bool(group):
            code = "DeploymentGroupNameRequiredException" if application else "ApplicationNameRequiredException"
            raise AwsError(code, "applicationName and deploymentGroupName go together.")
        rows = self.deployments()
        if application and group:
            _group(application, group)
            rows = self._of(application, group)
        wanted = params.get("includeOnlyStatuses") or None
        since = params.get("createTimeRange") or {}
        rows = [d for d in rows if (not wanted or d["status"] in wanted) and _within(d["createTime"], since)]
        ids = [d["deploymentId"] for d in reversed(rows)]
        chosen, token = page(ids, params.get("nextToken"), 100, code="InvalidNextTokenException")
        return {"deployments": chosen} | ({"nextToken": token} if token else {})

    def stop_deployment(self, params: Params) -> dict[str, Any]:
        """StopDeployment: asks the engine; the deployment goes on until the engine has stopped."""
        deployment = self._found(params)
        if deployment["status"] in ENDED:
            text = f"Deployment {deployment['deploymentId']} is already {deployment['status']}."
            raise AwsError("DeploymentAlreadyCompletedException", text)
        self._stops[deployment["deploymentId"]].set()
        return {"status": "Pending", "statusMessage": "Stopping deployment."}

    def list_deployment_targets(self, params: Params) -> dict[str, Any]:
        """ListDeploymentTargets: the group's hosts."""
        return {"targetIds": [target["targetId"] for target in self._targets[self._begun(params)["deploymentId"]]]}

    def get_deployment_target(self, params: Params) -> dict[str, Any]:
        """GetDeploymentTarget."""
        wanted = str(required(params, "targetId", code="DeploymentTargetIdRequiredException"))
        return {"deploymentTarget": self._told_targets(params, [wanted])[0]}

    def batch_get_deployment_targets(self, params: Params) -> dict[str, Any]:
        """BatchGetDeploymentTargets."""
        wanted = required(params, "targetIds", code="DeploymentTargetIdRequiredException")
        return {"deploymentTargets": self._told_targets(params, wanted)}

    def update_deployment_group(self, params: Params) -> dict[str, Any]:
        """UpdateDeploymentGroup: of what it can change, the deployment configuration."""
        application = str(required(params, "applicationName", code="ApplicationNameRequiredException"))
        group = str(required(params, "currentDeploymentGroupName", code="DeploymentGroupNameRequiredException"))
        unknown = params.keys() - {"applicationName", "currentDeploymentGroupName", "deploymentConfigName"}
        if unknown:
            text = "The local mode changes a deployment group's deploymentConfigName only, not "
            raise AwsError("InvalidInputException", f"{text}{', '.join(sorted(unknown))}.")
        _group(application, group).deployment_config_name = params["deploymentConfigName"]
        return {"hooksNotCleanedUp": []}

    # a deployment's life

    def _new(self, params: Params, config: str, hosts: Sequence[str] | None = None) -> Deployment:
        letters = string.ascii_uppercase + string.digits
        id_ = "d-" + "".join(self._dice.choices(letters, k=9))
        now = self._clock.now()
        deployment: Deployment = {
            "applicationName": params["applicationName"],
            "deploymentGroupName": params["deploymentGroupName"],
            "deploymentConfigName": params.get("deploymentConfigName") or config,
            "deploymentId": id_,
            "revision": dict(params["revision"]),
            "status": "Created",
            "createTime": now,
            "deploymentOverview": {},
            "creator": "user",
            "ignoreApplicationStopFailures": bool(params.get("ignoreApplicationStopFailures")),
            "updateOutdatedInstancesOnly": False,
            "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
            "fileExistsBehavior": params.get("fileExistsBehavior") or "DISALLOW",
            "computePlatform": "Server",
        }
        if params.get("description"):
            deployment["description"] = params["description"]
        self._deployments[id_] = deployment
        self._targets[id_] = [
            {
                "deploymentId": id_,
                "targetId": host,
                "targetArn": arn("ec2", f"instance/{host}"),
                "status": "Pending",
                "lastUpdatedAt": now,
                "lifecycleEvents": [],
            }
            for host in (self._hosts(params["deploymentGroupName"]) if hosts is None else hosts)
        ]
        deployment["deploymentOverview"] = self._overview(deployment)
        return deployment

    def _start(self, deployment: Deployment, bundle: bytes) -> None:
        id_ = deployment["deploymentId"]
        stop = self._stops[id_] = threading.Event()
        self._logs.mkdir(parents=True, exist_ok=True)
        job = DeployJob(
            deployment_id=id_,
            application=deployment["applicationName"],
            group=deployment["deploymentGroupName"],
            bundle=bundle,
            log=self._logs / f"{id_}.log",
            stop=stop,
            group_id=str(_group(deployment["applicationName"], deployment["deploymentGroupName"]).deployment_group_id),
            revision={name: str(value) for name, value in deployment["revision"]["s3Location"].items() if value},
            file_exists_behavior=deployment["fileExistsBehavior"],
            ignore_application_stop_failures=deployment["ignoreApplicationStopFailures"],
        )
        end = lambda: self._end(deployment, self._failed_early(id_) or self._roll(deployment, job))  # noqa: E731 - bound to this job only
        self._runner.start(EngineWork(id_, lambda: self._begin(deployment), end, stop))

    def _failed_early(self, id_: str) -> DeployResult | None:
        """How the deployment fails before any host begins, None where it does not."""
        return self.never_begins or (None if self._targets[id_] else NO_INSTANCES)

    def _begin(self, deployment: Deployment) -> None:
        if self._failed_early(deployment["deploymentId"]):
            return
        with self._lock:
            now = self._clock.now()
            deployment |= {"status": "InProgress", "startTime": now}
            self._emit(deployment, "START")
            # With the deployment, so that a caller never sees a deployment without a host at work.
            for target in self._next(deployment):
                self._begin_on(deployment, target)

    def _roll(self, deployment: Deployment, job: DeployJob) -> DeployResult:
        """Deploy host by host as the deployment's configuration allows; the whole deployment's end.

        A host is taken only while enough others stay healthy; a failed one counts as taken for good. So with OneAtATime
        the first failure ends it, but for one on the last host, after which CodeDeploy says Succeeded all the same.
        """
        first: DeployResult | None = None
        while batch := self._at_work(deployment):
            jobs = [replace(job, host=t["targetId"], begun=partial(self._event_begins, t)) for t in batch]
            with ThreadPoolExecutor(len(jobs)) as pool:
                # one alone stays in this thread, so that a single-threaded test is one
                results = [self._result(jobs[0])] if len(jobs) == 1 else list(pool.map(self._result, jobs))
            for target, result in zip(batch, results, strict=True):
                self._end_on(deployment, target, result)
                first = first or (result if result.status != "Succeeded" else None)
            with self._lock:
                for target in [] if job.stop.is_set() else self._next(deployment):
                    self._begin_on(deployment, target)
        if first is not None and (first.status == "Stopped" or not self._good(deployment)):
            return first
        stopped = job.stop.is_set() and any(t["status"] == "Pending" for t in self._targets[job.deployment_id])
        return (
            DeployResult("Stopped", (), "MANUAL_STOP", "Stopped by request.")
            if stopped
            else DeployResult("Succeeded", ())
        )

    def _at_work(self, deployment: Deployment) -> list[dict[str, Any]]:
        return [t for t in self._targets[deployment["deploymentId"]] if t["status"] == "InProgress"]

    def _next(self, deployment: Deployment) -> list[dict[str, Any]]:
        """The targets that may be taken now, so that as many stay healthy as the configuration asks for."""
        targets = self._targets[deployment["deploymentId"]]
        pending = [target for target in targets if target["status"] == "Pending"]
        failed = sum(target["status"] == "Failed" for target in targets)
        return pending[: max(0, _at_once(deployment["deploymentConfigName"], len(targets)) - failed)]

    def _good(self, deployment: Deployment) -> bool:
        """Whether every target was tried, and one at least succeeded."""
        states = [target["status"] for target in self._targets[deployment["deploymentId"]]]
        return "Pending" not in states and "Succeeded" in states

    def _begin_on(self, deployment: Deployment, target: dict[str, Any]) -> None:
        target |= {"status": "InProgress", "lastUpdatedAt": self._clock.now()}
        deployment["deploymentOverview"] = self._overview(deployment)
        self._emit(deployment, "START", target["targetId"])

    def _event_begins(self, target: dict[str, Any], name: str) -> None:
        """A lifecycle event begins on a host, so the one before has ended well."""
        with self._lock:
            now, rows = self._clock.now(), target["lifecycleEvents"]
            done = [row if "endTime" in row else {**row, "status": "Succeeded", "endTime": now} for row in rows]
            begun = {"lifecycleEventName": name, "status": "InProgress", "startTime": now}
            target |= {"lastUpdatedAt": now, "lifecycleEvents": [*done, begun]}

    def _end_on(self, deployment: Deployment, target: dict[str, Any], result: DeployResult) -> None:
        with self._lock:
            target |= {
                "status": STATES[result.status],
                "lastUpdatedAt": self._clock.now(),
                "lifecycleEvents": [_lifecycle(event) for event in result.events],
            }
            deployment["deploymentOverview"] = self._overview(deployment)
            self._emit(deployment, VERBS[result.status], target["targetId"])

    def _result(self, job: DeployJob) -> DeployResult:
        """What the engine made of the job. An engine that breaks is a failed deployment, with its sentence."""
        try:
            return self._deploy(job)
        except Exception as error:  # noqa: BLE001 - a deployment must end whatever its engine does
            return DeployResult("Failed", (), "INTERNAL_ERROR", f"{type(error).__name__}: {error}")

    def _end(self, deployment: Deployment, result: DeployResult) -> None:
        with self._lock:
            now = self._clock.now()
            for target in self._targets[deployment["deploymentId"]]:
                if target["status"] == "InProgress":  # the stack was stopped while it was at work
                    self._end_on(deployment, target, result)
                elif target["status"] == "Pending":
                    target |= {"status": "Skipped", "lastUpdatedAt": now}
            overview = self._overview(deployment)
            deployment |= {"status": result.status, "completeTime": now, "deploymentOverview": overview}
            if result.error_code:
                deployment["errorInformation"] = {"code": result.error_code, "message": result.message}
            self._stops.pop(deployment["deploymentId"], None)
            self._emit(deployment, VERBS[result.status])
        self.ended(deployment)

    def _overview(self, deployment: Deployment) -> dict[str, int]:
        names = ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
        states = [target["status"] for target in self._targets[deployment["deploymentId"]]]
        return {name: states.count(name) for name in names}

    def _emit(self, deployment: Deployment, state: str, host: str | None = None) -> None:
        application, group = deployment["applicationName"], deployment["deploymentGroupName"]
        resources = [
            arn("codedeploy", f"deploymentgroup:{application}/{group}"),
            arn("codedeploy", f"application:{application}"),
        ]
        detail = {
            "region": REGION,
            "deploymentId": deployment["deploymentId"],
            "instanceGroupId": str(_group(application, group).deployment_group_id),
            "deploymentGroup": group,
            "state": state,
            "application": application,
        }
        if host is None:
            self._bus.emit("aws.codedeploy", "CodeDeploy Deployment State-change Notification", resources, detail)
        else:
            # the host is a resource too in AWS's sample
            there = [*resources, arn("ec2", f"instance/{host}")]
            kind = "CodeDeploy Instance State-change Notification"
            self._bus.emit("aws.codedeploy", kind, there, detail | {"instanceId": host})

    def _of(self, application: str, group: str) -> list[Deployment]:
        wanted = (application, group)
        return [d for d in self._deployments.values() if (d["applicationName"], d["deploymentGroupName"]) == wanted]

    def _found(self, params: Params) -> Deployment:
        id_ = str(required(params, "deploymentId", code="DeploymentIdRequiredException"))
        if id_ not in self._deployments:
            raise AwsError("DeploymentDoesNotExistException", f"The deployment {id_} could not be found")
        return self._deployments[id_]

    def _begun(self, params: Params) -> Deployment:
        """The deployment, of which AWS tells no target before its first host begins."""
        found = self._found(params)
        if "startTime" not in found:
            text = f"The deployment {found['deploymentId']} has not started."
            raise AwsError("DeploymentNotStartedException", text)
        return found

    def _told_targets(self, params: Params, wanted: list[str]) -> list[dict[str, Any]]:
        id_ = self._begun(params)["deploymentId"]
        targets = {target["targetId"]: target for target in self._targets[id_]}
        for name in wanted:
            if name not in targets:
                text = f"The target {name} is not one of deployment {id_}"
                raise AwsError("DeploymentTargetDoesNotExistException", text)
        return [{"deploymentTargetType": "InstanceTarget", "instanceTarget": targets[name]} for name in wanted]


def _group(application: str, group: str) -> Any:
    backend = codedeploy_backends[ACCOUNT][REGION]
    if application not in backend.applications:
        raise AwsError("ApplicationDoesNotExistException", f"No application found for name: {application}")
    groups = backend.deployment_groups.get(application, {})
    if group not in groups:
        raise AwsError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {group}")
    found = groups[group]
    # moto gives another one at every start, and hosts remember by it what they installed
    found.deployment_group_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{group}.{application}.codedeploy"))
    return found


def _bundle(revision: Mapping[str, Any]) -> bytes:
    """The bytes of the revision, which must lie in S3 here."""
    place = revision.get("s3Location") or {}
    if revision.get("revisionType") != "S3" or not place.get("bucket") or not place.get("key"):
        raise AwsError("InvalidRevisionException", "The local mode takes revisions from S3 only: give s3Location.")
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(place["bucket"])
    key = bucket.keys.get(place["key"]) if bucket is not None else None
    if key is None:
        text = f"No object s3://{place['bucket']}/{place['key']}: put the bundle there before deploying it."
        raise AwsError("RevisionDoesNotExistException", text)
    return bytes(key.value)


def _at_once(config: str, hosts: int) -> int:
    """How many hosts may be without the release they had, at the same time; a configuration of one's own is taken for
    one at a time, which is also CodeDeploy's default."""
    kinds = {"CodeDeployDefault.AllAtOnce": hosts, "CodeDeployDefault.HalfAtATime": hosts // 2}
    return max(1, kinds.get(config, 1))


def _within(at: datetime, limits: Mapping[str, datetime]) -> bool:
    # Over HTTP they come without a zone, and are UTC.
    start, end = (one and one.replace(tzinfo=one.tzinfo or UTC) for one in (limits.get("start"), limits.get("end")))
    return (start is None or at >= start) and (end is None or at <= end)


def _lifecycle(event: LifecycleEvent) -> dict[str, Any]:
    row = asdict(event)
    return {
        "lifecycleEventName": row["name"],
        "status": row["status"],
        "startTime": row["started"],
        "endTime": row["ended"],
        "diagnostics": {
            "errorCode": row["error_code"],
            "scriptName": row["script"],
            "message": row["message"],
            "logTail": row["log_tail"][-2048:],
        },
    }
