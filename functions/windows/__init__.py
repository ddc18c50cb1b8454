"""When a deployment may begin: windows that open by cron on somebody's clock, some allowing, some denying, which wins.

Outside every window a stage is open if none allows, and closed if any does. Cron is Debian's, as ``cronsim`` reads it,
with its rules for the two days a year that have not 24 hours. Pure; its libraries are loaded where a service has some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

YEAR = timedelta(days=366)
# So many openings and closings are looked at for the next time that is open.
MOMENTS = 3000
# After 28 years the Gregorian calendar repeats its weekdays, leap days included.
FIRST_DAY, CYCLE_DAYS = date(2026, 1, 1), 28 * 365 + 7


class Window(BaseModel, extra="forbid", frozen=True):
    """When deployments to a stage may begin (allow), or may not (deny, which wins). ``cron`` has five fields, of the
    window's opening, on the clock of ``timezone``."""

    kind: Literal["allow", "deny"]
    cron: Annotated[str, Field(max_length=100)]
    minutes: Annotated[int, Field(ge=1, le=10080)]
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    reason: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        from cronsim import CronSim, CronSimError

        zone = _zone(self.timezone)
        if len(self.cron.split()) != 5:
            raise ValueError(f"cron {self.cron!r} has not five fields: minute, hour, day of month, month, day of week")
        try:
            # Any day will do to read the fields by.
            CronSim(self.cron, datetime(2026, 1, 1, tzinfo=zone))
        except CronSimError as error:
            raise ValueError(f"cron {self.cron!r} cannot be read: {error}") from None
        return self


@dataclass(frozen=True)
class Closed:
    """Why no deployment may begin now, and when one may; None if that was not found within a year."""

    why: str
    until: datetime | None


def never(windows: Sequence[Window]) -> bool:
    """Whether the windows let nothing begin on any minute of the calendar's whole cycle.

    The days are judged by the cron fields themselves, so the number of a window's openings does not matter.
    """
    from cronsim import CronSim

    crons = [(w, CronSim(w.cron, datetime(2026, 1, 1, tzinfo=UTC)), _zone(w.timezone)) for w in windows]
    minutes = [sorted(h * 60 + m for h in cron.hours for m in cron.minutes) for _, cron, _ in crons]
    allows = any(w.kind == "allow" for w in windows)
    running: list[tuple[int, int, str]] = []  # from when, until when (minutes since the first day, UTC), which kind
    # A window may have opened before the first day that is judged.
    for day in range(-max((w.minutes for w in windows), default=0) // 1440 - 2, CYCLE_DAYS):
        today = FIRST_DAY + timedelta(days=day)
        for (window, cron, zone), starts in zip(crons, minutes, strict=True):
            if today.month in cron.months and cron.match_day(today):
                noon = datetime(today.year, today.month, today.day, 12, tzinfo=zone)
                offset = day * 1440 - int((noon.utcoffset() or timedelta()).total_seconds()) // 60
                running += [(offset + a, offset + b, window.kind) for a, b in _merged(starts, window.minutes)]
        # A window of a place far east of Greenwich begins on the day before.
        if day > 0 and _opens(running, (day - 1) * 1440, day * 1440, allows):
            return False
        running = [row for row in running if row[1] > (day - 1) * 1440]
    return True


def _merged(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The stretches of ``length`` that begin at ``starts`` (ascending), those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start in starts:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], start + length)
        else:
            merged.append((start, start + length))
    return merged


def _opens(running: Sequence[tuple[int, int, str]], since: int, until: int, allows: bool) -> bool:
    """Whether a minute between ``since`` and ``until`` is not denied and, if any window allows, allowed."""
    edges = sorted({since, *(edge for row in running for edge in row[:2] if since < edge < until)})
    for edge in edges:
        kinds = {kind for start, end, kind in running if start <= edge < end}
        if "deny" not in kinds and ("allow" in kinds or not allows):
            return True
    return False


def closed_at(windows: Sequence[Window], now: datetime) -> Closed | None:
    """Why no deployment may begin at ``now`` (aware), None where one may."""
    why = _shut(windows, now)
    if not why:
        return None
    return Closed(why, next((moment for moment in _moments(windows, now) if not _shut(windows, moment)), None))


def openings(windows: Sequence[Window], now: datetime, days: int = 7) -> list[tuple[datetime, datetime, Window]]:
    """Every window that is open at some time in the coming days: from when, until when, and which."""
    found = []
    for window in windows:
        for start in _starts(window, now - timedelta(minutes=window.minutes), now + timedelta(days=days)):
            end = start + timedelta(minutes=window.minutes)
            if end > now:
                found.append((start, end, window))
    return sorted(found, key=lambda row: row[:2])


def _shut(windows: Sequence[Window], now: datetime) -> str:
    """The sentence's end that says why it is shut, "" where it is open."""
    denying = next((w for w in windows if w.kind == "deny" and _covers(w, now)), None)
    if denying is not None:
        return f"a window denies it ({_named(denying)})"
    allowing = [w for w in windows if w.kind == "allow"]
    if allowing and not any(_covers(w, now) for w in allowing):
        return f"none of its windows is open ({'; '.join(map(_named, allowing[:3]))})"
    return ""


def _named(window: Window) -> str:
    told = f"{window.cron} {window.timezone}, {window.minutes} min"
    return f"{window.reason}: {told}" if window.reason else told


def _covers(window: Window, now: datetime) -> bool:
    length = timedelta(minutes=window.minutes)
    return any(start <= now < start + length for start in _starts(window, now - length, now))


def _starts(window: Window, after: datetime, until: datetime) -> Iterator[datetime]:
    """When the window opens, in UTC: after ``after``, and at the latest at ``until``."""
    from cronsim import CronSim, CronSimError

    try:
        for start in CronSim(window.cron, after.astimezone(_zone(window.timezone))):
            start = start.astimezone(UTC)
            if start > until:
                return
            if start > after:
                yield start
    except CronSimError:
        return  # such as 30 February: it never opens


def _moments(windows: Iterable[Window], now: datetime) -> Iterator[datetime]:
    """The moments after ``now`` at which a window opens or closes, in order, for a year at most."""
    from heapq import merge
    from itertools import islice

    def edges(window: Window) -> Iterator[datetime]:
        length = timedelta(minutes=window.minutes)
        # What allows may let something begin when it opens; what denies, when it closes.
        shift = length if window.kind == "deny" else timedelta(0)
        for start in _starts(window, now - shift, now + YEAR):
            yield start + shift

    yield from islice(merge(*(edges(w) for w in windows)), MOMENTS)


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # not known; no name at all; a folder of names
        raise ValueError(f"no time zone is called {name!r}; they look like Europe/Lisbon") from None
