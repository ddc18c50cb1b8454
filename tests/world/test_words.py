"""Who may say which word is configuration: the right to invoke operate is one right for all of them."""

from __future__ import annotations

import pytest

from esteira.refusal import Refused
from tests.world.story import Story
from tests.world.test_operator import refused
from tests.world.test_stages import vote

pytestmark = pytest.mark.integration

ANA = "arn:aws:iam::123456789012:user/ana"


def test_a_word_that_nobody_may_say_is_switched_off(story: Story) -> None:
    """Bypass can be forbidden altogether, whoever asks and whatever is proven."""
    story.live("1")
    story.register(words={"bypass": []})
    told = refused(story.operate("bypass", release="v1", reason="the night"))
    assert told == "bypass of heart is switched off: the rules let nobody say it. Next: esteira status"
    with pytest.raises(Refused, match="is switched off"):
        vote(story, "bypass", "v1", by="ana")


def test_a_word_of_some_is_refused_to_others_and_to_whom_nobody_knows(story: Story) -> None:
    """A name that is typed is no identity: only the ARN that STS told counts. What is not named is anybody's."""
    story.live("1", "2")
    story.register(words={"quarantine": [ANA, "arn:aws:sts::123456789012:assumed-role/oncall/*"]})
    told = refused(story.operate("quarantine", release="v1", reason="wrong", by="ana"))
    assert told.startswith(f"quarantine of heart may be said by {ANA}, arn:aws:sts::123456789012:assumed-role/oncall/*")
    assert "AWS did not prove who says it now" in told
    with pytest.raises(Refused, match=r"user/bea may not say it\. Next: ask one of them"):
        vote(story, "quarantine", "v1", by="bea")
    vote(story, "quarantine", "v1", by="ana")
    assert story.store.quarantine(story.service.name, [story.store.release("heart", 1).pushed.commit]) is not None
    assert "refused" not in story.operate("hold", reason="a demo")


@pytest.mark.parametrize("typed", [["anybody"], ["*"], [""], ["arn:aws:iam::123456789012:"]])
def test_a_principal_that_is_none_leaves_the_service_out_with_a_sentence(story: Story, typed: list[str]) -> None:
    """A pattern that fits everybody, or nobody, by mistake is not taken."""
    story.register(words={"bypass": typed})
    _, faults = story.context.aws.services(story.context.settings.services_path)
    assert len(faults) == 1
    assert "words" in faults[0]
