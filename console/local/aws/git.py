"""A bare git repository, read and written as objects and references. Loose objects are handled here, because a process
for each of them would cost more than the call it serves; whatever lies in a pack is asked of ``git`` itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NOTHING = "0" * 40  # what git calls the commit of a reference that is not there
SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class TreeEntry:
    """A file in a tree: its mode as git writes it (``100644``) and its blob."""

    mode: str
    blob: str


def init(target: Path) -> None:
    """Make an empty bare repository whose first branch is main."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(target)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    with (target / "config").open("a") as config:  # loose objects stay loose: they are read without a process
        config.write("[receive]\n\tunpackLimit = 100000\n[gc]\n\tauto = 0\n")


class Git:
    """One bare repository, read and written as objects and references."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *arguments: str) -> bytes:
        """What ``git ARGUMENTS`` prints; raises ``CalledProcessError`` when git refuses."""
        done = subprocess.run(["git", "-C", str(self.path), *arguments], check=True, capture_output=True)
        return done.stdout

    def reference(self, name: str) -> str | None:
        """The object a full reference (``refs/heads/main``) points to, or None."""
        try:
            found = (self.path / name).read_text().strip()
        except OSError:
            return self._packed().get(name)
        return found if SHA.fullmatch(found) else None

    def references(self, prefix: str) -> dict[str, str]:
        """Short names under ``prefix`` (``refs/heads/``) with what they point to, sorted."""
        loose = self.path / prefix
        names = (
            {p.relative_to(self.path).as_posix() for p in loose.rglob("*") if p.is_file()} if loose.is_dir() else set()
        )
        names |= {name for name in self._packed() if name.startswith(prefix)}
        found = {name.removeprefix(prefix): self.reference(name) for name in sorted(names)}
        return {name: commit for name, commit in found.items() if commit and not name.endswith(".lock")}

    def point(self, name: str, commit: str) -> None:
        """Make the reference ``name`` point to ``commit``; ``NOTHING`` removes it."""
        if commit == NOTHING:
            self.run("update-ref", "-d", name)
            return
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".lock")
        fresh.write_text(commit + "\n")
        fresh.replace(target)

    def resolve(self, specifier: str) -> str | None:
        """The commit a sha, full reference, branch or tag stands for, or None."""
        if SHA.fullmatch(specifier):
            return specifier if self.kind(specifier) == "commit" else None
        if specifier == "HEAD":
            return self.reference((self.path / "HEAD").read_text().strip().removeprefix("ref: "))
        for name in (specifier, f"refs/heads/{specifier}", f"refs/tags/{specifier}"):
            if name.startswith("refs/") and (found := self.reference(name)):
                return self._peeled(found)
        return None

    def kind(self, sha: str) -> str | None:
        """``commit``, ``tree``, ``blob``, ``tag``, or None when there is no such object."""
        try:
            return self.object(sha)[0]
        except KeyError:
            return None

    def object(self, sha: str) -> tuple[str, bytes]:
        """The kind and content of an object; ``KeyError`` when it is not there."""
        try:
            raw = zlib.decompress((self.path / "objects" / sha[:2] / sha[2:]).read_bytes())
        except OSError:
            return self._from_pack(sha)
        head, _, content = raw.partition(b"\0")
        return head.split()[0].decode(), content

    def store(self, kind: str, content: bytes) -> str:
        """Write an object, and return its sha."""
        raw = f"{kind} {len(content)}\0".encode() + content
        sha = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        target = self.path / "objects" / sha[:2] / sha[2:]
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_name(f"tmp_{uuid.uuid4().hex}")
            fresh.write_bytes(zlib.compress(raw, 1))
            fresh.replace(target)
        return sha

    def headers(self, commit: str) -> tuple[dict[str, list[str]], str]:
        """A commit's headers (``tree``, ``parent`` …, each a list) and its message."""
        head, _, message = self.object(commit)[1].decode(errors="replace").partition("\n\n")
        found: dict[str, list[str]] = {}
        for line in head.splitlines():
            name, _, value = line.partition(" ")
            if name:  # the continuation lines of a signature begin with a space
                found.setdefault(name, []).append(value)
        return found, message

    def tree(self, sha: str) -> Iterator[tuple[str, str, str]]:
        """The rows of one tree: mode, name, sha."""
        content = self.object(sha)[1]
        while content:
            head, _, rest = content.partition(b"\0")
            mode, _, name = head.decode(errors="surrogateescape").partition(" ")
            yield mode, name, rest[:20].hex()
            content = rest[20:]

    def files(self, commit: str) -> dict[str, TreeEntry]:
        """Every file of a commit by its path."""
        return dict(self._walk(self.headers(commit)[0]["tree"][0], ""))

    def write_tree(self, files: Mapping[str, TreeEntry]) -> str:
        """Store the trees that hold ``files``, and return the root's sha."""
        here: dict[str, tuple[str, str]] = {}
        below: dict[str, dict[str, TreeEntry]] = {}
        for path, entry in files.items():
            folder, slash, rest = path.partition("/")
            if slash:
                below.setdefault(folder, {})[rest] = entry
            else:
                here[path] = (entry.mode, entry.blob)
        here |= {folder: ("40000", self.write_tree(inside)) for folder, inside in below.items()}
        # git sorts a folder as if its name ended in a slash
        rows = sorted(here.items(), key=lambda row: row[0] + ("/" if row[1][0] == "40000" else ""))
        lines = (f"{mode} {name}\0".encode(errors="surrogateescape") + bytes.fromhex(sha) for name, (mode, sha) in rows)
        return self.store("tree", b"".join(lines))

    def _walk(self, tree: str, prefix: str) -> Iterator[tuple[str, TreeEntry]]:
        for mode, name, sha in self.tree(tree):
            if mode == "40000":
                yield from self._walk(sha, f"{prefix}{name}/")
            else:
                yield prefix + name, TreeEntry(mode.zfill(6), sha)

    def _packed(self) -> dict[str, str]:
        try:
            lines = (self.path / "packed-refs").read_text().splitlines()
        except OSError:
            return {}
        rows = (line.split(" ", 1) for line in lines if line[:1] not in ("#", "^"))
        return {name: sha for sha, name in rows}

    def _peeled(self, sha: str) -> str | None:
        kind = self.kind(sha)
        if kind == "tag":
            return self._peeled(self.headers(sha)[0]["object"][0])
        return sha if kind == "commit" else None

    def _from_pack(self, sha: str) -> tuple[str, bytes]:
        try:
            kind = self.run("cat-file", "-t", sha).decode().strip()
            return kind, self.run("cat-file", kind, sha)
        except subprocess.CalledProcessError:
            raise KeyError(sha) from None
