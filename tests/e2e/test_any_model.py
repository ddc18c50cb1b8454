"""Other people's repositories, as they are: a Dockerfile and their code, nothing of ours. Each is pushed and goes live.

Flask and FastAPI are the real ones. The heavier frameworks have a stand-in under their command's name, which listens
where their Dockerfiles say and answers the paths that they answer.
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from console.local.up.laptop import Laptop
from esteira.store import Store, View

SECONDS = 120.0  # after which something that should have happened has not
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")

# Answers 200 under the paths in ANSWERS and 404 elsewhere, on the port that its arguments or the code name.
STAND_IN = """#!/usr/bin/env python3
import re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS, PORT = {answers!r}, {port!r}

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"{name}"
        self.send_response(200 if self.path in ANSWERS else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said):
        pass

asked = re.search(r"(?:-p|--port|port)[ =]+(\\d+)", " ".join(sys.argv))
ThreadingHTTPServer(("0.0.0.0", int(asked[1]) if asked else PORT), Answer).serve_forever()
"""
# As a program that is no Python: nothing of the process engine's is loaded into it.
ISOLATED = '#!/bin/sh\nexec python3 -I "$0.py" "$@"\n'

FLASK = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return "flask"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
"""
FASTAPI = """
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/health")
def health() -> str:
    return "{word}"


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8000)
"""


@dataclass(frozen=True)
class Repo:
    """A repository: its Dockerfile and files; what is found out about it; and where it answers with its name."""

    name: str
    dockerfile: str
    files: dict[str, str]
    found: tuple[str, ...]
    page: str = "/"
    programs: tuple[str, ...] = field(default=())


def stand_in(name: str, answers: tuple[str, ...], port: int = 0) -> str:
    """The text of a framework's stand-in."""
    return STAND_IN.format(name=name, answers=answers, port=port)


def port(number: int, by: str = "which the image exposes") -> str:
    """The line about a port that was found."""
    return f"found: port {number}, {by}; in esteira.yaml: port: {number}"


def health(path: str, status: int = 200) -> str:
    """The line about a health path that was found."""
    return f"found: health path {path}, which answers {status}; in esteira.yaml: health: {path}"


LISTENS = "where the container listens"
REPOS = [
    Repo(
        "flask",
        "FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
        'COPY . .\nEXPOSE 5000\nCMD ["python", "app.py"]\n',
        {"app.py": FLASK, "requirements.txt": "flask\n"},
        (port(5000), health("/")),
    ),
    Repo(
        "streamlit",
        "FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nENV PATH=/app:$PATH\nEXPOSE 8501\n"
        'ENTRYPOINT ["streamlit", "run", "app.py", "--server.port=8501", "--server.address=0.0.0.0"]\n',
        {"streamlit": stand_in("streamlit", ("/", "/_stcore/health")), "app.py": ""},
        (port(8501), health("/_stcore/health")),
        programs=("streamlit",),
    ),
    Repo(
        "gradio",
        'FROM python:3.12-slim\nWORKDIR /code\nCOPY app.py .\nENV GRADIO_SERVER_NAME="0.0.0.0"\n'
        'CMD ["python", "app.py"]\n',
        {"app.py": stand_in("gradio", ("/",), 7860)},
        (port(7860, LISTENS), health("/")),
    ),
    Repo(
        "bentoml",
        "FROM python:3.12-slim\nWORKDIR /bento\nCOPY . .\nENV PATH=/bento:$PATH\nEXPOSE 3000\n"
        'ENTRYPOINT ["bentoml", "serve", "service:svc", "--port", "3000"]\n',
        {"bentoml": stand_in("bentoml", ("/", "/healthz", "/livez", "/readyz"))},
        (port(3000), health("/healthz")),
        programs=("bentoml",),
    ),
    Repo(
        "mlflow",
        "FROM python:3.12-slim\nWORKDIR /opt/ml\nCOPY . .\nENV PATH=/opt/ml:$PATH\n"
        "CMD mlflow models serve -m model -h 0.0.0.0 -p 5001 --env-manager local\n",
        {"mlflow": stand_in("mlflow", ("/ping", "/health", "/version")), "model/MLmodel": ""},
        (port(5001, LISTENS), health("/ping")),
        page="/version",
        programs=("mlflow",),
    ),
    Repo(
        "shiny",
        "FROM rocker/shiny:4\nRUN apt-get update && apt-get install -y libcurl4-openssl-dev\nWORKDIR /srv\nCOPY . .\n"
        'ENV PATH=/srv:$PATH\nEXPOSE 3838\nCMD ["R", "-e", "shiny::runApp(\'app\', host=\'0.0.0.0\', port = 3838)"]\n',
        {"R": ISOLATED, "R.py": stand_in("shiny", ("/",)), "app/app.R": ""},
        (port(3838), health("/")),
        programs=("R",),
    ),
    Repo(
        "plumber",
        "FROM rstudio/plumber\nWORKDIR /srv\nCOPY . .\nENV PATH=/srv:$PATH\nEXPOSE 8000\n"
        'ENTRYPOINT ["R", "-e", "plumber::pr_run(plumber::plumb(\'api.R\'), host = \'0.0.0.0\', port = 8000)"]\n',
        {"R": ISOLATED, "R.py": stand_in("plumber", ("/predict", "/openapi.json")), "api.R": ""},
        (port(8000), health("/", 404)),
        page="/predict",
        programs=("R",),
    ),
]


