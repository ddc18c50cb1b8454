"""A background child that keeps the output of a hook's script open. Pure.

The agent waits until nothing holds the script's standard output and error, so such a child fails the step.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from appspec.problem import short
from appspec.shell import Command, Redirect, commands

_SHELLS = frozenset(("sh", "bash", "dash", "ksh", "zsh", "su", "runuser", "sudo"))
# These run their command elsewhere, where nothing holds this script's output.
_ELSEWHERE = frozenset(("docker", "podman", "nerdctl", "kubectl", "ssh", "lxc", "machinectl", "systemd-run"))
_HELD = "held"
_PIPES = {1: _HELD, 2: _HELD}


def held_output(found: Sequence[Command], *, bash: bool) -> tuple[int, str] | None:
    """The line and the sentence for the first such child; None if there is none."""
    if any(c.verb in ("wait", "fg", "coproc") for c in found) or _kills_its_child(found):
        return None
    files = _PIPES
    for i, command in enumerate(found):
        if "exec" in command.words and not command.run:
            files = _redirected(files, command.redirects)
        elif command.end == "&":
            text = _held(command, found[i - 1] if i else None, files, bash=bash)
            if text:
                return command.line, text
        held = _open(files, command.redirects)
        for script in _scripts(command):
            if held and held_output(commands(script), bash=True):
                return command.line, _sentence(script, held)
    return None


def _kills_its_child(found: Sequence[Command]) -> bool:
    """Whether the script ends a child that it started: ``pid=$!`` and then ``kill "$pid"``."""
    words = [word for c in found for word in c.words]
    names = {m[1] for word in words if (m := re.fullmatch(r"(\w+)=\$\{?!\}?", word))}
    killed = " ".join(" ".join(c.words) for c in found if c.verb in ("kill", "trap"))
    return bool(re.search(r"\$!|%\d|jobs -p", killed) or names.intersection(re.findall(r"\$\{?(\w+)", killed)))


def _held(command: Command, before: Command | None, files: dict[int, str], *, bash: bool) -> str:
    """The problem of a list that ends with &, "" for none; ``before`` is the command before its last one."""
    said, own = _said(command), _open(files, command.redirects)
    if command.closes:
        quiet = before is not None and not _open(files, before.redirects)
        # bash keeps a copy of itself waiting for { … }, but not for ( … ).
        return "" if not own or (quiet and not (bash and command.words[0] == "}")) else _sentence(f"{said} &", own)
    if own:
        return _sentence(f"{said} &", own)
    if before is not None and before.end in ("&&", "||") and bash and _open(files, before.redirects):
        text = f"runs a whole list in the background ({short(f'{_said(before)} {before.end} {said} &')}): bash waits "
        text += "for it with a copy of itself that holds the output, and the step fails at its timeout (failed to "
        return f"{text}close STDOUT); put the part before {before.end} on its own line"
    if before is not None and before.end == "|" and _open(files | {1: "elsewhere"}, before.redirects):
        return _sentence(f"{_said(before)} | {said} &", "standard error")
    return ""


def _said(command: Command) -> str:
    """A command for a message; a compound command is shortened to its end."""
    if command.closes:
        return {")": "( … )", "}": "{ … }"}.get(command.words[0], f"… {command.words[0]}")
    return " ".join(command.words[command.words[:1] == (")",) :])


def _sentence(command: str, held: str) -> str:
    return (
        f"leaves a child in the background ({short(command)}) that holds {held}: the agent waits for it and fails the "
        "step at its timeout (failed to close STDOUT); write >/dev/null 2>&1 before the &, or a log file for /dev/null"
    )


def _open(files: dict[int, str], redirects: Sequence[Redirect]) -> str:
    """The agent's pipes that a command keeps open, in words; "" for none."""
    names = {1: "standard output", 2: "standard error"}
    held = (fd for fd, where in sorted(_redirected(files, redirects).items()) if where == _HELD)
    return " and ".join(names.get(fd, f"descriptor {fd}") for fd in held)


def _redirected(files: dict[int, str], redirects: Sequence[Redirect]) -> dict[int, str]:
    """The target of each descriptor after the redirections, applied from left to right."""
    now = dict(files)
    for redirect in redirects:
        target = re.sub(r"^/dev/(?:fd/|std(?=out|err))", "&", redirect.target)
        target = {"&out": "&1", "&err": "&2"}.get(target, target)
        if redirect.operator in (">&", "<&") and redirect.target.rstrip("-").isdecimal():
            target = "&" + redirect.target.rstrip("-")
        where = now.get(int(target[1:]), "") if re.fullmatch(r"&\d{1,3}", target) else "elsewhere"
        both = redirect.operator in ("&>", "&>>") or (redirect.operator == ">&" and where == "elsewhere")
        for fd in (1, 2) if both and redirect.target != "-" else (redirect.fd,):
            now[fd] = where
    return now


def _scripts(command: Command) -> Iterator[str]:
    """The scripts that a command passes to another shell of this host: ``su app -c "…"``."""
    words = command.words
    if _SHELLS.intersection(posixpath.basename(w) for w in words) and not _ELSEWHERE.intersection(words):
        yield from (text for option, text in pairwise(words) if re.fullmatch(r"-[a-z]*c", option))
