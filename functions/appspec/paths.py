"""Paths in the bundle, and where the ``files`` section copies them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator


def inside(path: str) -> str | None:
    """A path of an appspec.yml, relative to the bundle's root ("" is the root); None if it leads outside."""
    normal = posixpath.normpath(f"./{path}")
    if normal == ".." or normal.startswith("../"):
        return None
    return "" if normal == "." else normal


def is_folder(path: str, files: Collection[str]) -> bool:
    """Whether the bundle has a folder at the path."""
    return path == "" or any(p.startswith(f"{path}/") for p in files)


def copies(source: str, folder: str, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each file that an entry of ``files`` copies, and its path on the host."""
    if source in files:
        yield source, posixpath.join(folder, posixpath.basename(source))
        return
    prefix = f"{source}/" if source else ""
    for path in files:
        if path.startswith(prefix):
            yield path, posixpath.join(folder, path[len(prefix) :])
