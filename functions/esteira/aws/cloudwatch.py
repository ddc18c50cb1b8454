"""Alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class CloudWatch:
    """CloudWatch, as the controller needs it."""

    client: Callable[..., Any]

    def alarms(self, names: Sequence[str]) -> list[tuple[str, datetime, str]]:
        """Those of the alarms that are in ALARM now: name, since when, and CloudWatch's reason.

        Since when is when it went off: StateUpdatedTimestamp moves on while it rings.
        """
        answer = self.client("cloudwatch").describe_alarms(
            AlarmNames=list(names), StateValue="ALARM", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found = (*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", []))
        return [
            (
                a["AlarmName"],
                a.get("StateTransitionedTimestamp") or a["StateUpdatedTimestamp"],
                str(a.get("StateReason", "")),
            )
            for a in found
        ]
