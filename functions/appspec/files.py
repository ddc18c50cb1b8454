"""The ``files`` section: what the agent copies to the host. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from appspec.node import Node
from appspec.paths import copies, inside, is_folder
from appspec.problem import BundleFile, Problem, Problems, meant_path, short, shown, unknown_keys

# The agent ignores overwrite, but esteira deploys with it.
_KEYS = ("source", "destination", "overwrite")


def file_problems(spec: Node, files: Mapping[str, BundleFile]) -> Problems:
    """The problems of the section."""
    entries = spec.section("files")
    if entries.items is None:
        text = f"has {entries.kind} for files, and the agent fails"
        yield Problem(entries.line, f'{text}; write a list, each entry "- source: …" with "destination: …" below')
    targets: dict[str, str] = {}
    for entry in entries.items or ():
        found = list(_entry(entry, files))
        yield from found
        if all(problem.trap for problem in found):
            yield from _targets(entry, files, targets)


def _entry(entry: Node, files: Mapping[str, BundleFile]) -> Problems:
    if not isinstance(entry.value, dict):
        text = f"has {shown(entry)} among files, and the agent fails; write - source: and destination:"
        yield Problem(entry.line, text)
        return
    yield from unknown_keys(entry, _KEYS, "key")
    source, destination = entry.get("source"), entry.get("destination")
    for key, node, other in (("source", source, destination), ("destination", destination, source)):
        if node is None:
            text = f"has an entry of files without {key} ({shown(other) if other else 'empty'})"
            yield Problem(entry.line, f"{text}, which the agent refuses; write {key}: below it")
        elif not isinstance(node.value, str):
            text = f"has {key} {shown(node)}, which YAML does not read as text, and the agent fails (TypeError)"
            yield Problem(node.line, f"{text}; put it in quotes")
    if source is not None and isinstance(source.value, str):
        yield from _source(source, files)
    if destination is not None and isinstance(destination.value, str) and not destination.value.startswith("/"):
        text = f"has destination {shown(destination)}, which is relative to the agent's working directory, not to the "
        text += f"bundle; write an absolute path: /{shown(destination, bare=True)}"
        yield Problem(destination.line, text, "relative-destination")


def _source(source: Node, files: Mapping[str, BundleFile]) -> Problems:
    path, said = inside(source.value), f"has source {shown(source)}"
    if path is None:
        yield Problem(source.line, f"{said}, which is outside the bundle; write a path in the repository", "outside")
    elif path not in files and not is_folder(path, files):
        text = f"{said}, which is not in the commit; the agent would fail at Install (No such file or directory)"
        yield Problem(source.line, f"{text}; commit it or correct the path{meant_path(path, files)}")


def _targets(entry: Node, files: Mapping[str, BundleFile], targets: dict[str, str]) -> Problems:
    """Two files with the same target, or a file whose destination repeats its own name."""
    source, destination = inside(entry.value["source"].value), entry.value["destination"]
    if source is None:
        return
    folder, name = posixpath.normpath(destination.value or "/"), posixpath.basename(source)
    if source in files and posixpath.basename(folder) == name:
        text = f"has destination {shown(destination)}, which the agent takes for a folder: the file would be "
        text += f"{short(folder)}/{short(name)}; write destination: {short(posixpath.dirname(folder))}"
        yield Problem(destination.line, text, "destination")
    for path, target in copies(source, folder, files):
        if target in targets:
            text = f"copies {short(path)} and {short(targets[target])} to the same {short(target)}"
            yield Problem(destination.line, f"{text}, which the agent refuses; remove one of the two")
            return
        targets[target] = path
