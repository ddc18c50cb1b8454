"""Batches of which AWS does a part: it answers 200, and the body says what was left out, or is silent about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Params = Mapping[str, Any]
Perform = Callable[[Params], dict[str, Any]]


def partially(call: str, params: Params, perform: Perform) -> dict[str, Any]:
    """The answer to a batch of which AWS does a part; of any other call, the whole answer."""
    part = PARTS.get(call)
    return part(params, perform) if part else perform(params)


def _writes(params: Params, perform: Perform) -> dict[str, Any]:
    """Half of the writes; the others come back as they were asked."""
    asked = params["RequestItems"]
    done = {table: rows[: (len(rows) + 1) // 2] for table, rows in asked.items()}
    left = {table: rows[len(done[table]) :] for table, rows in asked.items() if rows[len(done[table]) :]}
    return perform({**params, "RequestItems": done}) | {"UnprocessedItems": left}


def _reads(params: Params, perform: Perform) -> dict[str, Any]:
    """Half of the keys; the others come back as they were asked."""
    asked = params["RequestItems"]
    half = {table: (len(group["Keys"]) + 1) // 2 for table, group in asked.items()}
    done = {table: {**group, "Keys": group["Keys"][: half[table]]} for table, group in asked.items()}
    left = {table: {**group, "Keys": group["Keys"][half[table] :]} for table, group in asked.items()}
    unread = {table: group for table, group in left.items() if group["Keys"]}
    return perform({**params, "RequestItems": done}) | {"UnprocessedKeys": unread}


def _without_last(rows: str) -> Callable[[Params, Perform], dict[str, Any]]:
    """An answer from which one row is missing, without a word."""

    def part(params: Params, perform: Perform) -> dict[str, Any]:
        answer = perform(params)
        return answer | {rows: answer[rows][:-1]}

    return part


def _images(params: Params, perform: Perform) -> dict[str, Any]:
    """An answer without the last image, and why."""
    answer = perform(params)
    if not answer["images"]:
        return answer
    failure = {"imageId": answer["images"][-1]["imageId"], "failureCode": "KmsError", "failureReason": "on purpose"}
    return answer | {"images": answer["images"][:-1], "failures": [*answer.get("failures", ()), failure]}


def _events(params: Params, perform: Perform) -> dict[str, Any]:
    """The last entry is not put on the bus."""
    done = params["Entries"][:-1]
    answer = perform({**params, "Entries": done}) if done else {"Entries": []}
    failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "on purpose"}
    return {"FailedEntryCount": 1, "Entries": [*answer["Entries"], failed]}


# By call, how its answer is partial: each is a shape that AWS documents for it.
PARTS: dict[str, Callable[[Params, Perform], dict[str, Any]]] = {
    "codebuild:BatchGetBuilds": _without_last("builds"),
    "codedeploy:BatchGetDeployments": _without_last("deploymentsInfo"),
    "codedeploy:BatchGetDeploymentTargets": _without_last("deploymentTargets"),
    "dynamodb:BatchGetItem": _reads,
    "dynamodb:BatchWriteItem": _writes,
    "ecr:BatchGetImage": _images,
    "events:PutEvents": _events,
}
