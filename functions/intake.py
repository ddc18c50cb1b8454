"""An AWS event → facts → advance. Thin: what an event means is in ``esteira.events``, what follows in ``advance``."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import wiring
from esteira.advance import advance
from esteira.answer import Answer, answer
from esteira.desk import Desk
from esteira.events import NotOurs, read
from esteira.facts import ReleaseFact
from esteira.record import record
from esteira.telemetry import about, logger, measured, traced


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, _context: LambdaContext, *, desk: Desk | None = None) -> Answer:
    """Take in one EventBridge event.

    Returns ``{service, release, phase, why, actions}``; for an event that is not ours all but ``why`` are empty.
    Raises Refused for a malformed one, which Lambda then sends to the dead-letter queue; nothing is recorded of it.
    """
    desk = desk or wiring.from_environment()
    heard = read(event, wiring.services(desk), desk.clock())
    if isinstance(heard, NotOurs):
        logger.debug(heard.why)
        return answer(why=heard.why)
    about(heard.service.name, next((f"v{f.release}" for f in heard.facts if isinstance(f, ReleaseFact)), ""))
    record(heard, desk)
    for other in heard.others:
        advance(other, desk)
    return answer(advance(heard.service, desk))
