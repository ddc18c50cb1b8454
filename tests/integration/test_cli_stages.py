"""The command line with two stages, in memory: what waits for what, who said what, and a release followed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from console.cli import completion, render_release
from console.cli.main import main
from console.read import tail
from console.read.out import plain
from console.read.release_lines import line
from console.read.session import Shell
from console.read.tail import State
from console.read.views import Running
from console.read.where import Where
from esteira.core.facts import (
    AlarmRang,
    Approved,
    Bypassed,
    CommitPushed,
    Gated,
    GivenUp,
    Promoted,
)
from esteira.core.state import Release
from esteira.fact import stamp
from esteira.trail import Decided
from tests.integration.operated import PEOPLE, START, Operated, commit, digest, operated, service

pytestmark = pytest.mark.integration

OFFICE = {"kind": "allow", "cron": "0 9 * * MON-FRI", "minutes": 480, "timezone": "Europe/Lisbon", "reason": "office"}
STAGES = (
    {"name": "staging", "group": "heart-staging", "bake_minutes": 30},
    {"name": "production", "group": "heart", "approvals": {"votes": 2}, "windows": [OFFICE]},
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(tmp_path, monkeypatch, service(stages=STAGES)) as world:
        yield world


def come_to_staging(world: Operated, number: int = 1, live: int = 0) -> None:
    """Let a release be pushed, built and live on staging."""
    world.push(number)
    world.build(number)
    world.deploy(number, live=live, succeeded=True, stage="staging")


def release(world: Operated, number: int) -> Release:
    found = world.store.release("heart", number)
    assert found is not None
    return found


# --- reading --------------------------------------------------------------------------------------------------------


def test_status_tells_of_each_stage_and_of_what_a_release_waits_for(world: Operated) -> None:
    """A release that is live on staging is on its way to production, and each thing it waits for is told."""
    come_to_staging(world)
    staging, production = world.read("status")["stages"]
    assert (staging["live"]["release"], staging["live"]["why"]) == ("v1", "deployment d-staging-1 succeeded on staging")
    assert (production["live"], staging["under_way"]) == (None, [])
    [line] = production["under_way"]
    assert (line["release"], line["phase"], line["stage"], line["stages"]) == (
        "v1", "waiting", "production", {"staging": "live"},
    )  # fmt: skip
    assert [wait["what"] for wait in line["waits"]] == ["bake", "approval"]
    assert staging["live"]["watched_until"] == line["waits"][0]["until"]
    text = world.run("status").stdout
    assert "under way  v1 (1abc0000) is waiting: live on staging\n" in text
    assert "  waits for  watched on staging until 2026-11-23 10:37 UTC (29 minutes more)\n" in text
    assert "  waits for  production needs 2 more approvals; next: esteira approve v1 --stage production\n" in text
    assert "  votes      0 of 2\n" in text
    assert text.count("nothing yet") == 1
    assert "git push" not in text  # production gets what staging has


def test_votes_are_told_as_they_come_and_who_said_what(world: Operated) -> None:
    """Two votes of the two that are needed let it on; whoever looks sees whose they are."""
    come_to_staging(world)
    assert world.run("approve", "v1", "--by", "rui", "--reason", "looks well").exit_code == 0
    assert "votes      1 of 2: rui said yes" in world.run("status").stdout
    world.tick(minutes=31)
    assert world.run("approve", "v1", "--stage", "production").exit_code == 0
    [line] = world.read("status")["stages"][1]["under_way"]
    assert (line["phase"], line["why"]) == ("built", "live on staging; production is next")
    assert [(v["by"], v["says"], v["counts"], v["reason"]) for v in line["votes"]] == [
        ("rui", "yes", True, "looks well"),
        ("ana", "yes", True, ""),
    ]


def test_a_hold_is_of_one_stage(world: Operated) -> None:
    """A hold stops the stage that was named; what ends it is told with the stage's name, and ends no other."""
    said = world.run("hold", "--stage", "staging", "--reason", "the audit", "--for", "90m").stdout
    assert "staging of heart is held; esteira resume --stage staging ends it" in said
    assert world.store.stage("heart", "production").hold is None
    text = world.run("status").stdout
    assert "(for 1 hour more): the audit. Next: esteira resume --stage staging" in text
    world.tick()
    assert "production is not held" in world.run("resume").stderr
    assert world.run("resume", "--stage", "staging").exit_code == 0
    assert world.store.stage("heart", "staging").held(world.now) is None


