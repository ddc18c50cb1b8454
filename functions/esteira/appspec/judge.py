"""What CodeDeploy's agent would make of a repository's own ``appspec.yml``, told before anything is deployed.

Pure: the bytes of the file and of what travels with it in, sentences out; none means that the agent (1.8.1) runs it as
its author means it. There are *errors*, which the agent would find on the host, some of them after it has begun to
change it, and *traps*, which it would not find at all. A trap has a name, by which a comment in the file that has it
may accept it: ``# esteira: allow background-child``. An error cannot be accepted.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from esteira.appspec import hook
from esteira.appspec.psych import Node, UnreadableError, read

NAME = "appspec.yml"
LARGEST = 64 * 1024  # bytes of an appspec.yml
EVENT_SECONDS = 3600  # what CodeDeploy gives all the scripts of one event together
SHOWN = 10  # problems that are told; the others are counted

# In the order in which they come, on a host without a load balancer.
EVENTS = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
BALANCED = ("BeforeBlockTraffic", "AfterBlockTraffic", "BeforeAllowTraffic", "AfterAllowTraffic")
KEPT = ("Start", "DownloadBundle", "Install", "BlockTraffic", "AllowTraffic", "End")

BEHAVIOURS = ("DISALLOW", "OVERWRITE", "RETAIN")  # for a file that is there already
TYPES = ("file", "directory")  # what a permission may be for

_SECTIONS = ("version", "os", "files", "hooks", "permissions", "file_exists_behavior")
# Many write overwrite: the agent passes over it, but esteira deploys so.
_FILE_KEYS = ("source", "destination", "overwrite")
_SCRIPT_KEYS = ("location", "timeout", "runas", "sudo")
_PERMISSION_KEYS = ("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type")
_ACL_KINDS = {"u": "user", "g": "group", "m": "mask", "o": "other"}
_ACL_KINDS |= {kind: kind for kind in _ACL_KINDS.values()}
_ALLOW = re.compile(r"#[ \t]*esteira:[ \t]*allow[ \t]+([a-z-]+(?:[ \t]*,[ \t]*[a-z-]+)*)")


@dataclass(frozen=True)
class File:
    """A file of the bundle."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Problem:
    """Where it is ("" for the file as a whole) and what is wrong; ``trap`` is the name by which it may be allowed."""

    line: int
    text: str
    trap: str = ""
    path: str = NAME

    def __str__(self) -> str:
        place = f"{self.path} line {self.line}" if self.line else self.path
        accept = f" (if you mean it: # esteira: allow {self.trap})" if self.trap else ""
        return f"{place} {self.text}{accept}"


Problems = Iterator[Problem]


def problems(appspec: bytes, files: Mapping[str, File]) -> list[str]:
    """What is wrong with an appspec.yml in a bundle of ``files`` (by path), each in a sentence that says where,
    what the agent would do and what to write instead. Empty: nothing is."""
    found = list(_judged(appspec, files))
    allowed = {path: _allowed(files[path].content) for path in {p.path for p in found} & files.keys()}
    allowed[NAME] = _allowed(appspec)
    return list(dict.fromkeys(str(p) for p in found if not (p.trap and p.trap in allowed.get(p.path, ()))))


def named(appspec: bytes) -> tuple[list[str], list[str]]:
    """The paths in the bundle that an appspec.yml names: its scripts, and the sources of its ``files``, where ""
    is the whole of it. What cannot be read, or leads out of the bundle, is not among them: ``problems`` tells it."""
    try:
        spec, _ = read(appspec[: LARGEST + 1])
    except UnreadableError:
        return [], []
    scripts = [inside(text_of(s.get("location"))) for _, event in _events(spec) for s in _maps(event)]
    sources = [inside(text_of(f.get("source"))) for f in _maps(section(spec, "files"))]
    return [s for s in dict.fromkeys(scripts) if s], [s for s in dict.fromkeys(sources) if s is not None]


def told(found: Sequence[str]) -> str:
    """The first problems, each on a line, and how many more there are."""
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join([*found[:SHOWN], *more])


