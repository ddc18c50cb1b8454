"""EC2 hosts by their tags, through CodeDeploy: the bundle they run, deployments, and what each host answered.

CreateDeployment has no idempotency token. It is sent once, and a lost answer is looked up by the claim in the
deployment's description. A throttled call made nothing and is tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import sleep as wait
from typing import Any

from appspec.problem import File
from esteira.backoff import Sleep, patiently
from esteira.bundle import RELEASE, Bundle
from esteira.claims import RolloutClaim, rollout_claim
from esteira.config import Service
from esteira.errors import THROTTLED, DeclinedError, PartialError, code_of, making
from esteira.targets.autoscaling import DeploymentGroups

CLOCKS = timedelta(minutes=5)  # by how much CodeDeploy's clock and ours may differ


@dataclass(frozen=True)
class Hosts:
    """What became of a deployment on its hosts: which ones are without it (``missed``), whether one took it, and why
    the first failed (``cause``) and in which lifecycle ``event``, "" if none says. ``unsure`` names a host, with its
    state, that has not come to an end. ``answers`` are all their words, ``found`` what they had to find out
    (``facts.Diagnosed``)."""

    missed: tuple[str, ...] = ()
    reached: bool = False
    unsure: str = ""
    cause: str = ""
    event: str = ""
    answers: tuple[str, ...] = ()
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ec2(DeploymentGroups):
    """CodeDeploy and the bundles' bucket, as the controller needs them. ``sleep`` pauses between tries."""

    client: Callable[..., Any]
    sleep: Sleep = wait

    def put_bundle(self, service: Service, key: str, bundle: Bundle, release: Mapping[str, Any]) -> tuple[str, str]:
        """Upload what the host is to run: the bundle and its ``release.json``, zipped; the zip's SHA-256 and its ETag.

        The same release gives the same bytes under the same key, so it may be sent twice. Raises DeclinedError,
        UnsureError.
        """
        import zipfile  # only a deployment needs these
        from tempfile import TemporaryFile

        document = File(json.dumps(release, indent=1, sort_keys=True).encode())
        with TemporaryFile() as packed:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, file in [*sorted(bundle.files.items()), (RELEASE, document)]:
                    entry = zipfile.ZipInfo(path)  # with a fixed date
                    # Hooks that run as another user must be able to read every file.
                    entry.external_attr = (0o755 if file.executable else 0o644) << 16
                    archive.writestr(entry, file.content)
            packed.seek(0)
            sha256 = hashlib.file_digest(packed, "sha256").hexdigest()
            packed.seek(0)
            with making(f"the bundle {key}"):
                put = self.client("s3").put_object(Bucket=service.bundles, Key=key, Body=packed)
        return sha256, put["ETag"].strip('"')

    def create_deployment(self, service: Service, claim: RolloutClaim, why: str, key: str, etag: str) -> str:
        """Deploy the bundle under ``key``, and no other object that may come to lie there: the host's agent compares
        the ETag. The deployment's id. Raises DeclinedError, BusyError, UnsureError."""
        group = service.stage(claim.stage).group
        place = {"bucket": service.bundles, "key": key, "bundleType": "zip", "eTag": etag}
        revision = {"revisionType": "S3", "s3Location": place}

        def create() -> str:
            with making(claim):
                answer = self.client("codedeploy", once=True).create_deployment(
                    applicationName=service.application,
                    deploymentGroupName=group,
                    description=f"{claim} {why}"[:256],
                    fileExistsBehavior="OVERWRITE",
                    revision=revision,
                )
            return str(answer["deploymentId"])

        return patiently(create, _throttled, self.sleep)

    def find_deployment(self, service: Service, claim: RolloutClaim, since: datetime) -> str | None:
        """The id of the deployment that carries ``claim``, among those of the group made ``since`` then; or None.

        CodeDeploy lists in no order, so every page is read. Raises PartialError where it does not give one that it
        lists, because that may be the one.
        """
        codedeploy = self.client("codedeploy")
        pages = codedeploy.get_paginator("list_deployments").paginate(
            applicationName=service.application,
            deploymentGroupName=service.stage(claim.stage).group,
            createTimeRange={"start": since - CLOCKS},
        )
        ids, given = [deployment for page in pages for deployment in page["deployments"]], 0
        for some in batches(ids):
            infos = codedeploy.batch_get_deployments(deploymentIds=some)["deploymentsInfo"]
            given += len(infos)
            found = (info["deploymentId"] for info in infos if rollout_claim(info.get("description", "")) == claim)
            if deployment := next(found, None):
                return str(deployment)
        if given < len(ids):
            raise PartialError(f"CodeDeploy lists {len(ids)} deployments for {claim} and gives {given}")
        return None

    def last_deployments(self, service: Service, stage: str) -> tuple[str, str]:
        """The ids of the stage's last deployment that succeeded, and of a later one that ended otherwise, whoever made
        them; "" for none, and where there is no such group, which ``doctor`` says."""
        group = self.group_info(service, stage)
        last, tried = group.get("lastSuccessfulDeployment", {}), group.get("lastAttemptedDeployment", {})
        ended = str(tried["deploymentId"]) if tried.get("status") in ("Failed", "Stopped") else ""
        return str(last.get("deploymentId", "")), ended

    def changed(self, deployment: str) -> bool:
        """Whether a deployment put its files on a host."""
        events = (event for target in self.targets(deployment) for event in target.get("lifecycleEvents", []))
        return any((e["lifecycleEventName"], e.get("status")) == ("Install", "Succeeded") for e in events)

    def deployment(self, deployment: str) -> Mapping[str, Any]:
        """A deployment as CodeDeploy tells it."""
        told: Mapping[str, Any] = self.client("codedeploy").get_deployment(deploymentId=deployment)["deploymentInfo"]
        return told

    def deployment_status(self, deployment: str) -> str:
        """A deployment's status, in the API's words."""
        return str(self.deployment(deployment)["status"])

    def targets(self, deployment: str) -> list[Mapping[str, Any]]:
        """What became of a deployment on each host: id, status, lifecycle events; nothing while no host has begun."""
        try:
            return self._targets(deployment)
        except Exception as error:
            if code_of(error) == "DeploymentNotStartedException":
                return []
            raise

    def _targets(self, deployment: str) -> list[Mapping[str, Any]]:
        codedeploy = self.client("codedeploy")
        found: list[Mapping[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = codedeploy.list_deployment_targets(deploymentId=deployment, **page)
            for ids in batches(answer["targetIds"]):
                given = codedeploy.batch_get_deployment_targets(deploymentId=deployment, targetIds=ids)
                if len(given["deploymentTargets"]) < len(ids):
                    raise PartialError(f"CodeDeploy lists more hosts of {deployment} than it gives")
                found += given["deploymentTargets"]
            if not answer.get("nextToken"):
                hosts = (target["instanceTarget"] for target in found if "instanceTarget" in target)
                return sorted(hosts, key=lambda host: str(host["targetId"]))  # CodeDeploy gives them in no order
            page = {"nextToken": answer["nextToken"]}

    def hosts(self, deployment: str) -> Hosts:
        """What became of a deployment that has ended, on all its hosts together."""
        targets = self.targets(deployment)
        unsure = (t for t in targets if t["status"] not in ("Succeeded", "Failed", "Skipped"))
        cause, event = _cause(targets)
        return Hosts(
            missed=tuple(t["targetId"] for t in targets if t["status"] in ("Failed", "Skipped")),
            reached=any(t["status"] == "Succeeded" for t in targets),
            unsure=next((f"host {t['targetId']} that it is {t['status']}" for t in unsure), ""),
            cause=cause,
            event=event,
            answers=tuple(map(_answer, targets)),
            found=_found(targets),
        )

    def error(self, deployment: str) -> str:
        """CodeDeploy's own code and message for a deployment that did not succeed: ``NO_INSTANCES: …``."""
        told = self.deployment(deployment).get("errorInformation", {})
        return ": ".join(filter(None, (told.get("code"), told.get("message")))) or "CodeDeploy gives no reason"

    def stop_deployment(self, deployment: str) -> None:
        """Ask a deployment to stop; one that ended is left as it is, so it may be sent twice."""
        try:
            self.client("codedeploy").stop_deployment(deploymentId=deployment, autoRollbackEnabled=False)
        except Exception as error:
            if code_of(error) != "DeploymentAlreadyCompletedException":
                raise


def batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids, as many at a time as CodeDeploy answers for."""
    return (list(ids[start : start + 25]) for start in range(0, len(ids), 25))


def _throttled(error: Exception) -> bool:
    return isinstance(error, DeclinedError) and code_of(error.__cause__ or error) in THROTTLED


def _cause(targets: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Why the first host that failed did, with its name where there are several, and in which lifecycle event;
    "" where none says."""
    events = [(event, target) for target in targets for event in target.get("lifecycleEvents", [])]
    failed = [(event, target) for event, target in events if event.get("status") == "Failed"]
    if not failed:
        return "", ""
    event, target = min(failed, key=lambda row: str(row[0].get("endTime", "")))
    host = f"{target['targetId']}: " if len(targets) > 1 else ""
    return host + _told(event), event["lifecycleEventName"]


def _answer(target: Mapping[str, Any]) -> str:
    """One host's answer: its state, and that of each lifecycle event it ran."""
    events = (f"{e['lifecycleEventName']} {e.get('status', 'Unknown')}" for e in target.get("lifecycleEvents", []))
    return f"{target['targetId']}: {target['status']}; {', '.join(events)}"[:1000]


def _found(targets: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the hosts say that they had to find out, in lines of their hooks that begin with ``found:``."""
    tails = (e.get("diagnostics", {}).get("logTail", "") for t in targets for e in t.get("lifecycleEvents", []))
    lines = (line.removeprefix("[stdout]") for tail in tails for line in tail.splitlines())
    return tuple(dict.fromkeys(line[:300] for line in lines if line.startswith("found: ")))[:10]


def _told(event: Mapping[str, Any]) -> str:
    """A failed lifecycle event as a sentence with the last lines of its log below, without secrets: a repository's own
    hooks do not mask what they print."""
    from guard.mask import masked  # not while a function starts

    diagnostics = event.get("diagnostics", {})
    message = diagnostics.get("message") or diagnostics.get("errorCode") or "no message"
    tail = "\n".join(diagnostics.get("logTail", "").strip().splitlines()[-12:])
    return masked(f"{event['lifecycleEventName']}: {message}" + (f"\n{tail}" if tail else ""))
