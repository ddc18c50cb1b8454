"""Releases: their birth, which of them are read at every step, and everything said about one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from esteira.core.facts import (
    RELEASES,
    DeploymentStarted,
    HostObserved,
    ImageArrived,
    ImageTaken,
    Pushed,
    about_deployment,
    about_release,
)
from esteira.core.state import Beat, Failing, Listed, Release
from esteira.fact import Fact, from_row, stamp, to_row, unstamp
from esteira.store.fact_rows import Facts
from esteira.store.rows import BEAT, FAILING, OPEN, Row, facts_of, first_of, open_key, open_row, pk_of, row_of
from esteira.trail import Checkpoint, Seen

BEATS_KEPT = timedelta(days=7)  # a host that is silent for longer is taken for one that is gone
BIRTH = "birth"  # in a release's open row: its birth once more, as JSON, so that a snapshot need not read it


class Releases(Facts):
    """The releases of any number of services."""

    def newest(self, service: str) -> Pushed | None:
        """How the newest release was born, None before the first."""
        return first_of(self._query(service, RELEASES, "release#", newest=1), Pushed)

    def pushed(self, service: str, number: int) -> Pushed | None:
        """How release ``number`` was born, None if there is none."""
        return first_of([self._get(service, RELEASES, birth_key(number))], Pushed)

    def open(self, service: str) -> tuple[dict[int, Listed], tuple[ImageArrived, ...]]:
        """The releases that are under way or live, and the images that are not a release yet."""
        rows = self._query(service, RELEASES, OPEN)
        return open_releases(rows), arrivals(rows)

    def release(self, service: str, number: int) -> Release | None:
        """A release with everything said about it, its builds and its deployments; None if there is none."""
        pushed = self.pushed(service, number)
        if pushed is None:
            return None
        return Release(pushed, frozenset(self.everything(service, number)))

    def everything(self, service: str, number: int) -> list[Fact]:
        """Everything said about a release, its builds and its deployments."""
        facts = list(self.facts(service, about_release(number)))
        for started in [f for f in facts if isinstance(f, DeploymentStarted)]:
            facts.extend(self.facts(service, about_deployment(started.deployment)))
        return facts

    def checkpoint(self, service: str, stage: str, rollout: int) -> Checkpoint | None:
        """The checkpoint of a rollout, None where there is none."""
        return first_of([self._get(service, f"checkpoints/{stage}", f"checkpoint#{rollout:08d}")], Checkpoint)

    def birth(self, service: str, pushed: Pushed, image: ImageArrived | None = None) -> bool:
        """Bring a release into being in one transaction; False if its number, or its image, was taken meanwhile."""
        facts: list[Fact] = [pushed]
        others = [self._put({**open_row(service, pushed.number, 1), BIRTH: json.dumps(to_row(pushed))})]
        if image is not None:
            taken = ImageTaken(at=pushed.at, tag=image.tag, digest=image.digest, release=pushed.number)
            facts.append(replace(taken, missing=bool(pushed.rejected)))
            others.append(self._delete(service, image.about, image.key))
        return self._all_or_none([row_of(service, fact) for fact in facts], others)

    def record_arrival(self, service: str, image: ImageArrived) -> bool:
        """Write that an image arrived unless it has become a release already; whether that is news."""
        return not self.taken(service, image) and self.record(service, image)

    def taken(self, service: str, image: ImageArrived, *, missing: bool = False) -> bool:
        """Whether an arrived image became a release or was dismissed; ``missing``: whether a release calls it gone.

        A dismissal counts as long as the decision is on record that led to it; after that it is deleted.
        """
        key = ImageTaken(at=image.at, tag=image.tag, digest=image.digest, release=0, missing=missing).key
        taken = first_of([self._get(service, RELEASES, key)], ImageTaken)
        kept = timedelta(days=Seen.kept_days or 0)
        if taken is None or taken.release or taken.at > (image.heard or image.at) - kept:
            return taken is not None
        self.forget(service, taken)
        return False

    def dismiss(self, service: str, image: ImageArrived, at: datetime) -> None:
        """Note that an arrived image is a release already, or its tag is on another one: it is never read again."""
        self.record(service, ImageTaken(at=at, tag=image.tag, digest=image.digest, release=0))
        self.forget(service, image)

    def reopen(self, service: str, number: int, attempt: int) -> None:
        """Make a release that was over one that is read again."""
        self._client.put_item(**self._put(open_row(service, number, attempt))["Put"])

    def failed(self, service: str, what: str, error: str, at: datetime) -> None:
        """Count that ``what`` failed once more in a row."""
        before = self._get(service, RELEASES, f"{FAILING}{what}") or {"since": stamp(at), "times": 0}
        key = {"pk": pk_of(service, RELEASES), "sk": f"{FAILING}{what}"}
        row = {**key, "what": what, "since": before["since"], "times": int(before["times"]) + 1, "error": error}
        self._client.put_item(**self._put(row)["Put"])

    def recovered(self, service: str, what: str) -> None:
        """Forget that ``what`` failed."""
        self._client.delete_item(**self._delete(service, RELEASES, f"{FAILING}{what}")["Delete"])

    def failing(self, service: str) -> tuple[Failing, ...]:
        """What failed the last time."""
        return failures(self._query(service, RELEASES, FAILING))

    def beat(self, service: str, said: HostObserved, at: datetime) -> None:
        """Note that a host reported on itself."""
        key = {"pk": pk_of(service, RELEASES), "sk": f"{BEAT}{said.stage}#{said.host}"}
        told = {"at": stamp(at), "release": said.release, "digest": said.digest}
        row = {**key, **told, "expires": int((at + BEATS_KEPT).timestamp())}
        self._client.put_item(**self._put(row)["Put"])

    def beats(self, service: str) -> tuple[Beat, ...]:
        """When each host last reported on itself."""
        return beats_of(self._query(service, RELEASES, BEAT))

    def forget_beat(self, beat: Beat, service: str) -> None:
        """Expect no report of a host any more."""
        self._client.delete_item(**self._delete(service, RELEASES, f"{BEAT}{beat.stage}#{beat.host}")["Delete"])

    def close(self, service: str, number: int, attempt: int) -> None:
        """Read a release no more, unless it was reopened for another attempt meanwhile."""
        self._conditionally(
            lambda: self._client.delete_item(
                TableName=self._table,
                Key=self._key(service, RELEASES, open_key(number)),
                ConditionExpression="attempt = :a",
                ExpressionAttributeValues={":a": {"N": str(attempt)}},
            )
        )


def birth_key(number: int) -> str:
    """The key under which a release's birth stands."""
    return f"release#{number:08d}"


