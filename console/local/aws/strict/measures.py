"""How a part of a request is found and measured."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """A unit of size, and how many of it a value has."""

    name: str
    size: Callable[[Any], int]


def found(value: Any, path: str) -> Iterator[Any]:
    """The values at a path: ``a.b``, ``a[].b`` for each of a list, ``a{}.b`` for each value of a map. What is missing
    is left out."""
    if not path:
        if value is not None:
            yield value
        return
    name, each, rest = _STEP.fullmatch(path).groups()  # type: ignore[union-attr]
    value = (value or {}).get(name) if name else value
    inner = value if each.startswith("[]") else (value or {}).values() if each.startswith("{}") else [value]
    for one in inner or ():
        yield from found(one, each[2:] + ("." if each[2:] and rest else "") + rest if each else rest)


_STEP = re.compile(r"([^.\[{]*)((?:\[\]|\{\})*)\.?(.*)")


def fits(pattern: str, value: Any) -> bool:
    """Whether the whole of a text has that form."""
    return re.fullmatch(pattern, str(value), re.DOTALL) is not None


def _bytes(value: Any) -> int:
    if hasattr(value, "seek"):  # a file, which is put back
        place = value.tell()
        size = value.seek(0, 2) - place
        value.seek(place)
        return int(size)
    return len(value.encode() if isinstance(value, str) else value)


def _attribute(value: Mapping[str, Any]) -> int:
    """The size of one of DynamoDB's typed values, by its documented rules."""
    kind, held = next(iter(value.items()))
    match kind:
        case "S" | "B":
            return _bytes(held)
        case "N":
            return len(str(held)) // 2 + 2
        case "SS" | "NS" | "BS":
            return sum(_bytes(one) for one in held)
        case "L":
            return 3 + sum(1 + _attribute(one) for one in held)
        case "M":
            return 3 + sum(1 + _bytes(name) + _attribute(one) for name, one in held.items())
    return 1  # BOOL, NULL


def _item(item: Mapping[str, Any]) -> int:
    return sum(_bytes(name) + _attribute(value) for name, value in item.items())


def _entry(entry: Params) -> int:
    """The size of one of PutEvents' entries as EventBridge counts it."""
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + list(entry.get("Resources") or ())
    return sum(map(_bytes, texts)) + (14 if entry.get("Time") else 0)


CHARACTERS = Unit("characters", len)
BYTES = Unit("bytes", _bytes)
ENTRIES = Unit("entries", len)
LEVELS = Unit("levels", lambda name: name.strip("/").count("/") + 1)
INSIDE = Unit("entries in all", lambda groups: sum(map(len, groups.values())))
KEYS = Unit("keys in all", lambda groups: sum(len(group.get("Keys", ())) for group in groups.values()))
ITEM = Unit("bytes", _item)
ITEMS = Unit("bytes in all", lambda rows: sum(map(_item, found(rows, "[].Put.Item"))))
ENTRY = Unit("bytes", _entry)
REQUEST = Unit("bytes in all", lambda entries: sum(map(_entry, entries)))


def s3_revision(params: Params) -> str:
    """What an S3 revision of a deployment lacks."""
    revision = params.get("revision") or {}
    if revision.get("revisionType") != "S3":
        return ""
    place = revision.get("s3Location") or {}
    lacking = [name for name in ("bucket", "key", "bundleType") if not place.get(name)]
    return f"revision.s3Location lacks {', '.join(lacking)}" if lacking else ""


def time_range(params: Params) -> str:
    """What is wrong with a createTimeRange."""
    limits = params.get("createTimeRange") or {}
    start, end = (_aware(limits.get(name)) for name in ("start", "end"))
    return "createTimeRange ends before it begins" if start and end and start > end else ""


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=at.tzinfo or UTC) if at is not None else None


def tells_media_type(params: Params) -> bool:
    """Whether an image's manifest has its media type in it."""
    try:
        return bool(json.loads(params.get("imageManifest") or "{}").get("mediaType"))
    except (ValueError, AttributeError):
        return False
