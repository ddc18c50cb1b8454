"""`esteira logs` of a service on AWS: what its containers wrote, from the log group of its hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from console.local.aws.api import AwsError
from console.local.aws.faults import Faults
from console.local.aws.strict.lists import Lists
from console.read.remote import Controller
from console.read.session import Shell
from console.read.where import Where
from tests.integration.operated import Operated, operated, service
from tests.world.door import Client
from tests.world.story import ACCESS_KEY_ID

pytestmark = pytest.mark.integration


class HostLogs:
    """The log group of a service's hosts: Docker's lines, as the agent sends them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, at: datetime, tag: str, says: str) -> dict[str, Any]:
        """A line of a container."""
        row = {
            "log": f"{says}\n",
            "stream": "stdout",
            "attrs": {"tag": tag},
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.123456789Z",
        }
        event = {"eventId": str(len(self.events)), "timestamp": int(at.timestamp() * 1000), "message": json.dumps(row)}
        return event | {"logStreamName": "containers/i-1_var_lib_docker"}

    def filter_log_events(self, params: Any) -> dict[str, Any]:
        """FilterLogEvents, of one pattern: a field that equals a text."""
        if params["logGroupName"] != "/esteira/hosts/heart":
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        wanted = re.fullmatch(r'\{ \$\.attrs\.tag = "([a-z0-9/-]+)" \}', params["filterPattern"])
        assert wanted
        rows = [e for e in self.events if f'"tag": "{wanted[1]}"' in e["message"]]
        return {"events": [e for e in rows if e["timestamp"] >= params["startTime"]], "searchedLogStreams": []}


class OnAws:
    """An operator of the service on AWS, whose hosts write logs."""

    def __init__(self, world: Operated) -> None:
        self.world, self.logs = world, HostLogs()
        client = world.client
        logs = Client("logs", self.logs, Faults(), Lists())
        world.client = lambda name: logs if name == "logs" else client(name)

    def says(self, tag: str, *lines: str, minutes: int = 1) -> None:
        """Let a container have written lines, a second apart, so many minutes ago."""
        for second, line in enumerate(lines):
            at = self.world.now - timedelta(minutes=minutes) + timedelta(seconds=second)
            self.logs.events.append(self.logs.write(at, tag, line))

    def run(self, *typed: str, sleep: Any = lambda _: None) -> Result:
        """What the command line answers."""
        world = self.world

        def connect(where: Where) -> Controller:
            return Controller(replace(where, state=None), world.client, world.operate)

        return world.run("logs", *typed, shell=Shell(connect, lambda: world.now, sleep))


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnAws]:
    with operated(tmp_path, monkeypatch, service()) as world:
        world.tell()
        yield OnAws(world)


def test_the_live_container_s_lines_are_told_in_order_of_time_and_masked(aws: OnAws) -> None:
    """From all pages, of this stage and release alone, as a terminal can show them."""
    aws.says("heart/production/v2", "one", "two \x1b[31mred\x1b[0m", f"key {ACCESS_KEY_ID}", "four", "five\x07")
    aws.says("heart/production/v1", "the former one")
    aws.says("heart/staging/v2", "elsewhere")
    told = aws.run("heart")
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert (lines[0], lines[1], lines[3]) == ("one", "two red", "four")
    assert ACCESS_KEY_ID not in told.stdout
    assert "\x07" not in told.stdout
    assert len(lines) == 5


def test_another_release_s_log_and_an_earlier_one_are_asked_for(aws: OnAws) -> None:
    """Without a time it is the last hour's."""
    aws.says("heart/production/v1", "long ago", minutes=300)
    refused = aws.run("--release", "v1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "v1 wrote nothing on production since " in refused.stderr
    assert aws.run("--release", "v1", "--since", "6h").stdout == "long ago\n"


def test_to_follow_tells_each_line_once(aws: OnAws) -> None:
    """Also one that comes with the same time as the last one that was told."""
    aws.says("heart/production/v2", "first")
    rounds: list[float] = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 1:
            aws.says("heart/production/v2", "second")  # the same moment as the first
        if len(rounds) == 3:
            raise KeyboardInterrupt

    told = aws.run("--follow", sleep=sleep)
    assert told.stdout.splitlines()[:2] == ["first", "second"]
    assert told.stdout.count("first") == told.stdout.count("second") == 1


def test_a_stack_without_the_group_says_how_to_get_one(aws: OnAws) -> None:
    """A service that an earlier esteira made has none."""
    aws.world.register(service("lung"))
    told = aws.run("lung", "--release", "v1")
    assert told.exit_code == 2
    assert "there is no log group /esteira/hosts/lung" in told.stderr
    assert "Next: deploy service.yaml again" in told.stderr


def test_what_is_no_line_of_docker_s_is_passed_over(aws: OnAws) -> None:
    """Somebody may write into the group by hand."""
    at = aws.world.now - timedelta(minutes=1)
    odd = {"eventId": "x", "timestamp": int(at.timestamp() * 1000), "message": '"tag": "heart/production/v2" {'}
    aws.logs.events.append(odd | {"logStreamName": "by-hand"})
    aws.says("heart/production/v2", "a line")
    assert aws.run().stdout == "a line\n"