def test_a_bypass_is_loud_wherever_it_stands(world: Operated) -> None:
    """It needs a reason and an end; status says it until then, and the account of the release for ever."""
    come_to_staging(world)
    assert world.run("bypass", "v1", "--reason", "patients wait").exit_code == 2
    said = world.run("bypass", "v1", "--reason", "patients wait", "--for", "1h30m").stdout
    assert "v1 of heart passes every rule for 1h30m" in said
    word = next(release(world, 1).all(Bypassed))
    assert (word.stage, word.digest, word.until) == ("production", digest(1), world.now + timedelta(minutes=90))
    told = world.read("status")["stages"][1]
    assert told["bypasses"] == [
        {"release": "v1", "stage": "production", "by": "ana", "reason": "patients wait", "until": stamp(word.until)},
    ]
    assert told["under_way"][0]["phase"] == "built"
    world.project(1)
    for typed in (("status",), ("why", "v1"), ("show", "v1")):
        assert "BYPASS     no rule of production stands in the way of v1 until" in world.run(*typed).stdout
    assert "BYPASS of production live on staging; production is next" in world.run("releases").stdout
    world.tick(hours=2)
    assert "BYPASS" not in world.run("status").stdout + world.run("why", "v1").stdout + world.run("releases").stdout
    assert f"ana ({PEOPLE}/ana) bypassed every rule of production for it until" in world.run("show", "v1").stdout


def test_why_releases_and_show_tell_where_it_stands_on_each_stage(world: Operated) -> None:
    """One sentence for where it stands in all, and the phase on each stage it came to beside it."""
    for number in (1, 2):
        come_to_staging(world, number, live=number - 1)
        world.deploy(number, live=number - 1, succeeded=number == 1)
    world.project(1, 2)
    text = world.run("why", "v2").stdout
    assert text.startswith("v2 (2abc0000) failed: live on staging; deployment d-2 failed: ApplicationStart")
    assert text.endswith("  staging live; production failed\n")
    listed = world.run("releases").stdout.splitlines()
    assert listed[0].split()[:3] == ["release", "phase", "stages"]
    assert "staging live, production failed" in listed[1]
    assert "staging superseded, production live" in listed[2]
    assert world.read("releases")["releases"][0]["stages"] == {"staging": "live", "production": "failed"}
    told = world.read("show", "v2")
    assert [(at["stage"], at["phase"]) for at in told["on"]] == [("staging", "live"), ("production", "failed")]
    assert "on production failed: deployment d-2 failed" in world.run("show", "v2").stdout


def test_show_tells_what_was_decided_where_it_was_decided(world: Operated) -> None:
    """Decisions stand between the facts they were made from and the facts they made, and apart in JSON."""
    world.push(1)
    decided = Decided(
        at=world.tick(),
        release=1,
        action="StartBuild",
        why="it has no image",
        round=0,
        place=0,
        seen="a",
        configuration="b",
    )
    assert world.store.record("heart", decided)
    world.build(1)
    world.record(Gated(at=START, release=1, attempt=1, against=0, refused=("auc is 0.7, below 0.8",), dry_run=True))
    told = world.read("show", "v1")
    assert [row["says"] for row in told["decisions"]] == ["decided to start build: it has no image"]
    assert "decided" not in {row["fact"] for row in told["facts"]}
    lines = world.run("show", "v1", "--all").stdout.splitlines()
    places = [
        next(n for n, line in enumerate(lines) if word in line) for word in ("became v1", "decided to", "started")
    ]
    assert places == sorted(places)
    assert lines[-1].endswith("a gate would have refused it, and this is a dry run: auc is 0.7, below 0.8")


def test_a_quarantine_is_in_the_picture_wherever_it_stands(world: Operated) -> None:
    """What is kept out is told as rejected at once, by status and why, and not only once the controller has looked."""
    world.push(1)
    world.build(1)
    assert world.run("quarantine", "v1", "--reason", "leaks").exit_code == 0
    assert world.read("why", "v1")["phase"] == "rejected"
    assert world.read("status")["stages"][0]["under_way"] == []
    assert "ana quarantined 1abc0000: leaks" in world.run("show", "v1").stdout


