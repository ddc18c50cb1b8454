"""DORA's five keys, from a stage's rollouts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from console.read.dora import ROLLOUTS, Keys, keys
from esteira.core.facts import RolloutFinished
from esteira.fact import Fact
from tests.unit.conftest import NOON, after, rollout_of


def rollout(
    number: int, release: int, at: float, *, kind: str = "deploy", live: int = 0, ok: bool = True
) -> list[Fact]:
    """A rollout and how it ended, so many minutes after noon."""
    begun = replace(rollout_of(release, number), kind=kind, live=live, served=f"order-{number}")
    return [begun, RolloutFinished(at=after(at), stage="production", rollout=number, release=release, succeeded=ok)]


def measured(*rollouts: list[Fact], days: int = 7) -> Keys:
    pushed = dict.fromkeys(range(1, 4), NOON)
    rows = [fact for rows in rollouts for fact in reversed(rows)]
    return keys("heart", "production", rows, pushed, {"order-3": "ana"}, days, NOON + timedelta(days=6), {})


STORY = (
    rollout(1, 1, 10),
    rollout(2, 2, 30, live=1),
    rollout(3, 1, 45, kind="rollback", live=2),
    rollout(4, 3, 60, live=1, ok=False),
    rollout(5, 1, 70, kind="restore", live=1),
)


def test_the_four_keys_of_a_week() -> None:
    """Two came to life, one of them was left after a quarter of an hour; what never served fails nobody."""
    told = measured(*STORY)
    assert [d.release for d in told.deployments] == [1, 2]
    assert told.lead_seconds == 20 * 60
    assert told.per_week == 2
    assert told.failure_rate == 0.5
    assert told.restore_seconds == 15 * 60
    assert told.refused == {"production": 1}
    assert told.deployments[1].rolled_back_by == "ana"


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert measured(*reversed(STORY)) == measured(*STORY)


def test_a_release_whose_push_is_not_known_has_no_lead_time() -> None:
    told = measured(rollout(1, 9, 10))
    assert (told.lead_seconds, len(told.deployments)) == (None, 1)


@pytest.mark.parametrize("rollouts", [[], [[rollout_of(1, 1)]]])
def test_where_there_is_nothing_to_measure_nothing_is_said(rollouts: list[list[Fact]]) -> None:
    told = measured(*rollouts)
    assert (told.lead_seconds, told.failure_rate, told.restore_seconds, told.per_week) == (None, None, None, 0)


def test_what_came_before_the_days_does_not_count() -> None:
    assert measured(*STORY, days=1).deployments == ()


def test_a_release_that_is_gone_back_from_twice_failed_in_each_of_its_lives() -> None:
    """A retry brought it back; each life has its own end."""
    told = measured(
        rollout(1, 1, 0),
        rollout(2, 2, 10, live=1),
        rollout(3, 1, 20, kind="rollback", live=2),
        rollout(4, 2, 30, live=1),
        rollout(5, 1, 50, kind="rollback", live=2),
    )
    assert [d.restored_seconds for d in told.deployments] == [None, 600, 1200]


def test_rework_is_the_first_deployment_after_a_rollback() -> None:
    """The fix of what users had to bear counts once; what follows it is ordinary work again."""
    told = measured(
        rollout(1, 1, 0),
        rollout(2, 2, 10, live=1),
        rollout(3, 1, 20, kind="rollback", live=2),
        rollout(4, 3, 30, live=1, ok=False),
        rollout(5, 4, 40, live=1),
        rollout(6, 5, 50, live=4),
    )
    assert [(d.release, d.rework) for d in told.deployments] == [(1, False), (2, False), (4, True), (5, False)]
    assert told.rework_rate == 0.25
    assert measured().rework_rate is None


def test_where_not_every_rollout_was_read_the_frequency_is_of_the_days_that_were() -> None:
    """A stage that had more rollouts than are read is measured since the first of those."""
    rollouts = [rollout(n, 1, 10 * n) for n in range(1, ROLLOUTS + 1)]
    told = measured(*rollouts, days=365)
    assert told.since == NOON
    assert told.per_week == pytest.approx(len(told.deployments) * 7 / 6)
    assert measured(*rollouts[:-1], days=365).since == NOON + timedelta(days=6 - 365)


def test_a_rollback_that_failed_has_restored_nothing() -> None:
    """The bad release is still live; the rollback's rollout counts among those that ended on the host."""
    told = measured(rollout(1, 1, 10), rollout(2, 2, 20, live=1), rollout(3, 1, 30, kind="rollback", live=2, ok=False))
    assert (told.failure_rate, told.refused) == (0, {"production": 1})


def test_what_the_stage_before_refused_is_counted_for_that_stage() -> None:
    """Production refused nothing where staging refused all: what never came to production is not passed over."""
    ends = (rollout(1, 1, 10, ok=False), rollout(2, 2, 20), rollout(3, 3, 30, ok=False))
    staging = [fact for facts in ends for fact in facts]
    until = NOON + timedelta(days=6)
    told = keys("heart", "production", rollout(1, 2, 40), {}, {}, 7, until, {"staging": staging})
    assert told.refused == {"staging": 2, "production": 0}
    assert keys("heart", "production", (), {}, {}, 1, until, {"staging": staging}).refused["staging"] == 0
