"""What fails for a service again and again, as sentences."""

from __future__ import annotations

from esteira.config import Service
from esteira.store import Store

# The bus calls a function three times over one event: fewer failures may be one that heals.
IN_A_ROW = 3


def failing(store: Store, service: Service) -> tuple[str, ...]:
    """A sentence for the sweep and for the intake of events, where it failed several times in a row."""
    name = service.name
    return tuple(
        f"the {f.what} of {name} has failed {f.times} times in a row since {f.since:%Y-%m-%d %H:%M} UTC: {f.error}; "
        f"next: esteira doctor, and the log of the stack's {f.what.capitalize()}Function"
        for f in store.failing(name)
        if f.times >= IN_A_ROW
    )
