"""How `esteira status`, `why` and `windows` look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.marks import COLOURS, bypassed, held, log, named, on_stages, phase, row, span, stands, time
from console.read.out import Line, Out
from console.read.views import ReleaseLine, ServiceStatus, StageStatus, UnderWay

if TYPE_CHECKING:
    from console.read.openings import StageWindows

_ENDED = ("failed", "aborted", "rejected", "rolled back", "skipped")


def status(
    out: Out,
    services: Iterable[ServiceStatus],
    stages: Iterable[StageStatus],
    remotes: Mapping[str, str],
    now: datetime,
) -> None:
    """Print each service at a glance, then its stages; ``remotes`` tells where a service is pushed to, where that is
    known."""
    stages = tuple(stages)
    for n, service in enumerate(services):
        if n:
            out.print()
        own = [stage for stage in stages if stage.service == service.service]
        _glance(out, service, remotes, now)
        for stage in own:
            out.print()
            _stage(out, stage, now, several=len(own) > 1)


def _glance(out: Out, told: ServiceStatus, remotes: Mapping[str, str], now: datetime) -> None:
    """What was pushed last and how it went, and where the model answers."""
    newest = told.newest
    if newest is None:
        where = f"git push {remotes[told.service]} HEAD:main" if told.service in remotes else "git push"
        out.print((told.service, "bold"), f": nothing was pushed yet. Next: {where}")
    else:
        # What is on its way, or live, is told with its stage below.
        why = f": {newest.why}" if newest.phase in _ENDED else ""
        pushed = f" was pushed {span(now - newest.pushed_at)} ago"
        state = [] if newest.phase == "pushed" else [" and", *stands(newest.phase)]
        out.print((told.service, "bold"), " ", *named(newest), pushed, *state, why)
        log(out, newest.log)
    for sentence in told.failing:
        out.print("  ", (sentence, "bold red"))
    if told.rules:
        out.print("  ", (told.rules, "dim"))
    if told.url:
        out.print("  answers at ", (told.url, "bold"), f" with {told.live}" if told.live else " once it is live")


def _stage(out: Out, stage: StageStatus, now: datetime, *, several: bool) -> None:
    out.print((f"{stage.service} on {stage.stage}", "bold"))
    row(out, "live", *_live(stage, now))
    if stage.live and stage.live.alarm:
        row(out, "alarm", (stage.live.alarm, "bold red"))
    if stage.live and stage.live.differs:
        row(out, "differs", (stage.live.differs, "bold red"))
    if stage.live and stage.live.sick:
        row(out, "sick", (stage.live.sick, "bold red"))
    for sentence in stage.live.silent if stage.live else ():
        row(out, "silent", (sentence, "yellow"))
    for under_way in stage.under_way:
        _under_way(out, under_way, now)
    for sentence in (*stage.arrived, *filter(None, [stage.ordered])):
        row(out, "waiting", sentence)
    if stage.hold is not None:
        option = f" --stage {stage.stage}" if several else ""
        row(out, "hold", (f"{held(stage.stage, stage.hold, now)}. Next: esteira resume{option}", "yellow"))
    for bypass in stage.bypasses:
        bypassed(out, bypass, now)


def why(out: Out, line: ReleaseLine, now: datetime, failing: Iterable[str] = ()) -> None:
    """Print the sentence that explains a release, its log lines, its phase on each of several stages, its bypasses, and
    what fails for its service."""
    out.print(*named(line), *stands(line.phase), f": {line.why}")
    log(out, line.log)
    if len(line.stages) > 1:
        out.print("  ", *on_stages(line, "; "))
    for bypass in line.bypasses:
        bypassed(out, bypass, now)
    for sentence in failing:
        out.print("  ", (sentence, "bold red"))


def windows(out: Out, stages: Iterable[StageWindows], days: int, now: datetime) -> None:
    """Print for each stage whether a deployment may begin, and what opens and closes it in the coming ``days``."""
    for n, stage in enumerate(stages):
        if n:
            out.print()
        out.print((f"{stage.service} on {stage.stage}", "bold"))
        until = f" until {time(stage.until)} ({span(stage.until - now)} more)" if stage.until else ""
        if stage.open:
            row(out, "now", ("open", "bold green"), until or ", and nothing closes it")
        else:
            row(out, "now", ("closed", "bold yellow"), until, f": {stage.why}")
        if stage.hold is not None:
            row(out, "hold", (held(stage.stage, stage.hold, now), "yellow"))
        for opening in stage.openings:
            reason = f": {opening.reason}" if opening.reason else ""
            begun = opening.begins <= now
            name = ("open" if begun else "opens") if opening.kind == "allow" else ("shut" if begun else "shuts")
            row(out, name, f"{time(opening.begins)} to {time(opening.ends)}{reason}")
        if not stage.openings:
            row(out, "windows", (f"none in {days} day{'s' if days > 1 else ''}", "dim"))


def _live(stage: StageStatus, now: datetime) -> Line:
    live = stage.live
    if live is None:
        return [("nothing yet", "dim")]
    since = f", since {time(live.since)} ({span(now - live.since)}): "
    watched = f"; watched until {time(live.watched_until)}" if live.watched_until else ""
    return [*named(live, COLOURS["live"]), since, live.why, watched]


def _under_way(out: Out, line: UnderWay, now: datetime) -> None:
    """Print a release on its way. Several waits have a line each."""
    several = len(line.waits) > 1
    where = ", ".join(f"live on {name}" for name, phase in line.stages.items() if phase == "live")
    more = {wait: f" ({span(wait.until - now)} more)" if wait.until else "" for wait in line.waits}
    why = (where or f"for {len(line.waits)} things") if several else "".join((line.why, *more.values()))
    row(out, "under way", *named(line), " is ", phase(line.phase), f": {why}")
    log(out, line.log)
    for wait in line.waits if several else ():
        row(out, "waits for", f"{wait.why}{more[wait]}" + (f"; next: {wait.next}" if wait.next else ""))
    if line.needed or line.votes:
        counted = sum(vote.counts for vote in line.votes)
        told = ", ".join(
            f"{v.by} said {v.says}{'' if v.counts or v.says == 'no' else ' (does not count)'}" for v in line.votes
        )
        row(out, "votes", f"{counted} of {line.needed}" + (f": {told}" if told else ""))
