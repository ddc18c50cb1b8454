"""The Python packages that a Dockerfile's RUN installs, without an engine: really installed, beside the images.

An image of the process engine has nothing of its base, so its packages lie beside it, as its Python does: in a folder
named after what was asked for, which the image names by a label. What the console's own Python has already in a version
that will do is not installed again, as pip would not.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from console.local.process.oci import Entry, Registry

LABEL = "esteira.packages"
SITE = "site-packages"  # programs tell by this name that they were installed
_ALONE = frozenset(
    (
        "--break-system-packages",
        "--compile",
        "--disable-pip-version-check",
        "--force-reinstall",
        "--ignore-installed",
        "--no-build-isolation",
        "--no-cache",
        "--no-cache-dir",
        "--no-compile",
        "--no-input",
        "--no-warn-script-location",
        "--prefer-binary",
        "--quiet",
        "--system",
        "--upgrade",
        "--user",
        "-I",
        "-U",
        "-q",
        "-qq",
        "-v",
        "-vv",
    )
)
_WITH_VALUE = frozenset(
    (
        "--cache-dir",
        "--default-timeout",
        "--prefix",
        "--python",
        "--retries",
        "--root",
        "--root-user-action",
        "--src",
        "--target",
        "--timeout",
        "--upgrade-strategy",
        "-t",
    )
)
_KEPT_ALONE = frozenset(("--no-deps", "--pre", "--require-hashes"))
_KEPT_WITH_VALUE = frozenset(
    (
        "--constraint",
        "--extra-index-url",
        "--find-links",
        "--index-url",
        "--no-binary",
        "--only-binary",
        "--requirement",
        "--trusted-host",
        "-c",
        "-f",
        "-i",
        "-r",
    )
)
_FILES = ("-r", "--requirement", "-c", "--constraint")


class PackageError(Exception):
    """Packages were not installed; the sentence why, without its full stop."""


@dataclass(frozen=True)
class Install:
    """What a ``pip install`` asks for: the requirements and the options that choose them. Empty for a pip command that
    installs nothing."""

    wanted: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Install | None:
        """The words after ``pip``; None where one of them is not understood."""
        rest = iter([part for word in words for part in _parted(word)])
        kept: list[str] = []
        command = ""
        for word in rest:
            if command and command != "install":
                continue
            if word in _WITH_VALUE:
                next(rest, "")
            elif word in _KEPT_WITH_VALUE:
                kept += [word, next(rest, "")]
            elif word in _KEPT_ALONE or (command and not word.startswith("-")):
                kept.append(word)
            elif word in _ALONE:
                continue
            elif not command:
                command = word
            elif word != "-e":
                return None
        if command in ("uninstall", "cache", "config", "check", "list", "freeze", "show", "--version"):
            return cls(())
        return cls(tuple(kept)) if command == "install" and "$" not in "".join(kept) else None


def _parted(word: str) -> list[str]:
    """An option and its value, which may stand in one word."""
    name, equals, value = word.partition("=")
    return [name, value] if equals and name.startswith("--") else [word]


@dataclass(frozen=True)
class Packages:
    """The folder with a folder for every set of packages that was installed."""

    folder: Path

    @classmethod
    def beside(cls, registry: Registry) -> Packages:
        """Those of a registry's images."""
        return cls(registry.directory / "packages")

    def install(self, install: Install, tree: Mapping[str, Entry], workdir: str, say: Callable[[str], None]) -> str:
        """Install what is asked for, unless it is there, and say so: the set's key, "" where the console's Python has
        all of it. Raises PackageError."""
        with tempfile.TemporaryDirectory(prefix="esteira-packages-") as name:
            root = Path(name)
            _lay_out(tree, root)
            where = root / workdir.strip("/")
            where.mkdir(parents=True, exist_ok=True)
            words = [_inside(root, word) for word in install.wanted]
            shown = " ".join(install.wanted)
            try:
                wanted = list(_requirements(words, where))
            except FileNotFoundError as error:
                raise PackageError(f"{Path(error.filename).name} was not copied before it") from None
            if wanted and all(map(_is_here, wanted)):
                say(f"pip install {shown}: this machine's Python has all of it")
                return ""
            key = _key(install.wanted, words, where)
            if not (self.folder / key).is_dir():
                say(f"pip install {shown} …")
                self._fill(key, words, where)
            say(f"pip install {shown}: in {self.folder / key}")
            return key

    def _fill(self, key: str, words: Sequence[str], where: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".half-", dir=self.folder) as name:
            target = Path(name) / key / SITE
            last = "neither uv nor pip is on this machine; install uv"
            for command in _installers(target):
                done = subprocess.run(
                    [*command, *words], cwd=where, env=_environment(), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                )  # fmt: skip
                if not done.returncode:
                    break
                last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "it said nothing")
            else:
                raise PackageError(f"the packages cannot be installed: {last.strip().rstrip('.')}")
            target.mkdir(parents=True, exist_ok=True)
            if not (self.folder / key).exists():
                target.parent.replace(self.folder / key)

    def of(self, labels: Mapping[str, str]) -> list[Path]:
        """The folders of the sets that an image names, the last first. Raises OSError where one is not here."""
        found = [self.folder / key / SITE for key in labels.get(LABEL, "").split(",")[::-1] if key]
        for folder in found:
            if not folder.is_dir():
                raise FileNotFoundError(2, "the packages of the image are not on this machine: push the commit again")
        return found


