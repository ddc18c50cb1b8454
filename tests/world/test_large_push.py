"""A push of more files than one call can search: how far it came is on record, and the next call goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from esteira.advance import advance
from esteira.core.facts import Searched
from esteira.perform.search import AT_ONCE, CHECKPOINT
from tests.world.story import ACCESS_KEY_ID, Story

FILES = 2 * CHECKPOINT + 3


@pytest.fixture
def story() -> Iterator[Story]:
    """A story that has not begun, in memory alone."""
    with Story() as story:
        yield story


def push(story: Story, **more: str) -> str:
    """Push a tree of many files, one unlike the other; the commit."""
    return story.change({f"src/{n:05}.py": f"x = {n}" for n in range(FILES)} | more)


def recorded(story: Story, commit: str) -> list[int]:
    """How far the search came, each time that was written down."""
    facts = story.store.facts("heart", f"commit/{commit}", "searched#")
    return [f.through for f in facts if isinstance(f, Searched)]


def late_call(story: Story) -> None:
    """A call whose time is used up at once."""
    advance(story.service, replace(story.context, is_late=lambda: True))


def test_what_one_call_cannot_search_the_next_ones_do(story: Story) -> None:
    """No file is read twice, none is left out, and nothing is built before the last one is read."""
    commit = push(story)
    story.faults.counts.clear()
    calls = 0
    while not story.newest():
        late_call(story)
        calls += 1
        assert story.built() == []
    assert calls == -(-FILES // AT_ONCE)
    assert story.faults.counts["codecommit:GetBlob"] == FILES
    assert recorded(story, commit) == list(range(AT_ONCE, FILES, AT_ONCE))
    story.play()
    assert story.phases == ["live"]


def test_a_call_with_time_searches_all_and_leaves_a_mark_on_the_way(story: Story) -> None:
    """A function that is killed in the middle has not read for nothing."""
    commit = push(story)
    story.faults.counts.clear()
    story.play()
    assert story.phases == ["live"]
    assert story.faults.counts["codecommit:GetBlob"] == FILES
    assert recorded(story, commit) == [CHECKPOINT, 2 * CHECKPOINT]


def test_a_secret_in_the_last_file_is_found_by_a_later_call(story: Story) -> None:
    """What was searched before its turn came does not make the rest innocent."""
    push(story, **{"zz.csv": f"id\n{ACCESS_KEY_ID}"})
    late_call(story)
    assert not story.newest()
    story.play()
    assert story.phases == ["rejected"]
    assert story.why(1).startswith("zz.csv holds an AWS access key id (line 2); remove it")


def test_a_likely_place_is_searched_by_the_first_call(story: Story) -> None:
    """A .env far down the alphabet is read before a thousand sources."""
    push(story, **{"zz/.env": f"KEY={ACCESS_KEY_ID}"})
    late_call(story)
    assert story.stands(1).phase.value == "rejected"


def test_a_push_of_few_files_leaves_no_mark(story: Story) -> None:
    """An ordinary push costs no row and no read more."""
    commit = story.change({f"src/{n}.py": str(n) for n in range(50)})
    story.play()
    assert story.phases == ["live"]
    assert recorded(story, commit) == []
