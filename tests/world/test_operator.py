"""What an operator says, and what the world looks like after."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.core.facts import Held, about_stage
from tests.world.story import Story

FAILED_BUILD = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1")
SICK = DeployOutcome(False, "GET /ping answered 500")
# What a person types next: a command, or an option to add to the one just typed.
NEXT = re.compile(r"(Next:|next:) (esteira [a-z-]+|add --|push )")


def refused(answer: dict[str, Any]) -> str:
    """The sentence of a refusal; fail where there was none."""
    assert set(answer) == {"refused"}, answer
    return str(answer["refused"])


# --- what is written


@pytest.mark.parametrize("field", ["by", "reason"])
@pytest.mark.parametrize("text", ["ana\x1b]0;x\x07", "ana\u202e", "ana\nrui"])
def test_a_name_and_a_reason_are_one_line_that_can_be_read(story: Story, field: str, text: str) -> None:
    """Everybody reads them, on terminals too: what cannot be seen is refused, and nothing is recorded."""
    story.live("one")
    answer = story.operate("hold", **{"by": "ana", "reason": "audit", field: text})
    assert f"{field}: it has \\u" in refused(answer)
    assert NEXT.search(refused(answer))
    assert story.stage_state.hold is None


# --- rollback


def test_a_rollback_brings_back_the_last_healthy_release_with_no_build(story: Story) -> None:
    """The very image that was live before is live again, and the tags say so."""
    first, second = story.live("one", "two")
    answer = story.operate("rollback", reason="it answers 0.5")
    story.play()
    assert answer["release"] == "v1"
    assert story.phases == ["live", "rolled back"]
    assert story.why(2) == "ana rolled production back to v1: it answers 0.5"
    assert story.built() == ["v1/build/1 SUCCEEDED", "v2/build/1 SUCCEEDED"]
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
    assert story.release_documents()[-1]["digest"] == story.made(first)
    assert story.digest("live-production") == story.made(first)
    assert story.digest("previous-production") == story.made(second)


def test_a_rollback_goes_to_the_release_it_names(story: Story) -> None:
    """Past the one that was live just before."""
    first, *_ = story.live("one", "two", "three")
    story.operate("rollback", to="v1")
    story.play()
    assert story.phases == ["live", "superseded", "rolled back"]
    assert story.digest("live-production") == story.made(first)


def test_two_rollbacks_in_a_row_go_back_twice_and_a_third_is_refused(story: Story) -> None:
    """What was rolled back is no place to roll back to."""
    story.live("one", "two", "three")
    for _ in range(2):
        story.operate("rollback")
        story.play()
    assert story.phases == ["live", "rolled back", "rolled back"]
    assert story.stage_state.live == 1
    assert refused(story.operate("rollback")).startswith("no earlier release was live and healthy on production")
    story.play()
    assert story.phases == ["live", "rolled back", "rolled back"]


def test_a_rollback_is_refused_when_nothing_is_live(story: Story) -> None:
    """There is nothing to go back from."""
    assert "nothing is live on production" in refused(story.operate("rollback"))
    assert story.newest() == 0


def test_a_rollback_is_refused_when_nothing_was_live_before(story: Story) -> None:
    """The first release stays."""
    story.live("one")
    assert "no earlier release was live" in refused(story.operate("rollback"))
    story.play()
    assert story.phases == ["live"]


def test_a_rollback_is_refused_while_something_deploys(story: Story) -> None:
    """The sentence says what to abort first, and doing so works."""
    story.live("one", "two")
    story.push("three")
    story.deliver()
    story.end_build()
    assert refused(story.operate("rollback")) == (
        "v3 is being deployed to production. Next: esteira abort v3 --reason …, then esteira rollback --reason …"
    )
    story.operate("abort", release="v3")
    story.play()
    story.operate("rollback")
    story.play()
    assert story.phases == ["live", "rolled back", "aborted"]


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("v3", "v3 is live on production already"),
        ("v2", "v2 was never live on production"),
        ("v9", "heart has no release v9"),
    ],
)
def test_a_rollback_to_what_cannot_be_rolled_back_to_is_refused(story: Story, to: str, sentence: str) -> None:
    """To itself, to what never was live, to what never was."""
    story.live("one")
    story.builds = FAILED_BUILD
    story.live("two")
    story.builds = BuildOutcome()
    story.live("three")
    assert sentence in refused(story.operate("rollback", to=to))
    story.play()
    assert story.phases == ["superseded", "failed", "live"]


def test_a_rollback_to_what_was_rolled_back_is_refused(story: Story) -> None:
    """It is out until a retry lets it in."""
    story.live("one", "two")
    story.operate("rollback")
    story.play()
    assert refused(story.operate("rollback", to="v2")) == "v2 is quarantined. Next: esteira why v2"
    story.play()
    assert story.phases == ["live", "rolled back"]


def test_what_was_rolled_back_stays_out_until_a_newer_commit_comes(story: Story) -> None:
    """Neither the sweep nor a force-push back to it brings it back; a new commit goes its way."""
    first, second = story.live("one", "two")
    story.operate("rollback", reason="it answers 0.5")
    story.play()
    story.pass_time(3600, sweeps=3)
    assert story.phases == ["live", "rolled back"]
    story.force_push(first)
    story.play()
    story.force_push(second)
    story.play()
    assert story.phases == ["superseded", "rolled back", "live", "rejected"]
    assert story.why(4).startswith(f"ana quarantined {second[:19]} with v2: it answers 0.5; next: esteira retry v4")
    assert story.digest("live-production") == story.made(first)
    story.push("three")
    story.play()
    assert story.phases[-1] == "live"


def test_a_retry_lets_what_was_rolled_back_in_again(story: Story) -> None:
    """The quarantine is lifted, and the commit may deploy by itself from then on."""
    _, second = story.live("one", "two")
    story.operate("rollback")
    story.play()
    story.operate("retry", release="v2")
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.digest("live-production") == story.made(second)
    story.live("three")
    story.force_push(second)
    story.play()
    assert story.phases[-1] == "live"
    assert story.built() == [f"v{n}/build/1 SUCCEEDED" for n in (1, 2, 3)]


def test_a_rejected_release_is_let_in_by_its_retry(story: Story) -> None:
    """The command its sentence ends in does what it says."""
    first, second = story.live("one", "two")
    story.operate("rollback")
    story.play()
    for commit in (first, second):
        story.force_push(commit)
        story.play()
    story.operate("retry", release="v4")
    story.play()
    assert story.phases == ["superseded", "rolled back", "superseded", "live"]


def test_a_rollback_whose_deployment_fails_leaves_the_live_one(story: Story) -> None:
    """What was to be left is live still, its tags too, and another rollback may be ordered."""
    _, second = story.live("one", "two")
    story.deploys = SICK
    story.operate("rollback")
    story.play()
    assert story.stage_state.live == 2
    assert story.phases == ["failed", "live"]
    assert story.digest("live-production") == story.made(second)
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Failed"]
    story.pass_time(3600, sweeps=2)
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Failed"]
    story.deploys = DeployOutcome()
    story.operate("rollback")
    story.play()
    assert story.phases == ["live", "rolled back"]


def test_a_rollback_goes_before_what_waits(story: Story) -> None:
    """What was held meanwhile deploys after it, being newer."""
    story.live("one", "two")
    story.operate("hold", minutes=10)
    story.push("three")
    story.play()
    story.operate("rollback")
    story.play()
    assert story.phases == ["live", "rolled back", "waiting"]
    story.operate("resume")
    story.play()
    assert story.phases == ["superseded", "rolled back", "live"]


# --- hold and resume


def test_a_hold_stops_what_would_deploy_and_says_who_until_when_and_why(story: Story) -> None:
    """The release is built and waits; what is live stays."""
    story.live("one")
    story.operate("hold", by="rui", reason="audit", minutes=90)
    story.push("two")
    story.play()
    assert story.phases == ["live", "waiting"]
    assert story.why(2) == "rui holds production until 2026-01-01 01:30 UTC: audit"
    assert story.built()[-1] == "v2/build/1 SUCCEEDED"
    assert story.deployed() == ["v1 Succeeded"]


def test_a_hold_ends_by_itself(story: Story) -> None:
    """Not a minute early, and nobody has to remember it."""
    story.operate("hold", minutes=90)
    story.push("one")
    story.play()
    story.pass_time(89 * 60)
    assert story.phases == ["waiting"]
    story.pass_time(60)
    assert story.phases == ["live"]


def test_a_resume_ends_a_hold(story: Story) -> None:
    """What waited goes at once."""
    story.operate("hold")
    story.push("one")
    story.play()
    story.operate("resume")
    story.play()
    assert story.phases == ["live"]


def test_the_latest_hold_counts(story: Story) -> None:
    """A shorter hold said later takes the place of a longer one."""
    story.operate("hold", minutes=600)
    story.clock.advance(1)
    story.operate("hold", minutes=10)
    story.push("one")
    story.play()
    assert story.phases == ["waiting"]
    story.pass_time(600)
    assert story.phases == ["live"]


def test_a_resume_of_what_is_not_held_is_refused(story: Story) -> None:
    """Neither before a hold nor after it has run out."""
    said = "production is not held; there is nothing to resume. Next: esteira status"
    assert refused(story.operate("resume")) == said
    story.operate("hold", minutes=1)
    story.pass_time(61)
    assert "is not held" in refused(story.operate("resume"))


def test_a_rollback_passes_a_hold(story: Story) -> None:
    """A hold keeps new things out, not an operator from going back."""
    story.live("one", "two")
    story.operate("hold")
    story.operate("rollback")
    story.play()
    assert story.phases == ["live", "rolled back"]


def test_a_hold_does_not_stop_what_deploys_already(story: Story) -> None:
    """It stops beginnings."""
    story.push("one")
    story.deliver()
    story.end_build()
    story.operate("hold")
    story.play()
    assert story.phases == ["live"]


# --- abort


def test_an_abort_while_building_stops_the_build(story: Story) -> None:
    """Nothing is deployed, and the sentence says who and why."""
    story.push("one")
    story.deliver()
    story.operate("abort", release="v1", reason="wrong branch")
    story.play()
    assert story.phases == ["aborted"]
    assert story.why(1) == "ana aborted it: wrong branch"
    assert story.built() == ["v1/build/1 STOPPED"]
    assert story.deployed() == []
    assert story.open() == []


def test_an_abort_while_waiting_never_deploys(story: Story) -> None:
    """Not even when the stage is free."""
    story.operate("hold", minutes=10)
    story.push("one")
    story.play()
    story.operate("abort", release="v1")
    story.pass_time(3600)
    assert story.phases == ["aborted"]
    assert story.deployed() == []


def test_an_abort_while_deploying_stops_the_deployment(story: Story) -> None:
    """The release says that it is being stopped, then that it was aborted; what was live stays."""
    story.live("one")
    story.push("two")
    story.deliver()
    story.end_build()
    story.operate("abort", release="v2", reason="wrong model")
    assert story.stands(2).phase == "deploying"
    assert story.why(2).startswith("ana aborted it; ")
    story.play()
    assert story.phases == ["live", "aborted"]
    assert story.why(2) == "ana aborted it while it was being deployed: wrong model"
    assert story.deployed() == ["v1 Succeeded", "v2 Stopped"]
    assert story.stage_state.live == 1


def test_an_abort_that_comes_too_late_leaves_the_release_live(story: Story) -> None:
    """The deployment had ended before AWS could stop it: what answers is what is called live."""
    story.push("one")
    story.deliver()
    story.end_build()
    story.engine.finish_next()  # it succeeds, and nobody has heard of it yet
    story.operate("abort", release="v1")
    story.play()
    assert story.phases == ["live"]
    assert story.deployed() == ["v1 Succeeded"]


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        ("v2", "v2 is live already. Next: esteira rollback --reason …"),
        ("v1", "v1 is superseded; there is nothing to abort."),
    ],
)
def test_an_abort_of_what_is_over_is_refused(story: Story, release: str, sentence: str) -> None:
    """Live, and ended."""
    story.live("one", "two")
    assert refused(story.operate("abort", release=release)).startswith(sentence)
    story.play()
    assert story.phases == ["superseded", "live"]


def test_an_abort_of_a_rollback_stops_it_and_leaves_the_live_one(story: Story) -> None:
    """While a rollback deploys, aborting its release ends it; what was live stays live."""
    story.live("one", "two")
    story.operate("rollback")
    story.operate("abort", release="v1")
    story.play()
    assert story.stage_state.live == 2
    assert story.phases[1] == "live"
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Stopped"]


# --- retry


def test_a_retry_of_a_failed_build_builds_again(story: Story) -> None:
    """A second attempt with a build of its own."""
    story.builds = FAILED_BUILD
    story.live("one")
    story.builds = BuildOutcome()
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 FAILED", "v1/build/2 SUCCEEDED"]


def test_a_retry_of_a_failed_deployment_builds_nothing(story: Story) -> None:
    """The image is there and trusted: only the deployment is done again."""
    story.deploys = SICK
    story.live("one")
    story.deploys = DeployOutcome()
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 SUCCEEDED"]
    assert story.deployed() == ["v1 Failed", "v1 Succeeded"]


def test_a_retry_of_an_aborted_release_brings_it_to_life(story: Story) -> None:
    """Calling off one attempt does not call off the next."""
    story.push("one")
    story.deliver()
    story.operate("abort", release="v1")
    story.play()
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 STOPPED", "v1/build/2 SUCCEEDED"]


def test_a_retry_before_the_stopped_build_has_ended_waits_for_its_own(story: Story) -> None:
    """The old attempt's build may end whenever it likes."""
    story.push("one")
    story.deliver()
    story.operate("abort", release="v1")
    story.deliver()
    story.operate("retry", release="v1")
    story.deliver()
    assert story.built() == ["v1/build/1 IN_PROGRESS", "v1/build/2 IN_PROGRESS"]
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 STOPPED", "v1/build/2 SUCCEEDED"]


