"""The small ``docker`` that a build meets where no Docker engine is: it packs a Dockerfile's files into a real image.

It may read the build context, keep images in a directory of the build's own, and on ``push`` write the registry's
directory and call ECR at ``AWS_ENDPOINT_URL``. It runs nothing: a ``RUN`` is said and passed over, and whatever would
need an engine ends with exit status 1 and a sentence. The Dockerfile is read in three steps: lines to instructions,
words with their variables put in, instructions to a stage (paths, layers, config).
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from console.local.oci import (
    MANIFEST_TYPE,
    Entry,
    Healthcheck,
    ImageConfig,
    ImageError,
    Registry,
    pack,
    with_parents,
    write_whole,
)

CAN = "login, logout, build, tag, push, images, inspect, version and info"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's, for an image that sets none
# What a base image has, so that "COPY model.pkl /opt" goes into it.
_USUAL_DIRECTORIES = re.compile(
    "bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|"
    "usr|usr/(bin|lib|local|sbin|share|src)|usr/local/(bin|lib|share)|var|var/(cache|lib|log|tmp)"
)


class DockerError(Exception):
    """What the small docker cannot do, and what to do instead; printed, exit status 1."""


# --- images of this build -------------------------------------------------------------------------------------------


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


# --- the Dockerfile: lines to instructions --------------------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    """One instruction: the line it begins on, its word in capitals, the text after it."""

    line: int
    word: str
    text: str
    heredoc: bool = False

    def refuse(self, why: str) -> NoReturn:
        """Raise what is wrong with it, naming its line."""
        raise DockerError(f"Dockerfile line {self.line}: {self.word} {self.text}".rstrip() + f": {why}")


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile. Raises :class:`DockerError` naming the line of one Docker does not know."""
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, *rest = _continued(line.strip(), lines).split(maxsplit=1)
        read = Instruction(number, word.upper(), "".join(rest))
        if read.word not in _APPLY and read.word != "FROM":
            read.refuse(f"{word} is not an instruction; correct the line. Known are {', '.join(sorted(_APPLY))}.")
        marks = re.findall(r"<<-?([\"']?)([A-Za-z_]\w*)\1", read.text) if read.word in ("RUN", "COPY", "ADD") else []
        for _, mark in marks:
            while next(lines, (0, mark))[1].strip() != mark:
                pass
        yield replace(read, heredoc=bool(marks))


def _continued(line: str, lines: Iterator[tuple[int, str]]) -> str:
    """``line`` with the lines that its last backslash goes on to; Docker drops comments and empty lines among them."""
    while line.endswith("\\"):
        _, following = next(lines, (0, None))
        if following is None:
            return line[:-1]
        if following.strip() and not following.lstrip().startswith("#"):
            line = line[:-1] + following.rstrip()
    return line


# --- words, with their variables put in -----------------------------------------------------------------------------

_PIECE = re.compile(
    r"""\\(?P<escaped>.)|(?P<single>')|(?P<double>")|(?P<space>\s+)
      |\$(?P<plain>\w+)|\$\{(?P<braced>\w+)(?::(?P<sign>[-+])(?P<other>[^}]*))?\}|(?P<any>.)""",
    re.VERBOSE | re.DOTALL,
)


def words(text: str, variables: Mapping[str, str]) -> list[str]:
    """``text`` split where no quote holds it together, with ``$NAME``, ``${NAME:-other}`` and ``${NAME:+other}`` put in
    outside single quotes. Raises ValueError where a quote is not closed."""
    found: list[str] = []
    word: list[str] | None = None
    quoted, at = False, 0
    while match := _PIECE.match(text, at):
        at = match.end()
        if match["space"] and not quoted:
            found += ["".join(word)] if word is not None else []
            word = None
            continue
        word = [] if word is None else word
        if match["double"]:
            quoted = not quoted
        elif match["single"] and not quoted:
            end = text.index("'", at)
            word.append(text[at:end])
            at = end + 1
        elif match["escaped"]:
            word.append(match[0] if quoted and match["escaped"] not in '"\\$' else match["escaped"])
        else:
            word.append(_value(match, variables))
    if quoted:
        raise ValueError('a " is not closed')
    return found + (["".join(word)] if word is not None else [])


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name = match["plain"] or match["braced"]
    if name is None:
        return match[0]
    value = variables.get(name, "")
    if match["sign"] == "-":
        return value or match["other"]
    if match["sign"] == "+":
        return match["other"] if value else ""
    return value


