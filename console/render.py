"""How what ``history`` gathered looks: in colour and in tables where a person reads, plain where it is piped, or JSON.

Text from outside (reasons, logs, commit names) is never read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.history import Account, Line, Said, StageStatus
from console.remains import Kept
from console.replay import Returned
from console.sentences import short
from console.services import Outcome
from console.verdict import Line as Examined
from esteira.facts import stamp

_COLOURS = {
    "pushed": "cyan",
    "building": "cyan",
    "built": "cyan",
    "waiting": "yellow",
    "deploying": "bold cyan",
    "live": "bold green",
    "superseded": "dim",
    "failed": "bold red",
    "aborted": "red",
    "rolled back": "magenta",
    "rejected": "bold red",
    "skipped": "dim",
}

# What the controller noted for itself: there for who looks for it, and not in the way of who does not.
_QUIET = {"claimed", "settled", "announced", "deployment-begun", "instance-reported"}


def document(value: Any) -> str:
    """Return ``value`` (dataclasses, times and plain values) as one JSON document."""

    def plain(thing: Any) -> Any:
        if isinstance(thing, datetime):
            return stamp(thing)
        if is_dataclass(thing) and not isinstance(thing, type):
            return asdict(thing)
        raise TypeError(f"{type(thing).__name__} has no form in JSON")

    return json.dumps(value, default=plain, indent=2, ensure_ascii=False)


def status(out: Console, stages: Iterable[StageStatus], remotes: dict[str, str], now: datetime) -> None:
    """Print how the stages stand; ``remotes`` tells where a service is pushed to, where that is known."""
    for n, stage in enumerate(stages):
        if n:
            out.print()
        out.print(Text(f"{stage.service} on {stage.stage}", style="bold"))
        _row(out, "live", _live(stage, remotes, now))
        for line in stage.under_way:
            _row(out, "under way", Text.assemble(_named(line), " is ", _phase(line.phase), f": {line.why}"))
            _log(out, line.log)
        for sentence in (*stage.arrived, *filter(None, [stage.ordered])):
            _row(out, "waiting", Text(sentence))
        if stage.hold is not None:
            hold = stage.hold
            until = f"{_time(hold.until)} (for {_span(hold.until - now)} more)"
            text = f"{hold.by} holds {stage.stage} until {until}: {hold.reason}. Next: esteira resume"
            _row(out, "hold", Text(text, style="yellow"))


def releases(out: Console, lines: Sequence[Line], service: str) -> None:
    """Print a table of releases."""
    if not lines:
        out.print(Text(f"{service} has no release yet. Next: git push"))
        return
    heads = ("release", "phase", "commit", "tag", "class", "pushed (UTC)", "why")
    rows = [
        (
            Text(line.release, style="bold"),
            _phase(line.phase),
            Text(short(line.commit) or "-"),
            Text(line.tag or "-"),
            Text(_classes(line, out) or "-"),
            Text(f"{line.pushed_at:%Y-%m-%d %H:%M}"),
            Text(line.why),
        )
        for line in lines
    ]
    _table(out, heads, rows)


def account(out: Console, told: Account) -> None:
    """Print everything about one release."""
    line = told.line
    out.print(Text.assemble((f"{told.service} {line.release}", "bold"), " is ", _phase(line.phase), f": {line.why}"))
    _log(out, line.log)
    out.print()
    for name, value in _particulars(told):
        _row(out, name, Text(value))
    out.print()
    for said in told.facts:
        _fact(out, said)


def why(out: Console, line: Line) -> None:
    """Print the one sentence, and the log lines that belong to it."""
    out.print(Text.assemble(_named(line), " is ", _phase(line.phase), f": {line.why}"))
    _log(out, line.log)


def answer(out: Console, said: str, about: str, told: dict[str, Any]) -> None:
    """Print what an operator's word came to: ``told`` is what ``operate`` answered. That may be about another release,
    which advanced at the same time; only one called ``about`` is of interest here."""
    out.print(Text(said, style="green"))
    if about and told.get("release") == about:
        first, *log = str(told["why"]).splitlines() or [""]
        out.print(Text.assemble((told["release"], "bold"), " is ", _phase(told["phase"]), f": {first}"))
        _log(out, log)


def doctor(out: Console, lines: Sequence[Examined]) -> None:
    """Print what was looked at, a line each, and at the end how much there is to do."""
    styles = {"ok": "green", "attend": "bold red", "skip": "dim"}
    width = max(len(line.check) for line in lines)
    for line in lines:
        mark = Text(f"{line.verdict:<8}", style=styles[line.verdict])
        out.print(
            Text.assemble(mark, f"{line.check:<{width}}  ", Text(line.says, style="dim" * (line.verdict == "skip")))
        )
    todo = sum(line.verdict == "attend" for line in lines)
    skipped = sum(line.verdict == "skip" for line in lines)
    more = f"; {skipped} could not be looked at" if skipped else ""
    out.print(Text(f"\n{todo or 'nothing'} to attend to{more}"))


def outcome(out: Console, told: Outcome) -> None:
    """Print what came of deploying a service: what changed, and what its stack says to type next."""
    if told.status == "unchanged":
        out.print(Text(f"{told.stack} is as it was asked for; nothing to change"))
    for change in told.changes:
        anew = {"True": ", made anew", "Conditional": ", perhaps made anew"}.get(change.replaces, "")
        out.print(Text(f"  {change.action.lower():<8}{change.resource:<20}{change.type}{anew}"))
    if told.status == "not executed":
        out.print(Text(f"nothing was changed in {told.stack}. Next: the same without --dry-run"))
    elif told.status != "unchanged":
        out.print(Text(f"{told.stack} is {told.status}", style="bold green"))
    for value, description in told.outputs.values():
        out.print(Text.assemble(f"\n{value}\n", (f"    {description}", "dim")))


def kept(out: Console, what: str, rows: Sequence[Kept]) -> None:
    """Print what outlives its stack, each with the command that removes it for good."""
    if not rows:
        out.print(Text(f"{what} leaves nothing that holds data"))
        return
    out.print(Text(f"{what}; what holds data stays until you remove it:"))
    for row in rows:
        size = f", {row.size}" if row.size else ""
        out.print(Text.assemble(f"\n{row.kind} {row.name}: {row.holds}{size}\n    ", (row.remove, "dim")))


def returned(out: Console, row: Returned) -> None:
    """Print what a function returned for a replayed file."""
    parts: list[Any] = [(row.file, "bold"), f" → {row.function or 'nobody'}: "]
    first, *log = row.why.splitlines() or [""]
    if row.error:
        parts.append((row.error, "red"))
    elif row.release:
        parts += [f"{row.service} {row.release} is ", _phase(row.phase), f": {first}"]
    else:
        parts.append((first, "dim"))
    out.print(Text.assemble(*parts))
    _log(out, log)


# --- parts ----------------------------------------------------------------------------------------------------------


def _live(stage: StageStatus, remotes: dict[str, str], now: datetime) -> Text:
    live = stage.live
    if live is None:
        where = f"git push {remotes[stage.service]} main" if stage.service in remotes else "git push"
        return Text(f"nothing yet. Next: {where}", style="dim")
    name = f" ({short(live.commit) or live.tag})"
    since = f", since {_time(live.since)} ({_span(now - live.since)}): "
    return Text.assemble((live.release, _COLOURS["live"]), name, since, live.why)


def _named(line: Line) -> Text:
    return Text.assemble((line.release, "bold"), f" ({short(line.commit) or line.tag})")


def _particulars(told: Account) -> list[tuple[str, str]]:
    line = told.line
    more = told.changed_count - len(told.changed)
    changed = ", ".join(told.changed) + (f" and {more} more" if more > 0 else "")
    rows = [
        ("commit", line.commit),
        ("tag", line.tag),
        ("image", line.digest),
        ("pushed", _time(line.pushed_at)),
        ("attempt", str(told.attempt)),
        ("class", ", ".join(line.classes)),
        ("changed", changed),
        ("note", told.note),
        ("scan", told.findings),
        *(("build", f"{b.id} (attempt {b.attempt}): {b.status}") for b in told.builds),
        *(("deployment", f"{d.id} to {d.stage} (turn {d.turn}): {d.status}") for d in told.deployments),
    ]
    return [(name, value) for name, value in rows if value]


def _fact(out: Console, said: Said) -> None:
    style = "dim" if said.fact in _QUIET else ""
    out.print(Text.assemble((f"{said.at:%Y-%m-%d %H:%M:%S}  ", "dim"), (said.says, style)))
    _log(out, said.log)


def _row(out: Console, name: str, text: Text) -> None:
    out.print(Text.assemble((f"  {name:<11}", "dim"), text))


def _log(out: Console, lines: Iterable[str]) -> None:
    for line in lines:
        out.print(Text(f"    │ {line}", style="dim"))


def _phase(phase: str) -> Text:
    return Text(phase, style=_COLOURS.get(phase, ""))


def _table(out: Console, heads: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    if _is_wide(out):
        out.print(_drawn(heads, rows), soft_wrap=False)
        return
    texts = [[Text(head) for head in heads], *rows]
    widths = [max(len(row[n]) for row in texts) for n in range(len(heads) - 1)]
    for row in texts:
        cells = [Text.assemble(cell, " " * (width - len(cell) + 2)) for cell, width in zip(row, widths, strict=False)]
        out.print(Text.assemble(*cells, row[-1]))


def _is_wide(out: Console) -> bool:
    """Return whether a table is drawn; where it is not, the reason at its end runs on into the next line."""
    return out.is_terminal and out.width >= 100


def _drawn(heads: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """Return the table for a terminal: without the columns nobody has anything in, the last one as wide as can be."""
    used = [n for n in range(len(heads)) if any(row[n].plain != "-" for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for n in used:
        last = n == len(heads) - 1
        table.add_column(heads[n], no_wrap=not last, overflow="fold", min_width=32 if last else None)
    for row in rows:
        table.add_row(*(row[n] for n in used))
    return table


def _classes(line: Line, out: Console) -> str:
    """Return a release's classes: below one another in a drawn table, else as one word."""
    return ("\n" if _is_wide(out) else ",").join(line.classes)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span(length: timedelta) -> str:
    """Return a length of time as people say it, in its largest whole unit."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