def test_a_retry_is_refused_for_what_it_cannot_change(story: Story) -> None:
    """Live, superseded, rejected by the guard, skipped, older than what is live: each with its sentence."""
    story.live("one")
    story.builds = FAILED_BUILD
    story.live("two")
    story.builds = BuildOutcome()
    story.live("three")
    story.change({"key.ppk": "key"})
    story.play()
    story.change({"key.ppk": None, "README.md": "hello"})
    story.play()
    assert story.phases == ["superseded", "failed", "live", "rejected", "skipped"]
    for release, sentence in {
        "v1": "v1 is superseded, which a retry cannot change; push again. Next: esteira why v1",
        "v2": "v3 is newer than v2, which was never live. Next: push v2's commit again",
        "v3": "v3 is live and needs no retry. Next: esteira show v3",
        "v4": "v4 is rejected, which a retry cannot change; push again. Next: esteira why v4",
        "v5": "v5 is skipped, which a retry cannot change; push again. Next: esteira why v5",
    }.items():
        assert refused(story.operate("retry", release=release)) == sentence
    story.play()
    assert story.phases == ["superseded", "failed", "live", "rejected", "skipped"]


def test_the_command_that_a_refused_retry_names_is_one_that_works(story: Story) -> None:
    """An older failed release cannot be rolled back to, so nobody should be sent there."""
    story.live("one")
    story.builds = FAILED_BUILD
    story.live("two")
    story.builds = BuildOutcome()
    story.live("three")
    sentence = refused(story.operate("retry", release="v2"))
    assert "esteira rollback --to v2" not in sentence or "refused" not in story.operate("rollback", to="v2")


