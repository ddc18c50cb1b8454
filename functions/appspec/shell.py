"""A shell script split into simple commands: what runs, where its output goes, what runs in the background. Pure.

Nothing is expanded. The contents of ``$(…)``, arithmetic and here-documents are skipped. Any text is accepted.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

_OPERATOR = re.compile(r";;&|&>>|<<<|<<-|;;|;&|&&|\|\||\|&|&>|>>|>\||>&|<<|<&|<>|[;&|><()\n]")
_BLANKS = re.compile(r"[ \t\r]*")
_LITERAL = re.compile(r"[^ \t\r\n;&|<>()\\'\"`$]+|\$(?![({])")
_NESTED = re.compile(r"[$<>]\(|\$\{|['\"`]")
_CLOSING = {"(": ")", "{": "}", "'": "'", '"': '"', "`": "`"}
# Words that may stand before the name of a command.
_BEFORE = frozenset(("then", "do", "else", "elif", "if", "while", "until", "!", "{", "time"))
_WRAPPERS = frozenset(("sudo", "nohup", "exec", "command", "env", "setsid", "nice"))
_GROUP_ENDS = frozenset((")", "}", "done", "fi", "esac"))


@dataclass(frozen=True)
class Redirect:
    """A redirection of descriptor ``fd`` to ``target``, a word."""

    fd: int
    operator: str
    target: str


@dataclass(frozen=True)
class Command:
    """A simple command, or the end of a compound command (``)``, ``}``, ``done`` …) with its redirections.

    ``end`` is the operator after it, "" at the end of the text; ``line`` (from 1) is where the command ends.
    """

    words: tuple[str, ...]
    redirects: tuple[Redirect, ...]
    end: str
    line: int

    @property
    def closes(self) -> bool:
        """Whether this is only the end of a compound command."""
        return len(self.words) == 1 and self.words[0] in _GROUP_ENDS

    @property
    def verb(self) -> str:
        """The name of the program, after keywords, assignments and wrappers such as ``sudo``; "" for none."""
        return next(iter(self.run), "")

    @property
    def run(self) -> tuple[str, ...]:
        """The words from the verb on."""
        wrapped = False
        for i, word in enumerate(self.words):
            if word in _WRAPPERS:
                wrapped = True
            elif word not in _BEFORE | {")"} and not re.match(r"\w+\+?=", word) and not (wrapped and word[:1] == "-"):
                return self.words[i:]
        return ()


def commands(text: str) -> list[Command]:
    """The commands of a script, in order."""
    return list(_Lexer(text).commands())


class _Lexer:
    """Reads a script once, from start to end; ``_at`` is the position."""

    def __init__(self, text: str) -> None:
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._text = text.replace("\\\n", "  ")  # joins continued lines and keeps every position
        self._at = 0
        self._here: list[tuple[str, bool]] = []  # here-documents that start after this line: end word, and "<<-"

    def commands(self) -> Iterator[Command]:
        words: list[str] = []
        redirects: list[Redirect] = []
        more = True
        while more:
            self._at = self._end_of(_BLANKS)
            ended = self._at
            more = self._at < len(self._text)
            if self._text.startswith(("((", "[["), self._at) and (not words or words[-1] in _BEFORE):
                words.append(self._test())
                continue
            operator = self._operator() if more else ""
            if operator and ("<" in operator or ">" in operator):
                redirects.append(self._redirect(operator, words))
            elif operator or not more:
                if words or redirects:
                    line = bisect_left(self._newlines, ended) + 1
                    yield Command(tuple(words), tuple(redirects), operator, line)
                words, redirects = [")"] if operator == ")" else [], []
            elif self._text[self._at] == "#":
                self._at = self._find("\n")
            else:
                words += filter(None, [self._word()])

    def _operator(self) -> str:
        match = _OPERATOR.match(self._text, self._at)
        if not match or self._text.startswith((">(", "<("), self._at):
            return ""
        self._at = match.end()
        if match[0] == "\n":
            self._skip_here_documents()
        return match[0]

    def _redirect(self, operator: str, words: list[str]) -> Redirect:
        descriptor, before = int(not operator.startswith("<")), self._at - len(operator) - 1
        # A number that touches the operator is the descriptor.
        if words and words[-1].isdecimal() and self._text[before].isdecimal() and operator[0] != "&":
            descriptor = int(words.pop()[:3])
        self._at = self._end_of(_BLANKS)
        target = self._word()
        if operator in ("<<", "<<-"):
            self._here.append((target, operator == "<<-"))
        return Redirect(descriptor, operator, target)

    def _end_of(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        return match.end() if match else self._at

    def _find(self, end: str) -> int:
        found = self._text.find(end, self._at)
        return len(self._text) if found < 0 else found

    def _test(self) -> str:
        """``((…))`` or ``[[…]]``, in which & and > are no operators of the shell."""
        start, end = self._at, "))" if self._text[self._at] == "(" else "]]"
        self._at = min(self._find(end) + 2, len(self._text))
        return self._text[start : self._at]

    def _skip_here_documents(self) -> None:
        for end, tabs in self._here:
            row = None
            while row != end and self._at < len(self._text):
                stop = self._find("\n")
                row = self._text[self._at : stop].rstrip("\r")
                row = row.lstrip("\t") if tabs else row
                self._at = stop + 1
        self._here = []

    def _word(self) -> str:
        """One word without its quotes; substitutions stay as written."""
        parts: list[str] = []
        while self._at < len(self._text):
            start = self._at
            if self._text[start] == "\\":
                self._at += 2
                parts.append(self._text[start + 1 : self._at])
            elif _NESTED.match(self._text, start):
                self._skip_nested()
                quotes = self._text[start] in "'\"`"
                parts.append(self._text[start + quotes : self._at - quotes])
            else:
                self._at = self._end_of(_LITERAL)
                if self._at == start:
                    break
                parts.append(self._text[start : self._at])
        return "".join(parts)

    def _skip_nested(self) -> None:
        """Move past a quoted text or a substitution and everything nested in it, however deep."""
        opening = _NESTED.match(self._text, self._at)
        closing: list[str] = []
        while opening or closing:
            if opening:
                closing.append(_CLOSING[opening[0][-1]])
                self._at = opening.end()
            elif self._at >= len(self._text):
                return
            elif self._text[self._at] == closing[-1]:
                closing.pop()
                self._at += 1
            else:
                self._at += 2 if self._text[self._at] == "\\" and closing[-1] != "'" else 1
            opening = _OPENS[closing[-1]].match(self._text, self._at) if closing else None


# What opens a nested text inside each kind, by its closing sign.
_NEVER = re.compile(r"(?!)")
_OPENS = {"'": _NEVER, "`": _NEVER, '"': re.compile(r"\$\("), ")": re.compile(r"[('\"]"), "}": re.compile(r"\{")}
