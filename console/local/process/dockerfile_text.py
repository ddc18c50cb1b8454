"""The text of a Dockerfile as instructions: lines joined, flags taken off, words parted, here-documents read.

Every rule is BuildKit's parser's, whose own build is the oracle of the tests (the package ``dockerfile``). What a
variable stands for is put in later (``dockerfile_words``).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from console.local.process.docker_images import DockerError
from console.local.process.dockerfile_words import expanded, parted

LONGEST_LINE = 65_536
BLANKS = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)")


@dataclass(frozen=True)
class Heredoc:
    """A here-document of an instruction. ``expand``: variables are put into it, as its name has no quotes."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction: the line it begins on, its word in capitals, the text after its flags, and the text's words.

    ``exec_form``: the words were written as a JSON list. Flags are written ``--name=value``.
    """

    line: int
    word: str
    text: str
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    exec_form: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    escape: str = "\\"

    @property
    def options(self) -> dict[str, str]:
        """The flags by name; one without a value is ``true``."""
        pairs = (flag.removeprefix("--").partition("=") for flag in self.flags)
        return {name: value if equals else "true" for name, equals, value in pairs}

    def refuse(self, why: str) -> NoReturn:
        """Raise what is wrong with it, naming its line."""
        raise DockerError(f"Dockerfile line {self.line}: {self.word} {self.text}".rstrip() + f": {why}")


def instructions(document: bytes | str) -> list[Instruction]:
    """The instructions of a Dockerfile. Raises :class:`DockerError` naming the line that Docker would refuse."""
    data = document.encode(errors="surrogateescape") if isinstance(document, str) else document
    text = data.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    return list(_Reader(text).instructions())


class _Reader:
    """Reads a Dockerfile once, from start to end. ``_at`` is the number of the line that was read last."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._at = 0
        self._escape = "\\"

    def instructions(self) -> Iterator[Instruction]:
        self._directives()
        while (line := self._next()) is not None:
            begins = self._at
            if begun := _uncommented(line.rstrip("\r").lstrip()):
                yield self._heredocs(_instruction(self._joined(begun), begins, self._escape))

    def _next(self) -> str | None:
        if self._at == len(self._lines):
            return None
        line = self._lines[self._at]
        self._at += 1
        if len(line) >= LONGEST_LINE:
            raise DockerError(f"Dockerfile line {self._at}: it is longer than {LONGEST_LINE - 1} characters; wrap it.")
        return line

    def _directives(self) -> None:
        """``# escape=`` in the first lines, before anything else stands there."""
        known: set[str] = set()
        for number, line in enumerate(self._lines, start=1):
            match = _DIRECTIVE.fullmatch(line.rstrip("\r").lstrip())
            name = match[1].lower() if match else ""
            if not match or name not in ("escape", "syntax", "check"):
                return
            if name in known:
                raise DockerError(f"Dockerfile line {number}: only one {name} parser directive can be used; keep one.")
            known.add(name)
            if name == "escape" and match[2] not in ("\\", "`"):
                raise DockerError(
                    f"Dockerfile line {number}: escape={match[2]}: it may only be \\ or `; write one of them."
                )
            self._escape = match[2] if name == "escape" else self._escape

    def _joined(self, line: str) -> str:
        """``line`` with the lines that it goes on to; comments and empty lines among them are dropped."""
        line, goes_on = self._continued(line)
        while goes_on and (following := self._next()) is not None:
            if following.strip() and not following.lstrip().startswith("#"):
                more, goes_on = self._continued(following.rstrip("\r"))
                line += more
        return line

    def _continued(self, line: str) -> tuple[str, bool]:
        escape = re.escape(self._escape)
        found = re.search(rf"(?<!{escape}){escape}[ \t]*$", line)
        return (line[: found.start()], True) if found else (line, False)

    def _heredocs(self, read: Instruction) -> Instruction:
        """The instruction with the here-documents that stand below it."""
        word, text, exec_form = read.word, read.text, read.exec_form
        if word == "ONBUILD" and read.words:
            word = read.words[0].upper()
        if word not in ("RUN", "COPY", "ADD") or exec_form or "<<" not in text:
            return read
        try:
            expanded(text, {})
        except ValueError:
            return read  # a quote is not closed, and the shell will say so
        marks = list(filter(None, map(_mark, parted(f"{word} {text}", "\\"))))
        found = tuple(Heredoc(name, self._below(name, read, chomp=chomp), expand) for name, chomp, expand in marks)
        return replace(read, heredocs=found)

    def _below(self, name: str, read: Instruction, *, chomp: bool) -> str:
        content: list[str] = []
        while (line := self._next()) is not None:
            if (line.lstrip("\t") if chomp else line).rstrip("\r") == name:
                return "".join(content)
            content.append(f"{line}\n")
        read.refuse(f"its here-document is not ended; write a line that is only {name}.")
        return None


def _uncommented(line: str) -> str:
    return "" if line.startswith("#") else line


