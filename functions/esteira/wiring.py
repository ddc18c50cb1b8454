"""A Lambda function's desk: its settings from the environment, its table, its AWS, the clock, the log.

Made when a function is first called, not when it is imported, and kept for the calls after. Tests make their own.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache

from pydantic import ValidationError

from esteira.cloud import Cloud, client
from esteira.config import Service, Settings
from esteira.desk import Decision, Desk
from esteira.store import Store
from esteira.telemetry import logger, metrics


def now() -> datetime:
    """Return the time, aware, in UTC. The only clock in the controller."""
    return datetime.now(UTC)


@cache
def from_environment() -> Desk:
    """Return the desk that ESTEIRA_TABLE, ESTEIRA_SERVICES_PATH and ESTEIRA_TOPIC_ARN describe."""
    names = {
        "table": "ESTEIRA_TABLE",
        "services_path": "ESTEIRA_SERVICES_PATH",
        "topic_arn": "ESTEIRA_TOPIC_ARN",
    }
    try:
        settings = Settings(**{field: os.environ[name] for field, name in names.items() if name in os.environ})
    except ValidationError as error:
        missing = ", ".join(names[str(e["loc"][0])] for e in error.errors())
        raise RuntimeError(f"the function's environment lacks {missing}; template.yaml sets it") from None
    return Desk(Store(client("dynamodb"), settings.table), Cloud(), settings, now, tell)


def services(desk: Desk) -> tuple[Service, ...]:
    """Return the registered services; a malformed registration is logged and left out."""
    found, faults = desk.cloud.services(desk.settings.services_path)
    for fault in faults:
        logger.error(fault)
        metrics.add_metric("RegistrationsRefused", "Count", 1)
    return found


def tell(decision: Decision) -> None:
    """Log one decision in one structured line, and count it."""
    logger.info(
        decision.why,
        service=decision.service,
        release=decision.release,
        phase=decision.phase,
        action=decision.action,
        why=decision.why,
    )
    metrics.add_metric(decision.action, "Count", 1)
