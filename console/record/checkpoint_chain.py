"""A stage's checkpoints, and the rows that each of them covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from console.record.alterations import altered, broken
from console.record.as_of import UNREADABLE, Rows
from console.record.receipt_values import Checkpoints, Fault
from esteira.core.facts import about_stage
from esteira.fact import Fact, from_row
from esteira.trail import Checkpoint

F = TypeVar("F", bound=Fact)


# So many of a stage's checkpoints are looked at unless all are asked for.
CHECKPOINTS = 50


@dataclass
class CheckpointChain:
    """A stage's checkpoints, as far as they were read, by rollout; and those that cannot be read."""

    rows: Rows
    service: str
    stage: str
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    unreadable: list[Fault] = field(default_factory=list)
    newest: tuple[int, ...] = ()  # the rollouts of the newest, without a gap that was left out
    older: tuple[int, ...] = ()  # and those before a rollout that is not among them

    @property
    def about(self) -> str:
        return f"checkpoints/{self.stage}"

    def read_newest(self, limit: int | None) -> None:
        """Read the newest checkpoints, or all."""
        where = (self.service, self.about, "checkpoint#")
        read = self.rows.partition(*where) if limit is None else self.rows.newest_rows(*where, limit)
        for key, row in read.items():
            self._add(key, row)
        self.newest = tuple(sorted(self.checkpoints))

    def read_before(self, rollout: int, limit: int) -> None:
        """Read the checkpoint of ``rollout`` and those before it, where they are not among the newest."""
        if self.newest and rollout >= self.newest[0]:
            return
        for number in range(max(1, rollout - limit + 1), rollout + 1):
            row = self.rows.row(self.service, self.about, checkpoint_key(number))
            if row is not None:
                self._add(checkpoint_key(number), row)
        self.older = tuple(sorted(n for n in self.checkpoints if n not in self.newest))

    def faults(self) -> Iterator[Fault]:
        """Each place where the checkpoints do not hold together, and those that are missing at the end."""
        yield from self.unreadable
        joined = self.older and self.newest and self.older[-1] + 1 == self.newest[0]
        runs = [(*self.older, *self.newest)] if joined else [self.older, self.newest]
        for run in filter(None, runs):
            yield from self._missing_before(self.checkpoints[run[0]])
            for says in broken([self.checkpoints[n] for n in run]):
                yield Fault(self.about, says)
        last = max(self.checkpoints, default=0)
        rollouts = self.rows.newest_rows(self.service, about_stage(self.stage), "rollout#", 4)
        for key in sorted(rollouts):
            number = int(key.split("#")[1])
            if key.endswith("#finished") and number > last:
                yield Fault(self.about, f"rollout {number} is finished and its checkpoint is missing")

    def _missing_before(self, checkpoint: Checkpoint) -> Iterator[Fault]:
        """That the checkpoint is missing which the first of those that were read follows from."""
        before = checkpoint.rollout - 1
        if before and checkpoint.before and self.rows.row(self.service, self.about, checkpoint_key(before)) is None:
            yield Fault(
                self.about,
                f"the checkpoint of rollout {before} is missing: that of rollout {checkpoint.rollout} follows from it",
            )

    @property
    def gap(self) -> str:
        """The rollouts between the older and the newest checkpoints, whose checkpoints were not read; "" for none."""
        apart = self.older and self.newest and self.older[-1] + 1 < self.newest[0]
        return f"{self.older[-1] + 1} to {self.newest[0] - 1}" if apart else ""

    def told(self) -> Checkpoints:
        """Which were looked at."""
        looked, last, gap = sorted(self.checkpoints), max(self.checkpoints, default=0), self.gap
        newest = self.checkpoints[last].sha256 if last else ""
        return Checkpoints(looked[0] if looked else 0, last, newest, last, gap)

    def _add(self, key: str, row: Mapping[str, Any]) -> None:
        checkpoint = read_fact(row, Checkpoint)
        if checkpoint is None or checkpoint.key != key or checkpoint.stage != self.stage:
            self.unreadable.append(Fault(f"{self.about} {key}", "it is no checkpoint of that rollout any more"))
        else:
            self.checkpoints[checkpoint.rollout] = checkpoint


def checkpoint_key(rollout: int) -> str:
    return f"checkpoint#{rollout:08d}"


def checked_rows(chain: CheckpointChain, checkpoint: Checkpoint) -> tuple[dict[str, Fact], list[Fault]]:
    """The rows that were checkpointed as they stand now, by their names, and those that are not what they
    were."""
    known: dict[str, Fact] = {}
    faults = []
    for line in checkpoint.rows:
        about, _, rest = line.partition(" ")
        key, _, wanted = rest.rpartition(" ")
        row = chain.rows.row(chain.service, about, key)
        if row is None:
            faults.append(Fault(f"{about} {key}", "it is missing"))
            continue
        says = altered(row, about, key, wanted)
        if says:
            faults.append(Fault(f"{about} {key}", says))
        fact = read_fact(row, Fact)
        if fact is not None:
            known[f"{about} {key}"] = fact
    return known, faults


def read_fact(row: Mapping[str, Any] | None, kind: type[F]) -> F | None:
    """A row's fact if it can be read and is of that kind."""
    try:
        fact = from_row(row) if row is not None else None
    except UNREADABLE:
        return None
    return fact if isinstance(fact, kind) else None
