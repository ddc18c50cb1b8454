"""One line of `esteira doctor`: what was looked at, and what is to be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from console.doctor.observed import Silence

Verdict = Literal["ok", "attend", "skip"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    says: str


def ok(check: str, says: str) -> Finding:
    """Return a line of praise."""
    return Finding(check, "ok", says)


def attend(check: str, says: str) -> Finding:
    """Return a line of what is to be done."""
    return Finding(check, "attend", says)


def skip(check: str, says: str) -> Finding:
    """Return a line of what could not be asked, or need not be."""
    return Finding(check, "skip", says)


def unsaid(check: str, silence: Silence) -> Finding:
    """Return the line of what AWS did not tell."""
    return skip(check, silence.why)


def many(count: int, one: str, more: str) -> str:
    """Return how many there are, in words."""
    return f"{count} {one if count == 1 else more}"
