"""DynamoDB's items over moto's tables and expressions, with what moto lacks: partitions kept in order (a query reads
its range and not the table), transactions that copy only what they touch and honour their token, and capacity units
computed from item sizes.

The sizes are DynamoDB's documented ones; a write costs 1 unit per KB of the larger of the item before and after, a read
1 per 4 KB summed over the query, half when eventually consistent, everything double in a transaction; secondary indexes
add what they are written.
"""

from __future__ import annotations

import base64
import json
import math
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from moto.core.exceptions import ServiceException
from moto.dynamodb.comparisons import create_condition_expression_parser, get_filter_expression
from moto.dynamodb.exceptions import ConditionalCheckFailed, MockValidationException
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.parsing.key_condition_expression import parse_expression
from moto.dynamodb.responses import DynamoHandler, ProjectionExpressionParser, validate_attributes_used
from werkzeug.exceptions import HTTPException

from console.local.aws.api import AwsError, Operation, Params
from console.local.aws.clock import Clock
from console.local.aws_account import ACCOUNT, REGION

PAGE = 1024 * 1024  # bytes a query reads at most
BATCH = 25  # writes in one BatchWriteItem at most
BATCH_READ = 100  # keys in one BatchGetItem at most
TOKEN_LIFE = timedelta(minutes=10)
ORIGINAL = {
    name: getattr(DynamoHandler, name) for name in ("put_item", "get_item", "query", "delete_item", "update_item")
}


