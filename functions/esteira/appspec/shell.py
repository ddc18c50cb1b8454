"""A shell script taken apart into its simple commands: enough to see what runs in the background, where its output
goes, and what is looked for in the working directory. Pure.

No shell: nothing is expanded, and what is inside ``$(…)``, arithmetic or a here-document is passed over. Text that is
no script at all gives some commands or none, and never an error.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

# Longest first: the first that fits is it.
_OPERATORS = (
    *(";;&", "&>>", "<<<", "<<-", ";;", ";&", "&&", "||", "|&", "&>", ">>", ">|", ">&", "<<", "<&", "<>"),
    *(";", "&", "|", ">", "<", "(", ")", "\n"),
)
_REDIRECTS = frozenset(o for o in _OPERATORS if "<" in o or ">" in o)
# What may stand before the word that is the command's name.
_BEFORE = frozenset(("then", "do", "else", "elif", "if", "while", "until", "!", "{", "time"))
_WRAPPERS = frozenset(("sudo", "nohup", "exec", "command", "env", "setsid", "nice"))
_GROUP_ENDS = frozenset((")", "}", "done", "fi", "esac"))


@dataclass(frozen=True)
class Redirect:
    """``fd`` goes to ``target``, a word; ``operator`` is as it is written."""

    fd: int
    operator: str
    target: str


@dataclass(frozen=True)
class Command:
    """A simple command, or the end of a compound one with its redirections: ``)``, ``}``, ``done`` …

    ``end`` is the operator behind it, "" at the end of the text; ``line`` counts from 1 and is where it ends.
    """

    words: tuple[str, ...]
    redirects: tuple[Redirect, ...]
    end: str
    line: int

    @property
    def closes(self) -> bool:
        """Whether it is nothing but the end of a compound command."""
        return len(self.words) == 1 and self.words[0] in _GROUP_ENDS

    @property
    def verb(self) -> str:
        """The name of what runs, behind keywords, assignments and such as ``sudo``; "" where nothing does."""
        return next(iter(self.run), "")

    @property
    def run(self) -> tuple[str, ...]:
        """The words from the verb on."""
        wrapped = False
        for i, word in enumerate(self.words):
            if word in _WRAPPERS:
                wrapped = True
            elif not (
                word in _BEFORE or word == ")" or re.match(r"\w+\+?=", word) or (wrapped and word.startswith("-"))
            ):
                return self.words[i:]
        return ()


def commands(text: str) -> list[Command]:
    """The commands of a script in the order they are written."""
    return list(_Lexer(text).commands())


class _Lexer:
    """Reads a script from its start to its end; ``_at`` is where, and only grows."""

    def __init__(self, text: str) -> None:
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._text = text.replace("\\\n", "  ")  # a continued line: of the same length, so that places stay
        self._at = 0
        self._ended = 0  # where the last operator, or the text, ended what was before it
        self._here: list[tuple[str, bool]] = []  # here-documents that begin behind this line: their end, and "<<-"

    def commands(self) -> Iterator[Command]:
        """The commands."""
        words: list[str] = []
        redirects: list[Redirect] = []
        while True:
            token, operator = self._next(inside=bool(words) and words[-1] not in _BEFORE)
            if operator in _REDIRECTS:
                redirects.append(self._redirect(operator, words))
            elif token and not operator:
                words.append(token)
            elif token is None or operator:
                if words or redirects:
                    yield Command(
                        tuple(words), tuple(redirects), operator, bisect_left(self._newlines, self._ended) + 1
                    )
                words, redirects = [")"] if operator == ")" else [], []
                if token is None:
                    return

    def _redirect(self, operator: str, words: list[str]) -> Redirect:
        descriptor, before = int(not operator.startswith("<")), self._at - len(operator) - 1
        # A number that touches the operator is the descriptor.
        if words and words[-1].isdecimal() and self._text[before].isdecimal() and operator[0] != "&":
            descriptor = int(words.pop()[:3])
        self._skip_blanks()
        target = self._word()
        if operator in ("<<", "<<-"):
            self._here.append((target, operator == "<<-"))
        return Redirect(descriptor, operator, target)

    def _next(self, *, inside: bool) -> tuple[str | None, str]:
        """The next word and "", or an operator twice; (None, "") at the end. ``inside`` a command?"""
        self._skip_blanks()
        self._ended = self._at
        if self._here_is("#"):
            self._at = self._find("\n")
            return "", ""
        if self._at >= len(self._text):
            return None, ""
        if not inside and self._here_is("((", "[["):
            return self._test(), ""
        operator = next((o for o in _OPERATORS if self._here_is(o)), "")
        if not operator or self._here_is(">(", "<("):
            return self._word(), ""
        self._at += len(operator)
        if operator == "\n":
            self._skip_here_documents()
        return operator, operator

    def _here_is(self, *texts: str) -> bool:
        return self._text.startswith(texts, self._at)

    def _find(self, end: str) -> int:
        found = self._text.find(end, self._at)
        return len(self._text) if found < 0 else found

    def _skip_blanks(self) -> None:
        while self._here_is(" ", "\t", "\r"):
            self._at += 1

    def _test(self) -> str:
        """Return ``((…))`` or ``[[…]]``, where & and > mean something else."""
        start = self._at
        self._at = min(self._find("))" if self._here_is("((") else "]]") + 2, len(self._text))
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
        """One word; its quotes are taken off, what it substitutes stays as it is written."""
        said: list[str] = []
        while self._at < len(self._text) and not self._here_is(" ", "\t", "\r", "\n", ";", "&", "|"):
            if self._here_is("$(", "${", "<(", ">("):
                said.append(self._balanced())
            elif self._here_is("<", ">", "(", ")"):
                break
            elif self._here_is("\\"):
                said.append(self._text[self._at + 1 : self._at + 2])
                self._at += 2
            elif self._here_is("'", '"', "`"):
                said.append(self._quoted()[1:-1])
            else:
                said.append(self._text[self._at])
                self._at += 1
        return "".join(said)

    def _quoted(self) -> str:
        """A quoted text with its quotes."""
        start, quote = self._at, self._text[self._at]
        self._at += 1
        while self._at < len(self._text) and not self._here_is(quote):
            if quote == '"' and self._here_is("$("):
                self._balanced()
            else:
                self._at += 2 if quote != "'" and self._here_is("\\") else 1
        self._at += 1
        return self._text[start : self._at]

    def _balanced(self) -> str:
        """Return ``$(…)``, ``${…}`` or a process substitution, whatever it holds."""
        start, opening = self._at, self._text[self._at + 1]
        closing, depth = {"(": ")", "{": "}"}[opening], 1
        self._at += 2
        while depth and self._at < len(self._text):
            if self._here_is("'", '"') and opening == "(":
                self._quoted()
                continue
            depth += self._here_is(opening) - self._here_is(closing)
            self._at += 2 if self._here_is("\\") else 1
        return self._text[start : self._at]
