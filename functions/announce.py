"""A phase change → a comment on the commit, a message to the topic. It can fail without hurting a release."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import announcement, wiring
from esteira.answer import Answer, answer
from esteira.desk import Desk
from esteira.telemetry import about, logger, measured, traced


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, _context: LambdaContext, *, desk: Desk | None = None) -> Answer:
    """Tell people about one ``Release Phase Changed`` event, once.

    Returns ``{service, release, phase, why, actions}``, where ``actions`` are the channels told. Raises Refused for a
    malformed event.
    """
    desk = desk or wiring.from_environment()
    change = announcement.read(event)
    service = next((s for s in wiring.services(desk) if s.name == change.service), None)
    if service is None:
        return answer(why=f"no service is called {change.service}")
    about(service.name, change.release)
    told = announcement.announce(change, service, desk)
    if told:
        logger.info(
            f"told the {' and the '.join(told)}",
            service=service.name,
            release=change.release,
            phase=change.phase.value,
            action="Announce",
            why=change.why,
        )
    return {
        "service": service.name,
        "release": change.release,
        "phase": change.phase,
        "why": change.why,
        "actions": list(told),
    }
