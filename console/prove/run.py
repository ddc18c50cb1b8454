"""One proof from end to end: walk, always clean up, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from console.prove.cleaning import Leaving, clean
from console.prove.cost import Charge, charges, minutes_built
from console.prove.item import ProofItem
from console.prove.items import ITEMS
from console.prove.notes import ProofNotes
from console.prove.report import report
from console.prove.site import ProofSite
from console.prove.walk import walk

Say = Callable[[str], None]


def prove(
    site: ProofSite, notes: ProofNotes, told: Path, say: Say, items: Sequence[ProofItem] = ITEMS
) -> list[Leaving]:
    """Walk what is not settled yet, then clean up, whatever ended the walk; what could not be removed."""
    try:
        walk(items, site, notes, say)
    finally:
        left = clean_up(site, notes, told, say, items)
    return left


def clean_up(
    site: ProofSite, notes: ProofNotes, told: Path, say: Say, items: Sequence[ProofItem] = ITEMS
) -> list[Leaving]:
    """Remove what was made and write the report; what could not be removed. The notes go once nothing is left."""
    bill = _bill(site, notes)
    notes.ended = site.now().isoformat()
    notes.write()  # before anything is removed: what a clean-up has begun on cannot be walked on
    left = clean(site, notes.account, say)
    told.write_text(report(items, notes, bill, left, site.real), encoding="utf-8")
    if not left:
        notes.file.unlink()
    return left


def _bill(site: ProofSite, notes: ProofNotes) -> list[Charge]:
    if not site.real:
        return []
    hours = (site.now() - datetime.fromisoformat(notes.began)).total_seconds() / 3600
    return charges(notes.architecture, hours, minutes_built(site.client, f"{site.service}-build"))
