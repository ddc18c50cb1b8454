"""What every service here shares: an AWS error, an AWS page. A service is a set of operations, each a
function from the call's parameters (as boto3 takes them) to its answer (as boto3 gives it); the doors (``doors.py``)
put them behind HTTP and behind in-process clients alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from console.local.aws_account import ACCOUNT

CALLER = f"arn:aws:iam::{ACCOUNT}:user/local"  # who signs with the keys that everything here pretends to have

Params = Mapping[str, Any]
Operation = Callable[[Params], dict[str, Any]]
Item = TypeVar("Item")


class AwsError(Exception):
    """An error AWS would answer: ``code`` is AWS's name of it, ``fields`` what else the modelled error carries."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields


def user(name: str) -> str:
    """The ARN of the user with that name on this machine."""
    return f"arn:aws:iam::{ACCOUNT}:user/{re.sub(r'[^A-Za-z0-9+=.@_-]', '-', name)}"


def page(items: Sequence[Item], token: str | None, size: int, *, code: str) -> tuple[list[Item], str | None]:
    """One page of ``items`` from ``token`` (None: the first) on, and the next page's token (None: the last).

    A token that was not given by this function raises AWS's error ``code``.
    """
    if token is not None and not token.isdecimal():
        raise AwsError(code, f"The pagination token {token!r} is not valid.")
    start = int(token or 0)
    end = start + size
    return list(items[start:end]), str(end) if end < len(items) else None


def required(params: Params, name: str, *, code: str) -> Any:
    """The parameter ``name``, or AWS's error ``code`` when it is missing or empty."""
    value = params.get(name)
    if value in (None, "", [], {}):
        raise AwsError(code, f"{name} is required.")
    return value
