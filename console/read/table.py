"""The table as reading commands ask for it: DynamoDB's read operations through the wire, with the face of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., dict[str, Any]]


class DynamoReads:
    """A DynamoDB client that only reads, as far as ``esteira.store`` asks it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def get_item(self, **request: Any) -> dict[str, Any]:
        return self._ask("dynamodb", "GetItem", **request)

    def query(self, **request: Any) -> dict[str, Any]:
        return self._ask("dynamodb", "Query", **request)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        return self._ask("dynamodb", "BatchGetItem", **request)
