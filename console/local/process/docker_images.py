"""The images of one build: their names, as Docker reads them, and where they are kept until they are pushed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from console.local.process.oci import (
    Registry,
    write_whole,
)


class DockerError(Exception):
    """What the small docker cannot do, and what to do instead; printed, exit status 1."""


@dataclass(frozen=True)
class Reference:
    """An image's name as Docker reads it: ``HOST/PATH:TAG``; ``host`` is "" for a name without one."""

    host: str
    path: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """``text`` with ``latest`` where it has no tag. Raises :class:`DockerError`."""
        name, _, tag = text.rpartition(":") if ":" in text.rsplit("/", 1)[-1] else (text, "", "latest")
        first, slash, rest = name.partition("/")
        host = first if slash and ("." in first or ":" in first or first == "localhost") else ""
        path = rest if host else name
        if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", path) or not re.fullmatch(r"\w[\w.-]{0,127}", tag):
            raise DockerError(
                f"{text!r} is no image name: it is [HOST/]path:tag, the path in small letters, and a variable that is "
                "not set leaves a gap in it. Print it in the buildspec before you use it."
            )
        return cls(host, path, tag)

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}" if self.host else self.path

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


class Images:
    """The images one build has made: blobs, and one small file per tag and per push."""

    def __init__(self, directory: Path) -> None:
        self.registry = Registry(directory)
        self._tags = directory / "tags"
        self._pushed = directory / "pushed"

    def tag(self, reference: Reference, digest: str) -> None:
        """Let ``reference`` name ``digest`` from now on."""
        write_whole(self._tags / quote(str(reference), safe=""), digest.encode())

    def tags(self) -> dict[str, str]:
        """Every tag and its digest, sorted."""
        found = sorted(self._tags.glob("[!.]*")) if self._tags.is_dir() else []
        return {unquote(path.name): path.read_text() for path in found}

    def find(self, name: str) -> str | None:
        """The digest that a tag, a digest or an image id (whole or begun) names here; None where nothing does."""
        if name.startswith("sha256:") or re.fullmatch(r"[0-9a-f]{7,64}", name):
            begun = f"sha256:{name.removeprefix('sha256:')}"
            for digest in self.tags().values():
                if digest.startswith(begun) or self.image_id(digest).startswith(begun):
                    return digest
        return self.tags().get(str(Reference.parse(name.partition("@")[0])))

    def need(self, name: str) -> str:
        """As :meth:`find`; raises :class:`DockerError` where nothing is found."""
        digest = self.find(name)
        if digest is None:
            known = ", ".join(self.tags()) or "none yet"
            raise DockerError(f"No image {name} was built here (known: {known}); docker build -t {name} . makes it.")
        return digest

    def image_id(self, digest: str) -> str:
        """Docker's image id: the digest of the config."""
        return str(self.registry.manifest(digest)["config"]["digest"])

    def note_push(self, reference: Reference, digest: str) -> None:
        """Remember that the repository holds ``digest``."""
        write_whole(self._pushed / quote(f"{reference.repository}@{digest}", safe=""), b"")

    def repo_digests(self, digest: str) -> list[str]:
        """``repository@digest`` for every repository it was pushed to."""
        pushed = sorted(self._pushed.glob("[!.]*")) if self._pushed.is_dir() else []
        return [name for name in (unquote(path.name) for path in pushed) if name.endswith(f"@{digest}")]
