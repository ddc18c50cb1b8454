"""The state file of a proof: what was made under which names, and which items are settled. By it a proof that was
interrupted goes on, and a clean-up knows what is its own."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from console.prove.item import ProofOutcome
from console.read.where import REFUSED, TroubleError
from console.read.writing import write_whole


@dataclass
class ProofNotes:
    """What is known of one proof. ``began`` and ``ended`` are ISO 8601, "" before."""

    file: Path
    account: str
    region: str
    stack: str
    service: str
    architecture: str
    began: str
    ended: str = ""
    commits: dict[str, str] = field(default_factory=dict)
    provoked: list[str] = field(default_factory=list)
    outcomes: dict[str, ProofOutcome] = field(default_factory=dict)

    def write(self) -> None:
        """Put it on disk, whole or not at all."""
        row = asdict(self) | {"file": str(self.file)}
        write_whole(self.file, json.dumps(row, indent=2) + "\n")


def fresh(file: Path, account: str, region: str, architecture: str, now: datetime) -> ProofNotes:
    """Notes of a proof that begins, under names that nothing else bears."""
    mark = secrets.token_hex(3)
    return ProofNotes(file, account, region, f"prove-{mark}", f"proof-{mark}", architecture, now.isoformat())


def kept_notes(file: Path) -> ProofNotes | None:
    """The notes in ``file``, None where there are none. Raises TroubleError where they cannot be read."""
    if not file.exists():
        return None
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        outcomes = {name: ProofOutcome(**told) for name, told in row.pop("outcomes").items()}
        return ProofNotes(**{**row, "file": file, "outcomes": outcomes})
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise TroubleError(
            f"{file} cannot be read, so it is not known what was made. Next: look for stacks called prove-* in the "
            f"account, delete them, and remove the file",
            REFUSED,
        ) from None
