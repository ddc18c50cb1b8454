"""``python -m bench [PART…]``: measure, print a table, write bench/results.json and bench/results.md.

A part that was not asked for keeps what the last run found. Exit status 1 if a promise was missed.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench import cli, cold_start, cost, flat_cost, light_start, many_services, model_service, proxy, push_to_live, swap
from bench.meter import BenchError

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Part:
    """One measurement: ``run`` makes plain values, ``missed`` the promises they break, ``table`` Markdown of them."""

    title: str
    run: Callable[[Callable[[str], None]], dict[str, Any]]
    missed: Callable[[dict[str, Any]], list[str]]
    table: Callable[[dict[str, Any]], list[str]]


PARTS = {
    "flat_cost": Part("Flat cost", flat_cost.run, flat_cost.missed, flat_cost.table),
    "many_services": Part("Many services", many_services.run, many_services.missed, many_services.table),
    "cost": Part("What it costs", cost.run, cost.missed, cost.table),
    "light_start": Part("Light start", light_start.run, light_start.missed, light_start.table),
    "cold_start": Part("Cold start in the container", cold_start.run, cold_start.missed, cold_start.table),
    "model_service": Part("The model service", model_service.run, model_service.missed, model_service.table),
    "swap": Part("A swap under load", swap.run_all, swap.missed, swap.table),
    "proxy": Part("A host's proxy", proxy.run_all, proxy.missed, proxy.table),
    "cli": Part("The command line", cli.run, cli.missed, cli.table),
    "push_to_live": Part("Push to live", push_to_live.run, push_to_live.missed, push_to_live.table),
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts: Sequence[str]) -> None:
    """Measure PARTS, or everything."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    faults: list[str] = []
    for name in parts or PARTS:
        try:
            result = PARTS[name].run(lambda text, name=name: click.echo(f"{name}: {text} …", err=True))  # type: ignore[misc]
        except BenchError as error:
            faults.append(f"{name}: {error}")
            continue
        results[name] = {"measured": _circumstances(), **result}
        faults += [f"{name}: {fault}" for fault in PARTS[name].missed(result)]
        click.echo("\n".join(_section(name, results[name])))
    results = {name: results[name] for name in PARTS if name in results}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text("\n".join(line for name in results for line in _section(name, results[name])))
    for fault in faults:
        click.echo(f"missed: {fault}", err=True)
    sys.exit(1 if faults else 0)


def _section(name: str, result: dict[str, Any]) -> list[str]:
    at = result["measured"]
    machine = f"{at['cores']} cores, {at['system']}, Python {at['python']}, {at['date']}"
    return [f"### {PARTS[name].title}", "", *PARTS[name].table(result), "", f"Measured on {machine}.", ""]


def _circumstances() -> dict[str, Any]:
    """What the figures were measured on, and when."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        # Others at work make every time longer; ratios of things measured in turns bear it.
        "load_average": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
