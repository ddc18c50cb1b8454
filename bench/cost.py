"""What a release, and a day on which nothing happens, cost in dollars, from the calls and units that were counted.

Free tiers are not taken off. Left out, and said so: what the team's own model needs, with or without a controller
(CodeBuild minutes, the host, the registry's storage), and what AWS bills by the month or the gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.flat_cost import SWEEP_SECONDS, measure
from bench.meter import Reading
from console.local.paths import TEMPLATE
from console.local.template import read

HISTORY = 20  # releases behind; what is measured does not depend on it (flat_cost)
PRICES_OF = "2026-11, us-east-1, on demand; to be checked at AWS before they are quoted"
QUOTED = "third-party quotes of AWS's price list"
UNCHECKED = "AWS's price list, unverified"


@dataclass(frozen=True)
class Price:
    """Dollars for a million of something."""

    dollars: float
    source: str


PRICES = {
    "DynamoDB read units": Price(0.125, QUOTED),
    "DynamoDB write units": Price(0.625, QUOTED),
    "Lambda requests": Price(0.20, QUOTED),
    "Lambda GB-seconds": Price(13.3334, QUOTED),  # arm64, the template's default; x86_64 is 16.6667
    "EventBridge custom events": Price(1.00, QUOTED),
    "S3 puts": Price(5.00, UNCHECKED),
    "SNS messages": Price(0.50, UNCHECKED),
}
FREE = ("AWS's own events", "CodeDeploy to EC2", "the calls to CodeBuild, CodeCommit, ECR and SSM")
LEFT_OUT = (
    "CodeBuild minutes",
    "the host and its disk",
    "the registry's, the bucket's and the table's storage",
    "CloudWatch logs, metrics, dashboard and alarms (by the gigabyte and the month)",
    "mail",
    "X-Ray, which is off unless the stack has a TraceShare (then $5 for a million traced calls of functions)",
)

# How long a function would run on Lambda is not known here; these take it from what is.
CALL_SECONDS = 0.010  # the network's share of one AWS call within a region, assumed
START_SECONDS = 1.0  # a cold start with its first client on Lambda's share of a processor, assumed; see light_start
FULL_CORE_MB = 1769  # Lambda gives a function one processor at this size, and less in proportion


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Count one release and one sweep, and return what they cost."""
    say("one release and one sweep")
    release, sweep = measure(HISTORY, releases=3)
    sweeps = round(86_400 / SWEEP_SECONDS)
    cold = sum(1 for _ in release.invocations)
    return {
        "prices_of": PRICES_OF,
        "prices_per_million": {name: asdict(price) for name, price in PRICES.items()},
        "assumed": {
            "seconds_per_aws_call": CALL_SECONDS,
            "seconds_per_cold_start": START_SECONDS,
            "cold_starts_per_release": cold,
            "cold_starts_per_sweep": 1,
            "function_mb": _memory(),
        },
        "free": list(FREE),
        "left_out": list(LEFT_OUT),
        "release": _bill(_amounts(release, cold), 1),
        "idle_day": _bill(_amounts(sweep, 1), sweeps),
        "sweeps_per_day": sweeps,
    }


def missed(_: dict[str, Any]) -> list[str]:
    """Nothing is promised to the cent."""
    return []


def table(result: dict[str, Any]) -> list[str]:
    """The bill as Markdown."""
    release, day = result["release"], result["idle_day"]
    lines = [
        f"Prices of {result['prices_of']}. Free tiers not taken off.",
        "",
        f"| | per million | one release | dollars | one idle day ({result['sweeps_per_day']} sweeps) | dollars |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, price in result["prices_per_million"].items():
        ours, idle = release["lines"][name], day["lines"][name]
        lines.append(
            f"| {name} | ${price['dollars']:g} | {ours['amount']:g} | {ours['dollars']:.6f} "
            f"| {idle['amount']:g} | {idle['dollars']:.6f} |"
        )
    lines.append(f"| **together** | | | **{release['dollars']:.5f}** | | **{day['dollars']:.5f}** |")
    assumed = result["assumed"]
    note = (
        f"Lambda's seconds are those measured here, scaled to the share of a processor that "
        f"{assumed['function_mb']} MB get, plus {assumed['seconds_per_aws_call']:g} s for each AWS call and "
        f"{assumed['seconds_per_cold_start']:g} s for each cold start ({assumed['cold_starts_per_release']} per "
        f"release, one per sweep), assumed. Left out: {'; '.join(result['left_out'])}. "
        f"Free: {', '.join(result['free'])}."
    )
    return [*lines, "", note]


def _amounts(reading: Reading, cold: int) -> dict[str, float]:
    """How many of each priced thing one reading is."""
    invocations = reading.invocations.total()
    scaled = reading.seconds * FULL_CORE_MB / _memory()
    seconds = scaled + reading.calls.total() * CALL_SECONDS + cold * START_SECONDS
    return {
        "DynamoDB read units": reading.read_units,
        "DynamoDB write units": reading.write_units,
        "Lambda requests": invocations,
        "Lambda GB-seconds": round(seconds * _memory() / 1024, 3),
        "EventBridge custom events": reading.calls["events:PutEvents"],
        "S3 puts": reading.calls["s3:PutObject"],
        "SNS messages": reading.calls["sns:Publish"],
    }


def _bill(amounts: dict[str, float], times: int) -> dict[str, Any]:
    lines = {
        name: {
            "amount": round(amount * times, 3),
            "dollars": round(amount * times * PRICES[name].dollars / 1_000_000, 8),
        }
        for name, amount in amounts.items()
    }
    return {"lines": lines, "dollars": round(sum(line["dollars"] for line in lines.values()), 8)}


def _memory() -> int:
    """The functions' memory in template.yaml, in MB."""
    return max(function.memory for function in read(TEMPLATE).functions)
