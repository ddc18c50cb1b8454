"""What the controller works with: the table, AWS, its settings, the clock; and somebody who hears what it decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from esteira.cloud import Cloud
from esteira.config import Settings
from esteira.store import Store


@dataclass(frozen=True)
class Decision:
    """One thing that was decided and done, for the log."""

    service: str
    release: str
    phase: str
    action: str
    why: str


@dataclass(frozen=True)
class Desk:
    """What the controller works with. ``clock`` gives the time, aware, in UTC; ``tell`` hears every decision."""

    store: Store
    cloud: Cloud
    settings: Settings
    clock: Callable[[], datetime]
    tell: Callable[[Decision], None] = field(default=lambda _: None)
