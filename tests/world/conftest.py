"""Every test here is a story that is told in memory, and once more on moto and git, so that the memory cannot drift.

On moto it is slow; a handful is told there in the fast run too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration import conftest as moto
from tests.world.story import Story, told

Begin = Callable[..., Any]
# Told on moto in the fast run: a push, a failure of each kind, a rollback, every event lost, two stages with a vote.
HANDFUL = {
    "test_a_push_goes_live_by_digest_under_its_tags",
    "test_a_failed_build_says_which_phase_failed_and_why",
    "test_a_deployment_that_fails_leaves_the_live_one_and_tells_its_log",
    "test_with_every_event_lost_the_sweep_alone_brings_the_same_end",
    "test_a_rollback_brings_back_the_last_healthy_release_with_no_build",
    "test_an_image_whose_event_was_lost_is_found_by_the_sweep",
    "test_a_release_that_failed_on_the_last_host_only_has_failed_with_that_hosts_words",
    "test_a_vote_is_for_one_attempt_and_one_image",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell each story in memory and on moto."""
    if "stack" in metafunc.fixturenames:
        slow = () if metafunc.function.__name__ in HANDFUL else (pytest.mark.slow,)
        metafunc.parametrize("stack", ["world", pytest.param("moto", marks=slow)])


@pytest.fixture
def begin(stack: str, tmp_path: Path) -> Iterator[Begin]:
    """Begins a story. However it goes, nothing may be built or deployed twice."""
    with ExitStack() as entered:

        def begin(**more: Any) -> Any:
            made = Story(**more) if stack == "world" else moto.Story(tmp_path, **more)
            entered.enter_context(made)
            return entered.enter_context(contextmanager(told)(made))

        yield begin


@pytest.fixture
def story(begin: Begin) -> Any:
    """A story that has not begun."""
    return begin()


@pytest.fixture
def on(begin: Begin) -> Begin:
    """Begins a story on the stages that a test names."""
    return lambda *stages: begin(stages=stages)
