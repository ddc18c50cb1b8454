"""Logs, metrics (EMF) and traces, by Powertools. What they are called comes from POWERTOOLS_* in the environment.

A metric costs money in every hour that has a figure of it, a log line only its bytes. So there are two metrics, both of
trouble, and everything else is read from the log's lines when somebody looks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from aws_lambda_powertools import Logger, Metrics

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

P = ParamSpec("P")
R = TypeVar("R")

# Lambda filters by level only lines whose time is of RFC 3339; without it all of them, errors too, count as INFO.
logger = Logger(service="esteira", use_rfc3339=True)
metrics = Metrics(namespace="esteira")


def traced(handler: Callable[P, R]) -> Callable[P, R]:
    """Trace a handler and every AWS call it makes, where Lambda traces; elsewhere, do nothing.

    The X-Ray SDK takes twice as long to load as all the rest of a function, so it is loaded by the first call that is
    traced, not by the import.
    """

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _tracing():
            return handler(*args, **kwargs)
        captured: Any = tracer().capture_lambda_handler(handler, capture_response=False)
        answer: R = captured(*args, **kwargs)
        return answer

    return call


@contextmanager
def subsegment(name: str, service: str, release: str) -> Iterator[None]:
    """Trace what is done inside under ``name``, as being about a release of a service."""
    if not _tracing():
        yield
        return
    with tracer().provider.in_subsegment(name=f"## {name}") as part:
        for key, value in _annotations(service, release).items():
            part.put_annotation(key=key, value=value)
        yield


def about(service: str, release: str = "") -> None:
    """Say in the trace of this call which service it is about, and which release, where that is known."""
    if _tracing():
        for key, value in _annotations(service, release).items():
            tracer().put_annotation(key, value)


def measured(handler: Callable[P, R]) -> Callable[P, R]:
    """Publish what a handler counted, if anything, unless POWERTOOLS_METRICS_DISABLED is "true" (Powertools' own
    decorator warns about nothing counted, and prints EMF whatever that variable says)."""

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        finally:
            if os.environ.get("POWERTOOLS_METRICS_DISABLED") == "true":
                metrics.clear_metrics()
            elif metrics.provider.metric_set:
                metrics.flush_metrics()

    return call


@cache
def tracer() -> Tracer:
    """Return the tracer, with every AWS call in its traces."""
    from aws_lambda_powertools import Tracer

    return Tracer(patch_modules=["botocore"])


def _tracing() -> bool:
    return "_X_AMZN_TRACE_ID" in os.environ and os.environ.get("POWERTOOLS_TRACE_DISABLED") != "true"


def _annotations(service: str, release: str) -> dict[str, str]:
    """Return what X-Ray finds a trace by. A trace may be about several services: a release is named with its own."""
    return {"service": service, **({"release": f"{service} {release}"} if release else {})}
