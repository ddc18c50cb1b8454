"""Where the secrets of a text are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.assigned import assigned
from guard.formats import formatted
from guard.logins import logins
from guard.values import is_hole


@dataclass(frozen=True)
class Secret:
    """A secret in a text: from where to where, and what it is called."""

    start: int
    end: int
    kind: str


def secrets(text: str, path: str = "") -> Iterator[Secret]:
    """Every secret of a text. One place may be found by several rules. ``path`` tells code from configuration."""
    for start, end, kind in formatted(text):
        if "private key" in kind or not is_hole(text[start:end]):
            yield Secret(start, end, kind)
    lower = text.lower()
    if len(lower) != len(text):  # a letter whose small form is two
        lower = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    for start, end, kind in (*logins(text, lower), *assigned(text, lower, path)):
        yield Secret(start, end, kind)
