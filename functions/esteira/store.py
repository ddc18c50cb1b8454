"""The table: facts under their natural keys, and the two projections made from them.

Facts are only ever added, by conditional puts; nothing here reads, changes and writes back. Every read of the
controller is strongly consistent and bounded: by a limit, or by what is open. The projections (``open#``: what is
under way; ``view#``: for listing) may be rebuilt from the facts at any time. This file and ``cloud`` are the only two
that know boto3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from esteira.config import Service
from esteira.core.facts import (
    RELEASES,
    AlarmRang,
    CommitPushed,
    Decided,
    DeploymentStarted,
    Fact,
    Held,
    ImageArrived,
    ImageTaken,
    Notified,
    Pushed,
    Quarantined,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    Seen,
    Superseded,
    about_deployment,
    about_release,
    about_stage,
    from_row,
    stamp,
    to_row,
)
from esteira.core.state import Listed, Release, StageState
from esteira.core.status import Status

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """One row of the history: a projection, as last written. ``stages`` are ``NAME=PHASE`` of each it came to."""

    number: int
    phase: str
    summary: str
    commit: str
    tag: str
    digest: str
    classes: tuple[str, ...]
    pushed_at: str
    changed_at: str
    detail: tuple[str, ...] = ()
    next: str = ""
    cause: str = ""
    stage: str = ""
    stages: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The sentence and the next step in one line."""
        return f"{self.summary}; next: {self.next}" if self.next else self.summary


