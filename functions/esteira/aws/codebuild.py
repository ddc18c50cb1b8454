"""Builds: started under a claim, looked up by it, read and stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esteira.claims import CLAIM_VARIABLE, BuildClaim
from esteira.config import Service
from esteira.errors import PartialError, is_refusal, making


def log_of(build: str) -> dict[str, str]:
    """Where CloudWatch Logs has the log of a build (``PROJECT:UUID``), as a request names it."""
    project, _, stream = build.partition(":")
    return {"logGroupName": f"/aws/codebuild/{project}", "logStreamName": stream}


@dataclass(frozen=True)
class Builds:
    """CodeBuild, as the controller needs it."""

    client: Callable[..., Any]

    def start_build(
        self,
        service: Service,
        claim: BuildClaim,
        commit: str,
        tag: str,
        token: str,
        live: Mapping[str, str],
        buildspec: str = "",
        secrets: Mapping[str, str] | None = None,
    ) -> str:
        """Start the build of ``commit``; its id, ``PROJECT:UUID``. Raises DeclinedError, UnsureError.

        ``tag`` is where it is to push its image. ``token`` makes it the same build for five minutes, so it may be sent
        twice. ``live`` are the variables that tell it about the release that is live now. ``buildspec`` takes the
        place of the commit's buildspec.yml. ``secrets`` are variables with the SSM parameter that CodeBuild reads.
        """
        variables = {
            **live,
            CLAIM_VARIABLE: str(claim),
            "ESTEIRA_SERVICE": service.name,
            "ESTEIRA_RELEASE": f"v{claim.release}",
            "ESTEIRA_COMMIT": commit,
            "IMAGE_URI": service.image_uri,
            "IMAGE_TAG": tag,
        }
        variables |= {"ESTEIRA_FOLDER": service.folder} if service.folder else {}
        override = {"buildspecOverride": buildspec} if buildspec else {}
        with making(claim):
            answer = self.client("codebuild").start_build(
                projectName=service.project,
                sourceVersion=commit,
                idempotencyToken=token,
                environmentVariablesOverride=_overrides(secrets or {}, variables),
                **override,
            )
        return str(answer["build"]["id"])

    def find_build(self, service: Service, claim: BuildClaim) -> str | None:
        """The id of the oldest build that carries ``claim``, among the project's last hundred, or None.

        A later one is somebody's copy, or CodeBuild's own retry.
        """
        codebuild = self.client("codebuild")
        pages = codebuild.get_paginator("list_builds_for_project").paginate(
            projectName=service.project, sortOrder="DESCENDING", PaginationConfig={"MaxItems": 100}
        )
        ids = [build for page in pages for build in page["ids"]]
        builds = self.builds(ids)
        for build in sorted(builds, key=lambda b: ids.index(b["id"]), reverse=True):
            variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
            if variables.get(CLAIM_VARIABLE) == str(claim):
                return str(build["id"])
        unread = [build for build in ids if build not in {b["id"] for b in builds}]
        if unread:
            # One of them may carry the claim, so "there is none" would be a guess.
            raise PartialError(f"CodeBuild lists {len(unread)} builds that it does not give, such as {unread[0]}")
        return None

    def builds(self, ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """``BatchGetBuilds``' builds for at most a hundred ids. A build that CodeBuild does not find is left out."""
        if not ids:
            return []
        builds: Sequence[Mapping[str, Any]] = self.client("codebuild").batch_get_builds(ids=list(ids))["builds"]
        return builds

    def build_log(self, build: str) -> Sequence[str]:
        """The last lines of a build's log, none where CloudWatch has no such log, or none yet."""
        try:
            told = self.client("logs").get_log_events(**log_of(build))
        except Exception as error:
            if not is_refusal(error):
                raise
            return ()
        return [event["message"].rstrip("\n") for event in told["events"]]

    def stop_build(self, build: str) -> None:
        """Ask a build to stop; one that ended is left as it is, so it may be sent twice."""
        self.client("codebuild").stop_build(id=build)


def _overrides(secrets: Mapping[str, str], variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Variables as StartBuild takes them; no secret takes the place of one of ours."""
    kinds = {"PARAMETER_STORE": {n: at for n, at in secrets.items() if n not in variables}, "PLAINTEXT": variables}
    return [{"name": name, "value": v, "type": kind} for kind, given in kinds.items() for name, v in given.items()]
