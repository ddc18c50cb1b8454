"""The one place that text from outside passes before a person sees it: reasons, logs, names of commits.

A terminal obeys control characters, and some characters turn the reading direction of a line. They are shown by their
number instead. The same form is valid inside a JSON string.
"""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

_CONTROL = (*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_SHOWN = {number: f"\\u{number:04x}" for number in _CONTROL if chr(number) not in "\t\n"}


def visible(text: str) -> str:
    """The text with its control characters made visible; line ends and tabs stay."""
    return text.translate(_SHOWN)


def document(value: Any, indent: int | None = 2) -> str:
    """``value`` (dataclasses, times and plain values) as one JSON document; without ``indent``, in one line."""
    return visible(json.dumps(value, default=_plain, indent=indent, ensure_ascii=False))


def _plain(thing: Any) -> Any:
    if isinstance(thing, datetime):
        from esteira.fact import stamp

        return stamp(thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    raise TypeError(f"{type(thing).__name__} has no form in JSON")
