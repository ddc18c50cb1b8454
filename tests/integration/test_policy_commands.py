"""`esteira policy`: seen, tried, set and read again, through the function that records it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.operated import Operated, operated, service

pytestmark = pytest.mark.integration

STAGES = (
    {"name": "staging", "group": "heart-staging"},
    {"name": "production", "group": "heart", "approvals": {"votes": 2}},
)
CLOSED = "stages:\n  staging: {}\n  production:\n    windows:\n    - {kind: allow, cron: '0 9 * * 1', minutes: 60}\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(tmp_path, monkeypatch, service(stages=STAGES)) as world:
        yield world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def apply(world: Operated, file: Path, text: str, reason: str = "the audit") -> str:
    """What ``apply`` prints of a policy, with the difference that stands before it."""
    file.write_text(text)
    said = world.run("policy", "apply", str(file), "--reason", reason)
    assert said.exit_code == 0, said.output
    return said.output


def test_the_seed_of_a_registration_applies_as_it_is_printed(world: Operated, file: Path) -> None:
    """Who had rules in the registration keeps them by two commands; nothing changes but where they stand."""
    assert "no policy is set" in world.run("policy", "show").stdout
    printed = world.run("policy", "seed").stdout
    assert "approvals:\n      votes: 2\n" in printed
    assert "no rule differs" in apply(world, file, printed)
    shown = world.run("policy", "show").stdout
    assert shown.startswith("# heart: policy version 1, set by ana: the audit\n")
    assert shown.partition("\n")[2] == printed.partition("apply FILE --reason '…'\n")[2]
    assert json.loads(world.run("policy", "diff", str(file), "--json").stdout)["changed"] == []


def test_a_difference_is_told_rule_by_rule_before_it_is_set(world: Operated, file: Path) -> None:
    """Votes that go are a line of their own, so nobody loses them in silence."""
    file.write_text(CLOSED)
    told = world.run("policy", "diff", str(file)).stdout
    assert "  stages.production.approvals.votes: 2 → none\n" in told
    assert "stages.production.windows: none → " in told
    applied = apply(world, file, CLOSED)
    assert "  stages.production.approvals.votes: 2 → none\n" in applied
    assert "policy version 1 of heart is in force" in applied
    status = world.run("status").stdout
    assert "  policy version 1, set by ana: the audit\n" in status
    staging, production = world.read("windows")["stages"]
    assert (staging["open"], len(production["openings"])) == (True, 1)


def test_every_version_is_told_with_who_why_and_what(world: Operated, file: Path) -> None:
    """The newest first; each compared with the one before it."""
    assert "no policy is set" in world.run("policy", "log").stdout
    apply(world, file, "stages: {staging: {}, production: {approvals: {votes: 3}}}", "more eyes")
    world.tick(minutes=5)
    apply(world, file, "stages: {staging: {}, production: {}}", "fewer eyes")
    second, first = world.read("policy", "log")["versions"]
    assert [(v["version"], v["by"], v["reason"]) for v in (first, second)] == [
        (1, "ana", "more eyes"),
        (2, "ana", "fewer eyes"),
    ]
    assert first["changed"] == [{"rule": "stages.production.approvals.votes", "before": "2", "after": "3"}]
    assert {"rule": "stages.production.approvals.votes", "before": "3", "after": ""} in second["changed"]
    assert first["arn"].endswith("/ana")
    assert "version 2 by ana" in world.run("policy", "log").stdout


def test_a_file_that_cannot_be_a_policy_is_refused_with_its_line(world: Operated, file: Path) -> None:
    """Before anything is sent."""
    file.write_text("stages:\n  staging: {}\n  production: {approvals: {vote: 1}}\n")
    said = world.run("policy", "apply", str(file), "--reason", "x")
    assert said.exit_code == 2
    assert f"{file}: line 3: stages.production.approvals.vote is no rule; did you mean votes?" in said.stderr
    assert world.store.policy("heart") is None


def test_a_release_tells_under_which_policy_it_went(world: Operated, file: Path) -> None:
    """The one that was in force then, also after the next one."""
    apply(world, file, "stages: {staging: {}, production: {}}", "no votes")
    world.push(1)
    world.build(1)
    world.deploy(1, live=0, succeeded=True, stage="staging")
    world.tick(minutes=5)
    apply(world, file, CLOSED, "mondays")
    told = world.read("show", "v1")
    assert told["rules"] == "policy version 1, set by ana: no votes"
    assert "rules      policy version 1, set by ana: no votes" in world.run("show", "v1").stdout
