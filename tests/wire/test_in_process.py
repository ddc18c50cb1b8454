"""Answers lost inside one process meet the same retry handler as over HTTP, for crash-point and chaos runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError

from console.local.aws.faults import Call, Lose, lost_at, lost_at_random
from esteira.core.facts import about_release
from tests.integration.conftest import Story, doubles
from tests.wire.test_lost_answers import CLAIMED

pytestmark = pytest.mark.integration


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A story on one stage."""
    with Story(tmp_path) as story:
        yield story


class Losing:
    """A loss of answers to one operation; ``asked`` counts how often AWS performed it."""

    def __init__(self, operation: str, lose: Lose) -> None:
        self.asked = 0
        self._operation = operation
        self._lose = lose

    def __call__(self, call: Call) -> bool:
        if call.name != self._operation:
            return False
        self.asked += 1
        return self._lose(call)


def test_a_lost_answer_makes_botocore_send_again(story: Story) -> None:
    """One loss is not seen by the caller, and the put finds its own row."""
    story.faults.lose = losing = Losing("dynamodb:PutItem", lost_at(1))
    assert story.store.record("heart", CLAIMED)
    assert losing.asked == 2
    assert not story.store.record("heart", CLAIMED)


def test_an_answer_that_is_lost_each_time_reaches_the_caller(story: Story) -> None:
    """When botocore gives up the caller sees its error, and what was asked was done once."""
    story.faults.lose = Losing("dynamodb:PutItem", lost_at(1, times=9))
    with pytest.raises(ConnectionClosedError):
        story.store.record("heart", CLAIMED)
    story.faults.lose = None
    assert story.store.facts("heart", about_release(1)) == (CLAIMED,)


def test_a_client_that_sends_once_is_told_at_the_first_loss(story: Story) -> None:
    """CreateDeployment is not sent again: it is looked up, and one push is one deployment."""
    story.faults.lose = Losing("codedeploy:CreateDeployment", lost_at(1))
    story.push("one")
    story.play()
    story.pass_time(600, sweeps=3)
    assert story.phases == ["live"]
    assert len(story.deployment_claims()) == 1


def test_a_call_that_moto_answers_is_sent_again_too(story: Story) -> None:
    """What the local AWS leaves to moto goes the same way."""
    story.faults.lose = losing = Losing("sns:Publish", lost_at(1))
    topic = story.context.aws.client("sns").create_topic(Name="told")["TopicArn"]
    story.context.aws.publish(topic, "v1 is live", "v1 is live")
    assert losing.asked == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_story_with_answers_lost_at_random_comes_to_the_same_end(story: Story, seed: int) -> None:
    """One answer of fifty is lost: two pushes are two builds and two deployments, and the second is live."""
    story.faults.lose = lost_at_random(random.Random(seed), 0.02)
    for text in ("one", "two"):
        story.push(text)
        story.play()
        story.pass_time(600, sweeps=3)
    story.faults.lose = None
    story.pass_time(600, sweeps=2)
    assert story.phases == ["superseded", "live"]
    assert doubles(story.build_claims()) == []
    assert doubles(story.deployment_claims()) == []
