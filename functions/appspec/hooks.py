"""The ``hooks`` section: lifecycle events, and the scripts that run at each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from appspec.node import Node, to_i, to_s
from appspec.paths import inside, is_folder
from appspec.problem import BundleFile, Problem, Problems, meant, meant_path, shown, unknown_keys

EVENT_SECONDS = 3600  # CodeDeploy's limit for all scripts of one event together

# In the order in which they come, on a host without a load balancer.
EVENTS = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
BALANCED = ("BeforeBlockTraffic", "AfterBlockTraffic", "BeforeAllowTraffic", "AfterAllowTraffic")
_RESERVED = ("Start", "DownloadBundle", "Install", "BlockTraffic", "AllowTraffic", "End")
_KEYS = ("location", "timeout", "runas", "sudo")


def events(spec: Node) -> Iterator[tuple[Node, Node]]:
    """Each event of the hooks with its scripts, as the agent sees them."""
    hooks = spec.section("hooks")
    if isinstance(hooks.value, dict):
        yield from ((next(k for k in hooks.keys if k.value == event), node) for event, node in hooks.value.items())


def hook_problems(spec: Node, files: Mapping[str, BundleFile]) -> Problems:
    """The problems of the section."""
    hooks = spec.section("hooks")
    if not hooks.absent and not isinstance(hooks.value, dict):
        text = f"has {hooks.kind} for hooks, and the agent fails; write a map, event: - location: script"
        yield Problem(hooks.line, text)
    for event, scripts in events(spec):
        if scripts.absent:
            continue
        yield from _event(event)
        if scripts.items is None:
            text = f"has {scripts.kind} for the scripts of {shown(event)}, and the agent fails (NoMethodError)"
            yield Problem(scripts.line, f'{text}; write a list, each entry "- location: path/to/script"')
        for script in scripts.items or ():
            yield from _script(script, event, files)
        yield from _total(scripts, event)


def _event(event: Node) -> Problems:
    name = event.text
    if name in _RESERVED:
        near = "BeforeInstall or AfterInstall" if name in ("Install", "DownloadBundle") else ", ".join(EVENTS[1:])
        text = f"hooks {name}, which CodeDeploy reserves: the agent never runs these scripts and reports nothing"
        yield Problem(event.line, f"{text}; use {near}", "kept-event")
    elif name in BALANCED:
        text = f"hooks {name}, which needs a deployment group with a load balancer; without one these scripts never run"
        yield Problem(event.line, f"{text}; use AfterInstall or ApplicationStart", "load-balancer")
    elif name == "ApplicationStop":
        text = "hooks ApplicationStop: the agent runs the script of the previous revision, not this one, and if that "
        text += "script fails, every later deployment fails too; stop the old one in BeforeInstall or AfterInstall"
        yield Problem(event.line, text, "application-stop")
    elif name not in EVENTS:
        text = f"hooks the event {shown(event)}, which does not exist: the agent fails at Install, after BeforeInstall "
        yield Problem(event.line, f"{text}has run{meant(name, (*EVENTS, *BALANCED))}")


def _script(script: Node, event: Node, files: Mapping[str, BundleFile]) -> Problems:
    if not isinstance(script.value, dict):
        example = shown(script, bare=True) if isinstance(script.value, str) else "path/to/script"
        text = f"has {shown(script)} for a script of {shown(event)}, and the agent fails (NoMethodError)"
        yield Problem(script.line, f'{text}; write "- location: {example}"')
        return
    yield from unknown_keys(script, _KEYS, "key")
    location, timeout = script.get("location"), script.get("timeout")
    if location is None or not to_s(location):
        text = f"has a script of {shown(event)} without a location, which the agent refuses; write location:"
        yield Problem((location or script).line, text)
    else:
        yield from _location(location, event, files)
    if timeout is not None and timeout.value is not False:
        yield from _timeout(timeout)


def _location(location: Node, event: Node, files: Mapping[str, BundleFile]) -> Problems:
    path, said = inside(to_s(location)), f"has location {shown(location)}"
    if path is None:
        text = f"{said}, which is outside the bundle: the agent runs whatever it finds there"
        yield Problem(location.line, f"{text}; commit a script and write its path in the repository", "outside")
    elif path not in files:
        yield Problem(location.line, f"{said} for {shown(event)}{_missing(path, files)}")
    elif not re.fullmatch(r"[\w@%+=:,./~#-]+", path):
        text = f"{said}: the agent passes it to the shell unquoted, and the shell splits it at the blank or sign in it"
        yield Problem(location.line, f"{text}; rename the script with letters, digits, - and _")


def _missing(path: str, files: Mapping[str, BundleFile]) -> str:
    fails = "the agent would fail there (Script does not exist at specified location)"
    first = (path.split() or [""])[0]
    if first in files:
        return f": a location is only a path and takes no arguments; {fails}; write location: {first}"
    if is_folder(path, files):
        return ", which is a folder: the agent would fail to run it; write the path of a script in it"
    return f", which is not in the commit; {fails}; commit it, or write its path from the root{meant_path(path, files)}"


def _timeout(timeout: Node) -> Problems:
    seconds, said = to_i(timeout), f"has timeout {shown(timeout)}"
    if seconds is None or seconds <= 0:
        yield Problem(timeout.line, f"{said}, which the agent refuses; write whole seconds, such as timeout: 300")
    elif timeout.plain and re.fullmatch(r"[-+]?0\d+|[^.]*:.*", timeout.text):
        text = f"{said}, which YAML reads as {seconds} seconds; write the seconds as one plain number"
        yield Problem(timeout.line, text, "timeout")
    elif timeout.value != seconds and not re.fullmatch(r"[-+]?\d+(_\d+)*", to_s(timeout)):
        match = re.fullmatch(r"(\d{1,4})\s*([mh])[a-z]*", to_s(timeout))
        meant_seconds = f": {int(match[1]) * {'m': 60, 'h': 3600}[match[2]]}" if match else ""
        text = f"{said}, which the agent cuts down to {seconds} seconds; write whole seconds{meant_seconds}"
        yield Problem(timeout.line, text, "timeout")


def _total(scripts: Node, event: Node) -> Problems:
    timeouts = [t for s in scripts.maps if (t := s.get("timeout")) is not None]
    total = sum(max(to_i(t) or 0, 0) for t in timeouts)
    if total > EVENT_SECONDS:
        text = f"gives the scripts of {shown(event)} {total:,} seconds together, but CodeDeploy ends an event after "
        yield Problem(timeouts[-1].line, f"{text}{EVENT_SECONDS:,}; write less", "long-timeout")
