"""Every file of events/ to its function in its container, by ``sam local start-lambda``, beside the handler called; and
``sam local invoke`` as a person types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from console.local.paths import ROOT
from console.local.ports import free_port
from console.local.sam import invoke
from console.local.sam.invoke import Containers, fresh, image
from console.local.sam.sam_cli import TOOLS
from console.local.sam.start_lambda import Served
from console.read.remote import answered
from console.read.where import TroubleError
from tests.sam.chapters import CHAPTERS, STEPS, Told, beginning, handlers, name_of, play
from tests.sam.world import EVENTS, SECRET, client, leave_note, template, world

pytestmark = pytest.mark.docker

Story = dict[tuple[str, int], Told]


@pytest.fixture(scope="module")
def built() -> Path:
    """A build for this machine; skips, with what to type, where the SAM CLI or the runtime's image is missing."""
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")
    there = ["docker", "image", "inspect", image(template())]
    if not shutil.which("docker") or subprocess.run(there, capture_output=True, check=False).returncode:
        pytest.skip(f"there is no image {image(template())}. Next: docker pull {image(template())}")
    return fresh(template())


@pytest.fixture(scope="module")
def at() -> datetime:
    """When both stories begin."""
    return beginning()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, at: datetime) -> int:
    """A port that every world of this module takes in its rollout."""
    with world(tmp_path_factory.mktemp("probe"), at) as here:
        return int(here.url.rpartition(":")[2])


@pytest.fixture(scope="module")
def containers(built: Path, port: int) -> Iterator[Containers]:
    """The functions in their containers, with a door to the port."""
    with Containers(f"http://127.0.0.1:{port}", SECRET, template(), built) as running:
        yield running


@pytest.fixture(scope="module")
def in_containers(built: Path, port: int, at: datetime, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What came of each event that went to its function's container, as Lambda's own client sends it."""
    log = tmp_path_factory.mktemp("sam") / "start-lambda.log"
    with Served(f"http://127.0.0.1:{port}", SECRET, template(), free_port(), log, built) as served:
        functions = client(served.url, "lambda")

        def call(name: str, event: Any) -> Any:
            return json.load(functions.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"])

        return play(call, tmp_path_factory.mktemp("contained"), port, at)


@pytest.fixture(scope="module")
def directly(port: int, at: datetime, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What came of each event that went to the handler in this process."""
    with handlers(port) as functions:
        return play(lambda n, e: functions.call(n, e).payload, tmp_path_factory.mktemp("direct"), port, at)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", STEPS, ids=name_of)
def test_the_container_and_the_handler_answer_alike_and_leave_the_same_state(
    step: tuple[str, int], in_containers: Story, directly: Story
) -> None:
    """What is deployed is what the tests run; no file of events/ ends in an error."""
    assert in_containers[step].answers == directly[step].answers
    assert in_containers[step].state.splitlines() == directly[step].state.splitlines()
    unproven = CHAPTERS[step[0]][step[1]] == "operate_approve"  # a file cannot prove who approves
    assert not any("errorType" in answer for answer in in_containers[step].answers)
    assert any("refused" in answer for answer in in_containers[step].answers) == unproven


@pytest.mark.timeout(120)
def test_a_typed_invoke_sends_a_file_to_its_function_and_prints_what_it_answered(
    built: Path, port: int, at: datetime, tmp_path: Path
) -> None:
    """What the README says to type, against a stack that left its note; an event no rule takes wakes nobody."""
    with world(tmp_path / "aws", at, port) as here:
        here.before("codecommit_created")
        leave_note(tmp_path, here.url)
        files = [str(EVENTS / f"{name}.json") for name in ("codecommit_created", "codebuild_phase_change")]
        variables = {**os.environ, "ESTEIRA_STATE": str(tmp_path), "COLUMNS": "400"}
        variables.pop("AWS_ENDPOINT_URL", None)
        command = [sys.executable, "-m", "console.local.sam.invoke", *files]
        came = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert (came.returncode, came.stderr) == (0, "")
        assert "v1" in came.stdout
        assert "building" in came.stdout
        assert "no rule of template.yaml matches it" in came.stdout
        assert "IN_PROGRESS" in here.state()


@pytest.mark.timeout(60)
def test_an_error_of_the_function_is_told_though_sam_ends_well(
    containers: Containers, port: int, at: datetime, tmp_path: Path
) -> None:
    """SAM's exit status is 0 whatever the function did; the answer says that it failed, and of what."""
    with world(tmp_path, at, port):
        event: dict[str, Any] = json.loads((EVENTS / "ecr_push_release_tag.json").read_text())
        del event["detail"]["image-digest"]
        came = containers.invoke("esteira-intake", event)
    assert came.error.startswith("Refused: ")
    assert "is refused" in came.error


def test_nothing_is_left_of_the_door(built: Path, port: int) -> None:
    """Neither the container that passes calls on nor its network outlives the invocations."""
    with Containers(f"http://127.0.0.1:{port}", SECRET, template(), built) as running:
        name = running._door.arguments[-1]
    for command in (["docker", "container", "ls", "--all"], ["docker", "network", "ls"]):
        assert name not in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_timeout_is_an_error_in_sams_own_words() -> None:
    """What is no JSON is no answer."""
    assert answered("Task timed out after 60.00 seconds").error == "Task timed out after 60.00 seconds"


def test_without_a_running_stack_nothing_is_invoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event meant for the laptop must not reach AWS."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(TroubleError, match="Next: esteira local up"):
        invoke.running(tmp_path)
