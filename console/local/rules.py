"""EventBridge's rules and schedules, as the template declares them and the bus obeys them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.events.models import EventPattern

Event = dict[str, Any]


@dataclass(frozen=True)
class EventRule:
    """A rule of the template: a pattern and the functions (logical ids or names) it calls."""

    name: str
    pattern: Mapping[str, Any]
    targets: tuple[str, ...]

    def matches(self, event: Event) -> bool:
        """Whether EventBridge would send ``event`` to the targets. (Known gap: arrays of objects never match.)"""
        return bool(_compiled(json.dumps(self.pattern)).matches_event(event))


@dataclass(frozen=True)
class Schedule:
    """A scheduled call of one function: by a rule, or by EventBridge Scheduler (``scheduler``), whose event differs."""

    name: str
    target: str
    expression: str  # rate(5 minutes), cron(…): shown, not obeyed; the caller of Bus.start says how often
    scheduler: bool = False
    input: str | None = None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return EventPattern.load(pattern)
