"""samconfig.toml as the SAM CLI itself reads it."""

from __future__ import annotations

import json
import subprocess

import pytest

from console.local.paths import ROOT
from console.local.sam.sam_cli import TOOLS

pytestmark = pytest.mark.e2e

# Read by SAM's own code, in SAM's own environment: what it makes of each command's parameters.
PROGRAM = """
import json, sys
from samcli.lib.config.samconfig import SamConfig
from samcli.commands.deploy.command import cli as deploy
from samcli.commands.build.command import cli as build
told = {}
for env in ("default", "prod"):
    for name, command in (("deploy", deploy), ("build", build)):
        known = {parameter.name for parameter in command.params} | {"stack_name"}  # global: build passes it over
        given = dict(SamConfig(sys.argv[1]).get_all([name], "parameters", env))
        told[f"{env}.{name}"] = {"given": given, "unknown": sorted(set(given) - known)}
print(json.dumps(told))
"""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")


def test_sam_knows_every_word_of_samconfig_and_reads_two_stacks() -> None:
    """No key is a spelling SAM would pass over in silence, and each environment deploys a stack of its own."""
    came = subprocess.run(
        [str(TOOLS / "bin" / "python"), "-c", PROGRAM, str(ROOT)], capture_output=True, text=True, check=True
    )
    told = json.loads(came.stdout)
    assert {name: row["unknown"] for name, row in told.items() if row["unknown"]} == {}
    assert told["default.deploy"]["given"]["stack_name"] == "esteira"
    prod = told["prod.deploy"]["given"]
    assert prod["stack_name"] == "esteira-prod"
    assert (prod["confirm_changeset"], prod["fail_on_empty_changeset"]) == (True, False)
    assert "LogRetentionDays=90" in prod["parameter_overrides"]
    assert told["default.build"]["given"]["beta_features"] is True
