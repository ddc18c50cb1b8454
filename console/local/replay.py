"""Event files through the rules of template.yaml to the functions, on the local stack or on AWS.

Which function an event goes to is what the rules say, by the matcher of the local mode; the clock's event goes where
the schedules point. An operator's request is no event: it has no envelope, and goes to ``operate``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.local.paths import TEMPLATE
from console.local.template import TemplateError, read
from console.read.complete import split_log
from console.read.out import Out, Piece
from console.read.remote import Controller, Invoked
from console.read.where import REFUSED, TroubleError


@dataclass(frozen=True)
class Returned:
    """What one function returned for one file; ``function`` is "" where no rule matches. A function that looks after
    several services returns one of these for each."""

    file: str
    function: str
    service: str = ""
    release: str = ""
    phase: str = ""
    why: str = ""
    actions: tuple[str, ...] = ()
    error: str = ""


def load(path: Path) -> dict[str, Any]:
    """The event or request in a file. Raises TroubleError where it is none."""
    try:
        event = json.loads(path.read_text())
    except OSError as error:
        raise TroubleError(f"{path} cannot be read: {error.strerror}. Next: esteira replay FILE…", REFUSED) from None
    except ValueError as error:
        raise TroubleError(f"{path} is not JSON: {error}. Next: correct it and replay it again", REFUSED) from None
    if not isinstance(event, dict):
        raise TroubleError(f"{path} holds no event: it must be one JSON object, as in events/", REFUSED)
    return event


def routes(stack: str, template: Path = TEMPLATE) -> Callable[[dict[str, Any]], tuple[str, ...]]:
    """What tells the names of the functions an event goes to. Raises TroubleError for an unreadable template."""
    try:
        described = read(template, stack)
        names = {f.logical_id: f.name for f in described.functions}
        rules, schedules = described.rules, described.schedules
    except TemplateError as error:
        raise TroubleError(str(error)) from error

    def targets(event: dict[str, Any]) -> tuple[str, ...]:
        if "detail-type" not in event and "action" in event:
            return (f"{stack}-operate",)
        if event.get("detail-type") == "Scheduled Event":
            found = [schedule.target for schedule in schedules]
        else:
            found = [target for rule in rules if rule.matches(event) for target in rule.targets]
        return tuple(names.get(target, target) for target in found)

    return targets


def replay(path: Path, event: dict[str, Any], targets: tuple[str, ...], controller: Controller) -> Iterator[Returned]:
    """Send what was in a file to the functions and yield what each returned."""
    if not targets:
        yield Returned(str(path), "", why="no rule of template.yaml matches it, so no function hears of it")
    if "detail-type" not in event and "action" in event:
        event = {"request": str(uuid.uuid4()), **event}
    for function in targets:
        yield from _returned(path, function, controller.invoke(function, event))


def _returned(path: Path, function: str, answer: Invoked) -> Iterator[Returned]:
    if answer.error:
        yield Returned(str(path), function, error=answer.error)
        return
    payloads = answer.payload if isinstance(answer.payload, list) else [answer.payload]
    for payload in payloads:
        if "refused" in payload:
            yield Returned(str(path), function, error=f"refused: {payload['refused']}")
            continue
        told = {name: str(payload.get(name, "")) for name in ("service", "release", "phase", "why")}
        yield Returned(str(path), function, **told, actions=tuple(payload.get("actions", ())))
    if not payloads:
        yield Returned(str(path), function, why="no service is registered, so there was nothing to look after")


def show(out: Out, row: Returned) -> None:
    """Print what a function returned for a replayed file."""
    parts: list[Piece] = [(row.file, "bold"), f" → {row.function or 'nobody'}: "]
    sentence, log = split_log(row.why)
    if row.error:
        parts.append((row.error, "red"))
    elif row.release:
        parts += [f"{row.service} {row.release} is ", (row.phase, "bold"), f": {sentence}"]
    else:
        parts.append((sentence, "dim"))
    out.print(*parts)
    for line in log:
        out.print((f"    │ {line}", "dim"))