def test_a_retry_of_a_failed_release_that_was_live_before_names_the_rollback_to_it(story: Story) -> None:
    """Where a rollback is the way back, the refusal says so, and the command works."""
    story.live("one", "two")
    story.deploys = SICK
    story.operate("rollback")
    story.play()
    story.deploys = DeployOutcome()
    assert story.phases == ["failed", "live"]
    assert "Next: esteira rollback --to v1" in refused(story.operate("retry", release="v1"))
    story.operate("rollback", to="v1")
    story.play()
    assert story.phases == ["live", "rolled back"]


def test_a_retry_while_a_newer_one_is_under_way_is_refused(story: Story) -> None:
    """An older release never overtakes a newer one."""
    story.builds = FAILED_BUILD
    story.live("one")
    story.builds = BuildOutcome()
    story.push("two")
    story.deliver()
    assert "v2 is newer than v1" in refused(story.operate("retry", release="v1"))
    story.play()
    assert story.phases == ["failed", "live"]


# --- quarantine


def test_a_quarantine_keeps_what_waits_from_deploying(story: Story) -> None:
    """A release that is held and turns out bad never goes live."""
    story.operate("hold", minutes=10)
    story.push("one")
    story.play()
    story.operate("quarantine", release="v1", reason="trained on the wrong data")
    story.pass_time(3600)
    assert story.phases == ["rejected"]
    assert "trained on the wrong data; next: esteira retry v1" in story.why(1)
    assert story.deployed() == []


