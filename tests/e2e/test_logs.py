"""A build that fails says what its command said, and `esteira logs` shows builds and containers. Real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.local.up.laptop import Laptop
from tests.e2e.test_laptop import Team, esteira, eventually, phases, views

FAILING = """
version: 0.2
phases:
  build:
    commands:
      - echo compiling
      - echo 'model.c:7 has no semicolon' >&2; false
  post_build:
    commands:
      - echo cleaning up
"""


@pytest.mark.slow
def test_the_compilers_line_is_told_and_every_log_can_be_read(tmp_path: Path) -> None:
    """The cause of the failed build has the failed command's own words, for the comment as for `why`; its whole log,
    and that of a container, are read by one command each."""
    clone = tmp_path / "clone"
    team = Team(clone)
    with Laptop(tmp_path / ".esteira", sweep_every=2) as laptop:
        remote = laptop.whereabouts.remotes["heart"]
        good = (clone / "buildspec.yml").read_text()
        (clone / "buildspec.yml").write_text(FAILING)
        team.push(remote, "one")
        assert eventually(lambda: phases(laptop), ["failed"].__eq__) == ["failed"]
        assert views(laptop)[0].detail == ("model.c:7 has no semicolon",)
        assert "    │ model.c:7 has no semicolon" in esteira(clone, "why", "v1").stdout
        build = esteira(clone, "logs", "--build").stdout
        assert [word in build for word in ("compiling", "model.c:7 has no semicolon", "cleaning up")] == [True] * 3
        refused = esteira(clone, "logs")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "no container of heart is on production" in refused.stderr

        (clone / "buildspec.yml").write_text(good)
        team.push(remote, "two")
        assert eventually(lambda: phases(laptop), ["failed", "live"].__eq__) == ["failed", "live"]
        followed = esteira(clone, "logs", "heart", "--build", "--release", "v2", "--follow", "--json").stdout
        lines = [json.loads(line) for line in followed.splitlines()]
        assert any("Phase complete: BUILD State: SUCCEEDED" in line["says"] for line in lines)
        assert esteira(clone, "logs", "--build", "--release", "v9").returncode == 2
        newest = json.loads(esteira(clone, "status", "--json").stdout)["services"][0]["newest"]
        assert (newest["subject"], newest["author"]) == ("two", "t")
        container = esteira(clone, "logs")
        assert (container.returncode, container.stdout) == (0, "the model listens\n")
