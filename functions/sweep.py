"""The schedule → observe → facts → advance, for every service. It finds what events lost and enforces deadlines."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import bootstrap
from esteira.advance import advance
from esteira.answer import Answer, answer
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Pushed
from esteira.observe import observe, tell_found
from esteira.telemetry import logger, measured, traced


@logger.inject_lambda_context
@traced
@measured
def handler(_event: Any, _context: LambdaContext, *, given: Context | None = None) -> list[Answer]:
    """Look after every registered service; what the event says does not matter.

    Returns one ``{service, release, phase, why, actions}`` per service. One service's error keeps no other from its
    turn; the first is raised at the end.
    """
    context = given or bootstrap.from_environment()
    answers: list[Answer] = []
    errors: list[Exception] = []
    for service in bootstrap.services(context):
        # An observation that fails must not keep the deadlines from being enforced.
        for step in (_observe, _advance):
            try:
                answers.extend(step(service, context))
            except Exception as error:  # noqa: BLE001 - raised below, after the other services
                logger.exception("the sweep of a service failed", service=service.name)
                errors.append(error)
    if errors:
        raise errors[0]
    return answers


def _observe(service: Service, context: Context) -> list[Answer]:
    observe(service, context)
    return []  # what comes of it, the advance answers


def _advance(service: Service, context: Context) -> list[Answer]:
    outcome = advance(service, context)
    if "OpenCommit" in outcome.actions:  # the branch's tip is what a push event would have told of
        tell_found(service.name, outcome.release, Pushed.name, context)
    return [answer(outcome)]
