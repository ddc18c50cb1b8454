"""The model service's image, built by a real engine with the buildspec's own command, and run as a careful host would.

Read-only, without capabilities, as a user the image does not know, in a network that leads nowhere.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from console.local.build.buildspec import parse

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "model_service"
GOLDEN = ROOT / "functions" / "host" / "hooks" / "golden.py"
BASE = "python:3.13-slim"
PORT = 8080
PATIENT = {"age": 63, "sex": 1, "cp": 4, "thal": 7}
BUILD = {
    "IMAGE_TAG": "git-0123abc",
    "ESTEIRA_RELEASE": "v17",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123abc",
    "CODEBUILD_SOURCE_REPO_URL": "codecommit::eu-west-1://heart",
}
CAREFUL = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
ANYBODY = ("--user", "54321:54321")


def missing() -> str:
    """Return "" where these tests can run, or the reason why not and what to do."""
    if not shutil.which("docker"):
        return "docker is not installed: apt-get install docker.io"
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "no Docker engine answers: start one (dockerd) and run again"
    if subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode:
        return f"the engine has no {BASE}: docker pull {BASE}"
    return ""


pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(reason := missing()), reason=reason or "an engine answers")]


def run(*command: str) -> str:
    """Run a command to its end and return its standard output; an error names what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until something holds; a minute without it fails the test."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def built(source: Path, name: str, *options: str) -> str:
    """Build ``source`` as its buildspec's BUILD phase does, and return the image's name."""
    commands = parse((source / "buildspec.yml").read_text()).phases["build"].commands
    script = "\n".join(("set -e", *commands)).replace("docker build ", " ".join(("docker build", *options, "")))
    environment = {**os.environ, **BUILD, "IMAGE_URI": name, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["sh", "-c", script], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return f"{name}:{BUILD['IMAGE_TAG']}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's repository, trained as the build trains it."""
    copy = tmp_path_factory.mktemp("repository") / "heart"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "models"))
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=copy, env={**os.environ, **BUILD}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture(scope="module")
def image(source: Path) -> Iterator[str]:
    """The built image; removed at the end."""
    name = built(source, f"esteira-test-{uuid.uuid4().hex[:8]}/heart")
    yield name
    subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """A network from which nothing outside is reached; this machine reaches who is in it."""
    name = f"esteira-test-{uuid.uuid4().hex[:8]}"
    run("docker", "network", "create", "--internal", name)
    yield name
    run("docker", "network", "rm", name)


@dataclass
class Service:
    """A container of the image, with more options for ``docker run`` and another command than the image's."""

    image: str
    network: str
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: f"esteira-test-{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> Self:
        """Start it."""
        where = ("--name", self.name, "--network", self.network)
        run("docker", "run", "--detach", *where, *CAREFUL, *ANYBODY, *self.options, self.image, *self.command)
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        run("docker", "rm", "--force", self.name)

    def inspect(self, template: str) -> str:
        """What the engine says of it."""
        return run("docker", "inspect", "--format", template, self.name)

    @property
    def address(self) -> str:
        """Its address in the network."""
        return self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    @property
    def log(self) -> str:
        """Standard output and standard error."""
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def wait(self) -> None:
        """Wait until it answers; one that ended fails the test with its log."""

        def answers() -> bool:
            assert self.inspect("{{.State.Running}}") == "true", self.log
            try:
                return self.ask("GET", "/ping")[0] == 200
            except OSError:
                return False

        until("an answer", answers)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers, body."""
        connection = http.client.HTTPConnection(self.address, PORT, timeout=20)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"content-type": "application/json"} if sent else {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(
            ["docker", "exec", self.name, *command], capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture(scope="module")
def service(image: str, network: str) -> Iterator[Service]:
    """A container that answers."""
    with Service(image, network) as started:
        started.wait()
        yield started


def config(image: str) -> Any:
    """The image's configuration."""
    return json.loads(run("docker", "image", "inspect", "--format", "{{json .Config}}", image))


def test_every_route_answers_as_any_user_on_a_read_only_disk(service: Service) -> None:
    """Ping, version, card, metrics, OpenAPI, health, the page: 200, each signed with the release."""
    for path in ("/ping", "/version", "/card", "/metrics", "/openapi.json", "/health", "/"):
        status, headers, _ = service.ask("GET", path)
        assert (status, headers["x-model-version"]) == (200, "v17"), path
    told = json.loads(service.ask("GET", "/version")[2])
    assert (told["release"], told["commit"]) == ("v17", "0123abc")


