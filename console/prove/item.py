"""One thing to be proven: the claim, how it is provoked, what is evidence for or against it, how long to look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from console.prove.site import ProofSite

ProofVerdict = Literal["proven", "refuted", "not seen"]


@dataclass(frozen=True)
class ProofOutcome:
    """What came of one item: the verdict, and the evidence in one sentence."""

    verdict: ProofVerdict
    evidence: str


def proven(evidence: str) -> ProofOutcome:
    """What was claimed was seen."""
    return ProofOutcome("proven", evidence)


def refuted(evidence: str) -> ProofOutcome:
    """The opposite of what was claimed was seen."""
    return ProofOutcome("refuted", evidence)


def not_seen(evidence: str) -> ProofOutcome:
    """Neither was seen, and the sentence says why."""
    return ProofOutcome("not seen", evidence)


def nothing(_: ProofSite) -> None:
    """An item that only looks."""


@dataclass(frozen=True)
class ProofItem:
    """``look`` is asked until it gives an outcome, or for ``minutes``. ``needed``: without it the walk ends, since no
    later item could be seen."""

    name: str
    claim: str
    provoked: str
    minutes: float
    look: Callable[[ProofSite], ProofOutcome | None]
    provoke: Callable[[ProofSite], None] = nothing
    needed: bool = False
