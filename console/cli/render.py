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

from console.cli.replay import Returned
from console.cli.services import Outcome
from console.doctor.finding import Line as Examined
from console.doctor.leftovers import Kept
from console.read.dora import Keys
from console.read.history import Account, Bypass, Hold, Line, Said, StageStatus, UnderWay
from console.read.openings import StageWindows
from console.read.sentences import short
from console.read.tail import Change, State
from esteira.fact import stamp

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
_QUIET = {
    *("claimed", "rollout-finished", "announced", "deployment-begun", "instance-reported"),
    *("bundled", "hosts-answered", "commit-pushed", "decided"),
}

_MARKS = {
    State.DONE: ("●", "green"),
    State.NOW: ("◐", "bold cyan"),
    State.ENDED: ("✗", "red"),
    State.AHEAD: ("○", "dim"),
}
_LOUD = "bold reverse red"


def document(value: Any, indent: int | None = 2) -> str:
    """Return ``value`` (dataclasses, times and plain values) as one JSON document; without ``indent``, in one line."""

    def plain(thing: Any) -> Any:
        if isinstance(thing, datetime):
            return stamp(thing)
        if is_dataclass(thing) and not isinstance(thing, type):
            return asdict(thing)
        raise TypeError(f"{type(thing).__name__} has no form in JSON")

    return json.dumps(value, default=plain, indent=indent, ensure_ascii=False)


def status(out: Console, stages: Iterable[StageStatus], remotes: dict[str, str], now: datetime) -> None:
    """Print how the stages stand; ``remotes`` tells where a service is pushed to, where that is known."""
    stages, known = tuple(stages), ""
    several = {s.service for s in stages if sum(other.service == s.service for other in stages) > 1}
    for n, stage in enumerate(stages):
        if n:
            out.print()
        out.print(Text(f"{stage.service} on {stage.stage}", style="bold"))
        _row(out, "live", _live(stage, remotes, now, first=stage.service != known))
        known = stage.service
        if stage.live and stage.live.alarm:
            _row(out, "alarm", Text(stage.live.alarm, style="bold red"))
        for under_way in stage.under_way:
            _under_way(out, under_way, now)
        for sentence in (*stage.arrived, *filter(None, [stage.ordered])):
            _row(out, "waiting", Text(sentence))
        if stage.hold is not None:
            named = f" --stage {stage.stage}" if stage.service in several else ""
            text = f"{_held(stage.stage, stage.hold, now)}. Next: esteira resume{named}"
            _row(out, "hold", Text(text, style="yellow"))
        for bypass in stage.bypasses:
            _bypassed(out, bypass, now)


def releases(out: Console, lines: Sequence[Line], service: str) -> None:
    """Print a table of releases."""
    if not lines:
        out.print(Text(f"{service} has no release yet. Next: git push"))
        return
    several = len({stage for line in lines for stage in line.stages}) > 1
    on = ("stages",) if several else ()
    heads = ("release", "phase", *on, "commit", "tag", "class", "pushed (UTC)", "why")
    rows = [
        (
            Text(line.release, style="bold"),
            _phase(line.phase),
            *((_on(line, ", "),) if several else ()),
            Text(short(line.commit) or "-"),
            Text(line.tag or "-"),
            Text(_classes(line, out) or "-"),
            Text(f"{line.pushed_at:%Y-%m-%d %H:%M}"),
            Text.assemble(*((f"BYPASS of {bypass.stage} ", _LOUD) for bypass in line.bypasses), line.why),
        )
        for line in lines
    ]
    _table(out, heads, rows)


def account(out: Console, told: Account, now: datetime) -> None:
    """Print everything about one release."""
    line = told.line
    out.print(Text.assemble((f"{told.service} {line.release}", "bold"), " is ", _phase(line.phase), f": {line.why}"))
    _log(out, line.log)
    for bypass in line.bypasses:
        _bypassed(out, bypass, now)
    out.print()
    for name, value in _particulars(told):
        _row(out, name, Text(value))
    out.print()
    for said in sorted((*told.facts, *told.decisions), key=lambda said: said.at):
        fact(out, said)


