"""Values as JSON documents that a terminal or a page can show (``esteira.visible``)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from esteira.visible import visible


def document(value: Any, indent: int | None = 2) -> str:
    """``value`` (dataclasses, times and plain values) as one JSON document; without ``indent``, in one line."""
    return visible(json.dumps(value, default=_plain, indent=indent, ensure_ascii=False))


def page_document(value: Any) -> str:
    """``value`` as one line of JSON for a page: what cannot be seen is still written out after the page has read it."""
    return re.sub(r"\\(.)", lambda escape: r"\\u" if escape[1] == "u" else escape[0], document(value, None))


def _plain(thing: Any) -> Any:
    if isinstance(thing, datetime):
        from esteira.fact import stamp

        return stamp(thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    raise TypeError(f"{type(thing).__name__} has no form in JSON")
