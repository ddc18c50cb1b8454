"""The hook that installs the watcher as a unit of systemd, run by bash with a systemctl that notes what it is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from console.local.paths import FUNCTIONS

HOOKS = FUNCTIONS / "host" / "hooks"
SCRIPT = """
set -euo pipefail
say() { printf '%s\\n' "$*"; }
under_systemd() { [[ $SYSTEMD == yes ]]; }
. "$HOOKS/watcher.sh"
install_watcher
"""


class Machine:
    """A host's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.units, self.lib = folder, folder / "units", folder / "lib"
        self.hooks = folder / "bundle" / "hooks"
        shutil.copytree(FUNCTIONS / "host", folder / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "bin").mkdir()
        self.units.mkdir()
        self._told = folder / "told"
        (folder / "bin" / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{self._told}\n')
        (folder / "bin" / "systemctl").chmod(0o755)

    def install(self, systemd: str = "yes") -> list[str]:
        """Run the hook's part; what systemctl was told."""
        self._told.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOOKS": str(self.hooks),
            "SERVICE": "heart",
            "SYSTEMD": systemd,
            "LIVE": "/etc/esteira-heart",
            "ACCESS_LOG": "/var/log/nginx/esteira-heart.log",
            "ESTEIRA_UNITS": str(self.units),
            "ESTEIRA_WATCHER_DIR": str(self.lib),
        }
        done = subprocess.run(["bash", "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return self._told.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_watcher_is_a_unit_that_starts_again_and_at_boot(machine: Machine) -> None:
    """It runs a copy of its own, since the agent takes old bundles away."""
    told = machine.install()
    unit = "esteira-watcher-heart.service"
    assert told == ["daemon-reload", f"enable --quiet {unit}", f"restart --no-block {unit}"]
    text = (machine.units / unit).read_text()
    assert "Restart=always" in text
    assert "-m watcher heart /etc/esteira-heart /var/log/nginx/esteira-heart.log\n" in text
    (where,) = re.findall(r"^WorkingDirectory=(.*)$", text, re.MULTILINE)
    shutil.rmtree(machine.folder / "bundle")
    loaded = subprocess.run(
        ["python3", "-B", "-c", "import watcher.__main__"], cwd=where, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    if shutil.which("systemd-analyze"):
        verify = ["systemd-analyze", "verify", "--man=no", str(machine.units / unit)]
        assert "heart" not in subprocess.run(verify, capture_output=True, text=True, check=False).stderr


def test_it_is_started_anew_only_where_it_is_another_one(machine: Machine) -> None:
    """What it has seen of the release before is what it compares the next one with."""
    machine.install()
    assert machine.install() == ["is-active --quiet esteira-watcher-heart.service"]
    with (machine.folder / "bundle" / "watcher" / "verdict.py").open("a") as file:
        file.write("# another version\n")
    assert "restart --no-block esteira-watcher-heart.service" in machine.install()
    assert "# another version" in (machine.lib / "heart" / "watcher" / "verdict.py").read_text()


def test_where_systemd_is_not_the_hosts_own_nothing_is_installed(machine: Machine) -> None:
    """The local engines start it themselves."""
    assert machine.install("no") == []
    assert not machine.lib.exists()
