"""What the controller works with: the table, AWS, its settings, the clock; and somebody who hears what it decides."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from esteira.aws import Aws
from esteira.config import Settings
from esteira.store import Store


@dataclass(frozen=True)
class Decision:
    """One thing that was decided and done, for the log. What is "" or None is not said.

    Where the decision is that a release stands elsewhere now, ``before`` is the phase it leaves (or ``NEW``, or
    ``REOPENED`` where an operator's word brought it back), and ``cause`` and ``seconds_to_live`` are those of
    ``plan.Project``. ``fact`` is the kind of a fact that the sweep found and no event had told. ``error`` is what
    doing it met.
    """

    service: str
    release: str
    phase: str
    action: str
    why: str
    before: str = ""
    cause: str = ""
    seconds_to_live: float | None = None
    fact: str = ""
    error: str = ""


# What a release was before its first phase, and before its first one after it was over.
NEW = "new"
REOPENED = "reopened"


@dataclass(frozen=True)
class Context:
    """What the controller works with. ``clock`` gives the time, aware, in UTC; ``tell`` hears every decision, and
    what a decision does is done inside ``follow``."""

    store: Store
    aws: Aws
    settings: Settings
    clock: Callable[[], datetime]
    tell: Callable[[Decision], None] = field(default=lambda _: None)
    follow: Callable[[Decision], AbstractContextManager[object]] = nullcontext
    configured: set[str] = field(default_factory=set)  # the configurations written down by this process
