"""An ``appspec.yml`` as CodeDeploy's agent reads it: text in, :class:`Appspec` out, or the agent's own words why not.

Pure. The verdicts are those of agent 1.8.1: ``version`` must be a number equal to 0, ``timeout: 5m`` is five seconds,
an unquoted ``0644`` is the mode 420. What an author should have written instead is said elsewhere, before a deployment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

BEHAVIOURS = ("DISALLOW", "OVERWRITE", "RETAIN")
TYPES = ("file", "directory")
TIMEOUT_SECONDS = 3600
FAILED = "The deployment failed because "
FILE = "application specification file"


class AppspecError(ValueError):
    """The agent cannot read the file; what it says."""


@dataclass(frozen=True)
class Script:
    """One script of a lifecycle event; ``location`` is a path in the bundle, ``timeout`` in seconds."""

    location: str
    runas: str = ""
    sudo: bool = False
    timeout: int = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Copy:
    """One row of ``files``: a file or folder of the bundle, and the folder it is laid into."""

    source: str
    destination: str


@dataclass(frozen=True)
class Permission:
    """One row of ``permissions``; ``mode`` is octal digits, "" for none."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    types: tuple[str, ...] = TYPES
    owner: str = ""
    group: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Appspec:
    """What the agent is to do. ``file_exists_behavior`` is "" where the file leaves it to the deployment."""

    hooks: Mapping[str, tuple[Script, ...]] = field(default_factory=dict)
    files: tuple[Copy, ...] = ()
    permissions: tuple[Permission, ...] = ()
    file_exists_behavior: str = ""


def parse(text: str) -> Appspec:
    """Return what ``text`` says. Raises :class:`AppspecError`."""
    tree = _tree(text)
    _require(tree)
    behaviour = tree.get("file_exists_behavior")
    if behaviour is not None and behaviour not in BEHAVIOURS:
        wrong = f"an invalid file_exists_behavior value ({behaviour}) was entered in the {FILE}"
        raise AppspecError(f"{FAILED}{wrong}. Make sure your AppSpec file specifies one of {','.join(BEHAVIOURS)}.")
    return Appspec(
        hooks=_hooks(tree.get("hooks") or {}),
        files=tuple(_copy(row) for row in _rows(tree.get("files"), "files")),
        permissions=tuple(_permission(row) for row in _rows(tree.get("permissions"), "permissions")),
        file_exists_behavior=behaviour or "",
    )


