"""Images from elsewhere: one that is not there yet is asked for again, and findings that come back are the newest."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aws_events import Heard, observed_scan, read
from esteira.core.actions import OpenImage
from esteira.core.facts import ImageArrived, ImageTaken
from esteira.core.state import Snapshot
from esteira.fact import Fact
from esteira.trail import ImageScanned
from tests.unit.conftest import DIGEST, HEART, SETTINGS, after, planned_from, quiet, recorded

EVENTS = Path(__file__).parents[2] / "events"
ACCEPT = HEART.deadlines.accept_minutes


def arrived(minutes: float = 0, heard: float | None = None) -> ImageArrived:
    return ImageArrived(at=after(minutes), tag="v1.2", digest=DIGEST, heard=None if heard is None else after(heard))


def opened(image: ImageArrived, minutes: float) -> OpenImage:
    (action,) = planned_from(Snapshot(HEART, (quiet(),), arrived=(image,)), after(minutes))
    assert isinstance(action, OpenImage)
    return action


@pytest.mark.parametrize(("minutes", "late"), [(0, False), (ACCEPT - 0.1, False), (ACCEPT, True), (9 * ACCEPT, True)])
def test_an_image_is_looked_for_until_the_deadline_and_then_called_late(minutes: float, late: bool) -> None:
    """The registry may show it later than its event came. Each sweep plans to look again."""
    assert opened(arrived(), minutes).late is late


def test_the_deadline_counts_from_when_the_image_was_heard_of() -> None:
    """An event that was hours on its way leaves as much time as any other."""
    assert opened(arrived(-120, heard=0), ACCEPT - 1).late is False
    assert opened(arrived(-120, heard=0), ACCEPT).late is True


def test_an_image_that_was_missing_may_be_taken_when_it_is_pushed_again() -> None:
    """That it was missing is another row than what became of it later, so the first does not keep the second out."""
    missing = ImageTaken(at=after(), tag="v1.2", digest=DIGEST, release=3, missing=True)
    taken = ImageTaken(at=after(60), tag="v1.2", digest=DIGEST, release=5)
    assert list(recorded([missing, taken]).values()) == [missing, taken]


def scan_event(minute: int, counts: dict[str, int]) -> Any:
    event = json.loads((EVENTS / "ecr_scan_complete.json").read_text(encoding="utf-8"))
    event["detail"]["finding-severity-counts"] = counts
    return event | {"time": f"2026-11-23T11:{minute:02}:30Z"}


def told(event: Any) -> tuple[Fact, ...]:
    heard = read(event, [HEART], after(), SETTINGS)
    assert isinstance(heard, Heard)
    return heard.facts


def test_findings_that_come_back_are_the_newest() -> None:
    """Scans found CRITICAL, nothing, and CRITICAL again: all three are kept, and the last by key is CRITICAL."""
    events = [scan_event(1, {"CRITICAL": 1}), scan_event(2, {}), scan_event(3, {"CRITICAL": 1})]
    for order in (events, events[::-1]):
        rows = recorded(fact for event in order for fact in told(event))
        scans = [rows[place] for place in sorted(rows)]
        assert [f.findings for f in scans if isinstance(f, ImageScanned)] == ["CRITICAL 1", "none", "CRITICAL 1"]


def test_one_scan_heard_twice_and_seen_by_the_sweep_is_one_row() -> None:
    """The event tells when it was sent, the API when the scan was over: the same minute."""
    event = scan_event(1, {"CRITICAL": 1})
    completed = datetime(2026, 11, 23, 11, 1, 12, tzinfo=UTC)
    found = {"findingSeverityCounts": {"CRITICAL": 1}, "imageScanCompletedAt": completed}
    seen = observed_scan(DIGEST, {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": found}, after(20))
    assert seen is not None
    assert len(recorded([*told(event), *told(event), seen])) == 1
