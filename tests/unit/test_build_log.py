"""What a build's log says of the command that failed first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aws_events.build_log import CHARACTERS, LINES, failed_command
from console.read.build_log import LogLine, without_secrets
from console.read.complete import split_log
from console.read.log_text import telling

pytestmark = pytest.mark.unit
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = "[Container] 2026/11/23 10:00:10.123456"


def log(*said: str) -> list[str]:
    return [f"{AT} {line[1:]}" if line.startswith("#") else line for line in said]


def test_the_lines_are_those_of_the_command_that_failed_and_of_no_other() -> None:
    """POST_BUILD runs after a failed BUILD and says something too; what an earlier command said is no cause."""
    told = log(
        "#Entering phase BUILD", "#Running command pip install .", "installed", "#Running command ruff check .",
        "train.py:3:1: F401 `os` imported but unused", "", "Found 1 error.",
        "#Command did not exit successfully ruff check . exit status 1", "#Phase complete: BUILD State: FAILED",
        "#Phase context status code: COMMAND_EXECUTION_ERROR Message: …", "#Entering phase POST_BUILD",
        "#Running command echo bye", "bye", "#Phase complete: POST_BUILD State: SUCCEEDED",
    )  # fmt: skip
    assert failed_command(told) == ("train.py:3:1: F401 `os` imported but unused", "Found 1 error.")


def test_a_log_that_names_no_failure_gives_its_last_lines() -> None:
    """CloudWatch may have the end of a log a little later than EventBridge tells of it."""
    assert failed_command(log("#Running command make", "cc model.c", "model.c:1: error")) == (
        "cc model.c",
        "model.c:1: error",
    )
    assert failed_command([]) == ()


def test_only_so_much_is_kept_from_the_end() -> None:
    """A failing test run prints pages; a comment and a mail hold a few lines."""
    said = failed_command(log("#Running command pytest", *(f"line {n}" for n in range(100))))
    assert (len(said), said[-1]) == (LINES, "line 99")
    assert sum(map(len, failed_command(["x" * 400] * 100))) <= CHARACTERS
    assert failed_command(["y", "x" * (CHARACTERS + 1)]) == ()


def test_a_log_is_shown_without_the_secrets_in_it() -> None:
    """Every line keeps its time, however long the log is; a key of several lines becomes one."""
    secret = "".join(("gh", "p_", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6"))
    lines = [LogLine(NOON + timedelta(seconds=n), f"step {n} " + "x" * 50) for n in range(3_000)]
    lines[1_700] = LogLine(NOON, f"export GITHUB_TOKEN={secret}")
    told = without_secrets(lines)
    assert (len(told), told[:1_700], told[1_701:]) == (3_000, tuple(lines[:1_700]), tuple(lines[1_701:]))
    assert told[1_700].says == "export GITHUB_TOKEN=[masked]"
    assert without_secrets([]) == ()


def test_what_colours_a_terminal_is_left_out() -> None:
    """Flask's warning is a sentence, also in the lines below a cause; what steers a terminal otherwise stays."""
    assert without_secrets([LogLine(NOON, "\x1b[31m\x1b[1mWARNING\x1b[0m \x1b[2J")])[0].says == "WARNING \x1b[2J"
    assert split_log("failed\n\x1b[33mwhy\x1b[0m") == ("failed", ("why",))


def test_of_a_running_build_the_steps_that_went_well_are_left_out() -> None:
    """What a command wrote stays, whatever it looks like, and so does a step that failed."""
    at = "[Container] 2026/11/23 10:00:10 "
    lines = ("Entering phase BUILD", "Running command make", "Phase complete: BUILD State: SUCCEEDED")
    said = ("Phase complete: BUILD State: FAILED", "Phase context status code: X Message: exit status 1")
    written = [*(at + line for line in lines), f"{at}Phase context status code:  Message: ", "Entering phase 2"]
    assert [*telling([*written, *(at + line for line in said)])] == [lines[1], "Entering phase 2", *said]
