"""The one door to AWS's services, but for the table: CodeCommit, CodeBuild, ECR, CodeDeploy, S3, SSM, EventBridge, SNS.

Each method is one thing the controller asks or does, in its own words; what AWS answers comes back as values. Clients
are made when first used and honour ``AWS_ENDPOINT_URL``. AWS's "no" to something that is to be made is ``Declined``:
nothing exists; any other error leaves open what happened and is raised as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import ValidationError

from esteira.appspec import RELEASE, Bundle, Folder
from esteira.claims import CLAIM_VARIABLE, BuildClaim, RolloutClaim, rollout_claim
from esteira.config import Service, commit_tag
from esteira.inspection import Change


@cache
def client(name: str) -> Any:
    """Return the boto3 client of a service, made once per process."""
    import boto3
    from botocore.config import Config

    # Well under the functions' 60 seconds in all, so that an error is told and not cut off.
    config = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=15)
    make: Any = boto3.client  # typed for literal names only
    return make(name, config=config)


class DeclinedError(Exception):
    """AWS refused to make what it was asked for: nothing exists, and it may be asked again."""


class BusyError(DeclinedError):
    """The deployment group runs a deployment already, and takes one at a time."""


class UnsureError(Exception):
    """AWS says two things that do not go together yet; asked again, it will have made up its mind."""


@dataclass(frozen=True)
class Hosts:
    """What became of a deployment on its hosts: which ones are without it (``missed``), whether one took it, and why
    the first failed (``cause``) and in which lifecycle ``event``, "" if none says. ``unsure`` names a host, with its
    state, that has not come to an end. ``answers`` are all their words (``facts.HostsAnswered``)."""

    missed: tuple[str, ...] = ()
    reached: bool = False
    unsure: str = ""
    cause: str = ""
    event: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """One image in the registry."""

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime


@dataclass(frozen=True)
class Aws:
    """AWS, as the controller needs it. ``client`` gives a boto3 client by its service's name."""

    client: Callable[[str], Any] = client

    # --- registration

    def services(self, path: str) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """Return the services registered under the SSM path, and a sentence for each registration that is malformed."""
        services: list[Service] = []
        faults: list[str] = []
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        for parameter in (p for page in pages for p in page["Parameters"]):
            try:
                services.append(Service.model_validate_json(parameter["Value"]))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "the document"
                faults.append(f"the registration {parameter['Name']} is refused: {where}: {first['msg']}")
        return tuple(services), tuple(faults)

    def secret(self, parameter: str) -> str:
        """Return what an SSM parameter holds, decrypted: for the one who uses it, and for nobody's eyes."""
        answer = self.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
        return str(answer["Parameter"]["Value"])

    # --- CodeCommit

    def tip(self, service: Service) -> str | None:
        """Return the branch's newest commit, None where the branch does not exist."""
        try:
            answer = self.client("codecommit").get_branch(repositoryName=service.repository, branchName=service.branch)
        except Exception as error:
            if _code(error) == "BranchDoesNotExistException":
                return None
            raise
        return str(answer["branch"]["commitId"])

    def changes(self, service: Service, base: str, commit: str) -> tuple[list[Change], bool]:
        """Return what changed from ``base`` to ``commit``, and whether that is the whole tree: without a base, or where
        the base is in the repository no more."""
        request = {"repositoryName": service.repository, "afterCommitSpecifier": commit}
        if base:
            try:
                return self._differences({**request, "beforeCommitSpecifier": base}), False
            except Exception as error:
                if _code(error) != "CommitDoesNotExistException":
                    raise
        return self._differences(request), True

    def _differences(self, request: Mapping[str, str]) -> list[Change]:
        pages = self.client("codecommit").get_paginator("get_differences").paginate(**request)
        changes = []
        for difference in (d for page in pages for d in page["differences"]):
            after, before = difference.get("afterBlob"), difference.get("beforeBlob")
            changes.append(Change((after or before)["path"], after["blobId"] if after else ""))
        return changes

    def blob(self, service: Service, blob: str) -> bytes | None:
        """Return a file's content, None where CodeCommit finds it too large to give."""
        try:
            answer = self.client("codecommit").get_blob(repositoryName=service.repository, blobId=blob)
        except Exception as error:
            if _code(error) == "FileTooLargeException":
                return None
            raise
        return bytes(answer["content"])

    def folder(self, service: Service, commit: str, path: str) -> Folder | None:
        """Return a folder of the commit ("": its root), None where the commit is in the repository no more."""
        try:
            answer = self.client("codecommit").get_folder(
                repositoryName=service.repository, commitSpecifier=commit, folderPath=path
            )
        except Exception as error:
            if _code(error) == "CommitDoesNotExistException":
                return None
            raise
        return Folder(
            {f["relativePath"]: (f["blobId"], f["fileMode"] == "EXECUTABLE") for f in answer.get("files", ())},
            tuple(f["relativePath"] for f in answer.get("subFolders", ())),
            {f["relativePath"]: "a symbolic link" for f in answer.get("symbolicLinks", ())}
            | {f["relativePath"]: "a submodule" for f in answer.get("subModules", ())},
        )

    def comment(self, service: Service, commit: str, text: str, token: str) -> None:
        """Put a comment on a commit; the same ``token`` makes it the same comment."""
        self.client("codecommit").post_comment_for_compared_commit(
            repositoryName=service.repository, afterCommitId=commit, content=text, clientRequestToken=token
        )

    # --- ECR

    def image(self, service: Service, *, tag: str = "", digest: str = "") -> Image | None:
        """Return the image under a tag or digest, None if there is none."""
        wanted = {"imageTag": tag} if tag else {"imageDigest": digest}
        try:
            answer = self.client("ecr").describe_images(repositoryName=service.images, imageIds=[wanted])
        except Exception as error:
            if _code(error) == "ImageNotFoundException":
                return None
            raise
        found = answer["imageDetails"][0]
        return Image(found["imageDigest"], tuple(found.get("imageTags", ())), found["imagePushedAt"])

    def images(self, service: Service) -> Iterator[Mapping[str, Any]]:
        """Yield the details of every tagged image; the repository's lifecycle policy bounds them."""
        pages = (
            self.client("ecr")
            .get_paginator("describe_images")
            .paginate(repositoryName=service.images, filter={"tagStatus": "TAGGED"})
        )
        for page in pages:
            yield from page["imageDetails"]

    def tag_image(self, service: Service, digest: str, tag: str) -> bool:
        """Put ``tag`` on the image, moving it if it may be moved; False if the image is gone.

        Raises DeclinedError where the tag is frozen on another image.
        """
        ecr = self.client("ecr")
        answer = ecr.batch_get_image(repositoryName=service.images, imageIds=[{"imageDigest": digest}])
        if not answer["images"]:
            return False
        found = answer["images"][0]
        request = {"repositoryName": service.images, "imageManifest": found["imageManifest"], "imageTag": tag}
        if found.get("imageManifestMediaType"):
            request["imageManifestMediaType"] = found["imageManifestMediaType"]
        try:
            ecr.put_image(**request)
        except Exception as error:
            if _code(error) == "ImageTagAlreadyExistsException":
                raise DeclinedError(f"tag {tag} is frozen on another image of {service.images}") from error
            if _code(error) != "ImageAlreadyExistsException":  # which says: it is so already
                raise
        return True

    # --- CodeBuild

    def start_build(self, service: Service, claim: BuildClaim, commit: str, token: str, live: Mapping[str, str]) -> str:
        """Start the build of ``commit`` and return its id, ``PROJECT:UUID``. Raises DeclinedError.

        ``live`` are the variables that tell it of the release that is live now.
        """
        variables = {
            **live,
            CLAIM_VARIABLE: str(claim),
            "ESTEIRA_SERVICE": service.name,
            "ESTEIRA_RELEASE": f"v{claim.release}",
            "ESTEIRA_COMMIT": commit,
            "IMAGE_URI": service.image_uri,
            "IMAGE_TAG": commit_tag(commit),
        }
        with _declining():
            answer = self.client("codebuild").start_build(
                projectName=service.project,
                sourceVersion=commit,
                idempotencyToken=token,
                environmentVariablesOverride=[
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
                ],
            )
        return str(answer["build"]["id"])

    def find_build(self, service: Service, claim: BuildClaim) -> str | None:
        """Return the id of the build that carries ``claim``, among the project's last hundred, or None."""
        codebuild = self.client("codebuild")
        ids = codebuild.list_builds_for_project(projectName=service.project, sortOrder="DESCENDING")["ids"]
        for build in self.builds(ids):
            variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
            if variables.get(CLAIM_VARIABLE) == str(claim):
                return str(build["id"])
        return None

    def builds(self, ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return ``BatchGetBuilds``' builds for at most a hundred ids."""
        if not ids:
            return []
        builds: Sequence[Mapping[str, Any]] = self.client("codebuild").batch_get_builds(ids=list(ids))["builds"]
        return builds

    def stop_build(self, build: str) -> None:
        """Ask a build to stop; one that ended is left as it is."""
        self.client("codebuild").stop_build(id=build)

    # --- CodeDeploy

    def put_bundle(self, service: Service, key: str, bundle: Bundle, release: Mapping[str, Any]) -> str:
        """Upload what the host is to run: the bundle and its ``release.json``, zipped; return the zip's SHA-256.

        Raises DeclinedError.
        """
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, file in sorted(bundle.files.items()):
                # A fixed date and mode: the same release gives the same bytes.
                entry = zipfile.ZipInfo(path)
                entry.external_attr = (0o755 if file.executable else 0o644) << 16
                archive.writestr(entry, file.content)
            archive.writestr(zipfile.ZipInfo(RELEASE), json.dumps(release, indent=1, sort_keys=True))
        with _declining():
            self.client("s3").put_object(Bucket=service.bundles, Key=key, Body=packed.getvalue())
        return hashlib.sha256(packed.getvalue()).hexdigest()

    def create_deployment(self, service: Service, claim: RolloutClaim, why: str, key: str) -> str:
        """Deploy the bundle under ``key`` and return the deployment's id. Raises DeclinedError, BusyError."""
        with _declining():
            answer = self.client("codedeploy").create_deployment(
                applicationName=service.application,
                deploymentGroupName=service.stage(claim.stage).group,
                description=f"{claim} {why}"[:256],
                fileExistsBehavior="OVERWRITE",
                revision={
                    "revisionType": "S3",
                    "s3Location": {"bucket": service.bundles, "key": key, "bundleType": "zip"},
                },
            )
        return str(answer["deploymentId"])

    def find_deployment(self, service: Service, claim: RolloutClaim) -> str | None:
        """Return the id of the deployment that carries ``claim``, among the group's newest hundred, or None."""
        codedeploy = self.client("codedeploy")
        group = service.stage(claim.stage).group
        listed = codedeploy.list_deployments(applicationName=service.application, deploymentGroupName=group)
        ids = listed["deployments"][:100]
        for start in range(0, len(ids), 25):
            infos = codedeploy.batch_get_deployments(deploymentIds=ids[start : start + 25])["deploymentsInfo"]
            for info in infos:
                if rollout_claim(info.get("description", "")) == claim:
                    return str(info["deploymentId"])
        return None

    def deployment_status(self, deployment: str) -> str:
        """Return a deployment's status, in the API's words."""
        return str(self.client("codedeploy").get_deployment(deploymentId=deployment)["deploymentInfo"]["status"])

    def targets(self, deployment: str) -> list[Mapping[str, Any]]:
        """Return what became of a deployment on each host: id, status, lifecycle events."""
        codedeploy = self.client("codedeploy")
        found: list[Mapping[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = codedeploy.list_deployment_targets(deploymentId=deployment, **page)
            ids = answer["targetIds"]
            for start in range(0, len(ids), 25):
                asked = {"deploymentId": deployment, "targetIds": ids[start : start + 25]}
                found.extend(codedeploy.batch_get_deployment_targets(**asked)["deploymentTargets"])
            if not answer.get("nextToken"):
                return [target["instanceTarget"] for target in found if "instanceTarget" in target]
            page = {"nextToken": answer["nextToken"]}

    def hosts(self, deployment: str) -> Hosts:
        """Return what became of a deployment that has ended on all its hosts together."""
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
        )

    def error(self, deployment: str) -> str:
        """Return the reason CodeDeploy gives for a deployment that did not succeed, in a sentence."""
        info = self.client("codedeploy").get_deployment(deploymentId=deployment)["deploymentInfo"]
        return str(info.get("errorInformation", {}).get("message") or "CodeDeploy gives no reason")

    def stop_deployment(self, deployment: str) -> None:
        """Ask a deployment to stop; one that ended is left as it is."""
        try:
            self.client("codedeploy").stop_deployment(deploymentId=deployment, autoRollbackEnabled=False)
        except Exception as error:
            if _code(error) != "DeploymentAlreadyCompletedException":
                raise

    # --- CloudWatch

    def alarms(self, names: Sequence[str]) -> list[tuple[str, datetime, str]]:
        """Return of those alarms the ones that are in ALARM now: name, since when, and CloudWatch's reason.

        Since when is when it went off: StateUpdatedTimestamp moves on while it rings.
        """
        answer = self.client("cloudwatch").describe_alarms(
            AlarmNames=list(names), StateValue="ALARM", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found = (*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", []))
        return [
            (
                a["AlarmName"],
                a.get("StateTransitionedTimestamp") or a["StateUpdatedTimestamp"],
                str(a.get("StateReason", "")),
            )
            for a in found
        ]

    # --- telling

    def emit(self, detail: Mapping[str, Any], kind: str = "Release Phase Changed") -> None:
        """Put an event of that kind on the default bus."""
        self.client("events").put_events(
            Entries=[{"Source": "esteira", "DetailType": kind, "Detail": json.dumps(detail)}]
        )

    def publish(self, topic_arn: str, subject: str, text: str) -> None:
        """Tell the people who listen to the topic; SNS takes a hundred characters of subject, without line breaks."""
        self.client("sns").publish(TopicArn=topic_arn, Subject=subject[:100], Message=text)


def _cause(targets: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return why the first host that failed did, with its name where there are several, and in which lifecycle event;
    "" where none says."""
    for target in targets:
        for event in target.get("lifecycleEvents", []):
            if event.get("status") == "Failed":
                host = f"{target['targetId']}: " if len(targets) > 1 else ""
                return host + _told(event), event["lifecycleEventName"]
    return "", ""


def _answer(target: Mapping[str, Any]) -> str:
    """Return what one host answered: its state, and that of each lifecycle event it ran."""
    events = (f"{e['lifecycleEventName']} {e.get('status', 'Unknown')}" for e in target.get("lifecycleEvents", []))
    return f"{target['targetId']}: {target['status']}; {', '.join(events)}"[:1000]


def _told(event: Mapping[str, Any]) -> str:
    """Return a failed lifecycle event as a sentence with the last lines of its log below."""
    diagnostics = event.get("diagnostics", {})
    message = diagnostics.get("message") or diagnostics.get("errorCode") or "no message"
    tail = "\n".join(diagnostics.get("logTail", "").strip().splitlines()[-12:])
    return f"{event['lifecycleEventName']}: {message}" + (f"\n{tail}" if tail else "")


@contextmanager
def _declining() -> Iterator[None]:
    """Turn AWS's refusal (4xx: nothing was made) into DeclinedError; let whatever else happens pass."""
    try:
        yield
    except Exception as error:
        response = getattr(error, "response", None)
        if not isinstance(response, dict):
            raise
        if 400 <= response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500:
            code, message = response["Error"]["Code"], response["Error"].get("Message", "")
            kind = BusyError if code == "DeploymentLimitExceededException" else DeclinedError
            raise kind(f"{code}: {message}") from error
        raise


def _code(error: BaseException) -> str:
    """Return AWS's code for an error, "" for one that is not AWS's."""
    response = getattr(error, "response", None)
    return str(response["Error"]["Code"]) if isinstance(response, dict) else ""
