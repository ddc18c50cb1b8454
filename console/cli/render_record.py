"""How a receipt, decisions made again and a backtest look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.read.complete import split_log
from console.read.out import Out

if TYPE_CHECKING:
    from console.record.backtest_values import Backtest
    from console.record.decisions import Replayed
    from console.record.receipt_values import Receipt

_COLOURS = {
    "ok": "green",
    "same": "green",
    "partly": "green",
    "differs": "bold red",
    "unknown": "red",
    "gone": "dim",
    "untold": "yellow",
}
_WORDS = {"gone": "not there any more", "untold": "may not be asked", "partly": "same", "unknown": "not on record"}


def receipt(out: Out, told: Receipt) -> None:
    """Print a receipt: its links, its checkpoint, and what its check found."""
    out.print((f"{told.service} {told.release} on {told.stage}, rollout {told.rollout}", "bold"))
    for link in told.links:
        out.print((f"  {link.what:<11}", "dim"), link.says)
        out.print((f"  {'':<11}{link.sha256}  {link.row}", "dim"))
    if told.sha256:
        before = told.before or "none"
        out.print(("  checkpoint       ", "dim"), told.sha256)
        out.print((f"  {'':<11}over {told.rows} rows and the checkpoint before, {before}", "dim"))
    out.print()
    _checks(out, told)
    if told.later:
        out.print((f"  not under the checkpoint, of {told.release}: {len(told.later)} rows that came after it", "dim"))
    out.print()
    newest = told.checkpoints
    out.print(f"The newest checkpoint of {told.stage}, of rollout {newest.newest_rollout}; keep it outside the table:")
    out.print((newest.newest, "bold"))


def _checks(out: Out, told: Receipt) -> None:
    for asked in told.evidence:
        _verdict(out, asked.verdict, f"{asked.what}: {asked.says}")
    for fault in told.faults:
        _verdict(out, "differs", f"{fault.row}: {fault.says}", "altered")
    if not told.faults:
        looked = told.checkpoints
        left_out = f"; rollouts {looked.unseen} were not looked at (--all)" if looked.unseen else ""
        _verdict(out, "ok", f"all {told.rows} rows of the rollout are as they were checkpointed")
        _verdict(out, "ok", f"the checkpoints from rollout {looked.first} to {looked.last} hold together{left_out}")


def decisions(out: Out, service: str, label: str, replayed: tuple[Replayed, ...]) -> None:
    """Print every decision that was made again."""
    for d in replayed:
        word = (f"{_WORDS.get(d.verdict, d.verdict):<13}", _COLOURS[d.verdict])
        when = (f"{d.at:%Y-%m-%d %H:%M:%S}  ", "dim")
        out.print(word, when, (d.action, "bold"), f": {split_log(d.why)[0]}")
        if d.verdict != "same":
            out.print(f"{'':<13}{d.says}")
        for name in d.missing:
            out.print((f"{'':<13}not on record: {name}", "dim"))
    same = sum(d.holds for d in replayed)
    style = "bold green" if same == len(replayed) else "bold red"
    out.print((f"{same} of {len(replayed)} decisions about {service} {label} come out the same", style))


def backtest(out: Out, told: Backtest) -> None:
    """Print the releases that would have ended differently."""
    for line in told.otherwise:
        out.print((f"{told.service} {line.release}", "bold"))
        for change in line.changes:
            out.print((f"  {change.at:%Y-%m-%d %H:%M}  ", "dim"), (change.rule, "yellow"), f": {change.why}")
    for label, why in told.unknown.items():
        out.print((f"{told.service} {label} cannot be told: {why}", "red"))
    for note in told.notes:
        out.print((note, "dim"))
    many = len(told.otherwise)
    out.print(
        (f"{many} of the last {told.looked_at} releases would have gone otherwise, {told.same} would not", "bold")
    )


def _verdict(out: Out, verdict: str, says: str, word: str = "") -> None:
    out.print("  ", (word or _WORDS.get(verdict, verdict), _COLOURS[verdict]), f"  {says}")
