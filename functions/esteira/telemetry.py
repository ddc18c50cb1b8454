"""Logs, metrics (EMF) and traces, by Powertools. What they are called comes from POWERTOOLS_* in the environment.

A metric costs money in every hour that has a figure of it, a log line only its bytes. So there are two metrics, both of
trouble, and everything else is read from the log's lines when somebody looks.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from aws_lambda_powertools import Logger, Metrics

from esteira.visible import visible

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

# What the trace of this call is found by already.
_annotated: ContextVar[set[tuple[str, str]]] = ContextVar("annotated")

P = ParamSpec("P")
R = TypeVar("R")

# Lambda filters by level only lines whose time is of RFC 3339; without it all of them, errors too, count as INFO.
logger = Logger(
    service="esteira",
    use_rfc3339=True,
    json_serializer=lambda line: visible(json.dumps(line, default=str, ensure_ascii=False)),
)
metrics = Metrics(namespace="esteira")
# At debug botocore writes whole answers of AWS's, and one of them is a secret (Cloud.secret).
logging.getLogger("botocore").setLevel(logging.WARNING)


def traced(handler: Callable[P, R]) -> Callable[P, R]:
    """Trace a handler and every AWS call it makes, where Lambda traces; elsewhere, do nothing.

    The X-Ray SDK takes twice as long to load as all the rest of a function, so it is loaded by the first call that is
    traced, not by the import.
    """

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _tracing():
            return handler(*args, **kwargs)
        _annotated.set(set())
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
        _annotate(part.put_annotation, service, release)
        part.put_metadata(key="about", value=f"{service} {release}", namespace="esteira")
        yield


def about(service: str, release: str = "") -> None:
    """Say in the trace of this call which service it is about, and which release, where that is known."""
    if _tracing():
        _annotate(tracer().put_annotation, service, release)


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
    """The tracer, with every AWS call in its traces."""
    from aws_lambda_powertools import Tracer

    return Tracer(patch_modules=["botocore"])


def _tracing() -> bool:
    return (
        "Sampled=1" in os.environ.get("_X_AMZN_TRACE_ID", "") and os.environ.get("POWERTOOLS_TRACE_DISABLED") != "true"
    )


def _annotate(put: Callable[..., None], service: str, release: str) -> None:
    """Put what X-Ray finds a trace by, each once a trace, for it counts them: fifty are found, more are not.

    A trace may be about several services, so a release is named with its own.
    """
    said = _annotated.get(set())
    for key, value in (("service", service), ("release", f"{service} {release}" if release else "")):
        if value and (key, value) not in said:
            put(key=key, value=value)
            said.add((key, value))