def test_a_person_of_whom_little_is_known_is_answered(service: Service) -> None:
    """A prediction comes with its bounds and with what was not given; a wrong value is refused and named."""
    status, _, body = service.ask("POST", "/invocations", PATIENT)
    [prediction] = json.loads(body)["predictions"]
    assert status == 200
    assert 0 <= prediction["low"] <= prediction["probability"] <= prediction["high"] <= 1
    assert len(prediction["unknown"]) == 13 - len(PATIENT)
    assert service.ask("POST", "/invocations", {"age": 300})[0] == 422


def test_the_page_has_all_that_it_loads(service: Service) -> None:
    """Each script, style and picture that the page names is in the image, small as it is."""
    page = service.ask("GET", "/")[2].decode()
    named = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', page)
    assert any(path.endswith(("shiny.js", "shiny.min.js")) for path in named)
    for path in named:
        assert service.ask("GET", f"/{path.lstrip('/')}")[0] == 200, path


def test_the_page_answers_over_its_websocket(service: Service) -> None:
    """What a browser sends of a filled-in form is answered with the sentence, and the handshake is signed."""
    from websockets.sync.client import connect

    values = {"lang": "en", "age": "63", "sex": "1", "ask:shiny.action": 1, ".clientdata_output_said_hidden": False}
    with connect(f"ws://{service.address}:{PORT}/websocket/") as socket_:
        assert socket_.response is not None
        assert socket_.response.headers["x-model-version"] == "v17"
        socket_.send(json.dumps({"method": "init", "data": values}))
        said = ""
        while not said:
            message = json.loads(socket_.recv(timeout=20))
            assert not message.get("errors"), message
            said = ((message.get("values") or {}).get("said") or {}).get("html", "")
    assert "100" in said


def test_the_golden_questions_are_where_the_label_says(service: Service, tmp_path: Path) -> None:
    """The host takes the file out of the container and asks its questions with its own program: all are as expected."""
    path = config(service.image)["Labels"]["esteira.golden"]
    run("docker", "cp", f"{service.name}:{path}", str(tmp_path / "golden.json"))
    said = run(sys.executable, str(GOLDEN), f"http://{service.address}:{PORT}", str(tmp_path / "golden.json"))
    assert "all as expected" in said


def test_the_labels_say_what_is_in_it(image: str, source: Path) -> None:
    """Revision, version, time, title, source, and the hash of the model file that is in the image."""
    labels = config(image)["Labels"]
    card = json.loads((source / "models" / "model-card.json").read_text())
    assert labels["model.sha256"] == card["sha256"]
    assert labels["org.opencontainers.image.revision"] == card["commit"] == "0123abc"
    assert labels["org.opencontainers.image.version"] == "v17"
    assert labels["org.opencontainers.image.title"] == "heart"
    assert labels["org.opencontainers.image.source"] == BUILD["CODEBUILD_SOURCE_REPO_URL"]
    created = datetime.fromisoformat(labels["org.opencontainers.image.created"])
    assert created.tzinfo == UTC


def test_nothing_to_build_or_install_with_is_in_it(service: Service) -> None:
    """No compiler, no pip, no theme compiler; its user is not root and it has nothing it could write to but /tmp."""
    for program in ("gcc", "cc", "make", "pip", "pip3"):
        assert service.inside("sh", "-c", f"command -v {program}").returncode, program
    for module in ("pip", "setuptools", "sass", "sklearn", "onnx"):
        assert service.inside("python", "-c", f"import {module}").returncode, module
    assert config(service.image)["User"] == "10001"
    for folder in ("/app", "/opt/venv", "/var/tmp", "/home"):
        assert service.inside("touch", f"{folder}/x").returncode, folder
    files = service.inside("find", "/app", "-type", "f", "-not", "-path", "*/serving/*").stdout.split()
    names = ("golden.json", "model-card.json", "model.onnx", "words.toml")
    assert sorted(files) == [f"/app/models/{name}" for name in names]


def test_nothing_is_compiled_at_start(service: Service) -> None:
    """Whatever serving loads, Python's own library too, has its bytecode in the image."""
    find = (
        "import json, os, sys, serving.__main__, serving.app, serving.page, serving.server; "
        "specs = [m.__spec__ for m in list(sys.modules.values()) if getattr(m, '__spec__', None)]; "
        "print(json.dumps([s.name for s in specs if s.cached and not os.path.exists(s.cached)]))"
    )
    done = service.inside("python", "-c", find)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_it_tells_nobody_outside(service: Service) -> None:
    """onnxruntime's reports to its maker are off: no word of them in the log, and no second thread for them."""
    assert "telemetry" not in service.log.lower()
    count = "import os, serving.model; print(len(os.listdir('/proc/self/task')))"
    assert service.inside("env", "-u", "ORT_DISABLE_TELEMETRY", "python", "-c", count).stdout.strip() == "1"


