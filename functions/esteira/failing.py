"""Counting what fails for a service again and again. While all is well, nothing is read or written for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from esteira.advance import Outcome
from esteira.config import Service
from esteira.context import Context
from esteira.telemetry import logger


@contextmanager
def counting(what: str, service: Service, context: Context) -> Iterator[None]:
    """A block that is the ``what`` of a service: an error puts its failures in a row on record."""
    try:
        yield
    except Exception as error:
        _failed(what, error, service, context)
        raise


def recovered(outcome: Outcome, heals: tuple[str, ...], service: Service, context: Context) -> None:
    """Take the failures of ``heals`` off the record, of those that ``outcome`` knows of."""
    for what in outcome.failing:
        if what in heals:
            context.store.recovered(service.name, what)


def _failed(what: str, error: Exception, service: Service, context: Context) -> None:
    from guard.mask import masked  # not while a function starts

    try:
        said = masked(f"{type(error).__name__}: {error}")[:500]
        context.store.failed(service.name, what, said, context.clock())
    except Exception:  # noqa: BLE001 - the first error is the one to raise
        logger.exception("a failure could not be recorded", service=service.name)
