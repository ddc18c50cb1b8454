"""The way of a request through a host: the default bundle's nginx beside a plain one, in front of the same container.

The container's server is an nginx of its own that answers from memory, so what is measured is the proxy. The plain one
has one static upstream, keeps its connections and writes no log: the least nginx can do. ``wrk`` asks both in turns,
as fast as it can. Then releases are swapped while that goes on.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from bench.swap import deploy, hosted
from tests.docker.ec2 import add, answers, free_port, missing, registry_in, run, until

CLIENTS = (24, 64)
ROUNDS, SECONDS = 5, 3
SWAPS, SWAP_SECONDS = 3, 40
PROCESSOR_RATIO = 0.8  # plain nginx's processor time for each request over ours, at least
TICKS = os.sysconf("SC_CLK_TCK")
SERVER = """user root;
worker_processes 2;
pid /tmp/pid;
error_log stderr;
daemon off;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d;
  scgi_temp_path /tmp/e;
  server { listen 8080; location / { return 200 "VERSION"; } }
}
"""
PLAIN = """user root;
worker_processes 2;
pid FOLDER/pid;
error_log FOLDER/error.log;
worker_rlimit_nofile 16384;
events { worker_connections 4096; }
http {
  access_log off;
  upstream model { server ADDRESS; keepalive 1024; keepalive_requests 100000; keepalive_timeout 1s; }
  server {
    listen 127.0.0.1:PORT;
    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
"""


def server(registry: str, version: str) -> str:
    """An image of this machine's nginx, pushed; its name by digest."""
    program = shutil.which("nginx") or ""
    needed = re.findall(r"(/\S+) \(0x", run("ldd", program))
    rootfs = io.BytesIO()
    with tarfile.open(fileobj=rootfs, mode="w") as tar:
        add(tar, "nginx", Path(program).read_bytes(), 0o755)
        for library in needed:
            add(tar, library.lstrip("/"), Path(library).read_bytes(), 0o755)
        add(tar, "conf", SERVER.replace("VERSION", version).encode())
        add(tar, "etc/passwd", b"root:x:0:0::/:/\n")
        add(tar, "etc/group", b"root:x:0:\n")
    name = f"{registry}/heart:{version}"
    command = ["docker", "import", "--change", 'CMD ["/nginx", "-c", "/conf"]', "-", name]
    subprocess.run(command, input=rootfs.getvalue(), check=True, capture_output=True)
    digest = run("docker", "push", name).split("digest: ")[1].split()[0]
    run("docker", "image", "rm", name)
    return f"{registry}/heart@{digest}"


@contextmanager
def plain(address: str) -> Iterator[tuple[int, int]]:
    """A plain nginx in front of the container: its port and its process."""
    with tempfile.TemporaryDirectory() as folder:
        port, conf = free_port(), Path(folder) / "nginx.conf"
        conf.write_text(PLAIN.replace("FOLDER", folder).replace("ADDRESS", address).replace("PORT", str(port)))
        # In a session of its own, as the other one: the kernel shares processors among sessions.
        process = subprocess.Popen(["nginx", "-c", str(conf), "-g", "daemon off;"], start_new_session=True)
        try:
            until("the plain nginx", lambda: answers(port))
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def asked(port: int, clients: int, seconds: int) -> dict[str, float]:
    """What wrk says of so many clients that ask without a pause."""
    command = ["wrk", "--threads", "2", "--connections", str(clients), "--duration", f"{seconds}s", "--latency"]
    return read_wrk(run(*command, f"http://127.0.0.1:{port}/"))


def read_wrk(said: str) -> dict[str, float]:
    """Requests, requests a second, p50 and p99 in milliseconds, and everything that was no good answer."""
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    at = {name: float(n) * units[unit] for name, n, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)}
    requests = int((re.search(r"(\d+) requests in", said) or [0, 0])[1])
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said))
    rate = float((re.search(r"Requests/sec:\s+([\d.]+)", said) or [0, 0])[1])
    return {"requests": requests, "rps": rate, "p50": at.get("50", 0.0), "p99": at.get("99", 0.0), "errors": errors}


def processor(parent: int) -> float:
    """The processor seconds of an nginx's workers so far."""
    workers = run("pgrep", "--parent", str(parent)).split()
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in workers]
    return sum(int(each[11]) + int(each[12]) for each in stats) / TICKS