def test_a_quarantine_of_what_is_live_leaves_it_live(story: Story) -> None:
    """It may not deploy again by itself; taking it down is a rollback's business."""
    story.live("one")
    story.operate("quarantine", release="v1")
    story.play()
    story.pass_time(600)
    assert story.phases == ["live"]


# --- requests


def test_the_same_request_twice_is_one_word(story: Story) -> None:
    """A hold that is sent again ends when the first one said."""
    story.operate("hold", minutes=60, request="request-of-ana")
    story.clock.advance(1800)
    story.operate("hold", minutes=60, request="request-of-ana")
    assert len([f for f in story.store.facts("heart", about_stage("production")) if isinstance(f, Held)]) == 1
    hold = story.stage_state.hold
    assert hold is not None
    assert f"{hold.until:%H:%M}" == "01:00"


def test_the_same_rollback_twice_goes_back_once(story: Story) -> None:
    """Though the second comes when the first is done."""
    story.live("one", "two", "three")
    story.operate("rollback", request="request-of-ana")
    story.play()
    story.operate("rollback", request="request-of-ana")
    story.play()
    assert story.phases == ["superseded", "live", "rolled back"]
    assert story.deployed()[3:] == ["v2 Succeeded"]


def test_the_same_retry_twice_is_one_attempt(story: Story) -> None:
    """Though the first has failed again by then."""
    story.builds = FAILED_BUILD
    story.live("one")
    for _ in range(2):
        story.operate("retry", release="v1", request="request-of-ana")
        story.play()
    assert story.built() == ["v1/build/1 FAILED", "v1/build/2 FAILED"]
    assert story.phases == ["failed"]


