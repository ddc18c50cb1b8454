"""Begins a repository for another model: a copy of this one with other data, model.toml and words.toml.

    python new.py --data flats.csv --target rent --name rents DIR
    python new.py --like ../examples/rents DIR

The first form describes the table in DIR/model.toml and makes DIR/words.toml; what it cannot know is marked TODO, and
``python train.py`` stops at each such line until it is written. The second form takes the three from a folder.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
OWN = (
    "data",
    "models",
    "model.toml",
    "words.toml",
    "README.md",
    "README.pt.md",
    "new.py",
    "drafting.py",
)  # of the heart model
CACHES = ("__pycache__", ".*_cache", ".cache", ".venv", ".git")


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description="Begin a repository for another model.")
    options.add_argument("folder", type=Path, metavar="DIR", help="where it goes; it must not exist")
    options.add_argument("--like", type=Path, metavar="FOLDER", help="a folder with data/, model.toml and words.toml")
    options.add_argument("--data", type=Path, metavar="FILE", help="your table: a CSV with a header line")
    options.add_argument("--target", help="the column to predict")
    options.add_argument("--name", help="the model's name: one word")
    chosen = options.parse_args()
    if chosen.folder.exists():
        sys.exit(f"new.py: {chosen.folder} is there already. Name a folder that is not")
    if chosen.like:
        begin(chosen.folder, chosen.like)
    elif chosen.data and chosen.target and chosen.name:
        from drafting import UndescribableTable, drafted

        try:
            settings, words, data = drafted(chosen.data, chosen.target, chosen.name)
        except UndescribableTable as error:
            sys.exit(f"new.py: {error}")
        copied(chosen.folder)
        written(chosen.folder, settings, words, data, chosen.name)
    else:
        sys.exit("new.py: what should it be about? Type --data FILE --target COLUMN --name NAME, or --like FOLDER")
    print(f"new.py: {chosen.folder} is ready. Next: cd {chosen.folder}, write what says TODO, and type python train.py")


def begin(folder: Path, like: Path) -> None:
    """Copy this repository to ``folder``, with the data, model.toml and words.toml of another one."""
    copied(folder)
    shutil.copytree(like, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*CACHES))
    introduced(folder, like.resolve().name)
    exported(folder)


def copied(folder: Path) -> None:
    """Copy what is not about the heart model."""

    def left_out(path: str, names: list[str]) -> set[str]:
        own = set(OWN) if Path(path) == HERE else set()
        return (own & set(names)) | shutil.ignore_patterns(*CACHES)(path, names)

    shutil.copytree(HERE, folder, ignore=left_out)


def written(folder: Path, settings: str, words: str, data: bytes, name: str) -> None:
    """Write the files of the new model."""
    (folder / "data/raw").mkdir(parents=True)
    (folder / f"data/raw/{name}.csv").write_bytes(data)
    (folder / "model.toml").write_text(settings, encoding="utf-8")
    (folder / "words.toml").write_text(words, encoding="utf-8")
    (folder / "data/README.md").write_text(
        f"TODO: where `raw/{name}.csv` comes from, and its licence.\n", encoding="utf-8"
    )
    introduced(folder, name)
    exported(folder)


def introduced(folder: Path, name: str) -> None:
    """Write a short README."""
    text = (
        f"# {name}\n\n`python train.py` trains the model, `git push` releases it. Its data: [data](data/README.md).\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def exported(folder: Path) -> None:
    """Let buildspec.yml export the figures of the model's task."""
    from serving.card import FIGURES
    from training.settings import read_settings

    names = [name.upper() for name in FIGURES[read_settings(folder / "model.toml").model.task]] + ["MODEL_SHA256"]
    path = folder / "buildspec.yml"
    text = path.read_text(encoding="utf-8")
    lines = "".join(f"    - {name}\n" for name in names)
    text = re.sub(r"(exported-variables:.*\n)(    - \w+\n)+", lambda found: found[1] + lines, text)
    text = re.sub(r"for name in [A-Z0-9_ ]+;", f"for name in {' '.join(names)};", text)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
