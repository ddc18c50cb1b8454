"""The local stack as a newcomer meets it: start it, push to it, stop it, start it again. Real processes, real git."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.local.up.laptop import Laptop, LaptopError, Whereabouts
from console.local.up.memory import remember, remembered
from esteira.config import Service
from esteira.store import Store, View

SECONDS = 60.0  # after which something that should have happened has not
CHECKOUT = Path(__file__).parents[2]
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
T = TypeVar("T")

APP = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {said!r}.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said):
        pass

print("the model listens", flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
DOCKERFILE = """
FROM python:3.13-slim
WORKDIR /app
COPY app.py ./
CMD ["python", "app.py"]
"""
BUILDSPEC = """
version: 0.2
phases:
  build:
    commands:
      - docker build -t "$IMAGE_URI:$IMAGE_TAG" .
      - docker push "$IMAGE_URI:$IMAGE_TAG"
"""


class Team:
    """A clone of a service whose model answers one word."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "buildspec.yml").write_text(BUILDSPEC)
        self._git("init", "--quiet")

    def push(self, remote: str, said: str, app: str = APP) -> None:
        """Commit a model that says so, and push it."""
        (self._folder / "app.py").write_text(app.replace("{said!r}", repr(said)))
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", said)
        self._git("push", "--quiet", remote, "main")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT, *words], cwd=self._folder, check=True, capture_output=True)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path / "clone")


def test_a_push_goes_live_and_is_there_after_a_stop_and_a_start(tmp_path: Path, team: Team) -> None:
    """The page, the history and the place to push to survive; a second push takes the first one's place."""
    state, before = tmp_path / "state", children()
    with Laptop(state, sweep_every=2) as laptop:
        first = laptop.whereabouts
        team.push(first.remotes["heart"], "one")
        assert eventually(lambda: phases(laptop), ["live"].__eq__) == ["live"]
        assert page(first.pages["heart"]) == "one"
        history = views(laptop)
    assert not listening(first)
    assert children() == before
    with Laptop(state, sweep_every=2) as laptop:
        second = laptop.whereabouts
        assert (second.remotes, second.pages) == (first.remotes, first.pages)
        assert views(laptop) == history
        assert eventually(lambda: page(second.pages["heart"]), "one".__eq__) == "one"
        team.push(second.remotes["heart"], "two")
        assert eventually(lambda: phases(laptop), ["superseded", "live"].__eq__) == ["superseded", "live"]
        assert page(second.pages["heart"]) == "two"
    assert not listening(second)
    assert children() == before


@pytest.mark.slow
def test_two_stages_have_a_host_and_a_page_each(tmp_path: Path, team: Team) -> None:
    """A push comes to staging, then to production, by one image; a hold keeps production where it is. Both pages are
    where they were after a stop and a start."""
    state, names = tmp_path / "state", ("staging", "production")
    with Laptop(state, sweep_every=2, stages=names) as laptop:
        first = laptop.whereabouts
        staging, production = (first.stages["heart"][name][0] for name in names)
        assert staging != production == first.pages["heart"]
        team.push(first.remotes["heart"], "one")
        both = ("staging=live", "production=live")  # for a moment it is live on the first one only
        assert eventually(lambda: [v.stages for v in views(laptop)], [both].__eq__) == [both]
        assert (page(staging), page(production)) == ("one", "one")
        word = {"action": "hold", "service": "heart", "request": "request-1", "by": "ana", "reason": "an audit"}
        laptop.client("lambda").invoke(FunctionName="esteira-operate", Payload=json.dumps(word))
        team.push(first.remotes["heart"], "two")
        assert eventually(lambda: phases(laptop), ["live", "waiting"].__eq__) == ["live", "waiting"]
        assert (page(staging), page(production)) == ("two", "one")
    with Laptop(state, sweep_every=2, stages=names) as laptop:
        assert laptop.whereabouts.stages == first.stages
        assert eventually(lambda: page(staging), "two".__eq__) == "two"
        assert eventually(lambda: page(production), "one".__eq__) == "one"