def misnamed(name: str, content: bytes) -> str:
    """What is wrong with a file that stands at the root in place of an appspec.yml, such as ``appspec.yaml``;
    "" where it is none for hosts (it has ``Resources``) or is allowed to be passed over."""
    if "misnamed" in _allowed(content) or re.search(rb"^\s*\"?Resources\"?\s*:", content, re.MULTILINE):
        return ""
    text = f"is not found by the agent's hooks, which look for {NAME} alone; rename it: git mv {name} {NAME}"
    return str(Problem(0, text, "misnamed", name))


def inside(path: str) -> str | None:
    """A path of an appspec.yml as one from the bundle's root ("" is the root), None if it leads out of it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _allowed(content: bytes) -> set[str]:
    text = content.decode(errors="replace")
    return {name.strip() for match in _ALLOW.finditer(text) for name in match[1].split(",")}


def _judged(appspec: bytes, files: Mapping[str, File]) -> Problems:
    if len(appspec) > LARGEST:
        yield Problem(0, f"has {len(appspec):,} bytes; esteira reads at most {LARGEST:,}; write it shorter")
        return
    try:
        spec, second = read(appspec)
    except UnreadableError as error:
        yield Problem(error.line, error.why)
        return
    if spec.absent:
        yield Problem(0, 'is empty, which the agent refuses; begin it with "version: 0.0" and "os: linux"')
        return
    if not isinstance(spec.value, dict):
        yield Problem(spec.line, f"is {_kind(spec)} and no map; write version, os, files and hooks as its keys")
        return
    if second:
        yield Problem(second, "begins a second document, which the agent does not read; take the --- away", "document")
    for rule in (_repeated, _top, _files, _hooks, _permissions):
        yield from rule(spec, files)
    for path in dict.fromkeys(named(appspec)[0]):
        if path in files:
            for trap in hook.traps(path, files[path].content, files.keys()):
                yield Problem(trap.line, trap.text, trap.name, path)


# --- the document ----------------------------------------------------------------------------------------------------


def _repeated(node: Node, _files: Mapping[str, File]) -> Problems:
    """Tell keys that are written twice, anywhere."""
    seen: dict[object, int] = {}
    for key in node.keys:
        if key.value in seen:
            yield Problem(
                key.line,
                f"has {_shown(key)} a second time (first on line {seen[key.value]}): the agent takes the last and "
                "forgets the first; put both into one",
                "duplicate-key",
            )
        seen.setdefault(key.value, key.line)
    children = node.value.values() if isinstance(node.value, dict) else node.value
    for child in children if isinstance(node.value, dict | list) else ():
        yield from _repeated(child, _files)


def _top(spec: Node, _files: Mapping[str, File]) -> Problems:
    yield from _unknown(spec, _SECTIONS, "section")
    version, system, behavior = (spec.value.get(k) for k in ("version", "os", "file_exists_behavior"))
    if version is None:
        yield Problem(0, 'has no version, which the agent refuses; write "version: 0.0"')
    elif isinstance(version.value, bool | list | dict | str | None) or version.value != 0:
        quoted = " (a text: it is in quotes)" if isinstance(version.value, str) and not version.plain else ""
        yield Problem(
            version.line,
            f"has version {_shown(version)}{quoted}, which the agent refuses: write version: 0.0, unquoted",
        )
    if system is None or system.value != "linux":
        said = f"has os {_shown(system)}" if system else "has no os"
        yield Problem(system.line if system else 0, f"{said}, which the agent refuses: write os: linux, in lower case")
    if behavior is not None and behavior.value not in (None, *BEHAVIOURS):
        yield Problem(
            behavior.line,
            f"has file_exists_behavior {_shown(behavior)}, which the agent refuses; write DISALLOW, OVERWRITE or "
            "RETAIN, in capitals, or take the line away: esteira deploys with OVERWRITE",
        )
    if not any(_maps(event) for _, event in _events(spec)) and not _maps(section(spec, "files")):
        yield Problem(
            0, "has neither hooks nor files, so a deployment would succeed and change nothing; name a script", "empty"
        )


def _unknown(node: Node, known: Sequence[str], what: str) -> Problems:
    for key in node.keys:
        if key.value not in known:
            yield Problem(
                key.line,
                f"has the {what} {_shown(key)}, which the agent passes over" + _meant(key.text, known),
                "unknown-key",
            )


# --- hooks -----------------------------------------------------------------------------------------------------------


def _hooks(spec: Node, files: Mapping[str, File]) -> Problems:
    hooks = section(spec, "hooks")
    if hooks.absent:
        return
    if not isinstance(hooks.value, dict):
        yield Problem(
            hooks.line,
            f"has {_kind(hooks)} for hooks, at which the agent fails: write a map, event: - location: script",
        )
        return
    for key, scripts in _events(spec):
        if scripts.absent:
            continue
        yield from _event(key)
        if scripts.value == {}:
            continue
        if not isinstance(scripts.value, list):
            yield Problem(
                scripts.line,
                f"has {_kind(scripts)} for the scripts of {_shown(key)}, at which the agent fails (NoMethodError): "
                'write a list, each entry "- location: path/to/script"',
            )
            continue
        for script in scripts.value:
            yield from _script(script, key, files)
        yield from _seconds(scripts, key)


def _event(key: Node) -> Problems:
    name = key.text
    if name in KEPT:
        near = "BeforeInstall or AfterInstall" if name in ("Install", "DownloadBundle") else ", ".join(EVENTS[1:])
        yield Problem(
            key.line,
            f"hooks {name}, which CodeDeploy keeps for itself: the agent never runs these scripts "
            f"and does not say so; use {near}",
            "kept-event",
        )
    elif name in BALANCED:
        yield Problem(
            key.line,
            f"hooks {name}, which comes only to a deployment group with a load balancer; without "
            "one these scripts never run; use AfterInstall or ApplicationStart",
            "load-balancer",
        )
    elif name == "ApplicationStop":
        yield Problem(
            key.line,
            "hooks ApplicationStop: the agent runs the script of the revision that was there before, not this one, and "
            "if that one fails every later deployment fails, too; stop the old one in BeforeInstall or AfterInstall",
            "application-stop",
        )
    elif name not in EVENTS:
        known = (*EVENTS, *BALANCED)
        yield Problem(
            key.line,
            f"hooks the event {_shown(key)}, which there is not: the agent fails at Install, after "
            f"BeforeInstall has run{_meant(name, known)}",
        )


def _script(script: Node, event: Node, files: Mapping[str, File]) -> Problems:
    if not isinstance(script.value, dict):
        yield Problem(
            script.line,
            f"has {_shown(script)} for a script of {_shown(event)}, at which the agent fails (NoMethodError): write "
            f'"- location: {_shown(script, bare=True) if isinstance(script.value, str) else "path/to/script"}"',
        )
        return
    yield from _unknown(script, _SCRIPT_KEYS, "key")
    location = script.get("location")
    if location is None or not text_of(location):
        yield Problem(
            location.line if location else script.line,
            f"has a script of {_shown(event)} without a location, which the agent refuses; write location:",
        )
    else:
        yield from _location(location, event, files)
    timeout = script.get("timeout")
    if timeout is not None and timeout.value is not False:
        yield from _timeout(timeout)


def _location(location: Node, event: Node, files: Mapping[str, File]) -> Problems:
    path = inside(text_of(location))
    if path is None:
        yield Problem(
            location.line,
            f"has location {_shown(location)}, which leads out of the bundle: the agent runs whatever it finds there; "
            "commit a script and name its path in the repository",
            "outside",
        )
    elif path not in files:
        yield Problem(location.line, _not_there(location, path, event, files))
    elif not re.fullmatch(r"[\w@%+=:,./~#-]+", path):
        yield Problem(
            location.line,
            f"has location {_shown(location)}: the agent gives it to the shell as it is, which takes it apart at the "
            "blank or sign in it; rename the script with letters, digits, - and _",
        )


def _not_there(location: Node, path: str, event: Node, files: Mapping[str, File]) -> str:
    said = f"has location {_shown(location)} for {_shown(event)}"
    fails = "the agent would fail there (Script does not exist at specified location)"
    first = (path.split() or [""])[0]
    if first in files:
        return f"{said}: the whole text is a path, and no arguments can stand in it; {fails}; write location: {first}"
    if _is_folder(path, files):
        return f"{said}, which is a folder: the agent would fail to run it; name a script in it"
    same = [p for p in files if p.lower() == path.lower()]
    near = same or get_close_matches(path, files, 1, 0.8)
    meant = f"; is it {_short(near[0])}?" if near else ""
    return f"{said}, which is not in the commit; {fails}; commit it, or write its path from the root{meant}"


def _timeout(timeout: Node) -> Problems:
    seconds = seconds_of(timeout)
    said = f"has timeout {_shown(timeout)}"
    if seconds is None or seconds <= 0:
        yield Problem(timeout.line, f"{said}, which the agent refuses; write whole seconds, such as timeout: 300")
    elif timeout.plain and re.fullmatch(r"[-+]?0\d+|[^.]*:.*", timeout.text):
        yield Problem(
            timeout.line,
            f"{said}, which YAML reads as {seconds} seconds; write the seconds as one plain number",
            "timeout",
        )
    elif timeout.value != seconds and not re.fullmatch(r"[-+]?\d+(_\d+)*", text_of(timeout)):
        yield Problem(
            timeout.line,
            f"{said}, which the agent cuts down to {seconds} seconds; write whole seconds"
            f"{_in_seconds(text_of(timeout))}",
            "timeout",
        )


def seconds_of(timeout: Node) -> int | None:
    """A timeout as Ruby's ``to_i`` does, None where it has none."""
    value = timeout.value
    if isinstance(value, str):
        match = re.match(r"\s*([-+]?\d+(?:_\d+)*)", value[:40])
        return int(match[1].replace("_", "")) if match else 0
    if isinstance(value, bool | list | dict | None) or value in (float("inf"), float("-inf")) or value != value:
        return None
    return int(value)


