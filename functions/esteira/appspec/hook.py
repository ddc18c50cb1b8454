"""What goes wrong with a hook's script under CodeDeploy's agent, told from its text alone. Pure.

The agent runs a script by its absolute path, in its own working directory (``/``), and waits until nobody holds the
script's standard output and error any more. What cannot be told with confidence is not told.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from esteira.appspec.shell import Command, Redirect, commands

# A longer text is looked through for its line ends only.
LONGEST = 256 * 1024

_SHELL = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-S\s+)?)?(?:\S*/)?(bash|sh|dash|ksh|zsh)\b")
_SHELLS = frozenset(("sh", "bash", "dash", "ksh", "zsh", "su", "runuser", "sudo"))
# What runs its command elsewhere: nothing of this script's is held there.
_ELSEWHERE = frozenset(("docker", "podman", "nerdctl", "kubectl", "ssh", "lxc", "machinectl", "systemd-run"))
# What takes a file's name for an argument and opens it.
_READERS = frozenset((".", "source", "bash", "sh", "python", "python3", "Rscript", "node", "cat", "cp", "mv", "jq"))
_HELD = "held"


class Trap(NamedTuple):
    """Something about a script: the line, its name where the author may allow it ("": never), and what is the matter
    and what to write instead, as the rest of a sentence that begins with the place."""

    line: int
    name: str
    text: str


def traps(path: str, content: bytes, bundle: Collection[str]) -> Iterator[Trap]:
    """What is wrong with the script at ``path`` in a bundle that has the files ``bundle``."""
    first = content.partition(b"\n")[0]
    if content.startswith(b"\xef\xbb\xbf#!"):
        yield Trap(1, "", "begins with a byte order mark, so its #! is not seen and sh runs it; save it without")
        return
    if b"\0" in content[:1024]:
        return
    shell = _SHELL.match(first)
    if first.startswith(b"#!") and first.endswith(b"\r"):
        interpreter = first[2:-1].decode(errors="replace").strip()[:60]
        yield Trap(1, "", f"ends its lines with CRLF, so the host looks for {interpreter!r} with a carriage return in "
                   "its name and fails; save it with LF and add *.sh text eol=lf to .gitattributes")  # fmt: skip
        return
    if not (shell or not first.startswith(b"#!")):
        return
    if b"\r\n" in content:
        line = content[: content.index(b"\r\n")].count(b"\n") + 1
        yield Trap(line, "carriage-return", "ends in CRLF, and the shell takes the carriage return for a part of the "
                   "last word; save it with LF and add *.sh text eol=lf to .gitattributes")  # fmt: skip
    if len(content) <= LONGEST:
        found = commands(content.decode(errors="replace"))
        yield from _background(found, bash=bool(shell and shell[1] == b"bash"))
        yield from _working_directory(path, found, bundle)


# --- a background child that holds the agent's pipes -----------------------------------------------------------------


def _background(found: Sequence[Command], *, bash: bool) -> Iterator[Trap]:
    if any(c.verb in ("wait", "fg", "coproc") for c in found) or _kills_its_child(found):
        return
    files: dict[int, str] = {1: _HELD, 2: _HELD}
    for i, command in enumerate(found):
        if "exec" in command.words and not command.run:
            files = _redirected(files, command.redirects)
        elif command.end == "&":
            held = _held(found, i, files, bash=bash)
            if held:
                yield Trap(command.line, "background-child", held)
                return  # one is enough: the next are like it
        for text in _given_to_a_shell(command):
            held = _open(files, command.redirects)
            if held and any(_background(commands(text), bash=True)):
                yield Trap(command.line, "background-child", _sentence(text, held))
                return


def _kills_its_child(found: Sequence[Command]) -> bool:
    """Whether the script ends a child that it started itself: ``pid=$!`` and then ``kill "$pid"``."""
    words = [word for c in found for word in c.words]
    names = [m[1] for word in words if (m := re.fullmatch(r"(\w+)=\$\{?!\}?", word))]
    killed = " ".join(" ".join(c.words) for c in found if c.verb in ("kill", "trap"))
    return bool(re.search(r"\$!|%\d|jobs -p", killed)) or any(re.search(rf"\$\{{?{n}\b", killed) for n in names)


def _held(found: Sequence[Command], i: int, files: dict[int, str], *, bash: bool) -> str:
    """What is wrong with the list that command ``i`` ends with &, "" if nothing is."""
    command = found[i]
    said = _said(command)
    own = _open(files, command.redirects)
    before = found[i - 1] if i else None
    if command.closes:
        quiet = before is not None and not _open(files, before.redirects)
        # bash waits for what is between braces with a copy of itself; around ( … ) it need not.
        return "" if not own or (quiet and not (bash and command.words[0] == "}")) else _sentence(f"{said} &", own)
    if own:
        return _sentence(f"{said} &", own)
    if before is not None and before.end in ("&&", "||") and bash and _open(files, before.redirects):
        text = f"{_said(before)} {before.end} {said} &"
        return (
            f"puts a whole list into the background ({_short(text)}): bash waits for it with a copy of itself that "
            "holds the output the agent reads, and the step fails at its timeout (failed to close STDOUT); put what "
            f"is before {before.end} on a line of its own"
        )
    if before is not None and before.end == "|" and _open(files | {1: "elsewhere"}, before.redirects):
        return _sentence(f"{_said(before)} | {said} &", "standard error")
    return ""


def _said(command: Command) -> str:
    """A command as it may be shown; the end of a compound one stands for the whole."""
    if command.closes:
        return {")": "( … )", "}": "{ … }"}.get(command.words[0], f"… {command.words[0]}")
    return " ".join(command.words[command.words[:1] == (")",) :])


def _sentence(command: str, held: str) -> str:
    return (
        f"leaves a child in the background ({_short(command)}) that holds {held}: the agent waits for it and fails the "
        "step at its timeout (failed to close STDOUT); write >/dev/null 2>&1 before the &, or a log file for /dev/null"
    )


def _open(files: dict[int, str], redirects: Sequence[Redirect]) -> str:
    """Which of the agent's pipes a command would hold, in words; "" for none."""
    names = {1: "standard output", 2: "standard error"}
    held = (fd for fd, where in sorted(_redirected(files, redirects).items()) if where == _HELD)
    return " and ".join(names.get(fd, f"descriptor {fd}") for fd in held)


