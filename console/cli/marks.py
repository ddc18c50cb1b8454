"""How phases, times and names look in every answer of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from console.read.out import Line, Out, Piece
from console.read.sentences_record import short
from console.read.views import Bypass, Hold, LiveOnStage, ReleaseLine

COLOURS = {
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
LOUD = "bold reverse red"


def row(out: Out, name: str, *line: Piece) -> None:
    """Print a name and what stands beside it."""
    out.print((f"  {name:<10} ", "dim"), *line, hang=13)


def log(out: Out, lines: Iterable[str]) -> None:
    """Print log lines below a sentence, without secrets: a build's log is shown here as it was written."""
    from guard.mask import masked  # few commands show a log

    for line in masked("\n".join(lines)).splitlines():
        out.print((f"    │ {line}", "dim"), hang=6)


def phase(name: str) -> Piece:
    """A phase in its colour."""
    return name, COLOURS.get(name, "")


def stands(name: str) -> Line:
    """A phase as the rest of a sentence about a release."""
    return (" ", phase(name)) if name == "failed" else (" is ", phase(name))


def on_stages(line: ReleaseLine, between: str) -> Line:
    """The phase of a release on each stage that it came to."""
    pieces: list[Piece] = []
    for stage, there in line.stages.items():
        pieces += [*([between] if pieces else []), f"{stage} ", phase(there)]
    return pieces or ["-"]


def named(line: ReleaseLine | LiveOnStage, style: str = "bold") -> Line:
    """A release, its commit or tag, and what the commit says of itself."""
    by = f" by {line.author}" if line.author else ""
    subject = f' "{line.subject}"' if line.subject else ""
    return (line.release, style), f" ({short(line.commit) or line.tag}{subject}{by})"


def held(stage: str, hold: Hold, now: datetime) -> str:
    """A hold as a sentence."""
    until = f"{time(hold.until)} (for {span(hold.until - now)} more)"
    return f"{hold.by} holds {stage} until {until}: {hold.reason}"


def bypassed(out: Out, bypass: Bypass, now: datetime) -> None:
    """Print a bypass in force, loudly."""
    until = f"{time(bypass.until)} (for {span(bypass.until - now)} more)"
    told = f"no rule of {bypass.stage} stands in the way of {bypass.release} until {until}; "
    row(out, "BYPASS", (f"{told}{bypass.by}: {bypass.reason}", LOUD))


def time(at: datetime) -> str:
    """A moment, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def brief(seconds: float) -> str:
    """A length of time beside others, where there is little room."""
    return f"{max(0, round(seconds))} s" if seconds < 60 else f"{round(seconds / 60)} min"


def span(length: timedelta) -> str:
    """A length of time in its largest whole unit."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
