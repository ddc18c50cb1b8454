"""An alarm went off: CloudWatch's event and what its API answers about the same alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from aws_events.heard import Heard, Nice, NotOurs, Timestamp, name_in
from esteira.config import Service
from esteira.core.facts import AlarmRang
from esteira.fact import Fact
from esteira.refusal import validated


class _AlarmState(BaseModel, defer_build=True):
    value: Literal["ALARM"]
    reason: Annotated[str | None, Nice] = None
    timestamp: Timestamp


class AlarmChange(BaseModel, defer_build=True):
    """CloudWatch Alarm State Change."""

    alarm: Annotated[str, Field(alias="alarmName", min_length=1, max_length=255)]
    state: _AlarmState


def read_alarm(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """An alarm that went off, to all who listen to it. CloudWatch tells again when what suppressed it is over."""
    name, state = name_in(detail, "alarmName"), detail.get("state")
    listening = [s for s in services if any(name in stage.alarms for stage in s.stages)]
    if not listening:
        return NotOurs(f"no service listens to the alarm {name}")
    if isinstance(state, Mapping) and state.get("value") in ("OK", "INSUFFICIENT_DATA"):
        return NotOurs(f"the alarm {name} is {state['value']}, which takes nothing back")
    if isinstance(state, Mapping) and state.get("actionsSuppressedBy"):
        return NotOurs(f"the actions of the alarm {name} are suppressed, so it takes nothing back")
    change = validated(AlarmChange, detail, "CloudWatch event")
    rang = observed_alarm(change.alarm, change.state.timestamp, change.state.reason or "", now)
    return Heard(listening[0], rang, tuple(listening[1:]))


def observed_alarm(alarm: str, since: datetime, reason: str, now: datetime) -> tuple[Fact, ...]:
    """The fact that an alarm in ALARM since then tells; CloudWatch's event and its API know milliseconds."""
    since = since.astimezone(UTC).replace(microsecond=since.microsecond // 1000 * 1000)
    return (AlarmRang(at=now, alarm=alarm, since=since, reason=" ".join(reason.split())[:300]),)
