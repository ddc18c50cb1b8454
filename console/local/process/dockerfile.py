"""A Dockerfile turned into an image, as far as that goes without an engine: its files packed, its settings kept.

In three steps: lines to instructions, words with their variables put in, instructions to a stage (paths, layers,
config). Nothing is run: a ``RUN`` is said and passed over, and so is a ``COPY --from`` of what only a ``RUN`` of that
stage can have made, as the packages that a first stage installs. A container of this image has the packages of the
Python it is started with.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from console.local.process.docker_images import DockerError, Images
from console.local.process.oci import (
    Entry,
    Healthcheck,
    ImageConfig,
    with_parents,
)

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's, for an image that sets none
# What a base image has, so that "COPY model.pkl /opt" goes into it.
_USUAL_DIRECTORIES = re.compile(
    "bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|"
    "usr|usr/(bin|lib|local|sbin|share|src)|usr/local/(bin|lib|share)|var|var/(cache|lib|log|tmp)"
)


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
class BuildStage:
    """A stage as far as it is built. ``tree`` is every path it holds, ``layers`` what each COPY added to it.

    ``runs``: a RUN, its own or one of a stage it copied from, may have made more than ``tree`` holds.
    """

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

    def stage(self, target: str = "") -> BuildStage:
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
        self._done: dict[int, BuildStage] = {}
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

    def named(self, name: str) -> BuildStage:
        index = self.index(name)
        if index is None:
            raise DockerError(
                f"--target {name}: the Dockerfile has no stage of that name; name one of its FROM … AS NAME."
            )
        return self.number(index)

    def number(self, index: int) -> BuildStage:
        if index not in self._done:
            first, *rest = self.blocks[index]
            stage = self._begin(first, index)
            for found in rest:
                _APPLY[found.word](found, stage, _Ground(self, index))
            self._done[index] = stage
        return self._done[index]

    def _begin(self, first: Instruction, index: int) -> BuildStage:
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
        return BuildStage(base=parts[0])


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


def _one(found: Instruction, stage: BuildStage) -> str:
    return " ".join(_split(found, stage.variables))


def _declare(found: Instruction, into: dict[str, str], given: Mapping[str, str], outer: Mapping[str, str]) -> None:
    """ARG: the value given on the command line, else the default, else what an ARG before FROM said."""
    for word in _split(found, into):
        name, equals, default = word.partition("=")
        value = given.get(name, default if equals else outer.get(name))
        if value is not None:
            into[name] = value


def _arg(found: Instruction, stage: BuildStage, ground: _Ground) -> None:
    _declare(found, stage.args, ground.recipe.args, ground.building.globals)


def _pairs(found: Instruction, stage: BuildStage) -> dict[str, str]:
    parts = _split(found, stage.variables)
    if parts and "=" not in parts[0]:  # the old form: ENV NAME the rest of the line
        return {parts[0]: " ".join(parts[1:])}
    if not parts or not all("=" in part for part in parts):
        found.refuse("it is written NAME=value, and a value with spaces in quotes.")
    return dict(part.split("=", 1) for part in parts)


def _env(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config = replace(stage.config, env={**stage.config.env, **_pairs(found, stage)})


def _label(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, **_pairs(found, stage)})


def _maintainer(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, "maintainer": found.text})


def _workdir(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    path = posixpath.normpath(posixpath.join("/", stage.config.workdir, _one(found, stage)))
    stage.config = replace(stage.config, workdir=path)
    stage.tree.update(with_parents({path.strip("/"): Entry("directory")}) if path.strip("/") else {})


def _user(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config = replace(stage.config, user=_one(found, stage))


def _stopsignal(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config = replace(stage.config, stop_signal=_one(found, stage))


def _expose(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    ports = []
    for word in _split(found, stage.variables):
        if not re.fullmatch(r"\d{1,5}(/(tcp|udp|sctp))?", word.lower()):
            found.refuse(f"{word!r} is not a port; write a number, or a number and /tcp or /udp.")
        ports.append(word.lower() if "/" in word else f"{word}/tcp")
    stage.config = replace(stage.config, exposed_ports=tuple(dict.fromkeys((*stage.config.exposed_ports, *ports))))


def _volume(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    paths = _json_list(found.text) or _split(found, stage.variables)
    stage.config = replace(stage.config, volumes=tuple(dict.fromkeys((*stage.config.volumes, *paths))))


def _json_list(text: str) -> list[str] | None:
    try:
        read = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return read if isinstance(read, list) and all(isinstance(part, str) for part in read) else None


def _command(found: Instruction, stage: BuildStage) -> tuple[str, ...]:
    """The exec form as it is, the shell form behind the stage's shell."""
    exec_form = _json_list(found.text)
    return (*stage.shell, found.text) if exec_form is None else tuple(exec_form)


