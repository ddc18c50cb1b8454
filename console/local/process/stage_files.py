"""COPY and ADD: which files of the context or of another stage a stage takes, and where it puts them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from console.local.process.build_context import found_in, is_pattern
from console.local.process.build_stage import ENGINE, BuildStage, Ground
from console.local.process.dockerfile_text import Instruction
from console.local.process.oci import Entry, with_parents

# What a base image has, so that "COPY model.pkl /opt" goes into it.
_USUAL_DIRECTORIES = re.compile(
    "bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|"
    "usr|usr/(bin|lib|local|sbin|share|src)|usr/local/(bin|lib|share)|var|var/(cache|lib|log|tmp)"
)


_FETCHED = re.compile(r"://|^git@|\.(tar(\.\w+)?|tgz|tbz2?|txz)$")


def copy(found: Instruction, stage: BuildStage, ground: Ground) -> None:
    options = {name: stage.expand(found, value) for name, value in found.options.items()}
    unknown = set(options) - {"from", "chown", "chmod", "link", "parents", "exclude", "checksum", "keep-git-dir"}
    undone = {"parents", "exclude", "checksum", "keep-git-dir"} & set(options)
    if unknown:
        found.refuse(f"--{min(unknown)} is not a flag of {found.word}; leave it out.")
    if undone:
        found.refuse(f"--{min(undone)} is not carried out by the process engine; {ENGINE}")
    *sources, target = [stage.expand(found, word) for word in found.words] or [""]
    if not sources:
        found.refuse(f"it is written {found.word} SOURCE… TARGET.")
    if found.heredocs:
        found.refuse(f"a here-document as a file is not carried out by the process engine; {ENGINE}")
    if found.word == "ADD" and any(_FETCHED.search(source) for source in sources):
        found.refuse(f"the process engine fetches and unpacks nothing; {ENGINE}")
    tree: Mapping[str, Entry] = ground.context
    if "from" in options:
        other = _other(found, options["from"], ground)
        tree, taken = other.tree, _taken_from(found, other, sources, ground.say)
        stage.packages = tuple(dict.fromkeys((*stage.packages, *other.packages)))
        stage.undone, stage.installs = stage.undone or other.undone, stage.installs or other.installs
    else:
        taken = [match for source in sources for match in _matches(found, tree, source)]
    if not taken:
        return
    layer = _placed(taken, tree, stage, target, into=len(taken) > 1 or len(sources) > 1)
    if "chmod" in options:
        layer = _with_mode(found, layer, options["chmod"])
    stage.layers.append(layer)
    stage.tree.update(with_parents(layer))


def _other(found: Instruction, name: str, ground: Ground) -> BuildStage:
    stage = ground.earlier(name)
    if stage is None:
        found.refuse(f"{name} is an image, and the process engine pulls none; {ENGINE}")
    return stage


def _taken_from(found: Instruction, other: BuildStage, sources: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """What ``sources`` name in another stage. What is not there came with its packages, or it is refused."""
    matches = {source: found_in(other.tree, source) for source in sources}
    for source in (source for source, matched in matches.items() if not matched):
        if other.installs:
            say(f"COPY {found.text}: {source} stands for the packages that were installed there.")
        elif other.undone:
            other.undone[0].refuse(other.undone[1])
        elif other.base != "scratch":
            found.refuse(f"{source} is of the image {other.base}, and the process engine pulls none; {ENGINE}")
        elif not is_pattern(source):
            found.refuse(f"{source} was not copied into that stage, and no RUN makes it; correct the path.")
    return [path for matched in matches.values() for path in matched]


def _matches(found: Instruction, context: Mapping[str, Entry], source: str) -> list[str]:
    """What a source names, a symbolic link followed. A pattern may match nothing, as for BuildKit."""
    matched = found_in(context, source)
    if not matched and not is_pattern(source):
        found.refuse(
            f"{source} is not in the build context, or .dockerignore leaves it out; commit it, or correct this."
        )
    return [_followed(found, context, path) for path in matched]


def _followed(found: Instruction, context: Mapping[str, Entry], path: str) -> str:
    """The path that a chain of symbolic links within the context leads to."""
    seen: list[str] = []
    while (entry := context.get(path)) and entry.kind == "link":
        if path in seen:
            found.refuse(f"{path} is a symbolic link that leads to itself; commit the file.")
        seen.append(path)
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), entry.target)).lstrip("/")
    if path and path not in context:
        found.refuse(f"{seen[0]} is a symbolic link to {path}, which is not in the build context; commit the file.")
    return path


def _placed(
    taken: Sequence[str], tree: Mapping[str, Entry], stage: BuildStage, target: str, *, into: bool
) -> dict[str, Entry]:
    """Where everything in ``taken`` comes to lie: a directory's content goes into the target, a file into it or in its
    place."""
    place = posixpath.normpath(posixpath.join("/", stage.config.workdir, target)).strip("/")
    known = stage.tree.get(place)
    is_directory = (known and known.kind == "directory") or _USUAL_DIRECTORIES.fullmatch(place) or not place
    into = into or target.endswith(("/", "/.")) or target in (".", "..") or bool(is_directory)
    layer: dict[str, Entry] = {}
    for path in taken:
        entry = tree[path] if path else Entry("directory")
        if entry.kind == "directory":
            below = f"{path}/" if path else ""
            layer.update({posixpath.join(place, p[len(below) :]): e for p, e in tree.items() if p.startswith(below)})
            layer.update({place: Entry("directory")} if place else {})
        else:
            layer[posixpath.join(place, posixpath.basename(path)) if into else place] = entry
    return layer


def _with_mode(found: Instruction, layer: Mapping[str, Entry], mode: str) -> dict[str, Entry]:
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        found.refuse(f"--chmod={mode} is not carried out here; write three octal digits, as in --chmod=755.")
    return {path: replace(entry, mode=int(mode, 8)) for path, entry in layer.items()}
