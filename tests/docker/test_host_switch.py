"""The dead-man's switch and the drain: what a host does about a swap nobody ends, and how the old release leaves."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.docker.ec2 import MARKS, SERVE_SOCKETS, Host, Traffic, inspected, run, until

pytestmark = MARKS

CLOSE_1012 = b"\x88\x02\x03\xf4"


def started(host: Host, archive: Path) -> None:
    """Take a bundle up to the end of ApplicationStart: the traffic has turned and nothing is validated."""
    for event in ("BeforeInstall", "ApplicationStart"):
        ended = host.hook(event, archive)
        assert ended.status == 0, ended.log


def opened(host: Host) -> socket.socket:
    """A WebSocket through the proxy, after its first frame."""
    sock = socket.create_connection(("127.0.0.1", host.port), timeout=60)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    seen = b""
    while not seen.endswith(b"hi"):
        piece = sock.recv(1000)
        assert piece, seen
        seen += piece
    return sock


def test_a_host_whose_agent_dies_after_the_turn_puts_the_former_release_back(host: Host) -> None:
    """No validation within its time: the former one answers, the candidate is gone, no request failed, it is logged."""
    live = host.live(1, host.image("one"))
    before = host.rollout
    archive = host.bundle(2, host.image("two"), validation_seconds=1)
    with Traffic(host) as traffic:
        started(host, archive)
        until("the switch", lambda: not host.armed.exists())
    assert traffic.failed == []
    assert host.get()[1:] == ("one", live)
    assert host.containers() == [live]
    assert host.rollout == before
    assert host.is_settled
    said = rf"Z {host.service}-v2-\d+ was not validated in time.*: {live} is live"
    until("a line in the log", lambda: re.search(said, host.log))
    ended = host.hook("ValidateService", archive)
    assert ended.status == 1
    assert f"expected {host.service} v2 to be live, got {live}: " in ended.sentence
    assert "was not validated in time, so the host had put back what was live before; " in ended.sentence
    assert f"see {host.where}" in ended.sentence


def test_a_validated_release_is_left_alone_by_the_switch(host: Host) -> None:
    """After ValidateService nothing is armed, nobody watches, and a later time changes nothing."""
    host.live(1, host.image("one"))
    live = host.live(2, host.image("two"), validation_seconds=5)
    assert not host.armed.exists()
    until("the end of the watch", lambda: not watchers(host))
    assert host.served_by() == live
    assert host.log == ""


def test_the_switch_of_a_deployment_leaves_the_next_one_alone(host: Host) -> None:
    """Another deployment came in between: it undoes the unvalidated one, and its own time counts from then on."""
    live = host.live(1, host.image("one"))
    started(host, host.bundle(2, host.image("two"), validation_seconds=1500))
    archive = host.bundle(3, host.image("three"))
    assert host.hook("BeforeInstall", archive).status == 0
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 0, ended.log
    assert f"{host.service}-v2-" in ended.log
    assert f"was never validated and is removed; {live} is live" in ended.log
    assert host.hook("ValidateService", archive).status == 0
    assert host.get()[1] == "three"
    assert host.containers("status=running") == [host.served_by()]


def test_a_first_release_nobody_validates_leaves_nothing(host: Host) -> None:
    """There was nothing to go back to: no container, no nginx file."""
    started(host, host.bundle(1, host.image("one")))
    host.let_time_pass()
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []
    until("a line in the log", lambda: f"no release of {host.service} is live on this host" in host.log)


def test_a_hook_killed_while_its_candidate_starts_is_cleaned_up_by_the_switch(host: Host) -> None:
    """No next deployment is needed: when its time is over the candidate goes."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", archive).status == 0
    process = host.begin("ApplicationStart", archive)
    until("the candidate", lambda: len(host.containers("status=running")) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    host.let_time_pass()
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_validation_killed_after_it_accepted_is_ended_by_the_switch(host: Host) -> None:
    """Accepted is accepted: the new one stays, the old one is stopped and kept."""
    first = host.live(1, host.image("one", command="httpd -p 8080 -h /www; sleep 600"))  # deaf to TERM: a slow stop
    archive = host.bundle(2, host.image("two"))
    started(host, archive)
    process = host.begin("ValidateService", archive)
    until("the acceptance", lambda: not host.armed.exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    until("the end of the swap", lambda: host.is_settled)
    assert host.get()[1] == "two"
    assert host.containers("status=exited") == [first]


def test_the_switch_holds_neither_the_hooks_output_nor_the_hosts_lock(host: Host) -> None:
    """The agent waits for the end of a hook's output: it comes with the hook's end, and the lock is free then."""
    host.live(1, host.image("one"))
    started(host, host.bundle(2, host.image("two"), validation_seconds=1500))  # communicate() returned
    until("one watch", lambda: len(watchers(host)) == 1)  # each step of the hook starts one, they agree on one
    (watcher,) = watchers(host)
    held = {each.readlink().name for each in Path(f"/proc/{watcher}/fd").iterdir() if each.exists()}
    assert held <= {"null", "esteira.log", f"lock.{host.service}", "watch.sh"}
    assert os.getsid(watcher) not in (os.getsid(0), 0)
    run("flock", "--nonblock", host.environment["ESTEIRA_LOCK"], "true")


def watchers(host: Host) -> list[int]:
    """The processes that are this host's dead-man's switch."""
    found = subprocess.run(["pgrep", "-f", f"{host.where}.*watch.sh"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def test_under_systemd_the_switch_is_an_enabled_unit(host: Host) -> None:
    """What a reboot in the middle of a swap starts again: a unit systemd finds no fault with."""
    tools, units = host.where / "tools", host.where / "units"
    tools.mkdir()
    units.mkdir()
    told = host.where / "told"
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    (tools / "systemctl").chmod(0o755)
    live = host.live(1, host.image("one"))
    until("the end of the first deployment's watch", lambda: not watchers(host))  # it is not systemd's
    host.environment |= {
        "ESTEIRA_SYSTEMD": "yes", "ESTEIRA_UNITS": str(units), "PATH": f"{tools}:{host.environment['PATH']}",
    }  # fmt: skip
    archive = host.bundle(2, host.image("two"))
    started(host, archive)
    (unit,) = units.iterdir()
    assert unit.name == f"esteira-switch-{host.service}.service"
    assert {"daemon-reload", f"enable --quiet {unit.name}", f"restart --no-block {unit.name}"} <= set(
        told.read_text().splitlines()
    )
    if shutil.which("systemd-analyze"):
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
        )
        assert host.service not in verified.stderr, verified.stderr
    text = unit.read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    environment = dict(re.findall(r'^Environment="?([A-Z_]+)=([^"\n]*)"?$', text, re.MULTILINE))
    _, candidate = host.armed.read_text().split()
    host.armed.write_text(f"0 {candidate}\n")  # the host comes up again, long after
    subprocess.run(command.split(), env={"PATH": host.environment["PATH"], **environment}, check=True, timeout=60)
    assert host.get()[1:] == ("one", live)
    assert host.containers() == [live]
    assert told.read_text().splitlines()[-1] == f"disable --quiet {unit.name}"


def test_a_drain_ends_when_nothing_is_open_any_more(host: Host) -> None:
    """A long drain time with nobody on the old container does not hold the deployment up; with somebody it waits."""
    first = host.live(1, host.image("one", SERVE_SOCKETS))
    archive = host.bundle(2, host.image("two"), drain_seconds=1500)
    sock = opened(host)
    started(host, archive)
    process = host.begin("ValidateService", archive)
    time.sleep(3)  # several looks at what is open
    assert process.poll() is None
    assert inspected(first)["State"]["Running"]
    sock.close()
    ended = host.end(process)
    assert ended.status == 0, ended.log
    assert "0 connections to it were open" in ended.log
    assert host.containers("status=exited") == [first]


def test_a_websocket_open_at_the_drain_deadline_gets_a_proper_close(host: Host) -> None:
    """Until the deadline it stands, then the container says goodbye itself (1012); the old one is stopped and kept."""
    first = host.live(1, host.image("one", SERVE_SOCKETS))
    sock = opened(host)
    archive = host.bundle(2, host.image("two"), drain_seconds=3)
    started(host, archive)
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    sock.settimeout(60)
    ended = host.hook("ValidateService", archive)
    assert ended.status == 0, ended.log
    assert "1 connections to it were open" in ended.log
    assert sock.recv(100) == CLOSE_1012
    assert sock.recv(100) == b""
    assert host.containers("status=exited") == [first]


def test_a_client_that_connected_and_asks_late_is_answered(host: Host) -> None:
    """A browser's connection made before the turn, whose first request comes after it, while the drain runs."""
    host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), drain_seconds=30)
    early = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    early.connect()
    started(host, archive)
    process = host.begin("ValidateService", archive)
    time.sleep(4)
    early.request("GET", "/")
    assert early.getresponse().read() == b"two"
    early.close()
    ended = host.end(process)
    assert ended.status == 0, ended.log
    assert host.get()[1] == "two"
