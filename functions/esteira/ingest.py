"""Writing down what an event told, once it is known to be about something that exists."""

from __future__ import annotations

from esteira.aws_events import Heard
from esteira.context import Context
from esteira.core.facts import ImageArrived, ReleaseFact


def record(heard: Heard, context: Context) -> int:
    """Record the facts an event told; return how many were new.

    A build that names a release which was never made, by somebody's hand or mistake, tells nothing: its facts would
    lie in wait for the release that gets that number.
    """
    for other in heard.others:
        record(Heard(other, heard.facts), context)
    service, new = heard.service.name, 0
    releases = {f.release for f in heard.facts if isinstance(f, ReleaseFact)}
    unknown = {n for n in releases if context.store.pushed(service, n) is None}
    for fact in heard.facts:
        if isinstance(fact, ImageArrived):
            new += context.store.record_arrival(service, fact)
        elif not (isinstance(fact, ReleaseFact) and fact.release in unknown):
            new += context.store.record(service, fact)
    return new