def _redirected(files: dict[int, str], redirects: Sequence[Redirect]) -> dict[int, str]:
    """Where each descriptor goes after the redirections, which count from left to right."""
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


def _given_to_a_shell(command: Command) -> Iterator[str]:
    """The scripts that a command gives another shell of this host: ``su app -c "…"``."""
    words = command.words
    if not _SHELLS.intersection(posixpath.basename(w) for w in words) or _ELSEWHERE.intersection(words):
        return
    for option, text in pairwise(words):
        if re.fullmatch(r"-[a-z]*c", option):
            yield text


# --- what is looked for in the working directory ---------------------------------------------------------------------


def _working_directory(path: str, found: Sequence[Command], bundle: Collection[str]) -> Iterator[Trap]:
    if any(c.verb in ("cd", "pushd", "chdir") for c in found):
        return
    folder = posixpath.dirname(path)
    for command in found:
        word = next(_relative(command, folder, bundle), "")
        if word:
            yield Trap(
                command.line,
                "working-directory",
                f"looks for {_short(word)} in the working directory, which is / and not the bundle: the agent changes "
                'to no directory; write cd "$(dirname "$0")" first, or name it by "$(dirname "$0")/…"',
            )
            return
        if command.verb in (".", "source"):
            return  # what is read there may change the directory


def _relative(command: Command, folder: str, bundle: Collection[str]) -> Iterator[str]:
    """The words of a command by which it opens a file of the bundle, or what is meant to be one."""
    verb, *arguments = command.run or ("",)
    if verb.startswith(("./", "../")) and re.fullmatch(r"[\w./-]+", verb):
        yield verb
    for word in [verb] * ("/" in verb) + arguments * (verb in _READERS):
        if word.startswith("/") or re.search(r"[$`]", word):
            continue
        places = (posixpath.normpath(word), posixpath.normpath(posixpath.join(folder, word)))
        if word and any(place in bundle for place in places):
            yield word


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"