def _mark(word: str) -> tuple[str, bool, bool] | None:
    """A here-document's name, whether tabs are taken off, whether variables are put in; None for any other word."""
    match = _HEREDOC.fullmatch(word)
    if not match or not match[3]:
        return None
    try:
        name = expanded(match[3], {}, "\\", keep_unset=True)
    except ValueError:
        return None
    return name, bool(match[2]), name == match[3]


# --- one instruction ------------------------------------------------------------------------------------------------


def _instruction(line: str, number: int, escape: str) -> Instruction:
    word, *rest = BLANKS.split(line.strip(), maxsplit=1)  # of an empty line, one empty word
    flags, text = _flags_of("".join(rest))
    read = Instruction(number, word.upper(), text.strip(), tuple(flags), escape=escape)
    try:
        words, exec_form = _WORDS.get(read.word, _unknown)(read.text, escape)
    except ValueError as error:
        read.refuse(str(error))
    return replace(read, words=tuple(words), exec_form=exec_form)


Words = tuple[list[str], bool]


_FLAG = re.compile(
    r"""\s*(?=--)((?:[^\s'"\\]|\\.|\\$|'(?:[^'\\]|\\.|\\$)*(?:'|$)|"(?:[^"\\]|\\.|\\$)*(?:"|$))+)""", re.DOTALL
)
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.|\\$)*)(?:'|$)|"((?:[^"\\]|\\.|\\$)*)(?:"|$)|\\(.?)""", re.DOTALL)


def _unquoted(piece: re.Match[str]) -> str:
    quoted = piece[1] if piece[1] is not None else piece[2]
    return str(piece[3] if quoted is None else re.sub(r"\\(.?)", r"\1", quoted))


def _flags_of(text: str) -> tuple[list[str], str]:
    """The words in front that begin with ``--``, without their quotes, and the text behind them."""
    flags: list[str] = []
    at = 0
    while match := _FLAG.match(text, at):
        at = match.end()
        flag = _QUOTED.sub(_unquoted, match[1])
        if flag == "--":
            break
        flags.append(flag)
    return flags, text[at:]


def _one(text: str, _escape: str) -> Words:
    return ([text] if text else []), False


def _spaced(text: str, _escape: str) -> Words:
    return (BLANKS.split(text) if text else []), False


def _arguments(text: str, escape: str) -> Words:
    return parted(text, escape), False


def _json_or(other: Callable[[str, str], Words]) -> Callable[[str, str], Words]:
    """A list in JSON (what stands behind it is not looked at), or else the words as ``other`` reads them."""

    def read(text: str, escape: str) -> Words:
        if not text.startswith("["):
            return other(text, escape)
        try:
            found, _ = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text)
        except ValueError:
            return other(text, escape)
        if not all(isinstance(word, str) for word in found):
            raise ValueError("a JSON list may hold only texts; put each word in double quotes.")
        return found, True

    return read


def _refuse_constant(constant: str) -> NoReturn:
    """Python's JSON has NaN and Infinity, which nobody else's has."""
    raise ValueError(f"{constant} is not JSON")


def _pairs(text: str, escape: str) -> Words:
    """``NAME=value …``, as name, value, name, value; or the old form, ``NAME the rest of the line``."""
    words = parted(text, escape)
    if words and "=" not in words[0]:
        pair = BLANKS.split(text, maxsplit=1)
        if len(pair) < 2:
            raise ValueError("it must have two arguments; write NAME=value.")
        return pair, False
    if wrong := next((word for word in words if "=" not in word), ""):
        raise ValueError(f"there is no = in {wrong}; it is written NAME=value, and a value with spaces in quotes.")
    return [part for word in words for part in word.split("=", 1)], False


def _check(text: str, escape: str) -> Words:
    """The kind of a HEALTHCHECK, and its command."""
    if not text:
        return [], False
    kind, *rest = text.split(maxsplit=1)
    words, exec_form = _json_or(_one)("".join(rest), escape)
    return [kind, *words], exec_form


def _nested(text: str, escape: str) -> Words:
    """The instruction behind an ONBUILD: its word, and its words."""
    if not text:
        return [], False
    word = text.split(maxsplit=1)[0].upper()
    if word not in _WORDS:
        return _unknown(text, escape)
    inner = _instruction(text, 0, escape)
    if inner.word in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"{inner.word} is not allowed behind it; write another instruction.")
    return [inner.word, *inner.words], inner.exec_form


def _unknown(_text: str, _escape: str) -> Words:
    raise ValueError(f"it is not an instruction; correct the line. Known are {', '.join(sorted(_WORDS))}.")


_WORDS: dict[str, Callable[[str, str], Words]] = {
    "ADD": _json_or(_spaced),
    "ARG": _arguments,
    "CMD": _json_or(_one),
    "COPY": _json_or(_spaced),
    "ENTRYPOINT": _json_or(_one),
    "ENV": _pairs,
    "EXPOSE": _spaced,
    "FROM": _spaced,
    "HEALTHCHECK": _check,
    "LABEL": _pairs,
    "MAINTAINER": _one,
    "ONBUILD": _nested,
    "RUN": _json_or(_one),
    "SHELL": _json_or(_one),
    "STOPSIGNAL": _one,
    "USER": _one,
    "VOLUME": _json_or(_spaced),
    "WORKDIR": _one,
}
