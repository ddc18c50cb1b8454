"""A new version under load: what the default bundle loses, and what the usual ways lose, on the same engine and image.

The model service's own image, in six versions, is replaced five times while an open-loop client (``swap_load``) sends
200 requests a second and holds 50 WebSockets open. In the same run: (1) esteira's default bundle, its hooks run as the
CodeDeploy agent runs them, behind nginx; (2) the script everybody writes, ``docker stop; docker rm; docker run``; (3)
``docker-compose up -d``, where that is installed; (4) the blue-and-green script of many a post.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from bench.swap_load import RATE, SOCKETS
from console.local.paths import MODEL_SERVICE, ROOT
from tests.docker.ec2 import HOOKS, Host, free_port, missing, registry_in, run

SWAPS = 5
DRAIN = 5  # seconds: the deadline until which a socket may stay
SETTLE = 4.0  # seconds of load before each swap: what "before" means
ROLLBACKS, ROLLBACK_SECONDS = 5, 2.0
PORT = 8080  # inside the container
LIMITS = ["--read-only", "--tmpfs", "/tmp", "--security-opt", "no-new-privileges"]
GOING_AWAY = (1001, 1012)  # close codes by which a server says goodbye; 1006 is a cut

Swap = Callable[[str], float]  # to an image; returns the moment from which a socket may stay DRAIN seconds


@dataclass(frozen=True)
class Span:
    """One swap's times, in seconds of CLOCK_MONOTONIC: from ``turned`` on a socket may stay DRAIN seconds."""

    begun: float
    turned: float
    end: float


@dataclass(frozen=True)
class Way:
    """One way to replace a container: ``up(image)`` yields the port that answers and how another image comes there."""

    name: str
    up: Callable[[str], AbstractContextManager[tuple[int, Swap]]]
    reason: str = ""  # why it is not on this machine


# --- the images -----------------------------------------------------------------------------------------------------


@contextmanager
def versions(registry: str, say: Callable[[str], None]) -> Iterator[list[str]]:
    """Build the model service's image once, give it a label per version, push all; yield them by digest."""
    say("training and building the model service's image")
    name = f"{registry}/heart"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "heart"
        shutil.copytree(MODEL_SERVICE, source, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "models"))
        ended(source, sys.executable, "train.py")
        ended(source, "docker", "build", "--quiet", "--tag", f"{name}:base", ".")
    found = []
    try:
        for number in range(SWAPS + 1):
            tag = f"{name}:v{number}"
            dockerfile = f"FROM {name}:base\nLABEL bench.version={number}\nENV RELEASE=v{number}\n"
            subprocess.run(
                ["docker", "build", "--quiet", "--tag", tag, "-"],
                input=dockerfile, text=True, capture_output=True, check=True,
            )  # fmt: skip
            found.append(f"{name}@{run('docker', 'push', tag).split('digest: ')[1].split()[0]}")
        yield found
    finally:
        names = run("docker", "image", "ls", "--format", "{{.ID}}", name).split()
        subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=False)


def ended(folder: Path, *command: str) -> None:
    """Run a command in a folder to its end. Raises BenchError with the end of what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-800:]}")


def environment() -> dict[str, str]:
    """What training in CodeBuild would be told."""
    return {**os.environ, "CODEBUILD_RESOLVED_SOURCE_VERSION": "0" * 40, "SOURCE_DATE_EPOCH": "1700000000"}


# --- the ways -------------------------------------------------------------------------------------------------------


@contextmanager
def by_esteira(image: str) -> Iterator[tuple[int, Swap]]:
    """The default bundle on a host with nginx, each hook as the agent runs it."""
    with hosted(image) as host:
        number = 1

        def swap(image: str) -> float:
            nonlocal number
            number += 1
            return deploy(host, number, image, DRAIN)

        yield host.port, swap


@contextmanager
def hosted(image: str, **environment: str) -> Iterator[Host]:
    """A host on which the image is live as v1; its hooks get this environment."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder), image.partition("/")[0], f"heart-{uuid.uuid4().hex[:6]}")
        host.start()
        host.environment |= environment
        try:
            deploy(host, 1, image, 0)
            yield host
        finally:
            host.stop()


def deploy(host: Host, number: int, image: str, drain: int) -> float:
    """Run the three hooks; return when the proxy had turned. Raises BenchError with what the failed one said."""
    archive, turned = host.bundle(number, image, drain_seconds=drain, startup_seconds=60), 0.0
    for event in HOOKS:
        said = host.hook(event, archive)
        if said.status:
            raise BenchError(f"esteira's {event} failed: {said.log}")
        if event == "ApplicationStart":
            turned = time.monotonic()
    return turned


