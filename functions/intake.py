"""An AWS event → facts → advance. Thin: ``aws_events`` says what an event means, ``advance`` what follows."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from aws_events import NotOurs, read
from esteira import bootstrap
from esteira.advance import Outcome, advance
from esteira.answer import Answer, answer
from esteira.aws.tracing import about, traced
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import HostObserved, ReleaseFact
from esteira.each import each, remaining
from esteira.failing import counting, recovered
from esteira.ingest import ingest
from esteira.telemetry import logger, measured
from esteira.trail import HostReported
from service_index.names import name_of
from service_index.upkeep import follow, found, registration_in
from watch import hear


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, lambda_context: LambdaContext, *, given: Context | None = None) -> Answer:
    """Take in one EventBridge event.

    The answer is ``{service, release, phase, why, actions}``; for an event that is not ours all but ``why`` are empty.
    Raises Refused for a malformed one, which Lambda then sends to the dead-letter queue; nothing is recorded of it.
    Several services may listen to one alarm: one that fails keeps no other from hearing it.
    """
    context = given or bootstrap.from_environment()
    if changed := registration_in(event, context):
        follow((changed,), context)
        return answer(why=f"the index has the registration {changed} as it is now")
    heard = read(event, found(name_of(event, context.settings), context), context.clock(), context.settings)
    if isinstance(heard, NotOurs):
        logger.debug(heard.why)
        return answer(why=heard.why)
    about(heard.service.name, next((f"v{f.release}" for f in heard.facts if isinstance(f, ReleaseFact)), ""))

    def take_in(service: Service, context: Context) -> Outcome:
        with counting("intake", service, context):
            for said in (fact for fact in heard.facts if isinstance(fact, HostObserved)):
                if why := hear(service, said, context):
                    return Outcome(service.name, "", "", why, ())
            ingest(service, heard.facts, context)
            if heard.facts and all(isinstance(fact, HostReported) for fact in heard.facts):
                return Outcome(service.name, "", "", "the state of a host is on record; nothing is decided from it", ())
            outcome = advance(service, context)
        recovered(outcome, ("intake",), service, context)
        return outcome

    outcomes = each((heard.service, *heard.others), take_in, context, remaining(lambda_context))
    return answer(outcomes[heard.service.name])
