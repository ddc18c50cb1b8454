"""A Lambda function's context: its settings from the environment, its table, its AWS, the clock, the log.

It is made when a function is first called, not when it is imported, and kept for later calls. Tests make their own.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache

from pydantic import ValidationError

from esteira.aws import Aws, client
from esteira.aws.tracing import subsegment
from esteira.config import Settings
from esteira.context import Context, Decision
from esteira.store import Store
from esteira.telemetry import logger, metrics


def now() -> datetime:
    """The time, aware, in UTC. The only clock in the controller."""
    return datetime.now(UTC)


@cache
def from_environment() -> Context:
    """The context that ESTEIRA_TABLE, ESTEIRA_SERVICES_PATH, ESTEIRA_ACCOUNT, ESTEIRA_TOPIC_ARN and Lambda's own
    AWS_REGION describe."""
    names = {
        "table": "ESTEIRA_TABLE",
        "services_path": "ESTEIRA_SERVICES_PATH",
        "account": "ESTEIRA_ACCOUNT",
        "region": "AWS_REGION",
        "topic_arn": "ESTEIRA_TOPIC_ARN",
    }
    try:
        settings = Settings(**{field: os.environ[name] for field, name in names.items() if name in os.environ})
    except ValidationError as error:
        missing = ", ".join(names[str(e["loc"][0])] for e in error.errors())
        raise RuntimeError(
            f"the function's environment lacks {missing}; Lambda sets AWS_REGION, template.yaml the others"
        ) from None
    return Context(Store(client("dynamodb"), settings.table), Aws(), settings, now, tell, follow)


def tell(decision: Decision) -> None:
    """Log one decision in one structured line.

    The dashboard is computed from these lines when somebody looks. Only what an alarm watches is a metric, published
    only where there is something to count.
    """
    said = {name: value for name, value in asdict(decision).items() if value not in ("", None)}
    if decision.error:
        logger.error(decision.error, **said)
    else:
        logger.info(decision.why, **said)
    if decision.fact:
        metrics.add_metric("FoundBySweep", "Count", 1)


def follow(decision: Decision) -> AbstractContextManager[object]:
    """Trace what is done inside under this decision, so a release's traces are found by its annotation."""
    return subsegment(decision.action, decision.service, decision.release)
