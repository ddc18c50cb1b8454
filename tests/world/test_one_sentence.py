"""Where a release stands, and why, is said in the same words wherever it is read; and a row that a newer version wrote
is passed over by one that does not know its kind."""

from __future__ import annotations

import pytest

from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from console.read.account import account as account_of
from tests.world.story import Story, from_a_newer_version


def agreed(story: Story, number: int) -> tuple[str, str]:
    """The phase and the sentence that everybody gives; fails where one differs."""
    said = story.said_everywhere(number)
    assert len(set(said.values())) == 1, said
    return said["the facts"]


def test_every_reader_says_the_same_on_the_way(story: Story) -> None:
    """From the push to its end, and of the one it replaced."""
    story.live("one")
    story.push("two")
    phases = []
    for step in (story.deliver, story.end_build, story.end_deployment):
        step()
        phases.append(agreed(story, 2)[0])
    assert phases == ["building", "deploying", "live"]
    assert agreed(story, 1)[0] == "superseded"


@pytest.mark.parametrize("how", ["build", "deployment", "guard", "abort", "rollback", "hold"])
def test_every_reader_says_the_same_of_an_end(story: Story, how: str) -> None:
    """Whatever it came to."""
    story.live("one")
    story.builds = BuildOutcome("FAILED", "exit 1") if how == "build" else BuildOutcome()
    story.deploys = DeployOutcome(how != "deployment", "GET /ping answered 500", log_tail="ValueError")
    if how == "hold":
        story.operate("hold", minutes=60)
    story.change({"key.ppk" if how == "guard" else "app.py": "two"})
    story.deliver()
    if how == "abort":
        story.operate("abort", release="v2")
    story.play()
    if how == "rollback":
        story.operate("rollback")
        story.play()
    ends = {"guard": "rejected", "abort": "aborted", "rollback": "rolled back", "hold": "waiting"}
    assert agreed(story, 2)[0] == ends.get(how, "failed")


def test_every_reader_says_the_same_of_what_was_quarantined_while_it_was_built(story: Story) -> None:
    """It is built to its end and never deployed, and nobody calls it anything else meanwhile."""
    story.live("one")
    story.push("two")
    story.deliver()
    story.operate("quarantine", release="v2", reason="trained on the wrong data")
    story.deliver()
    agreed(story, 2)
    story.play()
    assert agreed(story, 2)[0] == "rejected"
    assert story.deployed() == ["v1 Succeeded"]


def test_rows_of_a_kind_that_is_not_known_are_passed_over() -> None:
    """A function that was rolled back reads the table as the newer version left it."""
    with Story() as story:
        story.live("one", "two")
        from_a_newer_version(story)
        story.operate("rollback")
        story.play()
        story.live("three")
        story.pass_time(300)
        assert story.bus.letters == []
        assert story.phases == ["superseded", "rolled back", "live"]
        account = account_of(story.store, story.service, 2, story.clock.now())
        assert account.line.phase == "rolled back"
