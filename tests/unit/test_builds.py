"""Several builds may carry one claim: which one decides, and what a quarantine does to a release that builds."""

from __future__ import annotations

from itertools import permutations

import pytest

from esteira.core.actions import AcceptImage, Close, StartBuild, StopBuild
from esteira.core.facts import BuildEnded, BuildStarted, Quarantined
from esteira.core.state import Release, Snapshot
from esteira.core.status import Cause, Phase, assess
from esteira.fact import Fact
from tests.unit.conftest import HEART, NOON, after, born, planned_from, quiet, release, status_on

# In the order of their ids the copy comes first, in the order of time ours does.
OURS, COPY, AGAIN = "heart-build:m", "heart-build:a", "heart-build:b"


def started(build: str, minutes: float, retry_of: str = "") -> BuildStarted:
    began = after(minutes)
    return BuildStarted(at=after(9), release=1, attempt=1, build=build, began=began, retry_of=retry_of)


def ended(build: str, status: str) -> BuildEnded:
    return BuildEnded(at=after(10), release=1, attempt=1, build=build, status=status)


def snapshot(r: Release) -> Snapshot:
    status = assess(r, (quiet(),), NOON).overall
    return Snapshot(HEART, (quiet(),), r.pushed, (r,), written={1: status.listed})


@pytest.mark.parametrize("copy_ended", ["FAILED", "STOPPED", "TIMED_OUT"])
def test_a_copy_of_the_build_that_fails_does_not_fail_the_release(copy_ended: str) -> None:
    """Somebody ran the build again in the console, with our variables. It is named, and our build goes on."""
    building = release(1, started(OURS, 0), started(COPY, 5), ended(COPY, copy_ended))
    status = status_on(building, quiet())
    assert (status.phase, building.build) == (Phase.BUILDING, started(OURS, 0))
    assert f"build {OURS} is in progress" in status.summary
    assert f"build {COPY} carries the same claim and does not count" in status.summary
    assert not [a for a in planned_from(snapshot(building)) if isinstance(a, StopBuild)]


def test_a_copy_that_succeeds_does_not_hide_that_our_build_failed() -> None:
    """Its image is not the one that was asked for."""
    failed = release(1, started(OURS, 0), ended(OURS, "FAILED"), started(COPY, 5), ended(COPY, "SUCCEEDED"))
    assert (status_on(failed, quiet()).phase, status_on(failed, quiet()).cause) == (Phase.FAILED, Cause.BUILD_FAILED)


def test_our_build_has_its_image_accepted_while_a_copy_runs() -> None:
    """Nothing waits for the copy."""
    built = release(1, started(OURS, 0), ended(OURS, "SUCCEEDED"), started(COPY, 5))
    assert [a.attempt for a in planned_from(snapshot(built), after(11)) if isinstance(a, AcceptImage)] == [1]
    assert [b.build for b in built.copies] == [COPY]


def test_codebuilds_own_retries_take_the_place_of_the_build_they_retry() -> None:
    """The last of them decides, whatever became of the ones before it; none is called a copy."""
    first = [started(OURS, 0), ended(OURS, "FAILED")]
    again = release(1, *first, started(AGAIN, 3, OURS))
    assert status_on(again, quiet()).summary == f"build {AGAIN} is in progress"
    third = [started(AGAIN, 3, OURS), ended(AGAIN, "FAILED"), started("heart-build:c", 6, AGAIN)]
    done = release(1, *first, *third, ended("heart-build:c", "SUCCEEDED"))
    assert done.build is not None
    assert done.build.build == "heart-build:c"
    assert status_on(done, quiet()).phase is Phase.BUILDING


def test_a_retry_of_a_copy_decides_nothing_either() -> None:
    """It follows a build that does not count."""
    building = release(1, started(OURS, 0), started(COPY, 2), started(AGAIN, 4, COPY), ended(AGAIN, "FAILED"))
    assert status_on(building, quiet()).phase is Phase.BUILDING


def test_the_same_build_decides_in_whatever_order_they_were_heard_of() -> None:
    """The time of their start counts, not the time they were heard of nor their ids."""
    facts: list[Fact] = [started(OURS, 0), started(COPY, 5), started(AGAIN, 6, OURS), ended(COPY, "FAILED")]
    assert {release(1, *told).build for told in permutations(facts)} == {started(AGAIN, 6, OURS)}


@pytest.mark.parametrize("facts", [(), (started(OURS, 0),), (started(OURS, 0), ended(OURS, "SUCCEEDED"))])
def test_a_release_quarantined_while_it_builds_is_rejected_and_its_build_is_stopped(facts: tuple[Fact, ...]) -> None:
    """Its status on the stage, in all and in listings is one, and no image is accepted for it."""
    word = Quarantined(at=NOON, request="r", by="ana", reason="a leak", subject=born().commit, release=1)
    rejected = release(1, *facts, quarantine=word)
    assessed = assess(rejected, (quiet(),), NOON)
    assert (assessed.overall.phase, assessed.overall.cause) == (Phase.REJECTED, Cause.QUARANTINED)
    assert assessed.on["production"] == assessed.overall
    actions = planned_from(snapshot(rejected), after(11))
    assert not [a for a in actions if isinstance(a, StartBuild | AcceptImage)]
    running = bool(facts) and len(facts) == 1
    assert [a.build for a in actions if isinstance(a, StopBuild)] == ([OURS] if running else [])
    assert any(isinstance(a, Close) for a in actions) is not running
