"""EventBridge: an event is matched against the rules of template.yaml and delivered to the functions as Lambda's
asynchronous invocation does it: two more tries, then the dead-letter queue.

Either nobody works in the background and a test pumps (``deliver_all``), or ``start(workers)`` does it in threads. On
request the bus is as bad as EventBridge may be: it loses, doubles, delays and shuffles.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.local.aws.clock import Clock
from console.local.aws.functions import Functions, Invocation, dead_letter
from console.local.aws_account import ACCOUNT, REGION, arn
from console.local.rules import Event, EventRule, Schedule


@dataclass(frozen=True)
class Chaos:
    """How bad the bus is: probabilities of losing and doubling a delivery, whether order is random, and the longest
    delay of a delivery (seconds, in threads only). ``dice`` makes it repeatable.
    """

    lose: float = 0.0
    duplicate: float = 0.0
    shuffle: bool = False
    delay: float = 0.0
    dice: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True)
class Delivery:
    """One asynchronous invocation to make; ``tries`` have been made."""

    function: str
    event: Any
    tries: int = 0


@dataclass(frozen=True)
class Delivered:
    """One invocation that was made."""

    function: str
    event: Any
    answer: Invocation


class Bus:
    """The event bus, its queue of deliveries and its dead letters.

    ``retry_delays`` are the seconds before the second, third … try (AWS: 60, 120; none: one try); ``events`` holds
    every event emitted while ``keep`` is set; ``letters`` the dead letters as SQS messages, also appended to
    ``letters_file``.
    """

    def __init__(
        self,
        rules: Iterable[EventRule] = (),
        functions: Functions | None = None,
        clock: Clock | None = None,
        *,
        chaos: Chaos | None = None,
        retry_delays: tuple[float, ...] = (0.5, 1.0),
        schedules: Iterable[Schedule] = (),
        letters_file: Path | None = None,
        keep: bool = True,
    ) -> None:
        self.rules = tuple(rules)
        self.schedules = tuple(schedules)
        self.functions = functions or Functions()
        self.clock = clock or Clock()
        self.chaos = chaos or Chaos()
        self.keep = keep
        self.events: list[Event] = []
        self.letters: list[dict[str, Any]] = []
        self.watch: Callable[[Delivered], None] | None = None
        self._retry_delays = retry_delays
        self._letters_file = letters_file
        self._queue: list[tuple[float, int, Delivery]] = []
        self._numbers = 0
        self._busy = 0
        self._paused = False
        self._stopping = False
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []

    # putting

    def emit(
        self, source: str, kind: str, resources: list[str], detail: Mapping[str, Any], at: datetime | None = None
    ) -> Event:
        """Put an event of ``source`` and detail-type ``kind`` on the bus in AWS's envelope, and return it."""
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": ACCOUNT,
            "time": (at or self.clock.now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": resources,
            "detail": dict(detail),
        }
        self.put(event)
        return event

    def put(self, event: Event) -> int:
        """Match ``event`` (whole, as AWS sends it) and queue its deliveries; how many, after losses and doubles."""
        with self._change:
            if self.keep:
                self.events.append(event)
            deliveries = [Delivery(target, event) for target in self.targets(event) for _ in range(self._copies())]
            for delivery in deliveries:
                self._push(delivery, self.chaos.dice.uniform(0, self.chaos.delay) if self.chaos.delay else 0.0)
            return len(deliveries)

    def targets(self, event: Event) -> list[str]:
        """The functions the rules send ``event`` to, by name, one for each rule that matches."""
        named = self.functions.named
        return [named(target).name for rule in self.rules if rule.matches(event) for target in rule.targets]

    def invoke_later(self, function: str, event: Any) -> None:
        """Queue an asynchronous invocation (Lambda's ``InvocationType=Event``), which chaos leaves alone."""
        with self._change:
            self._push(Delivery(self.functions.named(function).name, event), 0.0)

    def tick(self) -> None:
        """Queue one call of every schedule."""
        for schedule in self.schedules:
            event = _scheduled(schedule, self.clock.now())
            with self._change:
                self._push(Delivery(self.functions.named(schedule.target).name, event), 0.0)

    # delivering

    def waiting(self) -> list[Delivery]:
        """What is queued, in no order."""
        with self._change:
            return [delivery for _, _, delivery in self._queue]

    def deliver_next(self) -> Delivered | None:
        """Make one queued delivery in this thread, whatever its delay; None when nothing is queued."""
        with self._change:
            if not self._queue:
                return None
            delivery = self._pop()
        return self._deliver(delivery)

    def deliver_all(self, limit: int = 100_000) -> list[Delivered]:
        """Deliver in this thread until nothing is queued, what comes of it included."""
        done: list[Delivered] = []
        while (delivered := self.deliver_next()) is not None:
            done.append(delivered)
            if len(done) >= limit:
                raise RuntimeError(
                    f"{limit} deliveries and no end: an event causes itself. Look at the last ones in Bus.events."
                )
        return done

    drain = deliver_all

    def forget(self) -> None:
        """Drop what is queued, as if all of it were lost."""
        with self._change:
            self._queue.clear()

    @property
    def paused(self) -> bool:
        """Whether the workers leave the queue alone; set it to hold deliveries back."""
        return self._paused

    @paused.setter
    def paused(self, value: bool) -> None:
        with self._change:
            self._paused = value
            self._change.notify_all()

    def start(self, workers: int = 2, sweep_every: float | None = None) -> None:
        """Deliver in ``workers`` threads, and tick the schedules every ``sweep_every`` seconds, until ``stop``."""
        self._stopping = False
        names = [f"bus-{n}" for n in range(workers)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        if sweep_every is not None:
            ticker = threading.Thread(target=self._tick_every, args=(sweep_every,), name="bus-schedule", daemon=True)
            self._threads.append(ticker)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after the deliveries in their hands; what is queued stays queued."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def wait_idle(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is queued and no worker is busy; False when ``timeout`` seconds did not suffice."""
        with self._change:
            return self._change.wait_for(lambda: not self._queue and not self._busy, timeout)

    # helpers, in order of use

    def _copies(self) -> int:
        chaos = self.chaos
        if chaos.lose and chaos.dice.random() < chaos.lose:
            return 0
        return 2 if chaos.duplicate and chaos.dice.random() < chaos.duplicate else 1

    def _push(self, delivery: Delivery, delay: float) -> None:
        self._numbers += 1
        heapq.heappush(self._queue, (time.monotonic() + delay, self._numbers, delivery))
        self._change.notify_all()

    def _pop(self, now: float = math.inf) -> Delivery:
        """The first delivery, or any that is due at ``now`` when the bus shuffles."""
        if not self.chaos.shuffle:
            return heapq.heappop(self._queue)[2]
        due = [row for row in self._queue if row[0] <= now]
        taken = self.chaos.dice.choice(sorted(due)) if due else self._queue[0]
        self._queue.remove(taken)
        heapq.heapify(self._queue)
        return taken[2]

    def _deliver(self, delivery: Delivery) -> Delivered:
        answer = self.functions.call(delivery.function, delivery.event)
        if answer.error:
            self._failed(delivery, answer)
        delivered = Delivered(delivery.function, delivery.event, answer)
        if self.watch is not None:
            self.watch(delivered)
        return delivered

    def _failed(self, delivery: Delivery, answer: Invocation) -> None:
        if delivery.tries < len(self._retry_delays):
            again = Delivery(delivery.function, delivery.event, delivery.tries + 1)
            with self._change:
                self._push(again, self._retry_delays[delivery.tries])
            return
        function = self.functions.named(delivery.function)
        letter = dead_letter(function, delivery.event, answer, delivery.tries + 1, self.clock.now().isoformat())
        with self._change:
            self.letters.append(letter)
            if self._letters_file is not None:
                with self._letters_file.open("a") as file:
                    file.write(json.dumps(letter) + "\n")

    def _work(self) -> None:
        while True:
            with self._change:
                if self._stopping:
                    return
                wait = None if self._paused or not self._queue else self._queue[0][0] - time.monotonic()
                if wait is None or wait > 0:
                    self._change.wait(wait)
                    continue
                delivery = self._pop(time.monotonic())
                self._busy += 1
            try:
                self._deliver(delivery)
            finally:
                with self._change:
                    self._busy -= 1
                    self._change.notify_all()

    def _tick_every(self, seconds: float) -> None:
        while True:
            with self._change:
                if self._change.wait_for(lambda: self._stopping, seconds):
                    return
                paused = self._paused
            if not paused:
                self.tick()


def _scheduled(schedule: Schedule, now: datetime) -> Any:
    if schedule.input is not None:
        return json.loads(schedule.input)
    place = (
        ("scheduler", f"schedule/default/{schedule.name}")
        if schedule.scheduler
        else ("events", f"rule/{schedule.name}")
    )
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler" if schedule.scheduler else "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [arn(*place)],
        "detail": "{}" if schedule.scheduler else {},
    }
