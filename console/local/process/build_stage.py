"""A stage of a Dockerfile as far as it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from console.local.process.dockerfile_text import Instruction
from console.local.process.dockerfile_words import expanded
from console.local.process.oci import Entry, ImageConfig
from console.local.process.packages import Packages

# The end of a sentence about what only an engine does.
ENGINE = (
    "start a Docker engine and type esteira local up --engine docker, or let a buildspec.yml do it before docker build."
)
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's, for an image that sets none


@dataclass
class BuildStage:
    """A stage as far as it is built. ``tree`` is every path it holds, ``layers`` what each COPY added to it.

    What a RUN made besides is not in it.
    """

    base: str
    config: ImageConfig = field(default_factory=ImageConfig)
    args: dict[str, str] = field(default_factory=dict)
    tree: dict[str, Entry] = field(default_factory=dict)
    layers: list[dict[str, Entry]] = field(default_factory=list)
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    packages: tuple[str, ...] = ()  # the keys of the sets that RUN installed
    undone: tuple[Instruction, str] | None = None  # a RUN that was not done, and why
    installs: bool = False  # whether a RUN asked for packages, also where they were here
    own_cmd: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """What ``$NAME`` means here: ENV before ARG."""
        return {"PATH": _DEFAULT_PATH, **self.args, **self.config.env}

    def expand(self, found: Instruction, word: str) -> str:
        """A word of an instruction with the variables put in."""
        try:
            return expanded(word, self.variables, found.escape)
        except ValueError as error:
            found.refuse(str(error))


@dataclass(frozen=True)
class Ground:
    """What the instructions of a stage may use: the context, the arguments, the stages before it. ``say`` prints."""

    context: Mapping[str, Entry]
    args: Mapping[str, str]
    globals: Mapping[str, str]
    earlier: Callable[[str], BuildStage | None]
    say: Callable[[str], None]
    packages: Packages
    last: bool  # whether it is the stage that becomes the image