# --- the build context ----------------------------------------------------------------------------------------------


def read_context(directory: Path, ignore: str) -> dict[str, Entry]:
    """Every path below ``directory`` that the ``.dockerignore`` text ``ignore`` leaves in."""
    rules = [_rule(line.strip()) for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    found: dict[str, Entry] = {}
    for root, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = Path(root, name)
            inside = path.relative_to(directory).as_posix()
            if not _ignored(inside, rules) and (entry := _entry(path)):
                found[inside] = entry
    return with_parents(found)


def _entry(path: Path) -> Entry | None:
    if path.is_symlink():
        return Entry("link", target=str(path.readlink()))
    if path.is_dir():
        return Entry("directory")
    # only what git keeps of a mode: the rest is this machine's umask, and would change the digest
    return Entry("file", 0o755 if path.stat().st_mode & 0o100 else 0o644, path) if path.is_file() else None


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    """A ``.dockerignore`` line: whether it excludes, and what it matches (a directory matches all below it)."""
    excludes = not line.startswith("!")
    pattern = posixpath.normpath(line.removeprefix("!").strip().lstrip("/"))
    return excludes, re.compile(f"{_glob(pattern)}(/.*)?", re.DOTALL)


def _ignored(path: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    answers = [excludes for excludes, pattern in rules if pattern.fullmatch(path)]
    return bool(answers and answers[-1])


def _glob(pattern: str) -> str:
    """Docker's file pattern as a regular expression: ``*`` and ``?`` stay within a name, ``**`` does not."""
    pieces = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(piece) or (piece.replace("[^", "[^/") if piece.startswith("[") else re.escape(piece))
        for piece in pieces
    )


# --- instructions to a stage ----------------------------------------------------------------------------------------


@dataclass
class Stage:
    """A stage as far as it is built. ``tree`` is every path it holds, ``layers`` what each COPY added to it."""

    base: str
    config: ImageConfig = field(default_factory=ImageConfig)
    args: dict[str, str] = field(default_factory=dict)
    tree: dict[str, Entry] = field(default_factory=dict)
    layers: list[dict[str, Entry]] = field(default_factory=list)
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    runs: bool = False
    own_cmd: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """What ``$NAME`` means here: ENV before ARG."""
        return {"PATH": _DEFAULT_PATH, **self.args, **self.config.env}


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile and what ``docker build`` was given with it. ``say`` prints one plain line."""

    text: str
    context: Mapping[str, Entry]
    images: Images
    args: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print

    def stage(self, target: str = "") -> Stage:
        """The stage called ``target``, or the last, with the stages it takes from. Raises :class:`DockerError`."""
        read = list(instructions(self.text))
        starts = [index for index, found in enumerate(read) if found.word == "FROM"]
        if not starts:
            raise DockerError("The Dockerfile has no FROM; begin it with FROM and the name of a base image.")
        for found in read[: starts[0]]:
            if found.word != "ARG":
                found.refuse("it stands before FROM; only ARG may.")
        building = _Building(self, read[: starts[0]])
        for begin, end in zip(starts, [*starts[1:], len(read)], strict=True):
            building.blocks.append(read[begin:end])
        return building.named(target) if target else building.number(len(starts) - 1)


class _Building:
    """The stages of one Dockerfile, each built when first asked for, as BuildKit does."""

    def __init__(self, recipe: Recipe, before: Sequence[Instruction]) -> None:
        self.recipe = recipe
        self.blocks: list[list[Instruction]] = []
        self._done: dict[int, Stage] = {}
        self.globals: dict[str, str] = {}
        for found in before:
            _declare(found, self.globals, recipe.args, self.globals)

    def index(self, name: str, below: int | None = None) -> int | None:
        """Which stage ``name`` (a name or a number) is, among those before ``below``; None for no stage."""
        for index, block in enumerate(self.blocks[:below]):
            parts = block[0].text.split()
            if name == str(index) or (
                len(parts) > 2 and parts[-2].lower() == "as" and parts[-1].lower() == name.lower()
            ):
                return index
        return None

    def named(self, name: str) -> Stage:
        index = self.index(name)
        if index is None:
            raise DockerError(
                f"--target {name}: the Dockerfile has no stage of that name; name one of its FROM … AS NAME."
            )
        return self.number(index)

    def number(self, index: int) -> Stage:
        if index not in self._done:
            first, *rest = self.blocks[index]
            stage = self._begin(first, index)
            for found in rest:
                _APPLY[found.word](found, stage, _Ground(self, index))
            self._done[index] = stage
        return self._done[index]

    def _begin(self, first: Instruction, index: int) -> Stage:
        parts = [part for part in _split(first, self.globals) if not part.startswith("--")]
        if len(parts) not in (1, 3):
            first.refuse("it is written FROM IMAGE or FROM IMAGE AS NAME.")
        earlier = self.index(parts[0], index)
        if earlier is not None:
            made = self.number(earlier)
            return replace(made, tree=dict(made.tree), layers=list(made.layers), args={}, own_cmd=False)
        local = None if parts[0] == "scratch" else self.recipe.images.find(parts[0])
        if local:
            first.refuse(
                "it names an image made by this small docker, which it does not build upon; copy the files again."
            )
        return Stage(base=parts[0])


@dataclass(frozen=True)
class _Ground:
    """What a stage stands on: the other stages, the context, the arguments."""

    building: _Building
    index: int

    @property
    def recipe(self) -> Recipe:
        return self.building.recipe


def _split(found: Instruction, variables: Mapping[str, str]) -> list[str]:
    """The instruction's words, variables put in."""
    try:
        return words(found.text, variables)
    except ValueError:
        found.refuse("a quote is not closed; close it.")


def _one(found: Instruction, stage: Stage) -> str:
    return " ".join(_split(found, stage.variables))


def _declare(found: Instruction, into: dict[str, str], given: Mapping[str, str], outer: Mapping[str, str]) -> None:
    """ARG: the value given on the command line, else the default, else what an ARG before FROM said."""
    for word in _split(found, into):
        name, equals, default = word.partition("=")
        value = given.get(name, default if equals else outer.get(name))
        if value is not None:
            into[name] = value


def _arg(found: Instruction, stage: Stage, ground: _Ground) -> None:
    _declare(found, stage.args, ground.recipe.args, ground.building.globals)


def _pairs(found: Instruction, stage: Stage) -> dict[str, str]:
    parts = _split(found, stage.variables)
    if parts and "=" not in parts[0]:  # the old form: ENV NAME the rest of the line
        return {parts[0]: " ".join(parts[1:])}
    if not parts or not all("=" in part for part in parts):
        found.refuse("it is written NAME=value, and a value with spaces in quotes.")
    return dict(part.split("=", 1) for part in parts)


def _env(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config = replace(stage.config, env={**stage.config.env, **_pairs(found, stage)})


def _label(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, **_pairs(found, stage)})


def _maintainer(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, "maintainer": found.text})


