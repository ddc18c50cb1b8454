"""A buildspec.yml as a value: what CodeBuild would read out of the text, or one sentence that names the field at fault.

Pure: text in, :class:`Buildspec` out. It runs nothing, reads no file and no environment. Scalars stay the text that was
written (``007`` is not 7 and ``yes`` is not true), because CodeBuild hands them to a shell as text too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

HOME = PurePosixPath("/root")  # of CodeBuild's user
LARGEST = 10_000  # values: an alias of aliases is short as text and without end as a value
PHASES = ("install", "pre_build", "build", "post_build")
OnFailure = Literal["", "ABORT", "CONTINUE"]


class BuildspecError(ValueError):
    """The buildspec cannot be run as it stands; the sentence names the field and what to write instead."""


@dataclass(frozen=True)
class PhaseCommands:
    """One phase's commands. ``on_failure`` is "" where the buildspec leaves it to CodeBuild's own rule."""

    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    on_failure: OnFailure = ""


@dataclass(frozen=True)
class Buildspec:
    """A version 0.2 buildspec. ``notes`` are sentences about what is in it and not acted upon here."""

    phases: Mapping[str, PhaseCommands]  # keyed by PHASES; a phase that is not written is not in it
    variables: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)  # by variable, the name in Parameter Store
    secrets: Mapping[str, str] = field(default_factory=dict)  # by variable, SECRET[:KEY[:STAGE[:VERSION]]]
    exported: tuple[str, ...] = ()
    shell: str = ""  # "", "bash" or "/bin/sh"
    cached: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse(text: str) -> Buildspec:
    """The buildspec in ``text``. Raises :class:`BuildspecError` with one sentence when CodeBuild, or this local one,
    could not run it."""
    tree = _tree(text)
    _require_version(tree)
    try:
        written = _Written.model_validate(tree)
    except ValidationError as error:
        raise BuildspecError(_first(error)) from error
    return Buildspec(
        phases={name: _phase(written.phases, name) for name in PHASES if getattr(written.phases, name) is not None},
        variables=written.env.variables,
        parameters=written.env.parameters,
        secrets=written.env.secrets,
        exported=tuple(written.env.exported),
        shell=written.env.shell,
        cached=tuple(filter(is_kept, written.cache.paths)),
        notes=(*_notes(tree), *(_not_kept(path) for path in written.cache.paths if not is_kept(path))),
    )


def is_kept(path: str) -> bool:
    """Whether a cached path leads to the source's folder or to the build's home, and not out of it."""
    pure = PurePosixPath(path)
    return ".." not in pure.parts and (not pure.is_absolute() or pure.is_relative_to(HOME))


class _TextLoader(yaml.SafeLoader):
    """YAML whose scalars all stay text; only an empty value is null and ``<<`` still merges."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- PyYAML's own way to drop the inherited resolvers


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_TextLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def _or_empty(empty: type[Any]) -> BeforeValidator:
    """A key with nothing behind it (``commands:``) counts as an empty one, as it does for CodeBuild."""
    return BeforeValidator(lambda value: empty() if value is None else value)


_Text = Annotated[str, _or_empty(str)]
_Command = Annotated[str, Field(strict=True)]
_Commands = Annotated[list[_Command], _or_empty(list)]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Phase(_Part):
    commands: _Commands = []
    finally_: _Commands = Field(default=[], alias="finally")
    on_failure: OnFailure = Field(default="", alias="on-failure")


_OptionalPhase = Annotated[_Phase | None, BeforeValidator(lambda value: {} if value is None else value)]


class _Phases(_Part):
    # A misspelt phase would be skipped in silence, and with it the tests or the push it holds.
    model_config = ConfigDict(extra="forbid", frozen=True)

    install: _OptionalPhase = Field(default=None, validate_default=False)
    pre_build: _OptionalPhase = Field(default=None, validate_default=False)
    build: _OptionalPhase = Field(default=None, validate_default=False)
    post_build: _OptionalPhase = Field(default=None, validate_default=False)


class _Env(_Part):
    shell: Literal["", "bash", "/bin/sh", "sh"] = ""
    variables: Annotated[dict[_Variable, _Text], _or_empty(dict)] = {}
    parameters: Annotated[dict[_Variable, _Command], _or_empty(dict)] = Field(default={}, alias="parameter-store")
    secrets: Annotated[dict[_Variable, _Command], _or_empty(dict)] = Field(default={}, alias="secrets-manager")
    exported: Annotated[list[_Variable], _or_empty(list)] = Field(default=[], alias="exported-variables")


class _Cache(_Part):
    paths: Annotated[list[_Text], _or_empty(list)] = []


