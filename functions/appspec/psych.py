"""YAML as the CodeDeploy agent reads it: with Ruby's Psych, loading safely. Pure.

The scanner is libyaml, as in Psych; ``scalar`` decides what a plain word means. PyYAML's own scanner is the fallback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from appspec.node import Node
from appspec.scalar import scalar

DEEPEST = 20  # levels; an appspec needs five, and libyaml's time grows with the square of the depth


class UnreadableError(Exception):
    """The agent cannot read the document: the line (from 1) and a sentence with the fix."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


def read(document: bytes) -> tuple[Node, int]:
    """The first document of a YAML text, and the line of a second document (0 if there is only one).

    An empty text is a null. Raises UnreadableError.
    """
    try:
        text = document.decode()
    except UnicodeDecodeError as error:
        line = document.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, "is not UTF-8, which the agent cannot read; save it as UTF-8") from error
    if text.startswith("\ufeff"):
        raise UnreadableError(1, "begins with a byte order mark, which the agent cannot read; save it without")
    events = _events(text)
    if next((e for e in events if _is(e, "DocumentStart")), None) is None:
        return Node(None, 1), 0
    first = _node(next(events), events)
    return first, next((_line(e) for e in events if _is(e, "DocumentStart")), 0)


def _events(text: str) -> Iterator[Any]:
    """The parser's events; reading stops at the first event that is nested too deep."""
    import yaml  # takes 12 ms, and only a repository with its own appspec.yml needs it

    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += _is(event, "SequenceStart", "MappingStart") - _is(event, "SequenceEnd", "MappingEnd")
            if depth > DEEPEST:
                raise UnreadableError(_line(event), f"is nested deeper than {DEEPEST} levels; write it flat")
            yield event
    except yaml.YAMLError as error:
        raise _syntax(error, text) from error


def _is(event: Any, *names: str) -> bool:
    return type(event).__name__.removesuffix("Event") in names


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax(error: Any, text: str) -> UnreadableError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    rows = text.splitlines()
    if 0 < line <= len(rows) and re.match(r"\s*\t", rows[line - 1]):
        return UnreadableError(line, "is indented with a tab, which the agent's YAML reader refuses; write spaces")
    return UnreadableError(line, f"is not YAML ({what}), and the agent stops there; correct this line or the one above")


def _node(event: Any, rest: Iterator[Any]) -> Node:
    line = _line(event)
    if _is(event, "Alias"):
        text = f"uses the alias *{event.anchor[:40]}, which the agent refuses (BadAlias); write the value out"
        raise UnreadableError(line, text)
    if event.tag and not event.tag.startswith("tag:yaml.org,2002:str"):
        raise UnreadableError(line, f"has the tag {event.tag[:60]}; write the plain value, without a tag")
    if _is(event, "SequenceStart"):
        return Node(list(_children(rest)), line)
    if _is(event, "MappingStart"):
        return _map(list(_children(rest)), line)
    plain = bool(event.implicit[0])
    try:
        return Node(scalar(event.value) if plain else event.value, line, event.value, plain)
    except ValueError as error:
        raise UnreadableError(line, str(error)) from error


def _children(rest: Iterator[Any]) -> Iterator[Node]:
    for event in rest:
        if _is(event, "SequenceEnd", "MappingEnd"):
            return
        yield _node(event, rest)


def _map(nodes: list[Node], line: int) -> Node:
    keys, values = nodes[::2], nodes[1::2]
    for key in keys:
        if isinstance(key.value, list | dict):
            raise UnreadableError(key.line, "has a list or a map as a key, which no appspec has; write a word")
        if key.value == "<<":
            text = "merges another map with <<, which needs an alias, and the agent refuses aliases; write its keys out"
            raise UnreadableError(key.line, text)
    return Node({key.value: value for key, value in zip(keys, values, strict=True)}, line, keys=tuple(keys))
