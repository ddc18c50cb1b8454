"""What the model service bears: requests a second, latency, start to the first healthy answer, memory.

Beside it, in the same run, in turns, on the same data and kind of model: (a) FastAPI with a pickled scikit-learn
pipeline, (b) BentoML with the same pickle. Each is one process on loopback, asked over kept-alive connections by a
client of this process. Figures are this machine's; only the ratios carry.
"""

from __future__ import annotations

import csv
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from console.local.paths import MODEL_SERVICE, ROOT

ROUNDS = 5
SECONDS = 2.0  # of asking, each time
CLIENTS = 2  # connections at a time: with two cores, more only wait in line
BATCH = 100
PATIENCE = 60.0  # seconds to the first answer
AT_LEAST, START_SECONDS, MEMORY_MB = 2.0, 1.5, 150.0
SUBJECTS = Path(__file__).parent / "subjects"
VENV = ROOT / ".venv-bench"
OURS, A, B = "esteira's model service", "a: FastAPI, pickle", "b: BentoML, pickle"


@dataclass(frozen=True)
class ModelService:
    """One service: how it is started on a port, where, and what it is asked for health and for a prediction."""

    name: str
    command: Callable[[int], list[str]]
    folder: Path
    health: str
    wrap: Callable[[list[dict[str, float]]], Any]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Latencies:
    """What came of asking: latencies in seconds, of good answers only, and the seconds all of it took."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: int) -> float:
        """A percentile of the latency, in milliseconds."""
        return statistics.quantiles(self.latencies, n=100)[share - 1] * 1000


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Train, make the environment of the others, and measure all in turns ROUNDS times; return medians and ratios."""
    with tempfile.TemporaryDirectory(prefix="esteira-bench-") as name:
        folder = Path(name)
        say("training, and setting up the services beside")
        services = _services(folder)
        rows = _patients()
        found: dict[str, list[dict[str, float]]] = {service.name: [] for service in services}
        answers: dict[str, list[float]] = {}
        for at in range(ROUNDS):
            say(f"round {at + 1} of {ROUNDS}")
            for service in services:
                figures, answers[service.name] = _measured(service, rows, folder)
                found[service.name].append(figures)
    apart = max(abs(x - y) for name in (A, B) for x, y in zip(answers[OURS], answers[name], strict=True))
    if apart > 0.001:
        raise BenchError(f"the services do not serve the same model: their answers differ by {apart:.4f}")
    medians = {
        name: {figure: round(statistics.median(r[figure] for r in rounds), 3) for figure in rounds[0]}
        for name, rounds in found.items()
    }
    ours = medians[OURS]
    return {
        "rounds": ROUNDS,
        "connections": CLIENTS,
        "medians": medians,
        "single_ratio": {x[0]: round(ours["single_rps"] / medians[x]["single_rps"], 2) for x in (A, B)},
        "batch_ratio": {x[0]: round(ours["batch_rps"] / medians[x]["batch_rps"], 2) for x in (A, B)},
    }


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every promise that was not kept."""
    ours, ratio = result["medians"][OURS], result["single_ratio"]["a"]
    faults = []
    if ratio < AT_LEAST:
        faults.append(f"{ratio} x (a) on single predictions, less than {AT_LEAST} x")
    if ours["start_s"] > START_SECONDS:
        faults.append(f"healthy after {ours['start_s']} s, more than {START_SECONDS} s")
    if ours["memory_mb"] > MEMORY_MB:
        faults.append(f"{ours['memory_mb']} MB resident, more than {MEMORY_MB} MB")
    return faults


def table(result: dict[str, Any]) -> list[str]:
    """The medians as Markdown."""
    lines = [
        f"Median of {result['rounds']} rounds in turns, {result['connections']} connections, one machine:",
        "",
        "| | single: requests/s | p50 ms | p99 ms | batch of 100: requests/s | p50 ms | p99 ms | start s | memory MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {m['single_rps']:,.0f} | {m['single_p50']:.2f} | {m['single_p99']:.2f} | {m['batch_rps']:,.0f} | "
        f"{m['batch_p50']:.1f} | {m['batch_p99']:.1f} | {m['start_s']:.2f} | {m['memory_mb']:.0f} |"
        for name, m in result["medians"].items()
    ]
    single, batch = result["single_ratio"], result["batch_ratio"]
    return [
        *lines,
        "",
        f"Single predictions: {single['a']:.1f} x (a), {single['b']:.1f} x (b).",
        f"Batches: {batch['a']:.1f} x (a), {batch['b']:.1f} x (b).",
        "",
        "Start: from the command to the first healthy answer. Memory: resident, of all the service's processes, after",
        "the load, pages shared with others by their share; ours has its page mounted and logs every prediction.",
    ]


# --- the services


def _services(folder: Path) -> list[ModelService]:
    others = _others()
    _call([sys.executable, "train.py", "--out", str(folder / "models")], MODEL_SERVICE)
    _call([str(others / "python"), str(SUBJECTS / "pickled.py"), str(MODEL_SERVICE), str(folder)], folder)
    for name in ("with_fastapi.py", "with_bentoml.py"):
        (folder / name).write_text((SUBJECTS / name).read_text())
    return [
        ModelService(
            OURS, lambda _: [sys.executable, "-m", "serving"], MODEL_SERVICE, "/ping", lambda rows: rows,
            {"MODEL_FOLDER": str(folder / "models"), "HOST": "127.0.0.1"},
        ),
        ModelService(
            A, lambda port: [str(others / "uvicorn"), "with_fastapi:app", "--port", str(port), "--no-access-log"],
            folder, "/ping", lambda rows: rows,
        ),
        ModelService(
            B, lambda port: [str(others / "bentoml"), "serve", "with_bentoml:Heart", "--port", str(port)],
            folder, "/readyz", lambda rows: {"patients": rows}, {"BENTOML_DO_NOT_TRACK": "True"},
        ),
    ]  # fmt: skip


def _others() -> Path:
    """The programs of an environment with what is compared with, made once."""
    stamp, wanted = VENV / "installed.txt", (SUBJECTS / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        _call([sys.executable, "-m", "venv", "--clear", str(VENV)], ROOT)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        _call([str(VENV / "bin" / "python"), *install, str(SUBJECTS / "requirements.txt")], ROOT)
        stamp.write_text(wanted)
    return VENV / "bin"


def _call(words: Sequence[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, words))} failed: {(done.stdout + done.stderr)[-600:]}")


def _patients() -> list[dict[str, float]]:
    """The first patients without missing values: (a) and (b) fill holes in another way."""
    with (MODEL_SERVICE / "data" / "raw" / "heart.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())]
    return [{name: float(value) for name, value in row.items() if name != "target"} for row in rows[:BATCH]]


# --- measuring


def _measured(
    service: ModelService, rows: list[dict[str, float]], folder: Path
) -> tuple[dict[str, float], list[float]]:
    with _started(service, folder) as (port, process, start):
        single = _ask(port, [service.wrap([row]) for row in rows])
        batch = _ask(port, [service.wrap(rows)])
        answer = _post(port, service.wrap(rows))
        figures = {
            "start_s": start,
            "memory_mb": _memory(process.pid),
            "single_rps": single.rate,
            "single_p50": single.percentile(50),
            "single_p99": single.percentile(99),
            "batch_rps": batch.rate,
            "batch_p50": batch.percentile(50),
            "batch_p99": batch.percentile(99),
        }
    return figures, [p["probability"] for p in answer["predictions"]]


@contextmanager
def _started(service: ModelService, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environment = {**os.environ, **service.environment, "PORT": str(port)}
    with (folder / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            service.command(port), cwd=service.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield port, process, _until_healthy(service, port, process, began, folder / "log")
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_healthy(
    service: ModelService, port: int, process: subprocess.Popen[bytes], began: float, log: Path
) -> float:
    request = f"GET {service.health} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
    while time.monotonic() < began + PATIENCE and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.005)
    raise BenchError(f"{service.name} is not healthy: {log.read_text(errors='replace')[-600:]}")


def _ask(port: int, contents: Sequence[Any]) -> Latencies:
    """Ask over CLIENTS connections at once, for SECONDS, after a tenth of it to warm up."""
    requests = [_request(content) for content in contents]
    _asking(port, requests, SECONDS / 10, [])
    latencies: list[float] = []
    threads = [threading.Thread(target=_asking, args=(port, requests, SECONDS, latencies)) for _ in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not latencies:
        raise BenchError("no request was answered with 200. Next: run the service by hand and ask it")
    return Latencies(latencies, time.monotonic() - began)


def _asking(port: int, requests: Sequence[bytes], seconds: float, latencies: list[float]) -> None:
    until, at = time.perf_counter() + seconds, 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (began := time.perf_counter()) < until:
            status, _ = _exchange(connection, requests[at % len(requests)])
            if status != 200:
                return
            latencies.append(time.perf_counter() - began)
            at += 1


def _post(port: int, content: Any) -> Any:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return json.loads(_exchange(connection, _request(content))[1])


def _request(content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = f"POST /invocations HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _exchange(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """One request and its whole answer, which must tell its length."""
    connection.sendall(request)
    got = b""
    while b"\r\n\r\n" not in got:
        if not (chunk := connection.recv(65536)):
            raise BenchError("the service closed the connection in the middle of an answer")
        got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(lines[0].split()[1]), body


def _memory(pid: int) -> float:
    """The proportional share of resident memory of a process and all under it, in MB (10^6 bytes)."""
    total = sum(
        int(line.split()[1]) * 1024
        for one in _family(pid)
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return total / 1e6


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _family(int(child))
