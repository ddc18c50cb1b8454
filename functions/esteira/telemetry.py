"""Logs, metrics (EMF) and traces, by Powertools. What they are called comes from POWERTOOLS_* in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from aws_lambda_powertools import Logger, Metrics

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

P = ParamSpec("P")
R = TypeVar("R")

logger = Logger(service="esteira")
metrics = Metrics(namespace="esteira", service="esteira")


def traced(handler: Callable[P, R]) -> Callable[P, R]:
    """Trace a handler and every AWS call it makes, where Lambda traces; elsewhere, do nothing.

    The X-Ray SDK takes twice as long to load as all the rest of a function, so it is loaded by the first call that is
    traced, not by the import.
    """

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if "_X_AMZN_TRACE_ID" not in os.environ or os.environ.get("POWERTOOLS_TRACE_DISABLED") == "true":
            return handler(*args, **kwargs)
        captured: Any = tracer().capture_lambda_handler(handler, capture_response=False)
        answer: R = captured(*args, **kwargs)
        return answer

    return call


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

    return Tracer(service="esteira", patch_modules=["botocore"])
