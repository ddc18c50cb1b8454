"""What hosts report of themselves: a sick release is taken back while it is watched, and told afterwards; a report that
does not fit what is known is not believed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from console.local.engine import HOST
from console.read.account import account
from console.read.stage_status import status
from console.record.as_of import Rows
from console.record.receipt import receipt
from esteira.core.facts import HostObserved, about_stage
from esteira.core.status import Cause, Phase
from esteira.fact import stamp
from tests.world.story import PRODUCTION, Story
from tests.world.test_stages import Begin, vote

LOOP = {"sick": "crash-loop", "times": 3, "seconds": 12, "status": 1}


def report(story: Story, number: int, **said: Any) -> None:
    """A host's watcher sends a report, and it is delivered."""
    detail = {
        "service": story.service.name,
        "stage": PRODUCTION,
        "host": HOST,
        "release": f"v{number}",
        "digest": story.digest(f"esteira-v{number}"),
        "since": stamp(story.clock.now()),
        **said,
    }
    entry = {"Source": "esteira.host", "DetailType": "Host Report", "Detail": json.dumps(detail)}
    story.aws_client("events").put_events(Entries=[entry])
    story.deliver()


def observed(story: Story) -> list[HostObserved]:
    """What is on record of what hosts reported."""
    facts = story.store.facts(story.service.name, about_stage(PRODUCTION), "host#")
    return [fact for fact in facts if isinstance(fact, HostObserved)]


def told(story: Story, commit: str) -> list[str]:
    """The comments on a commit."""
    return [c["comment"]["content"] for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit]


def test_a_crash_loop_is_taken_back_without_any_configuration(story: Story) -> None:
    """No bake, no alarm: v2 is quarantined, v1 serves again, and people are told why."""
    _, commit = story.live("one", "two")
    story.clock.advance(40)
    report(story, 2, **LOOP)
    assert (story.stands(2).phase, story.stands(2).cause) == (Phase.LIVE, Cause.SICK)
    story.play()
    assert story.live_on(PRODUCTION) == 1
    assert story.phases == ["live", "rolled back"]
    for _, why in story.said_everywhere(2).values():
        assert f"host {HOST} rolled production back to v1" in why
        assert "its container ended 3 times in 12 s, the last time with status 1" in why
    assert any("is rolled back on production" in text for text in told(story, commit))
    story.push("two")
    story.play()
    assert story.live_on(PRODUCTION) == 3  # another commit; v2's own stays away
    story.wait(30)
    assert story.deployed()[-1] == "v3 Succeeded"


@pytest.mark.parametrize("sick", ["out-of-memory", "unhealthy", "errors", "slow"])
def test_each_kind_of_sickness_takes_a_watched_release_back(story: Story, sick: str) -> None:
    """Whatever it is that the release does."""
    story.live("one", "two")
    report(story, 2, sick=sick)
    story.play()
    assert story.live_on(PRODUCTION) == 1


def test_a_full_disk_is_told_and_takes_nothing_back(story: Story) -> None:
    """It is the host's, and the release before would meet it as well."""
    story.live("one", "two")
    report(story, 2, sick="disk", percent=3)
    story.play()
    assert story.live_on(PRODUCTION) == 2
    assert story.stands(2).cause == Cause.SICK
    assert "3 % of its disk is free; next: make room on the host" in story.why(2)


def test_after_the_watch_people_are_told_and_nothing_else(story: Story) -> None:
    """The status says since when and why, in every place, and people hear of it once; when it is over it is over."""
    _, commit = story.live("one", "two")
    story.wait(20)
    for _ in range(3):
        report(story, 2, sick="errors", times=9, requests=40, seconds=60, since=stamp(story.clock.now()))
        story.clock.advance(20)
    story.play()
    assert story.live_on(PRODUCTION) == 2
    for _, why in story.said_everywhere(2).values():
        assert "sick on host i-0123456789abcdef0 since 2026-01-01" in why
        assert "9 of 40 requests in 60 s were answered with 5xx" in why
        assert "esteira rollback --stage production" in why
    assert len([text for text in told(story, commit) if "is sick on production" in text]) == 1
    report(story, 2)
    assert story.stands(2).cause == ""


def test_a_first_release_that_is_sick_has_nothing_to_go_back_to(story: Story) -> None:
    """That is said, once, and it stays."""
    [commit] = story.live("one")
    report(story, 1, **LOOP)
    story.play()
    report(story, 1, **LOOP, since=stamp(story.clock.now() - timedelta(seconds=1)))
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, Cause.ALARM)
    assert "no earlier release was live and healthy" in story.why(1)
    assert len([text for text in told(story, commit) if "nothing could be done" in text]) == 1


def test_only_a_change_is_a_fact(story: Story) -> None:
    """A watcher repeats what it sees; the table keeps one row of it, and when it was last heard."""
    story.live("one")
    since = stamp(story.clock.now())
    report(story, 1, since=since)
    rows = story.rows()
    for _ in range(5):
        story.clock.advance(300)
        report(story, 1, since=since)
    assert story.rows() == rows
    assert len(observed(story)) == 1
    (beat,) = story.store.beats(story.service.name)
    assert beat.at == story.clock.now()


