"""``esteira receipt``, ``replay-decision`` and ``backtest``: what is asked, and how the answers look."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from console.cli.call import Call
from console.read.remote import FAILED, REFUSED, TroubleError
from console.record.as_of import Rows
from console.record.backtest import Backtest
from console.record.receipt import Receipt
from console.record.replay import Replayed
from esteira.aws import Aws

if TYPE_CHECKING:
    from rich.console import Console

# A claim's lease is no part of a decision's reason; any will do.
LEASE = timedelta(seconds=120)
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


def receipt(call: Call, label: str, stage: str, *, whole: bool) -> None:
    """Print a release's receipt; exit with 1 where it does not hold."""
    from console.record.receipt import receipt as made

    service = call.service()
    names = [s.name for s in service.stages]
    if stage not in ("", *names):
        raise TroubleError(
            f"{service.name} has no stage {stage!r}. Next: --stage with one of: {', '.join(names)}", REFUSED
        )
    aws = Aws(call.controller.client)
    told = made(rows_of(call), service, int(label[1:]), stage or service.last.name, whole=whole, aws=aws)
    call.tell({"holds": told.holds, **vars(told)}, lambda out: _print_receipt(out, told))
    if not told.holds:
        raise SystemExit(FAILED)


def replay(call: Call, label: str) -> None:
    """Print every decision of a release, made again; exit with 1 where one does not come out the same."""
    from console.record.replay import Gone
    from console.record.replay import replay as made

    service, rows = call.service(), rows_of(call)
    try:
        decisions = made(rows, service.name, int(label[1:]), LEASE)
    except Gone as gone:
        raise TroubleError(f"{gone}. Next: esteira receipt {label}") from None
    if not decisions:
        raise TroubleError(
            f"no decision about {label} is on record; they are kept for 400 days. Next: esteira releases", REFUSED
        )
    holds = all(d.holds for d in decisions)
    document = {"service": service.name, "release": label, "holds": holds, "decisions": decisions}
    call.tell(document, lambda out: _print_decisions(out, service.name, label, decisions))
    if not holds:
        raise SystemExit(FAILED)


def backtest(call: Call, config: Path, limit: int) -> None:
    """Print which of the last releases would have gone otherwise under the registration in a file."""
    from console.record.backtest import backtest as made
    from console.record.backtest import merged

    service = call.service()
    try:
        given = json.loads(config.read_text())
    except OSError as error:
        raise TroubleError(f"{config} cannot be read: {error.strerror}. Next: name a JSON file", REFUSED) from None
    except ValueError as error:
        raise TroubleError(f"{config} is not JSON: {error}. Next: correct it and try again", REFUSED) from None
    told = made(rows_of(call), service, merged(service, given), limit, LEASE)
    call.tell(told, lambda out: _print_backtest(out, told))


def rows_of(call: Call) -> Rows:
    """Return the table's rows, with the operator's own credentials."""
    return Rows(call.controller.client("dynamodb"), call.controller.table)


def _print_receipt(out: Console, told: Receipt) -> None:
    out.print(Text(f"{told.service} {told.release} on {told.stage}, rollout {told.rollout}", style="bold"))
    for link in told.links:
        out.print(Text.assemble((f"  {link.what:<11}", "dim"), link.says))
        out.print(Text(f"  {'':<11}{link.sha256}  {link.row}", style="dim"))
    if told.sha256:
        out.print(Text.assemble(("  checkpoint       ", "dim"), told.sha256))
        out.print(
            Text(f"  {'':<11}over {told.rows} rows and the checkpoint before, {told.before or 'none'}", style="dim")
        )
    out.print()
    for asked in told.evidence:
        _verdict(out, asked.verdict, f"{asked.what}: {asked.says}")
    for fault in told.faults:
        _verdict(out, "differs", f"{fault.row}: {fault.says}", "altered")
    if not told.faults:
        _verdict(out, "ok", f"all {told.rows} rows of the rollout are as they were checkpointed")
        checkpoints = told.checkpoints
        left_out = f"; rollouts {checkpoints.unseen} were not looked at (--all)" if checkpoints.unseen else ""
        _verdict(
            out, "ok", f"the checkpoints from rollout {checkpoints.first} to {checkpoints.last} hold together{left_out}"
        )
    if told.later:
        out.print(
            Text(f"  not under the checkpoint, of {told.release}: {len(told.later)} rows that came after it", "dim")
        )
    out.print()
    out.print(
        f"The newest checkpoint of {told.stage}, of rollout {told.checkpoints.newest_turn}; keep it outside the table:"
    )
    out.print(Text(told.checkpoints.newest, style="bold"))


def _print_decisions(out: Console, service: str, label: str, decisions: tuple[Replayed, ...]) -> None:
    for d in decisions:
        word = (f"{_WORDS.get(d.verdict, d.verdict):<13}", _COLOURS[d.verdict])
        when = (f"{d.at:%Y-%m-%d %H:%M:%S}  ", "dim")
        out.print(Text.assemble(word, when, (d.action, "bold"), f": {d.why.partition(chr(10))[0]}"))
        if d.verdict != "same":
            out.print(Text(f"{'':<13}{d.says}"))
        for name in d.missing:
            out.print(Text(f"{'':<13}not on record: {name}", style="dim"))
    same = sum(d.holds for d in decisions)
    style = "bold green" if same == len(decisions) else "bold red"
    out.print(Text(f"{same} of {len(decisions)} decisions about {service} {label} come out the same", style=style))


def _print_backtest(out: Console, told: Backtest) -> None:
    for line in told.otherwise:
        out.print(Text(f"{told.service} {line.release}", style="bold"))
        for change in line.changes:
            out.print(
                Text.assemble((f"  {change.at:%Y-%m-%d %H:%M}  ", "dim"), (change.rule, "yellow"), f": {change.why}")
            )
    for label, why in told.unknown.items():
        out.print(Text(f"{told.service} {label} cannot be told: {why}", style="red"))
    for note in told.notes:
        out.print(Text(note, style="dim"))
    counted = (
        f"{len(told.otherwise)} of the last {told.looked_at} releases would have gone otherwise, {told.same} would not"
    )
    out.print(Text(counted, style="bold"))


def _verdict(out: Console, verdict: str, says: str, word: str = "") -> None:
    out.print(Text.assemble("  ", (word or _WORDS.get(verdict, verdict), _COLOURS[verdict]), f"  {says}"))
