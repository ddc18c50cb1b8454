"""The files that a buildspec's ``cache: paths`` keep from one build of a project to the next, as CodeBuild keeps them.

A path is taken from the source's folder, or from ``/root``, which is the build's home here. A build never finds a file
of the source replaced by one of the cache.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path, PurePosixPath

from console.local.build.buildspec import HOME
from console.local.build.workspace import Workspace


def restore(kept: Path, workspace: Workspace) -> None:
    """Lay out what the build before kept, without touching what is there."""
    for name, folder in _folders(workspace).items():
        for file in _files(kept / name):
            target = folder / file.relative_to(kept / name)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)


def keep(paths: Sequence[str], workspace: Workspace, kept: Path) -> None:
    """Keep what the paths name, in the place of what was kept before."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{kept.name}-", dir=kept.parent) as name:
        fresh, before = Path(name) / "fresh", Path(name) / "before"
        for path in paths:
            _copy(path, workspace, fresh)
        if kept.exists():
            kept.replace(before)
        if fresh.exists():
            fresh.replace(kept)


def _folders(workspace: Workspace) -> Mapping[str, Path]:
    """Each folder that paths begin in, by its name in the cache."""
    return {"source": workspace.source, "home": workspace.home}


def _copy(path: str, workspace: Workspace, fresh: Path) -> None:
    pure = PurePosixPath(path)
    name = "home" if pure.is_absolute() else "source"
    folder = _folders(workspace)[name]
    pattern = str(pure.relative_to(HOME) if pure.is_absolute() else pure)
    for found in glob(pattern, root_dir=folder, recursive=True, include_hidden=True):  # noqa: PTH207 - Path.glob raises for some patterns
        for file in _files(folder / found):
            target = fresh / name / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)


def _files(path: Path) -> Iterator[Path]:
    """The regular files at or below a path; a link is not followed."""
    inside = [path] if path.is_file() else path.rglob("*")
    return (file for file in inside if file.is_file() and not file.is_symlink())
