"""The schedule → observe → facts → advance, for every service. It finds what events lost and enforces deadlines."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import bootstrap
from esteira.advance import Outcome, advance
from esteira.answer import Answer, answer
from esteira.aws.tracing import traced
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Pushed
from esteira.each import each, remaining, rotated
from esteira.failing import counting, recovered
from esteira.observe import observe, tell_found
from esteira.telemetry import logger, measured
from watch import tell_silent


@logger.inject_lambda_context
@traced
@measured
def handler(_event: Any, lambda_context: LambdaContext, *, given: Context | None = None) -> list[Answer]:
    """Look after every registered service; what the event says does not matter.

    The answer is one ``{service, release, phase, why, actions}`` per service. One service's error keeps no other from
    being looked after; the first is raised at the end. Each sweep begins with another service.
    """
    context = given or bootstrap.from_environment()
    services = rotated(bootstrap.services(context), context.clock())
    outcomes = each(services, _look_after, context, remaining(lambda_context))
    return [answer(outcomes[service.name]) for service in services if service.name in outcomes]


def _look_after(service: Service, context: Context) -> Outcome:
    failure: Exception | None = None
    with counting("sweep", service, context):
        try:
            observe(service, context)
            tell_silent(service, context)
        except Exception as error:  # noqa: BLE001 - raised below
            # An observation that fails must not keep the deadlines from being enforced.
            logger.exception("observing a service failed", service=service.name)
            failure = error
        outcome = advance(service, context)
        if "OpenCommit" in outcome.actions:  # the branch's tip is what a push event would have told of
            tell_found(service.name, outcome.release, Pushed.name, context)
        if failure is not None:
            raise failure
    recovered(outcome, ("sweep", "intake"), service, context)
    return outcome
