"""Values as JSON documents that a terminal or a page can show (``esteira.visible``)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from esteira.visible import visible

# JSON's escapes of what cannot be seen, and what a page reads as their text.
_AGAIN = {r"\u": r"\\u", r"\b": r"\\u0008", r"\f": r"\\u000c", r"\r": r"\\u000d"}


def document(value: Any, indent: int | None = 2) -> str:
    """``value`` (dataclasses, times and plain values) as one JSON document; without ``indent``, in one line."""
    return visible(json.dumps(value, default=_plain, indent=indent, ensure_ascii=False))


def page_document(value: Any) -> str:
    """``value`` as one line of JSON for a page: what cannot be seen is still written out after the page has read it."""
    return re.sub(r"\\.", _escaped_again, document(value, None))


def _escaped_again(escape: re.Match[str]) -> str:
    if escape[0] == r"\r" and escape.string.startswith(r"\n", escape.end()):
        return ""  # CRLF is a line end
    return _AGAIN.get(escape[0], escape[0])


def _plain(thing: Any) -> Any:
    if isinstance(thing, datetime):
        from esteira.fact import stamp

        return stamp(thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    raise TypeError(f"{type(thing).__name__} has no form in JSON")
