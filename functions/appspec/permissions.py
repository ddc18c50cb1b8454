"""The ``permissions`` section: owner, mode and access control entries of what was copied. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from appspec.node import Node, to_s
from appspec.paths import copies, inside
from appspec.problem import BundleFile, Problem, Problems, short, shown, unknown_keys

TYPES = ("file", "directory")  # what a permission may apply to
_KEYS = ("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type")
# [d:][u|g|m|o:][name]:rights, but no entry for the owner, the owning group or the others without d:
_ACL = re.compile(
    r"(?:(?:d|default):(?:(?:(?:u|user|g|group):)?[^:]*|(?:m|mask|o|other):)"
    r"|(?:u|user|g|group):[^:]+|(?:m|mask):|(?!(?:o|other):)[^:]+):(?:[0-7]|[rwx-]*)"
)


def permission_problems(spec: Node, files: Mapping[str, BundleFile]) -> Problems:
    """The problems of the section."""
    section = spec.section("permissions")
    if section.items is None or section.items != section.maps:
        text = 'has permissions that are not a list of maps, and the agent fails; write a list, each "- object: /path"'
        yield Problem(section.line, text)
        return
    copied = {target for entry in spec.section("files").maps for target in _copied(entry, files)}
    seen: set[str] = set()
    for permission in section.items:
        yield from unknown_keys(permission, _KEYS, "key")
        target = posixpath.normpath(to_s(permission.get("object")) or ".")
        if target == ".":
            text = "has a permission without an object, which the agent refuses; write object: and a path on the host"
            yield Problem(permission.line, text)
        for key, rule in _RULES.items():
            node = permission.get(key)
            if node is not None:
                yield from rule(node)
        if target in copied and "file" in _types(permission):
            yield from _one_file(permission, target, seen)


def _copied(entry: Node, files: Mapping[str, BundleFile]) -> Iterator[str]:
    source, destination = inside(to_s(entry.get("source"))), to_s(entry.get("destination"))
    if source is not None and destination:
        yield from (target for _, target in copies(source, posixpath.normpath(destination), files))


def _types(permission: Node) -> list[object]:
    node = permission.get("type")
    return [n.value for n in node.value] if node and isinstance(node.value, list) else list(TYPES)


def _one_file(permission: Node, target: str, seen: set[str]) -> Problems:
    pattern, exceptions = permission.get("pattern"), permission.get("except")
    if (pattern and pattern.value != "**") or (exceptions and exceptions.value):
        text = f"has a pattern or except for {short(target)}, which is a file: the agent fails at Install; remove them"
        yield Problem(permission.line, text)
    if target in seen:
        text = f"sets the permissions of {short(target)} a second time, which the agent refuses; put both into one"
        yield Problem(permission.line, text)
    seen.add(target)


def _mode(mode: Node) -> Problems:
    digits = "" if isinstance(mode.value, bool | list | dict) else to_s(mode)
    good = re.fullmatch(r"[0-7]{1,4}", digits)
    if mode.plain and isinstance(mode.value, int) and re.fullmatch(r"0[0-7_]+", mode.text):
        then = f"sets mode {digits}" if good else "fails"
        text = f"has mode {mode.text[:20]} unquoted, which YAML reads as the number {digits}: agent 1.8 {then}"
        yield Problem(mode.line, f'{text}, and 2.x sets {mode.text[:20]}; write "{mode.text[:20]}" in quotes')
    elif not good:
        does = "for which the agent removes all rights" if mode.value == "" else "which the agent refuses"
        text = f'has mode {shown(mode)}, {does}; write one to four digits from 0 to 7, such as "0644"'
        yield Problem(mode.line, text)


def _type(node: Node) -> Problems:
    good = isinstance(node.value, list) and all(n.value in TYPES for n in node.value)
    if node.value is not False and not good:
        text = f"has type {shown(node)}, and the agent fails; write a list of file and directory: [file]"
        yield Problem(node.line, text)


def _except(node: Node) -> Problems:
    if node.value is not False and not isinstance(node.value, list):
        yield Problem(node.line, f"has except {shown(node)}, and the agent fails; write a list")


def _acls(node: Node) -> Problems:
    for entry in node.value if isinstance(node.value, list) else [node]:
        if entry is node or not _ACL.fullmatch(to_s(entry)):
            text = f"has the acl {shown(entry)}, which the agent refuses; write a list of entries"
            yield Problem(entry.line, f'{text} such as "u:www-data:rwx"')


def _context(node: Node) -> Problems:
    if not isinstance(node.value, dict) or node.get("type") is None:
        yield Problem(node.line, "has a context without a type, which the agent refuses; write type: below context:")


_RULES = {"mode": _mode, "type": _type, "except": _except, "acls": _acls, "context": _context}
