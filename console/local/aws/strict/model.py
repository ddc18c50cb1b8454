"""A request against botocore's service model: what is required, how long and in which form a value may be.

botocore itself checks the types, the required members and the minima, and nothing else. AWS checks all of it. A shape
is compiled once to a function that says what is wrong with a value; a shape that allows everything is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sized
from functools import cache
from typing import Any

from botocore.model import ServiceModel, Shape
from botocore.session import Session, get_session

# The sentence of what is wrong with a value at a path, "" for nothing.
Check = Callable[[Any, str], str]


def fault(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """What of a request its service's model does not allow, "" where it allows all of it."""
    check = _of_operation(service, operation)
    return check(params, "") if check else ""


def constraints(service: str, operation: str) -> list[str]:
    """Everything the model asks of a request's members, each as ``member: what``."""
    shape = service_model(service).operation_model(operation).input_shape
    return sorted(set(_told(shape, "", ()))) if shape is not None else []


def unreadable(service: str, operation: str) -> list[str]:
    """The patterns of an operation's request that Python cannot read, so that nobody judges by them."""
    return [row for row in constraints(service, operation) if row.endswith("unreadable")]


@cache
def service_model(service: str) -> ServiceModel:
    """The model of a service, by boto3's name."""
    return _session().get_service_model(service)


@cache
def _session() -> Session:
    return get_session()


@cache
def _of_operation(service: str, operation: str) -> Check | None:
    shape = service_model(service).operation_model(operation).input_shape
    return _compiled(shape, ()) if shape is not None else None


def _compiled(shape: Any, above: tuple[str, ...]) -> Check | None:
    """The check of a shape; a shape inside itself is not looked into again."""
    if shape.name in above:
        return None
    above = (*above, shape.name)
    match shape.type_name:
        case "structure":
            return _structure(shape, above)
        case "list":
            return _both(_size(shape), _each(_compiled(shape.member, above)))
        case "map":
            return _both(_size(shape), _entries(_compiled(shape.key, above), _compiled(shape.value, above)))
        case "string":
            return _both(_size(shape), _both(_form(shape), _among(shape)))
        case "integer" | "long" | "float" | "double":
            return _bounds(shape)
        case "blob":
            return _size(shape)
    return None


def _structure(shape: Any, above: tuple[str, ...]) -> Check | None:
    checks = {name: check for name, member in shape.members.items() if (check := _compiled(member, above))}
    # botocore fills in a token that is missing
    required = [name for name in shape.required_members if name not in _tokens(shape)]
    if not checks and not required:
        return None

    def told(value: Any, path: str) -> str:
        for name in required:
            if value.get(name) is None:
                return f"{_at(path, name)} is required"
        for name, one in checks.items():
            if value.get(name) is not None and (found := one(value[name], _at(path, name))):
                return found
        return ""

    return told


def _tokens(shape: Any) -> set[str]:
    return {name for name, member in shape.members.items() if member.metadata.get("idempotencyToken")}


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _both(first: Check | None, second: Check | None) -> Check | None:
    if first is None or second is None:
        return first or second
    one, other = first, second
    return lambda value, path: one(value, path) or other(value, path)


def _each(check: Check | None) -> Check | None:
    if check is None:
        return None
    one = check
    return lambda value, path: next(filter(None, (one(v, f"{path}[{n}]") for n, v in enumerate(value))), "")


def _entries(key: Check | None, value: Check | None) -> Check | None:
    if key is None and value is None:
        return None

    def check(entries: Any, path: str) -> str:
        for name, one in entries.items():
            told = (key(name, f"{path}.{name}") if key else "") or (value(one, f"{path}.{name}") if value else "")
            if told:
                return told
        return ""

    return check


def _size(shape: Shape) -> Check | None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is None and most is None:
        return None

    def check(value: Any, path: str) -> str:
        if not isinstance(value, Sized):  # a file, which is read when it is sent
            return ""
        if least is not None and len(value) < least:
            return f"{path} has length {len(value)}, and must have length greater than or equal to {least}"
        if most is not None and len(value) > most:
            return f"{path} has length {len(value)}, and must have length less than or equal to {most}"
        return ""

    return check


def _bounds(shape: Shape) -> Check | None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is None and most is None:
        return None

    def check(value: Any, path: str) -> str:
        inside = (least is None or value >= least) and (most is None or value <= most)
        return "" if inside else f"{path} is {value}, and must be from {least} to {most}"

    return check


def _form(shape: Shape) -> Check | None:
    pattern = _pattern(shape)
    if pattern is None:
        return None

    def check(value: Any, path: str) -> str:
        if pattern.fullmatch(str(value)):
            return ""
        return f"Value {str(value)[:100]!r} at {path} must satisfy the pattern {shape.metadata['pattern']}"

    return check


def _pattern(shape: Shape) -> re.Pattern[str] | None:
    """The pattern that the whole value must fit, None where there is none or Python cannot read Java's."""
    text = shape.metadata.get("pattern")
    if not text:
        return None
    try:
        return re.compile(_POSIX.sub(lambda m: _CLASSES[m[1]], text.replace(*_PAIRS)))
    except re.error:
        return None


# Java counts what lies beyond 16 bits as two surrogates.
_PAIRS = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
_CLASSES = {"Alnum": "A-Za-z0-9", "Alpha": "A-Za-z", "Digit": "0-9", "Graph": "!-~", "Print": " -~"}
_CLASSES |= {"ASCII": "\x00-\x7f"}
_POSIX = re.compile(r"\\p\{(Alnum|Alpha|Digit|Graph|Print|ASCII)\}")


def _among(shape: Any) -> Check | None:
    allowed = getattr(shape, "enum", None)
    if not allowed:
        return None

    def check(value: Any, path: str) -> str:
        return "" if value in allowed else f"Value {value!r} at {path} must be one of {', '.join(allowed)}"

    return check


def _told(shape: Any, path: str, above: tuple[str, ...]) -> list[str]:
    """The constraints of a shape and of what is in it."""
    if shape.name in above:
        return []
    above = (*above, shape.name)
    rows = [f"{path}: {name} {shape.metadata[name]}" for name in ("min", "max") if name in shape.metadata]
    if shape.metadata.get("pattern"):
        rows.append(f"{path}: pattern" if _pattern(shape) else f"{path}: pattern unreadable")
    if getattr(shape, "enum", None):
        rows.append(f"{path}: enum")
    inside: dict[str, Any] = {}
    match shape.type_name:
        case "structure":
            rows += [f"{_at(path, name)}: required" for name in shape.required_members]
            inside = {_at(path, name): member for name, member in shape.members.items()}
        case "list":
            inside = {f"{path}[]": shape.member}
        case "map":
            inside = {f"{path}{{key}}": shape.key, f"{path}{{}}": shape.value}
    return rows + [row for name, member in inside.items() for row in _told(member, name, above)]
