"""What the controller knew at a moment, put together again from the rows it wrote down that it saw.

The controller's own ``gather`` runs once more, on a store that holds those rows and no others, at the time of then: so
nothing here knows how a situation is made. Rows are only ever added, so what was seen stands where it stood; only an
image that became a release since is known by what it became.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from esteira.advance import gather
from esteira.aws import Aws
from esteira.config import Service, Settings
from esteira.context import Context
from esteira.core.facts import (
    RELEASES,
    ImageArrived,
    ImageTaken,
    Pushed,
)
from esteira.core.state import Snapshot
from esteira.fact import from_row, to_row
from esteira.store import Store
from esteira.store.rows import latest_rows, pk_of
from esteira.trail import Seen

# What reading a row as a fact raises where somebody altered it so that it is none.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
# Partitions that belong to one release or deployment: they are read as a whole, once.
_OWN = ("release/", "deployment/")


class Rows(Store):
    """The table's rows as they stand, also those that are no fact any more. A partition that belongs to one thing is
    read once."""

    def __init__(self, client: Any, table: str) -> None:
        super().__init__(client, table)
        self._read: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def partition(self, service: str, about: str, prefix: str = "") -> dict[str, dict[str, Any]]:
        """A partition's rows by their keys, of those that begin with ``prefix``."""
        return {row["sk"]: row for row in self._query(service, about, prefix)}

    def newest_rows(self, service: str, about: str, prefix: str, limit: int) -> dict[str, dict[str, Any]]:
        """The last ``limit`` rows of a partition by their keys."""
        return {row["sk"]: row for row in self._query(service, about, prefix, newest=limit)}

    def row(self, service: str, about: str, key: str) -> dict[str, Any] | None:
        """One row, None where there is none."""
        known = self._read.setdefault((service, about), {})
        if about.startswith(_OWN) and not known:
            known.update(self.partition(service, about))
        if key not in known and not about.startswith(_OWN):
            found = self._get(service, about, key)
            if found is None:
                return None
            known[key] = found
        return known.get(key)


class Then(Store):
    """A store that holds some rows in memory: by partition, then by key. It answers every reading, and writes none."""

    def __init__(self, rows: Mapping[str, Mapping[str, dict[str, Any]]], newest: int) -> None:
        self._rows = {about: dict(there) for about, there in rows.items()}
        self._newest = newest
        seen = [(about, key, row) for about, there in rows.items() for key, row in there.items()]
        later = f"release#{newest:08d}"  # births after this one were not seen as the newest
        facts = [{**row, "pk": pk_of("", a), "sk": k} for a, k, row in seen if a != RELEASES or k <= later]
        for row in latest_rows(facts):
            self._rows.setdefault(row["pk"].removeprefix("#"), {})[row["sk"]] = row

    def newest(self, service: str) -> Pushed | None:
        """How the release was born that was the newest when that was asked."""
        return self.pushed(service, self._newest)

    def _get(self, service: str, about: str, key: str) -> dict[str, Any] | None:  # noqa: ARG002 - of one service
        return self._rows.get(about, {}).get(key)

    def _query(
        self,
        service: str,  # noqa: ARG002 - of one service
        about: str,
        prefix: str,
        newest: int | None = None,
        last: str | None = None,
    ) -> list[dict[str, Any]]:
        there = self._rows.get(about, {})
        keys = sorted(k for k in there if (k.startswith(prefix) if last is None else prefix <= k <= last))
        return [{**there[k], "sk": k} for k in (keys if newest is None else keys[::-1][:newest])]

    def _get_many(
        self,
        service: str,  # noqa: ARG002 - of one service
        places: Iterable[tuple[str, str]],
    ) -> dict[tuple[str, str], dict[str, Any]]:
        there = {place: self._rows.get(place[0], {}).get(place[1]) for place in places}
        return {place: row for place, row in there.items() if row is not None}


@dataclass(frozen=True)
class Tip(Aws):
    """A CodeCommit whose branch is at ``commit``, "" where nobody asked; of AWS there is nothing else."""

    commit: str = ""

    def tip(self, service: Service) -> str | None:  # noqa: ARG002 - the one service
        return self.commit or None


@dataclass(frozen=True)
class AsOf:
    """What was known at a moment; ``missing`` are the rows that were seen then and are not on record any more."""

    snapshot: Snapshot
    missing: tuple[str, ...] = field(default=())


def snapshot(rows: Rows, service: Service, seen: Seen, at: datetime, without: str = "") -> AsOf:
    """What was known at ``at`` about ``service``, as it was registered then: what ``seen`` names, but for the
    rows whose keys begin with ``without``."""
    there: dict[str, dict[str, dict[str, Any]]] = {}
    missing = []
    for name in seen.rows:
        about, _, key = name.partition("\t")
        if without and key.startswith(without):
            continue
        row = _readable(rows, service.name, about, key)
        if row is None:
            missing.append(f"{about} {key}")
        else:
            there.setdefault(about, {})[key] = row
    for text in seen.written:
        number, phase, why, cause = json.loads(text)
        key = f"open#release#{number:08d}"
        there.setdefault(RELEASES, {})[key] = {
            "sk": key, "number": number, "attempt": 1, "phase": phase, "why": why, "cause": cause
        }  # fmt: skip
    # The attempt of an open row is read by nothing but its closing.
    context = Context(Then(there, seen.newest), Tip(commit=seen.tip), Settings(table="", services_path=""), lambda: at)
    return AsOf(gather(service, context, look=True), tuple(missing))


def _readable(rows: Rows, service: str, about: str, key: str) -> dict[str, Any] | None:
    """A row that can be read as a fact, None where there is none."""
    row = rows.row(service, about, key)
    try:
        if row is None and key.startswith("open#image#"):
            return _arrived(rows.row(service, about, key.removeprefix("open#")))
        if row is not None:
            from_row(row)
    except UNREADABLE:
        return None
    return row


def _arrived(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The row of an image that arrived, from what became of it: its own is deleted when it is a release."""
    taken = from_row(row) if row is not None else None
    if not isinstance(taken, ImageTaken):
        return None
    return to_row(ImageArrived(at=taken.at, tag=taken.tag, digest=taken.digest))