class Partition(dict[Any, Any]):
    """The items under one partition key, with their sort keys in DynamoDB's order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[Any] = []
        self.by_sort: dict[Any, Any] = {}

    def __setitem__(self, key: Any, item: Any) -> None:
        if key not in self:
            insort(self.order, _sortable(key))
        self.by_sort[_sortable(key)] = item
        super().__setitem__(key, item)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._dropped(key)

    def pop(self, key: Any, *default: Any) -> Any:
        """Take one item out."""
        there = key in self
        item = super().pop(key, *default)
        if there:
            self._dropped(key)
        return item

    def _dropped(self, key: Any) -> None:
        sort = _sortable(key)
        del self.by_sort[sort]
        del self.order[bisect_left(self.order, sort)]


class DynamoDb:
    """The operations on items. Tables themselves are moto's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[str, datetime, dict[str, Any]]] = {}
        self.operations: dict[str, Operation] = {
            "PutItem": self.put_item,
            "GetItem": self.get_item,
            "Query": self.query,
            "DeleteItem": self.delete_item,
            "UpdateItem": self.update_item,
            "BatchGetItem": self.batch_get_item,
            "BatchWriteItem": self.batch_write_item,
            "TransactWriteItems": self.transact_write_items,
        }

    def dump(self) -> dict[str, Any]:
        """Every table's items, in DynamoDB's JSON, to be kept."""
        tables = dynamodb_backends[ACCOUNT][REGION].tables
        return {name: [_json(item) for item in table.all_items()] for name, table in tables.items()}

    def load(self, kept: dict[str, Any]) -> None:
        """Take up what ``dump`` gave, in the tables that exist."""
        tables = dynamodb_backends[ACCOUNT][REGION].tables
        for name, items in kept.items():
            if name in tables:
                for item in items:
                    ordered(tables[name]).put_item(item)

    # AWS's operations

    def put_item(self, params: Params) -> dict[str, Any]:
        """PutItem."""
        return self._write("put_item", params, params.get("Item", {}))

    def delete_item(self, params: Params) -> dict[str, Any]:
        """DeleteItem."""
        return self._write("delete_item", params, params.get("Key", {}))

    def update_item(self, params: Params) -> dict[str, Any]:
        """UpdateItem."""
        return self._write("update_item", params, params.get("Key", {}))

    def get_item(self, params: Params) -> dict[str, Any]:
        """GetItem."""
        with _errors():
            table = _table(params["TableName"])
            answer = _moto("get_item", params)
            units = _reads(_size(_current(table, params["Key"])), params)
            return answer | _consumed(params, table.name, units)

    def query(self, params: Params) -> dict[str, Any]:
        """Query: of the table in key order by bisection; of an index as moto does it."""
        with _errors():
            table = _table(params["TableName"])
            plain = params.get("KeyConditionExpression") and not params.get("IndexName") and table.range_key_attr
            if not plain or params.get("QueryFilter") or params.get("AttributesToGet"):
                answer = _moto("query", params)
                size = sum(_json_size(item) for item in answer.get("Items", []))
            else:
                answer, size = _query(table, params)
            return answer | _consumed(params, table.name, _reads(size, params))

    def batch_get_item(self, params: Params) -> dict[str, Any]:
        """BatchGetItem: each item by itself. All are read, in an order that is not that of the keys."""
        with _errors():
            asked = [(name, one) for name, group in params["RequestItems"].items() for one in group["Keys"]]
            _keys_are_valid(asked)
            wanted = params.get("ReturnConsumedCapacity", "NONE")
            units: dict[str, dict[str, Any]] = {}
            found: dict[str, list[Any]] = {name: [] for name in params["RequestItems"]}
            for name, key in reversed(asked):
                options = {k: v for k, v in params["RequestItems"][name].items() if k != "Keys"}
                answer = self.get_item({"TableName": name, "Key": key, "ReturnConsumedCapacity": wanted, **options})
                found[name] += [answer["Item"]] if "Item" in answer else []
                _add_up(units, answer.get("ConsumedCapacity"))
            told: dict[str, Any] = {"Responses": found, "UnprocessedKeys": {}}
            return told | ({"ConsumedCapacity": list(units.values())} if units else {})

    def batch_write_item(self, params: Params) -> dict[str, Any]:
        """BatchWriteItem: puts and deletes without conditions, each by itself; there is always room for all of them."""
        with _errors():
            writes = [(name, one) for name, group in params["RequestItems"].items() for one in group]
            _batch_is_valid(params["RequestItems"], writes)
            wanted = params.get("ReturnConsumedCapacity", "NONE")
            units: dict[str, dict[str, Any]] = {}
            for name, one in writes:
                put = one.get("PutRequest")
                given = {"Item": put["Item"]} if put else {"Key": one["DeleteRequest"]["Key"]}
                request = {"TableName": name, "ReturnConsumedCapacity": wanted, **given}
                answer = self.put_item(request) if put else self.delete_item(request)
                _add_up(units, answer.get("ConsumedCapacity"))
            told: dict[str, Any] = {"UnprocessedItems": {}}
            return told | ({"ConsumedCapacity": list(units.values())} if units else {})

    def transact_write_items(self, params: Params) -> dict[str, Any]:
        """TransactWriteItems: all or nothing; the same token within ten minutes does nothing more."""
        with _errors():
            token = params.get("ClientRequestToken")
            body = json.dumps(params["TransactItems"], sort_keys=True, default=repr)
            if token and (known := self._known(token, body)) is not None:
                return known
            answer = _transact(params)
            if token:
                self._tokens[token] = (body, self._clock.now(), answer)
            return answer

    def _known(self, token: str, body: str) -> dict[str, Any] | None:
        if token not in self._tokens:
            return None
        before, at, answer = self._tokens[token]
        if self._clock.now() - at >= TOKEN_LIFE:
            return None
        if before != body:
            text = f"The ClientRequestToken {token} was used with other items: use a new token for another transaction."
            raise AwsError("IdempotentParameterMismatchException", text)
        return answer

    @staticmethod
    def _write(action: str, params: Params, key: Mapping[str, Any]) -> dict[str, Any]:
        with _errors():
            table = _table(params["TableName"])
            before = deepcopy(_current(table, key))
            try:
                answer = _moto(action, params)
            except Exception:
                _restore(table, key, before)  # moto's UpdateItem may leave half an item behind
                raise
            units = _writes(table, before, _current(table, key))
            return answer | _consumed(params, table.name, units)


def ordered(table: Any) -> Any:
    """The table with its items in :class:`Partition` s (made so when first seen)."""
    if table.range_key_attr and table.items.default_factory is not Partition:
        items: defaultdict[Any, Partition] = defaultdict(Partition)
        for key, partition in table.items.items():
            for sort, item in partition.items():
                items[key][sort] = item
        table.items = items
        table.all_items = lambda: [item for part in table.items.values() for item in _in_order(part)]
    return table


def _table(name: str) -> Any:
    return ordered(dynamodb_backends[ACCOUNT][REGION].get_table(name))


def _in_order(partition: Partition) -> Iterator[Any]:
    return (partition.by_sort[sort] for sort in partition.order)


def _sortable(key: Any) -> Any:
    """A sort key as Python orders it the way DynamoDB does: numbers by value, strings by their UTF-8 bytes."""
    if key.type == "N":
        return Decimal(key.value)
    return key.value.encode() if isinstance(key.value, str) else bytes(key.value)


def _keys(table: Any, key: Mapping[str, Any]) -> tuple[Any, Any]:
    sort = table.range_key_attr
    return DynamoType(key[table.hash_key_attr]), DynamoType(key[sort]) if sort else None