class Commits:
    """CodeCommit with three commits in a row, each of one file; the second one's author is bea."""

    def get_commit(self, *, commitId: str, **_: str) -> dict[str, Any]:  # noqa: N803 - botocore's spelling
        number = int(commitId[0])
        parents = [commit(number - 1)] if number > 1 else []
        author = {"name": "bea" if number == 2 else "ana"}
        return {"commit": {"parents": parents, "message": f"change {number}\n\nmore", "author": author}}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, *, afterCommitSpecifier: str, beforeCommitSpecifier: str = "", **_: str) -> Any:  # noqa: N803
        numbers = range(int(beforeCommitSpecifier[:1] or 0) + 1, int(afterCommitSpecifier[0]) + 1)
        yield {"differences": [{"afterBlob": {"path": f"file{n}.py", "blobId": f"{n}"}} for n in numbers]}


def test_who_votes_is_shown_everything_since_what_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """v1 is live and v3 brings v2's commit along: show and approve list both, with author and pusher."""
    stages = ({"name": "production", "group": "heart", "approvals": {"votes": 1}},)
    with operated(tmp_path, monkeypatch, service(stages=stages)) as world:
        client = world.client
        monkeypatch.setattr(world, "client", lambda name: Commits() if name == "codecommit" else client(name))
        for number in (1, 2, 3):
            world.push(number)
            world.build(number)
        world.record(CommitPushed(at=START, commit=commit(3), by=f"{PEOPLE}/eva", before=commit(1)))
        world.deploy(1, live=0, succeeded=True)
        shown = world.run("show", "v3").stdout
        voted = world.run("approve", "v3")
    for told in (shown, voted.stderr):
        assert "v3 would bring to production (v1 is live there):" in told
        assert f"3abc0000 change 3 (author ana; pushed by {PEOPLE}/eva)" in " ".join(told.split())
        assert "2abc0000  change 2 (author bea)" in told
        assert "change 1" not in told
        assert "files: file2.py, file3.py" in told
    assert voted.exit_code == 0
    assert "would bring" not in voted.stdout


def test_a_difference_that_is_not_told_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CodeCommit does not answer, the vote and the rest of the release are there all the same."""
    with operated(tmp_path, monkeypatch, service()) as world:
        world.push(1)
        world.build(1)
        shown = world.run("show", "v1")
    assert shown.exit_code == 0
    assert "CodeCommit did not tell it (AttributeError). Next: git log --stat 1abc0000" in shown.stdout


def test_under_the_two_person_rule_it_is_told_whose_vote_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pusher's vote stands there and does not count; who pushed is told by what CodeCommit said."""
    stages = ({"name": "production", "group": "heart", "approvals": {"not_by_pusher": True}},)
    ana, rui = f"{PEOPLE}/ana", f"{PEOPLE}/rui"
    with operated(tmp_path, monkeypatch, service(stages=stages)) as world:
        world.push(1)
        world.build(1)
        world.record(CommitPushed(at=START, commit=commit(1), by=ana))
        about: dict[str, Any] = {"release": 1, "stage": "production", "attempt": 1, "digest": digest(1), "reason": ""}
        until = START + timedelta(days=3)
        world.record(Approved(at=START, request="r-1", by="ana", arn=ana, until=until, **about))
        assert "votes      0 of 1: ana said yes (does not count)" in world.run("status").stdout
        assert f"{ana} pushed v1" in world.run("approve", "v1").stderr
        world.record(Approved(at=START, request="r-2", by="rui", arn=rui, until=until, **about))
        assert "votes      1 of 1: ana said yes (does not count), rui said yes" in world.run("status").stdout
        told = world.run("show", "v1", "--all").stdout
        assert f"{ana} made 1abc0000 the branch's tip" in told
        assert f"rui ({rui}) approved it for production, which counts until 2026-11-26 10:00 UTC" in told


