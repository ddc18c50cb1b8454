"""The report of a proof, in Markdown: what was proven, refuted and not seen, what it cost, and what was left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from console.prove.cleaning import Leaving
from console.prove.cost import Charge
from console.prove.item import ProofItem, not_seen
from console.prove.notes import ProofNotes


def report(
    items: Sequence[ProofItem], notes: ProofNotes, charges: Iterable[Charge], left: Sequence[Leaving], real: bool
) -> str:
    """The whole text."""
    missing = not_seen("the walk did not come to it")
    rows = [(item, notes.outcomes.get(item.name, missing)) for item in items]
    counts = Counter(outcome.verdict for _, outcome in rows)
    where = f"account {notes.account}, {notes.region}" if real else "a local AWS, which proves nothing"
    text = [
        f"# esteira prove: {where}",
        "",
        f"From {notes.began} to {notes.ended or 'now'}: stack `{notes.stack}`, service `{notes.service}`.",
        f"Processor: {notes.architecture}.",
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("proven", "refuted", "not seen")) + ".",
        "",
        "| item | claim | provoked by | verdict | evidence |",
        "|---|---|---|---|---|",
    ]
    for item, outcome in rows:
        cells = (item.name, item.claim, item.provoked, f"**{outcome.verdict}**", outcome.evidence)
        text.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join([*text, "", *_cost(charges), "", *_left(left), ""])


def _cost(charges: Iterable[Charge]) -> list[str]:
    rows = list(charges)
    total = sum(row.dollars for row in rows)
    head = f"It cost about ${total:.2f}, computed from what it used (us-east-1's prices, not read at AWS's own pages):"
    return [head, "", *(f"- {row.what}: {row.amount:.2f} {row.unit}, ${row.dollars:.3f}" for row in rows)]


def _left(left: Sequence[Leaving]) -> list[str]:
    if not left:
        return ["Everything that was made is removed."]
    return ["Could not be removed:", "", *(f"- {one.what}: {one.why}. Next: `{one.remove}`" for one in left)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
