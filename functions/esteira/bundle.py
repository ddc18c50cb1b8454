"""The bundle of a deployment: the commit's own ``appspec.yml`` with the files that it uses, or the default bundle.

A script brings its folder with everything below, because scripts share files; a script at the root brings the files
beside it, but no folders. A source of ``files`` comes whole. What is read from CodeCommit is limited, and judged before
anything is deployed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from appspec.problem import NAME, BundleFile, File
from esteira.config import Service
from esteira.several import several

# The default bundle ships beside this package, and so does what its hooks mask a log with.
DEFAULT = Path(__file__).parents[1] / "host"
GUARD = Path(__file__).parents[1] / "guard"
RELEASE = "release.json"  # the controller writes it into every bundle

FILES = 2_000  # and as many folders
MEGABYTES = 100
Blob = tuple[str, bool]  # the id of a file's content, and whether the file is executable


@dataclass(frozen=True)
class Folder:
    """A folder of a commit. ``strange`` has links and submodules, by name, with a description of each."""

    files: Mapping[str, Blob]
    folders: tuple[str, ...]
    strange: Mapping[str, str]


class Repository(Protocol):
    """The part of CodeCommit that is needed here; ``esteira.aws`` has it."""

    def folder(self, service: Service, commit: str, path: str) -> Folder | None:
        """A folder of the commit ("" is the service's own); None if the repository no longer has the commit."""

    def blob(self, service: Service, blob: str) -> bytes | None:
        """The content of a file; None if it is too large for CodeCommit."""


@dataclass(frozen=True)
class Bundle:
    """The files for the host without ``release.json``, or why they are refused: a sentence, with more lines below."""

    files: Mapping[str, BundleFile]
    refused: str = ""


@dataclass(frozen=True)
class FileOnDisk:
    """A file of the bundle in a temporary folder, which goes with the last of its files."""

    path: Path
    executable: bool
    folder: TemporaryDirectory[str]

    @property
    def content(self) -> bytes:
        """The file's bytes, read anew: a large bundle is never in memory as a whole."""
        return self.path.read_bytes()


def _smaller() -> str:
    return (
        f"esteira carries at most {FILES:,} files and {MEGABYTES} MB: keep the scripts in a folder of their own, name "
        "fewer files, and put what is large into the image"
    )


class RefusedError(Exception):
    """The commit's own bundle cannot be read within the limits; the message says what to change."""


def default() -> Bundle:
    """The bundle of a release without its own ``appspec.yml``."""
    files = sorted(p for p in DEFAULT.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    paths = {p.relative_to(DEFAULT).as_posix(): p for p in files}
    paths |= {f"guard/{p.name}": p for p in sorted(GUARD.glob("*.py"))}
    return Bundle({name: File(p.read_bytes(), p.suffix == ".sh") for name, p in paths.items()})


def of_commit(service: Service, commit: str, repository: Repository, *, judged: bool) -> Bundle:
    """The bundle of a commit. ``judged`` refuses one with problems; a bundle that was live is not judged again."""
    from appspec import verdict

    reading = _Reading(service, commit, repository)
    try:
        root = reading.folder("")
        if NAME not in root.files:
            found = list(reading.misnamed(root)) if judged else []
            return Bundle({}, found[0]) if found else default()
        if not service.own_hooks:
            return Bundle({}, f"its {NAME} runs as root on the host, and own_hooks of {service.name} is off; remove it")
        own = reading.read({NAME: root.files[NAME]})[NAME]
        files = reading.read(dict(reading.used(own.content))) | {NAME: own}
    except RefusedError as refusal:
        return Bundle({}, str(refusal))
    if RELEASE in files:
        return Bundle({}, f"{RELEASE} of the commit would be replaced by the one that esteira writes; rename it")
    found = verdict.problems(own.content, {**files, RELEASE: File(b"{}")}) if judged else []
    return Bundle({} if found else files, verdict.told(found))


class _Reading:
    """The files of one commit, read within the limits. Raises RefusedError beyond them."""

    def __init__(self, service: Service, commit: str, repository: Repository) -> None:
        self._service, self._commit, self._repository = service, commit, repository
        self._asked = self._bytes = 0
        self.folder = cache(self._folder)

    @cached_property
    def _disk(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory()

    def _folder(self, path: str) -> Folder:
        self._asked += 1
        if self._asked > FILES:
            raise RefusedError(f"{NAME} names more than {FILES} folders; {_smaller()}")
        found = self._repository.folder(self._service, self._commit, path)
        if found is None:
            text = f"{self._commit[:8]} is no longer in {self._service.repository}, so its {NAME} cannot be read"
            raise RefusedError(f"{text}; push it again")
        return found

    def misnamed(self, root: Folder) -> Iterator[str]:
        """The problems of files at the root that were meant to be an appspec.yml."""
        from appspec import verdict

        if NAME in root.strange:
            yield f"{NAME} is {root.strange[NAME]}, which esteira does not follow; commit the file itself"
        for name in root.files:
            if name.lower() in (NAME, "appspec.yaml"):
                wrong = verdict.misnamed(name, self.read({name: root.files[name]})[name].content)
                if wrong:
                    yield wrong

    def used(self, document: bytes) -> Iterator[tuple[str, Blob]]:
        """The files that an appspec.yml uses, with those that come along."""
        from appspec import verdict

        scripts, sources = verdict.named(document)
        for script in scripts:
            if posixpath.dirname(script):
                yield from self._tree(posixpath.dirname(script))
            else:
                yield from self.folder("").files.items()
                _refuse_strange(self.folder(""), script)
        for source in sources:
            yield from self._tree(source)

    def _tree(self, path: str) -> Iterator[tuple[str, Blob]]:
        """A file, or everything below a folder; nothing if the path does not exist."""
        folder, name = self.folder(""), ""
        parts = path.split("/") if path else []
        for depth, part in enumerate(parts):
            if part not in folder.folders:
                if depth == len(parts) - 1 and part in folder.files:
                    yield path, folder.files[part]
                _refuse_strange(folder, part, name)
                return
            name = posixpath.join(name, part)
            folder = self.folder(name)
        yield from self._below(name, folder)

    def _below(self, path: str, folder: Folder) -> Iterator[tuple[str, Blob]]:
        for name in folder.strange:
            _refuse_strange(folder, name, path)
        yield from ((posixpath.join(path, name), file) for name, file in folder.files.items())
        for name in folder.folders:
            below = posixpath.join(path, name)
            yield from self._below(below, self.folder(below))

    def read(self, files: Mapping[str, Blob]) -> dict[str, BundleFile]:
        """The files, read several at once and kept on disk."""
        if len(files) > FILES:
            raise RefusedError(f"{NAME} brings {len(files):,} files; {_smaller()}")
        kept: dict[str, BundleFile] = {}
        for (path, (blob, executable)), content in several(self._blob, list(files.items())):
            kept[path] = FileOnDisk(self._keep(path, blob, content), executable, self._disk)
        return kept

    def _blob(self, entry: tuple[str, Blob]) -> bytes | None:
        return self._repository.blob(self._service, entry[1][0])

    def _keep(self, path: str, blob: str, content: bytes | None) -> Path:
        """Where the content now lies; equal contents lie there once. Raises RefusedError where it is too much."""
        if content is None:
            raise RefusedError(f"{NAME} brings {path}, which is larger than CodeCommit gives out (6 MB); {_smaller()}")
        self._bytes += len(content)
        if self._bytes > MEGABYTES * 1024 * 1024:
            raise RefusedError(f"{NAME} brings more than {MEGABYTES} MB, with {path}; {_smaller()}")
        kept = Path(self._disk.name) / blob
        kept.write_bytes(content)
        return kept


def _refuse_strange(folder: Folder, name: str, path: str = "") -> None:
    if name in folder.strange:
        text = f"{posixpath.join(path, name)} is {folder.strange[name]}, which esteira does not carry to a host"
        raise RefusedError(f"{text}; commit the files themselves")
