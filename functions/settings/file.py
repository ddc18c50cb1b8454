"""``esteira.yaml`` at the root of a commit, read strictly. Pure.

A key that is not known, or a value that is not allowed, is an error that names the line, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from esteira.written import NotYamlError, Written, as_written, composed, line_of
from settings.model import ReleaseSettings, stored

FILE = "esteira.yaml"
LARGEST = 64 * 1024  # bytes
LARGEST_STORED = 16 * 1024  # bytes: every release keeps its settings, and is read with them
ENTRIES = 200  # of one list or mapping, more than any setting may have
DEPTH = 2  # a setting is a value, or a list or mapping of values

_Path = tuple[str | int, ...]


class SettingsError(ValueError):
    """The file cannot be used: one sentence with the line, the value and what is allowed."""


def read(content: bytes) -> ReleaseSettings:
    """The settings in the file. An empty file says nothing. Raises SettingsError."""
    if len(content) > LARGEST:
        raise SettingsError(f"{FILE} is larger than {LARGEST} bytes; keep only settings in it")
    root: Any = _composed(content)
    if root is None:
        return ReleaseSettings()
    if root.id != "mapping":
        raise SettingsError(f"{FILE} line {line_of(root)}: expected settings such as port: 8080, got a {root.id}")
    written: dict[_Path, Written] = {}
    values = _value(root, (), written)
    try:
        settings = ReleaseSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors(include_url=False)[0], written)) from error
    _require_once(written)
    if len(stored(settings).encode()) > LARGEST_STORED:
        raise SettingsError(f"{FILE} holds more than {LARGEST_STORED} bytes of settings; put long texts into the image")
    return settings


def _composed(content: bytes) -> Any:
    try:
        return composed(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{FILE} line {line}: it is not UTF-8; save it as UTF-8") from error
    except NotYamlError as error:
        text = f"it is not YAML ({error.problem}); correct this line"
        raise SettingsError(f"{FILE} line {error.line}: {text}") from error


def _value(node: Any, path: _Path, written: dict[_Path, Written]) -> Any:
    """A node's value; ``written`` takes how each entry below it is written. Raises SettingsError."""
    if node.id == "scalar":
        return _scalar(node, path)
    if len(node.value) > ENTRIES:
        raise SettingsError(f"{FILE} line {line_of(node)}: {_dotted(path)} has more than {ENTRIES} entries; keep fewer")
    if len(path) == DEPTH:
        return []  # no setting goes deeper, and an alias may go round in a circle
    return _mapping(node, path, written) if node.id == "mapping" else _list(node, path, written)


def _mapping(node: Any, path: _Path, written: dict[_Path, Written]) -> dict[str, Any]:
    values = {}
    for key, value in node.value:
        at = (*path, key.value if key.id == "scalar" else f"a {key.id}")
        if at in written:
            raise SettingsError(f"{FILE} line {line_of(key)}: {_already(at, written[at])}")
        written[at] = as_written(value, line_of(key))
        values[str(at[-1])] = _value(value, at, written)
    return values


def _list(node: Any, path: _Path, written: dict[_Path, Written]) -> list[Any]:
    for index, each in enumerate(node.value):
        written[(*path, index)] = as_written(each, line_of(each))
    return [_value(each, (*path, index), written) for index, each in enumerate(node.value)]


def _scalar(node: Any, path: _Path) -> Any:
    """A scalar's value. A variable's text is taken as it is written: 1.10 stays 1.10, and yes stays yes."""
    import yaml

    if len(path) == DEPTH and not node.tag.endswith(":null"):
        return node.value
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        what = getattr(error, "problem", None) or str(error)
        raise SettingsError(f"{FILE} line {line_of(node)}: {_dotted(path)} cannot be read ({what})") from error
    return [] if value is None and len(path) == DEPTH else "" if value is None else value


def _dotted(path: _Path) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in path) or "it"


def _already(path: _Path, first: Written) -> str:
    return f"{_dotted(path)} stands in line {first.line} already; keep one of them"


def _require_once(written: Mapping[_Path, Written]) -> None:
    """Refuse a variable that is given to the container, or to the build, twice."""
    given: dict[tuple[bool, str], tuple[str, Written]] = {}
    for where, name, entry in _variables(written):
        of = (where == "build_secrets", name)
        if of in given:
            there, first = given[of]
            text = f"{name} is in {where} and in {there} (line {first.line}): keep it in one of them"
            raise SettingsError(f"{FILE} line {entry.line}: {text}")
        given[of] = where, entry


def _variables(written: Mapping[_Path, Written]) -> Iterator[tuple[str, str, Written]]:
    """Each variable with the setting that it stands in, in the order of the file."""
    for path, entry in written.items():
        where = str(path[0])
        if len(path) == DEPTH and where in ("environment", "parameters"):
            yield where, str(path[1]), entry
        if len(path) == DEPTH and where in ("secrets", "build_secrets"):
            yield where, entry.text, entry


def _sentence(found: Mapping[str, Any], written: Mapping[_Path, Written]) -> str:
    name = str(found["loc"][0])
    at: _Path = tuple(found["loc"][:DEPTH])
    at = at if at in written else at[:1]
    entry, known = written[at], ReleaseSettings.model_fields
    where = f"{FILE} line {entry.line}"
    if found["type"] == "extra_forbidden":
        near = get_close_matches(name, known, 1, 0.7)
        meant = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(known)}"
        return f"{where}: {name} is not a setting; {meant}"
    if found["loc"][-1] == "[key]":
        return f"{where}: {at[-1]} is no name of a variable; expected {known[name].description}"
    text = " ".join(entry.text.split())[:60] or "empty"
    return f"{where}: {_dotted(at)} is {text}, expected {known[name].description}"
