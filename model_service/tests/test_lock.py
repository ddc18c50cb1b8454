"""What the build and the image install is pinned by version and hash."""

from __future__ import annotations

import re

import pytest
from conftest import HERE


@pytest.mark.parametrize("name", ["requirements", "requirements-build"])
def test_every_package_is_locked_with_its_hash(name: str) -> None:
    """A package that was added to the ranges but not to the lock would fail the build with --require-hashes."""
    wanted = re.findall(r"^([a-z0-9_-]+)>=", (HERE / f"{name}.txt").read_text(encoding="utf-8"), re.MULTILINE)
    locked = re.split(r"\n(?=\S)", (HERE / f"{name}.lock").read_text(encoding="utf-8").strip())
    assert {one.replace("_", "-") for one in wanted} <= {entry.partition("==")[0] for entry in locked}
    for entry in locked:
        assert re.match(r"[a-z0-9.-]+==\S+( ; .+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\\n)?)+$", entry), entry


@pytest.mark.parametrize(("file", "lock"), [("Dockerfile", "requirements"), ("buildspec.yml", "requirements-build")])
def test_the_hashes_are_asked_for(file: str, lock: str) -> None:
    """Each pip install names the lock and demands its hashes."""
    [install] = re.findall(r"\bpip .*\binstall --.*", (HERE / file).read_text(encoding="utf-8"))
    assert f"--require-hashes -r {lock}.lock" in install
