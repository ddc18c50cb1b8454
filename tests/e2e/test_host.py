"""The local host's promises, kept with real images, real processes and requests that never stop."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from console.local.engine import DeployJob, DeployResult
from console.local.process.host import ProcessHost
from console.local.process.host_deployment import EVENTS
from console.local.process.oci import Entry, ImageConfig, Registry, pack
from console.local.process.port_of import LISTENING

SECONDS = 20.0  # after which something that should have happened has not
CHECKOUT = Path(__file__).parents[2]

APP = """
import asyncio, json, os, sys
from pathlib import Path
from aiohttp import web

mode, asked = os.environ.get("MODE", ""), 0
if mode == "crash":
    print(*range(2000), "the model file is not whole", sep="\\n", flush=True)
    sys.exit(3)

async def ping(request):
    global asked
    asked += 1
    most = {"once": 1, "sickens": 2}.get(mode, 10**9)
    return web.Response(status=500 if mode == "sick" or asked > most else 200)

async def who(request):
    body = await request.read()
    if mode == "dies":
        asyncio.get_running_loop().call_later(1.5, os._exit, 3)
    if mode == "errs":
        return web.Response(status=500)
    about = {"version": Path("VERSION").read_text(), "pid": os.getpid(), "cwd": os.getcwd(), "python": sys.executable,
             "argv": sys.argv, "environment": dict(os.environ), "body": body.decode()}
    return web.json_response(about)

async def slow(request):
    Path(request.query["begun"]).touch()
    while not Path(request.query["gate"]).exists():
        await asyncio.sleep(0.01)
    return await who(request)