@contextmanager
def by_script(image: str) -> Iterator[tuple[int, Swap]]:
    """docker pull; docker stop; docker rm; docker run, on one published port."""
    name, port = f"bench-{uuid.uuid4().hex[:6]}", free_port()

    def start(image: str) -> None:
        run("docker", "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:{PORT}", *LIMITS, image)

    def swap(image: str) -> float:
        begun = time.monotonic()
        run("docker", "pull", "--quiet", image)
        run("docker", "stop", name)
        run("docker", "rm", name)
        start(image)
        return begun

    try:
        start(image)
        yield port, swap
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@contextmanager
def by_compose(image: str) -> Iterator[tuple[int, Swap]]:
    """A changed image in docker-compose.yml, and ``up -d``."""
    command, port = compose(), free_port()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        file = Path(folder) / "docker-compose.yml"

        def swap(image: str) -> float:
            begun = time.monotonic()
            service = {"image": image, "ports": [f"127.0.0.1:{port}:{PORT}"], "read_only": True, "tmpfs": ["/tmp"]}
            file.write_text(json.dumps({"version": "3.7", "services": {"heart": service}}))
            run(*command, "--file", str(file), "up", "--detach")
            return begun

        try:
            swap(image)
            yield port, swap
        finally:
            subprocess.run([*command, "--file", str(file), "down"], capture_output=True, check=False)


