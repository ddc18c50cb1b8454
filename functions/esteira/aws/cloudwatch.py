"""Alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

KINDS = ("MetricAlarm", "CompositeAlarm", "LogAlarm")


@dataclass(frozen=True)
class Alarms:
    """CloudWatch, as the controller needs it."""

    client: Callable[..., Any]

    def alarms(self, names: Sequence[str]) -> list[tuple[str, datetime, str]]:
        """Those of the alarms that are in ALARM now: name, since when, and CloudWatch's reason. One whose actions are
        suppressed is left out.

        Since when is when it went off: StateUpdatedTimestamp moves on while it rings.
        """
        pages = (
            self.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNames=list(names), StateValue="ALARM", AlarmTypes=list(KINDS))
        )
        rows = (alarm for page in pages for kind in KINDS for alarm in page.get(f"{kind}s", ()))
        found = [alarm for alarm in rows if not alarm.get("ActionsSuppressedBy")]
        return [
            (
                a["AlarmName"],
                a.get("StateTransitionedTimestamp") or a["StateUpdatedTimestamp"],
                str(a.get("StateReason", "")),
            )
            for a in found
        ]
