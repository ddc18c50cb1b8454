"""A request judged by botocore's model and by AWS's documentation, before it is performed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.strict import documented, model


def judge(service: str, operation: str, params: Mapping[str, Any]) -> None:
    """Raise the AwsError that AWS answers to a request that is not well-formed. Parameters are as boto3 takes them."""
    found = model.fault(service, operation, params)
    if found:
        code = VALIDATION.get(service, "ValidationException")
        raise AwsError(code, f"1 validation error detected: {found}")
    call = f"{service}:{operation}"
    for rule in documented.RULES.get(call, ()):
        if text := rule.fault(params):
            raise AwsError(rule.code, text)


# What a service calls a request that its own model refuses, where that is not ValidationException.
VALIDATION = {
    "cloudwatch": "ValidationError",
    "codebuild": "InvalidInputException",
    "ecr": "InvalidParameterException",
    "sns": "InvalidParameter",
}
