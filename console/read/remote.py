"""Where the controller is, and how to speak to it: the table is read directly, changes go to the function ``operate``.

A running local stack is found by the note it leaves in its state folder; otherwise it is AWS as boto3 finds it. What a
person can cause here (no credentials, a stack that is not there, an endpoint that does not answer) leaves this file as
``TroubleError``: one sentence that ends in the next thing to type.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from esteira.config import Service
    from esteira.store import Store

FAILED, REFUSED, UNDER_WAY = 1, 2, 3  # exit statuses, as `esteira --help` tells them

# The words that count by who says them, so that it has to be proven.
PROVEN = {"approve", "reject", "promote", "bypass"}

# A function may run for a minute; asked again because nobody listened, `operate` would still hear one request only.
ANSWER_SECONDS = 70


class TroubleError(Exception):
    """A sentence for the person who typed, and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Where:
    """One controller: its stack's name, the endpoint that stands for AWS (None: AWS itself), whether it is the local
    stack, and the endpoint that runs the functions where that is another (``sam local start-lambda``). Of the local
    stack also where a service is pushed to and answers, and where its dead letters lie."""

    stack: str
    endpoint: str | None = None
    local: bool = False
    remotes: Mapping[str, str] = field(default_factory=dict)
    functions: str | None = None
    pages: Mapping[str, str] = field(default_factory=dict)
    letters: Path | None = None

    @property
    def named(self) -> str:
        """Return what to call it in a sentence."""
        if self.local:
            return "the local stack"
        return f"AWS at {self.endpoint}" if self.endpoint else "AWS"


@dataclass(frozen=True)
class Invoked:
    """What a function answered: its payload, and the error in one line ("" when there is none)."""

    payload: Any
    error: str = ""


def answered(text: str) -> Invoked:
    """Return what a function answered, from the body that Lambda, or the SAM CLI in its place, gives for it.

    The SAM CLI calls nothing an error: not the body of a function that failed, which is told by its type, nor a
    timeout, which is in plain words.
    """
    try:
        payload = json.loads(text or "null")
    except ValueError:
        return Invoked(None, text.strip())
    if isinstance(payload, dict) and "errorType" in payload:
        return Invoked(payload, f"{payload['errorType']}: {payload.get('errorMessage', 'no message')}")
    return Invoked(payload)


