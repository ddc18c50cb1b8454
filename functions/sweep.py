"""The schedule → observe → facts → advance, for every service. It finds what events lost and enforces deadlines.

Where there are several services, the sweep hands each to a call of its own: one that hangs, or takes all the time there
is, takes nothing from another. A call is put into Lambda's queue and is made twice more if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
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
from service_index.lookup import listed
from service_index.names import by_name
from service_index.upkeep import compare, found
from watch import tell_silent

REFUSED = 3  # after so many refusals in a row no further service is handed out
PACE = 0.05  # seconds between two calls: each reads a registration, and SSM gives an account 40 a second
OWN_SHARE = timedelta(seconds=30)  # what is kept of a call's time for the services that stay with it


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, lambda_context: LambdaContext, *, given: Context | None = None) -> list[Answer]:
    """Look after every registered service, or after the one that ``{"service": NAME}`` names.

    The answer is one ``{service, release, phase, why, actions}`` per service. One service's error keeps no other from
    being looked after; the first is raised at the end. Each sweep begins with another service.
    """
    context, left = given or bootstrap.from_environment(), remaining(lambda_context)
    failure: Exception | None = None
    name = event.get("service") if isinstance(event, dict) else None
    if isinstance(name, str):
        services = found(by_name(name), context)[:1]
        handed: list[str] = []
    else:
        registered = listed(context)
        try:
            compare(registered, context)
        except Exception as error:  # noqa: BLE001 - raised below: no service has to wait for the index
            logger.exception("the index could not be compared with the registrations")
            failure = error
        services = rotated(list(registered.values()), context.clock())
        handed = _handed_out(services, lambda_context.function_name, left, context)
    outcomes = each([s for s in services if s.name not in handed], _look_after, context, left)
    if failure is not None:
        raise failure
    outcomes |= {name: Outcome(name, "", "", "a call of its own looks after it", ()) for name in handed}
    return [answer(outcomes[service.name]) for service in services if service.name in outcomes]


def _handed_out(
    services: Sequence[Service], function: str, left: Callable[[], timedelta], context: Context
) -> list[str]:
    """The names of the services that were handed to calls of their own; a single one needs none.

    A service that could not be handed out stays with this call. Where Lambda takes no call, or half of the time is
    gone, the rest stays, too.
    """
    handed: list[str] = []
    refused = 0
    for service in services if len(services) > 1 else ():
        if refused >= REFUSED or left() < OWN_SHARE:
            logger.warning(f"{len(services) - len(handed)} services stay with this call, which has their time only")
            break
        try:
            context.aws.invoke_later(function, {"service": service.name})
        except Exception:  # noqa: BLE001 - this call looks after it
            logger.exception("a service could not be handed to a call of its own", service=service.name)
            refused += 1
        else:
            handed.append(service.name)
            refused = 0
            context.pause(PACE)
    return handed


def _look_after(service: Service, context: Context) -> Outcome:
    failure: Exception | None = None
    with counting("sweep", service, context):
        try:
            tell_silent(observe(service, context), context)
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
