"""One problem of a bundle, the comment that accepts it, and the words that problems share. Pure.

An *error* is refused by the agent on the host and cannot be accepted. A *trap* is something that the agent does not
notice. A trap has a name, and a comment in the same file accepts it: ``# esteira: allow background-child``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from appspec.node import Node

NAME = "appspec.yml"
_ALLOW = re.compile(r"#[ \t]*esteira:[ \t]*allow[ \t]+([a-z-]+(?:[ \t]*,[ \t]*[a-z-]+)*)")


@dataclass(frozen=True)
class File:
    """A file of the bundle, in memory."""

    content: bytes
    executable: bool = False


class BundleFile(Protocol):
    """A file of the bundle: in memory, or read from a disk each time its content is asked for."""

    @property
    def content(self) -> bytes:
        """Its bytes."""

    @property
    def executable(self) -> bool:
        """Whether it is marked so in the commit."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where; line 0 is the whole file. ``trap`` is the name of a trap, "" for an error."""

    line: int
    text: str
    trap: str = ""
    path: str = NAME

    def __str__(self) -> str:
        place = f"{self.path} line {self.line}" if self.line else self.path
        accept = f" (if you mean it: # esteira: allow {self.trap})" if self.trap else ""
        return f"{place} {self.text}{accept}"


Problems = Iterator[Problem]


def allowed(content: bytes) -> set[str]:
    """The traps that the comments of a file accept."""
    text = content.decode(errors="replace")
    return {name.strip() for match in _ALLOW.finditer(text) for name in match[1].split(",")}


def unknown_keys(node: Node, known: Sequence[str], what: str) -> Problems:
    """The keys of a map that the agent ignores."""
    for key in node.keys:
        if key.value not in known:
            text = f"has the {what} {shown(key)}, which the agent ignores{meant(key.text, known)}"
            yield Problem(key.line, text, "unknown-key")


def meant(word: str, known: Sequence[str]) -> str:
    """ "; did you mean …?" if a known word is similar, else the known words."""
    lower = {k.lower().replace("_", ""): k for k in known}
    near = get_close_matches(re.sub(r"[^a-z]", "", word.lower()), lower, 1, 0.75)
    return f"; did you mean {lower[near[0]]}?" if near else f"; the known ones are {', '.join(known)}"


def meant_path(path: str, files: Collection[str]) -> str:
    """ "; did you mean …?" if the bundle has a similar path, else ""."""
    same = [p for p in files if p.lower() == path.lower()]
    near = same or get_close_matches(path, files, 1, 0.8)
    return f"; did you mean {short(near[0])}?" if near else ""


def shown(node: Node, *, bare: bool = False) -> str:
    """A value as written, shortened; quoted if it was quoted, unless ``bare``."""
    if isinstance(node.value, list | dict):
        return node.kind
    text = short(node.text)
    return text if node.plain or bare else f'"{text}"'


def short(text: str) -> str:
    """A text on one line of at most 60 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"
