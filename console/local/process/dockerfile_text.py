"""The text of a Dockerfile: its lines as instructions, and their words with the variables put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from console.local.process.docker_images import DockerError

# FROM begins a stage and is not among them.
KNOWN = frozenset(
    {
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    }
)


@dataclass(frozen=True)
class Instruction:
    """One instruction: the line it begins on, its word in capitals, the text after it."""

    line: int
    word: str
    text: str
    heredoc: bool = False

    def refuse(self, why: str) -> NoReturn:
        """Raise what is wrong with it, naming its line."""
        raise DockerError(f"Dockerfile line {self.line}: {self.word} {self.text}".rstrip() + f": {why}")


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile. Raises :class:`DockerError` naming the line of one Docker does not know."""
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, *rest = _continued(line.strip(), lines).split(maxsplit=1)
        read = Instruction(number, word.upper(), "".join(rest))
        if read.word not in KNOWN and read.word != "FROM":
            read.refuse(f"{word} is not an instruction; correct the line. Known are {', '.join(sorted(KNOWN))}.")
        marks = re.findall(r"<<-?([\"']?)([A-Za-z_]\w*)\1", read.text) if read.word in ("RUN", "COPY", "ADD") else []
        for _, mark in marks:
            while next(lines, (0, mark))[1].strip() != mark:
                pass
        yield replace(read, heredoc=bool(marks))


def _continued(line: str, lines: Iterator[tuple[int, str]]) -> str:
    """``line`` with the lines that its last backslash goes on to; Docker drops comments and empty lines among them."""
    while line.endswith("\\"):
        _, following = next(lines, (0, None))
        if following is None:
            return line[:-1]
        if following.strip() and not following.lstrip().startswith("#"):
            line = line[:-1] + following.rstrip()
    return line


LONGEST = 100_000  # characters of an instruction: a variable of variables grows by itself

# --- words, with their variables put in -----------------------------------------------------------------------------

_PIECE = re.compile(
    r"""\\(?P<escaped>.)|(?P<single>')|(?P<double>")|(?P<space>\s+)
      |\$(?P<plain>\w+)|\$\{(?P<braced>\w+)(?::(?P<sign>[-+])(?P<other>[^}]{0,4096}))?\}|(?P<any>.)""",
    re.VERBOSE | re.DOTALL,
)


def words(text: str, variables: Mapping[str, str]) -> list[str]:
    """``text`` split where no quote holds it together, with ``$NAME``, ``${NAME:-other}`` and ``${NAME:+other}`` put in
    outside single quotes. Raises ValueError where a quote is not closed, OverflowError where they become too long."""
    found: list[str] = []
    word: list[str] | None = None
    quoted, at, put_in = False, 0, 0
    while match := _PIECE.match(text, at):
        at = match.end()
        if match["space"] and not quoted:
            found += ["".join(word)] if word is not None else []
            word = None
            continue
        word = [] if word is None else word
        if match["double"]:
            quoted = not quoted
        elif match["single"] and not quoted:
            end = text.index("'", at)
            word.append(text[at:end])
            at = end + 1
        elif match["escaped"]:
            word.append(match[0] if quoted and match["escaped"] not in '"\\$' else match["escaped"])
        else:
            word.append(_value(match, variables))
            put_in += len(word[-1])
            if put_in > LONGEST:
                raise OverflowError
    if quoted:
        raise ValueError('a " is not closed')
    return found + (["".join(word)] if word is not None else [])


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name = match["plain"] or match["braced"]
    if name is None:
        return match[0]
    value = variables.get(name, "")
    if match["sign"] == "-":
        return value or match["other"]
    if match["sign"] == "+":
        return match["other"] if value else ""
    return value


def split_words(found: Instruction, variables: Mapping[str, str]) -> list[str]:
    """The instruction's words, variables put in."""
    try:
        return words(found.text, variables)
    except ValueError:
        found.refuse("a quote is not closed; close it.")
    except OverflowError:
        found.refuse(f"it has more than {LONGEST:,} characters with its variables put in; make it shorter.")


def options_of(found: Instruction) -> tuple[dict[str, str], str]:
    """The ``--name=value`` in front of an instruction's text, and the text behind them."""
    options, rest = {}, found.text
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?\s+", rest):
        options[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    return options, rest


def json_list(text: str) -> list[str] | None:
    try:
        read = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return read if isinstance(read, list) and all(isinstance(part, str) for part in read) else None
