"""What AWS's answers mean for a caller. Each error is one sentence about what exists now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# AWS answers these when it is asked too often. Nothing was done, so the same call may be sent again.
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException")
# The connection was never made, so AWS never saw the call.
NEVER_SENT = ("ConnectTimeoutError", "EndpointConnectionError", "ProxyConnectionError", "SSLError")


class DeclinedError(Exception):
    """AWS refused to make something. It does not exist, and may be asked for again."""


class BusyError(DeclinedError):
    """The deployment group already runs a deployment. It takes one at a time."""


class UnsureError(Exception):
    """Nobody knows yet whether something exists: the answer was lost, or AWS contradicts itself.

    The claim stays. Whoever comes next looks the thing up by its claim before it is asked for again.
    """


class PartialError(Exception):
    """AWS answered 200 and did only a part of the batch. The message names what it left out."""


def code_of(error: BaseException) -> str:
    """AWS's code for an error, "" for an error that is not AWS's."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def status_of_answer(error: BaseException) -> int:
    """The HTTP status of AWS's error, 0 where AWS did not answer."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    return int(metadata.get("HTTPStatusCode", 0))


def is_refusal(error: BaseException) -> bool:
    """Whether AWS refused the request as it is: a 4xx that is no throttle. Sent again, it would be refused again."""
    if isinstance(error, DeclinedError):
        return True
    return 400 <= status_of_answer(error) < 500 and code_of(error) not in THROTTLED


@contextmanager
def making(claim: object) -> Iterator[None]:
    """A block that makes one thing in AWS, named by ``claim``.

    A refusal (4xx) becomes DeclinedError or BusyError, because nothing was made. A lost answer, a time-out or a 5xx
    becomes UnsureError. Errors that are not about the network or AWS pass unchanged.
    """
    try:
        yield
    except Exception as error:
        status = status_of_answer(error)
        if 400 <= status < 500:
            kind = BusyError if code_of(error) == "DeploymentLimitExceededException" else DeclinedError
            raise kind(f"{code_of(error)}: {error.response['Error'].get('Message', '')}") from error  # type: ignore[attr-defined]
        if type(error).__name__ in NEVER_SENT:
            raise DeclinedError(f"{claim} never reached AWS: {error}") from error
        if status >= 500 or _is_network(error):
            text = f"the answer to {claim} was lost, so it may exist ({error}); the next sweep looks it up by its claim"
            raise UnsureError(text) from error
        raise


def _is_network(error: BaseException) -> bool:
    """Whether botocore met this error while it sent the request or read the answer."""
    return any(kind.__name__ in ("HTTPClientError", "ConnectionError") for kind in type(error).__mro__)
