"""One controller with 1, 50 and 300 services: what an event asks of AWS, and a full sweep in which one service hangs.

Counted on the World, the AWS in memory that the tests have, where calls are counted and take no time. The seconds of a
sweep are these calls at ``CALL`` seconds each and the sweep's own pauses: those of a function one after another,
functions beside each other.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bench.meter import BenchError
from console.local.aws.faults import Call, Crash, When
from sweep import PACE
from tests.world.story import Story

COUNTS = (1, 50, 300)
CALL = 0.02
READS = 2  # of registrations, that an event may cost


def run(say: Callable[[str], None], counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """Measure; the figures by the number of services."""
    measured = {}
    for count in counts:
        say(f"{count} services")
        measured[str(count)] = measure(count)
    return {"seconds_per_call": CALL, "services": measured}


def measure(count: int) -> dict[str, Any]:
    """The figures with that many services. Raises BenchError where a release does not get live."""
    with Story() as story:
        story.local_aws.lists.most = None
        _register(story, count)
        story.live("one")
        story.pass_time(300)
        if story.phases != ["live"]:
            raise BenchError(f"with {count} services no release gets live. Next: make test")
        return {"event": _event(story), "sweep": _sweep(story)}


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every event that costs more with more services, and for every service that got no turn."""
    events = {n: figures["event"] for n, figures in result["services"].items()}
    sweeps = {n: figures["sweep"] for n, figures in result["services"].items()}
    first = next(iter(events.values()))
    more = [f"an event costs {event} with {n} services, not {first}" for n, event in events.items() if event != first]
    late = [
        f"{sweep['others_done']} of the {int(n) - 1} services beside the one that hangs had their turn"
        for n, sweep in sweeps.items()
        if sweep["others_done"] != int(n) - 1
    ]
    return more + late + ([f"an event reads registrations {first['reads']} times"] if first["reads"] > READS else [])


def table(result: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    lines = [
        "One event, and one sweep in which a service hangs until Lambda ends its call:",
        "",
        "| services | event: reads of registrations, AWS calls | sweep: functions, AWS calls | others done | after |",
        "|---:|---|---|---:|---:|",
    ]
    for n, figures in result["services"].items():
        event, sweep = figures["event"], figures["sweep"]
        lines.append(
            f"| {n} | {event['reads']}, {event['calls']} | {sweep['functions']}, {sweep['calls']:,} "
            f"| {sweep['others_done']} of {int(n) - 1} | {sweep['seconds']:.1f} s |"
        )
    verdict = "MISSED" if missed(result) else "kept"
    counted = (
        f"Counted in memory; the seconds are {result['seconds_per_call'] * 1000:.0f} ms a call, and the sweep's pauses."
    )
    return [*lines, "", f"{counted} An event costs the same at any number, and no other service waits: {verdict}."]


def _register(story: Story, count: int) -> None:
    """Register copies of heart beside it."""
    path = story.context.settings.services_path
    heart = story.local_aws.ssm.values[f"{path}heart"]
    for n in range(1, count):
        document = heart.replace("heart", f"model-{n:03}")
        story.local_aws.ssm.put_parameter({"Name": f"{path}model-{n:03}", "Value": json.dumps(json.loads(document))})
    assert story.service.name == "heart"  # what the story itself asks is not counted
    story.deliver()


def _event(story: Story) -> dict[str, int]:
    """What one event of a push asks."""
    calls: list[Call] = []
    story.push("two")
    story.faults.watch = calls.append
    story.bus.deliver_next()
    story.faults.watch = None
    story.play()
    return {"reads": sum(map(_is_read, calls)), "calls": len(calls)}


def _is_read(call: Call) -> bool:
    partition = call.params.get("ExpressionAttributeValues", {}).get(":pk", {}).get("S", "")
    return call.service == "ssm" or str(partition).startswith("#index")


def _sweep(story: Story) -> dict[str, Any]:
    """What a full sweep asks in which heart hangs, and when the last of the others was done."""
    calls: Counter[int] = Counter()
    began: dict[str, float] = {}  # when each service was handed out
    own: dict[str, int] = {}  # the function that looked after it

    def watch(call: Call) -> None:
        calls[story.invocation] += 1
        if call.name == "lambda:Invoke":
            began[json.loads(call.params["Payload"])["service"]] = calls[story.invocation] * CALL + len(began) * PACE
        if call.name == "codecommit:GetBranch":
            own[call.params["repositoryName"]] = story.invocation

    story.clock.advance(300)
    story.faults.watch, story.faults.hook = watch, _hanging
    story.sweep()
    story.deliver()
    story.faults.watch = story.faults.hook = None
    others = {name: began[name] + calls[own[name]] * CALL for name in own if name != "heart" and name in began}
    done = {"others_done": len(others), "seconds": round(max(others.values(), default=0.0), 2)}
    return {"functions": len(calls), "calls": calls.total(), **done}


def _hanging(moment: When, call: Call) -> None:
    """CodeCommit does not answer for heart until Lambda ends the call."""
    if (moment, call.name, call.params.get("repositoryName")) == ("before", "codecommit:GetBranch", "heart"):
        raise Crash