class Pushed:
    """A repository of the local stack, and what became of each push to it."""

    def __init__(self, laptop: Laptop, folder: Path) -> None:
        self._laptop, self._folder = laptop, folder
        self._store = Store(laptop.client("dynamodb"), laptop.table)

    def push(self, name: str, files: dict[str, str], programs: tuple[str, ...] = ()) -> View:
        """Push these files, and nothing else, as a history of their own; the release when it has come to an end."""
        folder = self._folder / f"{name}-{len(list(self._folder.glob('*')))}"
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for program in programs:
            (folder / program).chmod(0o755)
        before = len(self._store.views("heart", 50))
        for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", name)):
            subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)
        remote = self._laptop.whereabouts.remotes["heart"]
        subprocess.run(
            [*GIT, "push", "--quiet", "--force", remote, "main"], cwd=folder, check=True, capture_output=True
        )
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            views = self._store.views("heart", 50)
            if len(views) > before and views[0].phase in ("live", "failed", "rejected"):
                return views[0]
            time.sleep(0.1)
        pytest.fail(f"{name} came to no end: {views[:1]}")

    def get(self, path: str) -> str:
        """What the model answers under this path."""
        page = self._laptop.whereabouts.pages["heart"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(page + path, timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """One local stack for all of them: each takes the place of the one before."""
    with Laptop(tmp_path_factory.mktemp("state"), sweep_every=2) as laptop:
        yield Pushed(laptop, tmp_path_factory.mktemp("repositories"))


QUICK = ("flask", "plumber")  # the others with the slow tests


@pytest.mark.parametrize(
    "repo",
    [pytest.param(repo, id=repo.name, marks=[] if repo.name in QUICK else [pytest.mark.slow]) for repo in REPOS],
)
def test_a_repository_with_a_dockerfile_goes_live_as_it_is(team: Pushed, repo: Repo) -> None:
    """No file of ours in it: what had to be found out is said, with the lines that would say it."""
    view = team.push(repo.name, {"Dockerfile": repo.dockerfile, **repo.files}, repo.programs)
    assert (view.phase, view.detail) == ("live", repo.found), view
    assert team.get(repo.page) == repo.name


@pytest.mark.slow
def test_fastapi_under_uvicorn_goes_live_twice_on_the_port_in_its_code(team: Pushed) -> None:
    """Installed from a package index, with uvloop: both releases ask for 8000, and neither is in the other's way."""
    dockerfile = (
        "FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\n"
        "RUN pip install --no-cache-dir --upgrade -r requirements.txt\nCOPY . .\nCMD python main.py\n"
    )
    for word in ("one", "two"):
        files = {"Dockerfile": dockerfile, "requirements.txt": "fastapi\nuvicorn[standard]\n"}
        view = team.push("fastapi", {**files, "main.py": FASTAPI.format(word=word)})
        assert (view.phase, view.detail) == ("live", (port(8000, LISTENS), health("/health"))), view
        assert team.get("/health") == f'"{word}"'


@pytest.mark.slow
def test_what_the_file_says_is_not_found_out(team: Pushed) -> None:
    """With both in esteira.yaml nothing is said; with a port that nobody listens on, the sentence names the line."""
    repo = REPOS[0]
    files = {"Dockerfile": repo.dockerfile, **repo.files}
    view = team.push("flask", {**files, "esteira.yaml": "port: 5000\nhealth: /\n"})
    assert (view.phase, view.detail) == ("live", ())
    view = team.push("flask", {**files, "esteira.yaml": "port: 5001\n"})
    assert view.phase == "failed"
    assert "expected the container to listen on port 5001, as it was told, got 5000: write port: 5000" in view.why
    assert team.get("/") == "flask"


@pytest.mark.slow
def test_a_server_that_nobody_outside_its_container_would_reach_is_refused(team: Pushed) -> None:
    """Flask's own default: it works in a process of this machine, and would not in a container."""
    repo = REPOS[0]
    files = {**repo.files, "app.py": FLASK.replace('host="0.0.0.0", ', "")}
    view = team.push("flask", {"Dockerfile": repo.dockerfile, **files})
    assert view.phase == "failed"
    assert "expected the container to listen on 0.0.0.0:5000, got 127.0.0.1:5000" in view.why
    assert "let it listen on 0.0.0.0 and push again" in view.why
