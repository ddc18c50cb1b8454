"""The controller's table as reading commands see it: DynamoDB asked through the wire, its rows unpacked here.

``esteira.store`` unpacks rows with boto3's own types, and importing those imports all of boto3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from esteira.store import Store

Ask = Callable[..., dict[str, Any]]


class Table(Store):
    """The table, to be read only."""

    def __init__(self, ask: Ask, table: str) -> None:
        self._ask = ask
        self._table = table

    def _get(self, service: str, about: str, key: str) -> dict[str, Any] | None:
        wanted = {"pk": {"S": f"{service}#{about}"}, "sk": {"S": key}}
        answer = self._ask("dynamodb", "GetItem", TableName=self._table, Key=wanted, ConsistentRead=True)
        return _unpacked(answer["Item"]) if "Item" in answer else None

    def _query(
        self, service: str, about: str, prefix: str, newest: int | None = None, last: str | None = None
    ) -> list[dict[str, Any]]:
        request = _request(self._table, f"{service}#{about}", prefix, newest, last)
        rows: list[dict[str, Any]] = []
        while True:
            answer = self._ask("dynamodb", "Query", **request)
            rows.extend(map(_unpacked, answer["Items"]))
            if "LastEvaluatedKey" not in answer or (newest is not None and len(rows) >= newest):
                return rows
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _request(table: str, pk: str, prefix: str, newest: int | None, last: str | None) -> dict[str, Any]:
    """A query of a partition's rows under ``prefix``: all ascending, or the ``newest`` up to ``last``, descending."""
    condition, values = "pk = :pk", {":pk": {"S": pk}}
    if last is not None:
        condition += " AND sk BETWEEN :from AND :to"
        values |= {":from": {"S": prefix}, ":to": {"S": last}}
    elif prefix:
        condition += " AND begins_with(sk, :sk)"
        values[":sk"] = {"S": prefix}
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
    }
    return request if newest is None else {**request, "Limit": newest, "ScanIndexForward": False}


def _unpacked(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in item.items()}


def _value(typed: Mapping[str, Any]) -> Any:
    [(kind, value)] = typed.items()
    match kind:
        case "N":
            return Decimal(value)
        case "NULL":
            return None
        case "L":
            return [_value(member) for member in value]
        case "M":
            return _unpacked(value)
        case "SS":
            return set(value)
        case _:  # S, BOOL
            return value
