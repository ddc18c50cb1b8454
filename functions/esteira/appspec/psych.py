"""YAML as the CodeDeploy agent reads it: Ruby's Psych, whose numbers, truths and refusals are not those of other
readers (``0644`` is 420, ``1:30`` is 5400, a date is an error). What is read keeps its line, for the sentence about it.

Pure. The scanning is libyaml's, which Psych uses, too; what a plain word means is ruled here, after Psych 4 and 5, the
versions that load safely. Where PyYAML was built without libyaml its own scanner serves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DEEPEST = 20  # levels; an appspec needs five, and a deeper one must not exhaust the stack

_WORD = re.compile(r"[^0-9.:\-]?(?:[^\W\d_]|[\s_!@#$%^&*(){}<>|/\\~;=])+")
_TIME = re.compile(
    r"-?[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|\s+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:\s*(?:Z|[-+][0-9]{1,2}:?(?:[0-9]{2})?))?"
)
_DATE = re.compile(r"[0-9]{4}-(?:1[012]|0[0-9]|[0-9])-(?:[12][0-9]|3[01]|0[0-9]|[0-9])")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}(?:\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01_,]+)|0x(?P<sixteen>[0-9a-fA-F_,]+)|0(?P<eight>[0-7_,]+)"
    r"|(?P<ten>0|[1-9](?:[0-9]|,[0-9]|_[0-9])*))"
)
_BASES = {"two": 2, "eight": 8, "ten": 10, "sixteen": 16}


class UnreadableError(Exception):
    """The agent could not read the document at all: at which line (from 1), and a sentence why, with what to write."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


@dataclass(frozen=True)
class Node:
    """One value: None, bool, int, float, str, a list of nodes or a dict of nodes by key.

    ``text`` is a scalar as it is written, without its quotes; ``plain`` says that it had none. ``keys`` are a map's
    keys as they are written, twice where one is written twice.
    """

    value: Any
    line: int
    text: str = ""
    plain: bool = False
    keys: tuple[Node, ...] = field(default=(), repr=False)

    @property
    def absent(self) -> bool:
        """Whether Ruby takes it for nothing: null and false."""
        return self.value is None or self.value is False

    def get(self, key: str) -> Node | None:
        """What a map has under a key, None where that is not there or null."""
        found: Node | None = self.value.get(key)
        return None if found is None or found.value is None else found


def read(document: bytes) -> tuple[Node, int]:
    """The first document of a YAML text, and the line of a second one, 0 where there is none.

    An empty text is a null. Raises UnreadableError.
    """
    import yaml  # only where a repository has an appspec.yml of its own: it takes 12 ms

    try:
        text = document.decode()
    except UnicodeDecodeError as error:
        line = document.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, "is not UTF-8, which the agent cannot read; save it as UTF-8") from error
    if text.startswith("\ufeff"):
        raise UnreadableError(1, "begins with a byte order mark, which the agent cannot read; save it without")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = list(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        raise _syntax(error, text) from error
    starts = [_line(e) for e in events if isinstance(e, yaml.DocumentStartEvent)]
    if not starts:
        return Node(None, 1), 0
    inside = iter(events[2:])  # past the stream's and the document's start
    return _node(next(inside), inside, yaml, 1), starts[1] if len(starts) > 1 else 0


def _syntax(error: Any, text: str) -> UnreadableError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    rows = text.splitlines()
    if 0 < line <= len(rows) and re.match(r"\s*\t", rows[line - 1]):
        return UnreadableError(line, "is indented with a tab, at which the agent's YAML reader stops; write spaces")
    return UnreadableError(line, f"is not YAML ({what}), so the agent stops at it; mend this line or the one above")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _node(event: Any, rest: Iterator[Any], yaml: Any, depth: int) -> Node:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent):
        raise UnreadableError(
            line, f"uses the alias *{event.anchor[:40]}, which the agent refuses (BadAlias); write the value out"
        )
    if depth > DEEPEST:
        raise UnreadableError(line, f"is nested deeper than {DEEPEST} levels, which no appspec is; write it flat")
    if event.tag and not event.tag.startswith("tag:yaml.org,2002:str"):
        raise UnreadableError(line, f"carries the tag {event.tag[:60]}; write the plain value, without a tag")
    if isinstance(event, yaml.SequenceStartEvent):
        return Node(list(_until(yaml.SequenceEndEvent, rest, yaml, depth)), line)
    if isinstance(event, yaml.MappingStartEvent):
        return _map(list(_until(yaml.MappingEndEvent, rest, yaml, depth)), line)
    plain = bool(event.implicit[0])
    return Node(scalar(event.value, line) if plain else event.value, line, event.value, plain)


def _until(end: type, rest: Iterator[Any], yaml: Any, depth: int) -> Iterator[Node]:
    for event in rest:
        if isinstance(event, end):
            return
        yield _node(event, rest, yaml, depth + 1)


def _map(nodes: list[Node], line: int) -> Node:
    keys, values = nodes[::2], nodes[1::2]
    for key in keys:
        if isinstance(key.value, list | dict):
            raise UnreadableError(key.line, "has a list or a map for a key, which no appspec has; write a word")
        if key.value == "<<":
            raise UnreadableError(
                key.line,
                "merges another map with <<, and the agent refuses the alias that names one; write its keys out",
            )
    return Node({key.value: value for key, value in zip(keys, values, strict=True)}, line, keys=tuple(keys))


def scalar(text: str, line: int = 0) -> bool | int | float | str | None:
    """What a plain (unquoted) scalar is to Psych. Raises UnreadableError for what loading safely refuses."""
    if text == "":
        return None
    if _WORD.match(text) or "\n" in text:
        return _word(text)
    if _TIME.fullmatch(text) or _DATE.fullmatch(text):
        raise UnreadableError(line, f"has the date {text}, which the agent refuses (DisallowedClass); put it in quotes")
    if re.fullmatch(r"[-+]?\.inf", text, re.IGNORECASE):
        return float(text.replace(".", ""))
    if text.lower() == ".nan":
        return float("nan")
    if re.match(r":.", text):
        raise UnreadableError(line, f"has {text[:40]}, which Ruby reads as a symbol and not as text; put it in quotes")
    try:
        return _number(text)
    except ValueError as error:
        raise UnreadableError(line, f"has {text[:40]}, which Ruby takes for a bad number; put it in quotes") from error


def _word(text: str) -> bool | str | None:
    lower = text.lower()
    if lower in ("~", "null"):
        return None
    if lower in ("yes", "true", "on"):
        return True
    return False if lower in ("no", "false", "off") else text


def _number(text: str) -> int | float | str:
    if _SIXTIES.fullmatch(text):
        # Psych counts the places from the left: of two, the first is hours.
        parts = [float(p.replace("_", "")) * 60 ** abs(i - 2) for i, p in enumerate(text.split(":"))]
        return sum(parts) if "." in text else int(sum(parts))
    if _FLOAT.fullmatch(text):
        return text if re.fullmatch(r"[-+]?\.", text) else float(re.sub(r"[,_]", "", text))
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 300:
        return text
    base = next(name for name in _BASES if match[name])
    return int(match["sign"] + (re.sub(r"[,_]", "", match[base]) or "0"), _BASES[base])
