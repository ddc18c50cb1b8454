"""Several services, one after another: an error, or a slow one, keeps no other from its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zlib import crc32

from esteira.config import Service
from esteira.context import Context
from esteira.telemetry import logger

T = TypeVar("T")

# What is kept of a function's time for answering, and for the call to AWS that is under way at the end.
RESERVE = timedelta(seconds=10)
# Sweeps are minutes apart, and each minute may begin with another service.
ROTATION = timedelta(minutes=1)


def each(
    services: Sequence[Service],
    step: Callable[[Service, Context], T],
    context: Context,
    left: Callable[[], timedelta],
) -> dict[str, T]:
    """Do ``step`` for each service and give each an equal share of the time that is left; the results by name.

    Raises the first error after all were tried. A service for which no time is left is named in the log; it comes
    first some sweeps later.
    """
    results: dict[str, T] = {}
    errors: list[Exception] = []
    for place, service in enumerate(services):
        share = (left() - RESERVE) / (len(services) - place)
        if share <= timedelta(0):
            logger.warning("no time was left for a service", service=service.name)
            continue
        until = context.clock() + share
        try:
            results[service.name] = step(service, replace(context, is_late=_past(until, context)))
        except Exception as error:  # noqa: BLE001 - raised below, after the other services
            logger.exception("looking after a service failed", service=service.name)
            errors.append(error)
    if errors:
        raise errors[0]
    return results


def _past(until: datetime, context: Context) -> Callable[[], bool]:
    return lambda: context.clock() >= until


def rotated(services: Sequence[Service], now: datetime) -> tuple[Service, ...]:
    """The services beginning with any of them, so that no service is always the last.

    The minute's checksum decides: the minute itself would pick the same service at every sweep where the number of
    services divides the minutes between two sweeps.
    """
    minute = int(now.timestamp() // ROTATION.total_seconds())
    first = crc32(str(minute).encode()) % len(services) if services else 0
    return (*services[first:], *services[:first])


def remaining(lambda_context: Any) -> Callable[[], timedelta]:
    """How much of its time a Lambda invocation has left, by Lambda's own clock."""
    return lambda: timedelta(milliseconds=lambda_context.get_remaining_time_in_millis())
