"""The heart service in R (examples/heart-r): built by its buildspec, deployed by its own scripts, and in a browser.

Real Docker engine, registry, nginx and, for the page, Chromium. The scripts run as CodeDeploy's agent runs them.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import shutil
import socket
import subprocess
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from appspec.problem import File
from appspec.verdict import problems

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart-r"
BASE, STAND_IN = "debian:trixie-slim", "esteira/rootfs:trixie"
LIFECYCLE = ("BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
TOOLS = ("docker", "nginx", "docker-registry", "curl", "flock", "python3", "iconv")


def asked(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever comes of it."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def missing() -> str:
    """Return "" where these tests can run, or the reason why not and what to do."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install docker.io nginx docker-registry curl"
    if asked("docker", "version").returncode:
        return "no Docker engine answers: start one (dockerd) and run again"
    if all(asked("docker", "image", "inspect", name).returncode for name in (BASE, STAND_IN)):
        return f"there is no image {BASE}: docker pull {BASE}"
    return ""


def browser_missing() -> str:
    """Return "" where a browser can be driven, or the reason why not and what to do."""
    if not chromium():
        return "no Chromium: apt-get install chromium"
    try:
        import playwright.sync_api  # noqa: F401 - only whether it is there
    except ImportError:
        return "no playwright: pip install playwright"
    return ""


def chromium() -> str:
    """The path of the distribution's Chromium, "" where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or ""


pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(reason := missing()), reason=reason or "all is there")]


def run(*command: str) -> str:
    """Run a command to its end and return its standard output; an error names what it said."""
    done = asked(*command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def until(what: str, holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds; so long without it fails the test."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on 127.0.0.1; its HOST:PORT."""
    where, port = tmp_path_factory.mktemp("registry"), free_port()
    (where / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {where}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (where / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(where / "config.yml")], stdout=log, stderr=log)
    until("the registry", lambda: answers(port))
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@contextmanager
def based() -> Iterator[None]:
    """The Dockerfile's base image is there; where there is only its stand-in, that one goes by its name meanwhile."""
    there = asked("docker", "image", "inspect", BASE).returncode == 0
    if not there:
        run("docker", "tag", STAND_IN, BASE)
    try:
        yield
    finally:
        if not there:
            run("docker", "image", "rm", BASE)


