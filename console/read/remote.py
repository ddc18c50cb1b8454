"""The controller as the console speaks to it: the table is read directly, changes go to the function ``operate``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from console.read.clients import clients, session, wire
from console.read.where import REFUSED, TroubleError, Where, local_credentials
from console.read.wire import through

if TYPE_CHECKING:
    from esteira.config import Service
    from esteira.store import Store


# Words that only count, or whose sayer is counted, with a proof.
PROVEN = {"approve", "reject", "promote", "bypass", "policy"}


@dataclass(frozen=True)
class Invoked:
    """What a function answered: its payload, and the error in one line ("" when there is none)."""

    payload: Any
    error: str = ""


def answered(text: str) -> Invoked:
    """What a function answered, from the body that Lambda, or the SAM CLI in its place, gives for it.

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
    def target(self) -> str:
        """The local stack's folder, or AWS's account, Region and stack: what a word is about to change."""
        where = self.where
        if where.endpoint or where.functions:
            return f"{where.named} at {where.state}" if where.state else f"{where.named}, stack {where.stack}"
        return self.target_of(str(self._configuration["FunctionArn"]))

    def target_of(self, arn: str) -> str:
        """The same, as the ARN of anything in that account and Region tells it."""
        account, region = arn.split(":")[4:2:-1]
        return f"AWS account {account}, {region}, stack {self.where.stack}"

    @cached_property
    def table(self) -> str:
        """The name of the controller's table."""
        untold = self.where.endpoint or self.where.functions
        return self._listed_table() if untold else self._table()

    @cached_property
    def store(self) -> Store:
        """The table, to be read only."""
        from console.read.table import DynamoReads
        from esteira.store import Store

        reads: Any = DynamoReads(self._ask)
        return Store(reads, self.table)

    def services(self) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """The registered services, and a sentence for each registration that is malformed."""
        # Here, and not above: the registrations' model takes half a second, which neither --help nor the tab key has.
        from pydantic import ValidationError

        from esteira.config import Service

        path = f"/{self.where.stack}/services/"
        parameters = self._listed("ssm", "GetParametersByPath", "Parameters", "NextToken", "NextToken",
                                  Path=path, Recursive=True)  # fmt: skip
        try:
            found = [Service.model_validate_json(parameter["Value"]) for parameter in parameters]
            return tuple(sorted(found, key=lambda service: service.name)), ()  # SSM promises no order
        except ValidationError:  # the controller has the words for it
            from esteira.aws import Aws

            return Aws(self._client).services(path)

    def invoke(self, function: str, payload: Any) -> Invoked:
        """Call the function of that name, and wait for what it answers."""
        return self._invoke(function, payload)

    def operate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send an operator's request and return the answer. Raises TroubleError where it is refused or fails."""
        from esteira.identity import UNPROVEN

        name = f"{self.where.stack}-operate"
        proof = {"proof": self._proof(request)} if request["action"] in PROVEN else {}
        answer = self.invoke(name, {**request, **proof})
        # A service may want any word proven; its registration is the function's to read.
        if not proof and not answer.error and UNPROVEN in str(answer.payload.get("refused", "")):
            answer = self.invoke(name, {**request, "proof": self._proof(request)})
        if answer.error:
            raise TroubleError(
                f"{name} failed: {answer.error}. Next: esteira status tells whether it was heard; "
                f"the function's log is /aws/lambda/{name}"
            )
        if "refused" in answer.payload:
            raise TroubleError(str(answer.payload["refused"]), REFUSED)
        return dict(answer.payload)

    def _proof(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A proof of who asks, for this request: a request to STS, signed and not sent (``esteira.identity``).

        The local stack knows nobody's keys; there a person signs by the name they go by.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.exceptions import NoCredentialsError

        from esteira import identity

        region = str(self._client("lambda").meta.region_name)
        if pretended := local_credentials(self.where):
            name = re.sub(r"[^A-Za-z0-9+=.@_-]", "-", str(request.get("by", ""))) or pretended["aws_access_key_id"]
            credentials: Any = Credentials(name, pretended["aws_secret_access_key"])
        else:
            credentials = session(self.where).get_credentials()
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
        """The table's name as the functions know it: CloudFormation made it up."""
        return str(
            self._configuration.get("Environment", {}).get("Variables", {}).get("ESTEIRA_TABLE") or self.where.stack
        )

    @cached_property
    def _configuration(self) -> dict[str, Any]:
        """How the function ``operate`` is configured; its ARN says which account and Region the stack is in."""
        return self._ask("lambda", "GetFunctionConfiguration", FunctionName=f"{self.where.stack}-operate")

    def _listed_table(self) -> str:
        """The table's name where nobody tells a function's environment: the one called after the stack."""
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
