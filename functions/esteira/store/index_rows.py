"""The index of the registrations: rows by the names that events carry, and one row for each registration."""

from __future__ import annotations

from collections.abc import Iterable

from esteira.store.rows import pk_of
from esteira.store.table import Table

INDEX = "index"


class IndexRows(Table):
    """The index. No service is called "", so its partitions are no service's."""

    def indexed(self, name: str) -> tuple[str, ...]:
        """The SSM parameters of the registrations that bear a name, as far as the index knows."""
        return tuple(row["sk"] for row in self._query("", f"{INDEX}/{name}", ""))

    def index(self) -> dict[str, frozenset[str]]:
        """The names under which each registration is indexed, by its SSM parameter."""
        return {row["sk"]: frozenset(row["names"]) for row in self._query("", INDEX, "")}

    def index_of(self, parameters: Iterable[str]) -> dict[str, frozenset[str]]:
        """The same of those registrations alone."""
        rows = self._get_rows((pk_of("", INDEX), parameter) for parameter in parameters)
        return {parameter: frozenset(row["names"]) for (_, parameter), row in rows.items()}

    def write_index(self, parameter: str, names: frozenset[str], before: frozenset[str]) -> None:
        """Index a registration under those names and no longer under those before.

        Its own row is written last. Whoever is cut off before that leaves a difference, which the next sweep writes.
        """
        self._write_batch({"pk": pk_of("", f"{INDEX}/{name}"), "sk": parameter} for name in sorted(names))
        for name in sorted(before - names):
            self._client.delete_item(**self._delete("", f"{INDEX}/{name}", parameter)["Delete"])
        if names:
            self._write_batch([{"pk": pk_of("", INDEX), "sk": parameter, "names": sorted(names)}])
        else:
            self._client.delete_item(**self._delete("", INDEX, parameter)["Delete"])