async def ws(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(Path("VERSION").read_text())
    return socket

app = web.Application()
app.add_routes([web.get("/ping", ping), web.route("*", "/who", who), web.get("/slow", slow), web.get("/ws", ws)])
port = 1 if mode == "silent" else int(os.environ["PORT"])
if mode == "silent":
    asyncio.run(asyncio.sleep(3600))
web.run_app(app, host="127.0.0.1", port=port, print=None)
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def image(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    sources = tmp_path_factory.mktemp("sources")

    def build(version: str, cmd: tuple[str, ...] = ("python", "/app/serve.py")) -> str:
        layer = {"app": Entry("directory")}
        for name, text in (("serve.py", APP), ("VERSION", version)):
            source = sources / f"{version}-{name}"
            source.write_text(text)
            layer[f"app/{name}"] = Entry("file", 0o644, source)
        environment = {"PYTHONPATH": "/app:/nowhere", "COLOUR": "image", "SIZE": "image"}
        return pack(registry, [layer], ImageConfig(workdir="/app", env=environment, user="10001", cmd=cmd))

    return build


@pytest.fixture
def host(tmp_path: Path, registry: Registry) -> Iterator[ProcessHost]:
    with ProcessHost(tmp_path / "host", 0, registry, Path(sys.executable), stop_seconds=3) as host:
        yield host


def bundle_of(digest: str, release: str = "v1", **more: object) -> bytes:
    image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/heart@{digest}"
    told = {"service": "heart", "release": release, "number": int(release[1:]), "commit": "c" * 40, "image": image}
    told |= {"stage": "production", "digest": digest, "startup_seconds": SECONDS, "drain_seconds": SECONDS}
    told |= {"health_path": "/ping"}
    return zip_of({"release.json": json.dumps(told | more), "appspec.yml": "version: 0.0\nos: linux\n"})


def zip_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def job_of(bundle: bytes, tmp_path: Path, deployment: str = "d-1") -> DeployJob:
    log = tmp_path / "logs" / f"{deployment}.log"
    return DeployJob(deployment, "heart", "heart-production", bundle, log, threading.Event())


def ask(host: ProcessHost, path: str = "/who") -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        return json.loads(text) if answer.status == 200 else {"status": answer.status, "text": text}


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def is_there(pid: object) -> bool:
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in {"", "Z"}


def in_thread(act: Callable[[], DeployResult]) -> tuple[threading.Thread, list[DeployResult]]:
    results: list[DeployResult] = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    return thread, results


def test_a_first_release_goes_through_every_event_and_answers(
    host: ProcessHost, image: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment onto an empty host ends with the release live, in the container's environment and no other."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for a container")
    assert ask(host)["status"] == 503
    digest = image("one")
    begun: list[str] = []
    job = replace(job_of(bundle_of(digest, environment={"SIZE": "release"}), tmp_path), begun=begun.append)

    result = host.deploy(job)

    assert begun == list(EVENTS)
    assert (result.status, result.error_code, result.message) == ("Succeeded", "", "")
    assert [(event.name, event.status) for event in result.events] == [(name, "Succeeded") for name in EVENTS]
    about, live = ask(host), host.live
    assert about["version"] == "one"
    assert live is not None
    root = host.releases / live.directory / "root"
    assert (about["cwd"], about["argv"]) == (str(root / "app"), [str(root / "app/serve.py")])
    assert about["python"] == sys.executable
    environment = about["environment"]
    assert isinstance(environment, dict)
    assert {name: environment[name] for name in ("COLOUR", "SIZE", "ESTEIRA_RELEASE", "PYTHONPATH")} == {
        "COLOUR": "image",
        "SIZE": "release",
        "ESTEIRA_RELEASE": "v1",
        "PYTHONPATH": f"{LISTENING}:{root}/app:/nowhere",  # first what leads a server to the host's port
    }
    assert not [name for name in environment if name.startswith("AWS_")]
    remembered = json.loads((host.releases.parent / "live.json").read_text())
    assert (remembered["release"], remembered["digest"], live.release) == ("v1", digest, "v1")
    assert "ValidateService Succeeded" in job.log.read_text()


class Client(threading.Thread):
    """Asks without a pause until told to stop; notes each version that answered, and each failure."""

    def __init__(self, port: int, stop: threading.Event, keeps_alive: bool, method: str) -> None:
        super().__init__()
        self.port, self.stop, self.keeps_alive, self.method = port, stop, keeps_alive, method
        self.versions: list[str] = []
        self.failures: list[str] = []
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        while not self.stop.wait(0.005):
            try:
                connection.request(self.method, "/who", body=b"63" if self.method == "POST" else None)
                answer = connection.getresponse()
                about = json.loads(answer.read())
                self.versions.append(about["version"])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a request that failed
                self.failures.append(repr(error))
                connection.close()
            if not self.keeps_alive:
                connection.close()
        connection.close()


def test_no_request_fails_while_releases_are_swapped_under_load(
    host: ProcessHost, image: Callable[..., str], tmp_path: Path
) -> None:
    """Under constant requests, kept and new connections alike, three swaps lose none, and no client goes back."""
    order = ["one", "two", "three", "three again"]
    host.deploy(job_of(bundle_of(image("one")), tmp_path))
    stop = threading.Event()
    clients = [Client(host.port, stop, keeps, method) for keeps in (True, False) for method in ("GET", "GET", "POST")]
    try:
        until(lambda: all(client.versions for client in clients))
        for number, version in enumerate(order[1:], start=2):
            result = host.deploy(job_of(bundle_of(image(version), f"v{number}"), tmp_path))
            assert result.status == "Succeeded", result.message
            asked = [len(client.versions) for client in clients]
            until(lambda asked=asked: all(len(c.versions) > n for c, n in zip(clients, asked, strict=True)))
    finally:
        stop.set()
        for client in clients:
            client.join()

    assert [client.failures for client in clients] == [[]] * len(clients)
    for client in clients:
        assert list(dict.fromkeys(client.versions)) == order
        assert client.versions == sorted(client.versions, key=order.index)


def test_what_is_in_flight_finishes_on_the_old_release(
    host: ProcessHost, image: Callable[..., str], tmp_path: Path
) -> None:
    """A slow request and a WebSocket stay on the old process through the swap; it ends after them."""
    host.deploy(job_of(bundle_of(image("one")), tmp_path))
    old = host.live_pid
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    slow_thread, slow = in_thread(lambda: ask(host, f"/slow?begun={begun}&gate={gate}"))

    async def story() -> list[str]:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"http://127.0.0.1:{host.port}/ws")
            await asyncio.to_thread(until, begun.exists)
            thread, results = in_thread(lambda: host.deploy(job_of(bundle_of(image("two"), "v2"), tmp_path, "d-2")))
            await asyncio.to_thread(until, lambda: ask(host)["version"] == "two")
            await socket.send_str("?")
            said = [await socket.receive_str(), str(ask(host)["version"]), str(is_there(old))]
            await socket.close()
            gate.touch()
            await asyncio.to_thread(thread.join)
            return [*said, results[0].status]

    assert asyncio.run(story()) == ["one", "two", "True", "Succeeded"]
    slow_thread.join()
    assert [answer["version"] for answer in slow] == ["one"]
    assert not is_there(old)


def test_a_drain_ends_at_its_deadline(host: ProcessHost, image: Callable[..., str], tmp_path: Path) -> None:
    """A WebSocket nobody closes cannot keep the old release: after the drain's seconds it is closed with it."""
    host.deploy(job_of(bundle_of(image("one"), drain_seconds=0.1), tmp_path))
    old = host.live_pid

    async def story() -> tuple[str, int]:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"http://127.0.0.1:{host.port}/ws")
            result = await asyncio.to_thread(host.deploy, job_of(bundle_of(image("two"), "v2"), tmp_path))
            message = await socket.receive(timeout=SECONDS)
            return result.status, message.type

    assert asyncio.run(story()) == ("Succeeded", aiohttp.WSMsgType.CLOSE)
    assert not is_there(old)
    assert ask(host)["version"] == "two"


@pytest.fixture(scope="module")
def serving(
    registry: Registry, image: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ProcessHost, dict[str, object]]]:
    """A host with v1 live, for all the candidates that come to nothing."""
    directory = tmp_path_factory.mktemp("serving")
    with ProcessHost(directory / "host", 0, registry, Path(sys.executable)) as host:
        host.deploy(job_of(bundle_of(image("one")), directory))
        yield host, ask(host)


