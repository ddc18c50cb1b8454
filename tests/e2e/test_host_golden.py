"""The local host asks the golden questions that an image carries, by the host's own script, before it turns to it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.local.engine import DeployJob, DeployResult
from console.local.process.host import ProcessHost
from console.local.process.oci import Entry, ImageConfig, Registry, pack
from tests.e2e.test_host import ask, bundle_of, is_there, job_of, until

# A model that answers with half of what it is asked, and says what that was; two questions undo it.
APP = """
import http.server, json, os, time
from pathlib import Path

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"version": Path("VERSION").read_text(), "pid": os.getpid()})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("asked", body, flush=True)
        if body == {"x": "hang"}:
            Path("hanging").touch()
            time.sleep(3600)
        if body == {"x": "die"}:
            os._exit(7)
        self.answer({"half": body["x"] / 2})

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

Image = Callable[..., str]


def golden(*pairs: tuple[Any, Any]) -> str:
    """A golden file: what is asked and what half of it is."""
    questions = [{"body": {"x": x}, "expected": {"half": half}, "tolerance": 0.01} for x, half in pairs]
    file = {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": questions}
    return json.dumps(file)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def image(registry: Registry, tmp_path: Path) -> Image:
    def build(version: str, questions: str, label: str = "/app/models/golden.json") -> str:
        layer = {"app/models": Entry("directory")}
        for name, text in (("serve.py", APP), ("VERSION", version), ("models/golden.json", questions)):
            source = tmp_path / f"{version}-{name.replace('/', '-')}"
            source.write_text(text)
            layer[f"app/{name}"] = Entry("file", 0o644, source)
        labels = {"esteira.golden": label} if label else {}
        return pack(registry, [layer], ImageConfig(workdir="/app", cmd=("python", "serve.py"), labels=labels))

    return build


@pytest.fixture
def host(tmp_path: Path, registry: Registry) -> Iterator[ProcessHost]:
    with ProcessHost(tmp_path / "host", 0, registry, Path(sys.executable), stop_seconds=3) as host:
        yield host


def deploy(host: ProcessHost, digest: str, tmp_path: Path, release: str = "v1") -> DeployResult:
    return host.deploy(job_of(bundle_of(digest, release, drain_seconds=0), tmp_path, f"d-{release}"))


def started(result: DeployResult) -> Any:
    """How ApplicationStart went."""
    return next(event for event in result.events if event.name == "ApplicationStart")


def test_a_release_that_answers_as_expected_takes_the_traffic(host: ProcessHost, image: Image, tmp_path: Path) -> None:
    """It was asked all of them, before it got any other request, and the log says how many."""
    result = deploy(host, image("one", golden((1, 0.5), (2, 1), (3, 1.5))), tmp_path)
    assert result.status == "Succeeded", result.message
    assert "3 golden questions, all as expected" in started(result).message
    assert ask(host)["version"] == "one"
    (log,) = host.releases.glob("*/container.log")
    assert log.read_text() == "asked {'x': 1}\nasked {'x': 2}\nasked {'x': 3}\n"


def test_a_release_that_answers_otherwise_leaves_the_live_one_untouched(
    host: ProcessHost, image: Image, tmp_path: Path
) -> None:
    """The candidate is gone, the live process is the same, and the reason is the question, expected and got."""
    deploy(host, image("one", golden((1, 0.5))), tmp_path)
    before = ask(host)
    result = deploy(host, image("two", golden((1, 0.5), (61, 53))), tmp_path, "v2")
    assert result.status == "Failed"
    said = 'golden question 2 of 2, {"x": 61}: at half: expected 53, got 30.5 (tolerance 0.01)'
    assert result.message == f"ApplicationStart: {said}"
    assert (started(result).error_code, started(result).log_tail) == ("ScriptFailed", "asked {'x': 1}\nasked {'x': 61}")
    assert ask(host) == before
    assert host.live is not None
    assert host.live.release == "v1"
    assert len(list(host.releases.iterdir())) == 1


def test_an_image_without_the_label_is_asked_nothing(host: ProcessHost, image: Image, tmp_path: Path) -> None:
    """The questions lie in it, and nobody looks: the label is what says so."""
    result = deploy(host, image("one", golden((1, 99)), label=""), tmp_path)
    assert result.status == "Succeeded", result.message
    assert ask(host)["version"] == "one"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (
            "/app/golden.json",
            "names /app/golden.json, expected a file there, got none: COPY the golden questions there",
        ),
        ("/app/models", "names /app/models, expected a file there, got none"),
        ("/../../../../../../etc/passwd", "expected a file there, got none"),
        ("models/golden.json", "is models/golden.json, expected a path that begins with /"),
    ],
)
def test_a_label_that_names_no_file_of_the_image_fails_the_release(
    host: ProcessHost, image: Image, tmp_path: Path, label: str, said: str
) -> None:
    """An image that says it has questions is not taken for one that has none; nothing outside the image is read."""
    result = deploy(host, image("one", golden((1, 0.5)), label=label), tmp_path)
    assert result.status == "Failed"
    assert result.message.startswith("ApplicationStart: the image's label esteira.golden ")
    assert said in result.message
    assert host.live is None


def test_a_rubbish_file_fails_the_release(host: ProcessHost, image: Image, tmp_path: Path) -> None:
    """What the file should be is the reason."""
    result = deploy(host, image("one", "{}"), tmp_path)
    assert result.message == "ApplicationStart: the golden questions cannot be used: format is null, expected 1"
    assert host.live is None


def test_a_release_that_dies_of_a_question_fails(host: ProcessHost, image: Image, tmp_path: Path) -> None:
    """The sentence names the question that it died of."""
    result = deploy(host, image("one", golden((1, 0.5), ("die", 0))), tmp_path)
    assert result.status == "Failed"
    assert 'golden question 2 of 2, {"x": "die"}: expected an answer from POST /invocations, got none' in result.message
    assert host.live is None


def test_a_deployment_is_stopped_in_the_middle_of_its_questions(
    host: ProcessHost, image: Image, tmp_path: Path
) -> None:
    """A stop is heeded though the model does not answer; the candidate is gone and the live one serves."""
    deploy(host, image("one", golden((1, 0.5))), tmp_path)
    job: DeployJob = job_of(bundle_of(image("two", golden(("hang", 0))), "v2"), tmp_path, "d-v2")
    results: list[DeployResult] = []
    thread = threading.Thread(target=lambda: results.append(host.deploy(job)))
    thread.start()
    until(lambda: list(host.releases.glob("v2-*/root/app/hanging")))
    job.stop.set()
    thread.join()
    assert results[0].status == "Stopped"
    about = ask(host)
    assert about["version"] == "one"
    assert is_there(about["pid"])
    assert not list(host.releases.glob("v2-*"))


def test_a_host_that_comes_back_asks_nothing(
    host: ProcessHost, image: Image, registry: Registry, tmp_path: Path
) -> None:
    """What was live was asked when it became so: a resumed host serves it at once."""
    deploy(host, image("one", golden((1, 0.5))), tmp_path)
    host.close()
    with ProcessHost(tmp_path / "host", 0, registry, Path(sys.executable)) as again:
        assert again.resume() == ""
        assert ask(again)["version"] == "one"
        (log,) = again.releases.glob("*/container.log")
        assert "asked" not in log.read_text()
