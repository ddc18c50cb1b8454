"""Why a message lies in the dead-letter queue, in a sentence. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def unread(message: Mapping[str, Any]) -> str:
    """The cause of a message as SQS gives it: a body and attributes."""
    given = message.get("MessageAttributes", {})
    attributes = {name: str(value.get("StringValue", "")) for name, value in given.items()}
    return cause_of(str(message.get("Body", "")), attributes)


def cause_of(body: str, attributes: Mapping[str, str]) -> str:
    """In a sentence, why a message lies in the dead-letter queue: from what Lambda wrote into it after the last
    try, or from the attributes EventBridge gave to what it could not deliver."""
    try:
        record = json.loads(body)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return "it is no JSON object, so neither Lambda nor EventBridge wrote it"
    if "requestContext" in record:
        function = str(record["requestContext"].get("functionArn", "")).split(":function:")[-1].split(":")[0]
        said = record.get("responsePayload")
        if isinstance(said, Mapping):
            return f"{function} failed: {said.get('errorType', 'Error')}: {said.get('errorMessage', 'no message')}"
        return f"{function} gave up: {record['requestContext'].get('condition', 'no reason given')}"
    if "RULE_ARN" in attributes:
        rule = attributes["RULE_ARN"].rpartition("/")[2]
        return (
            f"the rule {rule} could not deliver it: {attributes.get('ERROR_MESSAGE') or attributes.get('ERROR_CODE')}"
        )
    kind = f"{record.get('source', 'an unknown source')} {record.get('detail-type', '')}".strip()
    return f"an event of {kind}, with no cause beside it"
