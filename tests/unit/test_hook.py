"""What a hook's script does that the agent would not forgive, told from its text; each was tried on the shells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appspec.script import script_problems
from appspec.shell import commands

BASH, SH = "#!/bin/bash\n", "#!/bin/sh\n"
BUNDLE = {"hooks/start.sh", "hooks/other.sh", "hooks/lib.sh", "release.json"}


def found(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.trap) for problem in script_problems("hooks/start.sh", text.encode(), BUNDLE)]


@pytest.mark.parametrize(
    "text",
    [
        BASH + "nohup java -jar app.jar &",
        SH + "setsid nohup app </dev/null &",
        BASH + "app >/dev/null &",
        BASH + "app 2>&1 >/dev/null &",
        BASH + "app >/dev/stdout 2>&1 &",
        BASH + "(app) &",
        BASH + "{ app >log 2>&1; } &",
        BASH + "cd /srv && app >log 2>&1 &",
        BASH + "for i in 1 2; do app; done &",
        BASH + "app | logger >/dev/null 2>&1 &",
        BASH + "exec 3>&1 >log 2>&1\napp &",
        BASH + 'su - app -c "nohup node server.js &"',
        BASH + "case $1 in\n start) app & ;;\nesac",
        BASH + "kill $(cat pid)\nnohup app &\necho $! >pid",
        "app &",
    ],
)
def test_a_background_child_that_holds_the_agents_output_is_told(text: str) -> None:
    """The agent waits for it and fails the step at its timeout."""
    assert [name for _, name in found(text)] == ["background-child"]


@pytest.mark.parametrize(
    "text",
    [
        BASH + "app >/dev/null 2>&1 &",
        BASH + "app &>/dev/null &",
        BASH + "app &>>log &",
        BASH + "app >& log &",
        BASH + "app >log 2>errors </dev/null &",
        BASH + "app 1>>/var/log/a 2>>/var/log/b &",
        BASH + "app >&- 2>&- &",
        BASH + "{ app; } >log 2>&1 &",
        BASH + "for i in 1 2; do app; done >log 2>&1 &",
        BASH + "(app >log 2>&1) &",
        BASH + "(app >log 2>&1 &)",
        SH + "cd /srv && app >log 2>&1 &",
        SH + "{ app >log 2>&1; } &",
        BASH + "app 2>&1 | logger >/dev/null 2>&1 &",
        BASH + "exec >log 2>&1\napp &",
        BASH + "exec > >(logger) 2>&1\napp &",
        BASH + "app & pid=$!\nwait $pid",
        BASH + 'sleep 60 & guard=$!\nwork\nkill "$guard"',
        BASH + 'su - app -c "nohup node server.js >/dev/null 2>&1 &"',
        BASH + 'docker exec app sh -c "work &"',
        BASH + 'echo "a & b"; curl "http://host/?a&b" # c &',
        BASH + "if (( flags & 1 )); then echo $((flags & 2)); fi",
        BASH + "cat >unit <<'EOF'\napp &\nEOF\n",
        BASH + "a && b || c",
        BASH + "docker run \\\n  -d image",
        "#!/usr/bin/env python3\nsubprocess.run('app &', shell=True)",
    ],
)
def test_what_lets_the_agents_output_go_is_no_alarm(text: str) -> None:
    """Neither is what is waited for, ended by the script itself, or no background at all."""
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        BASH + "./other.sh",
        BASH + "sudo -E ./other.sh --now",
        BASH + "if ./other.sh; then true; fi",
        BASH + "bash hooks/other.sh",
        BASH + "hooks/other.sh",
        BASH + "source ./lib.sh",
        BASH + ". hooks/lib.sh",
        BASH + "image=1\njq -r .image release.json",
    ],
)
def test_a_script_that_takes_the_bundle_for_its_working_directory_is_told(text: str) -> None:
    """The agent's working directory is /."""
    assert [name for _, name in found(text)] == ["working-directory"]


@pytest.mark.parametrize(
    "text",
    [
        BASH + 'cd "$(dirname "$0")"\n./other.sh',
        BASH + 'here="$(cd "$(dirname "$0")" && pwd)"\n"$here/other.sh"\n. "$here/lib.sh"',
        BASH + '. "$(dirname "$0")/lib.sh"\njq . release.json',
        BASH + 'jq . "$(dirname "$0")/../release.json"',
        BASH + "docker run --rm image ./start.sh",
        BASH + "cat /etc/release.json; systemctl restart lib.sh",
    ],
)
def test_a_script_that_finds_its_files_is_no_alarm(text: str) -> None:
    """It changed the directory, names them from its own, or it cannot be told."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/bin/bash\r\ntrue\r\n", [(1, "")]),
        ("#!/usr/bin/env python3\r\npass\r\n", [(1, "")]),
        ("true\ntrue\r\n", [(2, "carriage-return")]),
        ("#!/usr/bin/env bash\ntrue\r\n", [(2, "carriage-return")]),
        ("\ufeff#!/bin/sh\ntrue\n", [(1, "")]),
        ("#!/usr/bin/python3\npass\r\n", []),
        ("\x7fELF\x00 app &", []),
        ("", []),
    ],
)
def test_the_ends_of_lines_are_looked_at(text: str, expected: list[tuple[int, str]]) -> None:
    """A carriage return behind #! can never run; in a shell's text it is a part of the last word."""
    assert found(text) == expected


def test_the_line_is_the_one_in_the_file() -> None:
    """Here-documents, continued lines and quotes over lines count."""
    text = BASH + "cat <<EOF\na\nb\nEOF\necho 'x\ny' \\\n  z\napp &\n"
    assert found(text) == [(9, "background-child")]


def test_a_script_is_taken_apart_into_its_commands() -> None:
    """Words without their quotes, redirections apart, and what ended each."""
    [first, second] = commands("""sudo -E A=1 run "a b"'c' 2>>log && next \\\n more""")
    assert (first.words, first.verb, first.end) == (("sudo", "-E", "A=1", "run", "a bc"), "run", "&&")
    assert [(r.fd, r.operator, r.target) for r in first.redirects] == [(2, ">>", "log")]
    assert second.words == ("next", "more")


@given(st.text(alphabet="ab \n\t;&|<>(){}[]$\"'`\\#-.2é\r", max_size=60))
def test_no_text_whatever_is_an_error_of_ours(text: str) -> None:
    """Half a script, or none, gives an answer."""
    commands(text)
    found(text)


@pytest.mark.parametrize("opening", ['"$(', "$(", "${", "((", "$((", "<(", "`"])
def test_a_script_may_be_nested_as_deep_as_it_is_long(opening: str) -> None:
    """The shell's nesting is followed without recursion."""
    assert found(BASH + "app &\n" + opening * 20_000) == [(2, "background-child")]
