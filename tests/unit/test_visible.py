"""What a person sees of text from outside is text, and all of it."""

from __future__ import annotations

import json
import logging
from io import StringIO
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from console.local.up.up_commands import _teller
from console.read.out import Out
from console.read.printable import document, page_document
from esteira.telemetry import logger
from esteira.visible import first_invisible, visible

STEERING = {
    "title": "\x1b]0;another title\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "cleared screen": "\x1b[2J\x1b[H",
    "C1": "\x9b31mred",
    "bell": "\a",
    "overwritten line": "failed\rlive  ",
    "backspaces": "failed\b\b\b\b\b\blive",
    "reading direction": "invoice\u202efdp.exe",
    "isolates": "\u2066a\u2069",
    "arabic mark": "\u061c",
    "zero width": "he\u200bart\u200d\u2060\ufeff",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "soft hyphen": "he\xadart",
    "tags": "\U000e0041\U000e007f",
    "half a character": "\ud83d",
    "no character": "\uffff",
    "private": "\ue000",
}


@pytest.mark.parametrize("kind", STEERING)
def test_what_would_steer_a_terminal_is_written_out(kind: str) -> None:
    """On a terminal, in a pipe, in a document and on the page; the sentence around it stays."""
    text = f"before {STEERING[kind]} after"
    shown = visible(text)
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert shown.isprintable()
    assert "\\u" in shown
    for terminal in (False, True):
        said = StringIO()
        Out(said, terminal=terminal, width=400).print(text)
        assert said.getvalue() == f"{shown}\n"
    assert document(text, None).isprintable()
    assert json.loads(document(text, None)) == text
    assert json.loads(page_document(text)).isprintable()
    assert first_invisible(text)


@pytest.mark.parametrize("text", ["José, Ñandú; 日本語 👍 a\u00a0b", "a\u3000b", "", "naïve → …", "C:\\users"])
def test_what_can_be_seen_stays(text: str) -> None:
    """People's names, and a backslash that somebody typed."""
    assert visible(text) == json.loads(page_document(text)) == text
    assert first_invisible(text) == ""


def test_a_log_line_is_one_that_can_be_read() -> None:
    """``aws logs tail`` prints it as it is; a program reads the very text."""
    formatter = logger.registered_formatter
    record = logging.LogRecord("esteira", logging.INFO, "", 0, STEERING["reading direction"], (), None)
    line = formatter.format(record)
    assert line.isprintable()
    assert json.loads(line)["message"] == STEERING["reading direction"]


@pytest.mark.parametrize("text", [STEERING["title"], "[link=https://evil.example]v1[/link]"])
def test_what_a_function_says_is_text_on_the_local_stacks_terminal(text: str) -> None:
    """Neither a control character nor the markup of the library that prints it."""
    said = StringIO()
    tell = _teller(Console(file=said, force_terminal=True, width=400))
    for payload, error in (({"release": "v1", "phase": "failed", "why": text}, ""), ({}, text)):
        answer = SimpleNamespace(payload=payload, error=error, said=error)
        tell(SimpleNamespace(function="esteira-intake", answer=answer))
    assert "\x1b]" not in said.getvalue()
    assert said.getvalue().count(visible(text)) == 2


def test_lines_stay_lines() -> None:
    """Those of a log may end as on Windows; a reason has one line."""
    assert visible("one\r\n\ttwo\n") == "one\n\ttwo\n"
    assert (first_invisible("one\ntwo"), first_invisible("a\tb")) == ("\\u000a", "\\u0009")


@given(st.text())
def test_all_that_is_shown_can_be_seen(text: str) -> None:
    """Whatever comes; what is shown is shown the same again, and can be encoded."""
    shown = visible(text)
    assert all(c.isprintable() or c in "\t\n\u00a0\u3000" for c in shown)
    assert visible(shown) == shown
    assert shown.encode().decode() == shown
    assert json.loads(page_document(text)) == shown
