"""The script that makes an Amazon Linux 2023 machine a host: sound bash, with all that the bundle's hooks call."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_templates import ROOT, _resources

pytestmark = pytest.mark.unit

HOOKS = ROOT / "functions" / "host" / "hooks"
# What the hooks ask for with `require`, by the package of Amazon Linux 2023 that has it. curl-minimal is always there.
PACKAGES = {
    "aws": "awscli-2",
    "curl": "",
    "docker": "docker",
    "flock": "util-linux",
    "iconv": "glibc-common",
    "nginx": "nginx",
    "python3": "python3",
    "setsid": "util-linux",
}


def script() -> str:
    """The user data as the machine gets it, CloudFormation's variables filled in."""
    (template,) = _resources("service.yaml", "AWS::EC2::LaunchTemplate").values()
    text: str = template["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    said = {"AWS::StackName": "heart", "AWS::Region": "eu-west-1", "AWS::URLSuffix": "amazonaws.com"}
    return re.sub(r"\$\{(AWS::\w+)\}", lambda found: said[found[1]], text)


def required() -> set[str]:
    """What the hooks refuse to run without."""
    lines = [line for path in HOOKS.glob("*.sh") for line in path.read_text().splitlines()]
    return {
        tool for line in lines if (found := re.match(r" *require ([a-z0-9 ]+)$", line)) for tool in found[1].split()
    }


def shellcheck(path: Path) -> str:
    """What shellcheck says about a file, "" if nothing."""
    program = Path(sys.executable).with_name("shellcheck")
    return subprocess.run([program, path], capture_output=True, text=True, check=False).stdout


def test_the_user_data_is_sound_bash(tmp_path: Path) -> None:
    """shellcheck has nothing to say about it, whatever CloudFormation fills in."""
    path = tmp_path / "user-data.sh"
    path.write_text(script())
    assert script().startswith("#!/bin/bash\n")
    assert shellcheck(path) == ""
    assert "${" not in script()


def test_all_that_the_hooks_call_is_installed() -> None:
    """Every tool a hook requires is in a package that the user data installs, or is always there."""
    (installed,) = re.findall(r"^dnf install -y (.*)$", script(), re.MULTILINE)
    assert required() == set(PACKAGES)
    assert set(PACKAGES.values()) - {""} <= set(installed.split())
    assert "ruby" in installed.split(), "CodeDeploy's agent is installed with it"


def test_a_restart_of_the_engine_leaves_the_model_running() -> None:
    """Docker's configuration is JSON and asks for live-restore, before the engine is started."""
    (configuration,) = re.findall(r"^echo '(.*)' >/etc/docker/daemon.json$", script(), re.MULTILINE)
    assert json.loads(configuration)["live-restore"] is True
    assert script().index("daemon.json") < script().index("systemctl enable --now docker")


def test_the_host_signals_how_its_setup_ended() -> None:
    """The first thing it does is to promise CloudFormation a word, so that a failure is no timeout."""
    commands = [line for line in script().splitlines() if line and not line.startswith("#")]
    assert commands[0].startswith("trap '/opt/aws/bin/cfn-signal --exit-code $? ")
    assert commands[0].endswith("' EXIT")
    assert commands[1] == "set -euxo pipefail"
