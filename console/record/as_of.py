"""What the controller knew at a moment, put together again from the rows it wrote down that it saw.

``esteira.snapshot`` runs once more, at the time of then, on a store that holds those rows and no others. So nothing
here knows how a snapshot is made. Rows are only ever added, so what was seen is still where it was. Only an image that
became a release since then has no row of its own any more; it is known by what it became.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from esteira.config import Service
from esteira.core.facts import RELEASES, ImageArrived, ImageTaken
from esteira.core.state import Listed, Snapshot
from esteira.fact import from_row, stamp, to_row
from esteira.snapshot import snapshot
from esteira.store import Store
from esteira.store.rows import latest_rows, open_row, pk_of
from esteira.trail import Seen

# What reading a row as a fact raises where somebody altered it so that it is none.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
# Partitions that belong to one release or deployment: they are read as a whole, once.
_OWN = ("release/", "deployment/")


class Rows(Store):
    """The table's rows as they are now, also those that are no fact any more.

    A partition that belongs to one release or deployment is read once.
    """

    def __init__(self, client: Any, table: str) -> None:
        super().__init__(client, table)
        self._read: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def partition(self, service: str, about: str, prefix: str = "") -> dict[str, dict[str, Any]]:
        """A partition's rows by their keys, of those that begin with ``prefix``."""
        return {row["sk"]: row for row in self._query(service, about, prefix)}

    def newest_rows(self, service: str, about: str, prefix: str, limit: int) -> dict[str, dict[str, Any]]:
        """The last ``limit`` rows of a partition by their keys."""
        return {row["sk"]: row for row in self._query(service, about, prefix, newest=limit)}

    def between(
        self, service: str, about: str, prefix: str, since: datetime, until: datetime
    ) -> dict[str, dict[str, Any]]:
        """A partition's rows whose keys go on with a time between the two."""
        first, last = f"{prefix}{stamp(since)}", f"{prefix}{stamp(until)}~"
        return {row["sk"]: row for row in self._query(service, about, first, last=last)}

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
        seen = [(about, key, row) for about, there in rows.items() for key, row in there.items()]
        later = f"release#{newest:08d}"  # births after this one were not seen as the newest
        facts = [{**row, "pk": pk_of("", a), "sk": k} for a, k, row in seen if a != RELEASES or k <= later]
        for row in latest_rows(facts):
            self._rows.setdefault(row["pk"].removeprefix("#"), {})[row["sk"]] = row

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
class AsOf:
    """What was known at a moment; ``missing`` are the rows that were seen then and are not on record any more."""

    snapshot: Snapshot
    missing: tuple[str, ...] = ()


def as_of(rows: Rows, service: Service, seen: Seen, at: datetime, without: tuple[str, ...] = ()) -> AsOf:
    """What was known about ``service`` at ``at``: what ``seen`` names, except keys that begin with ``without``."""
    there: dict[str, dict[str, dict[str, Any]]] = {}
    missing = []
    for name in seen.rows:
        about, key, _ = name.split("\t")
        if key.startswith(without):
            continue
        row = _readable(rows, service.name, about, key)
        if row is None:
            missing.append(f"{about} {key}")
        else:
            there.setdefault(about, {})[key] = row
    for text in seen.written:
        number, *listed = json.loads(text)
        names = (f.name for f in fields(Listed))
        # Only the closing of a release reads the attempt of its open row.
        row = open_row(service.name, number, 1) | dict(zip(names, listed, strict=True))
        there.setdefault(RELEASES, {})[row["sk"]] = row
    s = snapshot(Then(there, seen.newest), service, at)
    return AsOf(replace(s, tip=seen.tip or None), tuple(missing))


def _readable(rows: Rows, service: str, about: str, key: str) -> dict[str, Any] | None:
    """A row that can be read as a fact, None where there is none."""
    row = rows.row(service, about, key)
    try:
        if row is None and key.startswith("open#image#"):
            return _arrived(rows, service, about, key.removeprefix("open#"))
        if row is not None:
            from_row(row)
    except UNREADABLE:
        return None
    return row


def _arrived(rows: Rows, service: str, about: str, key: str) -> dict[str, Any] | None:
    """The row of an image that arrived, from what became of it: its own is deleted when it is a release."""
    found = (rows.row(service, about, f"{key}#{missing}") for missing in (0, 1))
    taken = next((from_row(row) for row in found if row is not None), None)
    if not isinstance(taken, ImageTaken):
        return None
    return to_row(ImageArrived(at=taken.at, tag=taken.tag, digest=taken.digest))
