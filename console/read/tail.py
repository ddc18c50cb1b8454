"""A release followed live: what is new since it was looked at before, and how far it has come.

Pure: two accounts of it in, what lies between them out. The loop that looks is the command's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain

from console.read.views import Account, ReleaseLine
from esteira.config import Service
from esteira.core.status import Phase


@dataclass(frozen=True)
class ReleaseChange:
    """One thing that happened to a release: a ``fact``, a ``decision`` of the controller's, or that its ``phase`` or
    the sentence for it is another. ``name`` is the fact's kind, or the phase."""

    change: str
    release: str
    at: datetime
    name: str
    says: str
    log: tuple[str, ...] = ()
    minor: bool = False  # a step that another one implies, or what the controller noted for itself
    stage: str = ""
    stages: dict[str, str] = field(default_factory=dict)  # of a phase: where it stands on each stage it came to


class State(StrEnum):
    """How far a release is with one step of its way."""

    DONE = "done"
    NOW = "now"
    ENDED = "ended"
    AHEAD = "ahead"


def changes(before: Account | None, after: Account, now: datetime) -> Iterator[ReleaseChange]:
    """What is new in ``after``, in order of time; where it stands, at ``now``, comes last."""
    known = {*before.facts, *before.decisions} if before else set()
    rows = chain((("fact", said) for said in after.facts), (("decision", said) for said in after.decisions))
    release = after.line.release
    for change, said in sorted(rows, key=lambda row: (row[1].at, row[0])):
        if said not in known:
            yield ReleaseChange(change, release, said.at, said.fact, said.says, said.log, said.minor)
    line = after.line
    if before is None or _place(before.line) != _place(line):
        yield ReleaseChange("phase", release, now, line.phase, line.why, line.log, stage=line.stage, stages=line.stages)


def steps(line: ReleaseLine, service: Service) -> tuple[tuple[str, State], ...]:
    """The steps of a release's way, its image and then each stage, and how far it is with each."""
    ended = Phase(line.phase).ended
    if line.phase in (Phase.PUSHED, Phase.BUILDING):
        image = State.NOW
    else:
        image = State.DONE if line.digest or not ended else State.ENDED
    return (("image", image), *((stage.name, _at(line, stage.name, ended=ended)) for stage in service.stages))


def _at(line: ReleaseLine, stage: str, *, ended: bool) -> State:
    there = line.stages.get(stage)
    if there == Phase.LIVE:
        return State.DONE
    if there is not None and Phase(there).ended:
        return State.ENDED
    if there is not None or stage == line.stage:
        return State.ENDED if ended else State.NOW
    return State.AHEAD


def _place(line: ReleaseLine) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return line.phase, line.why, tuple(line.stages.items())
