"""``esteira.yaml`` at the root of a commit: what a release says about itself, read strictly. Pure.

A new setting is a field of :class:`ReleaseSettings` with its sentence in ``description``. A key that is not known, or a
value that is not allowed, is an error that names the line, the value and what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from yaml import Node

FILE = "esteira.yaml"
LARGEST = 64 * 1024  # bytes


class SettingsError(ValueError):
    """The file cannot be used: one sentence with the line, the value and what is allowed."""


def _number(value: Any) -> Any:
    """YAML's ``yes`` and ``1.0`` are no ports; pydantic would take both."""
    if isinstance(value, bool | float | str):
        raise ValueError("not a whole number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


_Port = Annotated[int, BeforeValidator(_number), Field(ge=1, le=65535)]
_Path = Annotated[str, Field(pattern=r"^/[!-~]*$", max_length=200)]


class ReleaseSettings(BaseModel):
    """What a release says about itself. None: it says nothing, and the service's registration or a guess holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: _Port | None = Field(
        default=None, description="a whole number from 1 to 65535: the port that the container listens on"
    )
    health: _Path | None = Field(
        default=None, description="a path that begins with /, such as /ping: it answers 200 when the container is ready"
    )


class _Entry(NamedTuple):
    """A setting as it stands in the file."""

    line: int
    text: str


def read(content: bytes) -> ReleaseSettings:
    """The settings in the file. An empty file says nothing. Raises SettingsError."""
    if len(content) > LARGEST:
        raise SettingsError(f"{FILE} is larger than {LARGEST} bytes; keep only settings in it")
    root: Any = _composed(content)
    if root is None:
        return ReleaseSettings()
    if root.id != "mapping":
        raise SettingsError(f"{FILE} line {_line(root)}: expected settings such as port: 8080, got a {root.id}")
    written, values = _of_mapping(root)
    empty = {name: "" for name, value in values.items() if value is None}  # a key alone says nothing, by mistake
    try:
        return ReleaseSettings.model_validate(values | empty)
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors(include_url=False)[0], written)) from error


def stored(settings: ReleaseSettings) -> str:
    """The settings as the text that a release keeps, "" where they say nothing."""
    text = settings.model_dump_json(exclude_none=True)
    return "" if text == "{}" else text


def restored(text: str) -> ReleaseSettings:
    """The settings that ``stored`` wrote. What a newer version wrote besides is left out."""
    values = json.loads(text) if text else {}
    return ReleaseSettings.model_validate(
        {name: v for name, v in values.items() if name in ReleaseSettings.model_fields}
    )


def _composed(content: bytes) -> Node | None:
    import yaml  # takes 12 ms, and only a repository with an esteira.yaml needs it

    try:
        text = content.decode("utf-8-sig")
        found: Node | None = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{FILE} line {line}: it is not UTF-8; save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise SettingsError(f"{FILE} line {line}: it is not YAML ({problem}); correct this line") from error
    return found


def _of_mapping(root: Any) -> tuple[dict[str, _Entry], dict[str, Any]]:
    """How each setting is written, and its value. Raises SettingsError for a key that stands there twice."""
    import yaml

    written: dict[str, _Entry] = {}
    values: dict[str, Any] = {}
    maker = yaml.SafeLoader("")
    for key, value in root.value:
        name = str(key.value)
        if name in written:
            first = written[name].line
            raise SettingsError(f"{FILE} line {_line(key)}: {name} stands in line {first} already; keep one of them")
        written[name] = _Entry(_line(key), value.value if value.id == "scalar" else f"a {value.id}")
        try:
            values[name] = maker.construct_object(value, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            what = getattr(error, "problem", None) or str(error)
            raise SettingsError(f"{FILE} line {_line(value)}: {name} cannot be read ({what})") from error
    return written, values


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _sentence(found: Mapping[str, Any], written: Mapping[str, _Entry]) -> str:
    name = str(found["loc"][0])
    where = f"{FILE} line {written[name].line}"
    known = ReleaseSettings.model_fields
    if found["type"] == "extra_forbidden":
        near = get_close_matches(name, known, 1, 0.7)
        meant = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(known)}"
        return f"{where}: {name} is not a setting; {meant}"
    return f"{where}: {name} is {written[name].text[:60] or 'empty'}, expected {known[name].description}"