def test_the_health_check_finds_it_healthy_and_a_dead_one_not(image: str, network: str) -> None:
    """The engine comes to "healthy" by the image's own command, and to "unhealthy" where nobody answers."""
    with Service(image, network, ("--health-interval", "1s")) as well:
        until("healthy", lambda: well.inspect("{{.State.Health.Status}}") == "healthy")
    deaf = ("--health-interval", "1s", "--health-start-period", "1ms", "--health-retries", "1")
    with Service(image, network, deaf, ("sleep", "600")) as ill:
        until("unhealthy", lambda: ill.inspect("{{.State.Health.Status}}") == "unhealthy")


def test_a_stop_in_mid_request_loses_no_answer(image: str, network: str) -> None:
    """docker stop while a request is half sent: it is answered in full, and the container exits 0."""
    body = json.dumps(PATIENT).encode()
    head = f"POST /invocations HTTP/1.1\r\nhost: heart\r\ncontent-length: {len(body)}\r\n"
    with Service(image, network) as stopped:
        stopped.wait()
        with socket.create_connection((stopped.address, PORT), timeout=20) as connection:
            connection.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body[:5])
            stopped.wait()  # a later request was answered, so this one is being read
            stopping = subprocess.Popen(["docker", "stop", "--time", "30", stopped.name], stdout=subprocess.DEVNULL)
            until("the stop", lambda: refuses(stopped))
            connection.sendall(body[5:])
            told = b""
            while chunk := connection.recv(65536):
                told += chunk
        assert stopping.wait() == 0
        assert told.startswith(b"HTTP/1.1 200")
        assert b'"probability"' in told
        assert stopped.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"


def refuses(stopped: Service) -> bool:
    """Whether no new connection is taken any more. The kernel may drop it instead of refusing it."""
    try:
        socket.create_connection((stopped.address, PORT), timeout=0.3).close()
    except OSError:
        return True
    return False


def test_an_image_without_the_model_ends_at_start_and_says_so(image: str, source: Path, network: str) -> None:
    """Leaving out the Dockerfile's line for models/ builds, and the container names the file and how to make it."""
    text = (source / "Dockerfile").read_text()
    lines = "COPY serving/ serving/\nCOPY models/ models/\n"
    assert lines in text
    (source / "Dockerfile.forgot").write_text(text.replace(lines, lines.splitlines()[0] + "\n"))
    name = image.replace("/heart:", "/forgot:")
    try:
        run("docker", "build", "--quiet", "--file", str(source / "Dockerfile.forgot"), "--tag", name, str(source))
        with Service(name, network) as forgot:
            until("the end", lambda: forgot.inspect("{{.State.Running}}") == "false")
            assert forgot.inspect("{{.State.ExitCode}}") == "1"
            assert "no model at /app/models/model-card.json" in forgot.log
            assert "python train.py" in forgot.log
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)


def test_it_is_as_small_as_its_readme_says(image: str) -> None:
    """What it adds to its base is no more than the README's figure, in either language."""
    sizes = [int(run("docker", "image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE)]
    for name, words in (("README.md", r"adds (\d+) MB to"), ("README.pt.md", r"(\d+) MB sobre")):
        found = re.search(words, (SOURCE / name).read_text(encoding="utf-8"))
        assert found, f"{name} does not say how large the image is"
        assert (sizes[0] - sizes[1]) / 1e6 <= int(found[1]), name


def test_the_same_packages_make_the_same_layer(image: str, source: Path) -> None:
    """Built again without the engine's cache, the packages' layer has the digest it had, so is not pulled again."""
    again = built(source, image.rpartition(":")[0].replace("/heart", "/again"), "--no-cache")
    try:
        assert packages_layer(image) == packages_layer(again)
    finally:
        subprocess.run(["docker", "image", "rm", "--force", again], capture_output=True, check=False)


def packages_layer(image: str) -> str:
    """The digest of the layer that the packages came in: that of the Dockerfile's first COPY into the image."""
    read: dict[str, Any] = {}
    saving = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    with saving, tarfile.open(fileobj=saving.stdout, mode="r|") as saved:
        for member in saved:
            content = saved.extractfile(member) if re.fullmatch(r"[^/]+\.json", member.name) else None
            read.update({member.name: json.load(content)} if content else {})
    found = read[read["manifest.json"][0]["Config"]]
    made_by = [row.get("created_by", "") for row in found["history"] if not row.get("empty_layer")]
    base = len(json.loads(run("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", BASE)))
    at = next(at for at, words in enumerate(made_by) if at >= base and " COPY " in words)
    return str(found["rootfs"]["diff_ids"][at])
