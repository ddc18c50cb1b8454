"""How releases look: the list of them, one with everything about it, and one that is followed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.marks import LOUD, brief, bypassed, log, on_stages, phase, row, stands
from console.read.out import Line, Out, Piece
from console.read.sentences_record import short
from console.read.views import Account, ReleaseLine, Running, Said, StageDifference

if TYPE_CHECKING:
    from console.read.tail import ReleaseChange, State

COLUMN = 32
# By tail.State.
_MARKS = {"done": ("●", "green"), "now": ("◐", "bold cyan"), "ended": ("✗", "red"), "ahead": ("○", "dim")}


def releases(out: Out, lines: Sequence[ReleaseLine], service: str) -> None:
    """Print a table of releases."""
    if not lines:
        out.print(f"{service} has no release yet. Next: git push")
        return
    several = len({stage for line in lines for stage in line.stages}) > 1
    on = ("stages",) if several else ()
    heads = ("release", "phase", *on, "commit", "tag", "class", "subject", "author", "pushed (UTC)", "why")
    classes = "\n" if out.is_wide else ","  # below one another in a drawn table
    rows: list[list[Line]] = [
        [
            [(line.release, "bold")],
            [phase(line.phase)],
            *([on_stages(line, ", ")] if several else []),
            [short(line.commit) or "-"],
            [line.tag or "-"],
            [classes.join(line.classes) or "-"],
            [_cut(line.subject) or "-"],
            [_cut(line.author) or "-"],
            [f"{line.pushed_at:%Y-%m-%d %H:%M}"],
            [*((f"BYPASS of {bypass.stage} ", LOUD) for bypass in line.bypasses), line.why],
        ]
        for line in lines
    ]
    out.table(heads, rows)


def account(out: Out, told: Account, now: datetime, *, whole: bool = False) -> None:
    """Print a release: what matters of it in few lines, or the ``whole`` of it with every decision."""
    line = told.line
    out.print((f"{told.service} {line.release}", "bold"), *stands(line.phase), f": {line.why}")
    log(out, line.log)
    for bypass in line.bypasses:
        bypassed(out, bypass, now)
    for name, value in _particulars(told, whole=whole):
        row(out, name, value)
    if told.ahead:
        difference(out, line.release, told.ahead)
    rows = sorted((*told.facts, *told.decisions), key=lambda said: said.at)
    shown = rows if whole else [said for said in told.facts if not said.minor]
    for said in shown:
        fact(out, said)
    if len(shown) < len(rows):
        out.print((f"{len(rows) - len(shown)} more: esteira show {line.release} --all", "dim"))


def difference(out: Out, release: str, ahead: StageDifference) -> None:
    """Print what a release would bring to a stage: who votes on it sees it."""
    than = f"{ahead.live} is live there" if ahead.live else "nothing is live there"
    out.print((f"{release} would bring to {ahead.stage} ({than}):", "bold"))
    for commit in ahead.commits:
        pushed = f"; pushed by {', '.join(commit.pushed_by)}" if commit.pushed_by else ""
        out.print(f"  {short(commit.commit)}  {commit.subject} ", (f"(author {commit.author}{pushed})", "dim"), hang=12)
    if ahead.files:
        more = ahead.files_count - len(ahead.files)
        out.print(f"  files: {', '.join(ahead.files)}" + (f" and {more} more" if more else ""), hang=9)
    if ahead.untold:
        out.print(f"  {ahead.untold}")


def fact(out: Out, said: Said) -> None:
    """Print one fact or decision; a minor one is dim, so that it is there and in nobody's way."""
    style = "dim" if said.minor else "bold red" if said.fact == "bypassed" else ""
    out.print((f"{said.at:%Y-%m-%d %H:%M:%S}  ", "dim"), (said.says, style), hang=21)
    log(out, said.log)


def change(out: Out, told: ReleaseChange) -> None:
    """Print one thing that happened to a release that is followed."""
    if told.change != "phase":
        fact(out, Said(told.at, told.name, told.says, told.log, told.minor))
        return
    at = (f"{told.at:%Y-%m-%d %H:%M:%S}  ", "dim")
    out.print(at, (told.release, "bold"), *stands(told.name), f": {told.says}", hang=21)
    log(out, told.log)


def passed(steps: Iterable[tuple[str, State]], line: ReleaseLine, now: datetime, runs: Running | None = None) -> Line:
    """A release's steps in one line, each with how far it is, and what happens just now."""
    pieces: list[Piece] = [(line.release, "bold")]
    for name, state in steps:
        mark, style = _MARKS[state]
        pieces.append((f"  {mark} {name}", style))
    if runs is None:
        return [*pieces, (f"   {line.phase}: {line.why}", "dim")]
    step = f" {runs.step}" if runs.step else ""
    usual = f"; the last ones took {brief(runs.usual_seconds)}" if runs.usual_seconds else ""
    return [*pieces, (f"   {line.phase}{step}, for {brief((now - runs.since).total_seconds())}{usual}", "dim")]


def _cut(text: str) -> str:
    """A text as short as a column has room for."""
    return text if len(text) <= COLUMN else f"{text[: COLUMN - 1]}…"


def _particulars(told: Account, *, whole: bool) -> list[tuple[str, str]]:
    line = told.line
    more = told.changed_count - len(told.changed)
    changed = ", ".join(told.changed) + (f" and {more} more" if more > 0 else "")
    rows = [
        ("commit", line.commit),
        ("subject", line.subject),
        ("author", line.author),
        ("tag", line.tag),
        ("image", line.digest if whole else line.digest[:31]),
        ("attempt", str(told.attempt) if told.attempt > 1 else ""),
        *((f"on {at.stage}", f"{at.phase}: {at.why}") for at in told.on if len(told.on) > 1),
        ("class", ", ".join(line.classes)),
        ("changed", changed),
        ("settings", f"beside {told.settings_than}: {'; '.join(told.settings)}" if told.settings else ""),
        ("note", told.note),
        ("scan", told.findings),
        ("rules", told.rules),
    ]
    if whole:
        rows += [("build", f"{b.id} (attempt {b.attempt}): {b.status}") for b in told.builds]
        rows += [("deployment", f"{d.id} to {d.stage} (rollout {d.rollout}): {d.status}") for d in told.deployments]
    return [(name, value) for name, value in rows if value]
