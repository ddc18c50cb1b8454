"""What else dies in the middle of a swap: the candidate, nginx, the Docker engine itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.ec2 import MARKS, Host, run, until

pytestmark = MARKS


def turned(host: Host, number: int, image: str) -> Path:
    """Take a release up to the end of ApplicationStart; return its bundle."""
    archive = host.bundle(number, image)
    for event in ("BeforeInstall", "ApplicationStart"):
        ended = host.hook(event, archive)
        assert ended.status == 0, ended.log
    return archive


def test_a_candidate_killed_before_its_validation_is_turned_back(host: Host) -> None:
    """Whoever sees it first, the switch or ValidateService: the former one is live again, the cause is said, the next
    release succeeds."""
    live = host.live(1, host.image("one"))
    archive = turned(host, 2, host.image("two"))
    candidate = host.armed.read_text().split()[1]
    run("docker", "kill", candidate)
    ended = host.hook("ValidateService", archive)
    assert ended.status == 1
    assert f"{candidate} ended " in ended.sentence
    assert "exit code 137" in ended.sentence
    assert f"{live} is live" in ended.sentence
    assert host.get()[1:] == ("one", live)
    host.live(3, host.image("three"))
    assert host.get()[1] == "three"


def test_nginx_killed_and_started_again_after_the_turn_answers_from_the_new_release(host: Host) -> None:
    """Its file is whole, whatever moment it dies at, and the validation goes on."""
    host.live(1, host.image("one"))
    archive = turned(host, 2, host.image("two"))
    host.kill_nginx()
    host.start_nginx()
    ended = host.hook("ValidateService", archive)
    assert ended.status == 0, ended.log
    assert host.get()[1] == "two"


def test_nginx_killed_before_the_turn_fails_the_release_and_nothing_else(host: Host) -> None:
    """The reload is refused with a sentence; once nginx is back it serves the former release."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"))
    assert host.hook("BeforeInstall", archive).status == 0
    host.kill_nginx()
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 1
    assert "or start nginx" in ended.sentence
    host.start_nginx()
    assert host.get()[1:] == ("one", live)
    assert host.containers() == [live]
    assert host.deploy(archive)[0] == ""
    assert host.get()[1] == "two"