FOREIGN: dict[str, dict[str, Any]] = {
    "another release": {"release": "v1"},
    "no release": {"release": "v9"},
    "a host nobody deployed to": {"host": "i-0feedfeedfeedfeed"},
    "another stage": {"stage": "staging"},
    "another service": {"service": "lung"},
    "a time to come": {"since": "2040-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("said", FOREIGN.values(), ids=FOREIGN)
def test_a_report_that_does_not_fit_is_not_believed(story: Story, said: dict[str, Any]) -> None:
    """Anybody in the account may send one: it must be of what is live there, on a host that it was deployed to."""
    story.live("one", "two")
    rows = story.rows()
    report(story, 2, **{**LOOP, **said})
    story.play()
    assert story.live_on(PRODUCTION) == 2
    assert (story.rows(), observed(story)) == (rows, [])


def test_a_report_from_another_account_is_not_ours(story: Story) -> None:
    """Events of other accounts may be forwarded to this bus."""
    story.live("one", "two")
    detail = {"service": "heart", "stage": PRODUCTION, "host": HOST, "release": "v2", **LOOP}
    event = story.bus.emit("esteira.host", "Host Report", [], detail)
    story.bus.forget()
    story.bus.put({**event, "account": "999999999999"})
    story.deliver()
    assert observed(story) == []


def test_a_release_that_is_sick_on_a_stage_comes_to_no_further_one(on: Begin) -> None:
    """Its watch is over, so it stays where it is; a vote takes it no further before it is well."""
    story = on({"name": "staging"}, {"name": PRODUCTION, "approvals": {"votes": 1}})
    story.live("one")
    story.wait(20)
    report(story, 1, **LOOP, stage="staging")
    vote(story, "approve", "v1")
    assert story.live_on(PRODUCTION) == 0
    assert "sick on staging: its container ended 3 times in 12 s" in story.why(1)
    story.clock.advance(120)
    report(story, 1, stage="staging")
    story.play()
    assert story.live_on(PRODUCTION) == 1


def test_a_host_that_was_launched_with_the_live_bundle_is_known(story: Story) -> None:
    """An Auto Scaling group's new host has a deployment of its own, of the live release's bundle."""
    story.live("one")
    made = {}
    for host, bundle in (("i-0aaa", "heart/v1/production-1.zip"), ("i-0bbb", "")):
        story.engine._there = (host,)
        made[host] = story.foreign_deployment(bundle)
        story.deliver()
        story.end_deployment()
    others = (("i-0ccc", made["i-0aaa"]), ("i-0bbb", made["i-0aaa"]), ("i-0ddd", "d-000000999"))
    for host, deployment in (*made.items(), *others):
        report(story, 1, host=host, deployment=deployment)
    assert [fact.host for fact in observed(story)] == ["i-0aaa"]


def test_a_report_from_before_the_rollout_takes_nothing_back(story: Story) -> None:
    """v2 was sick in its first life; what is deployed again is judged anew."""
    story.live("one", "two")
    before = stamp(story.clock.now() - timedelta(hours=1))
    report(story, 2, **LOOP, since=before)
    story.play()
    assert story.live_on(PRODUCTION) == 2


def on_stage(story: Story) -> Any:
    """What is shown of the live release on production."""
    (stage,) = status(story.store, [story.service], story.clock.now())
    assert stage.live is not None
    return stage.live


def test_a_silent_watcher_is_told_and_is_no_failure(story: Story) -> None:
    """Nobody knows how the release is, which is another thing than that it is not well."""
    story.live("one")
    report(story, 1)
    assert on_stage(story).silent == ()
    story.wait(20)
    (says,) = on_stage(story).silent
    assert f"host {HOST} has not reported since 2026-01-01" in says
    assert "nobody watches v1 there" in says
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.LIVE, "")
    report(story, 1)
    assert on_stage(story).silent == ()


def test_a_sick_release_is_told_with_its_stage(story: Story) -> None:
    """Where status and page tell of the stage, and in the release's own account."""
    story.live("one")
    story.wait(20)
    report(story, 1, sick="slow", requests=30, milliseconds=900, before=80)
    told = "half of 30 requests took 900 ms or more, 80 ms with the release before"
    assert told in on_stage(story).sick
    facts = account(story.store, story.service, 1, story.clock.now()).facts
    assert any(told in fact.says for fact in facts if fact.fact == "host-observed")


@pytest.mark.parametrize("runs", ["the deployed", "another"])
def test_the_receipt_ends_at_what_the_host_runs(story: Story, runs: str) -> None:
    """Beside the deployed digest; where the host runs another image, both the receipt and the status say so."""
    story.live("one")
    other = {} if runs == "the deployed" else {"digest": "sha256:" + "0" * 64}
    report(story, 1, **other)
    rows = Rows(story.aws_client("dynamodb"), story.context.settings.table)
    told = receipt(rows, story.service, 1, PRODUCTION, whole=False, aws=None, now=story.clock.now())
    (evidence,) = [e for e in told.evidence if e.what == "running"]
    deployed = story.digest("esteira-v1")
    if runs == "the deployed":
        assert (evidence.verdict, told.holds) == ("ok", True)
        assert deployed in evidence.says
        assert on_stage(story).differs == ""
    else:
        assert (evidence.verdict, told.holds) == ("differs", False)
        assert f"on record it is {deployed}" in evidence.says
        assert f"{deployed[:19]} was deployed" in on_stage(story).differs
