"""The raw table: conditional puts, transactions, queries and batches, with every partial answer read.

A put whose answer was lost is sent again by botocore and then finds its own row. So each put carries a ``token`` made
for that one call: a row with the same token is ours, and the put counts as done.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import sleep as wait
from typing import TYPE_CHECKING, Any

from esteira.backoff import Sleep, patiently, tries
from esteira.errors import PartialError, code_of
from esteira.store.rows import Row, packed, pk_of, unpacked

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Write = dict[str, Any]
# A cancelled transaction with one of these reasons met another one, or a full table: it may be tried again.
_TRANSIENT = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_BATCH_READ, _BATCH_WRITE = 100, 25


class Table:
    """One DynamoDB table with keys ``pk`` and ``sk``. ``sleep`` pauses between tries."""

    def __init__(self, client: DynamoDBClient, table: str, sleep: Sleep = wait) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    # --- one write in a transaction

    def _new(self, row: Mapping[str, Any]) -> Write:
        """A put that only holds where no row stands."""
        return self._put_if("attribute_not_exists(pk)", {**row, "token": uuid.uuid4().hex})

    def _newer(self, row: Mapping[str, Any]) -> Write:
        """A put of the latest fact of a series; it only holds where none stands or an older one."""
        put = self._put_if("attribute_not_exists(pk) OR fact_key < :k", row)
        put["Put"]["ExpressionAttributeValues"] = packed({":k": row["fact_key"]})
        return put

    def _put_if(self, condition: str, row: Mapping[str, Any]) -> Write:
        put = {"TableName": self._table, "Item": packed(row), "ConditionExpression": condition}
        return {"Put": {**put, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}

    def _put(self, row: Mapping[str, Any]) -> Write:
        """A put that replaces whatever stands there."""
        return {"Put": {"TableName": self._table, "Item": packed(row)}}

    def _delete(self, service: str, about: str, key: str) -> Write:
        return {"Delete": {"TableName": self._table, "Key": self._key(service, about, key)}}

    def _change(self, service: str, about: str, key: str, values: Mapping[str, Any]) -> Write:
        """New values in a row; it only holds where the row is there."""
        update = {
            "TableName": self._table,
            "Key": self._key(service, about, key),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values),
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": {f"#{name}": name for name in values},
            "ExpressionAttributeValues": packed({f":{name}": value for name, value in values.items()}),
        }
        return {"Update": update}

    def _absent(self, service: str, about: str, key: str) -> Write:
        """A condition: no row stands there."""
        check = {"TableName": self._table, "Key": self._key(service, about, key)}
        return {"ConditionCheck": {**check, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _key(self, service: str, about: str, key: str) -> dict[str, Any]:
        return packed({"pk": pk_of(service, about), "sk": key})

    # --- writing

    def _put_new(self, row: Mapping[str, Any]) -> bool:
        """Add a row in one call; False if another one stands there."""
        put = self._new(row)["Put"]
        return self._conditionally(lambda: self._client.put_item(**put), put["Item"])

    def _conditionally(self, write: Callable[[], object], item: Mapping[str, Any] | None = None) -> bool:
        """Make a write of one row with a condition; whether it held, or the row that stands there is this ``item``."""
        try:
            patiently(write, lambda error: code_of(error) == "TransactionConflictException", self._sleep)
        except Exception as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return _ours(item or {}, getattr(error, "response", {}).get("Item"))
        return True

    def _transact(self, writes: Sequence[Write]) -> tuple[int, ...]:
        """Write all or nothing in one call: the places of the writes whose condition did not hold, () where all did.

        botocore gives each call a token and keeps it when it sends the call again, so DynamoDB writes once.
        """
        asked: Any = writes
        try:
            patiently(lambda: self._client.transact_write_items(TransactItems=asked), _met_another, self._sleep)
        except Exception as error:
            reasons = _reasons(error)
            codes = {reason.get("Code") for reason in reasons}
            if not codes or codes - {"None", "ConditionalCheckFailed"}:
                raise
            return _refused(writes, reasons)
        return ()

    def _write_batch(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put rows without conditions, twenty-five in a call. Raises PartialError where DynamoDB leaves some out."""

        def put(left: list[Any]) -> list[Any]:
            answer: Any = self._client.batch_write_item(RequestItems={self._table: left})
            return list(answer.get("UnprocessedItems", {}).get(self._table, []))

        self._in_batches([{"PutRequest": {"Item": packed(row)}} for row in rows], _BATCH_WRITE, put, "unwritten")

    def _in_batches(
        self, requests: Sequence[Any], size: int, send: Callable[[list[Any]], list[Any]], undone: str
    ) -> None:
        """Send requests in batches; ``send`` gives back those that DynamoDB left out, which are sent again."""
        for start in range(0, len(requests), size):
            left = list(requests[start : start + size])
            for _ in tries(self._sleep):
                left = send(left)
                if not left:
                    break
            else:
                raise PartialError(f"DynamoDB left {len(left)} rows of {self._table} {undone}; the call is made again")

    # --- reading

    def _get(self, service: str, about: str, key: str) -> Row | None:
        answer = self._client.get_item(TableName=self._table, Key=self._key(service, about, key), ConsistentRead=True)
        return unpacked(answer["Item"]) if "Item" in answer else None

    def _get_many(self, service: str, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Row]:
        """The rows at those partitions and keys of a service; a place without a row is left out."""
        found = self._get_rows((pk_of(service, about), key) for about, key in places)
        return {(pk.removeprefix(f"{service}#"), sk): row for (pk, sk), row in found.items()}

    def _get_rows(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Row]:
        """The rows under those keys, a hundred in a call, by their keys; a key without a row is left out."""
        found: list[Row] = []

        def get(left: list[Any]) -> list[Any]:
            answer: Any = self._client.batch_get_item(
                RequestItems={self._table: {"Keys": left, "ConsistentRead": True}}
            )
            found.extend(unpacked(item) for item in answer["Responses"].get(self._table, []))
            return list(answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", []))

        keys = [packed({"pk": pk, "sk": sk}) for pk, sk in dict.fromkeys(places)]
        self._in_batches(keys, _BATCH_READ, get, "unread")
        return {(row["pk"], row["sk"]): row for row in found}

    def _query(
        self, service: str, about: str, prefix: str, newest: int | None = None, last: str | None = None
    ) -> list[Row]:
        """A partition's rows under ``prefix``: all ascending, or the ``newest`` up to ``last``, descending."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk_of(service, about)}},
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
        rows: list[Row] = []
        while True:
            answer = self._client.query(**request)
            rows.extend(unpacked(item) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer or (newest is not None and len(rows) >= newest):
                return rows
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _ours(item: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
    """Whether the row that was found is the one that this very call put there."""
    return found is not None and "token" in item and found.get("token") == item["token"]


def _reasons(error: Exception) -> list[Any]:
    """Why each write of a cancelled transaction was not made; none for another error."""
    cancelled = code_of(error) == "TransactionCanceledException"
    return list(getattr(error, "response", {}).get("CancellationReasons", [])) if cancelled else []


def _met_another(error: Exception) -> bool:
    return any(reason.get("Code") in _TRANSIENT for reason in _reasons(error))


def _refused(writes: Sequence[Write], reasons: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The places whose condition did not hold; () where a row of this very call stands there, so all was written."""
    refused = tuple(n for n, reason in enumerate(reasons) if reason["Code"] == "ConditionalCheckFailed")
    mine = (_ours(writes[n].get("Put", {}).get("Item", {}), reasons[n].get("Item")) for n in refused)
    return () if any(mine) else refused
