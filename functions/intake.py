"""An AWS event → facts → advance. Thin: ``aws_events`` says what an event means, ``advance`` what follows."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import bootstrap
from esteira.advance import advance
from esteira.answer import Answer, answer
from esteira.aws_events import NotOurs, read
from esteira.context import Context
from esteira.core.facts import ReleaseFact
from esteira.ingest import record
from esteira.telemetry import about, logger, measured, traced


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, _context: LambdaContext, *, given: Context | None = None) -> Answer:
    """Take in one EventBridge event.

    Returns ``{service, release, phase, why, actions}``; for an event that is not ours all but ``why`` are empty.
    Raises Refused for a malformed one, which Lambda then sends to the dead-letter queue; nothing is recorded of it.
    """
    context = given or bootstrap.from_environment()
    heard = read(event, bootstrap.services(context), context.clock())
    if isinstance(heard, NotOurs):
        logger.debug(heard.why)
        return answer(why=heard.why)
    about(heard.service.name, next((f"v{f.release}" for f in heard.facts if isinstance(f, ReleaseFact)), ""))
    record(heard, context)
    for other in heard.others:
        advance(other, context)
    return answer(advance(heard.service, context))