def test_an_alarm_that_rang_in_vain_is_told_until_something_else_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an alarm went off and there is nothing to go back to, status says so, and the account has the alarm."""
    stages = ({"name": "production", "group": "heart", "bake_minutes": 30, "alarms": ["heart-5xx"]},)
    with operated(tmp_path, monkeypatch, service(stages=stages)) as world:
        world.push(1)
        world.build(1)
        world.deploy(1, live=0, succeeded=True)
        rang = AlarmRang(at=START, alarm="heart-5xx", since=world.now, reason="3 of 3 above 1")
        why = "alarm heart-5xx went off, and no earlier release was live and healthy on production"
        vain = GivenUp(at=START, release=1, what="alarm", stage="production", number=1, why=why)
        world.record(rang, vain)
        live = world.read("status")["stages"][0]["live"]
        assert (live["release"], live["alarm"]) == ("v1", f"deployment d-1 succeeded on production; {why}")
        assert f"  alarm      deployment d-1 succeeded on production; {why}" in world.run("status").stdout
        assert "alarm heart-5xx rang at 2026-11-23 10:08 UTC: 3 of 3 above 1" in world.run("show", "v1").stdout


def test_one_stage_looks_as_simple_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has one stage and no rules reads nothing of stages, votes and windows."""
    with operated(tmp_path, monkeypatch, service()) as world:
        world.tell()
        world.push(5)
        newest, url, empty, heading, live, *rest = world.run("status").stdout.splitlines()
        assert newest == "heart v5 (5abc0000) was pushed less than a minute ago"
        assert (url, empty, heading) == ("  answers at http://127.0.0.1:8 with v2", "", "heart on production")
        assert live.startswith("  live       v2 (2abc0000), since 2026-11-23 10:16 UTC (19 minutes): deployment d-2")
        assert rest == ["  under way  v5 (5abc0000) is pushed: its build is about to start"]
        assert world.run("why", "v2").stdout == "v2 (2abc0000) is live: deployment d-2 succeeded on production\n"
        assert "stages" not in world.run("releases").stdout
        assert "heart is held; esteira resume ends it" in world.run("hold", "--reason", "r").stdout


# --- words about a release's way ------------------------------------------------------------------------------------


def test_a_rejection_needs_a_reason_and_ends_the_way(world: Operated) -> None:
    """What was rejected for production stays where it is live, and says who did not want it and why."""
    come_to_staging(world)
    assert world.run("reject", "v1").exit_code == 2
    assert world.run("reject", "v1", "--reason", "too slow").exit_code == 0
    assert (
        "is rejected: live on staging; ana rejected it for production: too slow; next: push a fix"
        in world.run("why", "v1").stdout
    )
    staging, production = world.read("status")["stages"]
    assert (staging["live"]["release"], production["under_way"]) == ("v1", [])