def why(out: Console, line: Line, now: datetime) -> None:
    """Print the one sentence, the log lines that belong to it, where it stands on each of several stages, and what is
    bypassed for it."""
    out.print(Text.assemble(_named(line), " is ", _phase(line.phase), f": {line.why}"))
    _log(out, line.log)
    if len(line.stages) > 1:
        out.print(Text.assemble("  ", _on(line, "; ")))
    for bypass in line.bypasses:
        _bypassed(out, bypass, now)


def change(out: Console, told: Change) -> None:
    """Print one thing that happened to a release that is followed."""
    if told.change != "phase":
        fact(out, Said(told.at, told.name, told.says, told.log))
        return
    at = (f"{told.at:%Y-%m-%d %H:%M:%S}  ", "dim")
    out.print(Text.assemble(at, (told.release, "bold"), " is ", _phase(told.name), f": {told.says}"))
    _log(out, told.log)


def passed(steps: Iterable[tuple[str, State]], line: Line) -> Text:
    """Return the steps of a release's way in one line, each with how far it is, and what it is about just now."""
    words: list[Any] = [(line.release, "bold")]
    for name, state in steps:
        mark, style = _MARKS[state]
        words.append((f"  {mark} {name}", style))
    return Text.assemble(*words, (f"   {line.phase}: {line.why}", "dim"))


def windows(out: Console, stages: Iterable[StageWindows], days: int, now: datetime) -> None:
    """Print for each stage whether a deployment may begin, and what opens and closes it in the coming ``days``."""
    for n, stage in enumerate(stages):
        if n:
            out.print()
        out.print(Text(f"{stage.service} on {stage.stage}", style="bold"))
        until = f" until {_time(stage.until)} ({_span(stage.until - now)} more)" if stage.until else ""
        if stage.open:
            _row(out, "now", Text.assemble(("open", "bold green"), until or ", and nothing closes it"))
        else:
            _row(out, "now", Text.assemble(("closed", "bold yellow"), until, f": {stage.why}"))
        if stage.hold is not None:
            _row(out, "hold", Text(_held(stage.stage, stage.hold, now), style="yellow"))
        for opening in stage.openings:
            begins, ends = _time(opening.begins), _time(opening.ends)
            reason = f": {opening.reason}" if opening.reason else ""
            begun = opening.begins <= now
            name = ("open" if begun else "opens") if opening.kind == "allow" else ("shut" if begun else "shuts")
            _row(out, name, Text(f"{begins} to {ends}{reason}"))
        if not stage.openings:
            _row(out, "windows", Text(f"none in {days} day{'s' if days > 1 else ''}", style="dim"))


def answer(out: Console, said: str, about: str, told: dict[str, Any]) -> None:
    """Print what an operator's word came to: ``told`` is what ``operate`` answered. That may be about another release,
    which advanced at the same time; only one called ``about`` is of interest here."""
    out.print(Text(said, style="green"))
    if about and told.get("release") == about:
        first, *log = str(told["why"]).splitlines() or [""]
        out.print(Text.assemble((told["release"], "bold"), " is ", _phase(told["phase"]), f": {first}"))
        _log(out, log)


def four_keys(out: Console, keys: Keys) -> None:
    """Print DORA's four keys, each with what it was computed from."""
    count, failed = len(keys.deployments), sum(d.restored_seconds is not None for d in keys.deployments)
    rows = (
        ("lead time", _length(keys.lead_seconds), "median, from the push until it was live"),
        (
            "deployments",
            f"{keys.per_week:.1f} a week",
            f"{count} in {keys.days} days; {keys.refused} more never served",
        ),
        (
            "failures",
            "-" if keys.failure_rate is None else f"{keys.failure_rate:.0%}",
            f"{failed} were rolled back from",
        ),
        (
            "restore",
            _length(keys.restore_seconds),
            "median, from when the bad one was live until it was gone back from",
        ),
    )
    out.print(Text(f"{keys.service} on {keys.stage}", style="bold"))
    for name, value, how in rows:
        out.print(Text.assemble((f"  {name:<13}", "dim"), (f"{value:<14}", "bold"), (how, "dim")))