def _workdir(found: Instruction, stage: Stage, _: _Ground) -> None:
    path = posixpath.normpath(posixpath.join("/", stage.config.workdir, _one(found, stage)))
    stage.config = replace(stage.config, workdir=path)
    stage.tree.update(with_parents({path.strip("/"): Entry("directory")}) if path.strip("/") else {})


def _user(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config = replace(stage.config, user=_one(found, stage))


def _stopsignal(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config = replace(stage.config, stop_signal=_one(found, stage))


def _expose(found: Instruction, stage: Stage, _: _Ground) -> None:
    ports = []
    for word in _split(found, stage.variables):
        if not re.fullmatch(r"\d{1,5}(/(tcp|udp|sctp))?", word.lower()):
            found.refuse(f"{word!r} is not a port; write a number, or a number and /tcp or /udp.")
        ports.append(word.lower() if "/" in word else f"{word}/tcp")
    stage.config = replace(stage.config, exposed_ports=tuple(dict.fromkeys((*stage.config.exposed_ports, *ports))))


def _volume(found: Instruction, stage: Stage, _: _Ground) -> None:
    paths = _json_list(found.text) or _split(found, stage.variables)
    stage.config = replace(stage.config, volumes=tuple(dict.fromkeys((*stage.config.volumes, *paths))))


def _json_list(text: str) -> list[str] | None:
    try:
        read = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return read if isinstance(read, list) and all(isinstance(part, str) for part in read) else None


def _command(found: Instruction, stage: Stage) -> tuple[str, ...]:
    """The exec form as it is, the shell form behind the stage's shell."""
    exec_form = _json_list(found.text)
    return (*stage.shell, found.text) if exec_form is None else tuple(exec_form)


def _cmd(found: Instruction, stage: Stage, _: _Ground) -> None:
    stage.config, stage.own_cmd = replace(stage.config, cmd=_command(found, stage)), True


def _entrypoint(found: Instruction, stage: Stage, _: _Ground) -> None:
    # a CMD that came from another stage was written for that stage's entry point: Docker drops it
    cmd = stage.config.cmd if stage.own_cmd else ()
    stage.config = replace(stage.config, entrypoint=_command(found, stage), cmd=cmd)


def _shell(found: Instruction, stage: Stage, _: _Ground) -> None:
    shell = _json_list(found.text)
    if not shell:
        found.refuse('it is written as a list, SHELL ["/bin/bash", "-c"].')
    stage.shell = tuple(shell)


def _healthcheck(found: Instruction, stage: Stage, _: _Ground) -> None:
    options, rest = _options(found)
    kind, _space, command = rest.partition(" ")
    if kind.upper() not in ("CMD", "NONE"):
        found.refuse("it is written HEALTHCHECK [--interval=30s …] CMD command, or HEALTHCHECK NONE.")
    exec_form = _json_list(command.strip())
    test = ("CMD-SHELL", command.strip()) if exec_form is None else ("CMD", *exec_form)
    times = {name.replace("-", "_"): _seconds(found, text) for name, text in options.items() if name in _TIMES}
    unknown = set(options) - set(_TIMES) - {"retries"}
    if not options.get("retries", "0").isdecimal():
        found.refuse(f"--retries={options['retries']} is not a number; write one.")
    if unknown:
        found.refuse(f"--{min(unknown)} is not carried out here; leave it out.")
    stage.config = replace(
        stage.config,
        healthcheck=Healthcheck(
            ("NONE",) if kind.upper() == "NONE" else test, retries=int(options.get("retries", "0")), **times
        ),
    )


_TIMES = ("interval", "timeout", "start-period")


def _seconds(found: Instruction, text: str) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        found.refuse(f"{text!r} is not a time; write 30s or 1m30s.")
    return sum(float(number) * units[unit] for number, unit in parts)


def _options(found: Instruction) -> tuple[dict[str, str], str]:
    """The ``--name=value`` in front of an instruction's text, and the text behind them."""
    options, rest = {}, found.text
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?\s+", rest):
        options[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    return options, rest


def _run(found: Instruction, stage: Stage, ground: _Ground) -> None:
    stage.runs = True
    shown = found.text if len(found.text) <= 100 else f"{found.text[:99]}…"
    ground.recipe.say(f"RUN {shown}: not executed; this small docker packs files, the Docker engine runs commands.")


def _onbuild(found: Instruction, _stage: Stage, _ground: _Ground) -> None:
    found.refuse("the small docker does not do that; write the instruction in the Dockerfile that needs it.")


def _copy(found: Instruction, stage: Stage, ground: _Ground) -> None:
    options, rest = _options(found)
    unknown = set(options) - {"from", "chown", "chmod", "link"}
    if found.heredoc or unknown:
        what = "a heredoc" if found.heredoc else f"--{min(unknown)}"
        found.refuse(f"{what} is not carried out here; put the file into the context and COPY it by its name.")
    *sources, target = _json_list(rest) or _split(replace(found, text=rest), stage.variables) or [""]
    if not sources:
        found.refuse(f"it is written {found.word} SOURCE… TARGET.")
    if found.word == "ADD" and any(re.search(r"://|^git@|\.(tar(\.\w+)?|tgz)$", source) for source in sources):
        found.refuse("nothing is fetched or unpacked here; put the files into the context and COPY them.")
    tree = _other_tree(found, options["from"], ground) if "from" in options else ground.recipe.context
    taken = [match for source in sources for match in _matches(found, tree, source, options.get("from", ""))]
    layer = _placed(taken, tree, stage, target, into=len(taken) > 1 or len(sources) > 1)
    if "chmod" in options:
        layer = _with_mode(found, layer, options["chmod"])
    stage.layers.append(layer)
    stage.tree.update(with_parents(layer))


def _other_tree(found: Instruction, name: str, ground: _Ground) -> Mapping[str, Entry]:
    index = ground.building.index(name, ground.index)
    if index is None:
        found.refuse(
            f"{name} is no earlier stage of this Dockerfile, and no image can be pulled here; "
            "build with the Docker engine, or put the files into the context and COPY them."
        )
    other = ground.building.number(index)
    if other.runs:
        ground.recipe.say(f"COPY --from={name}: takes what was copied into that stage, not what its RUN would make.")
    return other.tree


def _matches(found: Instruction, tree: Mapping[str, Entry], source: str, stage: str) -> list[str]:
    """The paths of ``tree`` that ``source`` names; "" is its root."""
    path = posixpath.normpath(posixpath.join("/", source)).lstrip("/")
    if not path:
        return [""]
    if re.search(r"[*?\[]", path):
        pattern = re.compile(_glob(path))
        matched = sorted(name for name in tree if pattern.fullmatch(name))
    else:
        matched = [path] if path in tree else []
    if not matched and stage:
        found.refuse(
            f"{source} was not copied into the stage {stage}; if its RUN makes it, the small docker cannot, "
            "because it runs nothing: build with the Docker engine, or COPY the files from the context."
        )
    if not matched:
        found.refuse(
            f"{source} is not in the build context, or .dockerignore leaves it out; commit it, or correct this."
        )
    return matched


def _placed(
    taken: Sequence[str], tree: Mapping[str, Entry], stage: Stage, target: str, *, into: bool
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


_APPLY: dict[str, Callable[[Instruction, Stage, _Ground], None]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


# --- the command line -----------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None, *, images: Path | None = None, registry: Path | None = None) -> int:
    """Do one docker command; its exit status. ``images`` is where this build keeps what it made, ``registry`` where a
    push puts it; by default both come from ``ESTEIRA_IMAGES`` and ``ESTEIRA_REGISTRY``."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        desk = _Desk(
            Images(images or _directory_from("ESTEIRA_IMAGES")),
            Registry(registry or _directory_from("ESTEIRA_REGISTRY")),
        )
        return desk.run(args)
    except (DockerError, ImageError) as error:
        print(f"docker: {error}", file=sys.stderr)
        return 1


def _directory_from(name: str) -> Path:
    value = os.environ.get(name)
    if not value:
        raise DockerError(f"{name} is not set; give it a directory, or call docker from within a build.")
    return Path(value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DockerError(
            f"{self.prog.removeprefix('docker ')}: {message}. The small docker can {CAN} with their usual options; "
            "the Docker engine does the rest."
        )


def _parser(command: str) -> argparse.ArgumentParser:
    return _Parser(prog=f"docker {command}", add_help=False, allow_abbrev=False)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Desk:
    """Where a command's words meet the images."""

    images: Images
    registry: Registry

    def run(self, args: list[str]) -> int:
        if args[:1] in (["-v"], ["--version"]):
            args = ["version"]
        if args[:2] in (["image", "ls"], ["image", "inspect"], ["image", "build"], ["image", "tag"], ["image", "push"]):
            args = [args[1].replace("ls", "images"), *args[2:]]
        if args[:2] == ["buildx", "build"]:
            args = args[1:]
        commands: dict[str, Callable[[list[str]], None]] = {
            "login": self.login,
            "logout": self.logout,
            "build": self.build,
            "tag": self.tag,
            "push": self.push,
            "images": self.list_images,
            "inspect": self.inspect,
            "version": self.version,
            "info": self.info,
        }
        name = args[0] if args else ""
        if name not in commands:
            raise DockerError(
                f"{name or 'no command'}: the small docker of the local build can {CAN}; "
                "it runs and pulls nothing. The Docker engine does the rest: install it, or leave the line out here."
            )
        commands[name](args[1:])
        return 0

    def login(self, args: list[str]) -> None:
        """Accept, since the local registry asks for no password; stdin is read so that what pipes into it can end."""
        if "--password-stdin" in args and not sys.stdin.isatty():
            sys.stdin.buffer.read()
        print("Login Succeeded (the local registry asks for no password)")

    def logout(self, _args: list[str]) -> None:
        print("Removed login credentials (there were none)")

    def build(self, args: list[str]) -> None:
        given = _build_parser().parse_args(args)
        context = Path(given.context)
        if given.context == "-" or "://" in given.context or not context.is_dir():
            raise DockerError(f"build: the context {given.context} is not a directory; name one, usually a dot.")
        file = Path(given.file) if given.file else context / "Dockerfile"
        if not file.is_file():
            raise DockerError(f"build: there is no {file}; commit a Dockerfile there, or name it with -f.")
        recipe = Recipe(
            text=file.read_text(),
            context=read_context(context, _ignore_text(context, file)),
            images=self.images,
            args=dict(_build_arg(pair) for pair in given.build_arg),
            say=_say,
        )
        stage = recipe.stage(given.target)
        labels = dict(pair.partition("=")[::2] for pair in given.label)
        config = replace(stage.config, labels={**stage.config.labels, **labels})
        base = {} if stage.base == "scratch" else {"org.opencontainers.image.base.name": stage.base}
        tags = [Reference.parse(tag) for tag in given.tag]
        digest = pack(self.images.registry, stage.layers, config, given.platform, base)
        # an image without a name must be findable by its id, as docker build -q is used
        for reference in tags or [Reference("", "untagged", digest.removeprefix("sha256:")[:12])]:
            self.images.tag(reference, digest)
        self._tell_built(given, stage, tags, digest)

    def _tell_built(self, given: argparse.Namespace, stage: Stage, tags: Sequence[Reference], digest: str) -> None:
        image_id = self.images.image_id(digest)
        if given.iidfile:
            Path(given.iidfile).write_text(image_id)
        if given.quiet:
            print(image_id)
            return
        paths = sum(len(layer) for layer in stage.layers)
        print(f"FROM {stage.base}: recorded by its name; nothing of it is in the image, as nothing can be pulled here.")
        print(f"Packed {paths} paths in {len(stage.layers)} layers: manifest {digest}, image {image_id}")
        for reference in tags:
            print(f"Successfully tagged {reference}")

    def tag(self, args: list[str]) -> None:
        parser = _parser("tag")
        parser.add_argument("source")
        parser.add_argument("target")
        given = parser.parse_args(args)
        self.images.tag(Reference.parse(given.target), self.images.need(given.source))

    def push(self, args: list[str]) -> None:
        parser = _parser("push")
        parser.add_argument("-q", "--quiet", action="store_true")
        parser.add_argument("reference")
        given = parser.parse_args(args)
        reference = Reference.parse(given.reference)
        digest = self.images.need(str(reference))
        self.images.registry.copy(digest, self.registry)  # before ECR tells the world, which may fetch it at once
        manifest = self.registry.blob(digest)
        _put_image(reference, manifest.decode())
        self.images.note_push(reference, digest)
        if not given.quiet:
            print(f"The push refers to repository [{reference.repository}]")
        print(str(reference) if given.quiet else f"{reference.tag}: digest: {digest} size: {len(manifest)}")

    def list_images(self, args: list[str]) -> None:
        parser = _parser("images")
        parser.add_argument("-q", "--quiet", action="store_true")
        parser.add_argument("--digests", action="store_true")
        parser.add_argument("name", nargs="?", default="")
        given = parser.parse_args(args)
        rows = []
        for tag, digest in self.images.tags().items():
            reference = Reference.parse(tag)
            if given.name in ("", reference.repository, tag):
                rows.append((reference.repository, reference.tag, digest, self.images.image_id(digest)[7:19]))
        if given.quiet:
            print("\n".join(dict.fromkeys(row[3] for row in rows)))
            return
        for row in (("REPOSITORY", "TAG", "DIGEST", "IMAGE ID"), *rows):
            print(f"{row[0]:<60} {row[1]:<20} {row[2]:<71} {row[3]}")

    def inspect(self, args: list[str]) -> None:
        parser = _parser("inspect")
        parser.add_argument("-f", "--format", default="")
        parser.add_argument("--type", choices=["image"])
        parser.add_argument("names", nargs="+")
        given = parser.parse_args(args)
        found = [self._described(self.images.need(name)) for name in given.names]
        if not given.format:
            print(json.dumps(found, indent=4))
        for image in found if given.format else []:
            print(_formatted(given.format, image))

    def _described(self, digest: str) -> dict[str, Any]:
        manifest = self.images.registry.manifest(digest)
        config = json.loads(self.images.registry.blob(manifest["config"]["digest"]))
        return {
            "Id": manifest["config"]["digest"],
            "RepoTags": [tag for tag, tagged in self.images.tags().items() if tagged == digest],
            "RepoDigests": self.images.repo_digests(digest),
            "Architecture": config["architecture"],
            "Os": config["os"],
            "Size": sum(layer["size"] for layer in manifest["layers"]),
            "Config": config["config"],
            "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]},
        }

    def version(self, _args: list[str]) -> None:
        print(f"Docker version 0.0.0, the small docker of esteira's local build: it can {CAN}")

    def info(self, _args: list[str]) -> None:
        print(f"Server: none. This is the small docker of esteira's local build: it can {CAN}.")
        print(f"Images: {len(set(self.images.tags().values()))}\nRegistry: {self.registry.directory}")


def _build_parser() -> argparse.ArgumentParser:
    parser = _parser("build")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("-f", "--file", default="")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--target", default="")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--iidfile", default="")
    parser.add_argument("-q", "--quiet", action="store_true")
    for nothing_to_do in ("--pull", "--no-cache", "--rm", "--force-rm", "--compress", "--load"):
        parser.add_argument(nothing_to_do, action="store_true")
    for nothing_to_do in ("--progress", "--cache-from", "--cache-to", "--network", "--provenance", "--sbom"):
        parser.add_argument(nothing_to_do, action="append")
    parser.add_argument("context")
    return parser


def _build_arg(pair: str) -> tuple[str, str]:
    """``NAME=value``, or ``NAME`` alone, whose value is the environment's."""
    name, equals, value = pair.partition("=")
    return name, value if equals else os.environ.get(name, "")


def _ignore_text(context: Path, dockerfile: Path) -> str:
    """The text of the Dockerfile's own ignore file, else of the context's, else none."""
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        if path.is_file():
            return path.read_text()
    return ""


def _formatted(template: str, image: Mapping[str, Any]) -> str:
    """The few Go templates that buildspecs use: a key, a key as JSON, and one entry of a list."""
    match = re.fullmatch(r"\{\{\s*(json|index)?\s*((?:\.\w+)+)\s*(\d+)?\s*\}\}", template)
    if not match or (match[1] == "index") != bool(match[3]):
        raise DockerError(
            f"inspect: the format {template} is not known here; use {{{{.Id}}}} or {{{{index .RepoDigests 0}}}}."
        )
    value: Any = image
    for key in match[2].split(".")[1:]:
        if not isinstance(value, dict) or key not in value:
            raise DockerError(
                f"inspect: the image has no {match[2]}; docker inspect without --format shows what it has."
            )
        value = value[key]
    if match[1] == "json":
        return json.dumps(value)
    if match[3] is not None:
        if int(match[3]) >= len(value):
            raise DockerError(f"inspect: {match[2]} has {len(value)} entries; RepoDigests has one after docker push.")
        value = value[int(match[3])]
    return str(value)


def _put_image(reference: Reference, manifest: str) -> None:
    """Put the manifest into ECR under the reference's tag. The same image under the same tag twice is one push."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_ECR") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise DockerError(
            f"push: AWS_ENDPOINT_URL is not set, and the small docker pushes only to the AWS on this machine; "
            f"start it with esteira local up, or push {reference} with the Docker engine."
        )
    import boto3  # here, because it costs more than all the other commands together
    from botocore.exceptions import BotoCoreError, ClientError

    host = re.fullmatch(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\..+", reference.host)
    region = host["region"] if host else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        boto3.client("ecr", region_name=region, endpoint_url=endpoint).put_image(
            repositoryName=reference.path,
            imageManifest=manifest,
            imageManifestMediaType=MANIFEST_TYPE,
            imageTag=reference.tag,
            **({"registryId": host["account"]} if host else {}),
        )
    except ClientError as error:
        _explain(reference, error.response["Error"]["Code"], error.response["Error"]["Message"])
    except BotoCoreError as error:
        raise DockerError(f"push {reference}: ECR at {endpoint} was not reached: {error}") from error


def _explain(reference: Reference, code: str, message: str) -> None:
    if code == "ImageAlreadyExistsException":
        return  # the same digest under the same tag: it is there already
    next_step = {
        "RepositoryNotFoundException": f"create it with aws ecr create-repository --repository-name {reference.path}",
        "ImageTagAlreadyExistsException": "the tag is taken by another image and may not move; push under a new tag",
    }.get(code, "correct that and push again")
    raise DockerError(f"push {reference}: ECR said {code}: {message.rstrip('.')}; {next_step}.")


if __name__ == "__main__":
    sys.exit(main())