def _cmd(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    stage.config, stage.own_cmd = replace(stage.config, cmd=_command(found, stage)), True


def _entrypoint(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    # a CMD that came from another stage was written for that stage's entry point: Docker drops it
    cmd = stage.config.cmd if stage.own_cmd else ()
    stage.config = replace(stage.config, entrypoint=_command(found, stage), cmd=cmd)


def _shell(found: Instruction, stage: BuildStage, _: _Ground) -> None:
    shell = _json_list(found.text)
    if not shell:
        found.refuse('it is written as a list, SHELL ["/bin/bash", "-c"].')
    stage.shell = tuple(shell)


def _healthcheck(found: Instruction, stage: BuildStage, _: _Ground) -> None:
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


def _run(found: Instruction, stage: BuildStage, ground: _Ground) -> None:
    stage.runs = True
    shown = found.text if len(found.text) <= 100 else f"{found.text[:99]}…"
    ground.recipe.say(f"RUN {shown}: not executed; this small docker packs files, the Docker engine runs commands.")


def _onbuild(found: Instruction, _stage: BuildStage, _ground: _Ground) -> None:
    found.refuse("the small docker does not do that; write the instruction in the Dockerfile that needs it.")


def _copy(found: Instruction, stage: BuildStage, ground: _Ground) -> None:
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
    tree: Mapping[str, Entry] = ground.recipe.context
    if "from" in options:
        other = _other(found, options["from"], ground)
        tree, taken = other.tree, _taken_from(found, other, sources, ground.recipe.say)
        stage.runs = stage.runs or other.runs
    else:
        taken = [match for source in sources for match in _matches(found, tree, source)]
    if not taken:
        return
    layer = _placed(taken, tree, stage, target, into=len(taken) > 1 or len(sources) > 1)
    if "chmod" in options:
        layer = _with_mode(found, layer, options["chmod"])
    stage.layers.append(layer)
    stage.tree.update(with_parents(layer))


def _other(found: Instruction, name: str, ground: _Ground) -> BuildStage:
    index = ground.building.index(name, ground.index)
    if index is None:
        found.refuse(
            f"{name} is no earlier stage of this Dockerfile, and no image can be pulled here; "
            "build with the Docker engine, or put the files into the context and COPY them."
        )
    return ground.building.number(index)


def _taken_from(found: Instruction, other: BuildStage, sources: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """What ``sources`` name in another stage. What is not there is refused, or said where a RUN could have made it."""
    matches = {source: _found_in(other.tree, source) for source in sources}
    for source in (source for source, matched in matches.items() if not matched):
        if not other.runs:
            found.refuse(f"{source} was not copied into that stage, and no RUN makes it; correct the path.")
        say(
            f"COPY {found.text}: {source} is left out. It is made by RUN, which this engine does not run; "
            "here the packages of the console's own Python serve."
        )
    if other.runs and any(matches.values()):
        say(f"COPY {found.text}: takes what was copied into that stage, not what its RUN would make.")
    return [path for matched in matches.values() for path in matched]


def _matches(found: Instruction, context: Mapping[str, Entry], source: str) -> list[str]:
    matched = _found_in(context, source)
    if not matched:
        found.refuse(
            f"{source} is not in the build context, or .dockerignore leaves it out; commit it, or correct this."
        )
    return matched


def _found_in(tree: Mapping[str, Entry], source: str) -> list[str]:
    """The paths of ``tree`` that ``source`` names; "" is its root."""
    path = posixpath.normpath(posixpath.join("/", source)).lstrip("/")
    if not path:
        return [""]
    if re.search(r"[*?\[]", path):
        pattern = re.compile(_glob(path))
        return sorted(name for name in tree if pattern.fullmatch(name))
    return [path] if path in tree else []


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


_APPLY: dict[str, Callable[[Instruction, BuildStage, _Ground], None]] = {
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
