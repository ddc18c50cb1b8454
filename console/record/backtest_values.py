"""What a backtest tells: which releases would have ended differently, and by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Otherwise:
    """What one rule would have changed about a release; ``at`` is when, ``stage`` where, "" where that is none."""

    rule: str
    why: str
    at: datetime
    stage: str = ""


@dataclass(frozen=True)
class ChangedRelease:
    """A release that would have gone otherwise, and by what."""

    release: str
    changes: tuple[Otherwise, ...]


@dataclass(frozen=True)
class Backtest:
    """What a registration would have changed. ``unknown`` are releases of which too little is on record to say, with
    what is missing; ``notes`` is what of the registration cannot be tried on what was."""

    service: str
    looked_at: int
    same: int
    otherwise: tuple[ChangedRelease, ...]
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
