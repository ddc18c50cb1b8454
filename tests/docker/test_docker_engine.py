"""The local mode on the Docker engine: git push to live with real builds, pushes, containers and nginx."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import boto3
import pytest

from console.local.aws.bus import Bus
from console.local.aws.stack import LocalAws
from console.local.docker.docker_engine import DockerEngine, why_not
from console.local.docker.docker_programs import Docker
from console.local.docker.registry_server import NAME
from console.local.ports import is_open
from console.local.up.laptop import Laptop, LaptopError, choose_engine
from esteira.core.facts import HostObserved
from esteira.store import Store, View

reason = why_not(Path("/")) or (
    "" if shutil.which("busybox") else "busybox not installed: apt-get install busybox-static"
)
pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(reason), reason=reason or "an engine answers")]

SECONDS = 60.0  # after which something that should have happened has not
CHECKOUT = Path(__file__).parents[2]
BASE = "esteira-test/busybox:1"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
SERVE = "httpd -f -p 8080 -h /www & trap exit TERM; wait"
BUILDSPEC = """
version: 0.2
env:
  exported-variables: [SCORE]
phases:
  pre_build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin "${IMAGE_URI%%/*}"
  build:
    commands:
      - docker build --tag="$IMAGE_URI:$IMAGE_TAG" .
      - docker push "$IMAGE_URI:$IMAGE_TAG"
      - export SCORE=0.9