ABSENT = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("make", "event", "why"),
    [
        pytest.param(
            lambda image: bundle_of(image("two"), "v2", environment={"MODE": "crash"}),
            "ApplicationStart",
            "the container exited with status 3 before it answered GET /ping",
            id="exits at once",
        ),
        pytest.param(
            lambda image: bundle_of(image("two"), "v2", environment={"MODE": "sick"}, startup_seconds=1.5),
            "ApplicationStart",
            "GET /ping answered 500 for 1.5 s",
            id="is never healthy",
        ),
        pytest.param(
            lambda image: bundle_of(image("two"), "v2", environment={"MODE": "silent"}, startup_seconds=1),
            "ApplicationStart",
            "the container must listen on the port its environment names, PORT",
            id="listens nowhere",
        ),
        pytest.param(
            lambda image: bundle_of(image("two"), "v2", environment={"MODE": "once"}),
            "ValidateService",
            "answered 500",
            id="is healthy only once",
        ),
        pytest.param(
            lambda image: bundle_of(image("bare", ("Rscript", "app.R")), "v2"),
            "ApplicationStart",
            "'Rscript' cannot be run on this machine",
            id="needs a program that is not here",
        ),
        pytest.param(
            lambda image: bundle_of(image("empty", ()), "v2"),
            "AfterInstall",
            "neither ENTRYPOINT nor CMD",
            id="names no command",
        ),
        pytest.param(lambda _: bundle_of(ABSENT, "v2"), "Install", ABSENT, id="is not in the registry"),
        pytest.param(lambda _: b"PK", "DownloadBundle", "not a whole zip file", id="is no zip"),
        pytest.param(lambda _: zip_of({"a": ""}), "DownloadBundle", "no release.json", id="has no release.json"),
        pytest.param(
            lambda _: bundle_of("sha256:short", "v2"), "DownloadBundle", "not valid: digest: ", id="has a bad digest"
        ),
        pytest.param(
            lambda _: bundle_of(ABSENT, "v2", image="heart:latest"),
            "DownloadBundle",
            "image heart:latest is not the one with the digest",
            id="has an image by tag",
        ),
    ],
)
def test_a_candidate_that_fails_leaves_the_live_release_untouched(
    serving: tuple[ProcessHost, dict[str, object]],
    image: Callable[..., str],
    tmp_path: Path,
    make: Callable[[Callable[..., str]], bytes],
    event: str,
    why: str,
) -> None:
    """The result names the event and the cause; the live process answers on, and nothing of the candidate is left."""
    host, before = serving

    result = host.deploy(job_of(make(image), tmp_path))

    failed = result.events[EVENTS.index(event)]
    place = EVENTS.index(event)
    assert [each.status for each in result.events] == ["Succeeded"] * place + ["Failed"] + ["Skipped"] * (6 - place)
    assert (result.status, result.message) == ("Failed", f"{event}: {failed.message}")
    assert why in failed.message
    assert len(failed.log_tail) <= 2048
    assert ask(host) == before
    assert host.live is not None
    assert [path.name for path in host.releases.iterdir()] == [host.live.directory]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("dies", "the container exited with status 3 "),
        ("errs", "answers were errors (status 500 and above), expected at most a tenth"),
        ("sickens", "GET /ping since it has the traffic: expected 200, got 500, 3 times in a row"),
    ],
)
def test_a_release_that_is_sick_under_real_requests_is_taken_back(
    host: ProcessHost,
    image: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    said: str,
) -> None:
    """Healthy at its start and sick from its first requests on: the live release serves, as the same process."""
    host.deploy(job_of(bundle_of(image("one")), tmp_path))
    live = ask(host)["pid"]
    monkeypatch.delenv("ESTEIRA_MIN_READY_SECONDS")
    bundle = bundle_of(image("two"), "v2", environment={"MODE": mode}, min_ready_seconds=8)
    thread, results = in_thread(lambda: host.deploy(job_of(bundle, tmp_path)))
    while thread.is_alive():
        with contextlib.suppress(OSError):
            ask(host)
        time.sleep(0.05)
    (result,) = results
    assert result.status == "Failed"
    assert said in result.message, result.message
    assert result.message.startswith("ValidateService: ")
    assert (ask(host)["version"], ask(host)["pid"]) == ("one", live)


def test_the_last_lines_of_a_failed_containers_log_are_in_the_result(
    serving: tuple[ProcessHost, dict[str, object]], image: Callable[..., str], tmp_path: Path
) -> None:
    """The log's last fifty lines reach the result and the deployment's log."""
    host, _ = serving
    job = job_of(bundle_of(image("two"), "v2", environment={"MODE": "crash"}), tmp_path)
    tail = host.deploy(job).events[EVENTS.index("ApplicationStart")].log_tail.splitlines()
    assert (len(tail), tail[-1]) == (50, "the model file is not whole")
    assert "the model file is not whole" in job.log.read_text()


def test_a_stopped_deployment_ends_its_candidate(
    serving: tuple[ProcessHost, dict[str, object]], image: Callable[..., str], tmp_path: Path
) -> None:
    """A stop in mid-start gives Stopped at once, and the live release answers on."""
    host, before = serving
    job = job_of(bundle_of(image("two"), "v2", environment={"MODE": "sick"}, startup_seconds=600), tmp_path)
    thread, results = in_thread(lambda: host.deploy(job))
    until(lambda: job.log.exists() and "AfterInstall" in job.log.read_text())
    job.stop.set()
    thread.join()
    assert (results[0].status, results[0].error_code) == ("Stopped", "MANUAL_STOP")
    assert ask(host) == before
    assert len(list(host.releases.iterdir())) == 1


def test_a_second_deployment_waits_for_the_first_or_says_what_holds_the_host(
    registry: Registry, image: Callable[..., str], tmp_path: Path
) -> None:
    """One deployment at a time: past its patience the second fails and names the first; stopped, it is Stopped."""
    with ProcessHost(tmp_path / "host", 0, registry, Path(sys.executable), wait_seconds=0.2) as host:
        first = job_of(bundle_of(image("two"), environment={"MODE": "sick"}, startup_seconds=600), tmp_path, "d-first")
        thread, results = in_thread(lambda: host.deploy(first))
        until(lambda: first.log.exists() and "AfterInstall" in first.log.read_text())
        second = job_of(bundle_of(image("one")), tmp_path, "d-second")
        refused = host.deploy(second)
        assert refused.status == "Failed"
        assert "d-first has held the host for more than 0.2 s" in refused.message
        second.stop.set()
        assert host.deploy(second).status == "Stopped"
        first.stop.set()
        thread.join()
        again = job_of(bundle_of(image("one")), tmp_path, "d-third")
        assert (results[0].status, host.deploy(again).status) == ("Stopped", "Succeeded")


def test_a_live_process_that_dies_is_started_again(
    host: ProcessHost, image: Callable[..., str], tmp_path: Path
) -> None:
    """Killed twice, the live release answers again by itself, and its log says so."""
    host.deploy(job_of(bundle_of(image("one")), tmp_path))
    seen = [ask(host)["pid"]]
    for _ in range(2):
        os.kill(int(str(seen[-1])), signal.SIGKILL)
        until(lambda: ask(host).get("pid") not in {None, *seen})
        seen.append(ask(host)["pid"])
    assert host.live is not None
    log = (host.releases / host.live.directory / "container.log").read_text()
    assert log.count("heart v1: the container was ended by SIGKILL; started again in") == 2


def test_the_directories_of_the_live_and_the_previous_release_are_kept(
    host: ProcessHost, image: Callable[..., str], tmp_path: Path
) -> None:
    """After three deployments, the last of a release that was live already, two directories remain."""
    for release in ("v1", "v2", "v2"):
        assert host.deploy(job_of(bundle_of(image("one"), release), tmp_path)).status == "Succeeded"
    assert [path.name.split("-")[0] for path in host.releases.iterdir()] == ["v2", "v2"]


def test_a_host_made_anew_starts_what_was_live(registry: Registry, image: Callable[..., str], tmp_path: Path) -> None:
    """After a close nothing runs; the next host resumes the same release and takes the next one."""
    directory = tmp_path / "host"
    with ProcessHost(directory, 0, registry, Path(sys.executable)) as host:
        assert (host.resume(), host.live) == ("", None)
        host.deploy(job_of(bundle_of(image("one"), environment={"SIZE": "release"}), tmp_path))
        pid = host.live_pid
    assert not is_there(pid)
    with ProcessHost(directory, 0, registry, Path(sys.executable)) as host:
        assert host.resume() == ""
        about = ask(host)
        assert host.live is not None
        assert (host.live.release, about["version"], about["environment"]["SIZE"]) == ("v1", "one", "release")
        assert host.deploy(job_of(bundle_of(image("two"), "v2"), tmp_path)).status == "Succeeded"
        assert ask(host)["version"] == "two"
    (directory / "live.json").write_text('{"release": "v2"}')
    with ProcessHost(directory, 0, registry, Path(sys.executable)) as host:
        assert host.resume().startswith("what was live here cannot be started again: service: Field required")
        assert host.live is None


def test_a_host_that_is_killed_leaves_no_container_behind(
    registry: Registry, image: Callable[..., str], tmp_path: Path
) -> None:
    """After kill -9 of the host's own process, the container and what the container started end too."""
    bundle = tmp_path / "bundle.zip"
    shell = ("sh", "-c", "python serve.py; true")  # a shell that stays the parent of what serves
    bundle.write_bytes(bundle_of(image("one", shell)))
    script = f"""
import json, sys, threading, urllib.request
from pathlib import Path
from console.local.engine import DeployJob
from console.local.process.host import ProcessHost
from console.local.process.oci import Registry
if __name__ == "__main__":
    here = Path({str(tmp_path)!r})
    host = ProcessHost(here / "host", 0, Registry(Path({str(registry.directory)!r})), Path(sys.executable))
    stop = threading.Event()
    host.deploy(DeployJob("d-1", "heart", "g", (here / "bundle.zip").read_bytes(), here / "log", stop))
    about = json.load(urllib.request.urlopen(f"http://127.0.0.1:{{host.port}}/who"))
    print(host.live_pid, about["pid"], flush=True)
    stop.wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = parent.stdout.readline().split()
    assert [is_there(pid) for pid in pids] == [True, True]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(is_there(pid) for pid in pids))
