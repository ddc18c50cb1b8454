"""A Dockerfile turned into an image, as far as that goes without an engine: its files packed, its settings kept.

In three steps: lines to instructions, words with their variables put in, instructions to a stage (paths, layers,
config). Of a ``RUN`` only what ``run`` knows is carried out; a Dockerfile that needs more is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from console.local.process.build_stage import BuildStage, Ground
from console.local.process.docker_images import DockerError, Images
from console.local.process.dockerfile_text import Instruction, instructions
from console.local.process.dockerfile_words import expanded
from console.local.process.oci import Entry
from console.local.process.packages import Packages
from console.local.process.run import apply_run
from console.local.process.stage_files import copy
from console.local.process.stage_settings import (
    apply_arg,
    apply_cmd,
    apply_entrypoint,
    apply_env,
    apply_expose,
    apply_healthcheck,
    apply_label,
    apply_maintainer,
    apply_onbuild,
    apply_shell,
    apply_stopsignal,
    apply_user,
    apply_volume,
    apply_workdir,
    declare,
)

MOST_STAGES = 100  # each takes from the one before, and is built within its build


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile and what ``docker build`` was given with it. ``say`` prints one plain line."""

    text: bytes | str
    context: Mapping[str, Entry]
    images: Images
    packages: Packages
    args: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print

    def stage(self, target: str = "") -> BuildStage:
        """The stage called ``target``, or the last, with the stages it takes from. Raises :class:`DockerError`."""
        read = instructions(self.text)
        starts = [index for index, found in enumerate(read) if found.word == "FROM"]
        if not starts:
            raise DockerError("The Dockerfile has no FROM; begin it with FROM and the name of a base image.")
        if len(starts) > MOST_STAGES:
            raise DockerError(
                f"The Dockerfile has {len(starts)} stages, and at most {MOST_STAGES} are read; join some."
            )
        for found in read[: starts[0]]:
            if found.word != "ARG":
                found.refuse("it stands before FROM; only ARG may.")
        building = _Building(self, read[: starts[0]])
        for begin, end in zip(starts, [*starts[1:], len(read)], strict=True):
            building.blocks.append(read[begin:end])
        building.wanted = building.named(target) if target else len(starts) - 1
        return building.number(building.wanted)


class _Building:
    """The stages of one Dockerfile, each built when first asked for, as BuildKit does."""

    def __init__(self, recipe: Recipe, before: Sequence[Instruction]) -> None:
        self.recipe = recipe
        self.blocks: list[list[Instruction]] = []
        self._done: dict[int, BuildStage] = {}
        self.wanted = 0
        self.globals: dict[str, str] = {}
        for found in before:
            declare(found, self.globals, recipe.args, self.globals)

    def index(self, name: str, below: int | None = None) -> int | None:
        """Which stage ``name`` (a name or a number) is, among those before ``below``; None for no stage."""
        for index, block in enumerate(self.blocks[:below]):
            parts = block[0].words
            if name == str(index) or (
                len(parts) > 2 and parts[-2].lower() == "as" and parts[-1].lower() == name.lower()
            ):
                return index
        return None

    def named(self, name: str) -> int:
        index = self.index(name)
        if index is None:
            raise DockerError(
                f"--target {name}: the Dockerfile has no stage of that name; name one of its FROM … AS NAME."
            )
        return index

    def number(self, index: int) -> BuildStage:
        if index not in self._done:
            first, *rest = self.blocks[index]
            stage = self._begin(first, index)
            ground = self._ground(index)
            for found in rest:
                _APPLY[found.word](found, stage, ground)
            self._done[index] = stage
        return self._done[index]

    def _ground(self, index: int) -> Ground:
        def earlier(name: str) -> BuildStage | None:
            found = self.index(name, index)
            return None if found is None else self.number(found)

        recipe = self.recipe
        last = index == self.wanted
        return Ground(recipe.context, recipe.args, self.globals, earlier, recipe.say, recipe.packages, last)

    def _begin(self, first: Instruction, index: int) -> BuildStage:
        if len(first.words) not in (1, 3) or (len(first.words) == 3 and first.words[1].lower() != "as"):
            first.refuse("it is written FROM IMAGE or FROM IMAGE AS NAME; a note stands in a line of its own.")
        try:
            parts = [expanded(word, self.globals, first.escape) for word in first.words]
        except ValueError as error:
            first.refuse(str(error))
        if not parts[0]:
            first.refuse("the image's name is empty; give the ARG in it a default before FROM.")
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


_APPLY: dict[str, Callable[[Instruction, BuildStage, Ground], None]] = {
    "ADD": copy,
    "ARG": apply_arg,
    "CMD": apply_cmd,
    "COPY": copy,
    "ENTRYPOINT": apply_entrypoint,
    "ENV": apply_env,
    "EXPOSE": apply_expose,
    "HEALTHCHECK": apply_healthcheck,
    "LABEL": apply_label,
    "MAINTAINER": apply_maintainer,
    "ONBUILD": apply_onbuild,
    "RUN": apply_run,
    "SHELL": apply_shell,
    "STOPSIGNAL": apply_stopsignal,
    "USER": apply_user,
    "VOLUME": apply_volume,
    "WORKDIR": apply_workdir,
}
