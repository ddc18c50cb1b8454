"""COPY and ADD: which files of the context or of another stage a stage takes, and where it puts them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from console.local.process.build_context import found_in
from console.local.process.build_stage import BuildStage, Ground
from console.local.process.dockerfile_text import Instruction, json_list, options_of, split_words
from console.local.process.oci import Entry, with_parents

# What a base image has, so that "COPY model.pkl /opt" goes into it.
_USUAL_DIRECTORIES = re.compile(
    "bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|"
    "usr|usr/(bin|lib|local|sbin|share|src)|usr/local/(bin|lib|share)|var|var/(cache|lib|log|tmp)"
)


def copy(found: Instruction, stage: BuildStage, ground: Ground) -> None:
    options, rest = options_of(found)
    unknown = set(options) - {"from", "chown", "chmod", "link"}
    if found.heredoc or unknown:
        what = "a heredoc" if found.heredoc else f"--{min(unknown)}"
        found.refuse(f"{what} is not carried out here; put the file into the context and COPY it by its name.")
    *sources, target = json_list(rest) or split_words(replace(found, text=rest), stage.variables) or [""]
    if not sources:
        found.refuse(f"it is written {found.word} SOURCE… TARGET.")
    if found.word == "ADD" and any(re.search(r"://|^git@|\.(tar(\.\w+)?|tgz)$", source) for source in sources):
        found.refuse("nothing is fetched or unpacked here; put the files into the context and COPY them.")
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
        found.refuse(
            f"{name} is no earlier stage of this Dockerfile, and no image can be pulled here; "
            "build with the Docker engine, or put the files into the context and COPY them."
        )
    return stage


def _taken_from(found: Instruction, other: BuildStage, sources: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """What ``sources`` name in another stage. What is not there came with its packages, or it is refused."""
    matches = {source: found_in(other.tree, source) for source in sources}
    for source in (source for source, matched in matches.items() if not matched):
        if not other.installs and other.undone:
            other.undone[0].refuse(other.undone[1])
        if not other.installs:
            found.refuse(f"{source} was not copied into that stage, and no RUN makes it; correct the path.")
        say(f"COPY {found.text}: {source} stands for the packages that were installed there.")
    return [path for matched in matches.values() for path in matched]


def _matches(found: Instruction, context: Mapping[str, Entry], source: str) -> list[str]:
    matched = found_in(context, source)
    if not matched:
        found.refuse(
            f"{source} is not in the build context, or .dockerignore leaves it out; commit it, or correct this."
        )
    return matched


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
