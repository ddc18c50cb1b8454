"""What a deployment's bundle holds: the commit's own ``appspec.yml`` with what it names, or the default bundle.

A script travels with the folder it stands in and everything below, because scripts share files; one at the root
travels with what stands beside it, without the folders. A source of ``files`` travels whole. Nothing else does. What is
read from CodeCommit is bounded, and checked (``appspec``) before anything is deployed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from esteira.appspec import judge
from esteira.appspec.judge import File
from esteira.config import Service

# The default bundle lies beside this package in what ships.
DEFAULT = Path(__file__).parents[2] / "host"
# Written into every bundle by the controller.
RELEASE = "release.json"

FILES = 100  # and as many folders
MEGABYTES = 5


@dataclass(frozen=True)
class Folder:
    """A folder of a commit. ``files``: name → (blob, executable); ``strange``: name → what else it is."""

    files: Mapping[str, tuple[str, bool]]
    folders: tuple[str, ...]
    strange: Mapping[str, str]


class Repository(Protocol):
    """What is asked of CodeCommit; ``cloud.Cloud`` is one."""

    def folder(self, service: Service, commit: str, path: str) -> Folder | None:
        """A folder of the commit ("": its root), None where the commit is in the repository no more."""

    def blob(self, service: Service, blob: str) -> bytes | None:
        """A file's content, None where it is too large to give."""


@dataclass(frozen=True)
class Bundle:
    """What the host is to get but for ``release.json``; or why not, the first line a sentence, more below it."""

    files: Mapping[str, File]
    refused: str = ""


class RefusedError(Exception):
    """The commit's own bundle cannot be read within the limits; the message says what to change."""


def default() -> Bundle:
    """The bundle of a release without an ``appspec.yml`` of its own."""
    paths = sorted(p for p in DEFAULT.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return Bundle({p.relative_to(DEFAULT).as_posix(): File(p.read_bytes(), p.suffix == ".sh") for p in paths})


def of_commit(service: Service, commit: str, repository: Repository, *, judged: bool) -> Bundle:
    """The bundle of a commit. ``judged``: refuse an ``appspec.yml`` that has problems; one that was live is not
    judged again."""
    reading = _Reading(service, commit, repository)
    try:
        root = reading.folder("")
        if judge.NAME not in root.files:
            found = list(reading.misnamed(root)) if judged else []
            return Bundle({}, found[0]) if found else default()
        own = reading.read({judge.NAME: root.files[judge.NAME]})[judge.NAME]
        files = reading.read(dict(reading.named(own.content))) | {judge.NAME: own}
    except RefusedError as refusal:
        return Bundle({}, str(refusal))
    if RELEASE in files:
        text = f"{RELEASE} of the commit would be replaced by the one esteira writes there; give it another name"
        return Bundle({}, text)
    found = judge.problems(own.content, {**files, RELEASE: File(b"{}")}) if judged else []
    return Bundle({} if found else files, judge.told(found))


class _Reading:
    """One commit's files, read within the limits. Raises RefusedError past them."""

    def __init__(self, service: Service, commit: str, repository: Repository) -> None:
        self._service, self._commit, self._repository = service, commit, repository
        self._asked = self._bytes = 0
        self.folder = cache(self._folder)

    def _folder(self, path: str) -> Folder:
        self._asked += 1
        if self._asked > FILES:
            raise RefusedError(f"{judge.NAME} names more than {FILES} folders; {_SMALLER}")
        found = self._repository.folder(self._service, self._commit, path)
        if found is None:
            raise RefusedError(
                f"{self._commit[:8]} is not in {self._service.repository} any more, so its {judge.NAME} cannot be "
                "read; push it again"
            )
        return found

    def misnamed(self, root: Folder) -> Iterator[str]:
        """What is wrong with files of the root that were meant to be an appspec.yml."""
        for name, what in root.strange.items():
            if name == judge.NAME:
                yield f"{name} is {what}, which esteira does not follow; commit the file itself"
        for name in root.files:
            if name.lower() in ("appspec.yml", "appspec.yaml"):
                wrong = judge.misnamed(name, self.read({name: root.files[name]})[name].content)
                if wrong:
                    yield wrong

    def named(self, document: bytes) -> Iterator[tuple[str, tuple[str, bool]]]:
        """What an appspec.yml names, with what travels along: path, blob and whether it is executable."""
        scripts, sources = judge.named(document)
        for script in scripts:
            folder = posixpath.dirname(script)
            if folder:
                yield from self._tree(folder)
            else:
                yield from self.folder("").files.items()
                yield from self._strange(self.folder(""), script)
        for source in sources:
            yield from self._tree(source)

    def _tree(self, path: str) -> Iterator[tuple[str, tuple[str, bool]]]:
        """A file, or everything below a folder; nothing where there is neither."""
        folder, name = self.folder(""), ""
        parts = path.split("/") if path else []
        for depth, part in enumerate(parts):
            if part not in folder.folders:
                if depth == len(parts) - 1 and part in folder.files:
                    yield path, folder.files[part]
                yield from self._strange(folder, part, name)
                return
            name = posixpath.join(name, part)
            folder = self.folder(name)
        yield from self._below(name, folder)

    def _below(self, path: str, folder: Folder) -> Iterator[tuple[str, tuple[str, bool]]]:
        for name in folder.strange:
            yield from self._strange(folder, name, path)
        yield from ((posixpath.join(path, name), file) for name, file in folder.files.items())
        for name in folder.folders:
            below = posixpath.join(path, name)
            yield from self._below(below, self.folder(below))

    def _strange(self, folder: Folder, name: str, path: str = "") -> Iterator[tuple[str, tuple[str, bool]]]:
        if name in folder.strange:
            raise RefusedError(
                f"{posixpath.join(path, name)} is {folder.strange[name]}, which esteira does not carry to a host; "
                "commit the files themselves"
            )
        yield from ()

    def read(self, files: Mapping[str, tuple[str, bool]]) -> dict[str, File]:
        """The files' contents."""
        if len(files) > FILES:
            raise RefusedError(f"{judge.NAME} brings {len(files)} files; {_SMALLER}")
        contents: dict[str, File] = {}
        for path, (blob, executable) in files.items():
            content = self._repository.blob(self._service, blob)
            self._bytes += len(content or b"")
            if content is None or self._bytes > MEGABYTES * 1024 * 1024:
                raise RefusedError(f"{judge.NAME} brings more than {MEGABYTES} MB, with {path}; {_SMALLER}")
            contents[path] = File(content, executable)
        return contents


_SMALLER = (
    f"esteira carries at most {FILES} files and {MEGABYTES} MB: keep the scripts in a folder of their own, name fewer "
    "files, and put what is large into the image"
)
