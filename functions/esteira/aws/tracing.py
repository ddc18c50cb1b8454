"""A share of the functions' calls as traces in X-Ray, by X-Ray's own API. The one file that knows how a trace is made.

Lambda's own tracing samples nearly every call of a function that is called rarely, and a trace costs as much as the
call. So Lambda only passes traces through, and ESTEIRA_TRACE_SHARE says how many calls are traced. OpenTelemetry was
measured: with its exporter it loads as long as a boto3 client and adds 10 MB to the artifact; this loads nothing. A
trace may be lost: it is sent once, and an error there fails no call.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from esteira.telemetry import logger

P = ParamSpec("P")
R = TypeVar("R")
Part = dict[str, Any]  # a segment or subsegment, as X-Ray's documents have it

MOST = 150  # parts in a trace: X-Ray takes 64 KB
# The parts that are open, the innermost last; empty where this call is not traced.
_open: ContextVar[tuple[Part, ...]] = ContextVar("open parts of the trace", default=())


def traced(handler: Callable[P, R]) -> Callable[P, R]:
    """A handler of which a share of the calls is traced, with every decision and AWS call that it makes."""

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        share = float(os.environ.get("ESTEIRA_TRACE_SHARE", "0"))
        if share:
            watch_calls()  # before the first client is made
        trace = _trace_id()
        if not is_sampled(trace, share):
            return handler(*args, **kwargs)
        segment = {"trace_id": trace, **_part(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "esteira"))}
        try:
            with _opened(segment):
                return handler(*args, **kwargs)
        finally:
            _send(segment)

    return call


@contextmanager
def subsegment(name: str, service: str, release: str) -> Iterator[None]:
    """Trace what is done inside under ``name``, as being about a release of a service."""
    if not _open.get():
        yield
        return
    with _opened(_added(_part(name))):
        about(service, release)
        yield


def about(service: str, release: str = "") -> None:
    """Annotate the open part of the trace with its service and, where that is known, its release.

    X-Ray finds a trace by fifty annotations, so each is put once a trace. A trace may be about several services, so a
    release is named with its own.
    """
    parts = _open.get()
    if not parts:
        return
    said, annotations = parts[0].setdefault("_said", set()), parts[-1].setdefault("annotations", {})
    for key, value in (("service", service), ("release", f"{service} {release}" if release else "")):
        if value and (key, value) not in said:
            annotations[key] = value
            said.add((key, value))


def is_sampled(trace: str, share: float) -> bool:
    """Whether a trace is one of the share that is recorded: decided by its id, so that nothing has to be remembered."""
    return bool(trace) and int(trace[-8:], 16) < share * 2**32


def _trace_id() -> str:
    """The id of this call's trace, which its log lines have too; "" outside Lambda."""
    found = re.search(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})", os.environ.get("_X_AMZN_TRACE_ID", ""))
    return found[1] if found else ""


def _part(name: str) -> Part:
    allowed = re.sub(r"[^\w .:/%&#=+\\@-]", " ", name)[:200]
    return {"id": secrets.token_hex(8), "name": allowed, "start_time": time.time(), "subsegments": []}


def _added(part: Part) -> Part:
    """The part, as a subsegment of the open one; past ``MOST`` parts it is only counted."""
    root = _open.get()[0]
    root["_parts"] = root.get("_parts", 0) + 1
    if root["_parts"] <= MOST:
        _open.get()[-1]["subsegments"].append(part)
    return part


@contextmanager
def _opened(part: Part) -> Iterator[None]:
    token = _open.set((*_open.get(), part))
    try:
        yield
    except Exception as error:
        _failed(part, error)
        raise
    finally:
        part["end_time"] = time.time()
        _open.reset(token)


def _failed(part: Part, error: Exception) -> None:
    cause = {"id": secrets.token_hex(8), "type": type(error).__name__, "message": str(error)[:1000]}
    part |= {"fault": True, "cause": {"exceptions": [cause]}}


@cache
def watch_calls() -> None:
    """Let every client that is made from now on add its calls to the trace that is open."""
    import boto3

    boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    events = session.events
    events.register("before-call", _call_begins)
    events.register("after-call", _call_ends)
    events.register("after-call-error", _call_fails)


def _call_begins(model: Any, context: Part, **_: Any) -> None:
    if _open.get():
        context["part"] = _added(_part(str(model.service_model.service_id)))
        context["part"] |= {"namespace": "aws", "aws": {"operation": model.name}}


def _call_ends(http_response: Any, context: Part, **_: Any) -> None:
    if part := context.get("part"):
        status = http_response.status_code
        part |= {"end_time": time.time(), "http": {"response": {"status": status}}, "error": status >= 400}


def _call_fails(exception: Exception, context: Part, **_: Any) -> None:
    if part := context.get("part"):
        _failed(part, exception)
        part["end_time"] = time.time()


def _send(segment: Part) -> None:
    segment.pop("_said", None)
    segment["metadata"] = {"esteira": {"parts": segment.pop("_parts", 0)}}
    try:
        left = client_of_xray().put_trace_segments(TraceSegmentDocuments=[json.dumps(segment)])[
            "UnprocessedTraceSegments"
        ]
    except Exception as error:  # noqa: BLE001 - a trace is worth no failed call
        left = [{"Message": str(error)}]
    if left:
        logger.warning("a trace was not recorded", error=str(left[0].get("Message", left[0])))


@cache
def client_of_xray() -> Any:
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 1}
    return boto3.client("xray", config=Config(retries=retries, connect_timeout=1, read_timeout=2))
