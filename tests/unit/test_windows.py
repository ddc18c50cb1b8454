"""When a deployment may begin: allow and deny, on somebody's clock, across the days that have not 24 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from esteira.config import Stage
from windows import Window, closed_at, never, openings

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def window(
    kind: Literal["allow", "deny"] = "allow", cron: str = "0 9 * * mon-fri", hours: float = 8, **said: Any
) -> Window:
    return Window(kind=kind, cron=cron, minutes=int(hours * 60), **said)


OFFICE = window()
FREEZE = window("deny", "0 12 * * mon", 2, reason="the weekly report")


@pytest.mark.parametrize(
    ("hour", "until"),
    [(0, 9), (8.99, 9), (9, None), (16.99, None), (17, 24 + 9), (4 * 24 + 18, 7 * 24 + 9)],
)
def test_outside_what_is_allowed_it_is_shut_until_the_next_opening(hour: float, until: float | None) -> None:
    """The opening belongs to the window, its end does not; over the week-end the next one is Monday's."""
    closed = closed_at([OFFICE], MONDAY + hour * HOUR)
    assert (closed and closed.until) == (MONDAY + until * HOUR if until else None)


def test_deny_wins_and_says_why() -> None:
    """In the middle of an allowed day; and until it ends."""
    closed = closed_at([OFFICE, FREEZE], MONDAY + 13 * HOUR)
    assert closed is not None
    assert "the weekly report" in closed.why
    assert closed.until == MONDAY + 14 * HOUR


def test_with_denying_windows_alone_it_is_open_otherwise() -> None:
    assert closed_at([FREEZE], MONDAY) is None
    assert closed_at([], MONDAY) is None


def test_a_denial_to_the_end_of_the_day_waits_for_tomorrows_opening() -> None:
    """What opens first is not open if it is denied."""
    late = window("deny", "0 12 * * *", 12)
    closed = closed_at([OFFICE, late], MONDAY + 13 * HOUR)
    assert closed is not None
    assert closed.until == MONDAY + (24 + 9) * HOUR


def test_a_window_is_on_the_clock_of_its_place() -> None:
    """Nine in Lisbon is nine by UTC in winter and eight in summer."""
    lisbon = window(cron="0 9 * * *", hours=1, timezone="Europe/Lisbon")
    assert closed_at([lisbon], datetime(2026, 1, 5, 9, 30, tzinfo=UTC)) is None
    assert closed_at([lisbon], datetime(2026, 7, 6, 8, 30, tzinfo=UTC)) is None
    assert closed_at([lisbon], datetime(2026, 7, 6, 9, 30, tzinfo=UTC)) is not None


def test_a_window_in_the_hour_that_the_spring_leaves_out_opens_after_it() -> None:
    """On 29 March 2026 Lisbon's clock goes from 01:00 to 02:00; Debian's cron runs what was due in between at once."""
    night = window(cron="30 1 * * *", hours=1, timezone="Europe/Lisbon")
    found = [start for start, _, _ in openings([night], datetime(2026, 3, 29, tzinfo=UTC), days=1)]
    assert found == [datetime(2026, 3, 29, 1, 0, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"cron": "0 9 * *"}, "five fields"),
        ({"cron": "0 25 * * *"}, "cannot be read"),
        ({"cron": "0 0 9 * * *"}, "five fields"),
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"timezone": "../etc/passwd"}, "no time zone"),
        ({"minutes": 0}, "greater than or equal"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused_with_a_sentence(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Window(**{"kind": "allow", "cron": "0 9 * * *", "minutes": 60, **said})


def test_windows_that_never_open_are_refused_at_registration() -> None:
    """A wait that cannot end must not begin."""
    always = window("deny", "0 0 * * *", 24)
    assert never([OFFICE, always])
    with pytest.raises(ValidationError, match="never let a deployment begin"):
        Stage(group="g", windows=(OFFICE, always))


@pytest.mark.parametrize(
    ("cron", "minutes"), [("* * * * *", 1), ("*/5 * * * *", 5), ("0,30 * * * *", 45), ("0 0 * * mon", 7 * 1440)]
)
def test_a_deny_window_that_is_always_shut_is_refused_however_often_it_opens(cron: str, minutes: int) -> None:
    """A search for the next opening gives up after some thousands; the verdict must not."""
    with pytest.raises(ValidationError, match="never let a deployment begin"):
        Stage(group="g", windows=(Window(kind="deny", cron=cron, minutes=minutes),))


@pytest.mark.parametrize("cron", ["0 9 29 2 *", "0 9 29 2 mon", "0 0 31 12 *"])
def test_a_window_that_opens_in_some_years_only_is_accepted(cron: str) -> None:
    """29 February comes every fourth year; on a Monday, once in 28."""
    assert not never([Window(kind="allow", cron=cron, minutes=60)])


def test_a_day_that_never_comes_is_refused() -> None:
    """30 February is no day, and a gap of one minute is an opening."""
    with pytest.raises(ValidationError, match="cannot be read"):
        Window(kind="allow", cron="0 9 30 2 *", minutes=60)
    assert not never([Window(kind="deny", cron="1 0 * * *", minutes=1439)])


@given(
    st.lists(
        st.builds(
            window,
            st.sampled_from(["allow", "deny"]),
            st.sampled_from(["0 9 * * *", "*/30 * * * *", "0 0 1 * *", "15 3 * * sun", "0 22 * * fri"]),
            st.sampled_from([0.25, 1, 5, 24]),
            timezone=st.sampled_from(["UTC", "Europe/Lisbon", "America/Sao_Paulo", "Asia/Kolkata"]),
        ),
        max_size=3,
    ),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
)
@settings(max_examples=25, deadline=None)
def test_when_it_says_it_opens_it_is_open_and_not_a_minute_before(windows: list[Window], now: datetime) -> None:
    closed = closed_at(windows, now)
    if closed is None or closed.until is None:
        return
    assert closed.until > now
    assert closed_at(windows, closed.until) is None
    before = max(now, closed.until - timedelta(minutes=1))
    assert closed_at(windows, before) is not None
