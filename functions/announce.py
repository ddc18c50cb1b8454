"""A phase change → a comment on the commit, a message to the topic and the chat. Its failure hurts no release."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from aws_events import NotOurs
from esteira import bootstrap
from esteira.answer import Answer, answer
from esteira.aws.tracing import about, traced
from esteira.context import Context
from esteira.telemetry import logger, measured
from notify.announce import announce, recorded
from notify.news import HoldEnds, read
from service_index.lookup import known, listed
from service_index.names import by_name


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, _context: LambdaContext, *, given: Context | None = None) -> Answer:
    """Tell people about one ``Release Phase Changed`` or ``Hold Ends Soon`` event, once.

    The answer is ``{service, release, phase, why, actions}``, where ``actions`` are the channels told. Raises Refused
    for a malformed event, UntoldError where a channel could not be told.
    """
    context = given or bootstrap.from_environment()
    heard = read(event, context.settings)
    if isinstance(heard, NotOurs):
        logger.debug(heard.why)
        return answer(why=heard.why)
    services = known(by_name(heard.service), context) or listed(context).values()
    service = next((s for s in services if s.name == heard.service), None)
    if service is None:
        return answer(why=f"no service is called {heard.service}")
    there = recorded(heard, service, context)
    if there is None:
        return answer(why=f"the table of {service.name} has no such hold")
    said = there.said
    if isinstance(said, HoldEnds):
        release, phase, why = "", "", said.reason
    else:
        release, phase, why = said.release, said.phase.value, said.summary
    about(service.name, release)
    told = announce(there, service, context)
    if told:
        logger.info(
            f"told the {' and the '.join(told)}",
            service=service.name,
            release=release or None,
            phase=phase or None,
            action="Announce",
            why=why,
        )
    return {"service": service.name, "release": release, "phase": phase, "why": why, "actions": list(told)}
