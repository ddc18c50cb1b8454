"""The agent's Install step: it copies ``files``, sets ``permissions``, and lists the copies for the next install.

The next install removes what is on the list. Files are written wherever the appspec says, also outside the project.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from console.local.agent.appspec_reader import FAILED, FILE, Appspec, Copy, Permission


class InstallError(Exception):
    """The files cannot be installed; the message is the agent's."""


def install(spec: Appspec, archive: Path, cleanup: Path, behaviour: str) -> None:
    """Remove what is listed in ``cleanup``, copy the files of ``spec`` from ``archive``, and write the new list.

    ``behaviour`` applies to a file that already exists, unless the appspec has its own. Raises InstallError, OSError.
    """
    if cleanup.exists():
        _remove(cleanup.read_text())
        cleanup.unlink()
    plan = _Plan(archive, spec.file_exists_behavior or behaviour)
    for row in spec.files:
        plan.add(row)
    for permission in spec.permissions:
        plan.permit(permission)
    with cleanup.open("w") as listed:
        for path, act in plan.steps:
            if path:
                listed.write(f"{path}\n")
                listed.flush()  # after a crash the list still has every copy
            act()


def _remove(listed: str) -> None:
    """Remove the listed paths, last first; a folder that is not empty stays."""
    lines = listed.splitlines(keepends=True)
    for line in reversed([line for line in lines if line.endswith("\n")]):
        path = Path(line.strip())
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


@dataclass
class _Plan:
    """The steps in order: the path for the list ("" for none), and the action."""

    archive: Path
    behaviour: str
    steps: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    copies: dict[str, Path] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    permitted: set[str] = field(default_factory=set)

    def add(self, row: Copy) -> None:
        """Plan one entry of ``files``."""
        # As in the agent, a source that begins with / is still in the bundle.
        source = Path(os.path.normpath(f"{self.archive}/{row.source}"))
        if source.is_dir():
            self._ancestors(row.destination)
            self._copy_folder(source, row.destination)
        else:
            target = f"{row.destination}/{source.name}"
            self._ancestors(target)
            self._copy(source, target)

    def permit(self, permission: Permission) -> None:
        """Plan one entry of ``permissions``: for a copied file, or for the contents of a folder."""
        object_ = _absolute(permission.object)
        if object_ in self.copies:
            if "file" in permission.types:
                self._refuse_pattern(permission)
                self._set(object_, permission)
        elif object_ in self.folders or Path(object_).is_dir():
            wanted = (self.copies if "file" in permission.types else {}).keys()
            for path in [*wanted, *(self.folders if "directory" in permission.types else ())]:
                if _matches(path, object_, permission):
                    self._set(path, permission)

    def _ancestors(self, target: str) -> None:
        missing: list[str] = []
        parent = os.path.dirname(target)  # noqa: PTH120 - as the agent does, before the path is made absolute
        while parent not in ("", ".", "/") and not Path(_absolute(parent)).exists():
            missing.insert(0, parent)
            parent = os.path.dirname(parent)  # noqa: PTH120
        for folder in missing:
            self._mkdir(folder)

    def _copy_folder(self, source: Path, destination: str) -> None:
        if not Path(_absolute(destination)).is_dir():
            self._mkdir(destination)
        for entry in sorted(source.iterdir()):
            if entry.is_dir():
                self._copy_folder(entry, f"{destination}/{entry.name}")
            else:
                self._copy(entry, f"{destination}/{entry.name}")

    def _copy(self, source: Path, destination: str) -> None:
        target = _absolute(destination)
        if Path(target).exists():
            if self.behaviour == "RETAIN":
                return
            if self.behaviour != "OVERWRITE":
                raise InstallError(f"{FAILED}a specified file already exists at this location: {destination}")
        if target in self.copies:
            both = f"{source} and {self.copies[target]}"
            raise InstallError(f"{FAILED}the {FILE} specifies two source files named {both} for the same destination.")
        if target in self.folders:
            raise InstallError(
                f"{FAILED}the {FILE} calls for installing the file {source}, where {target} is a folder."
            )
        self.copies[target] = source
        self.steps.append((target, lambda: _copy_file(source, target)))

    def _mkdir(self, folder: str) -> None:
        target = _absolute(folder)
        if target not in self.folders:
            self.folders.append(target)
            self.steps.append((target, lambda: Path(target).mkdir()))

    def _set(self, path: str, permission: Permission) -> None:
        if path in self.permitted:
            raise InstallError(
                f"{FAILED}the permissions setting for ({path}) is specified more than once in the {FILE}."
            )
        self.permitted.add(path)
        if permission.mode:
            self.steps.append(("", lambda: Path(path).chmod(int(permission.mode, 8))))
        if permission.owner or permission.group:
            self.steps.append(("", lambda: os.chown(path, _user(permission.owner), _group(permission.group))))

    @staticmethod
    def _refuse_pattern(permission: Permission) -> None:
        if permission.pattern != "**":
            what = f"an object ({permission.object}) with an invalid pattern ({permission.pattern})"
            raise InstallError(f"{FAILED}the {FILE} includes {what}, such as a pattern for a file.")
        if permission.except_:
            raise InstallError(f"{FAILED}the except parameter for the object named {permission.object} is for folders.")


def _copy_file(source: Path, target: str) -> None:
    if source.is_symlink():
        Path(target).symlink_to(source.readlink())
    else:
        shutil.copy2(source, target)


def _absolute(path: str) -> str:
    """The path as the agent resolves it, from its working directory /."""
    return os.path.normpath(os.path.join("/", os.path.expanduser(path)))  # noqa: PTH111, PTH118 - text, not a file


def _matches(path: str, folder: str, permission: Permission) -> bool:
    """Whether a permission covers a path below ``folder``; patterns except ** match one level, with only ``*``."""
    inside = folder.rstrip("/") + "/"
    if not path.startswith(inside):
        return False
    rest = path.removeprefix(inside)
    return (permission.pattern == "**" or _glob(rest, permission.pattern)) and not any(
        _glob(rest, pattern) for pattern in permission.except_
    )


def _glob(name: str, pattern: str) -> bool:
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return "/" not in name and fnmatchcase(name, literal)


def _user(name: str) -> int:
    if not name:
        return -1
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise InstallError(f"can't find user for {name}") from error


def _group(name: str) -> int:
    if not name:
        return -1
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise InstallError(f"can't find group for {name}") from error
