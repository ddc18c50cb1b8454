"""Lambda: calls of a function that nobody waits for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Invoking:
    """Lambda, as the controller needs it."""

    client: Callable[..., Any]

    def invoke_later(self, function: str, payload: Mapping[str, Any]) -> None:
        """Put a call of the function into Lambda's own queue. It is sent once: who sends it can do the work itself."""
        body = json.dumps(payload).encode()
        self.client("lambda", once=True).invoke(FunctionName=function, InvocationType="Event", Payload=body)
