"""Batches of which AWS does a part, at random, change nothing about how a story ends."""

from __future__ import annotations

import random
from typing import Any

import pytest

from console.local.aws.faults import Call
from console.local.aws.strict.partial import PARTS

pytestmark = pytest.mark.world
RATE = 0.3


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_are_cut_at_random_come_to_the_same_end(story: Any, seed: int) -> None:
    """Two releases, then a rollback: whatever is left out is done at the next try or at the next sweep."""
    chance, cut = random.Random(seed), set[str]()

    def sometimes(call: Call) -> bool:
        if call.name not in PARTS or chance.random() >= RATE:
            return False
        cut.add(call.name)
        return True

    story.faults.cut = sometimes
    for text in ("one", "two"):
        story.push(text)
        for _ in range(6):
            story.play()
            story.wait(5)
    story.operate("rollback")
    for _ in range(6):
        story.play()
        story.wait(5)
    story.faults.cut = None
    story.wait(5)
    assert story.phases == ["live", "rolled back"]
    assert {"events:PutEvents", "ecr:BatchGetImage"} & cut