def measured(port: int, parent: int, clients: int) -> dict[str, float]:
    """One round."""
    before = processor(parent)
    found = asked(port, clients, SECONDS)
    return {**found, "us": (processor(parent) - before) / max(found["requests"], 1) * 1e6}


def beside(registry: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Both in turns, in front of one container; then swaps."""
    images = [server(registry, f"v{n}") for n in range(2)]
    # The link to what is live lies as deep as in /etc: nginx looks up each part of its path.
    with hosted(images[0], ESTEIRA_LINKS="/tmp") as host:
        found = re.search(r"server ([\d.:]+);", host.site.read_text())
        with plain(found[1] if found else "") as (port, parent):
            ways = {"plain nginx": (port, parent), "esteira's default bundle": (host.port, host.nginx.pid)}  # type: ignore[union-attr]
            rows = {}
            for clients in CLIENTS:
                say(f"{ROUNDS} rounds of {SECONDS} s with {clients} clients, in turns")
                rounds = [{name: measured(*at, clients) for name, at in ways.items()} for _ in range(ROUNDS)]
                rows[str(clients)] = {name: middle([each[name] for each in rounds]) for name in ways}
        say(f"{SWAPS} swaps meanwhile")
        swaps = swapped(host, images)
        for left in Path("/tmp").glob(f"esteira-{host.service}*"):
            left.unlink()
        return {"rows": rows, "swaps": swaps}


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The medians; all errors."""
    found = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {**found, "errors": sum(each["errors"] for each in rounds)}


def swapped(host: Any, images: list[str]) -> dict[str, float]:
    """What the clients saw while releases came and went."""
    command = ["wrk", "--threads", "2", "--connections", str(CLIENTS[0]), "--duration", f"{SWAP_SECONDS}s", "--latency"]
    client = subprocess.Popen([*command, f"http://127.0.0.1:{host.port}/"], stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    for number in range(SWAPS):
        deploy(host, number + 2, images[(number + 1) % 2], 1)
    if time.monotonic() - begun > SWAP_SECONDS:
        raise BenchError("the swaps took longer than the load: run it again on a machine that has less to do")
    said, _ = client.communicate()
    return {**read_wrk(said), "swaps": SWAPS}


def run_all(say: Callable[[str], None]) -> dict[str, Any]:
    """The figures, as plain values. Raises BenchError where a tool is missing."""
    if reason := missing():
        raise BenchError(f"the proxy needs a Docker engine and nginx: {reason}")
    if not shutil.which("wrk"):
        raise BenchError("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder, registry_in(Path(folder)) as registry:
        return beside(registry, say)


def missed(result: dict[str, Any]) -> list[str]:
    """The promises that the figures break."""
    found = []
    for clients, row in result["rows"].items():
        theirs, ours = row.values()
        if ours["errors"]:
            found.append(f"{ours['errors']:g} errors with {clients} clients, expected none")
        if ours["us"] * PROCESSOR_RATIO > theirs["us"]:
            found.append(
                f"{ours['us']:.1f} µs of processor time a request with {clients} clients, expected at most "
                f"{theirs['us'] / PROCESSOR_RATIO:.1f}"
            )
    if result["swaps"]["errors"]:
        found.append(f"{result['swaps']['errors']:g} requests failed during swaps, expected none")
    return found


def table(result: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    lines = [
        f"As fast as `wrk` asks, medians of {ROUNDS} rounds of {SECONDS} s in turns, in front of the same container:",
        "",
        "| clients | proxy | requests a second | p50, p99 ms | processor time a request, µs | errors |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for clients, row in result["rows"].items():
        for name, each in row.items():
            times = f"{each['p50']:.1f}, {each['p99']:.1f}"
            lines.append(
                f"| {clients} | {name} | {each['rps']:,.0f} | {times} | {each['us']:.1f} | {each['errors']:g} |"
            )
    swaps = result["swaps"]
    return [
        *lines,
        "",
        (
            f"{swaps['swaps']:g} swaps while {CLIENTS[0]} clients ask: {swaps['requests']:,.0f} requests, "
            f"{swaps['errors']:g} failed, p99 {swaps['p99']:.1f} ms."
        ),
    ]
