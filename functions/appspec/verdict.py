"""The verdict on a repository's own ``appspec.yml``, before anything is deployed. Pure.

The bytes of the file and of its bundle go in, sentences come out. No sentence means that the agent, 1.8.1 or 2.x, runs
the file as its author meant it. A host has either, so what one of them refuses is refused; a sentence that is true of
one only names it. The differences are in docs/codedeploy-agent.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from appspec.files import file_problems
from appspec.hooks import events, hook_problems
from appspec.node import Node, to_s
from appspec.paths import inside
from appspec.permissions import permission_problems
from appspec.problem import NAME, BundleFile, Problem, Problems, allowed, shown, unknown_keys
from appspec.psych import UnreadableError, read
from appspec.script import script_problems

LARGEST = 64 * 1024  # bytes of an appspec.yml
SHOWN = 10  # problems in a message; the others are counted
BEHAVIOURS = ("DISALLOW", "OVERWRITE", "RETAIN")  # for a file that already exists
_SECTIONS = ("version", "os", "files", "hooks", "permissions", "file_exists_behavior")


def problems(appspec: bytes, files: Mapping[str, BundleFile]) -> list[str]:
    """The problems of an appspec.yml and of the scripts it runs, each one sentence: where it is, what the agent would
    do, and what to write instead. ``files`` is the bundle by path."""
    found = list(_problems(appspec, files))
    accepted = {path: allowed(files[path].content) for path in {p.path for p in found} & files.keys()}
    accepted[NAME] = allowed(appspec)
    return list(dict.fromkeys(str(p) for p in found if not (p.trap and p.trap in accepted.get(p.path, ()))))


def named(appspec: bytes) -> tuple[list[str], list[str]]:
    """The paths in the bundle that an appspec.yml uses: its scripts, and the sources of ``files`` ("" is the root).

    Paths outside the bundle, and all paths of an unreadable file, are left out; ``problems`` reports those.
    """
    try:
        spec, _ = read(appspec[: LARGEST + 1])
    except UnreadableError:
        return [], []
    scripts = [inside(to_s(s.get("location"))) for _, event in events(spec) for s in event.maps]
    sources = [inside(to_s(f.get("source"))) for f in spec.section("files").maps]
    return [s for s in dict.fromkeys(scripts) if s], [s for s in dict.fromkeys(sources) if s is not None]


def told(found: Sequence[str]) -> str:
    """The first problems, one on each line, and the number of the others."""
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join([*found[:SHOWN], *more])


def misnamed(name: str, content: bytes) -> str:
    """The problem of a root file such as ``appspec.yaml``; "" if it is for ECS (it has ``Resources``) or accepted."""
    if "misnamed" in allowed(content) or re.search(rb"^\s*\"?Resources\"?\s*:", content, re.MULTILINE):
        return ""
    text = f"is not found by the agent's hooks, which only read {NAME}; rename it: git mv {name} {NAME}"
    return str(Problem(0, text, "misnamed", name))


def _problems(appspec: bytes, files: Mapping[str, BundleFile]) -> Problems:
    if len(appspec) > LARGEST:
        yield Problem(0, f"has {len(appspec):,} bytes; esteira reads at most {LARGEST:,}; make it shorter")
        return
    try:
        spec, second = read(appspec)
    except UnreadableError as error:
        yield Problem(error.line, error.why)
        return
    if spec.absent:
        yield Problem(0, 'is empty, which the agent refuses; begin it with "version: 0.0" and "os: linux"')
    elif not isinstance(spec.value, dict):
        yield Problem(spec.line, f"is {spec.kind} and not a map; write version, os, files and hooks as its keys")
    elif second:
        yield Problem(second, "begins a second document, which the agent does not read; remove the ---", "document")
    if not isinstance(spec.value, dict):
        return
    yield from _repeated(spec)
    for rule in (_top, file_problems, hook_problems, permission_problems):
        yield from rule(spec, files)
    for path in dict.fromkeys(named(appspec)[0]):
        if path in files:
            yield from script_problems(path, files[path].content, files.keys())


def _repeated(node: Node) -> Problems:
    """Keys that are written twice, at any depth."""
    seen: dict[object, int] = {}
    for key in node.keys:
        if key.value in seen:
            text = f"has {shown(key)} a second time (first on line {seen[key.value]}): agent 1.8 ignores the first"
            yield Problem(key.line, f"{text}, and 2.x refuses most such files; put both into one", "duplicate-key")
        seen.setdefault(key.value, key.line)
    children = node.value.values() if isinstance(node.value, dict) else node.value
    for child in children if isinstance(node.value, dict | list) else ():
        yield from _repeated(child)


def _top(spec: Node, _files: Mapping[str, BundleFile]) -> Problems:
    yield from unknown_keys(spec, _SECTIONS, "section")
    version, system, behaviour = (spec.value.get(k) for k in ("version", "os", "file_exists_behavior"))
    if version is None:
        yield Problem(0, 'has no version, which the agent refuses; write "version: 0.0"')
    elif not is_version(version):
        quoted = " (text, because of the quotes)" if isinstance(version.value, str) and not version.plain else ""
        text = f"has version {shown(version)}{quoted}, which the agent refuses; write version: 0.0, without quotes"
        yield Problem(version.line, text)
    if system is None or system.value != "linux":
        said = f"has os {shown(system)}" if system else "has no os"
        yield Problem(system.line if system else 0, f"{said}, which the agent refuses; write os: linux, in lower case")
    if behaviour is not None and behaviour.value not in (None, *BEHAVIOURS):
        text = f"has file_exists_behavior {shown(behaviour)}, which the agent refuses; write DISALLOW, OVERWRITE or "
        text += "RETAIN, in capitals, or remove the line: esteira deploys with OVERWRITE"
        yield Problem(behaviour.line, text)
    if not any(scripts.maps for _, scripts in events(spec)) and not spec.section("files").maps:
        text = "has neither hooks nor files, so a deployment would succeed and change nothing; add a script"
        yield Problem(0, text, "empty")


def is_version(node: Node) -> bool:
    """Whether the agent accepts a value as the version: the number 0 or 0.0."""
    return isinstance(node.value, int | float) and not isinstance(node.value, bool) and node.value == 0
