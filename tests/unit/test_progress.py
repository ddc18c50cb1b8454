"""The demo's patience: standstill ends a wait, time alone does not."""

from __future__ import annotations

from pathlib import Path

from console.local.up.standstill import Logs, Standstill


def test_a_release_that_still_changes_is_never_late() -> None:
    """However long it takes, only the time since the last change counts."""
    now = [0.0]
    standstill = Standstill(240, lambda: now[0])
    for size in range(100):
        now[0] += 239
        assert not standstill.reached(("building", {"build.log": size}))
    now[0] += 241
    assert standstill.reached(("building", {"build.log": 99}))
    assert not standstill.reached(("built", {"build.log": 99}))


def test_the_lines_of_builds_come_once_and_whole(tmp_path: Path) -> None:
    """A line that is not finished waits for its end, and still counts as progress; earlier lines are not repeated."""
    log, other = tmp_path / "builds" / "b.log", tmp_path / "deployments" / "d.log"
    for path in (log, other):
        path.parent.mkdir()
        path.write_text("before\n")
    logs = Logs(tmp_path)
    before = logs.sizes()
    log.write_text("before\none\ntw")
    other.write_text("before\nafter\n")
    assert logs.build_lines() == ["one"]
    assert logs.sizes() != before
    log.write_text("before\none\ntwo\n")
    assert logs.build_lines() == ["two"]
    assert logs.build_lines() == []
