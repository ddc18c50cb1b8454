"""The values behind a release's SSM parameters, read from the local AWS as a host reads them. They pass through memory
only: no file remembers one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from console.local.aws_account import REGION

Environment = Callable[[], Mapping[str, str]]  # the variables by which a program reaches the local AWS
AT_ONCE = 10  # names in one GetParameters


def fetched(parameters: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """By variable, the value of its parameter. Raises ValueError with a sentence where one is not there."""
    if not parameters:
        return {}
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    make: Any = boto3.client
    there = environment()
    keys = {key.lower(): there[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if key in there}
    ssm = make("ssm", region_name=REGION, endpoint_url=there.get("AWS_ENDPOINT_URL"), **keys)
    names, values = sorted(set(parameters.values())), dict[str, str]()
    for start in range(0, len(names), AT_ONCE):
        try:
            answer = ssm.get_parameters(Names=names[start : start + AT_ONCE], WithDecryption=True)
        except (BotoCoreError, ClientError) as error:
            raise ValueError(f"the SSM parameters {', '.join(names)} cannot be read: {error}") from error
        if answer.get("InvalidParameters"):
            raise ValueError(f"there is no SSM parameter {answer['InvalidParameters'][0]} in this region")
        values |= {each["Name"]: each["Value"] for each in answer["Parameters"]}
    return {variable: values[name] for variable, name in parameters.items()}
