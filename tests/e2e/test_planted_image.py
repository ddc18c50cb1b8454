"""An attack on tags, all the way: the build of a commit that fails pushes its image under the tags of a commit and of
releases to come."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from console.local.up.laptop import Laptop
from esteira.core.facts import Accepted, BuildStarted, about_release
from esteira.fact import Fact
from esteira.store import Store
from tests.e2e.test_laptop import APP, BUILDSPEC, DOCKERFILE, GIT, children, eventually, page, phases

pytestmark = pytest.mark.e2e

PLANTED = ("git-{innocent}", "esteira-v2", "esteira-v3", "esteira-v7777777")


def attack(innocent: str) -> str:
    """A buildspec that pushes its image under tags that are not its own, and then fails."""
    tags = [tag.format(innocent=innocent) for tag in PLANTED]
    pushes = "".join(
        f'      - docker build -t "$IMAGE_URI:{tag}" .\n      - docker push "$IMAGE_URI:{tag}"\n' for tag in tags
    )
    return f"version: 0.2\nphases:\n  build:\n    commands:\n{pushes}      - exit 1\n"


def committed(folder: Path, branch: str, said: str, buildspec: str) -> str:
    """Commit a model that says so, on a branch of its own; the commit."""

    def git(*words: str) -> str:
        return subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("checkout", "--quiet", "--orphan", branch)
    files = {"Dockerfile": DOCKERFILE, "app.py": APP.format(said=said), "buildspec.yml": buildspec}
    for name, text in files.items():
        (folder / name).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", said)
    return git("rev-parse", "HEAD")


def push(folder: Path, branch: str, remote: str) -> None:
    words = ("push", "--quiet", "--force", remote, f"{branch}:main")
    subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)


def facts(laptop: Laptop, number: int) -> tuple[Fact, ...]:
    return Store(laptop.client("dynamodb"), laptop.table).facts("heart", about_release(number))


def test_a_planted_image_neither_goes_live_nor_blocks_a_release(tmp_path: Path) -> None:
    """The next commit is built although an image bears its name, and goes live although its label is taken."""
    clone, before = tmp_path / "clone", children()
    clone.mkdir()
    innocent = committed(clone, "innocent", "innocent", BUILDSPEC)
    committed(clone, "attack", "planted", attack(innocent))
    with Laptop(tmp_path / "state", sweep_every=2) as laptop:
        remote, url = laptop.whereabouts.remotes["heart"], laptop.whereabouts.pages["heart"]
        push(clone, "attack", remote)
        assert eventually(lambda: phases(laptop), ["failed"].__eq__) == ["failed"]
        pages = laptop.client("ecr").get_paginator("list_images").paginate(repositoryName="heart")
        planted = {row["imageTag"]: row["imageDigest"] for listed in pages for row in listed["imageIds"]}
        assert set(planted) == {tag.format(innocent=innocent) for tag in PLANTED}

        push(clone, "innocent", remote)
        assert eventually(lambda: phases(laptop), ["failed", "live"].__eq__) == ["failed", "live"]
        assert page(url) == "innocent"
        (accepted,) = [f for f in facts(laptop, 2) if isinstance(f, Accepted)]
        assert not accepted.reused
        assert accepted.digest not in planted.values()
        assert accepted.note.startswith("tag esteira-v2 is frozen on another image")
        assert len([f for f in facts(laptop, 2) if isinstance(f, BuildStarted)]) == 1
    assert children() == before
