"""A snapshot's rows are what the facts say, at every moment of a story, and are read in few calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from console.local.rehearse.rehearsal import START
from esteira.core.facts import (
    Held,
    Notified,
    Quarantined,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    about_stage,
)
from esteira.core.state import StageState
from esteira.store import SnapshotRows
from esteira.store.rows import REMINDERS, reminder_of
from esteira.trail import HostReported
from tests.world.story import Story

pytestmark = pytest.mark.integration
STAGES = (
    {"name": "staging"},
    {"name": "production", "approvals": {"votes": 1, "not_by_pusher": True}, "alarms": ["errors"], "bake_minutes": 30},
)


@pytest.fixture(params=[True, False], ids=["two stages", "one stage"])
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    """A story on two stages, where people vote and an alarm is heard, or on one."""
    with Story(stages=STAGES if request.param else ()) as story:
        yield story


def calls(story: Story, read: Callable[[], object]) -> int:
    """How often a reading asks DynamoDB."""
    before = story.faults.counts.total()
    read()
    return story.faults.counts.total() - before


def stages_by_facts(story: Story) -> Iterator[StageState]:
    """The stages as the facts themselves say, without the rows that repeat the latest ones."""
    before = None
    for rules in story.service.stages:
        newest = partial(story.store.newest_facts, story.service.name, about_stage(rules.name))
        rollouts = newest("rollout#", 2)
        rollout = next((f for f in rollouts if isinstance(f, Rollout)), None)
        ends = (f for f in rollouts if isinstance(f, RolloutFinished) and rollout and f.rollout == rollout.number)
        hold = next((f for f in newest("hold#", 1) if isinstance(f, Held)), None)
        order = next((f for f in newest("rollback#", 1) if isinstance(f, RollbackOrdered)), None)
        told = next((f for f in newest(REMINDERS, 1) if isinstance(f, Notified)), None)
        latest = StageState(rules.name, rollout, next(ends, None), hold, order, reminder_of(hold, told))
        before = replace(latest, rules=rules, before=before)
        yield before


def compare(story: Story) -> SnapshotRows:
    """Read the snapshot's rows and hold them against each fact read by itself."""
    store, service = story.store, story.service
    name, rows = service.name, story.store.snapshot_rows(service)
    opened, arrived = store.open(name)
    assert (rows.newest, rows.open, rows.arrived) == (store.newest(name), opened, arrived)
    assert rows.stages == tuple(store.stages(service)) == tuple(stages_by_facts(story))
    assert set(opened) <= set(rows.births)
    for number, birth in rows.births.items():
        release = store.release(name, number)
        assert release is not None
        assert birth == release.pushed
        assert rows.facts[number] == {f for f in release.facts if not isinstance(f, HostReported)}
        word = store.quarantine(name, [birth.commit])
        assert rows.quarantined.get(birth.commit) == word
        assert set(rows.pushes.get(birth.commit, ())) <= {
            p for b in rows.births.values() for p in store.pushes(name, b.commit)
        }
        voted = any(stage.approvals and stage.approvals.not_by_pusher for stage in service.stages)
        if voted and number in opened and birth.effective and number not in {stage.live for stage in rows.stages}:
            assert set(store.pushes(name, birth.commit)) <= set(rows.pushes[birth.commit])
    rang = store.alarms(name, [alarm for stage in service.stages for alarm in stage.alarms])
    assert tuple(rows.alarms.values()) == rang
    return rows


def step_by_step(story: Story) -> None:
    """Play until nothing moves, and compare after every event, build and deployment."""
    while True:
        while story.bus.deliver_next():
            compare(story)
        if not story.engine.finish_next():
            return
        compare(story)


def test_the_rows_are_what_the_facts_say_at_every_moment(story: Story) -> None:
    """Pushes, votes, a rollback, a hold and its end, a quarantine: the latest rows are never behind."""
    compare(story)
    for text in ("one", "two"):
        story.push(text)
        step_by_step(story)
        if len(story.service.stages) > 1:
            story.operate("promote", release=f"v{story.newest()}", stage="production")
            story.operate("bypass", release=f"v{story.newest()}", stage="production", minutes=60)
            step_by_step(story)
    assert [stage.live for stage in compare(story).stages] == [2] * len(story.service.stages)
    story.ring("errors")
    step_by_step(story)
    last = story.service.last.name
    for action, more in (("hold", {"minutes": 60}), ("resume", {}), ("hold", {"minutes": 60}), ("rollback", {})):
        story.operate(action, stage=last, **more)
        step_by_step(story)
    rows = compare(story)
    assert rows.stages[-1].hold is not None
    assert rows.stages[-1].live == 1
    left = story.store.snapshot_rows(story.service, also=[2])
    assert {word.release for word in left.quarantined.values()} == {2}


def test_a_snapshot_is_read_in_at_most_eight_calls(story: Story) -> None:
    """One release live and another under way: the calls do not grow with the stages or the deployments."""
    story.live("one")
    if len(story.service.stages) > 1:
        story.operate("bypass", release="v1", stage="production", minutes=60)
        story.play()
    story.push("two")
    story.bus.deliver_all()
    assert set(story.store.snapshot_rows(story.service).births) == {1, 2}
    assert calls(story, lambda: story.store.snapshot_rows(story.service)) <= (7 if len(story.service.stages) > 1 else 5)


def test_facts_that_belong_together_take_one_call(story: Story) -> None:
    """Where all are new there is one transaction; where some were there, one more, and those stay as they were."""
    first, second, third = (Quarantined(**_word(n)) for n in ("one", "two", "three"))
    store, name = story.store, story.service.name
    assert calls(story, lambda: store.write(name, [first, second])) == 1
    assert store.write(name, [first, second]) == ()
    assert store.write(name, [second, third]) == (third,)
    for word in (first, second, third):
        assert store.quarantine(name, [word.subject]) == word


def test_an_older_word_that_comes_late_does_not_hide_the_latest(story: Story) -> None:
    """A word is written although a later one of its series stands already, and the later one stays the latest."""
    store, name = story.store, story.service.name
    story.operate("hold", stage=story.service.last.name, minutes=60)
    latest = compare(story).stages[-1].hold
    assert latest is not None
    earlier = latest.at - timedelta(minutes=1)
    assert store.record(name, replace(latest, at=earlier, request="recorded-late"))
    assert store.say(name, "said-late", earlier, [replace(latest, at=earlier, request="said-late")])
    assert len(store.facts(name, latest.about, "hold#")) == 3
    assert compare(story).stages[-1].hold == latest


def _word(subject: str) -> dict[str, Any]:
    return {"at": START, "request": subject, "by": "ana", "reason": "bad", "subject": subject, "release": 1}
