"""``make start-lambda`` and ``esteira --endpoint lambda=URL``: an operator's word to ``operate`` in its container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.local.paths import ROOT
from console.local.ports import free_port, is_open
from console.local.sam.invoke import fresh, image
from console.local.sam.sam_cli import TOOLS
from tests.sam.chapters import beginning
from tests.sam.world import EVENTS, World, leave_note, template, world

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", autouse=True)
def built() -> Path:
    """A build for this machine; skips, with what to type, where the SAM CLI or the runtime's image is missing."""
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")
    there = ["docker", "image", "inspect", image(template())]
    if not shutil.which("docker") or subprocess.run(there, capture_output=True, check=False).returncode:
        pytest.skip(f"there is no image {image(template())}. Next: docker pull {image(template())}")
    return fresh(template())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """A world with a push in it, whose note says that it is the local stack of the state folder."""
    with world(tmp_path / "aws", beginning()) as here:
        here.before("codecommit_created")
        leave_note(tmp_path, here.url)
        yield here


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a person has who stands in that state folder's place."""
    taken = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA")
    mine = {name: value for name, value in os.environ.items() if name not in taken}
    return {**mine, "ESTEIRA_STATE": str(tmp_path), "ESTEIRA_BY": "ana", "COLUMNS": "400"}


@contextmanager
def served(environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """What ``make start-lambda`` runs, once it serves; it is ended as Ctrl-C would."""
    command = [sys.executable, "-m", "console.local.sam.start_lambda", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert f"4 functions of esteira are at http://127.0.0.1:{port}" in first, process.stderr
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def found(folder: Path) -> tuple[str, list[str]]:
    """The door whose socket is in the folder, "" for none, and the containers on its network, itself too."""
    listed = ["docker", "ps", "--all", "--no-trunc", "--filter", "name=esteira-door-"]
    rows = subprocess.run(
        [*listed, "--format", "{{.Names}} {{.Mounts}}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    door = next((row.split()[0] for row in rows if str(folder) in row), "")
    return door, on(door) if door else []


def on(network: str) -> list[str]:
    """The containers on a network; none where there is no such network."""
    on_it = ["docker", "ps", "--all", "--quiet", "--filter", f"network={network}"]
    return subprocess.run(on_it, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.timeout(300)
def test_an_operators_word_reaches_its_function_in_its_container(
    here: World, environment: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Held and resumed by the command line; a mistake and a failure are told as what they are; nothing is left."""
    port = free_port()
    there = ("--endpoint", f"lambda=http://127.0.0.1:{port}")

    def esteira(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "console.cli.main", *words, *there]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    sockets = tmp_path_factory.mktemp("t")  # by this its door is told from others'
    with served({**environment, "TMPDIR": str(sockets)}, port) as process:
        said = esteira("hold", "--reason", "the auditors are here", "--for", "2h")
        assert said.returncode == 0, said.stderr  # which names the target
        assert "the auditors are here" in here.state()
        assert "the auditors are here" in esteira("status").stdout
        door, containers = found(sockets)
        assert len(containers) == 2  # the door itself, and operate, which is kept warm

        said = esteira("resume")
        assert said.returncode == 0, said.stderr  # which names the target
        assert "the auditors are here" not in esteira("status").stdout

        said = esteira("abort", "v7", "--reason", "no such release")
        assert said.returncode == 2
        assert "v7" in said.stderr

        malformed = tmp_path / "operate_malformed.json"
        request = json.loads((EVENTS / "operate_hold.json").read_text())
        malformed.write_text(json.dumps({**request, "minutes": "many"}))
        said = esteira("replay", str(malformed))
        assert said.returncode == 2
        assert "minutes" in said.stdout

        failing = tmp_path / "codebuild_malformed.json"
        event = json.loads((EVENTS / "codebuild_succeeded.json").read_text())
        event["detail"]["build-id"] = 7
        failing.write_text(json.dumps(event))
        said = esteira("replay", str(failing))
        assert said.returncode == 1
        assert "Refused" in said.stdout
        assert len(on(door)) == 3  # and intake
    assert process.returncode == 0
    assert not is_open(port)
    assert found(sockets) == ("", [])
    networks = ["docker", "network", "ls", "--format", "{{.Name}}"]
    assert door not in subprocess.run(networks, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.timeout(120)
def test_a_port_that_is_taken_and_functions_that_are_nowhere_are_said_with_what_to_type(
    here: World, environment: dict[str, str]
) -> None:
    """Neither a second start nor a forgotten first one is a riddle."""
    port = int(here.url.rpartition(":")[2])
    command = [sys.executable, "-m", "console.local.sam.start_lambda", "--port", str(port)]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    assert f"port {port} already. Next: make start-lambda PORT=" in said.stderr

    nowhere = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "console.cli.main", "hold", "--reason", "x", "--endpoint", f"lambda={nowhere}"]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert f"nothing at {nowhere} runs the functions" in said.stderr
    assert "Next: make start-lambda" in said.stderr
