"""The door of an in-memory AWS: a client as boto3 gives it, whose calls go straight to a method of a stand-in.

No botocore below it: no request is written, sent or parsed, so a call costs microseconds. A request is judged as AWS
judges it (``console.local.aws.strict``). What botocore does to a call (retries, timeouts) is tested elsewhere, with the
real one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ConnectionClosedError

from console.local.aws.api import AwsError
from console.local.aws.faults import Call, Faults, When
from console.local.aws.strict.judge import judge
from console.local.aws.strict.lists import Lists

# The name of the token of a service's next page.
PAGED = {
    "cloudwatch": "NextToken",
    "codebuild": "nextToken",
    "codecommit": "NextToken",
    "codedeploy": "nextToken",
    "ecr": "nextToken",
    "ssm": "NextToken",
}


# What a hook raises "after" a call: AWS performed it, and the caller never hears.
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

    def __init__(self, service: str, stand_in: Any, faults: Faults, lists: Lists) -> None:
        self._service, self._stand_in, self._faults, self._lists = service, stand_in, faults, lists

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stand_in, name)
        operation = "".join(part.title() for part in name.split("_"))
        assert xform_name(operation) == name

        def call(**parameters: Any) -> Any:
            said = Call(self._service, operation, parameters)
            try:
                self._faults.before(said)
                judge(self._service, operation, parameters)
                answer = self._faults.perform(
                    said, lambda asked: self._lists.answer(self._service, operation, asked, method)
                )
                self._faults.after(said)
            except AwsError as error:
                raise client_error(error, operation) from error
            return answer

        self.__dict__[name] = call
        return call

    def get_paginator(self, name: str) -> Paginator:
        """A paginator of an operation that gives pages."""
        return Paginator(getattr(self, name), PAGED[self._service])


class Paginator:
    """The pages of one operation."""

    def __init__(self, call: Callable[..., Any], token: str) -> None:
        self._call, self._token = call, token

    def paginate(self, PaginationConfig: Mapping[str, int] | None = None, **parameters: Any) -> Iterator[Any]:  # noqa: N803 - botocore's name
        """Each page, as the operation answers it, until there are so many rows as ``MaxItems`` says."""
        most, rows = (PaginationConfig or {}).get("MaxItems", math.inf), 0
        page = self._call(**parameters)
        yield page
        while self._token in page and (rows := rows + sum(len(v) for v in page.values() if isinstance(v, list))) < most:
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
