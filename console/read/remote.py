"""Where the controller is, and how to speak to it: the table is read directly, changes go to the function ``operate``.

A running local stack is found by the note it leaves in its state folder; otherwise it is AWS as botocore finds it. What
a person can cause here (no credentials, no such stack, an endpoint that does not answer) leaves this file as
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

from console.read.wire import Key, Wire, through

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
    """The controller at ``where``. ``client`` makes a client of AWS by its service's name; ``invoke`` calls a function
    with a payload in place of Lambda."""

    def __init__(
        self,
        where: Where,
        client: Callable[[str], Any] | None = None,
        invoke: Callable[[str, Any], Invoked] | None = None,
    ) -> None:
        self.where = where
        self._client = client or clients(where)
        self._ask = through(client) if client else wire(where)
        self._invoke = invoke or self._by_lambda

    @property
    def client(self) -> Callable[[str], Any]:
        """What makes a botocore client that speaks to where the controller is, by its service's name."""
        return self._client

    @cached_property
    def table(self) -> str:
        """The name of the controller's table."""
        untold = self.where.endpoint or self.where.functions
        return self._listed_table() if untold else self._table()

    @cached_property
    def store(self) -> Store:
        """The table, to be read only."""
        from console.read.table import Table

        return Table(self._ask, self.table)

    def services(self) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """The registered services, and a sentence for each registration that is malformed."""
        # Here, and not above: the registrations' model takes half a second, which neither --help nor the tab key has.
        from pydantic import ValidationError

        from esteira.config import Service

        path = f"/{self.where.stack}/services/"
        parameters = self._listed("ssm", "GetParametersByPath", "Parameters", "NextToken", "NextToken",
                                  Path=path, Recursive=True)  # fmt: skip
        try:
            return tuple(Service.model_validate_json(parameter["Value"]) for parameter in parameters), ()
        except ValidationError:  # the controller has the words for it
            from esteira.aws import Aws

            return Aws(self._client).services(path)

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
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.exceptions import NoCredentialsError
        from botocore.session import get_session

        from esteira import identity

        region = str(self._client("lambda").meta.region_name)
        if pretended := _pretended(self.where):
            name = re.sub(r"[^A-Za-z0-9+=.@_-]", "-", str(request.get("by", ""))) or pretended["aws_access_key_id"]
            credentials: Any = Credentials(name, pretended["aws_secret_access_key"])
        else:
            credentials = get_session().get_credentials()
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
        told = self._ask("lambda", "GetFunctionConfiguration", FunctionName=f"{self.where.stack}-operate")
        return str(told.get("Environment", {}).get("Variables", {}).get("ESTEIRA_TABLE") or self.where.stack)

    def _listed_table(self) -> str:
        """Return the table's name where nobody tells a function's environment: the one called after the stack."""
        stack = self.where.stack
        names = self._listed(
            "dynamodb", "ListTables", "TableNames", "LastEvaluatedTableName", "ExclusiveStartTableName"
        )
        return next((n for n in names if n == stack or n.startswith(f"{stack}-Table")), stack)

    def _listed(self, service: str, operation: str, key: str, more: str, start: str, **request: Any) -> list[Any]:
        """All pages of a list: what stands under ``key``. The answer's ``more`` is the next request's ``start``."""
        rows: list[Any] = []
        while True:
            answer = self._ask(service, operation, **request)
            rows.extend(answer.get(key, []))
            if not answer.get(more):
                return rows
            request[start] = answer[more]


def clients(where: Where) -> Callable[[str], Any]:
    """A maker of botocore clients for ``where``; each is made once."""
    made: dict[str, Any] = {}

    def client(name: str) -> Any:
        from botocore.config import Config
        from botocore.session import get_session

        if name not in made:
            config = Config(
                retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=ANSWER_SECONDS
            )
            url = (where.functions if name == "lambda" else None) or where.endpoint
            make: Any = get_session().create_client
            made[name] = make(name, config=config, endpoint_url=url, **_pretended(where))
        return made[name]

    return client


def wire(where: Where) -> Wire:
    """The wire to ``where``."""
    pretended = _pretended(where)
    key = Key(pretended["aws_access_key_id"], pretended["aws_secret_access_key"]) if pretended else None
    return Wire(where.endpoint, where.functions, key, pretended.get("region_name", ""))


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