class _Loader(yaml.SafeLoader):
    """YAML as Ruby's safe_load takes it: no alias, no date."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: yaml.AliasEvent = self.peek_event()  # type: ignore[no-untyped-call]
            raise AppspecError(f"Unknown alias: {event.anchor}")
        node: yaml.Node | None = super().compose_node(parent, index)
        if node is not None and node.tag == "tag:yaml.org,2002:timestamp":
            raise AppspecError("Tried to load unspecified class: Date")
        return node


def _tree(text: str) -> dict[Any, Any]:
    try:
        tree = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, AppspecError):
            raise
        raise AppspecError(f"(<unknown>): {' '.join(str(error).split())}") from error
    if tree is None or tree is False:
        text = (
            f"the {FILE} was empty. Make sure your AppSpec file defines at minimum the 'version' and 'os' properties."
        )
        raise AppspecError(FAILED + text)
    if not isinstance(tree, dict):
        raise AppspecError(f"undefined method for {tree!r}: the {FILE} must be a map that begins with version: 0.0")
    return tree


def _require(tree: Mapping[Any, Any]) -> None:
    version, system = tree.get("version"), tree.get("os")
    if isinstance(version, bool) or not isinstance(version, int | float) or version != 0:
        wrong = f"an invalid version value ({_shown(version)}) was entered in the {FILE}"
        raise AppspecError(f'{FAILED}{wrong}. Make sure your AppSpec file specifies "0.0" as the version.')
    if system != "linux":
        wrong = f"the {FILE} specifies an unsupported operating system ({_shown(system)})"
        raise AppspecError(
            f'{FAILED}{wrong}. Specify either "linux" or "windows" in the os section of the AppSpec file.'
        )


def _hooks(tree: Any) -> dict[str, tuple[Script, ...]]:
    if not isinstance(tree, dict):
        raise AppspecError(f"undefined method `each_pair' for {_shown(tree)}: hooks must be a map of lifecycle events")
    return {str(event): tuple(map(_script, _rows(rows, f"hooks.{event}"))) for event, rows in tree.items() if rows}


def _rows(rows: Any, where: str) -> list[dict[Any, Any]]:
    """A list of maps; nothing is an empty one."""
    if not rows:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AppspecError(f"undefined method `has_key?' for {_shown(rows)}: {where} must be a list of maps")
    return rows


def _script(row: Mapping[Any, Any]) -> Script:
    location = str(row["location"]).strip() if row.get("location") is not None else ""
    if not location:
        raise AppspecError(f"{FAILED}the {FILE} specifies a script with no location value.")
    given = row.get("timeout")
    timeout = TIMEOUT_SECONDS if given is None or given is False else _to_i(given)
    if timeout <= 0:
        raise AppspecError(f"{FAILED}an invalid timeout value was provided for a script in the {FILE}.")
    runas = row.get("runas")
    return Script(location, str(runas).strip() if runas is not None else "", bool(row.get("sudo")), timeout)


def _to_i(value: Any) -> int:
    """Ruby's ``to_i``: of a text its leading digits, else 0."""
    if isinstance(value, str):
        digits = re.match(r"\s*[+-]?\d+(?:_\d+)*", value)
        return int(digits[0]) if digits else 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AppspecError(f"undefined method `to_i' for {_shown(value)}: a timeout is a number of seconds")
    return int(value)


def _copy(row: Mapping[Any, Any]) -> Copy:
    source, destination = row.get("source"), row.get("destination")
    if source is None:
        raise AppspecError(f"{FAILED}the {FILE} specifies a destination file, but no source file.")
    if destination is None:
        raise AppspecError(f"{FAILED}the {FILE} specifies only a source file ({source}).")
    return Copy(str(source), str(destination))


def _permission(row: Mapping[Any, Any]) -> Permission:
    object_ = str(row["object"]).strip() if row.get("object") is not None else ""
    if not object_:
        raise AppspecError(f"{FAILED}a permission listed in the {FILE} has no object value.")
    for name in ("acls", "context"):
        if row.get(name) is not None:
            raise AppspecError(
                f"permissions of {object_}: the local agent sets no {name}; leave them to a host on AWS."
            )
    types = tuple(_words(row.get("type") or list(TYPES), "type"))
    for kind in types:
        if kind not in TYPES:
            raise AppspecError(f"{FAILED}the {FILE} specifies a permission for an object type not supported ({kind}).")
    return Permission(
        object_,
        str(row.get("pattern") or "**"),
        tuple(_words(row.get("except") or [], "except")),
        types,
        str(row.get("owner") or ""),
        str(row.get("group") or ""),
        _mode(row.get("mode")),
    )


def _words(rows: Any, name: str) -> list[str]:
    if not isinstance(rows, list):
        raise AppspecError(f"undefined method `each' for {_shown(rows)}: {name} of a permission must be a list")
    return [str(row) for row in rows]


def _mode(mode: Any) -> str:
    """The mode's digits. YAML has read an unquoted 0644 as the number 420 before anybody here sees it."""
    if mode is None:
        return ""
    text = str(mode).rjust(3, "0")
    if len(text) > 4:
        raise AppspecError(f"{FAILED}the length of a permissions mode ({text}) in the {FILE} is invalid.")
    wrong = next((digit for digit in text if digit not in "01234567"), "")
    if wrong:
        raise AppspecError(
            f"{FAILED}the permissions mode ({text}) in the {FILE} contains an invalid character ({wrong})."
        )
    return text


def _shown(value: Any) -> str:
    return "" if value is None else str(value)[:80]
