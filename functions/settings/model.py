"""The settings of a release, and what is in effect with them.

A new setting is a field of :class:`ReleaseSettings` with its sentence in ``description``. Where a service's
registration has the same thing, the field has its name, and its value is the default.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from esteira.config import Glob, Parameter, Service, Variable


def _number(value: Any) -> Any:
    """YAML's ``yes`` and ``1.0`` are no ports; pydantic would take both."""
    if isinstance(value, bool | float | str):
        raise ValueError("not a whole number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


_Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_number)]
_Path = Annotated[str, Field(pattern=r"^/[!-~]*$", max_length=200)]
_Startup = Annotated[int, Field(ge=1, le=1500), BeforeValidator(_number)]
_Drain = Annotated[int, Field(ge=0, le=1500), BeforeValidator(_number)]
_Memory = Annotated[int, Field(ge=0, le=2**24), BeforeValidator(_number)]
_Name = Annotated[Variable, Field(max_length=100)]
_Text = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]
_Names = Annotated[tuple[_Name, ...], Field(max_length=50, json_schema_extra={"uniqueItems": True})]
_Globs = Annotated[tuple[Glob, ...], Field(max_length=100)]


class ReleaseSettings(BaseModel):
    """What a release says about itself. None: it says nothing, and the service's registration or a guess holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="esteira.yaml")

    port: _Port | None = Field(
        default=None, description="a whole number from 1 to 65535: the port that the container listens on"
    )
    health: _Path | None = Field(
        default=None, description="a path that begins with /, such as /ping: it answers 200 when the container is ready"
    )
    startup_seconds: _Startup | None = Field(
        default=None, description="a whole number from 1 to 1500: how long the container may take until it is ready"
    )
    drain_seconds: _Drain | None = Field(
        default=None,
        description="a whole number from 0 to 1500: how long the former container goes on answering what it began",
    )
    validation_seconds: _Startup | None = Field(
        default=None,
        description="a whole number from 1 to 1500: how long after the switch the host waits for the deployment's end",
    )
    memory_mb: _Memory | None = Field(
        default=None,
        description="a whole number from 0 to 16777216: the container's limit, 0 for nine tenths of the host's memory",
    )
    environment: Annotated[dict[_Name, _Text], Field(max_length=100)] | None = Field(
        default=None,
        description="up to 100 variables with one text each, such as LOG_LEVEL: info; a name has letters, digits and _",
    )
    parameters: Annotated[dict[_Name, Parameter], Field(max_length=50)] | None = Field(
        default=None,
        description="up to 50 variables with the name of an SSM parameter each, such as /esteira/parameters/heart/key",
    )
    secrets: _Names | None = Field(
        default=None,
        description="up to 50 different variables, such as [DB_PASSWORD], whose values esteira secret set NAME stores",
    )
    build_secrets: _Names | None = Field(
        default=None,
        description="up to 50 different variables of the build, whose values esteira secret set NAME --build stores",
    )
    ignored_paths: _Globs | None = Field(
        default=None,
        description='up to 100 globs, such as ["docs/**", "*.md"]: a push of these paths alone starts no release',
    )


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


def in_effect(service: Service, own: ReleaseSettings) -> Service:
    """The service as it is for a release with these settings: a variable that they speak of is theirs alone."""
    said = {name: value for name, value in own if value is not None and name in Service.model_fields}
    spoken = {*(own.environment or ()), *(own.parameters or ()), *(own.secrets or ())}
    for where in ("environment", "parameters"):
        kept = {name: value for name, value in getattr(service, where).items() if name not in spoken}
        said[where] = {**kept, **said.get(where, {})}
    if own.health is not None:
        said["health_path"] = own.health
    return service.model_copy(update=said)
