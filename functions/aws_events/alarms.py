"""An alarm went off: CloudWatch's event and what its API answers about the same alarm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from aws_events.heard import Heard, NotOurs, Timestamp
from esteira.config import Service
from esteira.core.facts import AlarmRang
from esteira.fact import Fact


class _AlarmState(BaseModel, defer_build=True):
    value: Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
    reason: str = ""
    timestamp: Timestamp


class AlarmChange(BaseModel, defer_build=True):
    """CloudWatch Alarm State Change."""

    alarm: Annotated[str, Field(alias="alarmName", min_length=1, max_length=255)]
    state: _AlarmState


def read_alarm(change: AlarmChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    listening = [s for s in services if any(change.alarm in stage.alarms for stage in s.stages)]
    if not listening:
        return NotOurs(f"no service listens to the alarm {change.alarm}")
    if change.state.value != "ALARM":
        return NotOurs(f"the alarm {change.alarm} is {change.state.value}, which takes nothing back")
    rang = observed_alarm(change.alarm, change.state.timestamp, change.state.reason, now)
    return Heard(listening[0], rang, tuple(listening[1:]))


def observed_alarm(alarm: str, since: datetime, reason: str, now: datetime) -> tuple[Fact, ...]:
    """The fact that an alarm in ALARM since then tells; CloudWatch's event and its API know milliseconds."""
    since = since.astimezone(UTC).replace(microsecond=since.microsecond // 1000 * 1000)
    return (AlarmRang(at=now, alarm=alarm, since=since, reason=" ".join(reason.split())[:300]),)
