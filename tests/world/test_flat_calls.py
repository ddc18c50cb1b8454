"""A release costs the same however many are behind it: the calls, and the items they read and write. What AWS bills is
counted on moto, with a thousand releases (``tests/integration/test_flat_cost.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esteira.store import Store
from tests.world.story import Story

CALLS = 170  # of all functions, for a release from its push to live
FEW, MANY = 12, 60  # past the ten healthy releases that a rollout remembers
Cost = dict[str, int]


@pytest.fixture
def story() -> Iterator[Story]:
    """A story that has not begun, in memory alone."""
    with Story() as story:
        story.local_aws.lists.most = None  # pages as long as AWS's
        yield story


def cost(story: Story, what: Callable[[], Any]) -> Cost:
    """What something asks of AWS."""
    table = story.local_aws.dynamodb
    story.faults.counts.clear()
    table.read = table.written = 0
    what()
    return {**story.faults.counts, "items read": table.read, "items written": table.written}


def costs(story: Story, behind: int) -> tuple[Cost, Cost]:
    """What a release and an idle sweep cost with so many releases behind them."""
    while story.newest() < behind:
        story.clock.advance(600)
        story.live(f"{story.newest() + 1}")
    story.clock.advance(600)
    return cost(story, lambda: story.live("one more")), cost(story, lambda: story.wait(5))


def test_a_release_and_an_idle_sweep_cost_the_same_with_five_times_the_history(story: Story) -> None:
    """The very same calls, items read and items written; and no more calls than were counted once."""
    few, many = costs(story, FEW), costs(story, MANY)
    assert many == few
    release, _ = few
    assert sum(count for name, count in release.items() if ":" in name) <= CALLS
    assert (release["codebuild:StartBuild"], release["codedeploy:CreateDeployment"]) == (1, 1)


def test_an_idle_sweep_writes_nothing(story: Story) -> None:
    """Where nothing happened the sweep leaves no row behind."""
    _, sweep = costs(story, 2)
    assert sweep["items written"] == 0
    assert sweep["items read"] > 0


def test_a_cost_that_grows_with_the_history_shows(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that read its whole history at each step would not pass for flat."""
    bounded: Callable[..., Any] = Store.snapshot_rows

    def unbounded(self: Store, service: Any, also: Any = ()) -> Any:
        self.views(service.name, 10_000)
        return bounded(self, service, also)

    monkeypatch.setattr(Store, "snapshot_rows", unbounded)
    (few, _), (many, _) = costs(story, 2), costs(story, 12)
    assert many["items read"] > few["items read"]