def find(endpoint: str | None, stack: str | None, state: Path, functions: str | None = None) -> Where:
    """Return which controller is meant. A note of a local stack in ``state`` counts unless an endpoint is given;
    ``functions`` is the endpoint of its functions, if that is another.

    Raises TroubleError where the note cannot be read, or the process that wrote it is gone: what was meant for the
    local stack must not reach AWS.
    """
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or None
    functions = functions or os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or None
    note = state / "local.json"
    if endpoint or not note.exists():
        return Where(stack or "esteira", endpoint, functions=functions)
    try:
        told = json.loads(note.read_text())
        pid, url = int(told["pid"]), str(told["endpoint"])
        where = Where(
            stack or str(told.get("stack", "esteira")),
            url,
            True,
            told.get("remotes", {}),
            functions,
            told.get("pages", {}),
            state / "dead-letters.jsonl",
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise TroubleError(
            f"{note} is not a local stack's note. Next: esteira local up writes it anew; to speak to AWS, remove it"
        ) from None
    if not _runs(pid):
        raise TroubleError(
            f"the local stack of {state} is not running. Next: esteira local up; to speak to AWS instead, remove {note}"
        )
    return where


class Controller:
    """The controller at ``where``. ``client`` makes a boto3 client by its service's name; ``invoke`` calls a function
    with a payload in place of Lambda."""

    def __init__(
        self,
        where: Where,
        client: Callable[[str], Any] | None = None,
        invoke: Callable[[str, Any], Invoked] | None = None,
    ) -> None:
        self.where = where
        self._client = client or clients(where)
        self._invoke = invoke or self._by_lambda

    @property
    def client(self) -> Callable[[str], Any]:
        """What makes a boto3 client that speaks to where the controller is, by its service's name."""
        return self._client

    @cached_property
    def table(self) -> str:
        """The name of the controller's table."""
        untold = self.where.endpoint or self.where.functions
        return self._listed_table() if untold else self._table()

    @cached_property
    def store(self) -> Store:
        """The table, to be read only."""
        from esteira.store import Store

        return Store(self._client("dynamodb"), self.table)

    def services(self) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """Return the registered services, and a sentence for each registration that is malformed."""
        # Here, and not above: the registrations' model takes half a second, which neither --help nor the tab key has.
        from esteira.aws import Aws

        return Aws(self._client).services(f"/{self.where.stack}/services/")

    def invoke(self, function: str, payload: Any) -> Invoked:
        """Call the function of that name, and wait for what it answers."""
        return self._invoke(function, payload)

    def operate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send an operator's request and return the answer. Raises TroubleError where it is refused or fails."""
        name = f"{self.where.stack}-operate"
        proof = {"proof": self._proof(request)} if request["action"] in PROVEN else {}
        answer = self.invoke(name, {**request, **proof})
        if answer.error:
            raise TroubleError(
                f"{name} failed: {answer.error}. Next: esteira status tells whether it was heard; "
                f"the function's log is /aws/lambda/{name}"
            )
        if "refused" in answer.payload:
            raise TroubleError(str(answer.payload["refused"]), REFUSED)
        return dict(answer.payload)

    def _proof(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a proof of who asks, for this request: a request to STS, signed and not sent (``esteira.identity``).

        The local stack knows nobody's keys; there a person signs by the name they go by.
        """
        import boto3
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.exceptions import NoCredentialsError

        from esteira import identity

        region = str(self._client("lambda").meta.region_name)
        if pretended := _pretended(self.where):
            name = re.sub(r"[^A-Za-z0-9+=.@_-]", "-", str(request.get("by", ""))) or pretended["aws_access_key_id"]
            credentials: Any = Credentials(name, pretended["aws_secret_access_key"])
        else:
            credentials = boto3.Session().get_credentials()
        if credentials is None:
            raise NoCredentialsError
        headers = {"Content-Type": identity.CONTENT_TYPE, identity.HEADER: identity.digest(request)}
        signed = AWSRequest("POST", identity.address(region, self.where.endpoint or ""), headers, identity.BODY)
        SigV4Auth(credentials, "sts", region).add_auth(signed)
        return {"headers": dict(signed.headers.items())}

    def _by_lambda(self, function: str, payload: Any) -> Invoked:
        answer = self._client("lambda").invoke(
            FunctionName=function, InvocationType="RequestResponse", Payload=json.dumps(payload).encode()
        )
        said = answered(answer["Payload"].read().decode())
        return Invoked(said.payload, said.error or str(said.payload)) if answer.get("FunctionError") else said

    def _table(self) -> str:
        """Return the table's name as the functions know it: CloudFormation made it up."""
        told = self._client("lambda").get_function_configuration(FunctionName=f"{self.where.stack}-operate")
        return str(told.get("Environment", {}).get("Variables", {}).get("ESTEIRA_TABLE") or self.where.stack)

    def _listed_table(self) -> str:
        """Return the table's name where nobody tells a function's environment: the one called after the stack."""
        stack = self.where.stack
        pages = self._client("dynamodb").get_paginator("list_tables").paginate()
        names = [name for page in pages for name in page["TableNames"]]
        return next((n for n in names if n == stack or n.startswith(f"{stack}-Table")), stack)


def clients(where: Where) -> Callable[[str], Any]:
    """Return a maker of boto3 clients for ``where``; each is made once."""
    made: dict[str, Any] = {}

    def client(name: str) -> Any:
        import boto3
        from botocore.config import Config

        if name not in made:
            config = Config(
                retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=ANSWER_SECONDS
            )
            make: Any = boto3.Session().client  # typed for literal names only
            url = (where.functions if name == "lambda" else None) or where.endpoint
            made[name] = make(name, config=config, endpoint_url=url, **_pretended(where))
        return made[name]

    return client


def explained(error: Exception, where: Where) -> str | None:
    """Return what AWS's or boto3's ``error`` means and what to type next; None for an error of another kind."""
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


def code_of(error: Exception) -> str:
    """Return AWS's code of an error, "" for one that is not AWS's."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


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


def _pretended(where: Where) -> dict[str, str]:
    """Return the credentials and region to use where whoever answers asks for none: on this machine."""
    here = urlsplit(where.endpoint or "").hostname in ("127.0.0.1", "localhost", "::1")
    if where.local or (here and not os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}):
        return {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return {}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
