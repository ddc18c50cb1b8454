"""`esteira secret`: a value goes from standard input to SSM, and is shown nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operated import Operated, operated, service

pytestmark = pytest.mark.integration
VALUE = "s3cret-" + "of-the-table"
STAGES = ({"name": "staging", "group": "s"}, {"name": "production", "group": "p"})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(tmp_path, monkeypatch, service(stages=STAGES)) as world:
        yield world


def stored(world: Operated) -> dict[str, Any]:
    """What SSM has beside the registrations, by name: the value, and how it is kept."""
    below = [{"Key": "Path", "Option": "Recursive", "Values": ["/esteira"]}]
    pages = world.ssm.get_paginator("describe_parameters").paginate(ParameterFilters=below)
    names = (row["Name"] for page in pages for row in page["Parameters"])
    found = [world.ssm.get_parameter(Name=n, WithDecryption=True)["Parameter"] for n in names if "/services/" not in n]
    return {each["Name"]: (each["Value"], each["Type"]) for each in found}


def live(world: Operated, settings: str) -> None:
    """Bring a release with these settings to life on production."""
    world.push(1, settings=settings)
    world.build(1)
    world.deploy(1, live=0, succeeded=True)


def test_a_secret_is_stored_as_it_was_given_and_shown_nowhere(world: Operated) -> None:
    """For all stages, one stage or builds, each in its place, encrypted; the line end of a file is no part of it."""
    for words in (["TOKEN"], ["TOKEN", "--stage", "staging"], ["TOKEN", "--build"], ["TOKEN", "--json"]):
        result = world.run("secret", "set", *words, given=f"{VALUE}\n")
        assert result.exit_code == 0, result.output
        assert VALUE not in result.stdout + result.stderr
    assert stored(world) == {
        "/esteira/secrets/heart/TOKEN": (VALUE, "SecureString"),
        "/esteira/secrets/heart/staging/TOKEN": (VALUE, "SecureString"),
        "/esteira/build-secrets/heart/TOKEN": (VALUE, "SecureString"),
    }
    listed = world.run("secret", "list")
    assert VALUE not in listed.stdout + world.run("secret", "list", "--json").stdout
    rows = [(s["name"], s["stage"], s["build"], s["version"]) for s in world.read("secret", "list")["secrets"]]
    assert rows == [("TOKEN", "", False, 2), ("TOKEN", "staging", False, 1), ("TOKEN", "", True, 1)]
    assert "TOKEN   all stages  2        2026-01-01 00:00" in listed.stdout


def test_setting_a_secret_says_how_it_reaches_the_container(world: Operated) -> None:
    """A container that names it is deployed again by a word; where none does, esteira.yaml has to; a build reads it."""
    said = world.run("secret", "set", "TOKEN", given=VALUE).stdout
    assert "TOKEN of heart is set for all stages (version 1). Next: name it in esteira.yaml (secrets: [TOKEN])" in said
    live(world, '{"secrets": ["TOKEN"]}')
    said = world.run("secret", "set", "TOKEN", given=VALUE).stdout
    assert "Next: esteira redeploy --stage production --reason 'a new TOKEN'" in said
    said = world.run("secret", "set", "TOKEN", "--stage", "staging", given=VALUE).stdout
    assert "redeploy" not in said
    assert "The next build reads it." in world.run("secret", "set", "TOKEN", "--build", given=VALUE).stdout
    result = world.run("redeploy", "--reason", "a new TOKEN")
    assert result.exit_code == 0, result.output
    assert world.asked[-1][1]["action"] == "redeploy"


@pytest.mark.parametrize(
    ("words", "given", "sentence"),
    [
        (["A-B"], VALUE, "'A-B' is no name of a variable"),
        (["A", "--stage", "test"], VALUE, "heart has no stage 'test'. Next: --stage with one of: staging, production"),
        (["A", "--stage", "staging", "--build"], VALUE, "a build is of no stage"),
        (["A"], "", "a value is a text of 1 to 4096 bytes, and this is none. Next: esteira secret set A < FILE"),
        (["A"], "\n", "a value is a text of 1 to 4096 bytes"),
        (["A"], "x" * 4097, "a value is a text of 1 to 4096 bytes"),
        (["A"], b"\xff", "the value is no UTF-8 text"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(
    world: Operated, words: list[str], given: str | bytes, sentence: str
) -> None:
    """With exit status 2 and what to type, and nothing is stored."""
    result = world.run("secret", "set", *words, given=given)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert stored(world) == {}


def test_a_secret_is_removed_once(world: Operated) -> None:
    """The second time it is not there, and the sentence says where to look."""
    world.run("secret", "set", "TOKEN", given=VALUE)
    assert "TOKEN of heart is removed for all stages" in world.run("secret", "rm", "TOKEN").stdout
    result = world.run("secret", "rm", "TOKEN")
    assert (result.exit_code, stored(world)) == (2, {})
    assert "TOKEN of heart is not set for all stages. Next: esteira secret list" in result.stderr
    assert "no secret of heart is set. Next: esteira secret set NAME" in world.run("secret", "list").stdout