class Store:
    """One DynamoDB table with keys ``pk`` and ``sk``, for any number of services."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # --- facts

    def record(self, service: str, fact: Fact) -> bool:
        """Write ``fact`` unless it is there already; return whether it was new."""
        return self._put(self._row(service, fact))

    def record_arrival(self, service: str, image: ImageArrived) -> bool:
        """Write that an image arrived unless it has become a release already; return whether that is news."""
        return not self.taken(service, image) and self.record(service, image)

    def facts(self, service: str, about: str, prefix: str = "") -> tuple[Fact, ...]:
        """All facts in a partition whose keys begin with ``prefix``."""
        return tuple(from_row(row) for row in self._query(service, about, prefix) if "fact" in row)

    def newest_facts(self, service: str, about: str, prefix: str, limit: int) -> tuple[Fact, ...]:
        """The last ``limit`` facts of a partition whose keys begin with ``prefix``, the last first."""
        return tuple(from_row(row) for row in self._query(service, about, prefix, newest=limit) if "fact" in row)

    # --- releases

    def newest(self, service: str) -> Pushed | None:
        """How the newest release was born, None before the first."""
        rows = self._query(service, RELEASES, "release#", newest=1)
        return _one(rows, Pushed)

    def pushed(self, service: str, number: int) -> Pushed | None:
        """How release ``number`` was born, None if there is none."""
        row = self._get(service, RELEASES, f"release#{number:08d}")
        return _one([row] if row else [], Pushed)

    def open(self, service: str) -> tuple[dict[int, Listed], tuple[ImageArrived, ...]]:
        """The releases that are under way or live, and the images that are not a release yet."""
        rows = {}
        arrived: list[ImageArrived] = []
        for row in self._query(service, RELEASES, "open#"):
            if "fact" in row:
                arrived.append(from_row(row))  # type: ignore[arg-type]
            else:
                rows[int(row["number"])] = _listed(row)
        return rows, tuple(arrived)

    def release(self, service: str, number: int) -> Release | None:
        """A release with everything said about it, its builds and its deployments; None if there is none."""
        pushed = self.pushed(service, number)
        if pushed is None:
            return None
        facts = list(self.facts(service, about_release(number)))
        for started in [f for f in facts if isinstance(f, DeploymentStarted)]:
            facts.extend(self.facts(service, about_deployment(started.deployment)))
        return Release(pushed, frozenset(facts))

    def birth(self, service: str, pushed: Pushed, image: ImageArrived | None = None) -> bool:
        """Bring a release into being in one transaction; False if its number, or its image, was taken meanwhile."""
        open_row = _packed(self._open_row(service, pushed.number, 1))
        puts = [self._new(self._row(service, pushed)), {"Put": {"TableName": self._table, "Item": open_row}}]
        if image is not None:
            missing = bool(pushed.rejected)
            taken = ImageTaken(at=pushed.at, tag=image.tag, digest=image.digest, release=pushed.number, missing=missing)
            puts.append(self._new(self._row(service, taken)))
            puts.append({"Delete": {"TableName": self._table, "Key": self._key(service, image.about, image.key)}})
        return self._transact(puts)

    def taken(self, service: str, image: ImageArrived, *, missing: bool = False) -> bool:
        """Whether an arrived image became a release or was dismissed; ``missing``: whether a release calls it gone."""
        key = ImageTaken(at=image.at, tag=image.tag, digest=image.digest, release=0, missing=missing).key
        return self._get(service, RELEASES, key) is not None

    def dismiss(self, service: str, image: ImageArrived, at: datetime) -> None:
        """Note that an arrived image is gone, or a release already, so that it is read no more."""
        self.record(service, ImageTaken(at=at, tag=image.tag, digest=image.digest, release=0))
        self._client.delete_item(TableName=self._table, Key=self._key(service, image.about, image.key))

    def reopen(self, service: str, number: int, attempt: int) -> None:
        """Make a release that was over one that is read again."""
        self._client.put_item(TableName=self._table, Item=_packed(self._open_row(service, number, attempt)))

    def close(self, service: str, number: int, attempt: int) -> None:
        """Read a release no more, unless it was reopened for another attempt meanwhile."""
        _conditionally(
            lambda: self._client.delete_item(
                TableName=self._table,
                Key=self._key(service, RELEASES, f"open#release#{number:08d}"),
                ConditionExpression="attempt = :a",
                ExpressionAttributeValues={":a": {"N": str(attempt)}},
            )
        )

    # --- the stage

    def stage(self, service: str, stage: str) -> StageState:
        """The stage's latest rollout, how it ended, and the latest words of operators."""
        about = about_stage(stage)
        rollouts = self.newest_facts(service, about, "rollout#", 2)
        rollout = next((f for f in rollouts if isinstance(f, Rollout)), None)
        ends = (f for f in rollouts if isinstance(f, RolloutFinished))
        finished = next((f for f in ends if rollout and f.rollout == rollout.number), None)
        hold = _one(self._query(service, about, "hold#", newest=1), Held)
        rollback = _one(self._query(service, about, "rollback#", newest=1), RollbackOrdered)
        reminder = f"notified#hold-ends-soon#{stamp(hold.at)}#event" if hold else ""
        reminded = _one(self._query(service, about, reminder, newest=1), Notified) if hold and hold.until else None
        return StageState(stage, rollout, finished, hold, rollback, reminded)

    def stages(self, service: Service) -> Iterator[StageState]:
        """The service's stages in their order, each with its rules and the one before it."""
        before = None
        for rules in service.stages:
            before = replace(self.stage(service.name, rules.name), rules=rules, before=before)
            yield before

    def claim_rollout(self, service: str, rollout: Rollout) -> bool:
        """Claim a stage's rollout; False if it was claimed, or the release aborted or superseded, meanwhile."""
        superseded = Superseded(at=rollout.at, release=rollout.release, by=0)
        checks = [
            {
                "ConditionCheck": {
                    "TableName": self._table,
                    "Key": self._key(service, about_release(rollout.release), key),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
            for key in (f"aborted#{rollout.attempt:04d}", superseded.key)
            if rollout.kind == "deploy"
        ]
        return self._transact([self._new(self._row(service, rollout)), *checks])

    def quarantine(self, service: str, subjects: Iterable[str]) -> Quarantined | None:
        """The word that quarantines one of ``subjects`` (commits, digests; "" is none), unless it was lifted."""
        for subject in filter(None, subjects):
            word = _one(self._query(service, f"quarantine/{subject}", "quarantine#", newest=1), Quarantined)
            if word is not None and not word.lifted:
                return word
        return None

    def pushers(self, service: str, commit: str) -> tuple[str, ...]:
        """Who CodeCommit said made a commit the branch's tip: IAM ARNs; none where no event told."""
        facts = self.facts(service, f"commit/{commit}", "pushed-by#")
        return tuple(sorted(f.by for f in facts if isinstance(f, CommitPushed)))

    def alarms(self, service: str, names: Iterable[str]) -> tuple[AlarmRang, ...]:
        """The last time each of those alarms went off, of those that ever did."""
        rang = (_one(self._query(service, f"alarm/{name}", "rang#", newest=1), AlarmRang) for name in names)
        return tuple(filter(None, rang))

    def say(
        self, service: str, request: str, at: datetime, words: Iterable[Fact], reopen: tuple[int, int] | None = None
    ) -> bool:
        """Write an operator's words, all or none; False if that request was heard before.

        ``reopen`` is a release and its attempt that is to be read again from now on.
        """
        expires = int((at + timedelta(days=2)).timestamp())
        heard = {"pk": _pk(service, "requests"), "sk": request, "expires": expires}
        writes = [self._new(heard), *(self._new(self._row(service, w)) for w in words)]
        if reopen is not None:
            item = _packed(self._open_row(service, *reopen))
            writes.append({"Put": {"TableName": self._table, "Item": item}})
        return self._transact(writes)

    # --- the record

    def write_decisions(self, service: str, decisions: Sequence[Decided | Seen]) -> None:
        """Write down what was decided in one round, and from what. A row is its own: written twice, it is the same."""
        for start in range(0, len(decisions), 25):
            puts: list[Any] = [
                {"PutRequest": {"Item": _packed(self._row(service, d))}} for d in decisions[start : start + 25]
            ]
            while puts:
                answer = self._client.batch_write_item(RequestItems={self._table: puts})
                puts = answer.get("UnprocessedItems", {}).get(self._table, [])

    # --- projections

    def project(
        self, service: str, release: Release, status: Status, stages: Mapping[str, Status], at: datetime
    ) -> None:
        """Write where a release stands now, in all and on each stage it came to, for listing and so that a change of it
        is noticed."""
        pushed = release.pushed
        view = View(
            number=pushed.number,
            phase=status.phase.value,
            summary=status.summary,
            commit=pushed.commit,
            tag=pushed.tag,
            digest=release.digest,
            classes=pushed.classes,
            pushed_at=stamp(pushed.at),
            changed_at=stamp(at),
            detail=status.detail,
            next=status.next,
            cause=status.cause,
            stage=status.stage,
            stages=tuple(f"{name}={there.phase.value}" for name, there in stages.items()),
        )
        row: dict[str, Any] = {"pk": _pk(service, RELEASES), "sk": f"view#{pushed.number:08d}"}
        row |= {f.name: getattr(view, f.name) for f in fields(view)}
        row |= {name: list(row[name]) for name in ("classes", "detail", "stages")}
        self._client.put_item(TableName=self._table, Item=_packed(row))
        is_open = _conditionally(
            lambda: self._client.update_item(
                TableName=self._table,
                Key=self._key(service, RELEASES, f"open#release#{pushed.number:08d}"),
                UpdateExpression="SET phase = :p, summary = :s, detail = :d, #n = :n, cause = :c, stage = :t",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeNames={"#n": "next"},
                ExpressionAttributeValues={
                    f":{mark}": value
                    for mark, value in zip("psdnct", _packed(row_of(status.listed)).values(), strict=True)
                },
            )
        )
        if not is_open and not status.phase.ended:
            self.reopen(service, pushed.number, release.attempt)

    def views(self, service: str, limit: int = 20, before: int | None = None) -> list[View]:
        """The newest ``limit`` rows of the history, newest first, of releases below ``before``."""
        names = {f.name for f in fields(View)}
        last = f"view#{before - 1:08d}" if before else None
        rows = self._query(service, RELEASES, "view#", newest=limit, last=last)
        views = [View(**{k: v for k, v in row.items() if k in names}) for row in rows]
        return [
            replace(
                v,
                number=int(v.number),
                classes=tuple(v.classes),
                detail=tuple(v.detail),
                stages=tuple(v.stages),
            )
            for v in views
        ]

    def find(self, service: str, commit: str, depth: int = 1000) -> int | None:
        """The newest release of a commit (or its first characters) among the last ``depth``, if there is one."""
        before = None
        while depth > 0:
            page = self.views(service, min(depth, 100), before)
            found = next((v.number for v in page if v.commit and v.commit.startswith(commit)), None)
            if found is not None or not page:
                return found
            before, depth = page[-1].number, depth - len(page)
        return None

    # --- rows

    def _row(self, service: str, fact: Fact) -> dict[str, Any]:
        row = {"pk": _pk(service, fact.about), "sk": fact.key, **to_row(fact)}
        if fact.kept_days is not None:
            row["expires"] = int((fact.at + timedelta(days=fact.kept_days)).timestamp())
        return row

    def _open_row(self, service: str, number: int, attempt: int) -> dict[str, Any]:
        row = {"pk": _pk(service, RELEASES), "sk": f"open#release#{number:08d}"}
        return row | {"number": number, "attempt": attempt}

    def _key(self, service: str, about: str, key: str) -> dict[str, Any]:
        return _packed({"pk": _pk(service, about), "sk": key})

    def _new(self, row: Mapping[str, Any]) -> dict[str, Any]:
        put = {"TableName": self._table, "Item": _packed(row), "ConditionExpression": "attribute_not_exists(pk)"}
        return {"Put": put}

    def _put(self, row: Mapping[str, Any]) -> bool:
        return _conditionally(lambda: self._client.put_item(**self._new(row)["Put"]))

    def _transact(self, writes: list[dict[str, Any]]) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons: list[Any] = list(error.response.get("CancellationReasons", []))
            if any(r.get("Code") not in ("None", "ConditionalCheckFailed") for r in reasons):
                raise  # a conflict with another transaction or a throttle: whoever called us is called again
            return False
        return True

    def _get(self, service: str, about: str, key: str) -> dict[str, Any] | None:
        answer = self._client.get_item(TableName=self._table, Key=self._key(service, about, key), ConsistentRead=True)
        return _unpacked(answer["Item"]) if "Item" in answer else None

    def _query(
        self, service: str, about: str, prefix: str, newest: int | None = None, last: str | None = None
    ) -> list[dict[str, Any]]:
        """A partition's rows under ``prefix``: all ascending, or the ``newest`` up to ``last``, descending."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _pk(service, about)}},
            "ConsistentRead": True,
        }
        if last is not None:
            request["KeyConditionExpression"] += " AND sk BETWEEN :from AND :to"
            request["ExpressionAttributeValues"] |= {":from": {"S": prefix}, ":to": {"S": last}}
        elif prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :sk)"
            request["ExpressionAttributeValues"][":sk"] = {"S": prefix}
        if newest is not None:
            request |= {"Limit": newest, "ScanIndexForward": False}
        rows: list[dict[str, Any]] = []
        while True:
            answer = self._client.query(**request)
            rows.extend(_unpacked(item) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer or (newest is not None and len(rows) >= newest):
                return rows
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _conditionally(write: Callable[[], object]) -> bool:
    """Make a conditional write; return whether its condition held."""
    from botocore.exceptions import ClientError

    try:
        write()
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


def _listed(row: Mapping[str, Any]) -> Listed:
    values = {f.name: row.get(f.name, "") for f in fields(Listed)}
    return Listed(**{**values, "detail": tuple(row.get("detail", ()))})


def row_of(listed: Listed) -> dict[str, Any]:
    """The listed status as plain values, in the order of its fields."""
    return {f.name: getattr(listed, f.name) for f in fields(listed)} | {"detail": list(listed.detail)}


def _pk(service: str, about: str) -> str:
    return f"{service}#{about}"


def _one(rows: Iterable[Mapping[str, Any]], kind: type[T]) -> T | None:
    """The first row's fact if it is of that kind."""
    first = next(iter(rows), None)
    fact = from_row(first) if first else None
    return fact if isinstance(fact, kind) else None


def _packed(row: Mapping[str, Any]) -> dict[str, Any]:
    from boto3.dynamodb.types import TypeSerializer

    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in row.items()}


def _unpacked(item: Mapping[str, Any]) -> dict[str, Any]:
    from boto3.dynamodb.types import TypeDeserializer

    deserializer = TypeDeserializer()
    return {name: deserializer.deserialize(value) for name, value in item.items()}
