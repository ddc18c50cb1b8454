"""A service's configuration and the functions' own settings, validated where they enter.

A service is registered by its own stack: ``service.yaml`` writes this document, as JSON, to an SSM parameter under the
controller's path. Everything but the first block has a default.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
Glob = Annotated[str, Field(min_length=1, max_length=200)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,1011}$")]


class Strict(BaseModel):
    """A document of ours: a key that is not known is a mistake worth naming."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(Strict):
    """Where a release runs: a CodeDeploy deployment group."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "production"
    group: Name


class Guard(Strict):
    """What may stand in a tree although it looks like a secret: globs of paths."""

    allow: tuple[Glob, ...] = ()


class Deadlines(Strict):
    """How long each wait may last, in minutes, before it ends in a phase with its reason."""

    start_minutes: Annotated[int, Field(ge=1, le=1440)] = 30  # a push getting its build started
    build_minutes: Annotated[int, Field(ge=1, le=480)] = 30
    accept_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    deploy_minutes: Annotated[int, Field(ge=1, le=720)] = 60
    stop_minutes: Annotated[int, Field(ge=1, le=60)] = 15  # a stopped deployment saying that it ended


class Classes(Strict):
    """Which changed path is what. First match wins, in this order; anything else is *application*."""

    infrastructure: tuple[Glob, ...] = (
        "Dockerfile", "buildspec.y*ml", "appspec.y*ml", "template.y*ml", "service.y*ml", "infra/**", "terraform/**",
        ".dockerignore", "requirements*.txt",
    )  # fmt: skip
    data: tuple[Glob, ...] = ("data/**", "*.csv", "*.parquet")
    model: tuple[Glob, ...] = ("models/**", "model/**", "train*.py", "*.onnx", "R/model*", "golden.json")


class Service(Strict):
    """One model: where it comes from, where its images stand, where it runs."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    repository: Name
    branch: Name = "main"
    images: Name
    image_uri: str
    project: Name
    application: Name
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=1)]
    bundles: Name

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    health_path: Annotated[str, Field(pattern=r"^/")] = "/ping"
    startup_seconds: Annotated[int, Field(ge=1, le=1500)] = 60
    drain_seconds: Annotated[int, Field(ge=0, le=1500)] = 30
    validation_seconds: Annotated[int, Field(ge=1, le=1500)] = 120  # after that the host puts the former release back
    memory_mb: Annotated[int, Field(ge=0, le=2**24)] = 0  # the container's limit; 0: none
    when_memory_is_short: Literal["refuse", "stop-first"] = "refuse"
    environment: dict[Variable, str] = {}
    # By variable, the SSM parameter whose value the host fetches; its role reads those under /STACK/parameters/NAME/.
    parameters: dict[Variable, Parameter] = {}
    accepted_tags: tuple[Glob, ...] = ("v*", "release-*")
    ignored_paths: tuple[Glob, ...] = ("docs/**", "*.md")
    path_classes: Classes = Classes()
    guard: Guard = Guard()
    deadlines: Deadlines = Deadlines()

    @model_validator(mode="after")
    def _variables_are_given_once(self) -> Self:
        twice = sorted(set(self.environment) & set(self.parameters))
        if twice:
            raise ValueError(f"{twice[0]} is in environment and in parameters: keep it in one of them")
        return self

    @property
    def stage(self) -> Stage:
        """Return the service's one stage."""
        return self.stages[0]

    def accepts_tag(self, tag: str) -> bool:
        """Return whether an image pushed under ``tag`` becomes a release; never for the controller's own tags."""
        return not is_own_tag(tag) and any(fnmatchcase(tag, pattern) for pattern in self.accepted_tags)

    def minutes(self, what: str) -> timedelta:
        """Return a deadline of the service, e.g. ``minutes("build")``."""
        return timedelta(minutes=getattr(self.deadlines, f"{what}_minutes"))


class Settings(Strict):
    """The functions' environment. A claim's lease must outlive any function: their time limit is 60 seconds."""

    table: str
    services_path: str
    topic_arn: str = ""
    lease: timedelta = timedelta(seconds=120)


def is_own_tag(tag: str) -> bool:
    """Return whether the controller or one of its builds set this tag, which never starts a release."""
    return tag.startswith(("esteira-", "live-", "previous-", "git-"))


def release_tag(number: int) -> str:
    """Return the tag the controller puts on an image it accepted: the mark by which it trusts it again."""
    return f"esteira-v{number}"


def released_as(tag: str) -> int:
    """Return the number of the release that accepted an image under ``tag``, 0 if it is no tag of that kind."""
    match = re.fullmatch(r"esteira-v([1-9][0-9]{0,7})", tag)
    return int(match[1]) if match else 0


def commit_tag(commit: str) -> str:
    """Return the tag under which a build must push the image of ``commit``."""
    return f"git-{commit}"
