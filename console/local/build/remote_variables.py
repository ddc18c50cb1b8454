"""Variables of a build whose values lie in Parameter Store or Secrets Manager, fetched as CodeBuild fetches them.

Where one cannot be had the build fails in DOWNLOAD_SOURCE, in CodeBuild's words. A value is never written to the log.
"""

from __future__ import annotations

import json
from typing import Any

from console.local.build.buildspec import Buildspec
from console.local.engine import BuildJob


class RemoteVariableError(Exception):
    """A value cannot be had: CodeBuild's status code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")


def fetched(job: BuildJob, spec: Buildspec) -> dict[str, str]:
    """By variable, every value that the buildspec and the build project have elsewhere. Raises RemoteVariableError."""
    given = {*job.environment, *job.remote}  # the project's go before the buildspec's
    parameters = {name: at for name, at in spec.parameters.items() if name not in given} | _of(job, "PARAMETER_STORE")
    secrets = {name: at for name, at in spec.secrets.items() if name not in given} | _of(job, "SECRETS_MANAGER")
    if not parameters and not secrets:
        return {}
    import boto3  # here, because it costs more than most buildspecs need

    make: Any = boto3.client
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    access = {key.lower(): job.environment[key] for key in keys if key in job.environment}
    where = {"region_name": job.build_arn.split(":")[3], "endpoint_url": job.environment.get("AWS_ENDPOINT_URL")}
    values = {name: _parameter(make("ssm", **where, **access), path) for name, path in parameters.items()}
    return values | {name: _secret(make("secretsmanager", **where, **access), id_) for name, id_ in secrets.items()}


def _of(job: BuildJob, kind: str) -> dict[str, str]:
    return {name: value for name, (its_kind, value) in job.remote.items() if its_kind == kind}


def _parameter(ssm: Any, name: str) -> str:
    try:
        answer = ssm.get_parameters(Names=[name], WithDecryption=True)
    except Exception as error:
        raise RemoteVariableError("Decrypted Variables Error Message", str(error)) from error
    if answer.get("InvalidParameters"):
        text = f"parameter does not exist: {name}; put it there (aws ssm put-parameter) and retry"
        raise RemoteVariableError("Decrypted Variables Error Message", text)
    return str(answer["Parameters"][0]["Value"])


def _secret(secrets: Any, written: str) -> str:
    """``SECRET[:KEY[:STAGE[:VERSION]]]``; an ARN of a secret has six colons of its own."""
    parts = written.split(":")
    own = 7 if parts[0] == "arn" else 1
    key, stage, version, *_ = [*parts[own:], "", "", ""]
    asked = {"SecretId": ":".join(parts[:own]), "VersionStage": stage, "VersionId": version}
    try:
        answer = secrets.get_secret_value(**{name: value for name, value in asked.items() if value})
        text = str(answer["SecretString"])
        return str(json.loads(text)[key]) if key else text
    except Exception as error:
        what = f"the secret has no key {key}" if isinstance(error, KeyError | ValueError) else str(error)
        raise RemoteVariableError("Secrets Manager Error Message", f"{written}: {what}") from error
