"""An operator's word → fact → advance. Invoked directly, by the command line or anything with the permission to."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from esteira import bootstrap, identity, operate
from esteira.advance import Outcome, advance
from esteira.answer import Answer, answer
from esteira.aws.tracing import about, traced
from esteira.config import Service
from esteira.context import Context
from esteira.refusal import Refused
from esteira.telemetry import logger, measured
from service_index.lookup import listed
from service_index.names import by_name
from service_index.upkeep import follow, found


@logger.inject_lambda_context
@traced
@measured
def handler(event: Any, _context: LambdaContext, *, given: Context | None = None) -> Answer:
    """Do what one request asks for (``esteira.operate.Request``).

    Returns ``{service, release, phase, why, actions}``, or ``{refused}`` with the sentence why not: a person's mistake
    is no error of the function's and should ring no alarm.
    """
    context = given or bootstrap.from_environment()
    try:
        request, service = operate.read(event, _asked_for(event, context))
        operate.operate(_known(request, event, context), service, context)
        if request.action == "policy":  # it says which alarms are the service's
            follow(context.store.indexed(by_name(service.name)), context)
    except Refused as refused:
        logger.info(str(refused), action="refuse")
        return {"refused": str(refused)}
    release = request.release or request.to or ""
    about(service.name, release)
    said = f"{request.by} said {request.action}"
    logger.info(said, service=service.name, release=release or None, action=request.action, why=request.reason)
    return _advanced(service, release, context)


def _asked_for(event: Any, context: Context) -> tuple[Service, ...]:
    """The service that a request names; all of them where it names none, for the sentence that says so."""
    name = event.get("service") if isinstance(event, dict) else None
    asked = found(by_name(name), context) if isinstance(name, str) else ()
    return asked or tuple(listed(context).values())


def _advanced(service: Service, release: str, context: Context) -> Answer:
    """What came of the word. It is recorded; an error met on the way is no error of it, and the sweep goes on."""
    try:
        return answer(advance(service, context))
    except Exception as error:  # noqa: BLE001 - the word stands; the answer says what happened
        logger.exception("advancing a service after a word failed", service=service.name)
        why = f"the word is recorded; carrying it out met an error, and the next sweep goes on: {error}"
        return answer(Outcome(service.name, release, "", why, ()))


def _known(request: operate.Request, event: Any, context: Context) -> operate.Request:
    """The request with who AWS knows the caller as, where it brought a proof. Raises Refused.

    Where STS cannot be asked the request is nobody's, and what must be somebody's is refused; an operator who has to
    go past the rules in a bad hour should not need STS for it.
    """
    if request.proof is None:
        return request
    try:
        return request.model_copy(update={"arn": (context.caller or identity.caller)(request.proof, event)})
    except identity.UnaskedError as unasked:
        logger.error(str(unasked), service=request.service, action=request.action)
        return request