def test_stages_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """The sentence names what is wrong and what to type; nothing is left running."""
    with (
        pytest.raises(
            LaptopError, match=r"heart cannot have these stages: stages.*two stages have the name a\b.*Next:"
        ),
        Laptop(tmp_path / "state", stages=("a", "a")),
    ):
        pass
    with Laptop(tmp_path / "state") as laptop:
        assert list(laptop.whereabouts.stages["heart"]) == ["production"]


def test_a_second_stack_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """The sentence says which folder and what to do; the first one goes on, and its end frees the folder."""
    state = tmp_path / "state"
    with Laptop(state) as laptop:
        with pytest.raises(LaptopError, match=r"a local stack runs on .*state already\. Next: stop it"), Laptop(state):
            pass
        assert listening(laptop.whereabouts)
        assert phases(laptop) == []
    with Laptop(state):
        pass


def test_local_up_ends_with_ctrl_c_and_leaves_nothing_running(tmp_path: Path, team: Team) -> None:
    """Status 0, none of its processes left, none of its ports open; a second one meanwhile is refused. The signal
    reaches a thread that is not the main one, which is the harder case."""
    state = tmp_path / "state"
    with up(state) as (process, said):
        assert eventually(lambda: "esteira status" in said(), bool), said()  # its last line
        remote = re.search(r"git remote add esteira (\S+)\n +git push esteira HEAD:main", said())
        model = re.search(r"it answers at (http://127\.0\.0\.1:\d+)", said())
        endpoint = re.search(r"AWS_ENDPOINT_URL=(http://\S+)", said())
        assert remote, said()
        assert model, said()
        assert endpoint, said()
        team.push(remote[1], "one")
        assert eventually(lambda: page(model[1]), "one".__eq__) == "one", said()
        assert repositories(said()) == ["test-local-up-ends-with"]
        family = descendants(process.pid)
        assert family, "the model runs in a process of its own"

        other = subprocess.run(
            command(state), cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert other.returncode == 1
        assert "already. Next: stop it (Ctrl-C where it runs), or start another with --state DIR" in other.stderr
        assert page(model[1]) == "one"

        threads = (int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir())
        interrupt(process.pid, min(thread for thread in threads if thread != process.pid))
        assert process.wait(SECONDS) == 0, said()
    assert [pid for pid in family if alive(pid)] == []
    assert [url for url in (model[1], endpoint[1]) if open_port(url)] == []
    assert not (state / "local.json").exists()


def repositories(said: str) -> list[str]:
    """What another program is told that was given the variables that are printed."""
    exported = re.search(r"export (.+)", said)
    assert exported, said
    given = dict(word.split("=", 1) for word in shlex.split(exported[1]))
    asked = "import boto3; print(boto3.client('codecommit').list_repositories()['repositories'][0]['repositoryName'])"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", asked], env={**kept, **given}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_what_was_asked_for_is_there_at_the_next_start(tmp_path: Path) -> None:
    """A start without --stages keeps the stages, and with them the votes and windows that a stage was given since. The
    policy stays whatever is asked for."""
    state, policy = tmp_path / "state", tmp_path / "policy.yaml"
    policy.write_text("stages: {staging: {}, production: {approvals: {votes: 3}}}")
    with Laptop(state, stages=("staging", "production"), hosts=2, service="lungs") as laptop:
        there = laptop.whereabouts
        assert [*there.remotes] == ["lungs"]
        assert {stage: len(hosts) for stage, hosts in there.stages["lungs"].items()} == {"staging": 2, "production": 2}
        ssm = laptop.client("ssm")
        service = json.loads(ssm.get_parameter(Name="/esteira/services/lungs")["Parameter"]["Value"])
        service["stages"][1]["approvals"] = {"votes": 2}
        ssm.put_parameter(Name="/esteira/services/lungs", Value=json.dumps(service), Overwrite=True)
        typed = ["policy", "apply", str(policy), "--reason", "the audit", "--by", "ana", "--state", str(state)]
        came = CliRunner().invoke(main, typed)
        assert "policy version 1 of lungs is in force" in came.output
        assert votes(laptop) == 3
    with Laptop(state, service="other") as laptop:
        again = laptop.whereabouts.stages["lungs"]
        assert {stage: len(hosts) for stage, hosts in again.items()} == {"staging": 2, "production": 2}
        kept = laptop.client("ssm").get_parameter(Name="/esteira/services/lungs")["Parameter"]["Value"]
        assert json.loads(kept) == service
        assert votes(laptop) == 3
    with Laptop(state, stages=("production",)) as laptop:  # asked for anew; what was said of production stays
        kept = json.loads(laptop.client("ssm").get_parameter(Name="/esteira/services/lungs")["Parameter"]["Value"])
        assert kept["stages"] == [service["stages"][1]]
        assert votes(laptop) == 3


def votes(laptop: Laptop) -> int:
    """How many votes production asks for, as the controller sees it."""
    service = Service.model_validate_json(
        laptop.client("ssm").get_parameter(Name="/esteira/services/lungs")["Parameter"]["Value"]
    )
    rules = Store(laptop.client("dynamodb"), laptop.table).stages(service)[-1].rules
    return rules.approvals.votes if rules and rules.approvals else 0


@pytest.mark.slow
def test_a_second_model_joins_the_stack_while_it_runs(tmp_path: Path, team: Team) -> None:
    """`local add` in the model's folder prints the commands that push it; pushed, it goes live beside the first one. It
    is there after a stop and a start, and `local clean` removes all of it."""
    first, second = tmp_path / "Heart Model", tmp_path / "Heart Model" / "lungs_2"
    second.mkdir(parents=True)
    with up(None, first) as (process, said):
        assert eventually(lambda: "esteira status" in said(), bool), said()
        added = esteira(second, "local", "add")
        assert added.returncode == 0, added.stderr
        remote = re.search(r"git remote add esteira (.+)", added.stdout)
        model = re.search(r"it answers at (\S+)", added.stdout)
        assert "lungs-2: in the model's git repository" in added.stdout
        assert remote, added.stdout
        assert model, added.stdout
        team.push(shlex.split(remote[1])[0], "two")
        assert eventually(lambda: page(model[1]), "two".__eq__) == "two", said()
        status = json.loads(esteira(second, "status", "--json").stdout)
        live = {stage["service"]: stage["live"] and stage["live"]["release"] for stage in status["stages"]}
        assert live == {"heart-model": None, "lungs-2": "v1"}
        assert "is running. Next: esteira local down" in esteira(first, "local", "clean", "--yes").stderr
        assert "is stopped. Next: esteira local up" in esteira(second, "local", "down").stdout
        assert process.wait(SECONDS) == 0
    assert "is not running. Next: esteira local up" in esteira(second, "status").stderr
    assert "heart-3 is added to the local stack" in esteira(second, "local", "add", "heart-3").stdout
    assert "heart-3 is a service of" in esteira(second, "local", "add", "heart-3").stderr
    assert "cannot be called 'Heart'" in esteira(second, "local", "add", "Heart").stderr
    with Laptop(first / ".esteira") as laptop:
        assert [*laptop.whereabouts.remotes] == ["heart-3", "heart-model", "lungs-2"]
        assert eventually(lambda: page(laptop.whereabouts.pages["lungs-2"]), "two".__eq__) == "two"
    assert esteira(first, "local", "clean", "--yes").returncode == 0
    assert not (first / ".esteira").exists()


@pytest.mark.slow
def test_two_models_stand_in_one_repository(tmp_path: Path) -> None:
    """One push brings both to life, each from its folder; what changes one alone leaves the other as it is."""
    state, clone = tmp_path / "state", tmp_path / "clone"

    def push(**said: str) -> None:
        for name, word in said.items():
            (clone / "models" / name / "app.py").write_text(APP.format(said=word))
        for words in (
            ("add", "--all"),
            ("commit", "--quiet", "--message", "models"),
            ("push", "--quiet", remote, "main"),
        ):
            subprocess.run([*GIT, *words], cwd=clone, check=True, capture_output=True)

    for name in ("heart", "lungs"):
        (clone / "models" / name).mkdir(parents=True)
        (clone / "models" / name / "Dockerfile").write_text(DOCKERFILE)
    own = BUILDSPEC.replace('IMAGE_TAG" .', 'IMAGE_TAG" "$ESTEIRA_FOLDER"')
    (clone / "models" / "lungs" / "buildspec.yml").write_text(own)
    subprocess.run([*GIT, "init", "--quiet"], cwd=clone, check=True)
    with Laptop(state, service="heart", folder="models/heart") as laptop:
        remember(state, remembered(state).with_service("lungs", "models/lungs"))
        assert laptop.grow() == ("lungs",)
        remote, also = laptop.whereabouts.remotes.values()
        assert remote == also
        push(heart="one", lungs="two")
        for name, word in {"heart": "one", "lungs": "two"}.items():
            assert eventually(lambda name=name: page(laptop.whereabouts.pages[name]), word.__eq__) == word
        push(lungs="three")
        assert eventually(lambda: page(laptop.whereabouts.pages["lungs"]), "three".__eq__) == "three"
        store = Store(laptop.client("dynamodb"), laptop.table)
        second = eventually(lambda: store.announced("heart", 2, ())[0], bool)
        assert second
        assert (second.phase, page(laptop.whereabouts.pages["heart"])) == ("skipped", "one")
        assert second.why.startswith("nothing in its folder models/heart changed: models/lungs/app.py")
    with Laptop(state) as laptop:
        assert [*laptop.whereabouts.remotes.values()] == [remote, remote]


def esteira(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as a person does who has it on PATH."""
    command = [sys.executable, "-c", "from console.cli.main import main; main(prog_name='esteira')", *words]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ESTEIRA_"))}
    environment["PYTHONPATH"] = f"{CHECKOUT}:{CHECKOUT / 'functions'}"
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
    )


@pytest.mark.slow
def test_ctrl_c_is_heard_by_the_main_thread(tmp_path: Path) -> None:
    """A signal to a process goes to any of its threads; the stack ends with the main one interrupted as well."""
    with up(tmp_path / "state") as (process, said):
        assert eventually(lambda: "esteira status" in said(), bool), said()
        interrupt(process.pid, process.pid)
        assert process.wait(SECONDS) == 0, said()


def interrupt(pid: int, thread: int) -> None:
    """Send SIGINT to one thread of a process; to which one a signal to the whole process goes is up to the kernel."""
    assert ctypes.CDLL(None).tgkill(pid, thread, int(signal.SIGINT)) == 0


@contextlib.contextmanager
def up(state: Path | None, folder: Path = CHECKOUT) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """Run ``esteira local up`` on ``state`` in ``folder``; yield it and what gives all it has said."""
    process = subprocess.Popen(command(state), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []

    def read() -> None:
        lines.extend(process.stdout or ())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, lambda: "".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(5)


def command(state: Path | None) -> list[str]:
    """The words of ``esteira local up`` in this interpreter."""
    return [
        sys.executable,
        "-m",
        "console.cli.main",
        "local",
        "up",
        *(("--state", str(state)) if state else ()),
        "--sweep",
        "2",
        "--engine",
        "process",
    ]


def views(laptop: Laptop) -> list[View]:
    """The history, oldest first; when a row was last written says nothing here."""
    rows = Store(laptop.client("dynamodb"), laptop.table).views("heart", 50)
    return [replace(row, changed_at="") for row in reversed(rows)]


def phases(laptop: Laptop) -> list[str]:
    """Every release's phase, oldest first."""
    return [view.phase for view in views(laptop)]


def page(url: str) -> str:
    """What the model answers, "" where nothing does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def listening(where: Whereabouts) -> bool:
    """Whether any of a stack's ports is open."""
    return any(open_port(url) for url in (where.endpoint, *where.pages.values()))


def open_port(url: str) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


def eventually(look: Callable[[], T], good: Callable[[T], object], seconds: float = SECONDS) -> T:
    """Look until what is seen is good, or for too long; return what was seen last."""
    until = time.monotonic() + seconds
    while not good(seen := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return seen


def children() -> list[int]:
    """The processes this test run has started that still run."""
    return [pid for pid in descendants(os.getpid()) if alive(pid)]


def descendants(pid: int) -> list[int]:
    """The ids of the processes below ``pid``."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
