"""Kill -9 of the hook's process group before and after each command it runs: the host heals, and the next deployment
succeeds. A fifth of the points by default; ``ESTEIRA_CRASH_POINTS=all`` tries every one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.docker.ec2 import MARKS, Host, Traffic, inspected, until

pytestmark = [*MARKS, pytest.mark.timeout(1800)]

ALL = os.environ.get("ESTEIRA_CRASH_POINTS") == "all"
AT_ONCE = 4  # hosts; most of a deployment is waiting
COMMANDS = (
    "docker",
    "nginx",
    "mv",
    "cp",
    "rm",
    "curl",
    "sed",
    "sleep",
    "python3",
    "flock",
    "setsid",
    "grep",
    "cat",
    "ln",
    "mkdir",
    "readlink",
)
# Counts the hook's commands, and kills its whole process group at the one it is told, before or after that has run. The
# switch, which is no part of the hook, is let through.
WRAPPER = """#!/bin/bash
if [[ $LIFECYCLE_EVENT == switch ]]; then exec {real} "$@"; fi
exec 7>>{count}
flock 7
echo "${{0##*/}} $*" >&7
at=$(wc -l <{count})
exec 7>&-
if [[ $at == "$KILL_AT" && $KILL_WHEN == before ]]; then kill -KILL 0; fi
{real} "$@"
status=$?
if [[ $at == "$KILL_AT" && $KILL_WHEN == after ]]; then kill -KILL 0; fi
exit $status
"""


def wrap(host: Host) -> None:
    """Put the counting commands in front of the host's PATH."""
    tools = host.where / "tools"
    tools.mkdir()
    path = host.environment["PATH"]
    for name in COMMANDS:
        real = shutil.which(name, path=path)
        (tools / name).write_text(WRAPPER.format(real=real, count=host.where / "count").replace("flock 7", FLOCK))
        (tools / name).chmod(0o755)
    host.environment["PATH"] = f"{tools}:{path}"


FLOCK = f"{shutil.which('flock')} 7"


def counted(host: Host, event: str, archive: Path, at: int = 0, when: str = "") -> tuple[int, int]:
    """Run a hook that is killed at a command; return its status and how many commands it began."""
    (host.where / "count").write_text("")
    status = host.hook(event, archive, KILL_AT=str(at), KILL_WHEN=when).status
    return status, len((host.where / "count").read_text().splitlines())


@contextmanager
def fresh_host(registry: str, where: Path) -> Iterator[Host]:
    """A host with one release live."""
    where.mkdir()
    host = Host(where, registry, f"heart-{uuid.uuid4().hex[:6]}")
    host.start()
    try:
        wrap(host)
        yield host
    finally:
        host.stop()


def is_watched(host: Host) -> bool:
    """Whether a dead-man's switch of this host is there."""
    return subprocess.run(["pgrep", "-f", f"{host.where}/.*watch.sh"], capture_output=True, check=False).returncode == 0


def heal(host: Host) -> None:
    """Let the switch's time pass, where there is one."""
    if host.armed.exists():
        _, candidate = host.armed.read_text().split()
        host.armed.write_text(f"0 {candidate}\n")


def try_points(host: Host, points: list[tuple[str, int, str]], failures: list[str]) -> None:
    """Kill the hook at each point, on a host with a live release; then the host heals and the next one goes live."""
    images = [host.image("even"), host.image("odd")]
    number = 1
    host.live(number, images[1])
    with Traffic(host, pause=0.05) as traffic:
        for event, at, when in points:
            number += 1
            archive = host.bundle(number, images[number % 2])
            assert host.hook("BeforeInstall", archive).status == 0
            if event == "ValidateService":
                assert host.hook("ApplicationStart", archive).status == 0
            status, _ = counted(host, event, archive, at, when)
            point = f"{event}, {when} command {at}"
            # How often a wait looks differs from run to run, so that a hook may end before it comes to the last few.
            assert status in (0, -signal.SIGKILL), f"{point}: it was not killed, status {status}"
            heal(host)
            problem = problem_after(host, images, number)
            if problem:
                failures.append(f"{point}: {problem}")
                return
    failures += [f"a request failed: {said}" for said in traffic.failed]


def problem_after(host: Host, images: list[str], number: int) -> str:
    """Return "" if one container is live and answers, and the same release deployed again goes live."""
    try:
        until("a settled host", lambda: host.is_settled or not is_watched(host))
        live = host.served_by()
        if host.containers("status=running") != [live]:  # a hook killed before it had a watch had not begun anything
            return f"{host.containers('status=running')} run, {live} is live"
        if live != host.rollout[1]:
            return f"the link names {host.rollout[1]}, and {live} answers"
        if not inspected(live)["State"]["Running"] or host.get()[0] != 200:
            return f"{live} does not answer"
        failed, ended = host.deploy(host.bundle(number, images[number % 2]))
        if failed:
            return f"the next deployment failed: {ended.log}"
        if host.containers("status=running") != [host.served_by()]:
            return f"{host.containers('status=running')} run, {host.served_by()} is live"
        return "" if host.is_settled else f"left behind: {sorted(path.name for path in host.conf_dir.iterdir())}"
    except AssertionError as error:
        return str(error)


def test_a_hook_killed_anywhere_leaves_a_live_release_and_the_next_deployment_succeeds(
    registry: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Before and after every command of ApplicationStart and ValidateService: one container answers at every moment."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(fresh_host(registry, tmp_path / f"host{n}")) for n in range(AT_ONCE)]
        measured = hosts[0]
        measured.live(1, measured.image("first"))
        archive = measured.bundle(2, measured.image("second"))
        assert measured.hook("BeforeInstall", archive).status == 0
        points = []
        for event in ("ApplicationStart", "ValidateService"):
            status, commands = counted(measured, event, archive)
            assert status == 0
            points += [(event, at, when) for at in range(1, commands + 1) for when in ("before", "after")]
        tried = points if ALL else points[::5]
        record_property("crash_points", f"{len(tried)} of {len(points)}")
        print(f"{len(tried)} of {len(points)} points tried")
        failures: list[str] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(try_points, host, tried[n::AT_ONCE], failures) for n, host in enumerate(hosts)]:
                done.result()
        assert failures == []
