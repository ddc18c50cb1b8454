"""Logs, metrics (EMF) and traces, by Powertools. What they are called comes from POWERTOOLS_* in the environment."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics, Tracer

logger = Logger(service="esteira")
metrics = Metrics(namespace="esteira", service="esteira")
# Patching at once would load botocore before it is needed: see trace_aws_calls.
tracer = Tracer(service="esteira", auto_patch=False)


def trace_aws_calls() -> None:
    """Show every AWS call in the trace; does nothing outside Lambda."""
    if not tracer.disabled:
        tracer.patch(("botocore",))