"""


def run(*command: str) -> str:
    """Run a command to its end and return its standard output; an error names what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[None]:
    """A base image with a web server in it, as nothing can be pulled."""
    rootfs = io.BytesIO()
    with tarfile.open(fileobj=rootfs, mode="w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        content = Path(shutil.which("busybox") or "").resolve().read_bytes()
        program.size, program.mode = len(content), 0o755
        tar.addfile(program, io.BytesIO(content))
        for applet in ("sh", "httpd", "echo", "sleep", "seq"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    words = ["docker", "import", "--change", "ENV PATH=/bin", "-", BASE]
    subprocess.run(words, input=rootfs.getvalue(), check=True, capture_output=True)
    yield
    run("docker", "image", "rm", "--force", BASE)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose containers and images are taken out of the engine in the end."""
    state = tmp_path / "state"
    yield state
    mark = DockerEngine(state, {})._mark
    rows = run("docker", "ps", "-a", "--filter", "label=esteira.host", "--format", '{{.ID}} {{.Label "esteira.host"}}')
    mine = [row.split()[0] for row in rows.splitlines() if row.endswith(mark)]
    if mine:
        run("docker", "rm", "--force", *mine)
    port = state / "registry-docker" / "port"
    if port.exists():
        rows = run("docker", "image", "ls", "--quiet", "--filter", f"reference=127.0.0.1:{port.read_text()}/*")
        for image in dict.fromkeys(rows.split()):
            run("docker", "image", "rm", "--force", image)


class Team:
    """A clone of the service, whose model answers one word."""

    def __init__(self, folder: Path, remote: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._remote = folder, remote
        (folder / "buildspec.yml").write_text(BUILDSPEC)
        self._git("init", "--quiet")

    def push(self, says: str, command: str = SERVE, cgi: str = "echo") -> None:
        """Commit a model that says so, and push it. ``cgi`` is what a request for /cgi-bin/ask does."""
        (self._folder / "index.html").write_text(says)
        start = json.dumps(["/bin/sh", "-c", command])
        (self._folder / "ping").write_text("ok")
        (self._folder / "ask").write_text(f"#!/bin/sh\n{cgi}\n")
        (self._folder / "ask").chmod(0o755)
        files = "COPY index.html ping /www/\nCOPY ask /www/cgi-bin/\n"
        (self._folder / "Dockerfile").write_text(f"FROM {BASE}\n{files}CMD {start}\n")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", says)
        self._git("push", "--quiet", self._remote, "main")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT, *words], cwd=self._folder, check=True, capture_output=True)


def get(address: str, path: str = "/") -> tuple[int, str, str]:
    """GET a path there: the status, the body, and the container that answered."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers["X-Esteira-Release"] or ""
    finally:
        connection.close()


class Traffic:
    """Requests without a pause, each on a connection of its own, while the block runs."""

    def __init__(self, address: str, path: str = "/", pause: float = 0.0) -> None:
        self.bodies, self.failed = list[str](), list[str]()
        self._path, self._pause = path, pause
        self._address, self._over, self._thread = address, threading.Event(), threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._over.wait(self._pause):
            try:
                status, body, _ = get(self._address, self._path)
                (self.bodies if status == 200 else self.failed).append(body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def eventually(what: str, look: Callable[[], object]) -> None:
    """Wait until it is so; a minute without it fails the test."""
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def views(laptop: Laptop) -> list[View]:
    """Every release, oldest first."""
    return list(reversed(Store(laptop.client("dynamodb"), laptop.table).views("heart", 50)))


def hasten(laptop: Laptop, **more: int) -> None:
    """Give the old container a second to finish and not thirty, as a service's owner may, and ``more`` settings."""
    ssm = laptop.client("ssm")
    for row in ssm.get_parameters_by_path(Path="/", Recursive=True)["Parameters"]:
        if "image_uri" in row["Value"]:
            told = json.loads(row["Value"]) | {"drain_seconds": 1, **more}
            ssm.put_parameter(Name=row["Name"], Type="String", Value=json.dumps(told), Overwrite=True)


def finished(laptop: Laptop, number: int) -> str:
    """Wait until a release has come to its end; its phase."""

    def phase() -> str:
        found = [view.phase for view in views(laptop) if view.number == number]
        return found[0] if found and found[0] in ("live", "failed", "rejected") else ""

    eventually(f"the end of v{number}", phase)
    return phase()


def inspected(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    return dict(json.loads(run("docker", "inspect", container))[0])


def test_the_story_of_a_service_on_real_containers(state: Path, tmp_path: Path) -> None:
    """Live, replaced under requests, a bad one changes nothing, rolled back; still there after a stop and a start."""
    with Laptop(state, sweep_every=2, engine="docker") as laptop:
        page = laptop.whereabouts.pages["heart"]
        assert get(page)[0] == 503
        hasten(laptop)
        team = Team(tmp_path / "clone", laptop.whereabouts.remotes["heart"])
        team.push("one")
        assert finished(laptop, 1) == "live", views(laptop)[-1].why
        first = get(page)
        assert first[:2] == (200, "one")
        eventually("the tags", lambda: {"esteira-v1", "live-production"} <= set(image_of(laptop)["imageTags"]))
        image = image_of(laptop)
        assert inspected(first[2])["Config"]["Labels"]["esteira.digest"] == image["imageDigest"]
        assert inspected(first[2])["Config"]["Image"].endswith(f"/heart@{image['imageDigest']}")

        with Traffic(page) as traffic:
            team.push("two")
            assert finished(laptop, 2) == "live", views(laptop)[-1].why
            eventually("traffic after the swap", lambda: traffic.bodies[-1:] == ["two"])
        assert traffic.failed == []
        assert set(traffic.bodies) == {"one", "two"}
        second = get(page)[2]
        before = inspected(second)["State"]

        team.push("three", "echo the model file is not whole; exit 3")
        assert finished(laptop, 3) == "failed"
        eventually("the reason", lambda: "the model file is not whole" in "\n".join(views(laptop)[-1].detail))
        assert "exit code 3" in "\n".join((views(laptop)[-1].why, *views(laptop)[-1].detail))
        assert inspected(second)["State"] == before
        assert get(page)[1:] == ("two", second)

        operate(laptop, {"action": "rollback", "to": "v1", "reason": "a test"})
        eventually("v1", lambda: get(page)[1] == "one")
        assert get(page)[2] == first[2]
        assert finished(laptop, 1) == "live"
    assert not run("docker", "ps", "--quiet", "--filter", f"name={first[2]}")
    with pytest.raises(LaptopError, match="was made with the docker engine"):
        choose_engine("process", state)
    assert choose_engine("auto", state)[0] == "docker"
    with Laptop(state, sweep_every=2, engine="docker") as laptop:
        assert laptop.whereabouts.pages["heart"] == page
        assert get(page) == first
        hasten(laptop)
        team.push("four")
        assert finished(laptop, 4) == "live", views(laptop)[-1].why
        assert get(page)[1] == "four"


SAYS = r'printf "Status: %s said\r\nContent-Type: text/plain\r\n\r\nsaid" '
# What a release does to requests of a kind after it went live, by the words in which it is called sick.
SICK = {
    "its container ended 2 times in": "kill 1",
    "its container ran out of memory": f"x=$(seq 1 99999999); {SAYS} 200",
    "requests in 60 s were answered with 5xx": f"if [ $((RANDOM % 5)) = 0 ]; then {SAYS} 500; else {SAYS} 200; fi",
    "with the release before": f"sleep 4; {SAYS} 200",
}
OFTEN = ("requests in 60 s were answered with 5xx", "with the release before")  # a share needs some requests


@pytest.mark.parametrize("words", SICK)
def test_a_release_that_gets_sick_when_it_is_live_is_taken_back(state: Path, tmp_path: Path, words: str) -> None:
    """The watcher of the host sees it, and the one before serves again, with nothing configured."""
    with Laptop(state, sweep_every=2, engine="docker") as laptop:
        page = laptop.whereabouts.pages["heart"]
        hasten(laptop, memory_mb=20)
        team = Team(tmp_path / "clone", laptop.whereabouts.remotes["heart"])
        team.push("one", cgi=f"{SAYS} 200")
        assert finished(laptop, 1) == "live", views(laptop)[-1].why
        with Traffic(page, "/cgi-bin/ask") as traffic:
            eventually("what is usual", lambda: len(traffic.bodies) > 50)
        team.push("two", cgi=SICK[words])
        assert finished(laptop, 2) == "live", views(laptop)[-1].why
        began = datetime.now(UTC)
        with contextlib.ExitStack() as clients:
            for _ in range(6 if words in OFTEN else 1):
                clients.enter_context(Traffic(page, "/cgi-bin/ask", pause=1.0))
            eventually("the end of v2", lambda: views(laptop)[-1].phase == "rolled back")
        assert get(page)[1] == "one"
        facts = Store(laptop.client("dynamodb"), laptop.table).facts("heart", "stage/production", "host#")
        noticed = next(fact.at for fact in facts if isinstance(fact, HostObserved) and fact.sick)
        print(f"noticed after {noticed - began}, v1 served again after {datetime.now(UTC) - began}")
        assert words in views(laptop)[-1].why


def test_several_hosts_are_rolled_one_at_a_time_up_to_the_first_failure(state: Path, tmp_path: Path) -> None:
    """Each host has containers of its own; a failure on the first leaves the second untouched."""
    with Laptop(state, sweep_every=2, engine="docker", hosts=2) as laptop:
        hasten(laptop)
        team = Team(tmp_path / "clone", laptop.whereabouts.remotes["heart"])
        addresses = laptop.whereabouts.hosts["heart"]
        team.push("one")
        assert finished(laptop, 1) == "live", views(laptop)[-1].why
        served = [get(address) for address in addresses]
        assert [body for _, body, _ in served] == ["one", "one"]
        containers = [container for *_, container in served]
        assert len(set(containers)) == 2
        labels = [inspected(container)["Config"]["Labels"] for container in containers]
        assert len({label["esteira.host"] for label in labels}) == 2

        team.push("two", "exit 1")
        assert finished(laptop, 2) == "failed"
        assert [get(address) for address in addresses] == served
        assert sorted(targets(laptop)) == ["Failed", "Skipped"]
        logs = [list((state / "hosts-docker").glob(f"*/{host}/deployment-root/*/d-*")) for host in hosts(laptop)]
        assert [len(each) for each in logs] == [2, 1]

        team.push("three")
        assert finished(laptop, 3) == "live", views(laptop)[-1].why
        assert [get(address)[1] for address in addresses] == ["three", "three"]
        assert targets(laptop) == ["Succeeded", "Succeeded"]
        ended = [inspected(container)["State"]["Status"] for container in containers]
        assert ended == ["exited", "exited"]


def test_a_push_meets_ecrs_rules_and_a_pull_its_tags(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real client is refused before it has logged in as is printed, then a frozen tag and a repository nobody made;
    and it pulls what a tag means to ECR."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))  # a person's own, where a login is kept
    engine = DockerEngine(state, {})
    with LocalAws(tmp_path / "aws", engine, Bus(), keep=False) as local_aws, local_aws.in_process():
        ecr = boto3.client("ecr", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        ecr.create_repository(repositoryName="heart", imageTagMutability="IMMUTABLE")
        docker = tmp_path / "docker"
        docker.write_text(engine._docker.programs(engine.registry.address, Path())["docker"])
        docker.chmod(0o755)

        def push(tag: str, text: str) -> subprocess.CompletedProcess[str]:
            (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nENV SAYS={text}\n")
            name = f"{NAME}/{tag}"
            words = [
                str(docker),
                "build",
                "-q",
                "-t",
                name,
                "-f",
                str(tmp_path / "Dockerfile"),
                str(state.parent / "empty"),
            ]
            (state.parent / "empty").mkdir(exist_ok=True)
            run(*words)
            return subprocess.run([str(docker), "push", name], capture_output=True, text=True, check=False)

        stranger = push("heart:v1", "one")
        assert stranger.returncode == 1
        assert "no basic auth credentials" in stranger.stderr
        run("sh", "-c", engine.login)
        first = push("heart:v1", "one")
        assert first.returncode == 0, first.stderr
        (image,) = ecr.describe_images(repositoryName="heart")["imageDetails"]
        assert f"digest: {image['imageDigest']}" in first.stdout
        (event,) = [event for event in local_aws.bus.events if event["source"] == "aws.ecr"]
        assert (event["detail"]["image-tag"], event["detail"]["image-digest"]) == ("v1", image["imageDigest"])

        assert push("heart:v1", "one").returncode == 0, "the same again is no change"
        refused = push("heart:v1", "another")
        assert refused.returncode == 1
        assert "cannot be overwritten because the tag is immutable" in refused.stderr
        unknown = push("nobody/made:v1", "one")
        assert unknown.returncode == 1
        assert "The repository with name 'nobody/made' does not exist" in unknown.stderr

        manifest = ecr.batch_get_image(repositoryName="heart", imageIds=[{"imageTag": "v1"}])["images"][0]
        ecr.put_image(repositoryName="heart", imageManifest=manifest["imageManifest"], imageTag="again")
        for name in run(str(docker), "image", "ls", "-q", "--filter", f"reference={engine.registry.address}/*").split():
            run("docker", "image", "rm", "--force", name)
        assert run(str(docker), "pull", "-q", f"{NAME}/heart:again")
        assert "SAYS=one" in run(str(docker), "image", "inspect", f"{NAME}/heart@{image['imageDigest']}")
        missing = subprocess.run(
            [str(docker), "pull", f"{NAME}/heart:gone"], capture_output=True, text=True, check=False
        )
        assert "Requested image not found: heart, gone" in missing.stderr


def test_what_docker_refuses_is_told_with_its_reason() -> None:
    """Not with the line after it, which tells where to read about the command."""
    with pytest.raises(OSError, match=r"^docker run: unknown flag: --no-such-option$"):
        Docker.found().run("run", "--no-such-option")


def test_what_is_live_outlives_a_killed_console(state: Path, tmp_path: Path) -> None:
    """kill -9 takes nginx and the registry with it and no container; the next start has the page where it was."""
    words = [sys.executable, "-m", "console.cli.main", "local", "up", "--state", str(state), "--engine", "docker"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(words, cwd=CHECKOUT, stdout=said, stderr=said)
    try:
        eventually("the stack", lambda: "esteira status" in (tmp_path / "said").read_text() or process.poll())
        told = json.loads((state / "local.json").read_text())
        [(service, page)] = told["pages"].items()  # it is named after the folder
        Team(tmp_path / "clone", told["remotes"][service]).push("one")
        eventually("the page", lambda: get(page)[1] == "one")
        live = get(page)[2]
        eventually("v1 live", lambda: "v1 live" in (tmp_path / "said").read_text())
    finally:
        process.kill()
        process.wait()
    eventually("nginx's end", lambda: not is_open(int(page.rsplit(":", 1)[1])))
    before = inspected(live)["State"]
    assert before["Running"]
    with Laptop(state, sweep_every=2, engine="docker") as laptop:
        assert laptop.whereabouts.pages[service] == page
        assert get(page)[1:] == ("one", live)
        assert inspected(live)["State"] == before


def operate(laptop: Laptop, order: dict[str, str]) -> None:
    """Give an operator's order; it must not be refused."""
    name = f"{laptop.whereabouts.stack}-operate"
    answer = laptop.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps({"service": "heart", "by": "t", "request": "a-test-s-own", **order})
    )
    said = json.loads(answer["Payload"].read())
    assert "refused" not in said, said


def image_of(laptop: Laptop) -> dict[str, Any]:
    """The one image in ECR."""
    (image,) = laptop.client("ecr").describe_images(repositoryName="heart")["imageDetails"]
    return dict(image)


def hosts(laptop: Laptop) -> list[str]:
    """The ids of the hosts, in the order they are deployed to."""
    return list(laptop._engine.hosts("heart-production"))


def targets(laptop: Laptop) -> list[str]:
    """What became of the last deployment on each host."""
    codedeploy = laptop.client("codedeploy")
    ids = codedeploy.list_deployments(applicationName="heart", deploymentGroupName="heart-production")["deployments"]
    told = codedeploy.batch_get_deployments(deploymentIds=ids)["deploymentsInfo"]
    last = max(told, key=lambda info: info["createTime"])["deploymentId"]  # lists come in no order
    ids = codedeploy.list_deployment_targets(deploymentId=last)["targetIds"]
    found = codedeploy.batch_get_deployment_targets(deploymentId=last, targetIds=ids)["deploymentTargets"]
    return [one["instanceTarget"]["status"] for one in found]
