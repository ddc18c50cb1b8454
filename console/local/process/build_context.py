"""The files that a build may copy, and Docker's patterns that name them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.local.process.docker_images import DockerError
from console.local.process.oci import Entry, with_parents


def read_context(directory: Path, ignore: str) -> dict[str, Entry]:
    """Every path below ``directory`` that the ``.dockerignore`` text ``ignore`` leaves in, but for git's own: with its
    clock in it, the same commit would never be the same image."""
    rules = [_rule(line.strip()) for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    found: dict[str, Entry] = {}
    for root, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if Path(root, name) != directory / ".git"]
        for name in (*directories, *files):
            path = Path(root, name)
            inside = path.relative_to(directory).as_posix()
            if not _ignored(inside, rules) and (entry := _entry(path)):
                found[inside] = entry
    return with_parents(found)


def _entry(path: Path) -> Entry | None:
    if path.is_symlink():
        return Entry("link", target=str(path.readlink()))
    if path.is_dir():
        return Entry("directory")
    # only what git keeps of a mode: the rest is this machine's umask, and would change the digest
    return Entry("file", 0o755 if path.stat().st_mode & 0o100 else 0o644, path) if path.is_file() else None


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    """A ``.dockerignore`` line: whether it excludes, and what it matches (a directory matches all below it)."""
    excludes = not line.startswith("!")
    pattern = posixpath.normpath(line.removeprefix("!").strip().lstrip("/"))
    return excludes, compiled(pattern, "(/.*)?")


def _ignored(path: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    answers = [excludes for excludes, pattern in rules if pattern.fullmatch(path)]
    return bool(answers and answers[-1])


def compiled(pattern: str, more: str = "") -> re.Pattern[str]:
    """Docker's file pattern as a regular expression: ``*`` and ``?`` stay within a name, ``**`` does not."""
    pieces = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    try:
        return re.compile("".join(map(_as_regex, pieces)) + more, re.DOTALL)
    except re.error as error:
        raise DockerError(f"the pattern {pattern} is not valid ({error}); correct it, or name the files.") from None


def _as_regex(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    is_class = piece.startswith("[") and piece.endswith("]")
    return known.get(piece) or (piece.replace("[^", "[^/") if is_class else re.escape(piece))


def is_pattern(source: str) -> bool:
    """Whether it is one of Docker's patterns, which may match nothing."""
    return re.search(r"[*?\[]", source) is not None


def found_in(tree: Mapping[str, Entry], source: str) -> list[str]:
    """The paths of ``tree`` that ``source`` names; "" is its root."""
    path = posixpath.normpath(posixpath.join("/", source)).lstrip("/")
    if not path:
        return [""]
    if is_pattern(path):
        pattern = compiled(path)
        return sorted(name for name in tree if pattern.fullmatch(name))
    return [path] if path in tree else []
