"""A chat's incoming webhook: what is posted to it, and the posting.

Its address is a secret: whoever has it may speak in the chat. So it stands in no log, no error and no trace. An error
here is a sentence of its own, raised where nothing of the one that caused it hangs on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import SplitResult

from esteira.posting import address_of, post


class WebhookError(Exception):
    """The webhook did not take it, or is none. The sentence never holds its address."""


def address(parameter: str, value: str) -> SplitResult:
    """The address that the parameter holds. Raises WebhookError where it is none to post to."""
    parts = address_of(value.strip())
    if parts is None:
        raise WebhookError(
            f"the parameter {parameter} holds no https address. Next: aws ssm put-parameter --overwrite "
            f"--type SecureString --name {parameter} --value https://…"
        )
    return parts


def content(
    form: Literal["slack", "teams", "json"], subject: str, text: str, detail: Mapping[str, Any]
) -> dict[str, Any]:
    """What a chat of that kind takes; ``json`` is for programs, and has the event's detail too."""
    if form == "slack":  # https://docs.slack.dev/messaging/formatting-message-text: these three are its markup's
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if form == "json":
        return {"subject": subject, "text": text, "detail": dict(detail)}
    # Of Teams a workflow "When a Teams webhook request is received", which takes an adaptive card.
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": subject, "weight": "Bolder", "wrap": True},
            {"type": "TextBlock", "text": text, "wrap": True},
        ],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def say(parts: SplitResult, told: Mapping[str, Any]) -> None:
    """Post it once. Raises WebhookError where it is not taken."""
    headers = {"Content-Type": "application/json", "User-Agent": "esteira"}
    try:
        status, _ = post(parts, headers, json.dumps(told).encode())
    except Exception as error:  # noqa: BLE001 - whatever it is, its words may hold the address
        fault = f"it cannot be reached ({type(error).__name__})"
    else:
        if 200 <= status < 300:
            return
        fault = f"it answered {status}"
    raise WebhookError(f"the message was not taken: {fault}")
