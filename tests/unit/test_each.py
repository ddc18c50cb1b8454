"""Several services in one call: an error of one, or its slowness, takes nothing from the others (C7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from esteira.config import Service
from esteira.context import Context
from esteira.each import RESERVE, each, rotated
from tests.unit.conftest import HEART, NOON, after

SERVICES = tuple(HEART.model_copy(update={"name": name}) for name in ("heart", "lungs", "skin"))


class Hour:
    """A clock that a step moves on, and a call that ends at ``end``."""

    def __init__(self, seconds: float) -> None:
        self.now, self.end = NOON, NOON + timedelta(seconds=seconds)
        store: Any = None
        self.context = Context(store, store, store, clock=lambda: self.now)

    def left(self) -> timedelta:
        return self.end - self.now

    def spend(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_an_error_of_one_service_is_raised_after_the_others_had_their_turn() -> None:
    """An alarm that two services hear is answered by the second though the first fails."""
    hour, done = Hour(60), []

    def step(service: Service, context: Context) -> str:
        done.append(service.name)
        if service.name == "heart":
            raise RuntimeError("heart cannot be read")
        return service.name

    with pytest.raises(RuntimeError, match="heart cannot be read"):
        each(SERVICES, step, hour.context, hour.left)
    assert done == ["heart", "lungs", "skin"]


def test_a_slow_service_is_told_that_it_is_late_and_leaves_the_others_their_share() -> None:
    """Each may use an equal share of what is left; what one saves goes to those after it."""
    hour, shares = Hour(RESERVE.total_seconds() + 30), {}

    def step(service: Service, context: Context) -> str:
        began = hour.now
        while not context.is_late():
            hour.spend(1)
            if service.name == "lungs":
                break
        shares[service.name] = (hour.now - began).total_seconds()
        return service.name

    assert list(each(SERVICES, step, hour.context, hour.left)) == ["heart", "lungs", "skin"]
    assert shares == {"heart": 10, "lungs": 1, "skin": 19}


def test_a_service_for_which_no_time_is_left_is_not_begun() -> None:
    """The rest of the time is for the answer and for the call that is under way."""
    hour = Hour(RESERVE.total_seconds() + 10)

    def step(service: Service, context: Context) -> None:
        hour.spend(30)

    assert list(each(SERVICES, step, hour.context, hour.left)) == ["heart"]


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 10, 15])
@pytest.mark.parametrize("count", [2, 3, 5, 10, 15])
def test_every_service_comes_first_in_some_sweep_however_often_sweeps_come(count: int, minutes: int) -> None:
    """Else the last ones never get their share where the first are always slow."""
    services = [HEART.model_copy(update={"name": f"model-{n}"}) for n in range(count)]
    sweeps: list[datetime] = [after(n * minutes) for n in range(20 * count)]
    assert {rotated(services, now)[0].name for now in sweeps} == {s.name for s in services}
    assert all(sorted(s.name for s in rotated(services, now)) == sorted(s.name for s in services) for now in sweeps)


def test_without_services_there_is_nothing_to_rotate() -> None:
    assert rotated([], NOON) == ()