class Engine:
    """A Docker engine of the test's own: its own data, socket, bridge; no firewall rule of the machine is touched."""

    def __init__(self, where: Path) -> None:
        self.where, self.bridge = where, f"est{uuid.uuid4().hex[:8]}"
        self.address = f"unix://{where}/sock"
        run("ip", "link", "add", "name", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"10.{200 + os.getpid() % 50}.{os.getpid() % 250}.1/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        self.containerd = self.begin(  # a service of its own, as on Amazon Linux and Debian
            "containerd", "--address", f"{where}/containerd.sock", "--root", f"{where}/containerd",
            "--state", f"{where}/state", "--config", str(self.configuration()),
        )  # fmt: skip
        until("containerd", lambda: (where / "containerd.sock").exists())
        self.start()

    def configuration(self) -> Path:
        """containerd's own: only what is Docker's."""
        path = self.where / "containerd.toml"
        path.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        return path

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a service, its words in our log."""
        with (self.where / "log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def start(self) -> None:
        """Start it, as service.yaml's user data has it: a restart leaves containers running."""
        self.process = self.begin(
            "dockerd", "--host", self.address, "--data-root", f"{self.where}/data", "--exec-root", f"{self.where}/exec",
            "--pidfile", f"{self.where}/pid", "--containerd", f"{self.where}/containerd.sock", "--bridge", self.bridge,
            "--iptables=false", "--ip-masq=false", "--ip-forward=false", "--live-restore",
        )  # fmt: skip
        until("the engine", lambda: self.asked("version").returncode == 0)

    def asked(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask it something."""
        command = ["docker", "--host", self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def running(self) -> list[str]:
        """The containers that run."""
        return sorted(self.asked("ps", "--format", "{{.Names}}").stdout.split())

    def kill(self) -> None:
        """End dockerd without a word; its containers run on."""
        self.process.kill()
        self.process.wait()
        (self.where / "pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Take everything away again."""
        if self.process.poll() is not None:
            self.start()
        self.asked("rm", "--force", *self.asked("ps", "--all", "--quiet").stdout.split())
        self.asked("network", "rm", "esteira")
        for process in (self.process, self.containerd):
            process.terminate()
            process.wait()
        # With --live-restore it leaves its mount behind.
        subprocess.run(["umount", "--lazy", f"{self.where}/data"], capture_output=True, check=False)
        run("ip", "link", "del", self.bridge)


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that a test may kill."""
    if not shutil.which("dockerd") or not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("an engine of the test's own needs dockerd, ip and root")
    engine = Engine(tmp_path_factory.mktemp("e"))
    yield engine
    engine.stop()


def test_an_engine_killed_in_the_middle_of_a_swap_comes_back_with_a_live_release(host: Host, engine: Engine) -> None:
    """Killed after the turn: what runs runs on, the switch waits for the engine, and the next release succeeds."""
    host.environment["DOCKER_HOST"] = engine.address
    live = host.live(1, host.image("one"))
    archive = turned(host, 2, host.image("two"))
    engine.kill()
    _, candidate = host.armed.read_text().split()
    host.armed.write_text(f"0 {candidate}\n")  # the switch's time is over, and it can do nothing yet
    ended = host.hook("ValidateService", archive)
    assert ended.status == 1
    engine.start()
    until("the switch", lambda: not host.armed.exists())
    until("the former release", lambda: host.get()[1:] == ("one", live))
    assert engine.running() == [live]
    failed, ended = host.deploy(host.bundle(3, host.image("three")))
    assert failed == "", ended.log
    assert host.get()[1] == "three"
    assert engine.running() == [host.served_by()]


def test_an_engine_killed_while_a_candidate_starts_fails_the_release_alone(host: Host, engine: Engine) -> None:
    """The hook says so, the live one is live when the engine is back, and no candidate is left behind for long."""
    host.environment["DOCKER_HOST"] = engine.address
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", archive).status == 0
    process = host.begin("ApplicationStart", archive)
    until("the candidate", lambda: len(engine.running()) == 2)
    engine.kill()
    assert host.end(process).status == 1
    engine.start()
    host.let_time_pass()
    until("the live release", lambda: host.get()[1:] == ("one", live))
    assert engine.running() == [live]
    failed, ended = host.deploy(host.bundle(3, host.image("three")))
    assert failed == "", ended.log
    assert host.get()[1] == "three"


@pytest.fixture
def small_disk(host: Host) -> Iterator[Path]:
    """nginx's directory on a disk of its own, which a test may fill with this file."""
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(host.conf_dir)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("a disk of the test's own needs the right to mount")
    yield host.conf_dir / "everything"
    run("umount", str(host.conf_dir))


def fill(file: Path) -> None:
    """Write until nothing more goes in."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as everything:
        while True:
            everything.write(b"x" * 4096)


@pytest.mark.parametrize("event", ["ApplicationStart", "ValidateService"])
def test_a_full_disk_is_named_and_the_release_that_is_said_to_be_live_stays(
    host: Host, small_disk: Path, event: str
) -> None:
    """Before the turn and after it: the sentence names the disk, and what it calls live answers then and later."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"))
    assert host.hook("BeforeInstall", archive).status == 0
    if event == "ValidateService":
        assert host.hook("ApplicationStart", archive).status == 0
    fill(small_disk)
    ended = host.hook(event, archive)
    assert ended.status == 1, ended.log
    assert (
        f"{event} of {host.service} v2 failed: the disk that holds {host.conf_dir} is full; {live} is live. "
        in ended.log
    )
    assert host.get()[1:] == ("one", live)
    assert not host.armed.exists()
    small_disk.unlink()
    assert host.deploy(archive)[0] == ""
    assert host.get()[1] == "two"