def _lay_out(tree: Mapping[str, Entry], root: Path) -> None:
    """The stage's files, as pip may read and build them."""
    for path, entry in tree.items():
        if entry.source is not None:
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.source, target)


def _inside(root: Path, word: str) -> str:
    inside = root / word.lstrip("/")
    return str(inside) if word.startswith("/") and inside.exists() else word


def _installers(target: Path) -> Iterator[list[str]]:
    """uv where it is there, as it takes a tenth of the time; else, or where it fails, pip. An environment that uv made
    has none."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv:
        yield [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target)]
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-conflicts", "--target", str(target)]


def _environment() -> dict[str, str]:
    """The caller's, but for what a build sets for its own pip; the cache is the user's."""
    mine = {name: value for name, value in os.environ.items() if name not in ("PIP_TARGET", "PYTHONPATH")}
    return {**mine, "HOME": pwd.getpwuid(os.getuid()).pw_dir}


def _key(asked: Sequence[str], words: Sequence[str], where: Path) -> str:
    """The same for the same requirements: the words, and the content of the files that they name."""
    told = hashlib.sha256(json.dumps([list(asked), sys.version_info[:2], sys.platform]).encode())
    for file in _named(words, where):
        told.update(b"\0" + file.read_bytes())
    return told.hexdigest()[:32]


def _named(words: Sequence[str], where: Path) -> Iterator[Path]:
    """The requirement files, and all files of a project that is installed from its folder."""
    for word in words:
        path = where / word
        if path.is_file():
            yield path
            yield from _named(_words_of(path), path.parent)
        elif path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())


def _words_of(file: Path) -> list[str]:
    return [word for line in _lines(file) if line.startswith("-") for word in re.split(r"[ =]+", line)]


def _lines(file: Path) -> Iterator[str]:
    text = re.sub(r"\\\n", " ", file.read_text(errors="replace"))
    for line in text.splitlines():
        if kept := re.sub(r"(^|\s)#.*", "", line).strip():
            yield kept


def _requirements(words: Sequence[str], where: Path) -> Iterator[str]:
    """Every requirement that is asked for, also in files; "" for one that only pip can judge."""
    rest = iter(words)
    for word in rest:
        if word in _FILES:
            file = where / next(rest, "")
            lines = list(_lines(file)) if word in ("-r", "--requirement") else []
            for line in lines:
                parts = re.split(r"[ =]+", line) if line.startswith("-") else [re.sub(r"\s+--hash.*", "", line)]
                yield from _requirements(parts, file.parent)
        elif word.startswith("-"):
            yield from () if word in _KEPT_ALONE else [""]
        else:
            yield word


def _is_here(text: str) -> bool:
    """Whether the console's Python has it, with what its extras ask for."""
    try:
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            return True
        if wanted.url or not wanted.specifier.contains(version(wanted.name), prereleases=True):
            return False
        return all(_is_here(more) for more in _of_extras(wanted))
    except (InvalidRequirement, PackageNotFoundError):
        return False


def _of_extras(wanted: Requirement) -> Iterator[str]:
    for text in distribution(wanted.name).requires or ():
        asked = Requirement(text)
        if asked.marker and any(asked.marker.evaluate({"extra": extra}) for extra in wanted.extras):
            asked.marker = None
            yield str(asked)
