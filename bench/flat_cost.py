"""What a release asks of AWS with 10, 1,000 and 10,000 releases behind it: DynamoDB units, and calls by service.

Counts only, on the rehearsal stage: the controller's own functions, the rules of template.yaml, the stage's own clock.
Long is the controller's table. AWS's own lists hold what was really played: of those the controller reads the newest
hundred builds and deployments at most, and, in the sweep, the images that the registry's lifecycle policy keeps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.long_history import HistoryStage, lengthen, push_one
from bench.meter import BenchError, Meter, Reading, median

HISTORIES = (10, 1_000, 10_000)
RELEASES = 5  # pushed and measured on each history
SWEEP_SECONDS = 300.0
ALLOWED = 0.05


def run(say: Callable[[str], None], histories: Sequence[int] = HISTORIES, releases: int = RELEASES) -> dict[str, Any]:
    """Measure; return the medians by length of the history, and their ratios to those of the shortest."""
    measured = {}
    for behind in histories:
        say(f"{behind:,} releases of history")
        release, sweep = measure(behind, releases)
        measured[str(behind)] = {"release": release.figures(), "idle_sweep": sweep.figures()}
    return {"releases_measured": releases, "histories": measured, "ratios": ratios(measured)}


def measure(behind: int, releases: int = RELEASES) -> tuple[Reading, Reading]:
    """The medians of ``releases`` releases from push to live with ``behind`` releases of history, and what one
    sweep asks when nothing happens. Raises BenchError if the history is not accepted or a release does not get live."""
    with tempfile.TemporaryDirectory(prefix="esteira-bench-") as folder, HistoryStage(Path(folder)) as stage:
        lengthen(stage, behind)
        return measure_on(stage, releases)


def measure_on(stage: HistoryStage, releases: int) -> tuple[Reading, Reading]:
    """Do what ``measure`` does on a stage that has its history."""
    meter, behind, readings = Meter(stage), stage.newest(), []
    for n in range(1, releases + 1):
        meter.start()
        number = push_one(stage)
        readings.append(meter.read())
        if number != behind + n:
            raise BenchError(f"v{behind + n} was to come and v{number} came. Next: see bench/long_history.py")
        stage.clock.advance(SWEEP_SECONDS)
    meter.start()
    stage.sweep()
    stage.play()
    return median(readings), meter.read()


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every figure that grows, or shrinks, with the history by more than five per cent."""
    return [
        f"{figure} with {int(n):,} releases of history is {ratio:.3f} of what it is with the fewest, not within 5 %"
        for n, ratios in result["ratios"].items()
        for figure, ratio in ratios.items()
        if abs(ratio - 1) > ALLOWED
    ]


def table(result: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    lines = [
        f"One release, from push to live (median of {result['releases_measured']}), by the releases behind it:",
        "",
        "| history | read units | write units | AWS calls | by service | idle sweep: read units, calls |",
        "|---:|---:|---:|---:|---|---|",
    ]
    for n, figures in result["histories"].items():
        release, sweep = figures["release"], figures["idle_sweep"]
        services = ", ".join(f"{service} {count}" for service, count in release["by_service"].items())
        lines.append(
            f"| {int(n):,} | {release['read_units']:g} | {release['write_units']:g} | {release['aws_calls']} "
            f"| {services} | {sweep['read_units']:g}, {sweep['aws_calls']} |"
        )
    lines.append("")
    first = next(iter(result["histories"]))
    for n, ratios in result["ratios"].items():
        name, worst = max(ratios.items(), key=lambda row: abs(row[1] - 1))
        verdict = "kept" if abs(worst - 1) <= ALLOWED else "MISSED"
        same = "every figure is the same" if worst == 1 else f"the figure that differs most ({name}) is {worst:.3f} x"
        lines.append(f"With {int(n):,} instead of {int(first):,}: {same}. Allowed are 5 %: {verdict}.")
    return lines


def ratios(measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Every figure of the longer histories by that of the first."""
    first, *_ = measured.values()
    return {n: _ratios(first, figures) for n, figures in measured.items() if figures is not first}


def _ratios(first: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    """Each figure of ``now`` by that of ``first``; a figure that was 0 and is not is infinitely more."""
    pairs = {
        f"{what} {figure}": (first[what][figure], now[what][figure])
        for what in ("release", "idle_sweep")
        for figure in ("read_units", "write_units", "aws_calls")
    }
    services = {*first["release"]["by_service"], *now["release"]["by_service"]}
    pairs |= {
        f"calls of {s}": (first["release"]["by_service"].get(s, 0), now["release"]["by_service"].get(s, 0))
        for s in sorted(services)
    }
    return {name: _ratio(*pair) for name, pair in pairs.items()}


def _ratio(before: float, now: float) -> float:
    if before:
        return round(now / before, 4)
    return 1.0 if not now else float("inf")
