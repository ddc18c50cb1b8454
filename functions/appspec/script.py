"""The problems of a hook's script, read from its text alone. Pure.

The agent runs a script by its absolute path, with ``/`` as working directory. Only what is certain is reported.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence

from appspec.background import held_output
from appspec.problem import Problem, Problems, short
from appspec.shell import Command, commands

LONGEST = 256 * 1024  # bytes; in a longer script only the line ends are checked

_SHELL = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-S\s+)?)?(?:\S*/)?(bash|sh|dash|ksh|zsh)\b")
# These take the name of a file as an argument and open it.
_READERS = frozenset((".", "source", "bash", "sh", "python", "python3", "Rscript", "node", "cat", "cp", "mv", "jq"))
_SAVE = "save it with LF and add *.sh text eol=lf to .gitattributes"


def script_problems(path: str, content: bytes, bundle: Collection[str]) -> Problems:
    """The problems of the script at ``path`` in a bundle with the files ``bundle``."""
    first = content.partition(b"\n")[0]
    shell = _SHELL.match(first)
    if content.startswith(b"\xef\xbb\xbf#!"):
        text = "begins with a byte order mark, so the host does not see its #! and runs it with sh; save it without"
        yield Problem(1, text, path=path)
    elif b"\0" in content[:1024]:
        return
    elif first.startswith(b"#!") and first.endswith(b"\r"):
        interpreter = first[2:-1].decode(errors="replace").strip()[:60]
        text = f"ends its lines with CRLF, so the host looks for {interpreter!r} with a carriage return in its name "
        yield Problem(1, f"{text}and fails; {_SAVE}", path=path)
    elif shell or not first.startswith(b"#!"):
        yield from _shell_problems(path, content, bundle, bash=bool(shell and shell[1] == b"bash"))


def _shell_problems(path: str, content: bytes, bundle: Collection[str], *, bash: bool) -> Problems:
    if b"\r\n" in content:
        line = content[: content.index(b"\r\n")].count(b"\n") + 1
        text = f"ends in CRLF, and the shell takes the carriage return as a part of the last word; {_SAVE}"
        yield Problem(line, text, "carriage-return", path)
    if len(content) > LONGEST:
        return
    found = commands(content.decode(errors="replace"))
    held = held_output(found, bash=bash)
    if held:
        yield Problem(*held, "background-child", path)
    relative = _relative_path(path, found, bundle)
    if relative:
        command, word = relative
        text = f"opens {short(word)} relative to the working directory, which is / and not the bundle"
        text += '; write cd "$(dirname "$0")" first, or name it by "$(dirname "$0")/…"'
        yield Problem(command.line, text, "working-directory", path)


def _relative_path(path: str, found: Sequence[Command], bundle: Collection[str]) -> tuple[Command, str] | None:
    """The first command that opens a file of the bundle by a relative path, with that path."""
    if any(c.verb in ("cd", "pushd", "chdir") for c in found):
        return None
    for command in found:
        word = next(_opened(command, posixpath.dirname(path), bundle), "")
        if word:
            return command, word
        if command.verb in (".", "source"):
            return None  # the sourced file may change the directory
    return None


def _opened(command: Command, folder: str, bundle: Collection[str]) -> Iterator[str]:
    """The words of a command that name a file of the bundle, or were meant to."""
    verb, *arguments = command.run or ("",)
    if verb.startswith(("./", "../")) and re.fullmatch(r"[\w./-]+", verb):
        yield verb
    for word in [verb] * ("/" in verb) + arguments * (verb in _READERS):
        if word.startswith("/") or re.search(r"[$`]", word):
            continue
        places = (posixpath.normpath(word), posixpath.normpath(posixpath.join(folder, word)))
        if word and any(place in bundle for place in places):
            yield word
