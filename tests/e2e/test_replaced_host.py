"""A host is replaced under load: the new one gets the live release from CodeDeploy, takes the address, and only then
the old one goes. Real processes, real git, real requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.local.up.laptop import Laptop
from console.local.up.load import Load
from esteira.core.facts import HostLaunched, about_stage
from esteira.store import Store
from tests.e2e.test_laptop import APP, Team, eventually, page, phases

pytestmark = pytest.mark.slow

ANSWERS_ALL = APP.replace("    def log_message", "    do_POST = do_GET\n\n    def log_message")


def esteira(state: Path, *typed: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(main, [*typed, "--state", str(state)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def launches(laptop: Laptop) -> list[str]:
    """Of each host that came new, why it could not run what is live."""
    facts = Store(laptop.client("dynamodb"), laptop.table).facts("heart", about_stage("production"), "launch#")
    return [fact.why for fact in facts if isinstance(fact, HostLaunched)]


def test_a_host_is_replaced_under_load_and_no_request_fails(tmp_path: Path) -> None:
    """By clients that keep their connection and by those that do not. The new host is there after a restart."""
    state = tmp_path / "state"
    with Laptop(state, sweep_every=2) as laptop:
        where = laptop.whereabouts
        Team(tmp_path / "clone").push(where.remotes["heart"], "one", ANSWERS_ALL)
        assert eventually(lambda: phases(laptop), ["live"].__eq__) == ["live"]
        before = esteira(state, "hosts")
        with Load(where.pages["heart"]) as load:
            old = before.split()[1]
            assert "is being replaced" in esteira(state, "hosts", "replace", old, "--reason", "patches")
            assert eventually(lambda: old in esteira(state, "hosts"), False.__eq__) is False
            assert eventually(lambda: "v1: well" in esteira(state, "hosts"), True.__eq__)
        assert (load.tally.failed, load.tally.errors) == (0, [])
        assert load.tally.sent > 0
        assert eventually(lambda: launches(laptop), [""].__eq__) == [""]
    with Laptop(state) as laptop:
        assert laptop.whereabouts.pages["heart"] == where.pages["heart"]
        assert eventually(lambda: page(laptop.whereabouts.pages["heart"]), "one".__eq__) == "one"
        after = esteira(state, "hosts").splitlines()
        assert (len(after), old in after[0]) == (1, False)
        assert CliRunner().invoke(main, ["hosts", "--stage", "moon", "--state", str(state)]).exit_code == 2
