"""What a repository is, and the files that it lacks. Nothing that exists is ever written over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from console.init import mlflow_model, python_app, r_app
from console.init.recognized import Recognized, UnknownKindError, text_of
from console.local.process.docker_images import DockerError, Images
from console.local.process.dockerfile import Recipe
from console.local.process.dockerfile_text import instructions
from console.local.process.packages import Packages
from console.local.process.port_of import ContainerPort
from settings.file import FILE
from settings.model import ReleaseSettings

KINDS = (mlflow_model.look, python_app.look, r_app.look)


@dataclass(frozen=True)
class Proposal:
    """What was found, and the files to be written: their texts by name."""

    found: Recognized
    files: dict[str, str]


def propose(folder: Path) -> Proposal:
    """What to write into a repository. Raises UnknownKindError where there is neither a Dockerfile nor a known app."""
    own = folder / "Dockerfile"
    found = _own(own) if own.is_file() else next(filter(None, (look(folder) for look in KINDS)), None)
    if found is None:
        raise UnknownKindError(
            f"{folder} has no Dockerfile, no Flask, FastAPI, Streamlit or Gradio app, no app.R or plumber API, and no "
            "MLmodel. Next: write a Dockerfile that starts your model, then: esteira init"
        )
    files = {FILE: settings_text(found), "Dockerfile": found.dockerfile}
    return Proposal(found, {name: text for name, text in files.items() if text and not (folder / name).exists()})


def _own(dockerfile: Path) -> Recognized:
    """A repository with its own Dockerfile. Raises UnknownKindError where Docker would refuse it."""
    try:
        port = _exposed(text_of(dockerfile))
    except DockerError as error:
        raise UnknownKindError(f"{error} Next: mend the Dockerfile, then: esteira init") from None
    seen = f"Dockerfile, which exposes port {port}" if port else "Dockerfile, which exposes no port"
    return Recognized("repository with a Dockerfile", seen, port, "", "")


def _exposed(dockerfile: str) -> int:
    """The port that a host takes of the image, 0 where it exposes none. What a base image exposes is not known here."""
    read = [one for one in instructions(dockerfile) if one.word in ("FROM", "ARG", "ENV", "EXPOSE")]
    lines = {one.line: f"{one.word} {one.text}" for one in read}
    text = "\n".join(lines.get(number, "") for number in range(1, max(lines, default=0) + 1))
    with TemporaryDirectory() as name:
        images = Images(Path(name))
        stage = Recipe(text, {}, images, Packages.beside(images.registry)).stage()
    return ContainerPort.of(0, stage.config).number


def settings_text(found: Recognized) -> str:
    """An ``esteira.yaml`` with what was found; every other setting is there as a comment."""
    known = {"port": found.port or None, "health": found.health or None}
    lines = ["# What esteira needs to know to release this repository. Every setting may be left out."]
    for name, field in ReleaseSettings.model_fields.items():
        value = known.get(name)
        lines += ["", f"# {field.description}"]
        lines.append(f"{name}: {value}" if value is not None else f"# {name}:")
    return "\n".join(lines) + "\n"


def write(folder: Path, proposal: Proposal) -> None:
    """Write the files. A file that came into being meanwhile is left alone, and FileExistsError is raised."""
    for name, text in proposal.files.items():
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
