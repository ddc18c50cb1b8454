"""What a receipt holds: its links, its faults, and what AWS says about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Verdict = Literal["ok", "differs", "gone", "untold"]


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is, what its row says, and that row's hash as it is now."""

    what: str
    says: str
    row: str
    sha256: str


@dataclass(frozen=True)
class Fault:
    """A row that is not what it was, or a place where the chain does not hold, and what is wrong there."""

    row: str
    says: str


@dataclass(frozen=True)
class Evidence:
    """What AWS itself says about a link. ``gone``: it knows it no more; ``untold``: it may not be asked."""

    what: str
    verdict: Verdict
    says: str


@dataclass(frozen=True)
class Checkpoints:
    """Which of the stage's checkpoints were looked at: from which rollout to which, and the newest there is."""

    first: int
    last: int
    newest: str
    newest_rollout: int
    unseen: str = ""  # the rollouts that were not looked at, of those in between


@dataclass(frozen=True)
class Receipt:
    """A release's last finished rollout on a stage, from the event to what the hosts answered."""

    service: str
    release: str
    stage: str
    rollout: int
    checkpointed_at: datetime | None
    sha256: str
    before: str
    rows: int
    links: tuple[Link, ...]
    faults: tuple[Fault, ...]
    later: tuple[str, ...]  # rows of the release that the checkpoint does not cover
    checkpoints: Checkpoints
    evidence: tuple[Evidence, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether nothing is altered, and AWS contradicts nothing."""
        return not self.faults and all(asked.verdict != "differs" for asked in self.evidence)
