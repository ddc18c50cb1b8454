"""Counts what the controller asks of AWS: calls by service, DynamoDB units as AWS bills them, invocations of functions.

It looks on through botocore's own events and the local AWS's fault hook, and changes no answer: DynamoDB is only asked
to say what each call consumed.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.local.aws.bus import Delivered
from console.local.aws.faults import Call, When
from console.local.rehearse.rehearsal import Rehearsal

READS = ("BatchGetItem", "GetItem", "Query")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")


class BenchError(Exception):
    """A figure cannot be had; the sentence says why and what to do."""


@dataclass
class Reading:
    """What was asked of AWS between two looks. ``seconds`` is how long the functions took in this process, the local
    AWS's own work included."""

    calls: Counter[str] = field(default_factory=Counter)  # "dynamodb:Query" → how many
    read_units: float = 0.0
    write_units: float = 0.0
    invocations: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def services(self) -> dict[str, int]:
        """The calls by service, most first."""
        found: Counter[str] = Counter()
        for name, count in self.calls.items():
            found[name.partition(":")[0]] += count
        return dict(found.most_common())

    def figures(self) -> dict[str, Any]:
        """The reading as plain values."""
        return {
            "read_units": self.read_units,
            "write_units": self.write_units,
            "aws_calls": self.calls.total(),
            "by_service": self.services(),
            "by_call": dict(sorted(self.calls.items())),
            "invocations": dict(sorted(self.invocations.items())),
        }


class Meter:
    """Stands by an entered :class:`Rehearsal`. One thread only: the stage is played, not started."""

    def __init__(self, stage: Rehearsal) -> None:
        self._reading = Reading()
        self._pending: Call | None = None
        self._refused: list[Call] = []
        stage.faults.hook = self._hear
        stage.bus.watch = self._invoked
        events = stage.context.aws.client("dynamodb").meta.events
        for operation in (*READS, *WRITES):
            events.register(f"provide-client-params.dynamodb.{operation}", _ask_for_units)
        events.register("after-call.dynamodb", self._consumed)
        self._began = time.perf_counter()

    def start(self) -> None:
        """Forget what was counted so far."""
        self._reading = Reading()
        self._pending, self._refused = None, []
        self._began = time.perf_counter()

    def read(self) -> Reading:
        """What was counted since ``start``."""
        self._reading.seconds = time.perf_counter() - self._began
        self._finish()
        for call in self._refused:
            self._reading.write_units += refused_units(call)
        self._refused = []
        return self._reading

    def _hear(self, when: When, call: Call) -> None:
        if when == "before":
            self._finish()
            self._reading.calls[call.name] += 1
            self._pending = call
        else:
            self._pending = None

    def _finish(self) -> None:
        """A call that never came to its "after" was refused, and AWS bills a refused write."""
        call, self._pending = self._pending, None
        if call is not None and call.service == "dynamodb" and call.operation in WRITES:
            self._refused.append(call)

    def _invoked(self, delivered: Delivered) -> None:
        if delivered.answer.error:
            raise BenchError(
                f"{delivered.function} failed while it was measured: {delivered.answer.said}. Next: make test, which "
                f"says more."
            )
        self._reading.invocations[delivered.function] += 1

    def _consumed(self, parsed: Mapping[str, Any], model: Any, **_: object) -> None:
        told = parsed.get("ConsumedCapacity")
        if not told:
            raise BenchError(
                f"DynamoDB does not say what {model.name} consumed. Next: see console/local/aws/dynamodb.py"
            )
        units = sum(row["CapacityUnits"] for row in (told if isinstance(told, list) else [told]))
        if model.name in READS:
            self._reading.read_units += units
        else:
            self._reading.write_units += units


def refused_units(call: Call) -> float:
    """The write units of a refused write: AWS bills it by size and leaves its units out of the error, so the
    size of the item's JSON stands for it, which is never less."""
    steps: Sequence[Mapping[str, Any]] = call.params.get("TransactItems") or [{"": call.params}]
    items = [next(iter(step.values())).get("Item", {}) for step in steps]
    factor = 2 if "TransactItems" in call.params else 1
    return float(sum(factor * max(1, math.ceil(len(json.dumps(item, default=str)) / 1024)) for item in items))


def median(readings: Sequence[Reading]) -> Reading:
    """The reading whose every figure is the median of its kind."""

    def middle(counters: Sequence[Counter[str]]) -> Counter[str]:
        names = {name for counter in counters for name in counter}
        return Counter({n: int(statistics.median_high([counter[n] for counter in counters])) for n in names})

    return Reading(
        middle([r.calls for r in readings]),
        statistics.median(r.read_units for r in readings),
        statistics.median(r.write_units for r in readings),
        middle([r.invocations for r in readings]),
        statistics.median(r.seconds for r in readings),
    )


def _ask_for_units(params: dict[str, Any], **_: object) -> None:
    params["ReturnConsumedCapacity"] = "TOTAL"