def _current(table: Any, key: Mapping[str, Any]) -> Any:
    try:
        partition, sort = _keys(table, key)
    except (KeyError, IndexError):
        return None  # moto refuses such a key in its own words
    if sort is None:
        return table.items.get(partition)
    return table.items.get(partition, {}).get(sort)


def _restore(table: Any, key: Mapping[str, Any], before: Any) -> None:
    try:
        partition, sort = _keys(table, key)
    except (KeyError, IndexError):
        return
    if before is not None and sort is not None:
        table.items[partition][sort] = before
    elif before is not None:
        table.items[partition] = before
    elif sort is not None:
        table.items[partition].pop(sort, None)
    else:
        table.items.pop(partition, None)


def _moto(action: str, params: Params) -> dict[str, Any]:
    handler = DynamoHandler()
    handler.body = {name: value for name, value in params.items() if name != "ReturnConsumedCapacity"}
    handler.params = handler.body
    handler.current_account, handler.region = ACCOUNT, REGION
    answer = dict(ORIGINAL[action](handler).result)
    return {name: value for name, value in answer.items() if not name.startswith("ConsumedCapacity")}


@contextmanager
def _errors() -> Iterator[None]:
    """moto's errors as :class:`AwsError`."""
    try:
        yield
    except ServiceException as error:
        raise AwsError(str(error.code), str(error.message)) from error
    except HTTPException as error:
        told = json.loads(str(error.description))
        code = str(told.pop("__type", "InternalServerError")).rpartition("#")[2]
        message = str(told.pop("message", None) or told.pop("Message", ""))
        raise AwsError(
            code, message, **{name: value for name, value in told.items() if name.lower() != "message"}
        ) from error


# queries


def _query(table: Any, params: Params) -> tuple[dict[str, Any], int]:
    names = params.get("ExpressionAttributeNames") or {}
    values = params.get("ExpressionAttributeValues") or {}
    hashes, ranges, used = parse_expression(
        key_condition_expression=params["KeyConditionExpression"],
        expression_attribute_names=names,
        expression_attribute_values=values,
        schema=table.schema,
    )
    filters = create_condition_expression_parser(params.get("FilterExpression"), names, values)
    filters.parse()
    projector = ProjectionExpressionParser(params.get("ProjectionExpression"), names)
    projection = projector.parse()
    used = [*used, *filters.expr_attr_names_found, *projector.expr_attr_names_found]
    validate_attributes_used(names, used, validation_error_prefix=False)

    partition = table.items.get(DynamoType(hashes[0][1]))
    order = partition.order if partition is not None else []
    low, high = 0, len(order)
    for _, comparison, operands in ranges:
        low, high = _span(order, comparison, [_sortable(DynamoType(value)) for value in operands])
    forward = params.get("ScanIndexForward", True)
    if params.get("ExclusiveStartKey"):
        start = _sortable(DynamoType(params["ExclusiveStartKey"][table.range_key_attr]))
        low, high = (
            (max(low, bisect_right(order, start)), high) if forward else (low, min(high, bisect_left(order, start)))
        )
    chosen, size, more = _read(
        [partition.by_sort[s] for s in _slice(order, low, high, forward)] if order else [], params.get("Limit")
    )

    kept = _kept(chosen, params.get("FilterExpression"), names, values)
    answer: dict[str, Any] = {"Count": len(kept), "ScannedCount": len(chosen)}
    if params.get("Select") != "COUNT":
        shown = [item.project(projection) for item in kept] if projection else kept
        answer["Items"] = [dynamo_to_dict(dict(item.attrs)) for item in shown]
    if more:
        last = chosen[-1]
        answer["LastEvaluatedKey"] = {name: dynamo_to_dict(last.attrs[name]) for name in table.table_key_attrs}
    return answer, size


def _kept(chosen: list[Any], expression: str | None, names: Any, values: Any) -> list[Any]:
    """The items that a query's filter lets through."""
    condition = get_filter_expression(expression, names, values)
    return [item for item in chosen if condition.expr(item)] if expression else chosen


def _slice(order: list[Any], low: int, high: int, forward: bool) -> list[Any]:
    found = order[low:high]
    return found if forward else found[::-1]


def _read(items: list[Any], limit: int | None) -> tuple[list[Any], int, bool]:
    """What one query reads of ``items``: up to ``limit`` of them and 1 MB; their size, and whether it stopped early."""
    chosen: list[Any] = []
    size = 0
    for item in items:
        if len(chosen) == limit:
            return chosen, size, True
        chosen.append(item)
        size += _size(item)
        if size > PAGE:
            return chosen, size, len(chosen) < len(items)
    # as in AWS, a query that stopped at its limit does not know that nothing follows
    return chosen, size, bool(limit) and len(chosen) == limit


