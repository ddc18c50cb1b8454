"""The default bundle on real tools: its hooks, driven as CodeDeploy's agent does, on Docker, a registry and nginx.

Every test has a host of its own (service name, nginx, lock) on one shared engine, and takes away what it started.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

BUNDLE = Path(__file__).parents[2] / "functions" / "host"
HOOKS = {
    "BeforeInstall": "hooks/before_install.sh",
    "ApplicationStart": "hooks/application_start.sh",
    "ValidateService": "hooks/validate_service.sh",
}
SERVE = "httpd -f -p 8080 -h /www & trap exit TERM; wait"  # process 1 ends on TERM only if it asks for it
TOOLS = ("docker", "nginx", "docker-registry", "busybox", "curl", "flock", "python3", "iconv")


def missing() -> str:
    """Return "" where these tests can run, or the reason why not and what to install."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install docker.io nginx docker-registry busybox-static curl"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else "no Docker engine answers: start one (dockerd) and run again"


pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(reason := missing()), reason=reason or "an engine answers")]


def run(*command: str) -> str:
    """Run a command to its end and return its standard output; an error names what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until something holds; a minute without it fails the test."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


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


def add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file to a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def image(registry: str, service: str, says: str, command: str = SERVE) -> str:
    """Push an image whose page is ``says``, with /ping and a slow page; return it by digest, the engine keeps none."""
    rootfs = io.BytesIO()
    with tarfile.open(fileobj=rootfs, mode="w") as tar:
        add(tar, "bin/busybox", Path(shutil.which("busybox") or "").resolve().read_bytes(), 0o755)
        for applet in ("sh", "httpd", "sleep", "echo", "seq"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        add(tar, "www/index.html", says.encode())
        add(tar, "www/ping", b"ok")
        slow = f"#!/bin/sh\necho 'Content-Type: text/plain'\necho\nsleep 3\necho -n 'slow {says}'\n"
        add(tar, "www/cgi-bin/slow", slow.encode(), 0o755)
    name = f"{registry}/{service}:{uuid.uuid4().hex[:8]}"
    changes = [f"CMD {json.dumps(['/bin/sh', '-c', command])}", "ENV PATH=/bin"]
    options = [word for change in changes for word in ("--change", change)]
    subprocess.run(["docker", "import", *options, "-", name], input=rootfs.getvalue(), check=True, capture_output=True)
    pushed = run("docker", "push", name)
    run("docker", "image", "rm", name)
    return f"{name.rsplit(':', 1)[0]}@{pushed.split('digest: ')[1].split()[0]}"


@dataclass
class Ended:
    """How a hook ended: its exit status and what the agent would send back of its log."""

    status: int
    log: str

    @property
    def sentence(self) -> str:
        """The last line."""
        return self.log.rstrip("\n").rsplit("\n", 1)[-1]


@dataclass
class Host:
    """One EC2 host: an nginx of its own, and the bundles unpacked as the agent unpacks them."""

    where: Path
    registry: str
    service: str
    port: int = field(default_factory=free_port)
    nginx: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start nginx with an empty conf.d and set where the hooks find it."""
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
            "ESTEIRA_LOCK": str(self.where / "lock"),
        }
        self.nginx = subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        until("nginx", lambda: (self.where / "nginx.pid").exists())

    def stop(self) -> None:
        """End nginx, remove the containers and images of this host's service."""
        assert self.nginx
        self.nginx.terminate()
        self.nginx.wait()
        if self.containers():
            run("docker", "rm", "--force", *self.containers())
        for name in self.images():
            run("docker", "image", "rm", name)

    @property
    def conf_dir(self) -> Path:
        """nginx's conf.d."""
        return self.where / "conf.d"

    @property
    def site(self) -> Path:
        """The service's nginx file."""
        return self.conf_dir / f"esteira-{self.service}.conf"

    def image(self, says: str, command: str = SERVE) -> str:
        """A pushed image of this host's service."""
        return image(self.registry, self.service, says, command)

    def bundle(self, number: int, image: str, **changes: object) -> Path:
        """Zip the bundle with its release.json, unpack it where the agent would, and return that directory."""
        release = {
            "service": self.service, "release": f"v{number}", "number": number, "commit": "c0ffee",
            "stage": "production", "image": image, "digest": image.partition("@")[2], "port": 8080,
            "health_path": "/ping", "startup_seconds": 20, "drain_seconds": 0, "environment": {}, **changes,
        }  # fmt: skip
        archive = self.where / uuid.uuid4().hex / "deployment-archive"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as zipped:
            for path in sorted(BUNDLE.rglob("*")):
                if path.is_file() and path.parent.name != "__pycache__":
                    zipped.writestr(str(path.relative_to(BUNDLE)), path.read_bytes())
            zipped.writestr("release.json", json.dumps(release))
        with zipfile.ZipFile(packed) as zipped:
            zipped.extractall(archive)
        return archive

    def begin(self, event: str, archive: Path, **environment: str) -> subprocess.Popen[str]:
        """Start a hook as the agent does: no arguments, cwd /, standard input closed, a process group of its own."""
        script = archive / HOOKS[event]
        script.chmod(0o755)
        agent = {
            "LIFECYCLE_EVENT": event, "DEPLOYMENT_ID": "d-TEST", "APPLICATION_NAME": self.service,
            "DEPLOYMENT_GROUP_NAME": "production", "DEPLOYMENT_GROUP_ID": "g-TEST",
        }  # fmt: skip
        return subprocess.Popen(
            [str(script)], cwd="/", env={**self.environment, **agent, **environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: os.close(0),
        )  # fmt: skip

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a hook and for its standard output to be let go."""
        output, _ = process.communicate(timeout=120)
        tail = "".join(f"[stdout]{line}\n" for line in output.splitlines())[-2048:]
        return Ended(process.returncode, tail.replace("[stdout]", "\n").replace("\n\n", "\n"))

    def hook(self, event: str, archive: Path, **environment: str) -> Ended:
        """Run one hook to its end."""
        return self.end(self.begin(event, archive, **environment))

    def deploy(self, archive: Path, times: int = 1) -> tuple[str, Ended]:
        """Run the hooks in the agent's order, each as often as told, up to the first that fails."""
        for event in HOOKS:
            for _ in range(times):
                ended = self.hook(event, archive)
                if ended.status:
                    return event, ended
        return "", ended

    def live(self, number: int, image: str, **changes: object) -> str:
        """Deploy what must succeed, and return the container that is live then."""
        failed, ended = self.deploy(self.bundle(number, image, **changes))
        assert not failed, ended.log
        return self.served_by()

    def get(self, path: str = "/") -> tuple[int, str, str]:
        """GET through the proxy: status, body, the container that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers["X-Esteira-Release"] or ""
        finally:
            connection.close()

    def served_by(self) -> str:
        """The container that answers now."""
        return self.get()[2]

    def containers(self, *filters: str) -> list[str]:
        """The service's containers, running or not, by name."""
        options = [word for each in filters for word in ("--filter", each)]
        label = f"label=esteira.service={self.service}"
        return sorted(run("docker", "ps", "-a", "--filter", label, *options, "--format", "{{.Names}}").split())

    def images(self) -> list[str]:
        """The service's images in the engine, by digest."""
        repository = f"{self.registry}/{self.service}"
        return sorted(
            run("docker", "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}", repository).split()
        )


@pytest.fixture
def host(registry: str, tmp_path: Path) -> Iterator[Host]:
    """A host with nothing on it."""
    host = Host(tmp_path, registry, f"heart-{uuid.uuid4().hex[:6]}")
    host.start()
    yield host
    host.stop()


def inspected(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    return dict(json.loads(run("docker", "inspect", container))[0])


class Traffic:
    """Requests without a pause, each on a connection of its own, while the block runs."""

    def __init__(self, host: Host) -> None:
        self.host, self.bodies, self.failed = host, list[str](), list[str]()
        self._over, self._threads = threading.Event(), [threading.Thread(target=self._send) for _ in range(2)]

    def _send(self) -> None:
        while not self._over.is_set():
            try:
                status, body, _ = self.host.get()
                (self.bodies if status == 200 else self.failed).append(body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_a_first_release_becomes_live_through_the_proxy(host: Host) -> None:
    """On an empty host the release answers on the proxy's port, confined, on loopback, and labelled for a reader."""
    live = host.live(1, host.image("one"), environment={"GREETING": 'it\'s a "$HOME"\nof two lines'})
    assert host.get()[:2] == (200, "one")
    assert host.containers() == [live]
    known = inspected(live)
    assert known["HostConfig"]["ReadonlyRootfs"]
    assert known["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert known["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert {binding["HostIp"] for binding in known["HostConfig"]["PortBindings"]["8080/tcp"]} == {"127.0.0.1"}
    assert known["Config"]["Labels"]["esteira.release"] == "v1"
    assert 'GREETING=it\'s a "$HOME"\nof two lines' in known["Config"]["Env"]


def test_a_second_release_replaces_the_first_and_no_request_fails(host: Host) -> None:
    """Under traffic without a pause every request is answered, and one begun on the old container ends there."""
    first = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), drain_seconds=5)
    slow: list[tuple[int, str, str]] = []
    with Traffic(host) as traffic:
        assert host.hook("BeforeInstall", archive).status == 0
        begun = threading.Thread(target=lambda: slow.append(host.get("/cgi-bin/slow")))
        begun.start()
        for event in ("ApplicationStart", "ValidateService"):
            ended = host.hook(event, archive)
            assert ended.status == 0, ended.log
        begun.join()
        seen = len(traffic.bodies)
        until("traffic after the swap", lambda: len(traffic.bodies) > seen + 10)
    assert traffic.failed == []
    assert set(traffic.bodies) == {"one", "two"}
    assert slow == [(200, "slow one", first)]
    assert host.get()[1] == "two"
    assert host.containers("status=exited") == [first]


def test_a_release_that_crashes_at_start_leaves_the_live_one_untouched(host: Host) -> None:
    """The candidate is gone, the live one is the same process, the log ends with its last words and one sentence."""
    live = host.live(1, host.image("one"))
    before = inspected(live)["State"], host.site.read_text()
    crash = host.image("two", "for n in $(seq 200); do echo line $n: löwe; done; echo no model file; exit 3")
    failed, ended = host.deploy(host.bundle(2, crash))
    assert failed == "ApplicationStart"
    assert (inspected(live)["State"], host.site.read_text()) == before
    assert host.containers() == [live]
    assert host.get()[1] == "one"
    assert "line 200: löwe\nno model file" in ended.log
    assert "expected 200, got the end of the process (exit code 3); " in ended.sentence
    assert f"ApplicationStart of {host.service} v2 failed" in ended.sentence
    assert f"{live} is live. Next: " in ended.sentence


def test_a_release_that_never_answers_its_health_path_is_removed(host: Host) -> None:
    """The sentence says which check, what was expected and what came instead."""
    live = host.live(1, host.image("one"))
    sick = host.bundle(2, host.image("two"), health_path="/healthz", startup_seconds=1)
    failed, ended = host.deploy(sick)
    assert failed == "ApplicationStart"
    assert "GET /healthz of" in ended.sentence
    assert "within 1 s: expected 200, got 404; " in ended.sentence
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_failed_first_release_leaves_the_host_as_it_was(host: Host) -> None:
    """No container, no nginx file, and the sentence says that nothing is live."""
    failed, ended = host.deploy(host.bundle(1, host.image("one", "exit 1")))
    assert failed == "ApplicationStart"
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []
    assert f"no release of {host.service} is live on this host" in ended.sentence


def test_a_release_that_fails_through_the_proxy_is_turned_back(host: Host) -> None:
    """Healthy by itself and not for a client: the old one answers again, the new one is gone, no request was lost."""
    live = host.live(1, host.image("one"))
    before = host.site.read_text()
    own = host.conf_dir / f"esteira-{host.service}.d" / "own.conf"
    own.parent.mkdir()
    own.write_text("location = /ping { return 403; }\n")
    with Traffic(host) as traffic:
        failed, ended = host.deploy(host.bundle(2, host.image("two")))
    assert failed == "ValidateService"
    assert traffic.failed == []
    assert "expected 200 from" in ended.sentence
    assert "got 403 " in ended.sentence
    assert f"{live} is live" in ended.sentence
    assert host.site.read_text() == before
    assert host.containers() == [live]
    assert host.get()[1:] == ("one", live)


def test_a_broken_nginx_configuration_stops_the_swap(host: Host) -> None:
    """Someone else's broken file: found before anything starts, or at the turn, and the live one goes on."""
    live = host.live(1, host.image("one"))
    before = host.site.read_text()
    archive = host.bundle(2, host.image("two"))
    assert host.hook("BeforeInstall", archive).status == 0
    broken = host.conf_dir / "zz-other.conf"
    broken.write_text("serve {}\n")
    for event in ("BeforeInstall", "ApplicationStart"):
        ended = host.hook(event, archive)
        assert ended.status == 1
        assert 'unknown directive "serve"' in ended.sentence
    assert host.site.read_text() == before
    assert host.containers() == [live]
    assert host.served_by() == live
    broken.unlink()
    assert host.deploy(archive)[0] == ""
    assert host.get()[1] == "two"


def test_every_hook_may_run_twice(host: Host) -> None:
    """Twice is once: the same containers, the same file, nothing pending."""
    first = host.live(1, host.image("one"))
    failed, ended = host.deploy(host.bundle(2, host.image("two")), times=2)
    assert not failed, ended.log
    second = host.served_by()
    assert host.containers() == sorted([first, second])
    assert host.containers("status=running") == [second]
    assert [path.name for path in host.conf_dir.iterdir()] == [host.site.name]


def test_a_rollback_starts_the_kept_container_again(host: Host) -> None:
    """The former release comes back as the very container that was stopped; the one rolled back is kept."""
    one, two = host.image("one"), host.image("two")
    first = host.live(1, one)
    kept = inspected(first)["Id"]
    second = host.live(2, two)
    assert host.live(1, one) == first
    assert inspected(first)["Id"] == kept
    assert inspected(first)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.get()[1] == "one"
    assert host.containers("status=exited") == [second]


def test_two_releases_are_kept_and_older_ones_go_with_their_images(host: Host) -> None:
    """After three releases the host has the live one and the one before, and no image besides theirs."""
    images = [host.image(says) for says in ("one", "two", "three")]
    names = [host.live(number, each) for number, each in enumerate(images, 1)]
    assert host.containers() == sorted(names[1:])
    assert host.images() == sorted(images[1:])


def test_a_hook_ended_by_its_timeout_takes_its_candidate_away(host: Host) -> None:
    """The agent's TERM to the process group: the candidate is gone, the live one serves, the sentence says so."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", archive).status == 0
    process = host.begin("ApplicationStart", archive)
    until("the candidate", lambda: len(host.containers("status=running")) == 2)
    os.killpg(process.pid, signal.SIGTERM)
    ended = host.end(process)
    assert ended.status == 143
    assert "ended from outside" in ended.sentence
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_candidate_left_by_a_killed_hook_is_cleared_by_the_next(host: Host) -> None:
    """Killed without a word, a hook leaves a candidate that does not restart; the next deployment removes it."""
    host.live(1, host.image("one"))
    dead = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", dead).status == 0
    process = host.begin("ApplicationStart", dead)
    until("the candidate", lambda: len(host.containers("status=running")) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (left,) = [name for name in host.containers() if name != host.served_by()]
    assert inspected(left)["HostConfig"]["RestartPolicy"]["Name"] == "no"
    host.live(3, host.image("three"))
    assert left not in host.containers()
    assert host.get()[1] == "three"


def test_a_live_container_removed_by_hand_comes_back_by_a_redeployment(host: Host) -> None:
    """Somebody removed the live container: the same release deployed again answers, not taken for the old one."""
    image = host.image("one")
    run("docker", "rm", "--force", host.live(1, image))
    assert host.get()[0] == 502
    before = host.site.read_text()
    assert host.deploy(host.bundle(1, image, health_path="/never", startup_seconds=1))[0] == "ApplicationStart"
    assert host.site.read_text() == before
    live = host.live(1, image)
    assert host.get()[:2] == (200, "one")
    assert host.containers("status=running") == [live]


def test_a_swap_cut_off_before_the_turn_retires_nothing(host: Host) -> None:
    """The live release's file saved and then nothing turned: the live one deployed again stays, running."""
    image = host.image("one")
    live = host.live(1, image)
    shutil.copy(host.site, f"{host.site}.before")
    assert host.live(1, image) == live
    assert host.containers("status=running") == [live]


def test_two_deployments_at_once_take_turns(host: Host) -> None:
    """Whichever turns the proxy last is validated; the other is told which one is live, and nothing is half done."""
    archives = [host.bundle(number, host.image(str(number))) for number in (1, 2)]
    for archive in archives:
        assert host.hook("BeforeInstall", archive).status == 0
    for event, wanted in (("ApplicationStart", [0, 0]), ("ValidateService", [0, 1])):
        processes = [host.begin(event, archive) for archive in archives]
        ended = [host.end(process) for process in processes]
        assert sorted(each.status for each in ended) == wanted, [each.log for each in ended]
    live = host.served_by()
    assert any("another deployment, or a person, came in between" in each.sentence for each in ended)
    assert host.containers("status=running") == [live]


def test_an_image_that_is_not_in_the_registry_is_named(host: Host) -> None:
    """BeforeInstall says what it could not pull, and the host is as it was."""
    image = f"{host.registry}/{host.service}@sha256:{'0' * 64}"
    failed, ended = host.deploy(host.bundle(1, image))
    assert failed == "BeforeInstall"
    assert f"docker pull {image}: " in ended.sentence
    assert "nothing on the host was changed. Next: " in ended.sentence


def test_an_engine_that_does_not_answer_is_named(host: Host) -> None:
    """BeforeInstall says that Docker is down and how to start it."""
    ended = host.hook("BeforeInstall", host.bundle(1, host.image("one")), DOCKER_HOST=f"unix://{host.where}/none.sock")
    assert ended.status == 1
    assert "the Docker engine does not answer" in ended.sentence
    assert "systemctl enable --now docker" in ended.sentence


def test_an_instance_without_a_role_is_told_what_to_give_it(host: Host) -> None:
    """An image in ECR and no credentials: the sentence carries AWS's words, and no token is left on the host."""
    tools, spare = host.where / "tools", host.where / "spare"
    tools.mkdir()
    spare.mkdir()
    aws = tools / "aws"
    aws.write_text('#!/bin/sh\necho "$@" >&2\necho Unable to locate credentials >&2\nexit 253\n')
    aws.chmod(0o755)
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/heart@sha256:{'0' * 64}"
    ended = host.hook(
        "BeforeInstall", host.bundle(1, image), PATH=f"{tools}:{host.environment['PATH']}", TMPDIR=str(spare)
    )
    assert ended.status == 1
    assert (
        "no ECR token for 123456789012.dkr.ecr.eu-west-1.amazonaws.com: Unable to locate credentials" in ended.sentence
    )
    assert "ecr:GetAuthorizationToken" in ended.sentence
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"port": "8080"}, "port is '8080', expected a whole number from 1 to 65535"),
        ({"health_path": "ping"}, "health_path is 'ping', expected a path that begins with /"),
        ({"service": "a; reboot"}, "service is 'a; reboot', expected lower-case letters"),
        ({"digest": "sha256:" + "1" * 64}, "expected it to end in @sha256:111"),
        ({"environment": {"A B": "x"}}, "environment names 'A B'"),
        ({"environment": {"TOKEN": 5}}, "environment's TOKEN is not a text"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused_by_field(host: Host, changes: dict[str, object], said: str) -> None:
    """Every hook refuses it with the field's name and what it should hold, and changes nothing."""
    archive = host.bundle(1, f"{host.registry}/heart@sha256:{'0' * 64}", **changes)
    for event in HOOKS:
        ended = host.hook(event, archive)
        assert ended.status == 1
        assert said in ended.sentence
        assert "nothing on the host was changed. Next: " in ended.sentence
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []
