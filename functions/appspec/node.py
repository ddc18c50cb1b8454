"""A value of a YAML document with its line, and the questions that the agent's Ruby code asks of it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """One value: None, bool, int, float, str, a list of nodes, or a dict of nodes by key.

    ``text`` is a scalar as written, without quotes; ``plain`` means that it had no quotes. ``keys`` are the keys of a
    map as written, including duplicates.
    """

    value: Any
    line: int
    text: str = ""
    plain: bool = False
    keys: tuple[Node, ...] = field(default=(), repr=False)

    @property
    def absent(self) -> bool:
        """Whether the value is null or false, which are the same to Ruby's ``if``."""
        return self.value is None or self.value is False

    @property
    def kind(self) -> str:
        """The kind of the value, for a message."""
        return "a map" if isinstance(self.value, dict) else "a list" if isinstance(self.value, list) else "a word"

    @property
    def items(self) -> list[Node] | None:
        """The entries of a list; empty for an absent value or an empty map; None for anything the agent fails on."""
        if self.absent or self.value == {}:
            return []
        return self.value if isinstance(self.value, list) else None

    @property
    def maps(self) -> list[Node]:
        """The entries of a list that are maps."""
        return [item for item in self.items or () if isinstance(item.value, dict)]

    def get(self, key: str) -> Node | None:
        """The value under a key of a map; None if it is missing or null."""
        found: Node | None = self.value.get(key)
        return None if found is None or found.value is None else found

    def section(self, key: str) -> Node:
        """The value under a key; a null node if it is missing or this is no map."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return found or Node(None, 0)


def to_s(node: Node | None) -> str:
    """A scalar as Ruby's ``to_s`` writes it, stripped; "" for null, a list or a map."""
    if node is None or node.value is None or isinstance(node.value, list | dict):
        return ""
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value).strip()


def to_i(node: Node) -> int | None:
    """A scalar as Ruby's ``to_i`` reads it; None for a value without ``to_i``."""
    value = node.value
    if isinstance(value, str):
        match = re.match(r"\s*([-+]?\d+(?:_\d+)*)", value[:40])
        return int(match[1].replace("_", "")) if match else 0
    if isinstance(value, bool | list | dict | None) or value in (float("inf"), float("-inf")) or value != value:
        return None
    return int(value)