class _Written(_Part):
    phases: _Phases
    env: Annotated[_Env, _or_empty(dict)] = _Env()
    cache: Annotated[_Cache, _or_empty(dict)] = _Cache()


def _tree(text: str) -> dict[str, Any]:
    try:
        loader = _TextLoader(text)
        node = loader.get_single_node()
        large = node is not None and _size(node, {}) > LARGEST
        tree = None if node is None or large else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an explicit tag, "!!int x", raises ValueError
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise BuildspecError(f"The buildspec is not YAML{where}: {problem}. Correct that line.") from error
    if large:
        raise BuildspecError(f"The buildspec has more than {LARGEST:,} values, aliases written out. Make it shorter.")
    if not isinstance(tree, dict):
        raise BuildspecError('The buildspec holds no keys; it begins with "version: 0.2" and has a "phases:" block.')
    return tree


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node is, with its aliases written out; one that holds itself is too many."""
    if id(node) not in known:
        known[id(node)] = LARGEST + 1  # while it is counted
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        inside = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in pairs for each in pair]
        known[id(node)] = 1 + sum(_size(each, known) for each in inside)
    return known[id(node)]


def _require_version(tree: Mapping[str, Any]) -> None:
    version = tree.get("version")
    if version == "0.2":
        return
    if version is None:
        raise BuildspecError('version: it is missing; add "version: 0.2" as the first line of the buildspec.')
    if version == "0.1":
        raise BuildspecError(
            "version: 0.1 runs every command in a shell of its own, which the local CodeBuild does not do; "
            'write "version: 0.2", where a cd and an export carry over to the next command.'
        )
    raise BuildspecError(f'version: {version!r} is not one CodeBuild knows; write "version: 0.2".')


def _phase(phases: _Phases, name: str) -> PhaseCommands:
    written: _Phase = getattr(phases, name)
    return PhaseCommands(tuple(written.commands), tuple(written.finally_), written.on_failure)


def _first(error: ValidationError) -> str:
    """The first of pydantic's findings as one sentence that begins with the field's path in the buildspec."""
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"] if part != "[key]")
    last = str(found["loc"][-1])
    if found["type"] == "missing":
        return f'{where}: it is missing; add a "{where}:" block with at least "build:" and its "commands:".'
    if found["type"] == "extra_forbidden":
        return f"{where}: there is no such phase; the phases are {', '.join(PHASES)}."
    if last == "on-failure":
        return f"{where}: {found['input']!r} is not carried out here; write ABORT or CONTINUE, or leave the line out."
    if last == "shell":
        return f"{where}: {found['input']!r} is not a shell of CodeBuild on Linux; write bash or /bin/sh."
    if found["type"] == "string_pattern_mismatch":
        return f"{where}: {found['input']!r} is not a variable's name; use letters, digits and _, no digit first."
    if found["type"] == "string_type" and ("commands" in found["loc"] or "finally" in found["loc"]):
        return f'{where}: a command must be one text, and this is {_kind(found["input"])}; put it in quotes ("…").'
    if found["type"] == "list_type":
        return f'{where}: it must be a list, each line beginning with "- ", and is {_kind(found["input"])}.'
    if found["type"] in ("dict_type", "model_type"):
        return f"{where}: it must be a block of keys, and is {_kind(found['input'])}."
    return f"{where}: {found['msg'][:1].lower()}{found['msg'][1:]}; it is {_kind(found['input'])} here."


def _kind(value: Any) -> str:
    """What a reader of the YAML would call ``value``."""
    if isinstance(value, dict):
        return f'a key with a value (the ": " after {next(iter(value), "")!r} makes it one)'
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else f"the text {value!r}"


def _notes(tree: Mapping[str, Any]) -> list[str]:
    """One sentence for everything that is written in the buildspec and that the local CodeBuild leaves undone."""
    notes = [
        f"{key}: ignored by the local CodeBuild."
        for key in ("artifacts", "batch", "proxy", "reports", "run-as")
        if key in tree
    ]
    for name in PHASES:
        phase = tree["phases"].get(name) or {}
        if "runtime-versions" in phase:
            versions = phase["runtime-versions"]
            wanted = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else versions
            notes.append(
                f"phases.{name}.runtime-versions: ignored ({wanted}); the build runs with the console's interpreter."
            )
        if "run-as" in phase:
            notes.append(f"phases.{name}.run-as: ignored; the commands run as the user who started the console.")
    if (tree.get("env") or {}).get("git-credential-helper"):
        notes.append("env.git-credential-helper: ignored by the local CodeBuild.")
    return notes


def _not_kept(path: str) -> str:
    return f"cache.paths: {path} is ignored; write a path inside the source or below /root."
