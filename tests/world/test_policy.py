"""The policy is set by a word, decides in place of the registration, and no update of a stack changes it."""

from __future__ import annotations

from typing import Any

import pytest

from console.record.as_of import Rows
from console.record.backtest import backtest
from console.record.decisions import replay
from console.record.registration_part import merged
from esteira import operate
from esteira.core.admission import Waits
from esteira.core.facts import PolicySet
from esteira.core.status import Phase
from esteira.refusal import Refused
from tests.world.story import Story
from tests.world.test_operator import refused
from tests.world.test_stages import PEOPLE, PRODUCTION, STAGING, VOTED, Begin, later, vote

pytestmark = pytest.mark.integration

VOTES = "stages:\n  production: {approvals: {votes: 1}}\n"
NONE = "stages:\n  production: {}\n"


def set_policy(story: Story, document: str, **more: Any) -> dict[str, Any]:
    """What ``operate`` answers to the word ``policy``."""
    said: dict[str, Any] = story.operate("policy", document=document, **{"reason": "the audit", **more})
    return said


def test_a_policy_asks_for_votes_that_the_registration_does_not_ask_for(story: Story) -> None:
    """It decides from the next snapshot on, and says who set it and why."""
    story.live("1")
    assert "refused" not in set_policy(story, VOTES, by="ana")
    story.push("2")
    story.play()
    assert story.stands(2).cause == Waits.APPROVAL
    said = story.snapshot().policy
    assert isinstance(said, PolicySet)
    assert (said.version, said.by, said.reason) == (1, "ana", "the audit")
    vote(story, "approve", "v2")
    assert story.phases == ["superseded", "live"]


def test_a_policy_stays_whatever_the_registration_becomes(on: Begin) -> None:
    """An update of the stack writes the registration anew: without its votes, with other gates, with bypass open."""
    story = on(VOTED)
    rules = "gates: {roc_auc: {min: 0.9}}\nwords: {bypass: []}\nown_hooks: false\nguard: {allow: [test.pem]}\n"
    assert "refused" not in set_policy(story, VOTES + rules)
    before = story.snapshot().service
    story.register(stages=[PRODUCTION | {"group": story.service.last.group}], gates={}, words={}, own_hooks=True)
    after = story.snapshot().service
    assert (after.gates, after.words, after.own_hooks, after.guard) == (
        before.gates,
        before.words,
        before.own_hooks,
        before.guard,
    )
    assert after.stages == before.stages
    assert after.last.approvals is not None
    told = refused(story.operate("bypass", release="v1", reason="the night"))
    assert told == "bypass of heart is switched off: the rules let nobody say it. Next: esteira status"


def test_what_a_policy_leaves_out_is_no_rule(on: Begin) -> None:
    """Otherwise a line of the stack's template would still decide."""
    story = on(VOTED)
    assert "refused" not in set_policy(story, NONE)
    story.live("1")
    assert story.stands(1).phase is Phase.LIVE