def test_the_same_retry_twice_leaves_nothing_open(story: Story) -> None:
    """What is over is read no more."""
    story.builds = FAILED_BUILD
    story.live("one")
    for _ in range(2):
        story.operate("retry", release="v1", request="request-of-ana")
        story.play()
    assert story.open() == []


MALFORMED: dict[str, Any] = {
    "no action": {"action": None},
    "an unknown action": {"action": "explode"},
    "an unknown service": {"service": "liver"},
    "an unknown stage": {"stage": "staging"},
    "no request id": {"request": None},
    "a short request id": {"request": "1"},
    "nobody": {"by": ""},
    "an unknown key": {"colour": "red"},
    "no such label": {"to": "version 1"},
    "an unheard-of release": {"to": "v99"},
    "an endless hold": {"action": "hold", "minutes": 10**9},
    "a hold without a reason": {"action": "hold", "reason": " "},
    "a rollback without a reason": {"reason": ""},
    "a retry of nothing": {"action": "retry"},
    "an abort of nothing": {"action": "abort"},
    "not an object": None,
}


def test_malformed_requests_are_refused_in_a_sentence_and_change_nothing(story: Story) -> None:
    """No exception, no dead letter, no row."""
    story.live("one", "two")
    rows = story.rows()
    for fault in MALFORMED:
        assert refused(requested(story, fault)), fault
        story.play()
        assert story.rows() == rows, fault
    assert story.phases == ["superseded", "live"]
    assert not story.bus.letters


def test_the_refusal_of_a_malformed_request_ends_in_what_to_type(story: Story) -> None:
    """Every error says the next thing to type."""
    story.live("one", "two")
    assert [fault for fault in MALFORMED if not NEXT.search(refused(requested(story, fault)))] == []


def requested(story: Story, fault: str) -> dict[str, Any]:
    """Send a rollback with one thing wrong; None takes a key away, or the whole request."""
    wrong = MALFORMED[fault]
    good = {"action": "rollback", "service": "heart", "request": "request-1", "by": "ana", "reason": "a test"}
    request = None if wrong is None else {k: v for k, v in {**good, **wrong}.items() if v is not None}
    answer = story.bus.functions.call("OperateFunction", request)
    assert not answer.error, answer.said
    payload: dict[str, Any] = answer.payload
    return payload


def test_the_refusals_of_well_formed_requests_end_in_a_command(story: Story) -> None:
    """What can be typed instead."""
    story.live("one")
    for action, release in {"resume": None, "retry": "v1", "abort": "v1", "quarantine": None, "rollback": None}.items():
        assert NEXT.search(refused(story.operate(action, release=release))), action
    assert NEXT.search(refused(story.operate("retry", release="v7")))
    assert story.phases == ["live"]


@pytest.mark.parametrize("live", [False, True])
def test_the_refusal_of_a_rollback_to_nowhere_ends_in_a_command(story: Story, live: bool) -> None:
    """Where nothing is live, and to what is live."""
    if live:
        story.live("one")
    assert NEXT.search(refused(story.operate("rollback", to="v1")))