def _length(seconds: float | None) -> str:
    return "-" if seconds is None else _span(timedelta(seconds=seconds))


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


def _live(stage: StageStatus, remotes: dict[str, str], now: datetime, *, first: bool) -> Text:
    live = stage.live
    if live is None:
        where = f"git push {remotes[stage.service]} main" if stage.service in remotes else "git push"
        return Text(f"nothing yet. Next: {where}" if first else "nothing yet", style="dim")
    name = f" ({short(live.commit) or live.tag})"
    since = f", since {_time(live.since)} ({_span(now - live.since)}): "
    watched = f"; watched until {_time(live.watched_until)}" if live.watched_until else ""
    return Text.assemble((live.release, _COLOURS["live"]), name, since, live.why, watched)


def _under_way(out: Console, line: UnderWay, now: datetime) -> None:
    """Print where a release on its way stands; what it waits for has lines of its own where there is more than one."""
    several = len(line.waits) > 1
    where = ", ".join(f"live on {name}" for name, phase in line.stages.items() if phase == "live")
    more = {wait: f" ({_span(wait.until - now)} more)" if wait.until else "" for wait in line.waits}
    why = (where or f"for {len(line.waits)} things") if several else "".join((line.why, *more.values()))
    _row(out, "under way", Text.assemble(_named(line), " is ", _phase(line.phase), f": {why}"))
    _log(out, line.log)
    for wait in line.waits if several else ():
        _row(out, "waits for", Text(f"{wait.why}{more[wait]}"))
    if line.needed or line.votes:
        counted = sum(vote.counts for vote in line.votes)
        told = ", ".join(
            f"{v.by} said {v.says}{'' if v.counts or v.says == 'no' else ' (does not count)'}" for v in line.votes
        )
        _row(out, "votes", Text(f"{counted} of {line.needed}" + (f": {told}" if told else "")))


def _held(stage: str, hold: Hold, now: datetime) -> str:
    until = f"{_time(hold.until)} (for {_span(hold.until - now)} more)"
    return f"{hold.by} holds {stage} until {until}: {hold.reason}"


def _bypassed(out: Console, bypass: Bypass, now: datetime) -> None:
    until = f"{_time(bypass.until)} (for {_span(bypass.until - now)} more)"
    told = f"no rule of {bypass.stage} stands in the way of {bypass.release} until {until}; "
    _row(out, "BYPASS", Text(f"{told}{bypass.by}: {bypass.reason}", style=_LOUD))


def _on(line: Line, between: str) -> Text:
    """Return where a release stands on each stage it came to."""
    if not line.stages:
        return Text("-")
    return Text(between).join(Text.assemble(f"{stage} ", _phase(phase)) for stage, phase in line.stages.items())


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
        *((f"on {at.stage}", f"{at.phase}: {at.why}") for at in told.on if len(told.on) > 1),
        ("class", ", ".join(line.classes)),
        ("changed", changed),
        ("note", told.note),
        ("scan", told.findings),
        *(("build", f"{b.id} (attempt {b.attempt}): {b.status}") for b in told.builds),
        *(("deployment", f"{d.id} to {d.stage} (rollout {d.rollout}): {d.status}") for d in told.deployments),
    ]
    return [(name, value) for name, value in rows if value]


def fact(out: Console, said: Said) -> None:
    """Print one fact or decision, dim where it is of interest only to who looks for it."""
    style = "dim" if said.fact in _QUIET else "bold red" if said.fact == "bypassed" else ""
    out.print(Text.assemble((f"{said.at:%Y-%m-%d %H:%M:%S}  ", "dim"), (said.says, style)))
    _log(out, said.log)


def _row(out: Console, name: str, text: Text) -> None:
    out.print(Text.assemble((f"  {name:<10} ", "dim"), text))


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
