"""The address that a host takes when its release answers: the hook's script, run between stand-ins for curl and aws."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_user_data import HOOKS

pytestmark = pytest.mark.unit

CURL = """#!/bin/bash
case "$*" in
    *api/token) echo token ;;
    *"token: token"*instance-id) echo i-1 ;;
    *"token: token"*placement/region) echo eu-west-1 ;;
    *) exit 22 ;;
esac
"""
AWS = """#!/bin/bash
echo "$*" >>"$CALLS"
[[ -z $REFUSES ]] || { echo "An error occurred ($REFUSES)" >&2; exit 254; }
"""
HOOK = """set -euo pipefail
say() { printf '%s\\n' "$*"; }
fail() { say "failed: $1; next: $2"; exit 1; }
. "$HOOKS/address.sh"
take_address
"""


def taken(folder: Path, address: str | None, refuses: str = "") -> tuple[int, str, str]:
    """How the script ended, what it said, and what it asked of AWS."""
    for name, text in (("curl", CURL), ("aws", AWS)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    if address is not None:
        (folder / "address").write_text(address)
    calls = folder / "calls"
    calls.touch()
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOOKS": str(HOOKS), "CALLS": str(calls)}
    environment |= {"ESTEIRA_ADDRESS": str(folder / "address"), "REFUSES": refuses}
    came = subprocess.run(["bash", "-c", HOOK], env=environment, capture_output=True, text=True, check=False)
    return came.returncode, came.stdout, calls.read_text()


def test_a_host_takes_the_address_that_its_start_script_wrote_down(tmp_path: Path) -> None:
    """By its own id, which the metadata service tells."""
    status, said, asked = taken(tmp_path, "eipalloc-1\n")
    assert (status, said) == (0, "eipalloc-1 is at i-1\n")
    assert asked == (
        "ec2 associate-address --region eu-west-1 --allocation-id eipalloc-1 --instance-id i-1 --allow-reassociation\n"
    )


@pytest.mark.parametrize("address", [None, "\n"])
def test_where_there_is_no_address_nothing_is_asked(address: str | None, tmp_path: Path) -> None:
    """On staging, where nobody is let in, and on a host that was prepared by hand."""
    assert taken(tmp_path, address) == (0, "", "")


def test_an_address_that_does_not_move_fails_the_deployment_in_words(tmp_path: Path) -> None:
    """The host that has it goes on serving, so the new one must not count."""
    status, said, _ = taken(tmp_path, "eipalloc-1\n", refuses="UnauthorizedOperation")
    assert status == 1
    assert "the address eipalloc-1 did not move to i-1: An error occurred (UnauthorizedOperation)" in said
    assert "next: see that the host's role may do it" in said
