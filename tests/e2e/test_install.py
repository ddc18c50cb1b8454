"""`pipx install .` is enough: installed outside the checkout, the command starts a local stack and follows a push."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.test_laptop import CHECKOUT, SECONDS, Team, eventually, page

FUNCTIONS = CHECKOUT / "functions"


def test_what_ships_is_among_what_is_installed() -> None:
    """The functions' locked dependencies and the command's are one list, so the laptop runs what Lambda runs."""
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    functions = document["dependency-groups"]["functions"]
    assert functions == document["project"]["dependencies"][: len(functions)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installed_esteira_needs_no_checkout(tmp_path: Path) -> None:
    """In a fresh environment and an empty folder: `esteira local up`, the printed commands, and the model is live."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, CHECKOUT], check=True, cwd=tmp_path)
    esteira, model = str(tmp_path / "venv" / "bin" / "esteira"), tmp_path / "lungs"
    team = Team(model)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ESTEIRA_", "PYTHON"))}
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [esteira, "local", "up", "--engine", "process"], cwd=model, stdout=out, stderr=out, env=environment
        )
    try:
        assert eventually(lambda: "esteira status" in log.read_text(), bool), log.read_text()
        remote = re.search(r"git remote add esteira (\S+)", log.read_text())
        address = re.search(r"lungs: in.*it answers at (\S+)", log.read_text(), re.DOTALL)
        assert remote, log.read_text()
        assert address, log.read_text()
        team.push(remote[1], "installed")
        assert eventually(lambda: page(address[1]), "installed".__eq__) == "installed", log.read_text()
        status = subprocess.run(
            [esteira, "status"], cwd=model, capture_output=True, text=True, check=False, env=environment
        )
        assert "v1" in status.stdout, status.stderr
        assert not (FUNCTIONS.parent / "console" / "project").exists()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0, log.read_text()
