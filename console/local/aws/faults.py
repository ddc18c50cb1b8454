"""Trouble on purpose, between a caller and AWS: throttles, lost answers, and deaths before or after any call; and the
count of calls.

Only clients inside ``doors.in_process`` pass here. A lost answer goes through botocore's own retry handler, so the call
is sent again as it would be over HTTP. A :class:`Crash` is a ``BaseException``, so no ``except Exception``
in the code under test can survive what a killed Lambda would not.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from console.local.aws.api import AwsError
from console.local.aws.strict.partial import Perform, partially

When = Literal["before", "after"]


class Crash(BaseException):
    """The caller died here."""


@dataclass(frozen=True)
class Call:
    """One AWS call: ``service`` and ``operation`` by boto3's and AWS's names (``codebuild``, ``StartBuild``)."""

    service: str
    operation: str
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``codebuild:StartBuild``."""
        return f"{self.service}:{self.operation}"


class Throttle(AwsError):
    """What AWS answers when asked too often; the call was not performed."""

    def __init__(self, call: Call) -> None:
        super().__init__("ThrottlingException", f"Rate exceeded for {call.operation}.")


Hook = Callable[[When, Call], None]
Lose = Callable[[Call], bool]


class Faults:
    """Counts every call and asks ``hook`` before and after each; the hook may raise :class:`Throttle` or
    :class:`Crash`.

    ``lose`` is asked each time AWS performed a call, also when it was sent again: True loses the answer. ``cut`` is
    asked of each call: True does a part of a batch. ``counts`` holds ``service:operation`` → calls asked, ``calls``
    every call in order when ``keep`` is set, and ``watch`` is told of each, but of those that the hook makes itself.
    """

    def __init__(self, hook: Hook | None = None, *, keep: bool = False) -> None:
        self.hook = hook
        self.lose: Lose | None = None
        self.cut: Lose | None = None
        self.counts: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.watch: Callable[[Call], None] | None = None
        self._keep = keep
        self._lock = threading.Lock()
        self._within = threading.local()

    def before(self, call: Call) -> None:
        """Called before the call reaches AWS."""
        with self._lock:
            self.counts[call.name] += 1
            if self._keep:
                self.calls.append(call)
        if self.watch is not None and not getattr(self._within, "hook", False):
            self.watch(call)
        self._ask("before", call)

    def after(self, call: Call) -> None:
        """Called after AWS performed the call and before the caller sees the answer."""
        self._ask("after", call)

    def loses(self, call: Call) -> bool:
        """Whether the answer to what AWS performed just now is lost on its way."""
        return self.lose is not None and self.lose(call)

    def perform(self, call: Call, perform: Perform) -> dict[str, Any]:
        """What AWS answers to a call: ``perform`` does it, or a part of it where it is a batch that is cut."""
        if self.cut is not None and self.cut(call):
            return partially(call.name, call.params, perform)
        return perform(call.params)

    def _ask(self, when: When, call: Call) -> None:
        if self.hook is None:
            return
        outer, self._within.hook = getattr(self._within, "hook", False), True
        try:
            self.hook(when, call)
        finally:
            self._within.hook = outer


def crash_at(nth: int, when: When) -> Hook:
    """A hook that dies at the ``nth`` call (from 1), before or after it, once."""
    seen: Counter[When] = Counter()

    def hook(moment: When, call: Call) -> None:
        seen[moment] += 1
        if moment == when and seen[moment] == nth:
            raise Crash(f"died {when} call {nth}, {call.name}")

    return hook


def at_random(chance: random.Random, *, crash: float = 0.0, throttle: float = 0.0) -> Hook:
    """A hook that throttles a call with probability ``throttle``, and dies at a call with probability ``crash``.

    Half of the deaths are before the call, half after it.
    """
    lock = threading.Lock()

    def hook(moment: When, call: Call) -> None:
        with lock:
            die, slow = chance.random() < crash / 2, chance.random() < throttle
        if die:
            raise Crash(f"died {moment} {call.name}")
        if slow and moment == "before":
            raise Throttle(call)

    return hook


def lost_at(nth: int, *, times: int = 1) -> Lose:
    """A loss of the ``nth`` answer (from 1) and of those after it, ``times`` in all.

    botocore sends a call three times unless its client sends once, so three losses reach the caller as an error.
    """
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def lose(_: Call) -> bool:
        with lock:
            seen["answers"] += 1
            return nth <= seen["answers"] < nth + times

    return lose


def lost_at_random(chance: random.Random, rate: float) -> Lose:
    """A loss of each answer with probability ``rate``."""
    lock = threading.Lock()

    def lose(_: Call) -> bool:
        with lock:
            return chance.random() < rate

    return lose
