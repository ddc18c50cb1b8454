"""DynamoDB in memory: items by ``pk`` and ``sk``, and the operations and expressions that the store uses.

The real ``esteira.store.Store`` runs on it in every test, so the store cannot drift from what the tests see. An
expression that is not understood here raises, rather than being taken for true.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from console.local.aws.api import AwsError

Item = dict[str, Any]
Params = Mapping[str, Any]
BATCH = 25
LAST = chr(0x10FFFF)
FAILED = "ConditionalCheckFailed"
_FUNCTION = re.compile(r"(\w+)\(\s*([\w#]+)\s*(?:,\s*(:\w+)\s*)?\)")
_COMPARED = re.compile(r"([\w#]+)\s*(=|<>|<=|>=|<|>)\s*(:\w+|[\w#]+)")
_BEGINS = re.compile(r"begins_with\(\s*sk\s*,\s*(:\w+)\s*\)")
_BETWEEN = re.compile(r"([\w#]+)\s+BETWEEN\s+(:\w+)\s+AND\s+(:\w+)")


class Table:
    """Every item of every table: one dictionary a partition, with its sort keys in order."""

    def __init__(self) -> None:
        self.read = self.written = 0  # items, in all
        self.items: defaultdict[tuple[str, str], dict[str, Item]] = defaultdict(dict)
        self._order: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def dump(self) -> list[Item]:
        """Every item there is, in order."""
        return [dict(items[sk]) for part, items in sorted(self.items.items()) for sk in self._order[part]]

    def list_tables(self, _: Params) -> dict[str, Any]:
        """ListTables: those that have had an item."""
        return {"TableNames": sorted({table for table, _ in self.items})}

    # --- one item

    def get_item(self, p: Params) -> dict[str, Any]:
        """GetItem."""
        found = self._found(p["TableName"], p["Key"])
        return {"Item": dict(found)} if found is not None else {}

    def put_item(self, p: Params) -> dict[str, Any]:
        """PutItem."""
        self._check(p, p["Item"])
        self._write(p["TableName"], p["Item"], p["Item"])
        return {}

    def delete_item(self, p: Params) -> dict[str, Any]:
        """DeleteItem."""
        self._check(p, p["Key"])
        self._write(p["TableName"], p["Key"], None)
        return {}

    def update_item(self, p: Params) -> dict[str, Any]:
        """UpdateItem, with SET of values and REMOVE of names."""
        self._check(p, p["Key"])
        self._write(p["TableName"], p["Key"], self._updated(p))
        return {}

    # --- several

    def query(self, p: Params) -> dict[str, Any]:
        """Query of the table: one partition, a range of its sort keys, in either direction, in pages."""
        assert "IndexName" not in p, "no index is known here"
        partition, _, rest = p["KeyConditionExpression"].partition(" AND ")
        equal = _COMPARED.fullmatch(partition.strip())
        assert equal is not None, partition
        part = (p["TableName"], p["ExpressionAttributeValues"][equal[3]]["S"])
        keys = self._within(self._order[part], rest.strip(), p)
        if not p.get("ScanIndexForward", True):
            keys.reverse()
        if "ExclusiveStartKey" in p:
            keys = keys[keys.index(p["ExclusiveStartKey"]["sk"]["S"]) + 1 :]
        chosen = keys[: p["Limit"]] if "Limit" in p else keys
        items = [dict(self.items[part][k]) for k in chosen]
        self.read += len(items)
        answer: dict[str, Any] = {"Items": [i for i in items if _filtered(i, p)], "ScannedCount": len(items)}
        if "Limit" in p and len(chosen) == p["Limit"]:
            answer["LastEvaluatedKey"] = {"pk": {"S": part[1]}, "sk": {"S": chosen[-1]}}
        return answer | {"Count": len(answer["Items"])}

    def scan(self, p: Params) -> dict[str, Any]:
        """Scan of everything in one page."""
        found = [item for (table, _), part in self.items.items() if table == p["TableName"] for item in part.values()]
        return {"Items": [dict(item) for item in found]}

    def batch_get_item(self, p: Params) -> dict[str, Any]:
        """BatchGetItem: all of it, in no order that was asked for."""
        answer: dict[str, list[Item]] = {}
        for table, asked in p["RequestItems"].items():
            found = (self._found(table, key) for key in reversed(asked["Keys"]))
            answer[table] = [dict(item) for item in found if item is not None]
        return {"Responses": answer, "UnprocessedKeys": {}}

    def batch_write_item(self, p: Params) -> dict[str, Any]:
        """BatchWriteItem: all of it."""
        writes = [(table, one) for table, group in p["RequestItems"].items() for one in group]
        assert len(writes) <= BATCH
        for table, one in writes:
            put = one.get("PutRequest")
            key = put["Item"] if put else one["DeleteRequest"]["Key"]
            self._write(table, key, put["Item"] if put else None)
        return {"UnprocessedItems": {}}

    def transact_write_items(self, p: Params) -> dict[str, Any]:
        """TransactWriteItems: every condition is tried first, then everything is written, or nothing is."""
        steps = [next(iter(one.items())) for one in p["TransactItems"]]
        places = [(s["TableName"], *_key(s.get("Item") or s["Key"])) for _, s in steps]
        if len(set(places)) < len(places):
            text = "Transaction request cannot include multiple operations on one item"
            raise AwsError("ValidationException", text)
        reasons = [self._reason(step, step.get("Item") or step["Key"]) for _, step in steps]
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            text = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            raise AwsError("TransactionCanceledException", text, CancellationReasons=reasons)
        for kind, step in steps:
            if kind == "Update":
                self._write(step["TableName"], step["Key"], self._updated(step))
            elif kind != "ConditionCheck":
                self._write(step["TableName"], step.get("Item") or step["Key"], step.get("Item"))
        return {}

    # --- helpers, in order of use

    @staticmethod
    def _within(order: list[str], range_: str, p: Params) -> list[str]:
        """The sort keys that satisfy a condition on them; those of a prefix without a look at the others."""
        names, values = p.get("ExpressionAttributeNames", {}), p["ExpressionAttributeValues"]
        if begins := _BEGINS.fullmatch(range_):
            prefix = values[begins[1]]["S"]
            return order[bisect_left(order, prefix) : bisect_left(order, prefix + LAST)]
        return [key for key in order if not range_ or holds(range_, {"sk": {"S": key}}, names, values)]

    def _found(self, table: str, key: Item) -> Item | None:
        pk, sk = _key(key)
        self.read += 1
        return self.items[table, pk].get(sk)

    def _check(self, p: Params, key: Item) -> None:
        reason = self._reason(p, key)
        if reason["Code"] != "None":
            item = {"Item": reason["Item"]} if "Item" in reason else {}
            raise AwsError("ConditionalCheckFailedException", "The conditional request failed", **item)

    def _reason(self, p: Params, key: Item) -> dict[str, Any]:
        there = self._found(p["TableName"], key)
        condition = p.get("ConditionExpression")
        names, values = p.get("ExpressionAttributeNames", {}), p.get("ExpressionAttributeValues", {})
        if not condition or holds(condition, there or {}, names, values):
            return {"Code": "None"}
        told = p.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and there is not None
        return {"Code": FAILED} | ({"Item": dict(there or {})} if told else {})

    def _write(self, table: str, key: Item, item: Item | None) -> None:
        self.written += 1
        pk, sk = _key(key)
        part, order = self.items[table, pk], self._order[table, pk]
        if sk not in part and item is not None:
            insort(order, sk)
        elif sk in part and item is None:
            del order[bisect_left(order, sk)]
        if item is None:
            part.pop(sk, None)
        else:
            part[sk] = dict(item)

    def _updated(self, p: Params) -> Item:
        item = dict(self._found(p["TableName"], p["Key"]) or p["Key"])
        names, values = p.get("ExpressionAttributeNames", {}), p.get("ExpressionAttributeValues", {})
        for verb, body in re.findall(r"(SET|REMOVE)\s+(.*?)(?=\s+SET\s|\s+REMOVE\s|$)", p["UpdateExpression"]):
            for part in (each.strip() for each in body.split(",")):
                name, _, value = (each.strip() for each in part.partition("="))
                if verb == "SET":
                    item[names.get(name, name)] = values[value]
                else:
                    item.pop(names.get(name, name), None)
        return item


def holds(expression: str, item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """Whether an item satisfies a condition: functions and comparisons under AND, OR and NOT."""
    text = expression.strip()
    if text.startswith("(") and text.endswith(")") and _closes(text) == len(text) - 1:
        return holds(text[1:-1], item, names, values)
    if between := _BETWEEN.fullmatch(text):
        low, high = values[between[2]], values[between[3]]
        return bool(_value(low) <= _value(item[names.get(between[1], between[1])]) <= _value(high))
    for word, together in ((" OR ", any), (" AND ", all)):
        parts = list(_split(text, word))
        if len(parts) > 1:
            return together(holds(part, item, names, values) for part in parts)
    if text.startswith("NOT "):
        return not holds(text[4:], item, names, values)
    return _simple(text, item, names, values)


def _closes(text: str) -> int:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return -1


def _split(text: str, word: str) -> Iterator[str]:
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and text.startswith(word, place):
            yield text[start:place]
            start = place + len(word)
    yield text[start:]


def _simple(text: str, item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    if called := _FUNCTION.fullmatch(text):
        name = names.get(called[2], called[2])
        match called[1]:
            case "attribute_exists":
                return name in item
            case "attribute_not_exists":
                return name not in item
            case "begins_with":
                return name in item and str(_value(item[name])).startswith(_value(values[called[3]]))
    if compared := _COMPARED.fullmatch(text):
        name, sign = names.get(compared[1], compared[1]), compared[2]
        wanted = values[compared[3]]
        if name not in item:
            return sign == "<>"
        left, right = _value(item[name]), _value(wanted)
        signs = {"=": left == right, "<>": left != right}
        return signs[sign] if sign in signs else _ordered(sign, left, right)
    raise NotImplementedError(f"the expression {text!r} is not understood; teach it to tests/world/table.py")


def _ordered(sign: str, left: Any, right: Any) -> bool:
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])


def _value(typed: Any) -> Any:
    kind, value = next(iter(typed.items()))
    return float(value) if kind == "N" else value


def _filtered(item: Item, p: Params) -> bool:
    names, values = p.get("ExpressionAttributeNames", {}), p.get("ExpressionAttributeValues", {})
    return "FilterExpression" not in p or holds(p["FilterExpression"], item, names, values)


def _key(item: Item) -> tuple[str, str]:
    if "S" not in item.get("pk", {}) or "S" not in item.get("sk", {}):
        raise AwsError("ValidationException", "One or more parameter values were invalid: a key is missing")
    return item["pk"]["S"], item["sk"]["S"]
