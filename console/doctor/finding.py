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
    """A line about what is in order."""
    return Finding(check, "ok", says)


def attend(check: str, says: str) -> Finding:
    """A line about what needs attention, with what to do."""
    return Finding(check, "attend", says)


def skip(check: str, says: str) -> Finding:
    """A line about what could not be asked, or need not be."""
    return Finding(check, "skip", says)


def unsaid(check: str, silence: Silence) -> Finding:
    """A line about what AWS did not tell."""
    return skip(check, silence.why)


def many(count: int, one: str, more: str) -> str:
    """A count with its noun."""
    return f"{count} {one if count == 1 else more}"