def test_a_promotion_goes_on_with_what_was_displaced(world: Operated) -> None:
    """Who wants the release that staging has left says so, and the rules of production stay in its way."""
    come_to_staging(world, 1)
    come_to_staging(world, 2, live=1)
    world.project(1, 2)
    assert "v1 (1abc0000) is superseded: v2 replaced it on staging" in world.run("why", "v1").stdout
    world.tick(minutes=31)
    assert world.run("promote", "v1", "--reason", "the better one").exit_code == 0
    word = next(release(world, 1).all(Promoted))
    assert (word.stage, word.by, word.reason) == ("production", "ana", "the better one")
    assert world.read("why", "v1")["cause"] == "approval"
    assert f"ana ({PEOPLE}/ana) promoted it to production: the better one" in world.run("show", "v1").stdout


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("approve", "v1", "--stage", "moon"), "heart has no stage 'moon'; it has staging, production"),
        (("approve", "v1", "--stage", "staging"), "v1 came to staging already"),
        (("approve", "v9"), "heart has no release v9"),
        (("promote", "v1", "--stage", "staging"), "v1 came to staging already"),
        (("hold", "--stage", "moon", "--reason", "r"), "heart has no stage 'moon'"),
        (("rollback", "--stage", "staging", "--reason", "r"), "no earlier release was live and healthy on staging"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type_instead(
    world: Operated, typed: tuple[str, ...], sentence: str
) -> None:
    """Nothing is recorded, the status is 2, and the sentence ends in the next command."""
    come_to_staging(world)
    result = world.run(*typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "Next: " in result.stderr
    assert sentence in json.loads(world.run(*typed, "--json").stdout)["refused"]


def test_a_stage_is_rolled_back_by_itself_and_waited_for(world: Operated) -> None:
    """--stage names the one that goes back; the other keeps what it has."""
    for number in (1, 2):
        come_to_staging(world, number, live=number - 1)
        world.deploy(number, live=number - 1, succeeded=True)

    def carried_out(_: float) -> None:
        world.deploy(1, live=2, succeeded=True, rollout=3, kind="rollback", stage="staging")

    shell = world.shell(sleep=carried_out)
    result = world.run("rollback", "--stage", "staging", "--reason", "slow", "--wait", "--json", shell=shell)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["release"], told["phase"], told["stages"]) == ("v1", "live", {"staging": "live"})
    assert [stage["live"]["release"] for stage in world.read("status")["stages"]] == ["v1", "v2"]


# --- windows --------------------------------------------------------------------------------------------------------


def test_windows_tell_whether_one_may_begin_and_when(world: Operated) -> None:
    """In its window a stage is open until that ends; a stage without windows is open."""
    staging, production = world.read("windows")["stages"]
    assert (staging["open"], staging["until"], staging["openings"]) == (True, None, [])
    assert (production["open"], production["until"]) == (True, "2026-11-23T17:00:00.000000Z")
    assert len(production["openings"]) == 6
    text = world.run("windows", "--days", "1").stdout
    assert "now        open, and nothing closes it" in text
    assert "windows    none in 1 day" in text
    assert "now        open until 2026-11-23 17:00 UTC (7 hours more)" in text
    assert "opens      2026-11-24 09:00 UTC to 2026-11-24 17:00 UTC: office" in text


def test_a_closed_stage_tells_why_and_when_it_opens(world: Operated) -> None:
    """A hold that ends at night lets nothing begin before the morning; both reasons are told."""
    world.tick(hours=6)
    assert world.run("hold", "--reason", "the audit", "--for", "4h").exit_code == 0
    world.tick(hours=2)
    production = world.read("windows")["stages"][1]
    assert (production["open"], production["until"]) == (False, "2026-11-24T09:00:00.000000Z")
    assert production["why"].startswith("ana holds it: the audit; none of its windows is open (office: 0 9 * * MON-FRI")
    assert production["hold"]["by"] == "ana"
    text = world.run("windows").stdout
    assert "now        closed until 2026-11-24 09:00 UTC (15 hours more): ana holds it: the audit; none of" in text


# --- a release followed ---------------------------------------------------------------------------------------------


def played(world: Operated, *acts: Callable[[], object]) -> Shell:
    """A shell in which, each time a command waits, the next act is played; at the end time passes."""
    left = list(acts)

    def sleep(_: float) -> None:
        left.pop(0)() if left else world.tick(minutes=10)

    return world.shell(sleep=sleep)


def test_a_release_is_followed_until_it_is_live_on_the_last_stage(world: Operated) -> None:
    """Each fact and each change of where it stands comes once, in its order, and the end is status 0."""
    world.push(1)
    shell = played(
        world,
        lambda: world.build(1),
        lambda: world.deploy(1, live=0, succeeded=True, stage="staging"),
        lambda: world.deploy(1, live=0, succeeded=True),
    )
    result = world.run("tail", "--json", shell=shell)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    facts = [row["name"] for row in rows if row["change"] == "fact"]
    assert (facts[0], facts.count("deployment-started"), facts.count("pushed")) == ("pushed", 2, 1)
    phases = [(row["name"], row["stages"]) for row in rows if row["change"] == "phase"]
    assert phases == [
        ("pushed", {}),
        ("built", {}),
        ("waiting", {"staging": "live"}),
        ("live", {"staging": "live", "production": "live"}),
    ]
    assert rows[-1]["says"] == "deployment d-1 succeeded on production"


def test_the_newest_is_followed_where_none_is_named(world: Operated) -> None:
    """tail alone follows the newest release, a line for each thing that happens, and ends in its failure; the steps
    between are folded away."""
    come_to_staging(world, 1)
    world.push(2)
    world.build(2)
    shell = played(world, lambda: world.deploy(2, live=1, succeeded=False, stage="staging"))
    result = world.run("tail", shell=shell)
    assert result.exit_code == 1
    assert "commit 2abc0000 was pushed and became v2" in result.stdout
    created = "deployment d-staging-2 to staging was created (rollout 2)"
    assert created not in result.stdout
    assert "v2 failed: deployment d-staging-2 failed: ApplicationStart: the container ended with 1" in result.stdout
    assert "became v1" not in result.stdout
    assert created in world.run("tail", "--all").stdout


def test_following_is_bounded(world: Operated) -> None:
    """At its timeout it says what is still under way, with a status of its own; in JSON, too, in one line."""
    come_to_staging(world)
    result = world.run("tail", "v1", "--timeout", "30m", "--json", shell=played(world))
    assert result.exit_code == 3
    assert "v1 is still waiting after 0:30:00. Next: esteira tail v1" in result.stderr
    assert "v1 is still waiting" in json.loads(result.stdout.splitlines()[-1])["under_way"]


def test_there_must_be_something_to_follow(world: Operated) -> None:
    """Before the first push there is nothing to follow, and it says what to do."""
    result = world.run("tail")
    assert (result.exit_code, result.stderr) == (2, "heart has no release yet. Next: git push\n")


def test_on_a_terminal_the_steps_it_has_passed_stand_below(world: Operated) -> None:
    """The image and each stage have their mark: done, now, ended, ahead."""
    world.push(1)

    def marks() -> list[State]:
        steps = tail.steps(line(world.store, world.heart, 1, world.now), world.heart)
        assert [name for name, _ in steps] == ["image", "staging", "production"]
        return [state for _, state in steps]

    assert marks() == [State.NOW, State.AHEAD, State.AHEAD]
    world.build(1)
    assert marks() == [State.DONE, State.AHEAD, State.AHEAD]
    world.deploy(1, live=0, succeeded=True, stage="staging")
    assert marks() == [State.DONE, State.DONE, State.NOW]
    now = line(world.store, world.heart, 1, world.now)
    shown = plain(render_release.passed(tail.steps(now, world.heart), now, world.now))
    assert "v1  ● image  ● staging  ◐ production   waiting: live on staging; watched on staging" in shown
    since = world.now - timedelta(seconds=12)
    runs = Running("v1", "deployment", "d-1", "production", since, "ApplicationStart", "", 70)
    shown = plain(render_release.passed((), now, world.now, runs))
    assert shown == "v1   waiting ApplicationStart, for 12 s; the last ones took 1 min"
    world.deploy(1, live=0, succeeded=False)
    assert marks() == [State.DONE, State.DONE, State.ENDED]


def test_the_steps_are_for_a_terminal_alone(world: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the facts a terminal shows how far it is; a pipe and JSON get nothing that nobody could parse."""
    world.push(1)
    acts: list[Callable[[], object]] = [
        lambda: world.build(1),
        lambda: world.deploy(1, live=0, succeeded=True, stage="staging"),
        lambda: world.deploy(1, live=0, succeeded=True),
    ]
    assert "◐ image" not in world.run("tail", "--timeout", "1m", shell=played(world)).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")  # what CliRunner reads is a terminal now
    result = world.run("tail", shell=played(world, *acts))
    assert result.exit_code == 0, result.output
    for step in ("◐ image", "● image", "● staging", "◐ production"):
        assert step in result.stdout
    assert "◐" not in world.run("tail", "--json", shell=world.shell()).stdout


# --- completion -----------------------------------------------------------------------------------------------------


def offered(world: Operated, *typed: str, shell: Shell | None = None) -> list[str]:
    """What is offered for the last word that was typed."""
    words = ["--state", str(world.state)]
    completer = ShellComplete(main, {"obj": shell or world.shell()}, "esteira", "_ESTEIRA_COMPLETE")
    return [item.value for item in completer.get_completions([typed[0], *words, *typed[1:-1]], typed[-1])]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_its_script(shell: str) -> None:
    """What is printed asks esteira itself what may come next."""
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert f"_ESTEIRA_COMPLETE={shell}_complete" in result.stdout
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


def test_releases_services_and_stages_are_offered(world: Operated) -> None:
    """The newest releases first; names as they are registered; only what begins as was typed."""
    come_to_staging(world, 1)
    come_to_staging(world, 2, live=1)
    world.project(1, 2)
    assert offered(world, "why", "") == ["v2", "v1"]
    assert offered(world, "approve", "v1") == ["v1"]
    assert offered(world, "hold", "--stage", "p") == ["production"]
    assert offered(world, "status", "--service", "h") == ["heart"]
    world.register(service("lungs"))
    assert offered(world, "why", "") == []  # of which service is not said
    assert offered(world, "why", "--service", "heart", "") == ["v2", "v1"]


def test_what_needs_no_service_is_completed_without_the_model_of_one() -> None:
    """Commands and options are offered at each press of a key: that loads neither pydantic nor boto3."""
    program = (
        "import sys, console.cli.main, console.cli.completion; print({'pydantic', 'boto3', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_nobody_waits_for_what_cannot_be_offered(world: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, or an answer that does not come, offers nothing and says nothing."""

    def broken(_: Where) -> Any:
        raise RuntimeError("no credentials")

    def slow(_: Where) -> Any:
        time.sleep(5)

    assert offered(world, "why", "", shell=Shell(broken)) == []
    monkeypatch.setattr(completion, "SECONDS", 0.05)
    begun = time.monotonic()
    assert offered(world, "why", "", shell=Shell(slow)) == []
    assert time.monotonic() - begun < 2