def open_births(rows: list[Row]) -> dict[int, Pushed]:
    """How releases were born, from the rows under ``open#`` that repeat it: those not reopened since."""
    births = (from_row(json.loads(row[BIRTH])) for row in rows if BIRTH in row)
    return {birth.number: birth for birth in births if isinstance(birth, Pushed)}


def open_releases(rows: list[Row]) -> dict[int, Listed]:
    """The listed status of each open release among the rows under ``open#``, by number."""
    return {int(row["number"]): _listed(row) for row in rows if row["sk"].startswith(f"{OPEN}release#")}


def _listed(row: Row) -> Listed:
    texts = {name: str(row.get(name, "")) for name in ("phase", "summary", "next", "cause", "stage")}
    return Listed(**texts, detail=tuple(row.get("detail", ())))


def beats_of(rows: Iterable[Row]) -> tuple[Beat, ...]:
    """When each host last reported on itself, among the rows under ``open#``."""
    found = ((row["sk"].removeprefix(BEAT).partition("#"), row) for row in rows if row["sk"].startswith(BEAT))
    return tuple(
        Beat(stage, host, unstamp(row["at"]), int(row["release"]), row["digest"]) for (stage, _, host), row in found
    )


def failures(rows: Iterable[Row]) -> tuple[Failing, ...]:
    """What failed the last time, among the rows under ``open#``."""
    found = (row for row in rows if row["sk"].startswith(FAILING))
    return tuple(Failing(row["what"], unstamp(row["since"]), int(row["times"]), row["error"]) for row in found)


def arrivals(rows: list[Row]) -> tuple[ImageArrived, ...]:
    """The images that are not a release yet among the rows under ``open#``."""
    facts = facts_of(row for row in rows if row["sk"].startswith(f"{OPEN}image#"))
    return tuple(fact for fact in facts if isinstance(fact, ImageArrived))
