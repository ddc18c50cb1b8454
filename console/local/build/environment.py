"""The variables that a build's commands see."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from console.local.build.buildspec import Buildspec
from console.local.build.workspace import SYSTEM_PATH, Workspace
from console.local.engine import BuildJob

IMAGE = "esteira/process:1"  # CODEBUILD_BUILD_IMAGE: no image, and its name says so
# What of this machine's environment a build needs to reach a package index; nothing else of it is the build's business.
_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TZ")
_PASSED_ON_BEGINNINGS = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def environment_of(job: BuildJob, workspace: Workspace, spec: Buildspec, extra: Mapping[str, str]) -> dict[str, str]:
    """The shell's first variables: this machine's few, the buildspec's, the job's, and CodeBuild's own over all."""
    region = job.environment.get("AWS_REGION") or job.environment.get("AWS_DEFAULT_REGION") or _region(job.build_arn)
    uuid = job.build_id.rpartition(":")[2]
    return {
        **{name: value for name, value in os.environ.items() if _passed_on(name)},
        "PATH": f"{workspace.bin}:{workspace.site / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(workspace.home),
        "TMPDIR": str(workspace.root / "tmp"),
        "LANG": "C.UTF-8",
        # what a build installs stays in the build: the interpreter is also the console's
        "PIP_TARGET": str(workspace.site),
        "PYTHONPATH": str(workspace.site),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "AWS_EC2_METADATA_DISABLED": "true",  # no credentials given means none, at once
        **spec.variables,
        **job.environment,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **extra,
        "CODEBUILD_BUILD_ARN": job.build_arn,
        "CODEBUILD_BUILD_ID": job.build_id,
        "CODEBUILD_BUILD_IMAGE": IMAGE,
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_KMS_KEY_ID": f"arn:aws:kms:{region}:{_account(job.build_arn)}:alias/aws/s3",
        "CODEBUILD_LOG_PATH": uuid,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": job.commit,
        "CODEBUILD_SOURCE_VERSION": job.commit,
        "CODEBUILD_SRC_DIR": str(workspace.source),
        "CODEBUILD_START_TIME": str(time.time_ns() // 1_000_000),
    }


def _passed_on(name: str) -> bool:
    return name in _PASSED_ON or name.upper().startswith(_PASSED_ON_BEGINNINGS)


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _account(arn: str) -> str:
    return arn.split(":")[4]