def _in_seconds(text: str) -> str:
    match = re.fullmatch(r"(\d{1,4})\s*([mh])[a-z]*", text)
    return f": {int(match[1]) * {'m': 60, 'h': 3600}[match[2]]}" if match else ""


def _seconds(scripts: Node, event: Node) -> Problems:
    """Tell where the timeouts that are written for one event come to more than CodeDeploy gives it."""
    timeouts = [t for s in _maps(scripts) if (t := s.get("timeout")) is not None]
    total = sum(max(seconds_of(t) or 0, 0) for t in timeouts)
    if total > EVENT_SECONDS:
        yield Problem(
            timeouts[-1].line,
            f"gives the scripts of {_shown(event)} {total:,} seconds together, and CodeDeploy ends an event after "
            f"{EVENT_SECONDS:,}; write less",
            "long-timeout",
        )


# --- files -----------------------------------------------------------------------------------------------------------


def _files(spec: Node, files: Mapping[str, File]) -> Problems:
    entries = section(spec, "files")
    if entries.absent or entries.value == {}:
        return
    if not isinstance(entries.value, list):
        yield Problem(
            entries.line,
            f"has {_kind(entries)} for files, at which the agent fails; write a list, each "
            'entry "- source: …" with "destination: …" below',
        )
        return
    targets: dict[str, str] = {}
    for entry in entries.value:
        sound = True
        for problem in _entry(entry, files):
            sound = sound and bool(problem.trap)
            yield problem
        if sound:
            yield from _copies(entry, files, targets)


