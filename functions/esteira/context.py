"""What the controller works with: the table, AWS, its settings, the clock, and who hears what it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from time import sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from esteira.aws import Aws
from esteira.config import Settings
from esteira.store import Store

if TYPE_CHECKING:
    from esteira.identity import Proof


@dataclass(frozen=True)
class Decision:
    """One decision, for the log. A field that is "" or None is left out.

    Where a release's phase changes, ``before`` is the phase it leaves (or ``NEW``, or ``REOPENED`` where an operator
    brought it back), and ``cause`` and ``seconds_to_live`` are those of ``actions.Project``. ``fact`` is the kind of a
    fact that the sweep found and no event had told. ``error`` is what doing it met.
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
    """What the controller works with.

    ``clock`` gives the time, aware, in UTC. ``tell`` hears every decision, and what a decision does is done inside
    ``follow``. ``owner`` names this invocation in its claims. ``is_late`` says that the time for this service is used
    up: what is begun is done, and the rest is left to the next call.
    """

    store: Store
    aws: Aws
    settings: Settings
    clock: Callable[[], datetime]
    tell: Callable[[Decision], None] = field(default=lambda _: None)
    follow: Callable[[Decision], AbstractContextManager[object]] = nullcontext
    owner: str = field(default_factory=lambda: uuid4().hex)
    is_late: Callable[[], bool] = field(default=lambda: False)
    caller: Callable[[Proof, Mapping[str, Any]], str] | None = None  # who signed a proof; None: STS says it
    configured: set[str] = field(default_factory=set)  # the registrations this process has recorded
    pause: Callable[[float], object] = sleep  # for so many seconds
    nobodys: dict[str, datetime] = field(default_factory=dict)  # until when a name of an event counts as no service's
