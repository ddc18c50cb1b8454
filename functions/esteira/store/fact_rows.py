"""Facts: written once under their natural keys, read by partition, and the words that are written all or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

from esteira.core.facts import (
    AlarmRang,
    CommitPushed,
    Quarantined,
    Rollout,
    Superseded,
    about_release,
)
from esteira.fact import Fact
from esteira.store.rows import Row, facts_of, first_of, latest_rows, open_row, pk_of, row_of
from esteira.store.table import Table, Write
from esteira.trail import Decided, Seen


class Facts(Table):
    """The facts of any number of services."""

    # --- writing

    def record(self, service: str, fact: Fact) -> bool:
        """Write ``fact`` unless it is there already; whether it was new."""
        return bool(self.write(service, [fact]))

    def forget(self, service: str, fact: Fact) -> None:
        """Delete a fact that no longer holds, so that it may be recorded again; it may be deleted twice.

        The row of the latest of its series stays.
        """
        self._client.delete_item(**self._delete(service, fact.about, fact.key)["Delete"])

    def write(self, service: str, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """Write facts that belong together in one call; those that were new. A fact that is there already stays.

        Where some were there, the call is made once more for the others.
        """
        left = list(dict.fromkeys(facts))
        rows = [row_of(service, fact) for fact in left]
        latest = latest_rows(rows)
        while left:
            if len(left) == 1 and not latest:
                return tuple(left) if self._put_new(rows[0]) else ()
            refused = self._transact([*map(self._new, rows), *map(self._newer, latest)])
            if not refused:
                break
            latest = [row for n, row in enumerate(latest, len(rows)) if n not in refused]
            left = [fact for n, fact in enumerate(left) if n not in refused]
            rows = [row_of(service, fact) for fact in left]
        return tuple(left)

    def say(
        self, service: str, request: str, at: datetime, words: Iterable[Fact], reopen: tuple[int, int] | None = None
    ) -> bool:
        """Write an operator's words, all or none; False if that request was heard before.

        ``reopen`` is a release and its attempt that is read again from now on.
        """
        expires = int((at + timedelta(days=2)).timestamp())
        heard = {"pk": pk_of(service, "requests"), "sk": request, "expires": expires}
        others = [self._put(open_row(service, *reopen))] if reopen is not None else []
        return self._all_or_none([heard, *(row_of(service, word) for word in words)], others)

    def claim_rollout(self, service: str, rollout: Rollout, *, bypassed: bool = False) -> bool:
        """Claim a stage's rollout; False if it was claimed, or the release aborted, superseded or rejected, meanwhile.

        A rejection does not stop a rollout that is ``bypassed``.
        """
        keys = [f"aborted#{rollout.attempt:04d}", Superseded(at=rollout.at, release=rollout.release, by=0).key]
        if not bypassed:
            keys.append(f"rejected#{rollout.stage}#{rollout.attempt:04d}#{rollout.digest}")
        absent = partial(self._absent, service, about_release(rollout.release))
        return self._all_or_none([row_of(service, rollout)], map(absent, keys if rollout.kind == "deploy" else ()))

    def write_decisions(self, service: str, decisions: Sequence[Decided | Seen]) -> None:
        """Write what was decided in one round, and from what. Each row is its own: written twice, it is the same."""
        self._write_batch(row_of(service, decision) for decision in decisions)

    def _all_or_none(self, rows: Sequence[Row], others: Iterable[Write] = ()) -> bool:
        """Write new rows with ``others`` in one transaction, and what they make the latest of their series."""
        writes = [*map(self._new, rows), *others]
        latest = latest_rows(rows)
        while True:
            refused = self._transact([*writes, *map(self._newer, latest)])
            if not refused:
                return True
            if min(refused) < len(writes):
                return False
            latest = [row for n, row in enumerate(latest, len(writes)) if n not in refused]

    # --- reading

    def facts(self, service: str, about: str, prefix: str = "") -> tuple[Fact, ...]:
        """All facts in a partition whose keys begin with ``prefix``, ascending, each once."""
        return facts_of(row for row in self._query(service, about, prefix) if "fact_key" not in row)

    def newest_facts(self, service: str, about: str, prefix: str, limit: int) -> tuple[Fact, ...]:
        """The last ``limit`` facts of a partition whose keys begin with ``prefix``, the last first."""
        return facts_of(self._query(service, about, prefix, newest=limit))

    def quarantine(self, service: str, subjects: Iterable[str]) -> Quarantined | None:
        """The word that quarantines one of ``subjects`` (commits, digests; "" is none), unless it was lifted."""
        for subject in filter(None, subjects):
            word = first_of(self._query(service, f"quarantine/{subject}", "quarantine#", newest=1), Quarantined)
            if word is not None and not word.lifted:
                return word
        return None

    def pushes(self, service: str, commit: str) -> tuple[CommitPushed, ...]:
        """The pushes that made a commit the branch's tip, as CodeCommit told them; empty where no event told."""
        facts = self.facts(service, f"commit/{commit}", "pushed-by#")
        return tuple(f for f in facts if isinstance(f, CommitPushed))

    def alarms(self, service: str, names: Iterable[str]) -> tuple[AlarmRang, ...]:
        """The last time each of those alarms went off, for the ones that ever did."""
        rang = (first_of(self._query(service, f"alarm/{name}", "rang#", newest=1), AlarmRang) for name in names)
        return tuple(filter(None, rang))
