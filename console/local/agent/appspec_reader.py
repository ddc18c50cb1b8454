"""An ``appspec.yml`` as the CodeDeploy agent 1.8.1 runs it: bytes in, an Appspec or the agent's own error out. Pure.

The controller's reader (``appspec.psych``) reads the document, so ``timeout: 5m`` is five seconds and an
unquoted ``0644`` is the mode 420 in both. ``appspec.verdict`` tells an author what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appspec.hooks import events
from appspec.node import Node, to_i, to_s
from appspec.permissions import TYPES
from appspec.psych import UnreadableError, read
from appspec.verdict import BEHAVIOURS, is_version

TIMEOUT_SECONDS = 3600
FAILED = "The deployment failed because "
FILE = "application specification file"


class AppspecError(ValueError):
    """The agent cannot read the file; the message is the agent's."""


@dataclass(frozen=True)
class Script:
    """One script of a lifecycle event; ``location`` is a path in the bundle, ``timeout`` in seconds."""

    location: str
    runas: str = ""
    sudo: bool = False
    timeout: int = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Copy:
    """One entry of ``files``: a file or folder of the bundle, and the target folder."""

    source: str
    destination: str


@dataclass(frozen=True)
class Permission:
    """One entry of ``permissions``; ``mode`` is octal digits, "" for none."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    types: tuple[str, ...] = TYPES
    owner: str = ""
    group: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Appspec:
    """The work for the agent. ``file_exists_behavior`` is "" if the file leaves it to the deployment."""

    hooks: Mapping[str, tuple[Script, ...]] = field(default_factory=dict)
    files: tuple[Copy, ...] = ()
    permissions: tuple[Permission, ...] = ()
    file_exists_behavior: str = ""


def parse(document: bytes) -> Appspec:
    """The content of an appspec.yml. Raises AppspecError."""
    spec = _read(document)
    _require(spec)
    behaviour = spec.section("file_exists_behavior")
    if behaviour.value is not None and behaviour.value not in BEHAVIOURS:
        wrong = f"an invalid file_exists_behavior value ({_shown(behaviour)}) was entered in the {FILE}"
        raise AppspecError(f"{FAILED}{wrong}. Make sure your AppSpec file specifies one of {','.join(BEHAVIOURS)}.")
    return Appspec(
        hooks=_hooks(spec),
        files=tuple(_copy(row) for row in _rows(spec.section("files"), "files")),
        permissions=tuple(_permission(row) for row in _rows(spec.section("permissions"), "permissions")),
        file_exists_behavior=to_s(behaviour),
    )


def _read(document: bytes) -> Node:
    try:
        spec, _ = read(document)
    except UnreadableError as error:
        raise AppspecError(f"line {error.line} {error.why}") from error
    if spec.absent:
        text = "was empty. Make sure your AppSpec file defines at minimum the 'version' and 'os' properties."
        raise AppspecError(f"{FAILED}the {FILE} {text}")
    if not isinstance(spec.value, dict):
        raise AppspecError(
            f"undefined method for {_shown(spec)}: the {FILE} must be a map that begins with version: 0.0"
        )
    return spec


def _require(spec: Node) -> None:
    version, system = spec.section("version"), spec.section("os")
    if not is_version(version):
        wrong = f"an invalid version value ({_shown(version)}) was entered in the {FILE}"
        raise AppspecError(f'{FAILED}{wrong}. Make sure your AppSpec file specifies "0.0" as the version.')
    if system.value != "linux":
        wrong = f"the {FILE} specifies an unsupported operating system ({_shown(system)})"
        raise AppspecError(
            f'{FAILED}{wrong}. Specify either "linux" or "windows" in the os section of the AppSpec file.'
        )


def _hooks(spec: Node) -> dict[str, tuple[Script, ...]]:
    hooks = spec.section("hooks")
    if not hooks.absent and not isinstance(hooks.value, dict):
        raise AppspecError(f"undefined method `each_pair' for {_shown(hooks)}: hooks must be a map of lifecycle events")
    named = ((str(event.value), _rows(node, f"hooks.{event.value}")) for event, node in events(spec))
    return {event: tuple(map(_script, rows)) for event, rows in named if rows}


def _rows(node: Node, where: str) -> list[Node]:
    """The entries of a list of maps."""
    if node.items is None or node.items != node.maps:
        raise AppspecError(f"undefined method `has_key?' for {_shown(node)}: {where} must be a list of maps")
    return node.maps


def _script(row: Node) -> Script:
    location, timeout, sudo = to_s(row.get("location")), row.get("timeout"), row.get("sudo")
    if not location:
        raise AppspecError(f"{FAILED}the {FILE} specifies a script with no location value.")
    seconds = TIMEOUT_SECONDS
    if timeout is not None and not timeout.absent:
        given = to_i(timeout)
        if given is None:
            raise AppspecError(f"undefined method `to_i' for {_shown(timeout)}: a timeout is a number of seconds")
        seconds = given
    if seconds <= 0:
        raise AppspecError(f"{FAILED}an invalid timeout value was provided for a script in the {FILE}.")
    return Script(location, to_s(row.get("runas")), sudo is not None and not sudo.absent, seconds)


def _copy(row: Node) -> Copy:
    source, destination = row.get("source"), row.get("destination")
    if source is None:
        raise AppspecError(f"{FAILED}the {FILE} specifies a destination file, but no source file.")
    if destination is None:
        raise AppspecError(f"{FAILED}the {FILE} specifies only a source file ({_shown(source)}).")
    for node in (source, destination):
        if not isinstance(node.value, str):
            raise AppspecError(f"no implicit conversion into String: {_shown(node)} among files must be in quotes")
    return Copy(source.value, destination.value)


def _permission(row: Node) -> Permission:
    object_ = to_s(row.get("object"))
    if not object_:
        raise AppspecError(f"{FAILED}a permission listed in the {FILE} has no object value.")
    for name in ("acls", "context"):
        if row.get(name) is not None:
            raise AppspecError(
                f"permissions of {object_}: the local agent sets no {name}; leave them to a host on AWS."
            )
    types = _words(row.get("type"), "type") or TYPES
    for kind in types:
        if kind not in TYPES:
            raise AppspecError(f"{FAILED}the {FILE} specifies a permission for an object type not supported ({kind}).")
    return Permission(
        object_,
        to_s(row.get("pattern")) or "**",
        _words(row.get("except"), "except"),
        types,
        to_s(row.get("owner")),
        to_s(row.get("group")),
        _mode(row.get("mode")),
    )


def _words(node: Node | None, name: str) -> tuple[str, ...]:
    if node is None or node.absent:
        return ()
    if not isinstance(node.value, list):
        raise AppspecError(f"undefined method `each' for {_shown(node)}: {name} of a permission must be a list")
    return tuple(to_s(row) for row in node.value)


def _mode(mode: Node | None) -> str:
    """The digits of a mode. YAML has already read an unquoted 0644 as the number 420."""
    if mode is None:
        return ""
    text = to_s(mode).rjust(3, "0")
    if len(text) > 4:
        raise AppspecError(f"{FAILED}the length of a permissions mode ({text}) in the {FILE} is invalid.")
    wrong = next((digit for digit in text if digit not in "01234567"), "")
    if wrong:
        raise AppspecError(
            f"{FAILED}the permissions mode ({text}) in the {FILE} contains an invalid character ({wrong})."
        )
    return text


def _shown(node: Node) -> str:
    """A value as written; for a list or a map, its kind."""
    return node.kind if isinstance(node.value, list | dict) else node.text[:80]