def _span(order: list[Any], comparison: str, operands: list[Any]) -> tuple[int, int]:
    """The half-open range of ``order`` that satisfies a sort key condition."""
    first = operands[0]
    match comparison.upper():
        case "=":
            return bisect_left(order, first), bisect_right(order, first)
        case "<":
            return 0, bisect_left(order, first)
        case "<=":
            return 0, bisect_right(order, first)
        case ">":
            return bisect_right(order, first), len(order)
        case ">=":
            return bisect_left(order, first), len(order)
        case "BETWEEN":
            return bisect_left(order, first), bisect_right(order, operands[1])
        case "BEGINS_WITH":
            start = bisect_left(order, first)
            end = bisect_left(order, True, lo=start, key=lambda sort: not sort.startswith(first))
            return start, end
    raise MockValidationException(f"Invalid operator used in KeyConditionExpression: {comparison}")


# batches


def _keys_are_valid(asked: list[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse, before anything is read, what DynamoDB refuses as a whole."""
    if len(asked) > BATCH_READ:
        raise AwsError("ValidationException", "Too many items requested for the BatchGetItem call")
    if len({(name, _keys(_table(name), key)) for name, key in asked}) < len(asked):
        raise AwsError("ValidationException", "Provided list of item keys contains duplicates")


def _batch_is_valid(requests: Mapping[str, Any], writes: list[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse, before anything is written, what DynamoDB refuses as a whole."""
    if len(writes) > BATCH:
        told = json.dumps({name: f"{len(group)} requests" for name, group in requests.items()})
        text = f"Value '{told}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint:"
        limit = f"[Member must have length less than or equal to {BATCH}, Member must have length greater than or equal"
        raise AwsError("ValidationException", f"1 validation error detected: {text} {limit} to 1]")
    if not writes or not all(requests.values()):
        raise AwsError("ValidationException", "The batch write request list for a table cannot be null or empty")
    seen = set()
    for name, one in writes:
        if len(one) != 1:
            text = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported"
            raise AwsError("ValidationException", f"{text} datatypes")
        table = _table(name)
        put = one.get("PutRequest")
        key = put["Item"] if put else one["DeleteRequest"]["Key"]
        if missing := [attribute for attribute in table.table_key_attrs if attribute not in key]:
            text = f"One or more parameter values were invalid: Missing the key {missing[0]} in the item"
            raise AwsError("ValidationException", text)
        seen.add((table.name, _keys(table, key)))
    if len(seen) < len(writes):
        raise AwsError("ValidationException", "Provided list of item keys contains duplicates")


def _add_up(units: dict[str, dict[str, Any]], row: Mapping[str, Any] | None) -> None:
    """Add one write's consumed capacity to its table's."""
    if row is None:
        return
    total = units.setdefault(row["TableName"], deepcopy(dict(row)) | {"CapacityUnits": 0.0})
    total["CapacityUnits"] += row["CapacityUnits"]
    if "Table" in total:
        total["Table"] = {"CapacityUnits": total["CapacityUnits"]}


# transactions


def _transact(params: Params) -> dict[str, Any]:
    items = params["TransactItems"]
    if len(items) > 100:
        text = "Member must have length less than or equal to 100"
        raise AwsError("ValidationException", f"1 validation error detected: Value at 'transactItems': {text}")
    steps = [_step(item) for item in items]
    seen = {(table.name, _keys(table, key)) for _, _, table, key in steps}
    if len(seen) < len(steps):
        raise AwsError("ValidationException", "Transaction request cannot include multiple operations on one item")
    before = [deepcopy(_current(table, key)) for _, _, table, key in steps]
    reasons = [_perform(*step) for step in steps]
    if any(reason["Code"] != "None" for reason in reasons):
        for (_, _, table, key), item in zip(steps, before, strict=True):
            _restore(table, key, item)
        told = ", ".join(reason["Code"] for reason in reasons)
        text = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{told}]"
        raise AwsError("TransactionCanceledException", text, CancellationReasons=reasons)
    units: dict[str, float] = {}
    for (_, _, table, key), item in zip(steps, before, strict=True):
        units[table.name] = units.get(table.name, 0.0) + 2 * _writes(table, item, _current(table, key))
    rows = [_consumed(params, name, total).get("ConsumedCapacity") for name, total in units.items()]
    return {"ConsumedCapacity": rows} if all(rows) else {}


def _step(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Any, Mapping[str, Any]]:
    if len(item) != 1:
        text = "TransactItems can only contain one of Check, Put, Update or Delete"
        raise AwsError("ValidationException", text)
    kind, step = next(iter(item.items()))
    table = _table(step["TableName"])
    key = step["Item"] if kind == "Put" else step["Key"]
    if missing := [name for name in table.table_key_attrs if name not in key]:
        text = f"One or more parameter values were invalid: Missing the key {missing[0]} in the item"
        raise AwsError("ValidationException", text)
    parser = create_condition_expression_parser(
        step.get("ConditionExpression"), step.get("ExpressionAttributeNames"), step.get("ExpressionAttributeValues")
    )
    parser.parse()
    return kind, step, table, key


def _perform(kind: str, step: Mapping[str, Any], table: Any, key: Mapping[str, Any]) -> dict[str, Any]:
    """Do one step; the cancellation reason that came of it (``None`` when it is done)."""
    names, values = step.get("ExpressionAttributeNames"), step.get("ExpressionAttributeValues")
    current = _current(table, key)
    if step.get("ConditionExpression") and not get_filter_expression(step["ConditionExpression"], names, values).expr(
        current
    ):
        reason: dict[str, Any] = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        if step.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and current is not None:
            reason["Item"] = dynamo_to_dict(dict(current.attrs))
        return reason
    backend = dynamodb_backends[ACCOUNT][REGION]
    try:
        match kind:
            case "Put":
                table.put_item(step["Item"])
            case "Delete":
                table.delete_item(*_keys(table, key))
            case "Update":
                backend.update_item(table.name, key, step["UpdateExpression"], names or {}, values or {})
            case "ConditionCheck":
                pass
            case _:
                raise MockValidationException(f"Unsupported transaction operation {kind}")
    except ConditionalCheckFailed:
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    except HTTPException as error:
        return {"Code": "ValidationError", "Message": str(json.loads(str(error.description)).get("message", ""))}
    return {"Code": "None"}


# capacity


def _consumed(params: Params, table: str, units: float) -> dict[str, Any]:
    wanted = params.get("ReturnConsumedCapacity", "NONE")
    if wanted not in ("TOTAL", "INDEXES"):
        return {}
    row: dict[str, Any] = {"TableName": table, "CapacityUnits": units}
    return {"ConsumedCapacity": row | ({"Table": {"CapacityUnits": units}} if wanted == "INDEXES" else {})}


def _reads(size: int, params: Params) -> float:
    return max(1, math.ceil(size / 4096)) * (1.0 if params.get("ConsistentRead") else 0.5)


def _kilobytes(size: int) -> float:
    return float(max(1, math.ceil(size / 1024)))


def _writes(table: Any, before: Any, after: Any) -> float:
    """The write units of turning ``before`` into ``after`` (either may be None), with the secondary indexes' share."""
    units = _kilobytes(max(_size(before), _size(after)))
    for index in table.all_indexes():
        old, new = _projected(index, before), _projected(index, after)
        if old is None and new is None:
            continue
        if old is None or new is None:
            units += _kilobytes(max(_size(old), _size(new)))
        elif any(old.attrs[name] != new.attrs[name] for name in index.schema_key_attrs):
            units += _kilobytes(_size(old)) + _kilobytes(_size(new))  # deleted here, put there
        elif old.attrs != new.attrs:
            units += _kilobytes(max(_size(old), _size(new)))
    return units


def _projected(index: Any, item: Any) -> Any:
    if item is None or any(name not in item.attrs for name in index.schema_key_attrs):
        return None
    return index.project(deepcopy(item))


def _size(item: Any) -> int:
    """An item's size in bytes by DynamoDB's rules; 0 for None."""
    if item is None:
        return 0
    return sum(len(name.encode()) + _value_size(value.type, value.value) for name, value in item.attrs.items())


def _json_size(item: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + _value_size(*next(iter(value.items()))) for name, value in item.items())


def _value_size(kind: str, value: Any) -> int:
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            digits = str(value).lower().partition("e")[0].strip("+-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + str(value).startswith("-")
        case "B":
            return len(value if isinstance(value, bytes) else base64.b64decode(value))
        case "SS" | "NS" | "BS":
            return sum(_value_size(kind[0], one) for one in value)
        case "L":
            return 3 + sum(1 + _nested_size(one) for one in value)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _nested_size(one) for name, one in value.items())
    return 1  # BOOL, NULL


def _nested_size(value: Any) -> int:
    if isinstance(value, DynamoType):
        return _value_size(value.type, value.value)
    return _value_size(*next(iter(value.items())))


def _json(item: Item) -> dict[str, Any]:
    told: dict[str, Any] = dynamo_to_dict(dict(item.attrs))
    return told
