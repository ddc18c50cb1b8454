"""What an error of AWS's or botocore's means, in words that end in the next thing to type."""

from __future__ import annotations

from typing import Any

from console.read.clients import ANSWER_SECONDS
from console.read.where import Where


def explained(error: Exception, where: Where) -> str | None:
    """What AWS's or boto3's ``error`` means and what to type next; None for an error of another kind."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _explained_answer(error, where)
    if not isinstance(error, BotoCoreError):
        return None
    match type(error).__name__:
        case "NoCredentialsError" | "PartialCredentialsError":
            return (
                f"there are no AWS credentials to speak to {where.named} with. Next: aws configure; "
                f"without an AWS account: esteira local up"
            )
        case "NoRegionError":
            return (
                "no AWS region is chosen. Next: export AWS_REGION=us-east-1, or whichever the stack is in; "
                "without an AWS account: esteira local up"
            )
        case "EndpointConnectionError" | "ConnectTimeoutError" | "ConnectionClosedError":
            if where.functions and where.functions in str(error):
                return f"nothing at {where.functions} runs the functions ({error}). Next: make start-lambda"
            start = "esteira local up" if where.endpoint else "check the network"
            return f"{where.named} does not answer ({error}). Next: {start}"
        case "ReadTimeoutError":
            return f"{where.named} did not answer in {ANSWER_SECONDS} s. Next: esteira status tells what came of it"
        case "ProfileNotFound":
            return f"{error}. Next: aws configure --profile NAME, or unset AWS_PROFILE"
        case _:
            return f"AWS cannot be spoken to: {error}. Next: aws sts get-caller-identity tells whether you are known"


def _explained_answer(error: Any, where: Where) -> str:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    match code:
        case "ResourceNotFound":  # as the SAM CLI words it
            return f"no function of the stack {where.stack} is at {where.functions} ({text}). Next: make start-lambda"
        case _ if text == "PathNotFoundException":  # all that the SAM CLI knows of anything but Invoke
            return (
                f"{where.endpoint} runs functions, and knows no {error.operation_name}. "
                f"Next: --endpoint lambda={where.endpoint}, and let the rest be where it is"
            )
        case "ResourceNotFoundException":
            return (
                f"no stack {where.stack} is at {where.named} ({error.operation_name}: {text}). "
                f"Next: sam deploy, or name another: --stack NAME"
            )
        case "AccessDeniedException" | "AccessDenied":
            return f"AWS does not let you: {text}. Next: ask for the right {error.operation_name}, or set AWS_PROFILE"
        case "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredToken":
            return f"AWS does not know these credentials: {text}. Next: aws sso login, or aws configure"
        case _:
            return f"AWS answered {error.operation_name} with {code}: {text}. Next: try again; esteira status is safe"
