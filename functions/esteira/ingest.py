"""Recording what an event told, once it is known to be about something that exists."""

from __future__ import annotations

from collections.abc import Iterable

from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import ImageArrived, ReleaseFact
from esteira.fact import Fact


def ingest(service: Service, facts: Iterable[Fact], context: Context) -> int:
    """Record the facts an event told about a service; how many were new.

    A build that names a release which was never made, by somebody's hand or mistake, tells nothing: its facts would
    lie in wait for the release that gets that number.
    """
    facts = tuple(facts)
    store, name = context.store, service.name
    unknown = {n for n in {f.release for f in facts if isinstance(f, ReleaseFact)} if store.pushed(name, n) is None}
    new = 0
    for fact in facts:
        if isinstance(fact, ImageArrived):
            new += store.record_arrival(name, fact)
        elif not (isinstance(fact, ReleaseFact) and fact.release in unknown):
            new += store.record(name, fact)
    return new