@dataclass(frozen=True)
class Copy:
    """A copy of the example in a folder, whose builds can be told from another's in the same engine."""

    folder: Path
    mark: str = field(default_factory=lambda: f"esteira.test={uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        """Make it. The stage that trains is what a build without BuildKit leaves behind, so that one bears the mark."""
        shutil.copytree(EXAMPLE, self.folder)
        self.change("Dockerfile", "AS training\n", f"AS training\nLABEL {self.mark}\n")

    def change(self, path: str, old: str, new: str) -> None:
        """Replace what stands in a file."""
        file = self.folder / path
        content = file.read_bytes()
        assert old.encode() in content, f"{path} has no {old!r}"
        file.write_bytes(content.replace(old.encode(), new.encode()))

    def forget(self) -> None:
        """Take what its builds left behind out of the engine; their images are the caller's to remove first."""
        run("docker", "image", "prune", "--force", "--filter", f"label={self.mark}")


@pytest.fixture(scope="module")
def base() -> Iterator[None]:
    """The Dockerfile's base image."""
    with based():
        yield


@dataclass(frozen=True)
class Built:
    """Two versions of the service in a registry, each by digest."""

    first: str
    second: str


def build(source: Path, repository: str, release: str) -> str:
    """Run the commands of a folder's buildspec.yml as CodeBuild does; return what was pushed, by digest."""
    phases = yaml.safe_load((source / "buildspec.yml").read_text())["phases"]
    commands = [command for phase in ("pre_build", "build", "post_build") for command in phases[phase]["commands"]]
    told = {
        "IMAGE_URI": repository,
        "IMAGE_TAG": f"git-{release}",
        "ESTEIRA_RELEASE": release,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
    }
    shell = ["bash", "-e", "-c", "\n".join(commands)]
    environment, both = {**os.environ, **told}, subprocess.STDOUT  # what BuildKit tells, it tells on standard error
    done = subprocess.run(
        shell, cwd=source, env=environment, stdout=subprocess.PIPE, stderr=both, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    run("docker", "image", "rm", f"{repository}:git-{release}")
    return f"{repository}@{done.stdout.split('digest: ')[1].split()[0]}"


@pytest.fixture(scope="module")
def built(registry: str, base: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The example as it stands, and a second version of it that has learned otherwise."""
    repository, copy = f"{registry}/heart-r", Copy(tmp_path_factory.mktemp("source") / "heart-r")
    keepers = []  # a container that never runs keeps the first one's layers for the second build
    try:
        first = build(copy.folder, repository, "v1")
        keepers.append(run("docker", "create", run("docker", "pull", "--quiet", first)))
        copy.change("R/model.R", "LEAST <- 20 ", "LEAST <- 90 ")
        yield Built(first, build(copy.folder, repository, "v2"))
    finally:
        for keeper in keepers:
            run("docker", "rm", keeper)
        if images := run("docker", "image", "ls", "--quiet", repository).split():
            run("docker", "image", "rm", "--force", *dict.fromkeys(images))
        copy.forget()


@dataclass
class Host:
    """One EC2 host: an nginx of its own, and the bundles unpacked as the agent unpacks them."""

    where: Path
    service: str
    port: int = field(default_factory=free_port)
    nginx: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start nginx with an empty conf.d and set where the scripts find it."""
        self.conf_dir.mkdir()
        conf = self.where / "nginx.conf"
        conf.write_text(
            f"user root;\nworker_processes 2;\npid {self.where}/nginx.pid;\nerror_log {self.where}/error.log;\n"
            "events {}\nhttp {\n  access_log off;\n"
            f"  server {{ listen 127.0.0.1:{free_port()}; }}\n  include {self.conf_dir}/*.conf;\n}}\n"
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")},
            "ESTEIRA_NGINX_CONF": str(conf),
            "ESTEIRA_NGINX_CONF_DIR": str(self.conf_dir),
            "ESTEIRA_LISTEN": f"127.0.0.1:{self.port}",
            "ESTEIRA_FIRST_PORT": str(random.randrange(10000, 18000)),  # below those the kernel gives to clients
            "ESTEIRA_LOCK": str(self.where / "lock"),
        }
        self.nginx = subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        until("nginx", lambda: (self.where / "nginx.pid").exists())

    def stop(self) -> None:
        """End nginx and remove the containers of this host's service."""
        assert self.nginx
        self.nginx.terminate()
        self.nginx.wait()
        if self.containers():
            run("docker", "rm", "--force", *self.containers())

    @property
    def conf_dir(self) -> Path:
        """nginx's conf.d."""
        return self.where / "conf.d"

    @property
    def url(self) -> str:
        """The service's address."""
        return f"http://127.0.0.1:{self.port}/"

    def bundle(self, number: int, image: str, **changes: object) -> Path:
        """Zip what the appspec names with its release.json, unpack it as the agent would, return that directory."""
        release = {
            "service": self.service, "release": f"v{number}", "number": number, "commit": "c0ffee",
            "stage": "production", "image": image, "digest": image.partition("@")[2], "port": 8080,
            "health_path": "/ping", "startup_seconds": 60, "drain_seconds": 0, "environment": {}, **changes,
        }  # fmt: skip
        archive = self.where / uuid.uuid4().hex / "deployment-archive"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as zipped:
            for path in (EXAMPLE / "appspec.yml", *sorted((EXAMPLE / "scripts").iterdir())):
                zipped.writestr(str(path.relative_to(EXAMPLE)), path.read_bytes())
            zipped.writestr("release.json", json.dumps(release))
        with zipfile.ZipFile(packed) as zipped:
            zipped.extractall(archive)
        return archive

    def event(self, event: str, archive: Path) -> subprocess.CompletedProcess[str]:
        """Run an event's scripts as the agent does: cwd /, standard input closed, a process group of its own."""
        (script,) = yaml.safe_load((archive / "appspec.yml").read_text())["hooks"][event]
        path = archive / script["location"]
        path.chmod(0o755)
        agent = {
            "LIFECYCLE_EVENT": event, "DEPLOYMENT_ID": "d-TEST", "APPLICATION_NAME": self.service,
            "DEPLOYMENT_GROUP_NAME": "production", "DEPLOYMENT_GROUP_ID": "g-TEST",
        }  # fmt: skip
        return subprocess.run(
            [str(path)], cwd="/", env={**self.environment, **agent}, start_new_session=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: os.close(0),
            timeout=script["timeout"],
        )  # fmt: skip

    def deploy(self, archive: Path, times: int = 1) -> tuple[str, str]:
        """Run the lifecycle, each script as often as told; the event that failed ("": none) and what it said."""
        for event in LIFECYCLE:
            for _ in range(times):
                ended = self.event(event, archive)
                if ended.returncode:
                    return event, ended.stdout
        return "", ended.stdout

    def live(self, number: int, image: str) -> str:
        """Deploy what must succeed, and return the container that is live then."""
        failed, said = self.deploy(self.bundle(number, image))
        assert not failed, said
        return self.get("/ping").headers["X-Esteira-Release"] or ""

    def get(self, path: str) -> http.client.HTTPResponse:
        """GET through the proxy, the body read into ``.text``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.text = answer.read().decode()  # type: ignore[attr-defined]
            return answer
        finally:
            connection.close()

    def containers(self, *filters: str) -> list[str]:
        """The service's containers, running or not, by name."""
        options = [word for each in filters for word in ("--filter", each)]
        label = f"label=esteira.service={self.service}"
        return sorted(run("docker", "ps", "-a", "--filter", label, *options, "--format", "{{.Names}}").split())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with nothing on it."""
    host = Host(tmp_path, f"heart-r-{uuid.uuid4().hex[:6]}")
    host.start()
    yield host
    host.stop()


def inspected(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    return dict(json.loads(run("docker", "inspect", container))[0])


def test_its_own_appspec_has_nothing_that_esteira_would_refuse() -> None:
    """The controller's check of the bundle finds no problem."""
    paths = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    files = {str(p.relative_to(EXAMPLE)): File(p.read_bytes(), os.access(p, os.X_OK)) for p in paths}
    assert problems((EXAMPLE / "appspec.yml").read_bytes(), files) == []


def test_the_build_trains_the_same_model_every_time(built: Built) -> None:
    """Training again in the image tells the model's figures and gives the same bytes."""
    again = "cp -r /source/R /source/data . && Rscript R/train.R && sha256sum models/heart.rds /app/models/heart.rds"
    options = ["--rm", "--volume", f"{EXAMPLE}:/source:ro", "--workdir", "/tmp", "--tmpfs", "/tmp:exec"]
    figures, trained, shipped = run("docker", "run", *options, built.first, "sh", "-c", again).splitlines()
    assert figures.startswith("303 patients of 29 to 77 years; held-out ROC AUC 0.")
    assert trained.split()[0] == shipped.split()[0]


def test_a_first_release_answers_confined_and_ends_in_order(host: Host, built: Built) -> None:
    """Through its own scripts the image becomes live: no root, nothing to write to but /tmp, and 0 after a SIGTERM."""
    live = host.live(1, built.first)
    ping = host.get("/ping")
    assert (ping.status, ping.headers["x-model-version"]) == (200, "v1")
    page = host.get("/")
    assert (page.status, "Age, in years" in page.text) == (200, True)  # type: ignore[attr-defined]
    assert host.get("/nothing").status == 404
    known = inspected(live)
    assert known["Config"]["User"] == "10001"
    assert known["HostConfig"]["ReadonlyRootfs"]
    assert known["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert {binding["HostIp"] for binding in known["HostConfig"]["PortBindings"]["8080/tcp"]} == {"127.0.0.1"}
    run("docker", "stop", live)
    assert inspected(live)["State"]["ExitCode"] == 0


def test_every_script_may_run_twice(host: Host, built: Built) -> None:
    """Twice is once: the second release alone is there, live, and nothing is pending."""
    host.live(1, built.first)
    failed, said = host.deploy(host.bundle(2, built.second), times=2)
    assert not failed, said
    assert host.get("/ping").headers["x-model-version"] == "v2"
    assert len(host.containers()) == 1
    names = {f"esteira-{host.service}.{suffix}" for suffix in ("conf", "live", "containers")}
    assert {path.name for path in host.conf_dir.iterdir()} == names


def test_a_release_that_does_not_start_leaves_the_live_one_untouched(host: Host, built: Built) -> None:
    """AfterInstall tells what R said and the next step; the first release goes on as it was."""
    live = host.live(1, built.first)
    failed, said = host.deploy(host.bundle(2, built.second, environment={"PORT": "none"}))
    assert failed == "AfterInstall"
    assert "PORT is none, expected a number" in said
    assert "expected 200, got the end of R (exit code 1); live is " + live in said
    assert host.containers() == [live]
    assert host.get("/ping").headers["x-model-version"] == "v1"


def test_a_release_that_fails_through_the_proxy_is_turned_back(host: Host, built: Built) -> None:
    """Healthy by itself and not for a client: the old one answers again and the new one is gone."""
    live = host.live(1, built.first)
    own = host.conf_dir / f"esteira-{host.service}.d" / "own.conf"
    own.parent.mkdir()
    own.write_text("location = /ping { return 403; }\n")
    run("nginx", "-c", host.environment["ESTEIRA_NGINX_CONF"], "-s", "reload")
    failed, said = host.deploy(host.bundle(2, built.second))
    assert failed == "ValidateService"
    assert "got 403 " in said.splitlines()[-1]
    assert host.containers() == [live]
    assert host.get("/").headers["X-Esteira-Release"] == live


@pytest.fixture
def page(host: Host) -> Iterator[Page]:
    """A page of a real browser; it must not have asked anyone but the host, and no script of it failed."""
    if why := browser_missing():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    requests: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 820})
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
    assert [url for url in requests if not url.startswith((host.url, "data:"))] == []
    assert errors == []


def said_at(page: Page, release: str, age: int) -> str:
    """Wait until the page tells the answer of a release for an age; the probability as it stands there."""
    page.get_by_text(f"is the probability of heart disease at {age}, says release {release}.").wait_for(timeout=60_000)
    return page.locator(".probability").inner_text()


def test_a_page_in_a_browser_survives_the_replacement(host: Host, built: Built, page: Page, tmp_path: Path) -> None:
    """Type an age, read a probability; replaced meanwhile, the page keeps the age and the second version answers."""
    shots = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    shots.mkdir(parents=True, exist_ok=True)
    old = host.live(1, built.first)
    page.goto(host.url)
    field = page.get_by_label("Age, in years")
    field.fill("54")
    first = said_at(page, "v1", 54)
    page.screenshot(path=shots / "heart-r-first.png")
    page.evaluate("window.neverLoadedAgain = true")

    new = host.live(2, built.second)
    assert host.containers() == [new] != [old]
    second = said_at(page, "v2", 54)
    assert second != first
    assert field.input_value() == "54"
    field.fill("67")
    assert said_at(page, "v2", 67).endswith(" %")
    assert page.evaluate("window.neverLoadedAgain") is True
    page.screenshot(path=shots / "heart-r-second.png")