def _entry(entry: Node, files: Mapping[str, File]) -> Problems:
    if not isinstance(entry.value, dict):
        yield Problem(
            entry.line, f"has {_shown(entry)} among files, at which the agent fails; write - source: and destination:"
        )
        return
    yield from _unknown(entry, _FILE_KEYS, "key")
    for key in ("source", "destination"):
        node = entry.get(key)
        if node is None:
            other = entry.get("destination" if key == "source" else "source")
            yield Problem(
                entry.line,
                f"has an entry of files without {key} ({_shown(other) if other else 'empty'}), "
                f"which the agent refuses; write {key}: below it",
            )
        elif not isinstance(node.value, str):
            yield Problem(
                node.line,
                f"has {key} {_shown(node)}, which YAML does not read as text and the agent fails "
                "at (TypeError); put it in quotes",
            )
    source, destination = entry.get("source"), entry.get("destination")
    if source is not None and isinstance(source.value, str):
        yield from _source(source, files)
    if destination is not None and isinstance(destination.value, str) and not destination.value.startswith("/"):
        yield Problem(
            destination.line,
            f"has destination {_shown(destination)}, which the agent takes from its own "
            f"working directory, not from the bundle; write it from / on: /{_shown(destination, bare=True)}",
            "relative-destination",
        )


