"""What fails for a service again and again is told until it succeeds."""

from __future__ import annotations

from console.read.failing import failing
from tests.world.story import Story, refusing


def test_a_sweep_that_fails_again_and_again_is_told_until_one_succeeds(story: Story) -> None:
    """Three failures in a row are a sentence with the error and since when; the next success ends it."""
    story.live("one")
    story.faults.hook = refusing("codecommit:GetBranch")
    for _ in range(3):
        assert failing(story.store, story.service) == ()
        story.bus.functions.call("SweepFunction", {})
    (sentence,) = failing(story.store, story.service)
    assert "the sweep of heart has failed 3 times in a row" in sentence
    assert "AccessDeniedException" in sentence
    story.faults.hook = None
    story.wait(5)
    assert failing(story.store, story.service) == ()


def test_events_that_fail_again_and_again_are_told_until_a_sweep_succeeds(story: Story) -> None:
    """The bus calls intake three times over a push, and every call fails: that is told, and a good sweep ends it."""
    story.faults.hook = refusing("codecommit:GetBranch")
    story.push("one")
    story.deliver()
    (sentence,) = failing(story.store, story.service)
    assert "the intake of heart has failed 3 times in a row" in sentence
    story.faults.hook = None
    story.wait(5)
    assert failing(story.store, story.service) == ()


def test_nothing_is_written_about_failures_while_all_is_well(story: Story) -> None:
    """A sweep that finds nothing to do writes nothing at all."""
    story.live("one")
    story.wait(5)
    written: list[str] = []
    story.faults.hook = lambda moment, call: (
        written.append(call.name)
        if moment == "before" and call.name.startswith("dynamodb:") and call.name[9:12] in ("Put", "Del", "Upd", "Tra")
        else None
    )
    story.wait(5)
    assert written == []