def test_a_stage_that_came_after_the_policy_has_the_rules_of_its_registration(story: Story) -> None:
    """It is not opened to everybody for want of a line."""
    set_policy(story, NONE)
    stages = [STAGING | {"group": "heart-staging", "approvals": {"votes": 2}}, PRODUCTION | {"group": "heart-prod"}]
    story.register(stages=stages)
    staging, production = story.store.stages(story.service)
    assert staging.rules is not None
    assert staging.rules.approvals is not None
    assert production.rules is not None
    assert production.rules.approvals is None


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            "stages:\n  production: {approvals: {votes: 0}}\n",
            "line 2: stages.production.approvals.votes is 0; allowed: ",
        ),
        ("stages:\n  prodution: {}\n", "line 2: heart has no stage prodution; its stages are production"),
        ("gates: {}\n", "line 1: stages does not name production; add production: {} if it is to have no rules"),
        (NONE + "gate: {}\n", "line 3: gate is no rule; did you mean gates?"),
        (NONE + "words: {bypass: [everybody]}\n", "line 3: words.bypass.0 is everybody; allowed: ARNs such as"),
        (NONE + "stages: {}\n", "line 3: stages stands in line 1 already; keep one of them"),
        ("stages: [\n", "line 2: it is not YAML"),
        ("yes\n", "line 1: expected rules such as"),
        (NONE + "own_hooks: 1\n", "line 3: own_hooks is 1; allowed: Input should be a valid boolean"),
        ("stages:\n  production: {alarms: [errors]}\n", "line 2: stages.production is a mapping; allowed: alarms are"),
        (NONE + "words: {policy: []}\n", "words.policy lets nobody set a policy, and not you (unproven); add yourself"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_line(story: Story, document: str, says: str) -> None:
    """Nothing is recorded of it."""
    told = refused(set_policy(story, document))
    assert told.startswith(f"the policy is refused: {says}")
    assert told.endswith(". Next: esteira policy diff FILE")
    assert story.store.policy("heart") is None


def test_a_policy_needs_a_reason(story: Story) -> None:
    """Everybody will read it."""
    told = refused(set_policy(story, VOTES, reason=" "))
    assert told.startswith("policy needs a reason")


def test_who_may_set_a_policy_is_in_the_policy(story: Story) -> None:
    """Nobody else may, and who sets it cannot leave themselves out by a slip."""
    ana = f"words: {{policy: ['{PEOPLE}/ana']}}\n"
    with pytest.raises(Exception, match="and not you"):
        vote(story, "policy", None, by="bea", document=NONE + ana)
    vote(story, "policy", None, by="ana", document=NONE + ana)
    with pytest.raises(Exception, match="policy of heart may be said by"):
        vote(story, "policy", None, by="bea", document=VOTES)
    story.register(words={})
    with pytest.raises(Exception, match="policy of heart may be said by"):
        vote(story, "policy", None, by="bea", document=VOTES)
    vote(story, "policy", None, by="ana", document=VOTES)
    said = story.store.policy("heart")
    assert said is not None
    assert (said.version, said.arn) == (2, f"{PEOPLE}/ana")


def test_the_same_rules_again_are_no_new_version(story: Story) -> None:
    """A script may apply its file every day."""
    set_policy(story, VOTES)
    told = refused(set_policy(story, VOTES + "gates: {}\n"))
    assert told.startswith("the policy is refused: nothing in it differs from version 1, which is in force")


def test_of_two_who_set_a_policy_at_once_one_is_told(story: Story) -> None:
    """The second saw the version before the first: it would undo what it never saw."""
    said = {"action": "policy", "service": "heart", "by": "bea", "reason": "no votes", "document": NONE}
    late = operate._Asked(operate.Request(request="request-late", **said), story.service, story.context)
    assert late.snapshot.policy is None
    set_policy(story, VOTES, by="ana")
    with pytest.raises(Refused, match="somebody else set a policy at this moment"):
        operate._policy(late)
    newest = story.store.policy("heart")
    assert newest is not None
    assert (newest.version, newest.by) == (1, "ana")


def test_an_answer_that_was_lost_is_asked_for_again_and_makes_no_second_version(story: Story) -> None:
    """The request's own id makes it one word."""
    said = {"action": "policy", "service": "heart", "by": "bea", "reason": "votes", "document": VOTES}
    request = operate.Request(request="request-again", **said)
    operate.operate(request, story.service, story.context)
    operate.operate(request, story.service, story.context)
    assert len(story.store.facts("heart", "policy")) == 1


def test_an_alarm_of_the_policy_takes_a_release_back(story: Story) -> None:
    """Its event finds the service although the registration does not name the alarm."""
    set_policy(story, "stages: {production: {bake_minutes: 30, alarms: [errors]}}")
    story.live("1", "2")
    later(story, 1)
    story.ring("errors")
    story.play()
    assert story.live_on("production") == 1


def test_a_policy_of_a_newer_version_holds_releases_back(story: Story) -> None:
    """What cannot be read may be a rule."""
    at = story.clock.now()
    newer = PolicySet(at=at, request="newer", by="ana", reason="", version=1, document='{"stages":{},"moon":"full"}')
    story.store.say("heart", "newer-request", at, [newer])
    story.push("1")
    story.play()
    assert story.stands(1).cause == Waits.REGISTRATION
    assert "policy version 1 cannot be used: the policy is refused: moon" in story.why(1)


def test_decisions_are_made_again_under_the_policy_of_then(story: Story) -> None:
    """Also when the next one says otherwise; and a backtest tries other rules, not those that were set."""
    set_policy(story, VOTES)
    story.push("1")
    story.play()
    vote(story, "approve", "v1")
    set_policy(story, NONE)
    story.live("2")
    rows = Rows(story.context.aws.client("dynamodb"), story.context.settings.table)
    lease = story.context.settings.lease
    assert {one.verdict for n in (1, 2) for one in replay(rows, "heart", n, lease)} == {"same"}
    present = story.snapshot().service
    asked = merged(present, {"stages": [{"name": "production", "approvals": {"votes": 1}}]})
    told = backtest(rows, present, asked, 10, lease)
    assert [(line.release, line.changes[0].rule) for line in told.otherwise] == [("v2", "approval")]