def _source(source: Node, files: Mapping[str, File]) -> Problems:
    path = inside(source.value)
    if path is None:
        yield Problem(
            source.line,
            f"has source {_shown(source)}, which leads out of the bundle; name a path in the repository",
            "outside",
        )
    elif path not in files and not _is_folder(path, files):
        near = get_close_matches(path, files, 1, 0.8)
        meant = f"; is it {_short(near[0])}?" if near else ""
        yield Problem(
            source.line,
            f"has source {_shown(source)}, which is not in the commit; the agent would fail at "
            f"Install (No such file or directory); commit it or correct the path{meant}",
        )


def _copies(entry: Node, files: Mapping[str, File], targets: dict[str, str]) -> Problems:
    """Tell where a file would be copied over another one of the bundle's, or into a folder of its own name."""
    source, destination = inside(entry.value["source"].value), entry.value["destination"]
    if source is None:
        return
    folder = posixpath.normpath(destination.value or "/")
    if source in files and posixpath.basename(folder) == posixpath.basename(source):
        yield Problem(
            destination.line,
            f"has destination {_shown(destination)}, which is taken for a folder: the file "
            f"would be {_short(folder)}/{_short(posixpath.basename(source))}; write destination: "
            f"{_short(posixpath.dirname(folder))}",
            "destination",
        )
    for path, target in _targets(source, folder, files):
        if target in targets:
            yield Problem(
                destination.line,
                f"copies {_short(path)} and {_short(targets[target])} to the same "
                f"{_short(target)}, which the agent refuses; take one of the two away",
            )
            return
        targets[target] = path


def _targets(source: str, folder: str, files: Mapping[str, File]) -> Iterator[tuple[str, str]]:
    """Each file that an entry copies, and where to."""
    if source in files:
        yield source, posixpath.join(folder, posixpath.basename(source))
        return
    prefix = f"{source}/" if source else ""
    for path in files:
        if path.startswith(prefix):
            yield path, posixpath.join(folder, path[len(prefix) :])


# --- permissions -----------------------------------------------------------------------------------------------------


def _permissions(spec: Node, files: Mapping[str, File]) -> Problems:
    permissions = section(spec, "permissions")
    if permissions.absent or permissions.value == {}:
        return
    if not isinstance(permissions.value, list) or not all(isinstance(p.value, dict) for p in permissions.value):
        yield Problem(
            permissions.line,
            "has permissions that are no list of maps, at which the agent fails; write a list, "
            'each entry "- object: /path"',
        )
        return
    copied = {t for e in _maps(section(spec, "files")) for t in _copied(e, files)}
    seen: set[str] = set()
    for permission in permissions.value:
        yield from _unknown(permission, _PERMISSION_KEYS, "key")
        target = posixpath.normpath(text_of(permission.get("object")) or ".")
        if target == ".":
            yield Problem(
                permission.line,
                "has a permission without an object, which the agent refuses; write object: and a path on the host",
            )
        for key, rule in _RULES.items():
            node = permission.get(key)
            if node is not None:
                yield from rule(node)
        if target in copied and "file" in _kinds(permission):
            yield from _one_file(permission, target, seen)


def _copied(entry: Node, files: Mapping[str, File]) -> Iterator[str]:
    source, destination = inside(text_of(entry.get("source"))), text_of(entry.get("destination"))
    if source is not None and destination:
        yield from (target for _, target in _targets(source, posixpath.normpath(destination), files))


def _kinds(permission: Node) -> list[object]:
    node = permission.get("type")
    return [n.value for n in node.value] if node and isinstance(node.value, list) else list(TYPES)


def _one_file(permission: Node, target: str, seen: set[str]) -> Problems:
    pattern, exceptions = permission.get("pattern"), permission.get("except")
    if (pattern and pattern.value != "**") or (exceptions and exceptions.value):
        yield Problem(
            permission.line,
            f"has a pattern or except for {_short(target)}, which is a file: the agent "
            "fails at Install; take them away",
        )
    if target in seen:
        yield Problem(
            permission.line,
            f"sets the permissions of {_short(target)} a second time, which the agent refuses; put both into one",
        )
    seen.add(target)


def _mode(mode: Node) -> Problems:
    digits = "" if isinstance(mode.value, bool | list | dict) else text_of(mode)
    good = re.fullmatch(r"[0-7]{1,4}", digits)
    if mode.plain and isinstance(mode.value, int) and re.fullmatch(r"0[0-7_]+", mode.text):
        then = f"sets mode {digits}" if good else "fails"
        yield Problem(
            mode.line,
            f"has mode {mode.text[:20]} unquoted, which YAML reads as the number {digits}: "
            f'the agent {then}; write "{mode.text[:20]}" in quotes',
        )
    elif not good:
        does = "by which the agent takes all rights away" if mode.value == "" else "which the agent refuses"
        yield Problem(
            mode.line,
            f'has mode {_shown(mode)}, {does}: write one to four digits from 0 to 7, such as "0644"',
        )


