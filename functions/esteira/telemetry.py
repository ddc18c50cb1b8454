"""Logs and metrics (EMF), by Powertools. What they are called comes from POWERTOOLS_* in the environment.

A metric costs money in every hour that has a figure of it, a log line only its bytes. So there are two metrics, both of
trouble, and everything else is read from the log's lines when somebody looks.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from aws_lambda_powertools import Logger, Metrics

from esteira.visible import visible

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
