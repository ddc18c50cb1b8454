"""Writing down what an event told, once it is known to be about something that exists."""

from __future__ import annotations

from esteira.desk import Desk
from esteira.events import Heard
from esteira.facts import ImageArrived, ReleaseFact


def record(heard: Heard, desk: Desk) -> int:
    """Record the facts an event told; return how many were new.

    A build that names a release which was never made, by somebody's hand or mistake, tells nothing: its facts would
    lie in wait for the release that gets that number.
    """
    for other in heard.others:
        record(Heard(other, heard.facts), desk)
    service, new = heard.service.name, 0
    releases = {f.release for f in heard.facts if isinstance(f, ReleaseFact)}
    unknown = {n for n in releases if desk.store.pushed(service, n) is None}
    for fact in heard.facts:
        if isinstance(fact, ImageArrived):
            new += desk.store.record_arrival(service, fact)
        elif not (isinstance(fact, ReleaseFact) and fact.release in unknown):
            new += desk.store.record(service, fact)
    return new
