"""The schedule → observe → facts → advance, for every service. It finds what events lost and enforces deadlines."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import wiring
from esteira.advance import advance
from esteira.answer import Answer, answer
from esteira.config import Service
from esteira.desk import Desk
from esteira.facts import Pushed
from esteira.observe import observe, tell_found
from esteira.telemetry import logger, measured, traced


@logger.inject_lambda_context
@traced
@measured
def handler(_event: Any, _context: LambdaContext, *, desk: Desk | None = None) -> list[Answer]:
    """Look after every registered service; what the event says does not matter.

    Returns one ``{service, release, phase, why, actions}`` per service. One service's error keeps no other from its
    turn; the first is raised at the end.
    """
    desk = desk or wiring.from_environment()
    answers: list[Answer] = []
    errors: list[Exception] = []
    for service in wiring.services(desk):
        # An observation that fails must not keep the deadlines from being enforced.
        for step in (_observe, _advance):
            try:
                answers.extend(step(service, desk))
            except Exception as error:  # noqa: BLE001 - raised below, after the other services
                logger.exception("the sweep of a service failed", service=service.name)
                errors.append(error)
    if errors:
        raise errors[0]
    return answers


def _observe(service: Service, desk: Desk) -> list[Answer]:
    observe(service, desk)
    return []  # what comes of it, the advance answers


def _advance(service: Service, desk: Desk) -> list[Answer]:
    outcome = advance(service, desk)
    if "OpenCommit" in outcome.actions:  # the branch's tip is what a push event would have told of
        tell_found(service.name, outcome.release, Pushed.name, desk)
    return [answer(outcome)]
