"""The door of an in-memory AWS: a client as boto3 gives it, whose calls go straight to a method of a stand-in.

No botocore below it: no request is written, sent or parsed, so a call costs microseconds. A request is judged as AWS
judges it (``console.local.aws.strict``). What botocore does to a call (retries, timeouts) is tested elsewhere, with the
real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ConnectionClosedError

from console.local.aws.api import AwsError
from console.local.aws.faults import Call, Faults, When
from console.local.aws.strict import judge

# What a hook raises "after" a call: AWS performed it, and the caller never hears.
PAGED = {
    "ssm": ("Parameters", "NextToken"),
    "ecr": ("imageDetails", "nextToken"),
    "codecommit": ("differences", "NextToken"),
}


class LostAnswerError(ConnectionClosedError):
    """AWS performed the call and the connection closed before its answer."""

    def __init__(self, call: Call) -> None:
        super().__init__(endpoint_url=f"https://{call.service}.us-east-1.amazonaws.com/")


def losing(wanted: Callable[[Call], bool]) -> Callable[[When, Call], None]:
    """A hook that loses the answers of the calls that are ``wanted``."""

    def hook(moment: When, call: Call) -> None:
        if moment == "after" and wanted(call):
            raise LostAnswerError(call)

    return hook


class Client:
    """One service's client: ``client.start_build(**parameters)`` calls the stand-in's ``start_build``."""

    def __init__(self, service: str, stand_in: Any, faults: Faults) -> None:
        self._service, self._stand_in, self._faults = service, stand_in, faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stand_in, name)
        operation = "".join(part.title() for part in name.split("_"))
        assert xform_name(operation) == name

        def call(**parameters: Any) -> Any:
            said = Call(self._service, operation, parameters)
            try:
                self._faults.before(said)
                judge(self._service, operation, parameters)
                answer = method(parameters)
                self._faults.after(said)
            except AwsError as error:
                raise client_error(error, operation) from error
            return answer

        self.__dict__[name] = call
        return call

    def get_paginator(self, name: str) -> Paginator:
        """A paginator of an operation that gives pages."""
        return Paginator(getattr(self, name), PAGED[self._service][1])


class Paginator:
    """The pages of one operation."""

    def __init__(self, call: Callable[..., Any], token: str) -> None:
        self._call, self._token = call, token

    def paginate(self, **parameters: Any) -> Iterator[Any]:
        """Each page, as the operation answers it."""
        page = self._call(**parameters)
        yield page
        while self._token in page:
            page = self._call(**parameters, **{self._token: page[self._token]})
            yield page


def client_error(error: AwsError, operation: str) -> ClientError:
    """The error as boto3 raises it."""
    status = 500 if error.code.startswith("Internal") else 400
    response: Any = {
        "Error": {"Code": error.code, "Message": error.message},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **error.fields,
    }
    return ClientError(response, operation)
