"""The lease on an action that is done once: claimed before it is done, looked up before it is done again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from esteira.core.facts import Claimed, Declined


class LeaseState(StrEnum):
    """Where a lease stands. Only ``HELD`` and ``BACKING_OFF`` have to be waited for."""

    FREE = "free"  # nobody ever claimed the action
    HELD = "held"  # its owner may be doing it right now
    BACKING_OFF = "backing-off"  # AWS declined it a moment ago; nothing exists
    RETRY = "retry"  # AWS declined it, and the back-off is over
    EXPIRED = "expired"  # its owner never said what came of it: look in AWS before doing it again


@dataclass(frozen=True)
class Lease:
    """The latest take of an action, 0 for none; until when its owner holds it; and why AWS declined it, if it did."""

    take: int = 0
    held_until: datetime | None = None
    declined: Declined | None = None

    def state(self, now: datetime) -> LeaseState:
        """Where the lease stands at ``now``."""
        if self.held_until is None:
            return LeaseState.FREE
        if self.declined is not None:
            return LeaseState.RETRY if now >= self.declined.at + back_off(self.take) else LeaseState.BACKING_OFF
        return LeaseState.HELD if now < self.held_until else LeaseState.EXPIRED

    @property
    def unanswered(self) -> bool:
        """Whether somebody claimed the action and it is not known to have been declined."""
        return self.held_until is not None and self.declined is None

    @property
    def error(self) -> str:
        """Why AWS declined the latest take, "" if it did not."""
        return self.declined.error if self.declined else ""


def lease_of(claims: Iterable[Claimed], declined: Iterable[Declined], first: datetime | None = None) -> Lease:
    """The lease that these claims and refusals of one action make.

    ``first`` is until when take 1 is held where another row than a ``Claimed`` claims it: a rollout claims its own
    deployment.
    """
    latest = max(claims, key=lambda c: c.take, default=None)
    take, until = (latest.take, latest.lease) if latest else (1 if first else 0, first)
    return Lease(take, until, next((d for d in declined if d.take == take), None))


def back_off(take: int) -> timedelta:
    """How long to wait after the ``take``-th refusal: 15 s, doubled each time, at most five minutes."""
    return timedelta(seconds=min(15 * 2 ** min(take - 1, 10), 300))
