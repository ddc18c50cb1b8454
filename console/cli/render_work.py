"""How the rest looks: the answer to an operator's word, DORA's five keys, doctor's findings, a service's stack."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from console.cli.marks import log, phase, span
from console.read.complete import split_log
from console.read.out import Out

if TYPE_CHECKING:
    from console.cli.change_set import StackOutcome
    from console.doctor.finding import Finding
    from console.doctor.leftovers import Kept
    from console.read.dora import Keys


def answer(out: Out, said: str, about: str, told: dict[str, Any]) -> None:
    """Print what an operator's word came to. ``told`` is what ``operate`` answered, which may be about another release
    that advanced at the same time; it is printed only if it is about ``about``."""
    out.print((said, "green"))
    if about and told.get("release") == about:
        sentence, lines = split_log(str(told["why"]))
        out.print((told["release"], "bold"), " is ", phase(told["phase"]), f": {sentence}")
        log(out, lines)


def five_keys(out: Out, keys: Keys) -> None:
    """Print DORA's five keys, each with what it was computed from."""
    refused = ", ".join(f"{count} on {stage}" for stage, count in keys.refused.items())
    count, failed = len(keys.deployments), sum(d.restored_seconds is not None for d in keys.deployments)
    rows = (
        ("lead time", _length(keys.lead_seconds), "median, from the push until it was live"),
        (
            "deployments",
            f"{keys.per_week:.1f} a week",
            f"{count} in {keys.days} days; rollouts that ended otherwise: {refused}",
        ),
        (
            "failures",
            "-" if keys.failure_rate is None else f"{keys.failure_rate:.0%}",
            f"{failed} were rolled back from",
        ),
        ("restore", _length(keys.restore_seconds), "median, from when the bad release was live until its rollback was"),
        (
            "rework",
            "-" if keys.rework_rate is None else f"{keys.rework_rate:.0%}",
            f"{sum(d.rework for d in keys.deployments)} were the first one after a rollback",
        ),
    )
    out.print((f"{keys.service} on {keys.stage}", "bold"))
    for name, value, how in rows:
        out.print((f"  {name:<13}", "dim"), (f"{value:<19}", "bold"), (how, "dim"))


def _length(seconds: float | None) -> str:
    return "-" if seconds is None else span(timedelta(seconds=seconds))


def doctor(out: Out, findings: Sequence[Finding]) -> None:
    """Print a line for each thing that was checked, and at the end how much there is to do."""
    styles = {"ok": "green", "attend": "bold red", "skip": "dim"}
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        mark = (f"{finding.verdict:<8}", styles[finding.verdict])
        out.print(mark, f"{finding.check:<{width}}  ", (finding.says, "dim" * (finding.verdict == "skip")))
    todo = sum(finding.verdict == "attend" for finding in findings)
    skipped = sum(finding.verdict == "skip" for finding in findings)
    more = f"; {skipped} could not be looked at" if skipped else ""
    out.print()
    out.print(f"{todo or 'nothing'} to attend to{more}")


def outcome(out: Out, told: StackOutcome) -> None:
    """Print what came of deploying a service: what changed, and the outputs of its stack."""
    if told.status == "unchanged":
        out.print(f"{told.stack} is as it was asked for; nothing to change")
    for change in told.changes:
        anew = {"True": ", replaced", "Conditional": ", perhaps replaced"}.get(change.replaces, "")
        out.print(f"  {change.action.lower():<8}{change.resource:<20}{change.type}{anew}")
    if told.status == "not executed":
        out.print(f"nothing was changed in {told.stack}. Next: the same without --dry-run")
    elif told.status != "unchanged":
        out.print((f"{told.stack} is {told.status}", "bold green"))
    for value, description in told.outputs.values():
        out.print()
        out.print(value)
        out.print((f"    {description}", "dim"))


def kept(out: Out, what: str, rows: Sequence[Kept]) -> None:
    """Print what outlives its stack, each with the command that removes it for good."""
    if not rows:
        out.print(f"{what} leaves nothing that holds data")
        return
    out.print(f"{what}; what holds data stays until you remove it:")
    for row in rows:
        size = f", {row.size}" if row.size else ""
        out.print()
        out.print(f"{row.kind} {row.name}: {row.holds}{size}")
        out.print((f"    {row.remove}", "dim"))
