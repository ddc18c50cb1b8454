"""The workflows of examples/github: the commands in them are run as GitHub's runner runs them, with real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / "examples" / "github"
ADDRESS = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/heart"


def workflow(name: str) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load((GITHUB / name).read_text(encoding="utf-8"))
    return document


def commands(name: str) -> str:
    """The last step's script, which GitHub runs with ``bash -e``."""
    [job] = workflow(name)["jobs"].values()
    script: str = job["steps"][-1]["run"]
    return script


def git(where: Path, *words: str) -> str:
    env = {**os.environ, "GIT_AUTHOR_NAME": "ana", "GIT_AUTHOR_EMAIL": "ana@x", "GIT_COMMITTER_NAME": "ana"}
    env |= {"GIT_COMMITTER_EMAIL": "ana@x", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(["git", *words], cwd=where, env=env, check=True, capture_output=True, text=True).stdout


def commit(where: Path, text: str) -> str:
    (where / "model.txt").write_text(text)
    git(where, "add", ".")
    git(where, "commit", "--message", text)
    return git(where, "rev-parse", "HEAD").strip()


@pytest.fixture
def codecommit(tmp_path: Path) -> Path:
    """An empty repository in CodeCommit's place."""
    git(tmp_path, "init", "--quiet", "--bare", "codecommit")
    return tmp_path / "codecommit"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What actions/checkout leaves: a repository at the pushed commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "checkout")
    return tmp_path / "checkout"


def run(name: str, checkout: Path, codecommit: Path) -> subprocess.CompletedProcess[str]:
    """Run a workflow's script; git is led from CodeCommit's address to the repository in its place."""
    env = {**os.environ, "AWS_REGION": "eu-west-1", "REPOSITORY": "heart", "BRANCH": "main"}
    env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{codecommit}.insteadOf", "GIT_CONFIG_VALUE_0": ADDRESS}
    return subprocess.run(
        ["bash", "-e", "-c", commands(name)], cwd=checkout, env=env, check=False, capture_output=True, text=True
    )


def test_a_push_to_github_comes_to_codecommit(checkout: Path, codecommit: Path) -> None:
    """The mirror's branch has the commit of the checkout, with its history."""
    commit(checkout, "one")
    pushed = commit(checkout, "two")
    done = run("mirror.yml", checkout, codecommit)
    assert done.returncode == 0, done.stderr
    assert git(codecommit, "rev-list", "main").split()[0] == pushed
    assert len(git(codecommit, "rev-list", "main").split()) == 2


def test_the_mirror_overwrites_nothing(checkout: Path, codecommit: Path) -> None:
    """Where the branch moved on in CodeCommit, the job fails and the commit there stays."""
    commit(checkout, "one")
    assert run("mirror.yml", checkout, codecommit).returncode == 0
    git(checkout, "clone", "--quiet", "--branch", "main", str(codecommit), "../other")
    theirs = commit(checkout.parent / "other", "pushed straight to CodeCommit")
    git(checkout.parent / "other", "push", "--quiet", "origin", "HEAD:main")
    commit(checkout, "two")
    done = run("mirror.yml", checkout, codecommit)
    assert done.returncode != 0
    assert "rejected" in done.stderr
    assert git(codecommit, "rev-parse", "main").strip() == theirs


@pytest.mark.parametrize("name", ["mirror.yml", "image.yml"])
def test_a_workflow_has_no_secret_and_only_the_rights_it_needs(name: str) -> None:
    """AWS knows the job by GitHub's token, and the job may read the repository and nothing else on GitHub."""
    text = (GITHUB / name).read_text(encoding="utf-8")
    assert "secrets." not in text
    assert workflow(name)["permissions"] == {"contents": "read", "id-token": "write"}
    assert "${{" not in commands(name), "a value of GitHub's in a script could be a command: give it by env"


def test_the_image_goes_to_the_registry_under_its_git_tag(checkout: Path, tmp_path: Path) -> None:
    """The login gets the password from standard input, and the pushed name is the registry's address with the tag."""
    tools = tmp_path / "bin"
    tools.mkdir()
    log = tmp_path / "log"
    for tool, answer in (("aws", "echo a-password"), ("docker", 'if [ "$1" = login ]; then cat >/dev/null; fi')):
        (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{log}\n{answer}\n')
        (tools / tool).chmod(0o755)
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/heart"
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "IMAGE": image, "TAG": "v1.2.0"}
    subprocess.run(["bash", "-e", "-c", commands("image.yml")], cwd=checkout, env=env, check=True, timeout=60)
    asked = log.read_text().splitlines()
    assert f"docker push {image}:v1.2.0" in asked
    assert f"docker build --tag {image}:v1.2.0 ." in asked
    assert "docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com" in asked
    assert not any("a-password" in line for line in asked)