def compose() -> list[str]:
    """The compose command of this machine, [] where there is none."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


@contextmanager
def by_blue_green(image: str) -> Iterator[tuple[int, Swap]]:
    """The script of many a post: start green beside blue, wait for it, point nginx at it and reload, stop blue."""
    colours = {f"bench-{uuid.uuid4().hex[:6]}-{colour}": free_port() for colour in ("blue", "green")}
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder), image.partition("/")[0], "bench")
        host.start()

        def start(name: str, image: str) -> None:
            port = colours[name]
            run("docker", "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:{PORT}", *LIMITS, image)
            if not reachable(port):
                raise BenchError(f"{name} never answered")
            host.site.write_text(
                f"server {{ listen 127.0.0.1:{host.port}; location / {{ proxy_pass http://127.0.0.1:{port}; "
                "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
                "proxy_set_header Connection upgrade; } }"
            )
            run("nginx", "-c", host.environment["ESTEIRA_NGINX_CONF"], "-s", "reload")

        def swap(image: str) -> float:
            begun = time.monotonic()
            run("docker", "pull", "--quiet", image)
            old, new = sorted(
                colours, key=lambda name: name not in run("docker", "ps", "--format", "{{.Names}}").split()
            )
            start(new, image)
            run("docker", "stop", old)
            run("docker", "rm", old)
            return begun

        try:
            start(next(iter(colours)), image)
            yield host.port, swap
        finally:
            subprocess.run(["docker", "rm", "--force", *colours], capture_output=True, check=False)
            host.stop()


def ways() -> list[Way]:
    """All that are compared."""
    no_compose = "" if compose() else "docker-compose is not installed here"
    return [
        Way("esteira's default bundle", by_esteira),
        Way("`docker stop; docker rm; docker run`", by_script),
        Way("`docker-compose up -d`", by_compose, no_compose),
        Way("blue and green: start, reload nginx, stop", by_blue_green),
    ]


# --- measuring ------------------------------------------------------------------------------------------------------


def measured(way: Way, images: Sequence[str]) -> dict[str, Any]:
    """Swap through all images under load; return the figures, or the reason why this way cannot be had."""
    if way.reason:
        return {"left_out": way.reason}
    try:
        with way.up(images[0]) as (port, swap):
            if not reachable(port):
                return {"left_out": "its port never answered on this machine"}
            return figures(*under_load(port, swap, images[1:]))
    except AssertionError as error:  # what `run` raises
        if way.up is by_esteira:
            raise BenchError(str(error)) from error
        return {"left_out": str(error).splitlines()[0][:200]}


def reachable(port: int) -> bool:
    """Whether the service answers within a minute."""
    url = f"http://127.0.0.1:{port}/ping"
    asked = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "2", "--output", "/dev/null", url]
    deadline = time.monotonic() + 60
    while subprocess.run(asked, check=False).returncode:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def under_load(port: int, swap: Swap, images: Sequence[str]) -> tuple[dict[str, Any], list[Span]]:
    """What the client saw, and the times of every swap."""
    command = [sys.executable, "-m", "bench.swap_load", str(port), "600"]
    client = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    spans = []
    try:
        time.sleep(SETTLE)  # its own start, and the first requests of a fresh process
        for image in images:
            time.sleep(SETTLE)
            begun = time.monotonic()
            turned = swap(image)
            spans.append(Span(begun, turned, time.monotonic()))
        time.sleep(SETTLE)
    finally:
        client.send_signal(signal.SIGTERM)
        seen, _ = client.communicate(timeout=60)
    if client.returncode:
        raise BenchError("the load's client ended early: see its words above")
    return json.loads(seen), spans


def figures(seen: dict[str, Any], spans: Sequence[Span]) -> dict[str, Any]:
    """What was lost and how long answers took: during the swaps and a second after each, and before them.

    A socket was cut if it ended without a goodbye (a close code of RFC 6455 that says so), or before it had DRAIN
    seconds from the moment its swap says, or without a swap.
    """
    first = spans[0].begun - SETTLE
    requests = [(at, latency, wrong) for at, latency, wrong in seen["requests"] if at >= first]
    during = [each for each in requests if any(span.begun <= each[0] <= span.end + 1 for span in spans)]
    before = [each for each in requests if any(span.begun - SETTLE + 1 <= each[0] < span.begun for span in spans)]
    ended = [(at, code) for at, code in seen["sockets"] if at >= first]
    early = [at for at, _ in ended if not any(span.turned + DRAIN <= at <= span.end + 1 for span in spans)]
    return {
        "swaps": len(spans),
        "requests": len(requests),
        "failed": sum(1 for _, _, wrong in requests if wrong),
        "failures": counted(wrong for _, _, wrong in requests if wrong),
        "sockets": seen["opened"],
        "sockets_ended": len(ended),
        "sockets_before_deadline": len(early),
        "sockets_without_goodbye": sum(1 for _, code in ended if code not in GOING_AWAY),
        "before_ms": quantiles(before),
        "during_ms": quantiles(during),
        "swap_seconds": statistics.median(span.end - span.begun for span in spans),
    }


def counted(words: Iterator[str]) -> dict[str, int]:
    """How often each word came."""
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def quantiles(requests: Sequence[tuple[float, float, str]]) -> dict[str, float]:
    """P50 and p99 of the good answers' latencies, in milliseconds."""
    good = [latency * 1000 for _, latency, wrong in requests if not wrong]
    if len(good) < 100:
        raise BenchError(
            f"only {len(good)} of {len(requests)} requests were answered: {counted(w for *_, w in requests)}"
        )
    cuts = statistics.quantiles(good, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def rollbacks(images: Sequence[str]) -> float:
    """The seconds, in the median, from the first hook to the turned proxy, back to a release that is kept."""
    with hosted(images[0]) as host:
        deploy(host, 2, images[1], 0)
        taken = []
        for number in range(ROLLBACKS):
            archive = host.bundle(number % 2 + 1, images[number % 2], startup_seconds=60)
            begun = time.monotonic()
            said = [host.hook(event, archive) for event in ("BeforeInstall", "ApplicationStart")]
            taken.append(time.monotonic() - begun)
            said.append(host.hook("ValidateService", archive))
            if any(hook.status for hook in said):
                raise BenchError(f"a rollback failed: {[hook.sentence for hook in said]}")
        return statistics.median(taken)


def run_all(say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of all ways, as plain values. Raises BenchError where no engine answers."""
    if reason := missing():
        raise BenchError(f"swaps need a Docker engine and nginx: {reason}")
    with (
        tempfile.TemporaryDirectory() as folder,
        registry_in(Path(folder)) as registry,
        versions(registry, say) as images,
    ):
        found = {}
        for way in ways():
            say(f"{SWAPS} swaps by {way.name}")
            found[way.name] = measured(way, images)
        say(f"{ROLLBACKS} rollbacks to a kept release")
        return {"ways": found, "rollback_seconds": rollbacks(images)}


# --- the report -----------------------------------------------------------------------------------------------------


def missed(result: dict[str, Any]) -> list[str]:
    """The promises that the figures break."""
    ours = next(iter(result["ways"].values()))
    lost = ("failed", "sockets_before_deadline", "sockets_without_goodbye")
    found = [f"{ours[name]} {name.replace('_', ' ')}, expected 0" for name in lost if ours[name]]
    if result["rollback_seconds"] >= ROLLBACK_SECONDS:
        found.append(f"a rollback took {result['rollback_seconds']:.1f} s, expected less than {ROLLBACK_SECONDS:g} s")
    return found


def table(result: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    return [
        (f"{SWAPS} swaps each under {RATE} requests a second (open loop, half on new connections) and {SOCKETS} "
        f"WebSockets; a socket may stay {DRAIN} s from the rollout of the proxy, or the script's begin:"),
        "",
        ("| | requests | failed | sockets ended | before the deadline | without a goodbye | p50, p99 ms before | then "
        "| a swap, s |"),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(row(name, found) for name, found in result["ways"].items()),
        "",
        (f"Back to a kept release, from the first hook to the turned proxy, median of {ROLLBACKS}: "
        f"{result['rollback_seconds']:.2f} s."),
    ]  # fmt: skip


def row(name: str, found: dict[str, Any]) -> str:
    """One way's line."""
    if "left_out" in found:
        return f"| {name} | not measured: {found['left_out']} |" + " |" * 7
    before, during = (f"{found[at]['p50']:.1f}, {found[at]['p99']:.1f}" for at in ("before_ms", "during_ms"))
    return (
        f"| {name} | {found['requests']:,} | {found['failed']} | {found['sockets_ended']} | "
        f"{found['sockets_before_deadline']} | {found['sockets_without_goodbye']} | {before} | {during} | "
        f"{found['swap_seconds']:.1f} |"
    )
