"""What the local agent reads in an appspec.yml is what agent 1.8.1 reads, verdict by verdict."""

from __future__ import annotations

import pytest

from console.local.agent.appspec_reader import AppspecError, Script, parse

HEAD = "version: 0.0\nos: linux\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "was empty"),
        ("version: '0.0'\nos: linux", "invalid version value (0.0)"),
        ("os: linux", "invalid version value ()"),
        ("version: 0.1\nos: linux", "invalid version value (0.1)"),
        ("version: false\nos: linux", "invalid version value (false)"),
        ("version: 0.0", "unsupported operating system ()"),
        ("version: 0.0\nos: Linux", "unsupported operating system (Linux)"),
        ("version: 0.0\nos: windows", "unsupported operating system (windows)"),
        ("- 1", "must be a map"),
        (HEAD + "x: &a 1\ny: *a", "line 4 uses the alias *a, which the agent refuses (BadAlias)"),
        (HEAD + "x: 2026-01-02", "line 3 has the date 2026-01-02, which the agent refuses (DisallowedClass)"),
        (HEAD + "hooks:\n\tBeforeInstall: []", "line 4 is indented with a tab"),
        (HEAD + "file_exists_behavior: overwrite", "invalid file_exists_behavior value (overwrite)"),
        (HEAD + "files: [{source: a}]", "specifies only a source file (a)"),
        (HEAD + "files: [{destination: /a}]", "a destination file, but no source file"),
        (HEAD + "files: {source: a, destination: /b}", "files must be a list of maps"),
        (HEAD + "hooks: [a]", "hooks must be a map"),
        (HEAD + "hooks: {BeforeInstall: {location: a}}", "hooks.BeforeInstall must be a list of maps"),
        (HEAD + "hooks: {BeforeInstall: [a.sh]}", "hooks.BeforeInstall must be a list of maps"),
        (HEAD + "hooks: {BeforeInstall: [{location: }]}", "a script with no location value"),
        (HEAD + "hooks: {BeforeInstall: [{location: '  '}]}", "a script with no location value"),
        (HEAD + "hooks: {BeforeInstall: [{location: a, timeout: 0}]}", "an invalid timeout value"),
        (HEAD + "hooks: {BeforeInstall: [{location: a, timeout: abc}]}", "an invalid timeout value"),
        (HEAD + "hooks: {BeforeInstall: [{location: a, timeout: -5}]}", "an invalid timeout value"),
        (HEAD + "hooks: []", "hooks must be a map"),
        (HEAD + "hooks: {BeforeInstall: ''}", "hooks.BeforeInstall must be a list of maps"),
        (HEAD + "hooks: {BeforeInstall: [{location: a, timeout: [5]}]}", "a timeout is a number of seconds"),
        (HEAD + "hooks: {BeforeInstall: [{location: a, timeout: .inf}]}", "a timeout is a number of seconds"),
        (HEAD + "files: [{source: 5, destination: /a}]", "5 among files must be in quotes"),
        (HEAD + "permissions: [{mode: 644}]", "has no object value"),
        (HEAD + "permissions: [{object: /a, mode: 999}]", "invalid character (9)"),
        (HEAD + "permissions: [{object: /a, mode: u+x}]", "invalid character (u)"),
        (HEAD + "permissions: [{object: /a, mode: '00644'}]", "the length of a permissions mode (00644)"),
        (HEAD + "permissions: [{object: /a, type: [link]}]", "not supported (link)"),
        (HEAD + "permissions: [{object: /a, except: x}]", "except of a permission must be a list"),
    ],
)
def test_what_the_agent_refuses_is_refused_in_its_words(text: str, said: str) -> None:
    """The message names what is wrong, and begins as the agent's does where it has words of its own."""
    with pytest.raises(AppspecError) as refused:
        parse(text.encode())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("5m", 5), ("1.9", 1), ("'300'", 300), ("1:30", 5400), ("0100", 64), ("1_000", 1000), ("false", 3600), ("", 3600)],
)
def test_a_timeout_is_what_ruby_makes_of_it(timeout: str, seconds: int) -> None:
    """``5m`` is five seconds, nothing is an hour."""
    spec = parse(f"{HEAD}hooks:\n  BeforeInstall:\n    - location: a.sh\n      timeout: {timeout}\n".encode())
    assert spec.hooks == {"BeforeInstall": (Script("a.sh", timeout=seconds),)}


@pytest.mark.parametrize(
    ("mode", "digits"),
    [("644", "644"), ("0644", "420"), ("1:30", "5400"), ("'0644'", "0644"), ("4755", "4755"), ("7", "007")],
)
def test_a_mode_is_what_yaml_leaves_of_it(mode: str, digits: str) -> None:
    """An unquoted 0644 is the number 420 and so the mode 420."""
    (permission,) = parse(f"{HEAD}permissions:\n  - object: /a\n    mode: {mode}\n".encode()).permissions
    assert permission.mode == digits


@pytest.mark.parametrize(
    "text", [HEAD, "version: 0\nos: linux", HEAD + "other: 1\nhooks:\n  BeforeInstall:\n  Install: []\n"]
)
def test_what_the_agent_lets_pass_asks_for_nothing(text: str) -> None:
    """A number 0, unknown keys, and hooks with nothing in them."""
    assert parse(text.encode()).hooks == {}


def test_of_a_key_written_twice_the_last_one_wins() -> None:
    """As in Ruby's YAML; nothing is said."""
    twice = (
        HEAD
        + "hooks:\n  AfterInstall: [{location: a}]\nhooks:\n  AfterInstall: [{location: b, runas: u, sudo: true}]\n"
    )
    assert parse(twice.encode()).hooks == {"AfterInstall": (Script("b", "u", True),)}