def _type(node: Node) -> Problems:
    if node.value is False:
        return
    if not isinstance(node.value, list) or not all(n.value in TYPES for n in node.value):
        yield Problem(
            node.line, f"has type {_shown(node)}, at which the agent fails; write a list of file and directory: [file]"
        )


def _except(node: Node) -> Problems:
    if node.value is not False and not isinstance(node.value, list):
        yield Problem(node.line, f"has except {_shown(node)}, at which the agent fails; write a list")


def _acls(node: Node) -> Problems:
    entries = node.value if isinstance(node.value, list) else [node]
    for entry in entries:
        if not isinstance(node.value, list) or not _is_acl(text_of(entry)):
            yield Problem(
                entry.line,
                f"has the acl {_shown(entry)}, which the agent refuses; write a list of entries "
                'such as "u:www-data:rwx"',
            )


def _is_acl(text: str) -> bool:
    """Whether the agent takes an access control entry: ``[d:][u|g|m|o:][name]:rwx``, no base entry."""
    *front, rights = text.split(":")
    if not 1 <= len(front) <= 3 or not re.fullmatch(r"[0-7]|[rwx-]*", rights):
        return False
    name, default, kind = front.pop(), False, ""
    if len(front) == 2 or (front and front[0] in ("d", "default")):
        default = front.pop(0) in ("d", "default")
        if not default:
            return False
    if front:
        kind = _ACL_KINDS.get(front[0], "")
        if not kind:
            return False
    if not kind and _ACL_KINDS.get(name) in ("mask", "other"):
        kind, name = _ACL_KINDS[name], ""
    if kind in ("mask", "other"):
        return not name and (default or kind == "mask")
    return default or bool(name)


def _context(node: Node) -> Problems:
    if not isinstance(node.value, dict) or node.get("type") is None:
        yield Problem(node.line, "has a context without a type, which the agent refuses; write type: below context:")


_RULES: Mapping[str, Callable[[Node], Problems]] = {
    "mode": _mode,
    "type": _type,
    "except": _except,
    "acls": _acls,
    "context": _context,
}


# --- nodes and words -------------------------------------------------------------------------------------------------


def section(spec: Node, name: str) -> Node:
    """What a map has under a name, as it is written; a null where that is not there."""
    found = spec.value.get(name) if isinstance(spec.value, dict) else None
    return found or Node(None, 0)


def _events(spec: Node) -> Iterator[tuple[Node, Node]]:
    """The events of the hooks with their scripts, each once, as the agent has them."""
    hooks = section(spec, "hooks")
    if isinstance(hooks.value, dict):
        yield from ((next(k for k in hooks.keys if k.value == event), node) for event, node in hooks.value.items())


def _maps(node: Node) -> list[Node]:
    return [n for n in node.value if isinstance(n.value, dict)] if isinstance(node.value, list) else []


def text_of(node: Node | None) -> str:
    """A scalar as Ruby's ``to_s`` gives it, without blanks around; "" for what is no scalar."""
    if node is None or node.value is None or isinstance(node.value, list | dict):
        return ""
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value).strip()


def _is_folder(path: str, files: Mapping[str, File]) -> bool:
    return path == "" or any(p.startswith(f"{path}/") for p in files)


def _kind(node: Node) -> str:
    value = node.value
    return "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a word"


def _shown(node: Node, *, bare: bool = False) -> str:
    """A value as it is written, shortened; a text in quotes has them unless it is to be ``bare``."""
    if isinstance(node.value, list | dict):
        return _kind(node)
    text = _short(node.text)
    return text if node.plain or bare else f'"{text}"'


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def _meant(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean …?" where a known word is like it, else which there are."""
    lower = {k.lower().replace("_", ""): k for k in known}
    near = get_close_matches(re.sub(r"[^a-z]", "", word.lower()), lower, 1, 0.75)
    return f"; did you mean {lower[near[0]]}?" if near else f"; there are {', '.join(known)}"
