"""Telling: events on the bus, messages on the topic.

Neither call has an idempotency token, and botocore may send both twice. A second event does no harm: ``announce``
writes down what it told. A second message on the topic is one mail too many, which is better than none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from esteira.errors import PartialError


@dataclass(frozen=True)
class Telling:
    """EventBridge and SNS, as the controller needs them."""

    client: Callable[..., Any]

    def emit(self, detail: Mapping[str, Any], kind: str = "Release Phase Changed") -> None:
        """Put an event of that kind on the default bus. Raises PartialError where EventBridge did not take it."""
        answer = self.client("events").put_events(
            Entries=[{"Source": "esteira", "DetailType": kind, "Detail": json.dumps(detail)}]
        )
        if answer.get("FailedEntryCount"):
            entry: Mapping[str, Any] = next((e for e in answer.get("Entries", ()) if e.get("ErrorCode")), {})
            said = f"{entry.get('ErrorCode', 'no code')}: {entry.get('ErrorMessage', 'no message')}"
            raise PartialError(f'EventBridge did not take the event "{kind}", {said}; it is put again at the next call')

    def publish(self, topic_arn: str, subject: str, text: str) -> None:
        """Tell the people who listen to the topic; SNS takes less than a hundred characters of subject."""
        self.client("sns").publish(TopicArn=topic_arn, Subject=subject[:99], Message=text)
